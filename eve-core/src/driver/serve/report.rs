//! What the components of a run that is over have to say, from what is known of it.

use crate::failure::Failure;
use crate::ids::ComponentId;
use crate::ports::{ComponentEnd, ComponentNotice, Told};
use crate::run::{ComponentStatus, Run, RunView, UndoStatus};
use crate::scheduler::Report;

/// The output in which a component publishes what it has to say: a list of texts, as components of kind `function` do.
const MESSAGES: &str = "messages";
/// The output that says that further messages were not kept.
const CUT: &str = "cut";

/// The code of what a rollback has left alone.
const KEPT: &str = "run.undo.kept";

/// What is said of a component that nobody looked at again.
const UNSEEN: &str =
    "it may have been written all the same: nobody has looked since an earlier write of it may have begun";

/// The components of a run that is over.
pub(super) fn report(run: &Run) -> Report {
    let (graph, view) = (run.graph(), run.view());
    let told = |wanted: fn(ComponentEnd) -> bool| {
        // Joins hold the parts of components together; nobody wrote them.
        let own = graph.ids().filter(|id| !graph.node(*id).action().is_join());
        let ends = own.filter_map(move |id| Some((id, end(view, id)?)));
        ends.filter(move |(_, state)| wanted(*state)).map(move |(id, state)| ComponentNotice {
            name: graph.node(id).name().to_owned(),
            state,
            failure: failure(view, id, state).map(Told::from).or_else(|| kept(run, id)),
            messages: messages(view, id, state),
        })
    };
    let failed = told(|state| matches!(state, ComponentEnd::Failed | ComponentEnd::NotUndone));
    let spoke = told(|state| state == ComponentEnd::Succeeded);
    let skipped = told(|state| state == ComponentEnd::Skipped);
    Report::new(failed.chain(spoke.filter(|component| !component.messages.is_empty())).chain(skipped))
}

/// What became of a component, where it is worth a word.
fn end(view: RunView<'_>, id: ComponentId) -> Option<ComponentEnd> {
    if matches!(view.undo_status(id), UndoStatus::Failed | UndoStatus::Kept) {
        return Some(ComponentEnd::NotUndone);
    }
    match view.status(id) {
        ComponentStatus::Failed => Some(ComponentEnd::Failed),
        ComponentStatus::Ready => Some(ComponentEnd::Succeeded),
        ComponentStatus::Skipped => Some(ComponentEnd::Skipped),
        ComponentStatus::Blocked
        | ComponentStatus::Runnable
        | ComponentStatus::Applying
        | ComponentStatus::Waiting
        | ComponentStatus::Cancelled => None,
    }
}

fn failure(view: RunView<'_>, id: ComponentId, state: ComponentEnd) -> Option<&Failure> {
    match state {
        ComponentEnd::NotUndone => view.undo_failure(id),
        ComponentEnd::Failed => view.failure(id),
        ComponentEnd::Succeeded | ComponentEnd::Skipped => None,
    }
}

/// Why a rollback has left it alone, if it has.
fn kept(run: &Run, id: ComponentId) -> Option<Told> {
    let because = run.view().kept_because(id)?;
    let message = because.told(|other| run.graph().node(other).name().to_owned());
    Some(Told { code: KEPT.to_owned(), message })
}

/// What it had to say: the evidence of its failure, or its messages.
fn messages(view: RunView<'_>, id: ComponentId, state: ComponentEnd) -> Vec<String> {
    let outputs = view.outputs(id);
    let said = outputs.get(MESSAGES).and_then(serde_json::Value::as_array).into_iter().flatten();
    let said = said.map(|message| message.as_str().map_or_else(|| message.to_string(), str::to_owned));
    let cut = outputs.get(CUT).and_then(serde_json::Value::as_bool).unwrap_or(false);
    let cut = cut.then(|| "further messages were not kept".to_owned());
    let forward = (state == ComponentEnd::NotUndone && view.status(id) == ComponentStatus::Failed)
        .then(|| view.failure(id))
        .flatten();
    let evidence = failure(view, id, state).into_iter().flat_map(|failure| failure.notes.iter().cloned());
    let is_unseen = state == ComponentEnd::Skipped
        && view.is_touched(id)
        && view.undo_status(id) == UndoStatus::Untouched;
    let unseen = is_unseen.then(|| UNSEEN.to_owned());
    let own = forward.map(ToString::to_string).into_iter().chain(evidence).chain(said);
    own.chain(cut).chain(unseen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;
    use crate::run::{Event, Input, RunOptions, StopMode};
    use crate::testing::{sample_announced, sample_rollback_graph};

    #[test]
    fn what_was_skipped_and_may_have_been_written_is_said_to_be_so() {
        let (graph, log) = (sample_rollback_graph(), sample_announced());
        let first = log.iter().position(|record| matches!(record.event, Event::Announced { .. })).unwrap();
        let (id, begun, now) = (RunId::new("run-1"), &log[..=first], log[first].at);
        let mut run = Run::resume(graph, RunOptions::default(), id, begun, now).unwrap();
        run.handle(Input::Stop { mode: StopMode::Now }, now);
        let told = |name: &str| messages(run.view(), run.graph().find(name).unwrap(), ComponentEnd::Skipped);
        assert_eq!((told("web"), told("announce")), (vec![UNSEEN.to_owned()], Vec::new()));
    }
}
