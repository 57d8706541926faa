//! What stands in the way of an undo, in words. Pure. Names fields and managers, never a value.

use eve_core::failure::Failure;
use eve_core::few::few;
use serde_json::Value;

use super::prepare::Mark;
use crate::client::Location;
use crate::fields::{Entry, Paths};
use crate::labels::fnv;
use crate::owned;
use crate::restore::Conflict;

const HINT: &str = "put it right by hand, or leave it as it is; `eve rollback` looks at it again";

/// What the run did with an object that somebody else had made meanwhile.
pub(super) const FORCED: &str = "was made by somebody else while the run went on, and the run took fields of it by force: what they were is not known";

/// Somebody did something with the whole object.
pub(super) fn conflict(place: &Location, what: &str) -> Failure {
    Failure::permanent("k8s.undo.conflict", format!("{place} {what}")).with_hint(HINT)
}

/// Somebody changed fields that the run had written, or is to put back.
pub(super) fn of_fields(place: &Location, conflicts: &[Conflict]) -> Failure {
    let (fields, who, first) = told(conflicts);
    let message =
        format!("{place}: {fields} changed by {who} since, first `{first}`; nothing is overwritten");
    noted(Failure::permanent("k8s.undo.conflict", message).with_hint(HINT), conflicts)
}

/// The run made it, and it would take with it what others have written into it since.
pub(super) fn shared(place: &Location, added: &[Conflict]) -> Failure {
    let (fields, who, first) = told(added);
    let message = format!(
        "{place} was made by the run and stays: {fields} put into it by {who} since, first `{first}`"
    );
    let failure = Failure::permanent("k8s.undo.conflict", message)
        .with_hint("delete it by hand, or leave it as it is; `eve rollback` looks at it again");
    noted(failure, added)
}

/// Of conflicts: how many fields, whose, and the first of them.
fn told(conflicts: &[Conflict]) -> (String, String, &str) {
    let mut managers: Vec<String> =
        conflicts.iter().flat_map(|conflict| &conflict.managers).map(|name| format!("`{name}`")).collect();
    managers.sort();
    managers.dedup();
    let who = if managers.is_empty() { "somebody".to_owned() } else { few(&managers) };
    let fields = match conflicts.len() {
        1 => "a field was".to_owned(),
        count => format!("{count} fields were"),
    };
    (fields, who, conflicts.first().map(|conflict| conflict.field.as_str()).unwrap_or_default())
}

fn noted(failure: Failure, conflicts: &[Conflict]) -> Failure {
    let note = |conflict: &Conflict| match conflict.managers.as_slice() {
        [] => format!("`{}` was removed", conflict.field),
        managers => format!("`{}` belongs to `{}`", conflict.field, managers.join("`, `")),
    };
    failure.with_few(conflicts.iter().map(note))
}

/// The server, or whoever acts on the object, does not let it be as it was.
pub(super) fn unsettled(place: &Location, fields: &[String]) -> Failure {
    let message = format!("{place} does not become as it was before: somebody changes it again and again");
    let fields = fields.iter().map(|field| format!("`{field}`"));
    Failure::transient("k8s.undo.unsettled", message).with_few(fields)
}

/// What was kept is not there any more.
pub(super) fn unkept(place: &Location) -> Failure {
    let message = format!("{place}: how it was before the run is not kept any more");
    Failure::permanent("k8s.undo.no-snapshot", message)
        .with_hint("apply the plan that was there before, or put it right by hand")
}

/// The run made it, and it would take with it what others have put into it.
pub(super) fn occupied(place: &Location, mut strangers: Vec<String>) -> Failure {
    strangers.sort();
    let what = match strangers.len() {
        1 => "an object".to_owned(),
        count => format!("{count} objects"),
    };
    let first = strangers.first().map(String::as_str).unwrap_or_default();
    let message = format!(
        "{place} was made by the run and stays: it would take {what} of others with it, first {first}"
    );
    Failure::permanent("k8s.undo.conflict", message)
        .with_hint("delete them by hand, or leave it as it is; `eve rollback` looks at it again")
        .with_few(strangers)
}

/// The run changed it, and it is not there any more: whoever deleted it does not want it.
pub(super) fn gone(place: &Location) -> Failure {
    let message =
        format!("{place} was deleted by somebody else since the run changed it, and is not made again");
    Failure::permanent("k8s.undo.gone", message)
        .with_hint("to have it again, apply the plan that was there before; else leave it as it is")
}

/// It had an address or a port which the server gives out, and which is not free: yet, or any more.
pub(super) fn taken(place: &Location) -> Failure {
    let message = format!("{place} is not made again: an address or port that it had is not free now");
    Failure::transient("k8s.undo.taken", message)
        .with_hint("find out which Service has it by now; `eve rollback` looks at it again")
}

/// It cannot come back as it was.
pub(super) fn lost(place: &Location, why: &str) -> Failure {
    let message = format!("{place} was deleted and is not made again: {why}");
    Failure::permanent("k8s.undo.lost", message)
}

/// The run made another one in its place, or was about to.
pub(super) fn replaced(place: &Location) -> Failure {
    let message = format!(
        "{place} was replaced by the run and is not put back: the one before is gone, and made again it would begin anew"
    );
    Failure::permanent("k8s.undo.lost", message)
        .with_hint("to have it as it was, apply the plan that was there before; else leave it as it is")
}

/// The run made it, and it is never to be deleted.
pub(super) fn held(place: &Location, annotation: &str) -> Failure {
    let message = format!("{place} was made by the run and stays: its annotation `{annotation}` keeps it");
    Failure::permanent("k8s.undo.kept", message).with_hint("delete it by hand, or remove the annotation")
}

/// Tells whether eve owns the same fields of an object as it did; 16 hexadecimal digits.
pub(super) fn claim(object: &Value) -> String {
    let entries = Entry::all(object);
    let ours = entries.iter().filter(|entry| owned::is_ours(&entry.raw));
    let paths = ours.fold(Paths::default(), |all, entry| all.plus(&entry.paths));
    format!("{:016x}", fnv(&paths.tree().to_string()))
}

/// Who took fields of an object that the run made, as far as that can be told: which fields they were nobody wrote down.
pub(super) fn since(live: &Value, applied: Option<&Mark>) -> Vec<Conflict> {
    let Some(claimed) = applied.and_then(|applied| applied.claim.fields.as_deref()) else {
        return Vec::new();
    };
    if claimed == claim(live) {
        return Vec::new();
    }
    let entries = Entry::all(live);
    let others = entries.iter().filter(|entry| !entry.is_eves() && !entry.is_report());
    let mut conflicts: Vec<Conflict> = others
        .flat_map(|entry| {
            let outside = |path: &&Vec<String>| path.first().is_some_and(|part| part != "f:metadata");
            let content: Vec<_> = entry.paths.iter().filter(outside).collect();
            let paths = if content.is_empty() { entry.paths.iter().collect() } else { content };
            let conflict = |path: &Vec<String>| Conflict {
                field: owned::words(path),
                managers: vec![entry.manager().to_owned()],
            };
            paths.into_iter().map(conflict).collect::<Vec<_>>()
        })
        .collect();
    if conflicts.is_empty() {
        conflicts
            .push(Conflict { field: "a field that the run had written".to_owned(), managers: Vec::new() });
    }
    conflicts
}
