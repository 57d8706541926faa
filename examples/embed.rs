//! A program with its own executor runs a plan of five components and prints what happens.
#![expect(clippy::print_stdout, reason = "the example shows its events")]

use std::sync::Arc;

use async_trait::async_trait;
use eve_core::driver::{Executors, Ports, SystemClock, drive};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock, Context, Executor, Reporter, Step};
use eve_core::run::{Applied, Change, Prepared, Record, Run, RunOptions, RunView};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;

struct Baker;

#[async_trait]
impl Executor for Baker {
    async fn apply(&self, step: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        println!("baking {} of {}", step.name(), step.spec());
        Ok(Applied::new(Change::Create))
    }
}

struct Printer;

impl Reporter for Printer {
    fn record(&self, record: &Record, _: &RunView<'_>) {
        println!("{:>3} {:?}", record.seq.get(), record.event);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bake = |name: &str, of: &str| ComponentBuilder::new(name, "bake").spec(of);
    let plan = PlanBuilder::new("cake", "kitchen").components([
        bake("dough", "flour"),
        bake("cream", "milk"),
        bake("base", "dough").after("dough"),
        bake("layers", "base and cream").after("base").after("cream"),
        bake("icing", "sugar").after("layers"),
    ]);
    let graph = Graph::from_plan(&plan).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let clock = Arc::new(SystemClock::new());
    let mut run = Run::new(Arc::new(graph), RunOptions::default(), RunId::new("cake-1"), clock.now());
    let ports = Ports {
        executors: Executors::new().with("bake", Arc::new(Baker)),
        store: Arc::new(MemoryStore::new()),
        reporters: vec![Arc::new(Printer)],
        clock,
        secrets: Secrets::default(),
    };
    let (_stop, control) = tokio::sync::mpsc::channel(1);
    println!("{:?}", drive(&mut run, &ports, control).await?);
    Ok(())
}
