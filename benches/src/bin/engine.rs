//! Runs one plan of no-op components and prints the seconds it took and the most memory it held.
//!
//! `cargo run --release -p eve-benches --bin engine -- --shape layered --components 1000000`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::Parser;
use eve_benches::memory::peak_mib;
use eve_core::driver::{Executors, Ports, drive};
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock, RunStore};
use eve_core::run::{Outcome, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_core::testing::{NoopExecutor, Shape, TokioClock};
use eve_core::time::Timestamp;
use eve_store::SqliteStore;

/// Seconds and peak memory of the engine, from the plan to the outcome, all records kept in memory.
#[derive(Parser)]
struct Args {
    /// chain, fanout or layered (layers of 1,000, three edges each).
    #[arg(long, default_value = "layered")]
    shape: Shape,
    /// How many components.
    #[arg(long, default_value_t = 1_000_000)]
    components: usize,
    /// Through the asynchronous driver with no-op executors, not the bare state machine.
    #[arg(long)]
    driver: bool,
    /// Through the driver, with the records in an SQLite file in a folder of its own in this one.
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
}

#[expect(clippy::print_stdout, reason = "a program that prints a figure")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let begun = Instant::now();
    let graph =
        eve_benches::graph(args.shape, args.components).map_err(|problems| anyhow!("{problems:?}"))?;
    let graph_s = begun.elapsed().as_secs_f64();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut mode = "driver".to_owned();
    let (outcome, records) = if let Some(folder) = &args.journal {
        let temporary = tempfile::tempdir_in(folder)?;
        let path = temporary.path().join("bench.run");
        let result = runtime.block_on(driven(graph, Arc::new(SqliteStore::create(&path)?)))?;
        // The store is closed by now: everything is in one file.
        mode = format!("journal bytes={}", path.metadata()?.len());
        result
    } else if args.driver {
        runtime.block_on(driven(graph, Arc::new(MemoryStore::new())))?
    } else {
        "bare".clone_into(&mut mode);
        let finished = eve_benches::bare(graph);
        (finished.outcome.context("the run did not end")?, finished.records.len())
    };
    let seconds = begun.elapsed().as_secs_f64();
    anyhow::ensure!(outcome == Outcome::Succeeded, "the run ended as {outcome:?}");
    println!(
        "{mode} {} components={} records={records} graph_s={graph_s:.4} total_s={seconds:.4} peak_mib={}",
        args.shape,
        args.components,
        peak_mib(),
    );
    Ok(())
}

/// The outcome, and the number of records that the store gives back.
async fn driven(graph: Arc<Graph>, store: Arc<dyn RunStore>) -> anyhow::Result<(Outcome, usize)> {
    let clock = TokioClock::starting_at(Timestamp::EPOCH);
    let id = RunId::new("bench");
    let mut run = Run::new(graph, RunOptions::default(), id.clone(), clock.now());
    let ports = Ports {
        executors: Executors::new().with("noop", Arc::new(NoopExecutor)),
        store: Arc::clone(&store),
        reporters: Vec::new(),
        clock: Arc::new(clock),
        secrets: Secrets::default(),
    };
    let (_keep, control) = tokio::sync::mpsc::channel(1);
    let outcome = drive(&mut run, &ports, control).await?;
    Ok((outcome, store.load(&id).await?.len()))
}
