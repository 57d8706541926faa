//! What eve adds to the cluster's own time, in one table beside a hand-written client and `kubectl apply --server-side`.
//!
//! `cargo run --release -p eve-benches --bin hop`. Exits with 1 when a goal is not met.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use eve_benches::hop::figures::{Goal, hops_ms, is_apply, median};
use eve_benches::hop::objects::Workload;
use eve_benches::hop::table::{Row, render};
use eve_benches::hop::{Bench, Programs, Seen, Sizes, hand};
use eve_testbed::{Server, servers};

/// eve beside a hand-written client and kubectl, on a control plane of its own. Exits with 1 when a goal is not met.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many rounds there are after the first, which does not count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often eve and the client by hand take turns in a round with `ConfigMap`s.
    #[arg(long, default_value_t = 4)]
    turns: usize,
    /// Deployments in their chain.
    #[arg(long, default_value_t = 30)]
    deployments: usize,
    /// `ConfigMap`s in their chain.
    #[arg(long, default_value_t = 100)]
    chain: usize,
    /// `ConfigMap`s without edges.
    #[arg(long, default_value_t = 1000)]
    fan: usize,
    /// How many of those may be under way at once.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Milliseconds from the sight of a Deployment to the write of its status.
    #[arg(long, default_value_t = 25)]
    delay_ms: u64,
    /// The program eve; without it, cargo builds it as it built this one.
    #[arg(long)]
    eve: Option<PathBuf>,
    /// Leave kubectl out, which need not be built then.
    #[arg(long)]
    without_kubectl: bool,
}

#[derive(Subcommand)]
enum Part {
    /// The hand-written client, as a process of its own.
    #[command(hide = true)]
    Hand { workload: Workload, namespace: String, count: usize, concurrency: usize },
    /// The command line of eve as it is built into this program.
    #[command(hide = true)]
    Eve(eve_cli::cli::Cli),
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // As many threads as the machine of the figures has cores; `eve` brings its own runtime.
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    eve_k8s::init();
    match args.part {
        Some(Part::Eve(cli)) => {
            Ok(eve_cli::commands::execute(cli, std::env::args().skip(2).collect()).into())
        }
        Some(Part::Hand { workload, namespace, count, concurrency }) => {
            runtime()?.block_on(hand::run(workload, &namespace, count, concurrency))?;
            Ok(ExitCode::SUCCESS)
        }
        None => runtime()?.block_on(measure(&args)),
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints figures")]
async fn measure(args: &Args) -> anyhow::Result<ExitCode> {
    let sizes = Sizes {
        deployments: args.deployments,
        chain: args.chain,
        fan: args.fan,
        concurrency: args.concurrency,
        turns: args.turns,
        delay: Duration::from_millis(args.delay_ms),
    };
    let bench = Bench::start(programs(args).await?, sizes).await?;
    let mut rows = Rows::new(sizes);
    // The first is for the caches of the server and of the machine.
    for round in 0..=args.rounds {
        for workload in [Workload::Deployments, Workload::Chain, Workload::Fan] {
            eprintln!("round {round} of {}, {workload:?}", args.rounds);
            let seen = bench.round(round, workload).await?;
            for seen in seen.iter().filter(|_| round > 0) {
                rows.add(workload, seen);
            }
        }
    }
    bench.stop().await;
    let rows = rows.all();
    println!("{}", render(&rows));
    println!("`beside it`: the median of what each run of eve is to the run by hand next to it.");
    Ok(if rows.iter().all(Row::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn programs(args: &Args) -> anyhow::Result<Programs> {
    let eve = match &args.eve {
        Some(path) => path.clone(),
        None => build_eve()?,
    };
    let kubectl = if args.without_kubectl {
        None
    } else {
        let built = tokio::task::spawn_blocking(|| servers::ensure(&[Server::Kubectl])).await??;
        Some(built.path(Server::Kubectl))
    };
    let hand = vec![std::env::current_exe()?.into_os_string(), OsString::from("hand")];
    Ok(Programs { eve: vec![eve.into_os_string()], hand, kubectl })
}

/// Builds the program `eve` by the profile of this one, and says where it is.
fn build_eve() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "eve-cli", "--bin", "eve", "--locked", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo cannot build eve");
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    programs.next().context("cargo did not say where eve is")
}

/// The rows of the table, as they fill.
struct Rows {
    sizes: Sizes,
    hop: Row,
    chain: Row,
    fan: Row,
    memory: Row,
    requests: Vec<(Workload, Row, Row)>,
}

impl Rows {
    fn new(sizes: Sizes) -> Self {
        let requests = |workload: Workload, what: &str| {
            let row = |kind: &str| Row::new(format!("{what}: {kind} per object"), 2, None);
            (workload, row("writes"), row("other requests"))
        };
        let Sizes { deployments, chain, fan, .. } = sizes;
        Self {
            sizes,
            hop: Row::new(
                format!("(a) {deployments} Deployments in a chain: ms per hop"),
                2,
                Some(Goal::MoreAtMost(5.0)),
            ),
            chain: Row::new(format!("(b) {chain} ConfigMaps in a chain: s"), 3, Some(Goal::TimesAtMost(1.2))),
            fan: Row::new(
                format!("(c) {fan} ConfigMaps, {} at once: objects per s", sizes.concurrency),
                0,
                Some(Goal::TimesAtLeast(0.8)),
            ),
            memory: Row::new(format!("(c) {fan} ConfigMaps: MB at the peak"), 1, Some(Goal::Below(100.0))),
            requests: vec![
                requests(Workload::Deployments, "(a)"),
                requests(Workload::Chain, "(b)"),
                requests(Workload::Fan, "(c)"),
            ],
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and bytes far below 2^52")]
    fn add(&mut self, workload: Workload, seen: &Seen) {
        let count = self.sizes.count(workload);
        let seconds = seen.spent.time.as_secs_f64();
        match workload {
            Workload::Deployments => {
                let hop = median(&hops_ms(&seen.entries, workload, count)).unwrap_or(f64::NAN);
                self.hop.add(seen.contender, hop);
            }
            Workload::Chain => self.chain.add(seen.contender, seconds),
            Workload::Fan => {
                self.fan.add(seen.contender, count as f64 / seconds);
                self.memory.add(seen.contender, seen.spent.peak_bytes as f64 / 1e6);
            }
        }
        let asked = seen.entries.by_user("eve");
        let writes = asked.filter(is_apply).len();
        for (_, written, other) in self.requests.iter_mut().filter(|(of, _, _)| *of == workload) {
            written.add(seen.contender, writes as f64 / count as f64);
            other.add(seen.contender, (asked.len() - writes) as f64 / count as f64);
        }
    }

    fn all(self) -> Vec<Row> {
        let requests = self.requests.into_iter().flat_map(|(_, writes, other)| [writes, other]);
        [self.hop, self.chain, self.fan, self.memory].into_iter().chain(requests).collect()
    }
}
