//! Renders the spec of a component before a call of its executor: from outputs that are stored, and secrets that are not.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::plan::Action;
use crate::plan::expressions::{Expressions, Known, RenderError};
use crate::plan::graph::Source;
use crate::ports::Step;
use crate::run::{Change, ComponentStatus, Phase, PhaseEnd, Prepared, RunView, UndoStatus};
use crate::secret::Secrets;

/// The step with its spec rendered, or the end of the phase that needs no call of an executor: a failure, or, where
/// something is missing that is still to come, a finding that nothing can be told yet.
pub(super) fn rendered(
    step: Step,
    phase: Phase,
    view: &RunView<'_>,
    secrets: &Secrets,
) -> Result<Step, PhaseEnd> {
    let node = view.graph().node(step.component());
    let Some(expressions) = node.expressions().filter(|_| node.action() != Action::Delete) else {
        return Ok(step);
    };
    let is_ready = |source: &Source| view.status(source.component) == ComponentStatus::Ready;
    if phase == Phase::Prepare && !node.sources().iter().all(is_ready) {
        return Err(PhaseEnd::Prepare(Ok(Prepared::new(Change::Unknown))));
    }
    let mut components = Map::new();
    for source in node.sources() {
        let mut outputs = Map::new();
        for (name, value) in source.parts.iter().flat_map(|part| view.outputs(*part).iter()) {
            if !outputs.contains_key(name) {
                outputs.insert(name.to_owned(), value.clone());
            }
        }
        components.insert(source.name.to_string(), Value::Object(outputs));
    }
    let components = Value::Object(components);
    let known = Known { run: step.run().as_str(), components: &components, secrets };
    match expressions.render(node.spec(), known) {
        Ok(spec) => Ok(step.with_rendered(spec)),
        // What was there before is put back, and looked at, by what was kept of it.
        Err(_) if phase == Phase::Undo || is_undone(view, &step) => Ok(step),
        Err(error) => Err(PhaseEnd::failed(phase, failure(&error))),
    }
}

fn is_undone(view: &RunView<'_>, step: &Step) -> bool {
    view.undo_status(step.component()) == UndoStatus::Undone
}

/// The step of a component as its first call would have it, where that can be told before the run: not rendered where its spec
/// waits for what others put out, or names the run. For whoever looks ahead, and records nothing.
///
/// # Errors
/// Its spec can never be rendered.
pub fn foresee(step: Step, secrets: &Secrets) -> Result<Step, Failure> {
    let node = step.graph().node(step.component());
    let told = |expressions: &&Arc<Expressions>| expressions.sources().is_empty() && !expressions.use_run();
    let Some(expressions) = node.expressions().filter(told) else { return Ok(step) };
    if node.action() == Action::Delete {
        return Ok(step);
    }
    let components = Value::Object(Map::new());
    let known = Known { run: "", components: &components, secrets };
    let spec = expressions.render(node.spec(), known).map_err(|error| failure(&error))?;
    Ok(step.with_rendered(spec))
}

fn failure(error: &RenderError) -> Failure {
    let failure = Failure::permanent(error.error.kind.code(), error.to_string());
    match &error.error.hint {
        Some(hint) => failure.with_hint(hint.clone()),
        None => failure,
    }
}
