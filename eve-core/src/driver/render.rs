//! Renders the spec of a component before a call of its executor: from outputs that are stored, and secrets that are not.

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::plan::Action;
use crate::plan::expressions::{Known, RenderError};
use crate::plan::graph::Source;
use crate::ports::Step;
use crate::run::{Change, ComponentStatus, Phase, PhaseEnd, Prepared, RunView};
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
        // What was there before is put back from what was kept of it.
        Err(_) if phase == Phase::Undo => Ok(step),
        Err(error) => Err(PhaseEnd::failed(phase, failure(&error))),
    }
}

fn failure(error: &RenderError) -> Failure {
    let failure = Failure::permanent(error.error.kind.code(), error.to_string());
    match &error.error.hint {
        Some(hint) => failure.with_hint(hint.clone()),
        None => failure,
    }
}
