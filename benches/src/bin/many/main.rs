//! Runs many queued plans of no-op components over many namespaces in one process, and prints what that took.
//!
//! `cargo run --release -p eve-benches --bin many -- --runs 10000 --namespaces 1000`
//!
//! With `--judge` it does so in several sizes, and judges what must hold whatever the machine: `judge.rs`.

mod crowd;
mod judge;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use async_trait::async_trait;
use clap::Parser;
use eve_benches::memory::peak_bytes;
use eve_core::driver::{Executors, Intake, Opened, Order, PlanName, ServePorts, serve};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock as _, Ledger, Notice, Notifier, PlanSource, Receipt};
use eve_core::run::{RunOptions, RunStart};
use eve_core::run_store::MemoryLedger;
use eve_core::scheduler::{Scheduler, SchedulerOptions, SchedulerView};
use eve_core::secret::Secrets;
use eve_core::testing::{NoopExecutor, QueueSource, Shape, TokioClock};
use eve_core::time::Timestamp;
use eve_store::LedgerFile;
use tokio::sync::{mpsc, watch};

use crowd::Turns;

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
    /// How many plans are sent and not answered at any time; all of them where nothing is said.
    #[arg(long, value_name = "PLANS")]
    window: Option<usize>,
    /// Before all others one more namespace has this many plans.
    #[arg(long, value_name = "PLANS", default_value_t = 0)]
    crowd: usize,
    /// Judge several sizes, each in a process of its own, instead: 1 if something is not as it must be.
    #[arg(long, exclusive = true)]
    judge: bool,
    /// With the ledger and all records in an SQLite file in a folder of its own in this one.
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
}

/// How many answers are remembered, and logs of finished runs kept: few beside what is sent, so that what is kept for longer
/// than it should be shows in the memory.
const REMEMBERED: usize = 500;

/// Every plan is the same graph, in the namespace that its text names.
struct Same {
    graph: Arc<Graph>,
    /// So many plans have to come before the first run begins: until then they wait in the scheduler.
    first: usize,
    came: watch::Sender<usize>,
}

#[async_trait]
impl Intake for Same {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        self.came.send_modify(|came| *came += 1);
        Ok(PlanName { namespace: String::from_utf8_lossy(body).into(), plan: "app".into(), request: None })
    }

    async fn open(&self, _: &RunId, _: &[u8], _: Option<&RunStart>) -> Result<Opened, Failure> {
        // The sender is this intake's own.
        let _ = self.came.subscribe().wait_for(|came| *came >= self.first).await;
        let (graph, secrets) = (Arc::clone(&self.graph), Secrets::default());
        Ok(Opened { graph, options: RunOptions::default(), secrets })
    }
}

/// How often each request was told, and how many of them were told at all. As large at the beginning as at the end.
struct Tally {
    told: Vec<AtomicUsize>,
    all: AtomicUsize,
}

impl Tally {
    fn new(requests: usize) -> Self {
        Self { told: (0..requests).map(|_| AtomicUsize::new(0)).collect(), all: AtomicUsize::new(0) }
    }

    fn is_each_told_once(&self) -> bool {
        self.told.iter().all(|times| times.load(Ordering::Relaxed) == 1)
    }
}

#[async_trait]
impl Notifier for Tally {
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure> {
        let number = notice.request.trim_start_matches('r').parse().ok();
        let times = number.and_then(|number: usize| self.told.get(number));
        times
            .ok_or_else(|| Failure::misuse("bench.request", "nobody asked for this"))?
            .fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(Receipt::default())
    }
}

/// What was seen of a scheduler.
#[derive(Default)]
struct Seen {
    known: AtomicUsize,
    live: AtomicUsize,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if args.judge { judge::judge() } else { measure(&args).map(|()| ExitCode::SUCCESS) }
}

#[expect(clippy::print_stdout, reason = "a program that prints a figure")]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let temporary = args.journal.as_ref().map(tempfile::tempdir_in).transpose()?;
    let ledger: Arc<dyn Ledger> = match &temporary {
        Some(folder) => Arc::new(LedgerFile::open(folder.path().join("eve.ledger"))?),
        None => Arc::new(MemoryLedger::new()),
    };
    let all = args.crowd + args.runs;
    let (tally, seen, turns) =
        (Arc::new(Tally::new(all)), Arc::new(Seen::default()), Arc::new(Turns::new(args.crowd)));
    let begun = Instant::now();
    runtime.block_on(run(args, ledger, (&tally, &seen, &turns)))?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(
        tally.is_each_told_once(),
        "not every request was told once: {}",
        tally.all.load(Ordering::Relaxed)
    );
    println!(
        "runs={all} namespaces={} components={} seconds={seconds:.2} runs_per_s={:.0} known_max={} live_max={} \
         overtaken_max={} peak_kib={}",
        args.namespaces,
        args.components,
        all as f64 / seconds,
        seen.known.load(Ordering::Relaxed),
        seen.live.load(Ordering::Relaxed),
        turns.overtaken_max(),
        peak_bytes().unwrap_or_default() / 1024,
    );
    Ok(())
}

/// Sends what there is to send, as long as not too much of it is unanswered.
struct Sender<'a> {
    args: &'a Args,
    sent: usize,
}

impl Sender<'_> {
    fn all(&self) -> usize {
        self.args.crowd + self.args.runs
    }

    fn send(&mut self, source: &QueueSource, answered: usize) {
        let window = self.args.window.unwrap_or(usize::MAX);
        while self.sent < self.all() && self.sent - answered < window {
            let namespace = match self.sent.checked_sub(self.args.crowd) {
                None => crowd::CROWDED.to_owned(),
                Some(number) => format!("n{}", number % self.args.namespaces),
            };
            source.send(format!("r{}", self.sent), namespace);
            self.sent += 1;
        }
    }
}

async fn run(
    args: &Args,
    ledger: Arc<dyn Ledger>,
    (tally, seen, turns): (&Arc<Tally>, &Arc<Seen>, &Arc<Turns>),
) -> anyhow::Result<()> {
    let graph =
        eve_benches::graph(Shape::Chain, args.components).map_err(|problems| anyhow!("{problems:?}"))?;
    let source = Arc::new(QueueSource::default());
    let mut sender = Sender { args, sent: 0 };
    sender.send(&source, 0);
    let first = sender.sent;
    let kind = graph.kinds().next().map(str::to_owned).unwrap_or_default();
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1_763_596_800_000_000)));
    let (observed, order) = (Arc::clone(seen), Arc::clone(turns));
    let ports = ServePorts {
        sources: vec![Arc::clone(&source) as Arc<dyn PlanSource>],
        intake: Arc::new(Same { graph, first, came: watch::Sender::new(0) }),
        executors: Executors::new().with(kind, Arc::new(NoopExecutor)),
        ledger,
        notifiers: BTreeMap::from([("hook".into(), Arc::clone(tally) as Arc<dyn Notifier>)]),
        reporters: Arc::new(|_, _| Vec::new()),
        observer: Arc::new(move |view: SchedulerView<'_>| {
            observed.known.fetch_max(view.len(), Ordering::Relaxed);
            observed.live.fetch_max(view.live(), Ordering::Relaxed);
            order.look(view);
        }),
        clock: Arc::clone(&clock) as _,
    };
    let mut options = SchedulerOptions::default();
    options.receivers = vec!["hook".into()];
    options.parallel = args.parallel;
    options.remember_max = REMEMBERED;
    options.logs_max = REMEMBERED;
    options.waiting_max = usize::MAX;
    let mut scheduler = Scheduler::new(options, clock.now());
    let (orders, received) = mpsc::channel(1);
    let feed = async {
        while sender.sent < sender.all() || !source.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            sender.send(&source, tally.all.load(Ordering::Relaxed));
        }
        // Who served may have ended with an error.
        let _ = orders.send(Order::Drain).await;
    };
    let (served, ()) = tokio::join!(serve(&mut scheduler, &ports, received), feed);
    Ok(served.map(drop)?)
}
