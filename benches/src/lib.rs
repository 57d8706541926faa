//! What every bench of the engine does: a graph of a shape, driven to its end with no world behind it. [`hop`] is what
//! the bench on a real control plane does.

use std::sync::Arc;

use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::plan::limits::Limits;
use eve_core::plan::problem::PlanProblem;
use eve_core::run::{
    Applied, Change, Command, Input, Outcome, Outputs, Phase, PhaseEnd, Prepared, Record, Run, RunOptions,
    UndoReport,
};
use eve_core::testing::{Shape, ShapedPlan};
use eve_core::time::Timestamp;

pub mod hop;
pub mod memory;

/// The graph of a plan of this shape, without a limit on its size.
///
/// # Errors
/// As [`Graph::from_plan`].
pub fn graph(shape: Shape, components: usize) -> Result<Arc<Graph>, Vec<PlanProblem>> {
    let mut limits = Limits::default();
    limits.components_max = components.max(1);
    limits.edges_max = components.saturating_mul(3).max(1);
    Graph::from_plan_within(&ShapedPlan::new(shape, components), &limits).map(Arc::new)
}

/// What a bare run came to.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its whole log.
    pub records: Vec<Record>,
}

/// Drives a run by hand: every call ends at once, as an embedder's executor with only `apply` would end it, and every
/// record is kept.
pub fn bare(graph: Arc<Graph>) -> Finished {
    let mut now = Timestamp::EPOCH;
    let mut records = Vec::new();
    let mut run = Run::new(graph, RunOptions::default(), RunId::new("bench"), now);
    loop {
        while let Some(record) = run.poll_event() {
            records.push(record);
        }
        let mut ended = Vec::new();
        while let Some(command) = run.poll_command() {
            if let Command::Call { component, attempt, phase, .. } = command {
                let end = match phase {
                    Phase::Prepare => PhaseEnd::Prepare(Ok(Prepared::new(Change::Unknown))),
                    Phase::Apply => PhaseEnd::Apply(Ok(Applied::new(Change::Create))),
                    Phase::Wait => PhaseEnd::Wait(Ok(Outputs::NONE)),
                    Phase::Verify => PhaseEnd::Verify(Ok(())),
                    Phase::Undo => PhaseEnd::Undo(Ok(UndoReport::new(Change::None))),
                };
                ended.push(Input::Ended { component, attempt, end });
            }
        }
        if run.outcome().is_some() || ended.is_empty() {
            return Finished { outcome: run.outcome(), records };
        }
        for input in ended {
            now = Timestamp::from_micros(now.as_micros() + 1);
            run.handle(input, now);
        }
    }
}
