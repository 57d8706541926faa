//! What the most expensive expressions cost before they are refused.
//!
//! `cargo run --release -p eve-benches --bin hostile`. Exits with 1 when one takes longer, or more memory, than the goal.
//! The goals are absolute, and stand in this program alone: the tests of expressions count steps and bytes instead.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use eve_benches::memory::peak_bytes;
use eve_core::expr::{Budget, DEPTH_MAX, EXPRESSION_BYTES_MAX, Expression, Names, Root};
use eve_core::testing::hostile::{GREEDY, inputs};

/// The goals: an expression is refused, or ends with an error, within this.
const TIME_MAX: Duration = Duration::from_millis(100);
/// And so many bytes more than before it.
const BYTES_MAX: u64 = 64 << 20;

/// How often each is judged. The fastest time counts: what else the machine does at the same time is not its own.
const TIMES: usize = 5;

/// Deep nesting and long chains.
fn nested() -> Vec<String> {
    let pairs = [("(", ")"), ("[", "]"), ("{'a':", "}"), ("size(", ")"), ("1?(", "):1"), ("[1].map(x,", ")")];
    let deep = pairs.iter().flat_map(|(open, close)| {
        [DEPTH_MAX - 4, 200].map(|times| format!("{}1{}", open.repeat(times), close.repeat(times)))
    });
    let openings = ["(", "[", "{", "-", "!", "'", "{1:", "1?(", "has(", "([{"];
    let endless = openings.iter().map(|sign| sign.repeat(EXPRESSION_BYTES_MAX / sign.len()));
    deep.chain(endless).collect()
}

/// How long one takes until it is refused or has ended, and whether it was refused.
fn judge(text: &str, names: &Names<'_>) -> (Duration, bool) {
    let mut fastest = Duration::MAX;
    let mut refused = false;
    for _ in 0..TIMES {
        let begun = Instant::now();
        let value = Expression::parse(text, &Root::ALL)
            .and_then(|expression| expression.evaluate(names, &mut Budget::PLAN.clone()));
        fastest = fastest.min(begun.elapsed());
        refused = value.is_err();
    }
    (fastest, refused)
}

fn main() -> anyhow::Result<ExitCode> {
    let inputs = inputs();
    let names = Names::new().with(Root::Inputs, &inputs);
    let all: Vec<String> = GREEDY.iter().map(|text| (*text).to_owned()).chain(nested()).collect();
    let before = peak_bytes().unwrap_or_default();
    let mut slowest = (Duration::ZERO, "");
    let mut refused = 0;
    for text in &all {
        let (took, is_refused) = judge(text, &names);
        refused += usize::from(is_refused);
        if took > slowest.0 {
            slowest = (took, text);
        }
    }
    let grown = peak_bytes().unwrap_or_default().saturating_sub(before);
    let mut out = std::io::stdout();
    writeln!(out, "expressions={} refused={refused}", all.len())?;
    writeln!(out, "slowest_ms={:.1} of={:.60}", slowest.0.as_secs_f64() * 1e3, slowest.1)?;
    writeln!(out, "memory_mb={:.1}", to_mb(grown))?;
    ensure!(refused >= GREEDY.len(), "an expression of the corpus is no longer hostile");
    Ok(if slowest.0 <= TIME_MAX && grown <= BYTES_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn to_mb(bytes: u64) -> f64 {
    u32::try_from(bytes >> 10).map_or(f64::INFINITY, |kib| f64::from(kib) / 1024.0)
}
