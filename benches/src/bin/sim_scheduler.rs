//! Simulates schedulers under faults, and prints what was found.
//!
//! `cargo run --release -p eve-benches --bin sim-scheduler -- --schedules 100000`

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use eve_core::testing::sim::Seeded;
use eve_core::testing::sim_scheduler::{Sabotage, check, check_twice};

/// Every so many seeds, one is run twice and must come to the same.
const TWICE_EVERY: u64 = 16;
/// From how many first seeds each planted bug is searched for.
const SEARCHES: u64 = 5;

/// Simulates schedulers under faults; ends with status 1 if an invariant did not hold.
#[derive(Parser)]
struct Args {
    /// How many schedules.
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Search for each planted bug instead, until it is found.
    #[arg(long)]
    sabotage: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.sabotage { search() } else { swarm(&args) }
}

#[expect(clippy::print_stdout, reason = "a program that prints figures")]
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn swarm(args: &Args) -> ExitCode {
    let begun = Instant::now();
    let (mut requests, mut processes, mut faults, mut steps) = (0, 0, 0, 0);
    for seed in args.seed..args.seed.saturating_add(args.schedules) {
        let twice = seed % TWICE_EVERY == 0;
        let report = if twice { check_twice(seed, None) } else { check(&mut Seeded::new(seed), None) };
        if let Some(violation) = report.violation {
            println!("seed={seed} violated={} what={}", violation.invariant, violation.what);
            return ExitCode::FAILURE;
        }
        requests += report.requests as u64;
        processes += u64::from(report.processes);
        faults += report.faults;
        steps += report.steps;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "schedules={} seconds={seconds:.1} schedules_per_s={:.0} requests={requests} processes={processes} faults={faults} \
         steps={steps} violations=0",
        args.schedules,
        args.schedules as f64 / seconds,
    );
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "a program that prints figures")]
fn search() -> ExitCode {
    let mut missed = false;
    for &bug in Sabotage::ALL {
        let mut found = Vec::new();
        let mut by = std::collections::BTreeSet::new();
        for search in 0..SEARCHES {
            let seeds = search * 1_000_000..search * 1_000_000 + bug.budget();
            let hit = (1..).zip(seeds).find_map(|(count, seed)| {
                check(&mut Seeded::new(seed), Some(bug)).violation.map(|violation| (count, violation))
            });
            if let Some((count, violation)) = hit {
                found.push(count);
                by.insert(violation.invariant.name());
            }
        }
        found.sort_unstable();
        let median = found.get(found.len() / 2).copied().unwrap_or(0);
        let most = found.last().copied().unwrap_or(0);
        let by: Vec<&str> = by.into_iter().collect();
        println!("| `{bug}` | {} | {median} | {most} | {} |", bug.budget(), by.join(", "));
        missed |= found.len() as u64 != SEARCHES;
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
