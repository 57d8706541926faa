//! Every byte of a run's files flipped, every truncation: loud, or identical, or a clean beginning that ends with an append.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use eve_core::run::{Record, StopMode};
use eve_store::{FileError, RunFolder, RunHeader, RunReader, StopRequest};
use support::{append_each, batch, folder, header, samples};
use tempfile::TempDir;

/// All that a file says.
type Told = (RunHeader, Vec<Record>, Vec<StopRequest>, Option<String>);

fn told(path: &Path) -> Result<Told, FileError> {
    let reader = RunReader::open(path)?;
    reader.check()?;
    Ok((reader.header()?, reader.records()?, reader.requests()?, reader.cluster()?))
}

/// The files of a run as a kill leaves them, copied while it is open: part of it in the database, part in its log.
async fn left_by_a_kill(folder: &RunFolder, copy: &Path) -> Told {
    let header = header(folder, "r1");
    let mut file = folder.create(&header).unwrap();
    file.belongs_to("c1").unwrap();
    folder.request_stop(&header.run, StopMode::Drain, "kim").unwrap();
    // Several records an append, so that not every place is the end of one.
    for pair in samples()[..10].chunks(2) {
        eve_core::ports::RunStore::append(&file, batch(&header.run, pair)).await.unwrap();
    }
    drop(file);
    let file = folder.resume(&header.run).unwrap();
    for four in samples()[10..].chunks(4) {
        eve_core::ports::RunStore::append(&file, batch(&header.run, four)).await.unwrap();
    }
    for ending in ["", "-wal", "-head"] {
        fs::copy(with(file.path(), ending), with(copy, ending)).unwrap();
    }
    let expected = told(file.path()).unwrap();
    assert_eq!(expected.1, samples());
    expected
}

fn with(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// What may not come of a damaged file: something that is neither refused nor a beginning that was true once.
fn judge(found: Result<Told, FileError>, whole: &Told, what: &str) -> &'static str {
    match found {
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{what}");
            "loud"
        }
        Ok(told) if told == *whole => "identical",
        Ok((header, records, requests, cluster)) => {
            assert_eq!(header, whole.0, "{what}");
            assert!([10, 14, 18].contains(&records.len()), "{what}: {} records", records.len());
            assert_eq!(records, whole.1[..records.len()], "{what}");
            assert_eq!((&requests, &cluster), (&whole.2, &whole.3), "{what}");
            "a beginning"
        }
    }
}

struct Tally([usize; 3]);

impl Tally {
    fn count(&mut self, verdict: &str) {
        let place = ["loud", "identical", "a beginning"].iter().position(|name| *name == verdict).unwrap();
        self.0[place] += 1;
    }
}

async fn setup() -> (TempDir, PathBuf, Told) {
    let (keep, folder) = folder();
    let path = keep.path().join("copy.run");
    let whole = left_by_a_kill(&folder, &path).await;
    // What a file says without any help.
    fs::rename(with(&path, "-head"), keep.path().join("head")).unwrap();
    (keep, path, whole)
}

/// Puts the files back as they were.
struct Restored<'a> {
    path: &'a Path,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl<'a> Restored<'a> {
    fn of(path: &'a Path) -> Self {
        let files = ["", "-wal"].map(|ending| with(path, ending));
        Self { path, files: files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect() }
    }

    fn all(&self) {
        let _ = fs::remove_file(with(self.path, "-shm"));
        for (file, bytes) in &self.files {
            fs::File::create(file).unwrap().write_all(bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn no_flipped_byte_goes_unseen() {
    let (_keep, path, whole) = setup().await;
    assert_eq!(told(&path).unwrap(), whole);
    let restored = Restored::of(&path);
    let mut tally = Tally([0; 3]);
    for (file, bytes) in &restored.files {
        for (place, byte) in bytes.iter().enumerate() {
            let _ = fs::remove_file(with(&path, "-shm"));
            let flipped = byte ^ (1 << (place % 8));
            let open = fs::OpenOptions::new().write(true).open(file).unwrap();
            open.write_all_at(&[flipped], place as u64).unwrap();
            let what = format!("{} byte {place}", file.display());
            tally.count(judge(told(&path), &whole, &what));
            open.write_all_at(&[*byte], place as u64).unwrap();
        }
    }
    restored.all();
    assert_eq!(told(&path).unwrap(), whole, "nothing was changed by looking");
    assert!(tally.0.iter().all(|count| *count > 100), "each verdict was reached: {:?}", tally.0);
}

#[tokio::test]
async fn no_truncation_goes_unseen() {
    let (_keep, path, whole) = setup().await;
    let restored = Restored::of(&path);
    let mut tally = Tally([0; 3]);
    for (file, bytes) in &restored.files {
        for length in (0..bytes.len()).rev() {
            let _ = fs::remove_file(with(&path, "-shm"));
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length as u64).unwrap();
            tally.count(judge(told(&path), &whole, &format!("{} cut to {length}", file.display())));
        }
        restored.all();
    }
    assert!(tally.0[0] > 100 && tally.0[2] > 100, "{:?}", tally.0);
}

#[tokio::test]
async fn a_closed_file_is_read_whole_or_not_at_all() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let mut file = folder.create(&header).unwrap();
    file.belongs_to("c1").unwrap();
    append_each(&file, &samples()).await;
    let path = file.path().to_owned();
    drop(file);
    assert!(!with(&path, "-wal").exists(), "all is in one file");
    let (whole, bytes) = (told(&path).unwrap(), fs::read(&path).unwrap());
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        // The last page may be empty, and nobody misses nothing.
        if let Ok(found) = told(&path) {
            assert!(found == whole && bytes[length..].iter().all(|byte| *byte == 0), "cut to {length}");
        }
    }
    let open = fs::OpenOptions::new().write(true).open(&path).unwrap();
    open.write_all_at(&bytes, 0).unwrap();
    for (place, byte) in bytes.iter().enumerate() {
        open.write_all_at(&[byte ^ 0x20], place as u64).unwrap();
        if let Ok(found) = told(&path) {
            assert_eq!(found, whole, "byte {place}");
        }
        open.write_all_at(&[*byte], place as u64).unwrap();
    }
}

#[tokio::test]
async fn records_that_are_missing_at_the_end_are_missed() {
    let (keep, path, whole) = setup().await;
    fs::rename(keep.path().join("head"), with(&path, "-head")).unwrap();
    assert_eq!(told(&path).unwrap(), whole);
    let restored = Restored::of(&path);
    let (log, bytes) = &restored.files[1];
    let judge = |what: String| match told(&path) {
        Err(error) => assert!(error.to_string().contains("copy.run"), "{what}: {error}"),
        Ok(told) => assert_eq!(told, whole, "{what}"),
    };
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for length in (0..=end).step_by(211) {
        let _ = fs::remove_file(with(&path, "-shm"));
        fs::OpenOptions::new().write(true).open(log).unwrap().set_len(length as u64).unwrap();
        judge(format!("cut to {length}"));
        restored.all();
        let _ = fs::remove_file(with(&path, "-shm"));
        let open = fs::OpenOptions::new().write(true).open(log).unwrap();
        open.write_all_at(&[bytes[length] ^ 4], length as u64).unwrap();
        judge(format!("byte {length}"));
        restored.all();
    }
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(with(&path, ending));
    }
    let error = told(&path).unwrap_err();
    let FileError::Damaged { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("was written and is missing") && reason.contains("-wal is lost"), "{error}");
}

#[tokio::test]
async fn how_far_a_file_came_says_nothing_where_it_is_damaged_itself() {
    let (keep, path, whole) = setup().await;
    let head = with(&path, "-head");
    let bytes = fs::read(keep.path().join("head")).unwrap();
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        fs::write(&head, flipped).unwrap();
        assert_eq!(told(&path).unwrap(), whole, "byte {place}");
        fs::write(&head, &bytes[..place]).unwrap();
        assert_eq!(told(&path).unwrap(), whole, "cut to {place}");
    }
}
