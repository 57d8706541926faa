//! A run that is resumed from any beginning of its log, read back from its file, comes to one outcome and keeps the order.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use eve_core::driver::{Executors, Ports, drive};
use eve_core::ids::RunId;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock as _, RunStore};
use eve_core::run::{Event, Outcome, Record, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_core::testing::{NoopExecutor, TokioClock};
use eve_core::time::Timestamp;
use support::{batch, folder, header};
use tokio::sync::mpsc;

/// A diamond.
fn graph() -> Arc<Graph> {
    let component = |name: &str| ComponentBuilder::new(name, "noop");
    let plan = PlanBuilder::new("p", "n")
        .component(component("top"))
        .component(component("left").after("top"))
        .component(component("right").after("top"))
        .component(component("bottom").after("left").after("right"));
    Arc::new(Graph::from_plan(&plan).unwrap())
}

/// Drives the run from what its store has to its end; its whole log.
async fn to_the_end(id: &RunId, store: Arc<dyn RunStore>) -> Vec<Record> {
    let clock = TokioClock::starting_at(Timestamp::from_micros(1_763_596_800_000_000));
    let records = store.load(id).await.unwrap();
    let options = RunOptions::default();
    let mut run = Run::resume(graph(), options, id.clone(), &records, clock.now()).unwrap();
    let ports = Ports {
        executors: Executors::new().with("noop", Arc::new(NoopExecutor)),
        store: Arc::clone(&store),
        reporters: Vec::new(),
        clock: Arc::new(clock),
        secrets: Secrets::default(),
    };
    let (_keep, control) = mpsc::channel(1);
    assert_eq!(drive(&mut run, &ports, control).await.unwrap(), Outcome::Succeeded);
    store.load(id).await.unwrap()
}

/// P2: one outcome, at the end. P3: nothing is started before everything that it depends on is ready.
fn keeps_its_promises(log: &[Record], what: &str) {
    let outcomes = log.iter().filter(|record| matches!(record.event, Event::Finished { .. })).count();
    let last = &log.last().unwrap().event;
    assert!(outcomes == 1 && matches!(last, Event::Finished { .. }), "{what}: {log:?}");
    let graph = graph();
    for (place, record) in log.iter().enumerate() {
        let Event::Started { component, .. } = record.event else { continue };
        for edge in graph.dependencies(component) {
            let is_ready = |record: &Record| matches!(record.event, Event::Ready { component, .. } if component == edge.component);
            assert!(log.iter().take(place).any(is_ready), "{what}: {record:?} too early in {log:?}");
        }
    }
}

#[tokio::test]
async fn every_beginning_goes_on_in_order_to_one_outcome() {
    let whole = to_the_end(&RunId::new("whole"), Arc::new(MemoryStore::new())).await;
    assert!(whole.len() > 12, "{whole:?}");
    let (_keep, folder) = folder();
    for length in 0..whole.len() {
        let id = format!("r{length}");
        let file = folder.create(&header(&folder, &id)).unwrap();
        let mut beginning: Vec<Record> = whole.iter().take(length).cloned().collect();
        for record in &mut beginning {
            if let Event::RunStarted { run } = &mut record.event {
                run.id = RunId::new(id.as_str());
            }
        }
        if length > 0 {
            file.append(batch(&RunId::new(id.as_str()), &beginning)).await.unwrap();
        }
        drop(file);
        let file = folder.resume(&RunId::new(id.as_str())).unwrap();
        let log = to_the_end(&RunId::new(id.as_str()), Arc::new(file)).await;
        assert!(log.starts_with(&beginning), "what was stored stays");
        keeps_its_promises(&log, &format!("after {length} records"));
    }
}
