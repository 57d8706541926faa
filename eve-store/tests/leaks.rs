//! A leak that is planted in a record is found in the files that hold it, so that a clean scan of those files means something.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use eve_core::failure::Failure;
use eve_core::ports::{Ledger as _, LedgerBatch, RecordBatch};
use eve_core::run::{Event, Record};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::testing::sample_ledger;
use eve_store::LedgerFile;
use support::{append_each, folder, header, samples};

/// The first records of a run, of which the last one says this.
fn records(said: &str) -> Vec<Record> {
    let mut records: Vec<Record> = samples().into_iter().take(5).collect();
    let Event::AttemptFailed { failure, .. } = &mut records.last_mut().unwrap().event else { unreachable!() };
    **failure = Failure::permanent("test.leak", said);
    records
}

/// The endings of the names of the files in which the canary is.
fn leaks(canary: &Canary, folder: &Path) -> Vec<String> {
    let mut scan = CanaryScan::new([canary.clone()]);
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let ending = file.extension().unwrap_or_default().to_string_lossy().into_owned();
        scan.sink(ending, std::fs::read(&file).unwrap());
    }
    scan.leaks().iter().map(|leak| leak.sink.clone()).collect()
}

#[tokio::test]
async fn a_leak_in_a_journal_is_found_beside_it_while_it_is_held_and_in_it_afterwards() {
    let canary = Canary::new(1);
    for (said, while_held, afterwards) in
        [(canary.value(), vec!["run-wal"], vec!["run"]), ("nothing", Vec::new(), Vec::new())]
    {
        let (_keep, folder) = folder();
        let file = folder.create(&header(&folder, "r1")).unwrap();
        let path = file.path().parent().unwrap().to_owned();
        append_each(&file, &records(said)).await;
        assert_eq!(leaks(&canary, &path), while_held);
        drop(file);
        assert_eq!(leaks(&canary, &path), afterwards);
    }
}

#[tokio::test]
async fn a_leak_in_a_ledger_is_found_in_its_files() {
    let canary = Canary::new(2);
    let folder = tempfile::tempdir().unwrap();
    let file = LedgerFile::open(folder.path().join("eve.ledger")).unwrap();
    let ledger = sample_ledger().into_iter().take(4).collect::<Vec<_>>();
    let next = ledger.first().unwrap().seq;
    let run = header(&support::folder().1, "r1").run;
    let runs = vec![RecordBatch { run, records: records(canary.value()) }];
    file.append(LedgerBatch { next, ledger, runs }).await.unwrap();
    assert_eq!(leaks(&canary, folder.path()), ["ledger-wal"]);
    drop(file);
    assert_eq!(leaks(&canary, folder.path()), ["ledger"]);
}
