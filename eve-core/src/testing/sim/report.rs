//! A schedule from its choices to its report.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use super::choices::{Choices, Enumerated, Recorded, Recorder, Seeded};
use super::coverage::Coverage;
use super::faults::Tally;
use super::invariants::{Invariant, Violation};
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use super::world::Sim;
use crate::run::Outcome;
use crate::testing::sabotage::words_of;
use crate::time::Timestamp;

/// What a schedule came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// How the run ended; `None` when its log was damaged and that was noticed, or when something was wrong.
    pub outcome: Option<Outcome>,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// How often each fault happened.
    pub faults: Tally,
    /// Which inputs met which states.
    pub coverage: Coverage,
    /// How many times something happened.
    pub steps: u64,
    /// How many components the plan has.
    pub components: usize,
    /// The same for the same schedule, and for hardly any other.
    pub trace_hash: u64,
    /// What happened, line by line; only from [`traced`].
    pub trace: Vec<String>,
}

/// What plans are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plans of 2 to 40 components with everything that can go wrong.
    Swarm,
    /// Plans of 4 components, for enumeration: one crash and one stop at most.
    Small,
}

impl Kind {
    fn scenario(self, choices: &mut dyn Choices) -> Scenario {
        match self {
            Self::Swarm => Scenario::drawn(choices),
            Self::Small => Scenario::small(choices),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Swarm => "swarm",
            Self::Small => "small",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "swarm" => Ok(Self::Swarm),
            "small" => Ok(Self::Small),
            other => Err(format!("`{other}` is no kind of plan; there are swarm and small")),
        }
    }
}

/// A whole schedule of these choices: the plan is drawn, and lived through.
pub fn check(kind: Kind, choices: &mut dyn Choices, sabotage: Option<Sabotage>) -> Report {
    let scenario = kind.scenario(choices);
    run(&scenario, choices, sabotage, Trace::default())
}

/// [`check`] with a trace.
pub fn traced(kind: Kind, choices: &mut dyn Choices, sabotage: Option<Sabotage>) -> Report {
    let scenario = kind.scenario(choices);
    run(&scenario, choices, sabotage, Trace { lines: Some(Vec::new()), ..Trace::default() })
}

/// Lives through this scenario.
pub fn simulate(scenario: &Scenario, choices: &mut dyn Choices, sabotage: Option<Sabotage>) -> Report {
    run(scenario, choices, sabotage, Trace::default())
}

fn run(scenario: &Scenario, choices: &mut dyn Choices, sabotage: Option<Sabotage>, trace: Trace) -> Report {
    let mut sim = Sim::new(scenario, choices, sabotage, trace);
    let lived = catch_unwind(AssertUnwindSafe(|| sim.live()));
    let violation = match lived {
        Ok(lived) => lived.err(),
        Err(panic) => Some(Violation { invariant: Invariant::NoPanic, what: words_of(&*panic) }),
    };
    Report {
        outcome: sim.told.filter(|_| violation.is_none()),
        violation,
        faults: sim.tally,
        coverage: sim.coverage,
        steps: sim.steps,
        components: scenario.graph.len(),
        trace_hash: sim.trace.hash,
        trace: sim.trace.lines.take().unwrap_or_default(),
    }
}

/// Every crash and every stop of this shape of four components, one after the other, each with a way to its choices;
/// `false` from `seen` ends it.
pub fn enumerate(
    shape: u64,
    sabotage: Option<Sabotage>,
    mut seen: impl FnMut(&Report, &dyn Fn() -> Recorded) -> bool,
) {
    let mut choices = Enumerated::within(&[shape]);
    loop {
        let report = check(Kind::Small, &mut choices, sabotage);
        let again = || {
            let mut choices = choices.again();
            let mut recorder = Recorder::new(&mut choices);
            let _ = check(Kind::Small, &mut recorder, sabotage);
            recorder.into_recorded()
        };
        if !seen(&report, &again) || !choices.advance() {
            return;
        }
    }
}

/// A swarm schedule of this seed, lived through twice, which must come to the same: [`Invariant::Deterministic`].
pub fn check_twice(seed: u64, sabotage: Option<Sabotage>) -> Report {
    let report = check(Kind::Swarm, &mut Seeded::new(seed), sabotage);
    if report.violation.is_some() {
        return report;
    }
    let again = check(Kind::Swarm, &mut Seeded::new(seed), sabotage);
    if again.trace_hash == report.trace_hash {
        return report;
    }
    let what = format!("seed {seed} came to {:x}, then to {:x}", report.trace_hash, again.trace_hash);
    Report { violation: Some(Violation { invariant: Invariant::Deterministic, what }), ..report }
}

/// What is wrong with the log of a run that is over, as far as the records alone tell.
#[cfg(test)]
pub(crate) fn judged(
    graph: std::sync::Arc<crate::plan::graph::Graph>,
    options: crate::run::RunOptions,
    log: &[crate::run::Record],
) -> Result<(), Violation> {
    super::invariants::log_is_lawful(super::invariants::Model::new(graph, options), log)
}

/// What happened: as a number, and where it is wanted as text.
#[derive(Debug, Default)]
pub(super) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Something happened; `what` tells kinds apart.
    pub(super) fn note(&mut self, at: Timestamp, what: u64, text: impl FnOnce() -> String) {
        for word in [at.as_micros(), what] {
            // FNV-1a over words (Fowler, Noll, Vo), which is enough to tell schedules apart.
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at} {}", text()));
        }
    }
}
