//! What a cluster at hand refuses of a checked input, before the first write; with the places in the text.

use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::plan::problem::PlanProblem;

use crate::halt::Halt;
use crate::inputs::Checked;
use crate::wiring::Connected;

/// The cluster, if it serves everything in the graph of this input and all of it may be touched.
pub(super) fn admit(connected: Connected, checked: &Checked, graph: &Graph) -> Result<Connected, Halt> {
    refused(&checked.plan, &connected.preflight(graph)).map(|()| connected)
}

/// What is refused of a plan, all at once.
pub(super) fn refused(plan: &Loaded, problems: &[PlanProblem]) -> Result<(), Halt> {
    if problems.is_empty() {
        return Ok(());
    }
    let list = problems.iter().map(|problem| plan.diagnose_executor(problem)).collect();
    Err(Halt::problems(plan.diagnostics(list)))
}
