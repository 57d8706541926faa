//! What a cluster at hand refuses of a checked input, before the first write; with the places in the text.

use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::plan::problem::PlanProblem;

use crate::halt::Halt;
use crate::inputs::Checked;
use crate::wiring::Connected;

/// The cluster, if it serves everything in the graph of this input and all of it may be touched.
pub(super) fn admit(connected: Connected, checked: &Checked, graph: &Graph) -> Result<Connected, Halt> {
    match connected.preflight(graph) {
        problems if problems.is_empty() => Ok(connected),
        problems => Err(refusal(&checked.plan, &problems, Vec::new())),
    }
}

/// All that is refused of a plan, with others that were found of it.
pub(super) fn refusal(plan: &Loaded, problems: &[PlanProblem], mut others: Vec<Diagnostic>) -> Halt {
    others.extend(problems.iter().map(|problem| plan.diagnose_executor(problem)));
    Halt::problems(plan.diagnostics(others))
}
