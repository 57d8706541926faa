//! A simulator for schedulers: the real [`Scheduler`](crate::scheduler::Scheduler) in a world where everything that can go
//! wrong does, and that is the same every time.
//!
//! ```text
//!   Choices ──▶ Scenario: requests, options, faults
//!      │             │
//!      └──────────▶ Sim: virtual time ─ queue with redelivery and ghosts ─ receivers ─ processes that die or stand still
//!                    │ every step
//!                    └──▶ what the durable records say, against what reaches the world ──▶ Report
//! ```
//!
//! What must hold is named in [`Invariant`]; that it is found when it does not is proved with [`Sabotage`].
//!
//! What is real here: the scheduler and the form of its ledger. The loop around it is the simulator's own copy of the
//! driver's, an append is all or nothing at once, and a run is a time and an outcome: what lies below is simulated in
//! [`sim`](super::sim).

mod checks;
mod invariants;
mod process;
mod queue;
mod sabotage;
mod scenario;
#[cfg(test)]
mod tests;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use checks::Violation;
pub use invariants::Invariant;
pub use sabotage::Sabotage;

use super::sabotage::words_of;
use super::sim::{Choices, Seeded};
use scenario::Scenario;
use world::Sim;

/// What a schedule came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// How many requests were sent.
    pub requests: usize,
    /// How many processes there were.
    pub processes: u32,
    /// How often something went wrong.
    pub faults: u64,
    /// How many times something happened.
    pub steps: u64,
    /// The same for the same schedule, and for hardly any other.
    pub trace_hash: u64,
}

/// A whole schedule of these choices: what is sent is drawn, and lived through.
pub fn check(choices: &mut dyn Choices, sabotage: Option<Sabotage>) -> Report {
    let scenario = Scenario::drawn(choices);
    let mut sim = Sim::new(&scenario, choices, sabotage);
    let lived = catch_unwind(AssertUnwindSafe(|| sim.live()));
    let violation = match lived {
        Ok(lived) => lived.err(),
        Err(panic) => Some(Violation { invariant: Invariant::NoPanic, what: words_of(&*panic) }),
    };
    Report {
        violation,
        requests: scenario.sent.len(),
        processes: sim.epoch,
        faults: sim.faults,
        steps: sim.steps,
        trace_hash: sim.hash,
    }
}

/// A schedule of this seed, lived through twice, which must come to the same: [`Invariant::Deterministic`].
pub fn check_twice(seed: u64, sabotage: Option<Sabotage>) -> Report {
    let report = check(&mut Seeded::new(seed), sabotage);
    let again = check(&mut Seeded::new(seed), sabotage);
    if report.violation.is_some() || again.trace_hash == report.trace_hash {
        return report;
    }
    let what = format!("seed {seed} came to {:x}, then to {:x}", report.trace_hash, again.trace_hash);
    Report { violation: Some(Violation { invariant: Invariant::Deterministic, what }), ..report }
}
