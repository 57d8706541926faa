//! Runs many queued plans of no-op components over many namespaces in one process, and prints what that took.
//!
//! `cargo run --release -p eve-benches --bin many -- --runs 10000 --namespaces 1000`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use async_trait::async_trait;
use clap::Parser;
use eve_benches::memory::peak_mib;
use eve_core::driver::{Executors, Intake, Opened, Order, PlanName, ServePorts, serve};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock as _, Ledger, Notifier, PlanSource};
use eve_core::run::{RunOptions, RunStart};
use eve_core::run_store::MemoryLedger;
use eve_core::scheduler::{Scheduler, SchedulerOptions, SchedulerView};
use eve_core::secret::Secrets;
use eve_core::testing::{NoopExecutor, QueueSource, RecordingNotifier, Shape, TokioClock};
use eve_core::time::Timestamp;
use eve_store::LedgerFile;
use tokio::sync::mpsc;

/// Seconds and peak memory of many runs, from the queue to the acknowledgement.
#[derive(Parser)]
struct Args {
    /// How many plans.
    #[arg(long, default_value_t = 10_000)]
    runs: usize,
    /// Over how many namespaces.
    #[arg(long, default_value_t = 1_000)]
    namespaces: usize,
    /// How many components each plan has, one after the other.
    #[arg(long, default_value_t = 20)]
    components: usize,
    /// How many runs at once.
    #[arg(long, default_value_t = 16)]
    parallel: u32,
    /// With the ledger and all records in an SQLite file in a folder of its own in this one.
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
}

/// Every plan is the same graph, in the namespace that its text names.
struct Same(Arc<Graph>);

#[async_trait]
impl Intake for Same {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Ok(PlanName { namespace: String::from_utf8_lossy(body).into(), plan: "app".into(), request: None })
    }

    async fn open(&self, _: &RunId, _: &[u8], _: Option<&RunStart>) -> Result<Opened, Failure> {
        let (graph, secrets) = (Arc::clone(&self.0), Secrets::default());
        Ok(Opened { graph, options: RunOptions::default(), secrets })
    }
}

#[expect(clippy::print_stdout, reason = "a program that prints a figure")]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let temporary = args.journal.as_ref().map(tempfile::tempdir_in).transpose()?;
    let ledger: Arc<dyn Ledger> = match &temporary {
        Some(folder) => Arc::new(LedgerFile::open(folder.path().join("eve.ledger"))?),
        None => Arc::new(MemoryLedger::new()),
    };
    let begun = Instant::now();
    let (known, live) = runtime.block_on(run(&args, ledger))?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "runs={} namespaces={} components={} seconds={seconds:.2} runs_per_s={:.0} known_max={known} live_max={live} \
         peak_mib={}",
        args.runs,
        args.namespaces,
        args.components,
        args.runs as f64 / seconds,
        peak_mib(),
    );
    Ok(())
}

async fn run(args: &Args, ledger: Arc<dyn Ledger>) -> anyhow::Result<(usize, usize)> {
    let graph =
        eve_benches::graph(Shape::Chain, args.components).map_err(|problems| anyhow!("{problems:?}"))?;
    let source = Arc::new(QueueSource::default());
    for number in 0..args.runs {
        source.send(format!("r{number}"), format!("n{}", number % args.namespaces));
    }
    let (known, live) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (Arc::clone(&known), Arc::clone(&live));
    let kind = graph.kinds().next().map(str::to_owned).unwrap_or_default();
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1_763_596_800_000_000)));
    let ports = ServePorts {
        sources: vec![Arc::clone(&source) as Arc<dyn PlanSource>],
        intake: Arc::new(Same(graph)),
        executors: Executors::new().with(kind, Arc::new(NoopExecutor)),
        ledger,
        notifiers: BTreeMap::from([(
            "hook".into(),
            Arc::new(RecordingNotifier::default()) as Arc<dyn Notifier>,
        )]),
        reporters: Arc::new(|_, _| Vec::new()),
        observer: Arc::new(move |view: SchedulerView<'_>| {
            seen.0.fetch_max(view.len(), Ordering::Relaxed);
            seen.1.fetch_max(view.live(), Ordering::Relaxed);
        }),
        clock: Arc::clone(&clock) as _,
    };
    let mut options = SchedulerOptions::default();
    options.receivers = vec!["hook".into()];
    options.parallel = args.parallel;
    options.remember_max = 1_000;
    options.waiting_max = usize::MAX;
    let mut scheduler = Scheduler::new(options, clock.now());
    let (orders, received) = mpsc::channel(1);
    let watch = async {
        while !source.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Who served may have ended with an error.
        let _ = orders.send(Order::Drain).await;
    };
    let (served, ()) = tokio::join!(serve(&mut scheduler, &ports, received), watch);
    served?;
    Ok((known.load(Ordering::Relaxed), live.load(Ordering::Relaxed)))
}
