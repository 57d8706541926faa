//! What must hold of many runs on any machine, judged by comparing sizes: no figure of it is a time.
//!
//! Each size is measured in a process of its own, since the kernel tells the peak of a process alone.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

/// How many plans, and how many of them in the smaller size.
const MANY: u32 = 10_000;
const FEW: u32 = 2_500;
/// How much more memory each may need where there are more of them.
const GROWTH_MAX: f64 = 1.25;
/// How many runs come to their end one after another, with few others that wait: the ledger is compacted several times, or many.
const OVER: [u32; 2] = [5_000, 20_000];
/// How much more memory may be used after four times as many. Of the same plans that wait, and a fifth more that are
/// remembered, now the one and now the other are at their peak; what is kept for good makes it three times as much.
const OVER_MAX: f64 = 1.5;
/// How many runs at once where their number is not measured.
const USUAL: u32 = 16;
/// How often a namespace with many plans may come before one that waits, by the rule of the scheduler.
const OVERTAKEN_MAX: f64 = 1.0;

/// One rule, what was found, and how much it may be.
struct Finding {
    rule: &'static str,
    found: f64,
    most: f64,
}

#[expect(clippy::print_stdout, reason = "a program that prints figures")]
pub(crate) fn judge() -> anyhow::Result<ExitCode> {
    let mut findings = memory()?;
    // The others come a few at a time, while the crowd is there.
    let crowd = measure(&["--runs", "1000", "--crowd", "1000", "--window", "1004", "--parallel", "1"])?;
    findings.push(Finding {
        rule: "runs of a namespace with 1,000 plans while another with one waits",
        found: figure(&crowd, "overtaken_max")?,
        most: OVERTAKEN_MAX,
    });
    let mut is_met = true;
    for Finding { rule, found, most } in findings {
        let is_this_met = found.is_finite() && found <= most;
        is_met &= is_this_met;
        println!("{}: {found:.2} of at most {most:.2}: {rule}", if is_this_met { "met" } else { "not met" });
    }
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What memory must be linear in, and what it must not grow with.
#[expect(clippy::print_stdout, reason = "a program that prints figures")]
fn memory() -> anyhow::Result<Vec<Finding>> {
    let base = peak(USUAL, USUAL, USUAL)?;
    let waits = peak(FEW, FEW, USUAL)?;
    let waiting = |count| anyhow::Ok((peak(count, count, USUAL)? - base) / f64::from(count));
    let live = |parallel| anyhow::Ok((peak(FEW, FEW, parallel)? - waits) / f64::from(parallel - USUAL));
    let ((few, many), (some, all)) = ((waiting(FEW)?, waiting(MANY)?), (live(250)?, live(1_000)?));
    ensure!(few > 0.0 && some > 0.0, "the sizes are too small to tell what each takes");
    println!(
        "KiB: base {base:.0}; a plan that waits {few:.1} to {many:.1}; a run that is live {some:.1} to {all:.1}"
    );
    let [over, longer] = OVER.map(|count| peak(count, FEW, USUAL));
    Ok(vec![
        Finding {
            rule: "memory of a plan that waits, of 10,000 by 2,500",
            found: many / few,
            most: GROWTH_MAX,
        },
        Finding {
            rule: "memory of a run that is live, of 1,000 by 250",
            found: all / some,
            most: GROWTH_MAX,
        },
        Finding {
            rule: "memory with runs that are over, of 20,000 by 5,000",
            found: (longer? - base) / (over? - base),
            most: OVER_MAX,
        },
    ])
}

/// The most memory, in KiB, of so many plans, of which so many are unanswered and live at once.
fn peak(runs: u32, window: u32, parallel: u32) -> anyhow::Result<f64> {
    let [runs, window, parallel] = [runs, window, parallel].map(|number| number.to_string());
    let figures = measure(&["--runs", &runs, "--window", &window, "--parallel", &parallel])?;
    ensure!(figure(&figures, "live_max")? <= parallel.parse()?, "more runs at once than allowed");
    figure(&figures, "peak_kib")
}

/// The figures that this program prints when it is called so.
#[expect(clippy::print_stdout, reason = "a program that prints figures")]
fn measure(arguments: &[&str]) -> anyhow::Result<BTreeMap<String, f64>> {
    let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?} ended with {}: {complaint}", output.status);
    println!("{}", text.trim_end());
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    Ok(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
}

fn figure(figures: &BTreeMap<String, f64>, name: &str) -> anyhow::Result<f64> {
    figures.get(name).copied().with_context(|| format!("there is no figure `{name}`"))
}
