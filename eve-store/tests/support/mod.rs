//! What the tests of the store have in common: a folder, a header, records.
#![allow(dead_code, clippy::allow_attributes, reason = "not every test needs all of it")]

use eve_core::ids::{RunId, Seq};
use eve_core::ports::{RecordBatch, RunStore};
use eve_core::run::{Event, Outcome, Record};
use eve_core::testing::sample_events;
use eve_core::time::Timestamp;
use eve_store::{RunFile, RunFolder, RunHeader, RunSource};
use tempfile::TempDir;

pub(crate) fn folder() -> (TempDir, RunFolder) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(temporary.path().join("state/eve")).unwrap();
    (temporary, folder)
}

/// A header of a run of a plan of its own.
pub(crate) fn header(folder: &RunFolder, run: &str) -> RunHeader {
    RunHeader {
        run: RunId::new(run),
        plan: format!("plan-of-{run}"),
        namespace: "shop".into(),
        cluster: "https://prod.example.net:6443".into(),
        context: Some("prod".into()),
        kubeconfigs: Vec::new(),
        verb: "apply".into(),
        sources: vec![RunSource::Path("/home/kim/shop".into()), RunSource::Stdin],
        arguments: vec!["--namespace=shop".into()],
        digest: folder.key().unwrap().hash(["plan"]),
        graph: String::new(),
        started_at: Timestamp::from_micros(1_763_596_800_000_000),
        eve_version: "0.1.0".into(),
    }
}

pub(crate) fn batch(run: &RunId, records: &[Record]) -> Vec<RecordBatch> {
    vec![RecordBatch { run: run.clone(), records: records.to_vec() }]
}

/// Appends a record after the other, each by itself.
pub(crate) async fn append_each(file: &RunFile, records: &[Record]) {
    for record in records {
        file.append(batch(&file.header().run, std::slice::from_ref(record))).await.unwrap();
    }
}

/// A run that has finished, so long after its beginning.
pub(crate) async fn finished(folder: &RunFolder, run: &str, at: Timestamp) {
    let file = folder.create(&RunHeader { started_at: at, ..header(folder, run) }).unwrap();
    let event = Event::Finished { outcome: Outcome::Succeeded };
    append_each(&file, &[Record { seq: Seq::FIRST, at, event }]).await;
}

pub(crate) fn samples() -> Vec<Record> {
    sample_events()
}
