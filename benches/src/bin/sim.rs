//! Simulates runs in which everything that can go wrong does, and prints what was found.
//!
//! `cargo run --release -p eve-benches --bin sim -- --schedules 1000000`

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use eve_core::testing::sim::{
    Coverage, Fault, Kind, Recorded, Recorder, Report, Sabotage, Scenario, Seeded, Tally, Violation, check,
    check_twice, enumerate, shrunk, traced,
};

/// Every so many seeds, one is run twice and must come to the same.
const TWICE_EVERY: u64 = 16;

/// How many schedules a failing case may cost to be made small.
const SHRINK_TRIES: u32 = 20_000;

/// Simulates runs under faults; ends with status 1 if an invariant did not hold.
#[derive(Parser)]
struct Args {
    /// How many schedules.
    #[arg(long, default_value_t = 100_000)]
    schedules: u64,
    /// After how many minutes to stop.
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Plant this bug; or `all`, each until it is found.
    #[arg(long)]
    sabotage: Option<String>,
    /// Every crash and every stop of all plans of four components, instead of seeds.
    #[arg(long)]
    enumerate: bool,
    /// Live through these choices once more, and tell what happens.
    #[arg(long)]
    replay: Option<Recorded>,
    /// The plans of the choices to replay: swarm or small.
    #[arg(long, default_value = "swarm")]
    kind: Kind,
    /// How many threads.
    #[arg(long)]
    threads: Option<usize>,
}

/// A schedule in which an invariant did not hold.
struct Case {
    /// Its seed, or which of the enumerated schedules of its shape it is.
    number: u64,
    choices: Recorded,
    violation: Violation,
}

/// What was seen.
#[derive(Default)]
struct Sum {
    schedules: u64,
    components: u64,
    steps: u64,
    faults: Tally,
    coverage: Coverage,
    case: Option<Case>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.schedules += 1;
        self.components += report.components as u64;
        self.steps += report.steps;
        self.faults.add(&report.faults);
        self.coverage.add(&report.coverage);
    }

    fn join(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.components += other.components;
        self.steps += other.steps;
        self.faults.add(&other.faults);
        self.coverage.add(&other.coverage);
        self.case = [self.case.take(), other.case].into_iter().flatten().min_by_key(|case| case.number);
    }
}

#[expect(clippy::print_stdout, reason = "a program that prints what it found")]
fn main() -> Result<ExitCode, String> {
    let args = Args::parse();
    // A panic of the engine is a finding, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let planted = args.sabotage.as_deref().filter(|name| *name != "all");
    let sabotage = planted.map(str::parse::<Sabotage>).transpose()?;
    if let Some(choices) = &args.replay {
        let report = traced(args.kind, &mut choices.replay(), sabotage);
        report.trace.iter().for_each(|line| println!("{line}"));
        println!("{:?}", report.outcome);
        return Ok(told(&report));
    }
    if args.sabotage.as_deref() == Some("all") {
        return Ok(find_all(&args));
    }
    let begun = Instant::now();
    let sum = if args.enumerate { enumerated(&args, sabotage) } else { swarm(&args, sabotage) };
    print(&sum, begun.elapsed());
    let Some(case) = sum.case else { return Ok(ExitCode::SUCCESS) };
    let kind = if args.enumerate { Kind::Small } else { Kind::Swarm };
    println!("\nschedule {}: {}", case.number, case.violation);
    let small = shrunk((kind, sabotage), case.choices, case.violation.invariant, SHRINK_TRIES);
    let report = check(kind, &mut small.replay(), sabotage);
    let plant = sabotage.map(|bug| format!(" --sabotage {bug}")).unwrap_or_default();
    println!("\nmade small, {} components, {} choices; see it with", report.components, small.len());
    println!("cargo run --release -p eve-benches --bin sim -- --kind {kind}{plant} --replay {small}");
    Ok(told(&report))
}

#[expect(clippy::print_stdout, reason = "a program that prints what it found")]
fn told(report: &Report) -> ExitCode {
    match &report.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn threads(args: &Args) -> usize {
    let there = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    args.threads.unwrap_or(there).max(1)
}

/// Lets every thread work until there is no more, or one has found something.
fn in_threads(args: &Args, work: impl Fn(&AtomicBool, &mut Sum) + Sync) -> Sum {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let one = || {
            let mut sum = Sum::default();
            work(&stop, &mut sum);
            sum
        };
        let workers: Vec<_> = (0..threads(args)).map(|_| scope.spawn(one)).collect();
        let mut all = Sum::default();
        workers.into_iter().filter_map(|worker| worker.join().ok()).for_each(|sum| all.join(sum));
        all
    })
}

fn swarm(args: &Args, sabotage: Option<Sabotage>) -> Sum {
    let next = AtomicU64::new(0);
    let ends = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    in_threads(args, |stop, sum| {
        while !stop.load(Ordering::Relaxed) && ends.is_none_or(|at| Instant::now() < at) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= args.schedules {
                return;
            }
            let seed = args.seed + number;
            let report = lived(seed, sabotage, number.is_multiple_of(TWICE_EVERY));
            sum.add(&report);
            if let Some(violation) = report.violation {
                stop.store(true, Ordering::Relaxed);
                sum.case = Some(Case { number: seed, choices: recorded(seed, sabotage), violation });
            }
        }
    })
}

fn lived(seed: u64, sabotage: Option<Sabotage>, twice: bool) -> Report {
    if twice { check_twice(seed, sabotage) } else { check(Kind::Swarm, &mut Seeded::new(seed), sabotage) }
}

fn recorded(seed: u64, sabotage: Option<Sabotage>) -> Recorded {
    let mut seeded = Seeded::new(seed);
    let mut recorder = Recorder::new(&mut seeded);
    let _ = check(Kind::Swarm, &mut recorder, sabotage);
    recorder.into_recorded()
}

fn enumerated(args: &Args, sabotage: Option<Sabotage>) -> Sum {
    let next = AtomicU64::new(0);
    in_threads(args, |stop, sum| {
        loop {
            let shape = next.fetch_add(1, Ordering::Relaxed);
            if shape >= Scenario::SMALL_SHAPES || stop.load(Ordering::Relaxed) {
                return;
            }
            enumerate(shape, sabotage, |report, choices| {
                sum.add(report);
                if let Some(violation) = &report.violation {
                    stop.store(true, Ordering::Relaxed);
                    let (number, violation) = (sum.schedules, violation.clone());
                    sum.case = Some(Case { number, choices: choices(), violation });
                }
                !stop.load(Ordering::Relaxed)
            });
        }
    })
}

/// Each planted bug until it is found: how many schedules that took, and what found it.
#[expect(clippy::print_stdout, reason = "a program that prints what it found")]
fn find_all(args: &Args) -> ExitCode {
    println!("| planted bug | budget | found after, median of 5 | most | found by |\n|---|---|---|---|---|");
    let mut all_found = true;
    for &bug in Sabotage::ALL {
        let found: Vec<(u64, Violation)> =
            (0..5).filter_map(|round| find(bug, args.seed + round * 1_000_000)).collect();
        let mut after: Vec<u64> = found.iter().map(|(after, _)| *after).collect();
        after.sort_unstable();
        let mut by: Vec<&str> = found.iter().map(|(_, violation)| violation.invariant.name()).collect();
        by.sort_unstable();
        by.dedup();
        let named = found.iter().all(|(_, violation)| bug.found_by().contains(&violation.invariant));
        all_found &= found.len() == 5 && named;
        let [median, most] = [after.get(after.len() / 2), after.last()]
            .map(|number| number.map_or("not found".to_owned(), u64::to_string));
        println!("| `{bug}` | {} | {median} | {most} | {} |", bug.budget(), by.join(", "));
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn find(bug: Sabotage, first: u64) -> Option<(u64, Violation)> {
    (0..bug.budget()).find_map(|number| {
        let violation = check_twice(first + number, Some(bug)).violation?;
        Some((number + 1, violation))
    })
}

#[expect(clippy::print_stdout, reason = "a program that prints what it found")]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print(sum: &Sum, took: Duration) {
    let per = |count: u64| count as f64 / sum.schedules.max(1) as f64;
    let seconds = took.as_secs_f64();
    println!(
        "schedules={} seconds={seconds:.1} schedules_per_s={:.0} components_per_schedule={:.1} steps_per_schedule={:.1}",
        sum.schedules,
        sum.schedules as f64 / seconds,
        per(sum.components),
        per(sum.steps),
    );
    for &fault in Fault::ALL {
        println!(
            "fault {} count={} per_schedule={:.4}",
            fault.name(),
            sum.faults.of(fault),
            per(sum.faults.of(fault))
        );
    }
    let (total, missing) = sum.coverage.missing();
    println!("coverage pairs={} of={total}", total - missing.len());
    for (status, met) in missing {
        println!("coverage missing {status:?} {met:?}");
    }
    for (status, met) in sum.coverage.unexpected() {
        println!("coverage listed as impossible, and seen {status:?} {met:?}");
    }
    println!("violations={}", u8::from(sum.case.is_some()));
}
