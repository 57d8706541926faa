//! What a cluster at hand refuses of a checked input, before the first write; with the places in the text.

use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::plan::problem::{PlanProblem, SpecProblem};

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
    let list = problems.iter().map(|problem| diagnose_spec(plan, problem)).collect();
    Err(Halt::problems(plan.diagnostics(list)))
}

/// Problems of executors point into the spec of a component, which may be a part of what stands in the text.
fn diagnose_spec(plan: &Loaded, problem: &PlanProblem) -> Diagnostic {
    let Some(component) = &problem.component else { return plan.diagnose_plan(problem) };
    let spec = SpecProblem::new(problem.code.clone(), problem.pointer.clone(), problem.message.clone());
    let spec = match &problem.hint {
        Some(hint) => spec.with_hint(hint.clone()),
        None => spec,
    };
    plan.diagnose_spec(component, &spec)
}
