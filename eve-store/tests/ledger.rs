//! The file of a daemon: one unit, fenced, bounded, and no damage to it goes unseen.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use eve_core::ids::{RunId, Seq};
use eve_core::ports::{Ledger as _, LedgerBatch, RecordBatch, StoreError};
use eve_core::run::{Event, Record};
use eve_core::scheduler::{LedgerEvent, LedgerRecord};
use eve_core::testing::{sample_events, sample_ledger};
use eve_core::time::Timestamp;
use eve_store::{FileError, LedgerFile, RunReader};

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("eve.ledger")
}

/// Without what compacts it, so that all of it is kept.
fn samples() -> Vec<LedgerRecord> {
    let kept = |record: &LedgerRecord| !matches!(record.event, LedgerEvent::Compacted { .. });
    sample_ledger().into_iter().filter(kept).collect()
}

fn ledger(records: &[LedgerRecord]) -> LedgerBatch {
    with_runs(records, Vec::new())
}

fn with_runs(records: &[LedgerRecord], runs: Vec<RecordBatch>) -> LedgerBatch {
    let next = records.first().map_or(Seq::FIRST, |first| first.seq);
    LedgerBatch { next, ledger: records.to_vec(), runs }
}

fn of_run(run: &str, records: &[Record]) -> RecordBatch {
    RecordBatch { run: RunId::new(run), records: records.to_vec() }
}

fn next(seq: u64, event: LedgerEvent) -> LedgerRecord {
    LedgerRecord { seq: Seq::new(seq), at: Timestamp::from_micros(u64::MAX / 2), event }
}

#[tokio::test]
async fn the_ledger_and_the_runs_are_kept_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let (events, records) = (sample_events(), samples());
    {
        let file = LedgerFile::open(&path).unwrap();
        assert_eq!(file.load().await.unwrap(), []);
        let runs = vec![of_run("run-1", &events[..3])];
        file.append(with_runs(&records[..4], runs)).await.unwrap();
    }
    {
        let file = LedgerFile::open(&path).unwrap();
        let runs = vec![of_run("run-1", &events[4..])];
        file.append(with_runs(&records[4..], runs)).await.unwrap_err();
        assert!(matches!(file.failure(), Some(FileError::OutOfOrder { .. })), "{:?}", file.failure());
        let error = file.append(ledger(&records[4..])).await.unwrap_err().to_string();
        assert!(error.contains("nothing is appended after a failure"), "{error}");
    }
    let file = LedgerFile::open(&path).unwrap();
    assert_eq!(file.load().await.unwrap(), records[..4]);
    assert_eq!(file.load_run(&RunId::new("run-1")).await.unwrap(), events[..3]);
    let runs = vec![of_run("run-1", &events[3..])];
    file.append(with_runs(&records[4..], runs)).await.unwrap();
    assert_eq!(file.load().await.unwrap(), records);
    assert_eq!(file.load_run(&RunId::new("run-1")).await.unwrap(), events);
}

#[tokio::test]
async fn two_processes_never_hold_one_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let held = LedgerFile::open(&path).unwrap();
    let error = LedgerFile::open(&path).unwrap_err();
    assert!(matches!(error, FileError::Held { .. }), "{error}");
    drop(held);
    LedgerFile::open(&path).unwrap();
}

#[tokio::test]
async fn a_process_that_was_taken_over_appends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let old = LedgerFile::open(&path).unwrap();
    old.append(ledger(&[next(1, LedgerEvent::TakenOver)])).await.unwrap();
    // A lock that did not hold, as over a network.
    fs::remove_file(path.with_extension("lock")).unwrap();
    let new = LedgerFile::open(&path).unwrap();
    new.append(ledger(&[next(2, LedgerEvent::TakenOver)])).await.unwrap();
    let ticket = eve_core::scheduler::Ticket::new(1);
    let runs = || vec![of_run("run-1", &sample_events()[..1])];
    let alone = LedgerBatch { next: Seq::new(2), ledger: Vec::new(), runs: runs() };
    let late = with_runs(&[next(2, LedgerEvent::Acknowledged { ticket })], runs());
    let error = old.append(alone).await.unwrap_err();
    assert!(matches!(error, StoreError::TakenOver { .. }), "{error}");
    assert!(old.append(late).await.is_err());
    assert!(old.failure().unwrap().hint().contains("end this process"));
    assert_eq!(new.load().await.unwrap().len(), 2);
    assert_eq!(new.load_run(&RunId::new("run-1")).await.unwrap(), [], "nor anything of its runs");
}

#[tokio::test]
async fn what_was_compacted_and_dropped_is_gone_and_the_rest_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let records = sample_ledger();
    {
        let file = LedgerFile::open(&path).unwrap();
        let runs = ["run-2", "run-6"].map(|run| of_run(run, &sample_events()));
        file.append(with_runs(&records[..5], runs.to_vec())).await.unwrap();
        file.append(ledger(&records[5..])).await.unwrap();
        let seq = records.len() as u64 + 1;
        file.append(ledger(&[next(seq, LedgerEvent::TakenOver)])).await.unwrap();
    }
    let file = LedgerFile::open(&path).unwrap();
    let kept = file.load().await.unwrap();
    assert_eq!(kept[0], *records.last().unwrap());
    assert_eq!(kept.len(), 2);
    assert_eq!(file.load_run(&RunId::new("run-2")).await.unwrap(), []);
    assert_eq!(file.load_run(&RunId::new("run-6")).await.unwrap(), sample_events());
    let again = of_run("run-2", &[Record { seq: Seq::FIRST, at: Timestamp::EPOCH, event: Event::Resumed }]);
    file.append(LedgerBatch { next: Seq::new(kept[1].seq.get() + 1), ledger: Vec::new(), runs: vec![again] })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_file_of_a_run_is_no_ledger_and_a_ledger_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    drop(LedgerFile::open(&path).unwrap());
    assert!(RunReader::open(&path).is_err());
    let run = folder.path().join("a.run");
    drop(eve_store::SqliteStore::create(&run).unwrap());
    let error = LedgerFile::open(&run).unwrap_err();
    assert!(matches!(error, FileError::Foreign { .. }), "{error}");
}

/// What a ledger has, and of which cluster it is.
type Told = (Vec<LedgerRecord>, Option<String>);

/// The files as a kill leaves them: part in the database, part in its log.
async fn left_by_a_kill(folder: &tempfile::TempDir) -> (PathBuf, Told) {
    let (path, copy) = (path(folder), folder.path().join("copy.ledger"));
    let records = samples();
    let file = LedgerFile::open(&path).unwrap();
    file.belongs_to("c1").unwrap();
    for pair in records[..10].chunks(2) {
        file.append(ledger(pair)).await.unwrap();
    }
    drop(file);
    let file = LedgerFile::open(&path).unwrap();
    for four in records[10..].chunks(4) {
        file.append(ledger(four)).await.unwrap();
    }
    for ending in ["", "-wal"] {
        fs::copy(with(&path, ending), with(&copy, ending)).unwrap();
    }
    (copy, (records, Some("c1".to_owned())))
}

fn with(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

async fn told(path: &Path) -> Result<Told, String> {
    let file = LedgerFile::open(path).map_err(|error| error.to_string())?;
    let records = file.load().await.map_err(|error| error.to_string())?;
    Ok((records, file.cluster()))
}

/// Loud, identical, or a beginning that ends with an append: nothing else may come of a damaged file.
fn judge(found: Result<Told, String>, whole: &Told, what: &str) -> usize {
    match found {
        Err(error) => {
            assert!(!error.is_empty(), "{what}");
            0
        }
        Ok(told) if told == *whole => 1,
        Ok((records, cluster)) => {
            let ends = records.len() >= 10 && (records.len() - 10) % 4 == 0;
            assert!(ends && whole.0.starts_with(&records), "{what}: {} records", records.len());
            assert_eq!(cluster, whole.1, "{what}");
            2
        }
    }
}

#[tokio::test]
async fn no_flipped_or_missing_byte_of_a_ledger_goes_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole) = left_by_a_kill(&folder).await;
    let files = ["", "-wal"].map(|ending| with(&path, ending));
    let kept = files.clone().map(|file| fs::read(file).unwrap());
    let restore = || {
        let _ = fs::remove_file(with(&path, "-shm"));
        files.iter().zip(&kept).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    };
    let mut tally = [0; 3];
    for (file, bytes) in files.iter().zip(&kept) {
        // Opening writes; every file is put back each time. A stride that is prime to all sizes within.
        for place in (0..bytes.len()).step_by(37) {
            restore();
            let open = fs::OpenOptions::new().write(true).open(file).unwrap();
            open.write_all_at(&[bytes[place] ^ (1 << (place % 8))], place as u64).unwrap();
            tally[judge(told(&path).await, &whole, &format!("{} byte {place}", file.display()))] += 1;
        }
        for length in (0..bytes.len()).step_by(257) {
            restore();
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length as u64).unwrap();
            tally[judge(told(&path).await, &whole, &format!("{} cut to {length}", file.display()))] += 1;
        }
    }
    restore();
    assert_eq!(told(&path).await.unwrap(), whole);
    assert!(tally.iter().all(|count| *count > 20), "each verdict was reached: {tally:?}");
}

#[tokio::test]
async fn the_key_of_a_ledger_is_made_once_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (path(&folder), folder.path().join("key"));
    {
        let file = LedgerFile::open(&path).unwrap();
        file.key().unwrap();
        fs::remove_file(&key).unwrap();
        file.key().unwrap(); // nothing was written yet that needs the first one
        file.append(ledger(&samples())).await.unwrap();
    }
    let kept = LedgerFile::open(&path).unwrap().key().unwrap().hash(["a"]);
    let moved = folder.path().join("moved");
    fs::rename(&key, &moved).unwrap();
    let error = LedgerFile::open(&path).unwrap().key().unwrap_err();
    assert_eq!(error, FileError::LostKey { path: key.clone() });
    assert!(!key.exists());
    fs::rename(&moved, &key).unwrap();
    assert_eq!(LedgerFile::open(&path).unwrap().key().unwrap().hash(["a"]), kept);
}

#[tokio::test]
async fn another_key_beside_a_ledger_that_has_records_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (path(&folder), folder.path().join("key"));
    {
        let file = LedgerFile::open(&path).unwrap();
        file.key().unwrap();
        file.append(ledger(&samples())).await.unwrap();
    }
    let (first, other) = (fs::read(&key).unwrap(), [7; 32]);
    fs::write(&key, other).unwrap();
    let error = LedgerFile::open(&path).unwrap().key().unwrap_err();
    assert_eq!(error, FileError::OtherKey { path: key.clone(), of: path.clone() });
    assert_eq!(fs::read(&key).unwrap(), other, "nobody's key is replaced");
    fs::write(&key, first).unwrap();
    LedgerFile::open(&path).unwrap().key().unwrap();
}

#[tokio::test]
async fn a_ledger_belongs_to_the_cluster_that_was_named_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    {
        let file = LedgerFile::open(&path).unwrap();
        assert_eq!(file.cluster(), None);
        file.belongs_to("c1").unwrap();
        file.append(ledger(&samples()[..1])).await.unwrap();
        let copy = folder.path().join("copy.ledger");
        for ending in ["", "-wal"] {
            fs::copy(with(&path, ending), with(&copy, ending)).unwrap();
        }
        assert_eq!(
            LedgerFile::open(copy).unwrap().cluster().as_deref(),
            Some("c1"),
            "it is durable with the first record"
        );
    }
    let file = LedgerFile::open(&path).unwrap();
    file.belongs_to("c1").unwrap();
    let error = file.belongs_to("c2").unwrap_err();
    let (known, found) = ("c1".to_owned(), "c2".to_owned());
    assert_eq!(error, FileError::OtherCluster { path, known, found });
    assert_eq!(file.cluster().as_deref(), Some("c1"));
    assert!(file.failure().is_none(), "to be asked is no failure");
}

#[tokio::test]
async fn a_ledger_whose_log_is_lost_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let records = samples();
    let file = LedgerFile::open(&path).unwrap();
    file.append(ledger(&records[..2])).await.unwrap();
    let before = fs::read(&path).unwrap();
    let runs = vec![of_run("run-1", &sample_events()[..3])];
    file.append(with_runs(&records[2..3], runs)).await.unwrap();
    let whole = fs::read(with(&path, "-head")).unwrap();
    let late = LedgerBatch {
        next: Seq::new(4),
        ledger: Vec::new(),
        runs: vec![of_run("run-1", &sample_events()[3..4])],
    };
    file.append(late).await.unwrap();
    let copy = folder.path().join("copy.ledger");
    for ending in ["", "-wal", "-head"] {
        fs::copy(with(&path, ending), with(&copy, ending)).unwrap();
    }
    drop(LedgerFile::open(&copy).unwrap());
    drop(file);
    drop(LedgerFile::open(&path).unwrap());
    fs::write(with(&path, "-head"), &whole).unwrap();
    drop(LedgerFile::open(&path).unwrap());
    let refused = |copy: &Path, head: &[u8]| {
        fs::write(copy, &before).unwrap();
        fs::write(with(copy, "-head"), head).unwrap();
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(with(copy, ending));
        }
        LedgerFile::open(copy).unwrap_err().to_string()
    };
    let error = refused(&copy, &whole);
    assert!(error.contains("record 3 of its ledger was written and is missing"), "{error}");
    assert_eq!(fs::read(&copy).unwrap(), before, "it is left as it was");
    fs::remove_file(&copy).unwrap();
    let anew = LedgerFile::open(&copy).unwrap();
    assert_eq!(anew.load().await.unwrap(), [], "a ledger that is made anew has nothing to miss");
}
