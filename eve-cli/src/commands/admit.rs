//! What a cluster at hand refuses of a checked input, before the first write; with the places in the text.

use std::sync::Arc;

use eve_core::failure::{Failure, FailureClass};
use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::plan::problem::PlanProblem;
use eve_k8s::{Followed, KubeExecutor};

use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::Checked;
use crate::output::{Printer, clean, style};
use crate::wiring::Connected;

/// The cluster, if it serves everything in the graph of this input and all of it may be touched.
pub(super) fn admit(connected: Connected, checked: &Checked, graph: &Graph) -> Result<Connected, Halt> {
    refused(&checked.plan, &connected.preflight(graph)).map(|()| connected)
}

/// What is refused of a plan, all at once.
pub(super) fn refused(plan: &Loaded, problems: &[PlanProblem]) -> Result<(), Halt> {
    if problems.is_empty() { Ok(()) } else { Err(refusal(plan, problems, Vec::new())) }
}

/// All that is refused of a plan, with others that were found of it.
pub(super) fn refusal(plan: &Loaded, problems: &[PlanProblem], mut others: Vec<Diagnostic>) -> Halt {
    others.extend(problems.iter().map(|problem| plan.diagnose_executor(problem)));
    Halt::problems(plan.diagnostics(others))
}

/// Refuses namespaces that are being deleted; says which of them the input itself makes, and are waited for.
pub(super) async fn leaving(
    executor: &KubeExecutor,
    graph: &Arc<Graph>,
    followed: Followed,
    printer: &Printer,
) -> Result<(), Halt> {
    let awaited = executor.leaving_namespaces(graph, followed).await.map_err(halt)?;
    for cause in awaited.iter().filter(|_| !printer.is_quiet()) {
        printer.err(&format!("{}: {}", style::warning("warning"), clean(&cause.message)));
    }
    Ok(())
}

fn halt(failure: Failure) -> Halt {
    let exit = if failure.class == FailureClass::Transient { Exit::Cluster } else { Exit::Refused };
    Halt::error(exit, failure.message).with_notes(failure.notes).with_hint(failure.hint)
}
