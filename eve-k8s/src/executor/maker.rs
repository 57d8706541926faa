//! Who made an object that was not there when it was looked for, and who has changed it since. Pure.

use std::cmp::Ordering;

use serde_json::Value;

use super::prepare::Mark;
use crate::labels::{self, PlanName};
use crate::owned;
use crate::survey::Making;

/// What a later run did, as the end of a sentence that begins with the object.
pub(super) const LATER: &str = "was changed since by a later run of `eve`";

/// Who made an object that was not there before the run, and whose it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// This run.
    Run,
    /// Somebody else, and the run took it over.
    Another,
    /// Somebody else, after what the run made was deleted; or a later run has changed it. What was done completes a sentence
    /// that begins with the object.
    Somebody(String),
    /// Somebody else, and nothing of the run is in it.
    Nobody,
}

impl Maker {
    /// Of a live object; `desired` is the digest of what was promised, `applied` what was written, where that is known.
    pub(super) fn of(
        live: &Value,
        plan: PlanName<'_>,
        desired: Option<&str>,
        applied: Option<&Mark>,
    ) -> Self {
        let is_known =
            applied.is_some_and(|applied| Some(applied.uid.as_str()) == text(live, "/metadata/uid"));
        match applied {
            Some(_) if !is_known => {
                return Self::Somebody("was deleted, and made anew by somebody else since".to_owned());
            }
            // What was added to somebody else's object is given up already.
            Some(applied) if !owned::is_applied(live) && applied.adopted => return Self::Nobody,
            // Somebody took every field of it.
            Some(_) if !owned::is_applied(live) => return Self::Run,
            None if !owned::is_applied(live) => return Self::Nobody,
            Some(_) | None => {}
        }
        if let Some(what) = later(live, plan, desired, applied) {
            return Self::Somebody(what);
        }
        let is_adopted = labels::annotation(live, labels::ADOPTED).is_some();
        if is_adopted || (!is_known && is_of_another(live)) { Self::Another } else { Self::Run }
    }
}

/// What a later run did with an object that this run may have written.
fn later(live: &Value, plan: PlanName<'_>, promised: Option<&str>, applied: Option<&Mark>) -> Option<String> {
    if let Some(other) = plan.other(live) {
        return Some(format!("{other} now"));
    }
    // Of what is known to be the run's, who removed the label is found by the fields.
    if applied.is_none() && plan.disowns(live).is_some() {
        return Some("belongs to no plan any more".to_owned());
    }
    let now = labels::annotation(live, labels::DESIRED);
    // Of a Secret there is no digest.
    let desired = applied.and_then(|applied| applied.claim.desired.as_deref()).or(promised);
    let is_later = match applied {
        Some(applied) => {
            is_redated(live, applied) || desired.zip(now).is_some_and(|(desired, now)| now != desired)
        }
        None => desired.is_some() && now != desired,
    };
    is_later.then(|| match applied {
        Some(_) => LATER.to_owned(),
        // The mark of an adoption makes another digest.
        None => "was made by somebody else meanwhile, or changed by a later run of `eve`".to_owned(),
    })
}

/// Whether eve's entry has another date than this run's write gave it: another write of eve changed something, even if all
/// is as this run wrote it again by now.
fn is_redated(live: &Value, applied: &Mark) -> bool {
    let written = applied.claim.changed_at.as_deref();
    written.is_some() && changed_at(live).is_some_and(|now| Some(now) != written)
}

/// The same of an object that was there before the run: what an undo has put back has the date of then.
pub(super) fn is_written_again(before: &Value, live: &Value, applied: Option<&Mark>) -> bool {
    applied.is_some_and(|applied| is_redated(live, applied)) && changed_at(live) != changed_at(before)
}

/// When eve last changed an object by an apply, by its managed fields.
pub(super) fn changed_at(object: &Value) -> Option<&str> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    text(entries?.iter().find(|entry| owned::is_ours(entry))?, "/time")
}

/// Whether a write of eve, answered by an object that was there already, took over what somebody else made since it was
/// looked for. `before` is what was found then, `known` what this process knows of making it.
pub(super) fn is_taken_over(before: Option<&Mark>, known: Option<Making>, written: &Value) -> bool {
    match (before, known) {
        (Some(before), _) if Some(before.uid.as_str()) == text(written, "/metadata/uid") => false,
        // Nothing of ours was on its way.
        (None, Some(Making::Absent)) => true,
        (Some(before), _) if before.adopted => false,
        (None, None | Some(Making::Sent)) | (Some(_), _) => is_of_another(written),
    }
}

/// Whether an object that eve applied in this run was made by somebody else: told by its managed fields alone. Only
/// for objects that eve never changed since it first applied them, for a change makes eve's entry younger.
///
/// Server-side apply dates eve's entry when eve's fields first come to be, and leaves the date alone where the same is
/// applied again. Of an object that eve made, the entry is as old as the object. Dates are in seconds: within one, who
/// owns more than metadata (controllers add finalizers and annotations) is taken for the maker.
pub(super) fn is_of_another(live: &Value) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entries: Vec<&Value> = entries.into_iter().flatten().collect();
    let Some(ours) = entries.iter().find(|entry| owned::is_ours(entry)) else { return !entries.is_empty() };
    // In UTC and of one length: the order of the texts is that of the times.
    match text(ours, "/time").cmp(&text(live, "/metadata/creationTimestamp")) {
        Ordering::Greater => true,
        Ordering::Less | Ordering::Equal => {
            entries.iter().any(|entry| !owned::is_ours(entry) && owns_content(entry))
        }
    }
}

/// Whether an entry that is not a report by a subresource names more than metadata.
fn owns_content(entry: &Value) -> bool {
    let is_report = text(entry, "/subresource").is_some_and(|subresource| !subresource.is_empty());
    let fields = entry.get("fieldsV1").and_then(Value::as_object);
    !is_report
        && fields
            .is_some_and(|fields| fields.keys().any(|key| !matches!(key.as_str(), "f:metadata" | "f:status")))
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::executor::prepare::Claim;

    const MADE: &str = "2030-01-01T00:00:09Z";

    fn entry(manager: &str, operation: &str, second: u32, fields: &[&str]) -> Value {
        let fields: serde_json::Map<String, Value> =
            fields.iter().map(|field| (format!("f:{field}"), json!({}))).collect();
        let time = format!("2030-01-01T00:00:{second:02}Z");
        json!({ "manager": manager, "operation": operation, "time": time, "fieldsV1": fields })
    }

    fn ours(second: u32) -> Value {
        entry("eve", "Apply", second, &["metadata", "data"])
    }

    fn object(entries: &[Value]) -> Value {
        json!({ "metadata": { "uid": "u", "creationTimestamp": MADE, "managedFields": entries } })
    }

    #[test]
    fn who_made_an_object_is_told_by_its_managed_fields() {
        let theirs = |fields: &[&str]| entry("kubectl", "Update", 9, fields);
        let mut report = entry("controller", "Update", 9, &["spec", "status"]);
        report["subresource"] = "status".into();
        for (name, entries, expected) in [
            ("a lost reply: only eve is there", vec![ours(9)], false),
            ("a lost reply that was dated before the object was", vec![ours(8)], false),
            ("a lost reply, and a controller reported", vec![ours(9), report.clone()], false),
            ("a lost reply, and a controller added a finalizer", vec![ours(9), theirs(&["metadata"])], false),
            ("eve came later", vec![theirs(&["data"]), ours(10)], true),
            ("eve came later and took every field", vec![ours(10)], true),
            ("eve came later, the other owns metadata alone", vec![theirs(&["metadata"]), ours(10)], true),
            ("eve came within the second", vec![theirs(&["data", "metadata"]), ours(9)], true),
            ("eve uses another operation", vec![entry("eve", "Update", 9, &["data"]), ours(9)], true),
            ("nothing of eve arrived", vec![theirs(&["data"])], true),
            ("the server keeps no managed fields", vec![], false),
        ] {
            assert_eq!(is_of_another(&object(&entries)), expected, "{name}");
        }
    }

    #[test]
    fn what_a_later_run_of_eve_wrote_is_not_this_runs() {
        let plan = PlanName { name: "shop", namespace: "blue" };
        let live = |owner: &str, digest: &str, version: &str, entries: &[Value]| {
            let mut live = object(entries);
            let metadata = live["metadata"].as_object_mut().unwrap();
            metadata.insert("namespace".to_owned(), "blue".into());
            metadata.insert("resourceVersion".to_owned(), version.into());
            metadata.insert("labels".to_owned(), json!({ (labels::PLAN): owner }));
            if !digest.is_empty() {
                metadata.insert("annotations".to_owned(), json!({ (labels::DESIRED): digest }));
            }
            live
        };
        let theirs = entry("kubectl", "Update", 9, &["metadata"]);
        let mut known = Mark::of(&live("shop", "", "1", &[ours(9)]));
        known.claim = Claim::of(&live("shop", "1", "1", &[ours(9)]));
        let mut secret = known.clone();
        secret.claim.desired = None;
        // As journals were before the date was kept.
        let mut undated = known.clone();
        undated.claim.changed_at = None;
        let mut gone = known.clone();
        gone.uid = "v".to_owned();
        let mut adopted = known.clone();
        adopted.adopted = true;
        for (live, applied, expected) in [
            (live("shop", "1", "1", &[ours(9)]), Some(&known), "the run"),
            (live("shop", "2", "2", &[ours(9)]), Some(&known), LATER),
            (live("shop", "1", "2", &[ours(9)]), Some(&known), "the run"),
            (live("shop", "1", "2", &[ours(10)]), Some(&known), LATER),
            (live("shop", "1", "2", &[ours(10)]), Some(&undated), "the run"),
            (
                live("other", "2", "2", &[ours(9)]),
                Some(&known),
                "belongs to the plan `other` of namespace `blue` now",
            ),
            (
                live("shop", "1", "1", &[ours(9)]),
                Some(&gone),
                "was deleted, and made anew by somebody else since",
            ),
            (live("shop", "1", "1", &[ours(9)]), None, "the run"),
            (
                live("shop", "2", "1", &[ours(9)]),
                None,
                "was made by somebody else meanwhile, or changed by a later run of `eve`",
            ),
            (live("shop", "", "2", std::slice::from_ref(&theirs)), Some(&known), "the run"),
            (live("shop", "", "2", std::slice::from_ref(&theirs)), Some(&adopted), "nobody"),
            (live("shop", "", "2", std::slice::from_ref(&theirs)), None, "nobody"),
            (live("shop", "", "1", &[ours(9)]), Some(&secret), "the run"),
            (live("shop", "", "2", &[ours(9), theirs.clone()]), Some(&secret), "the run"),
            (live("shop", "", "2", &[ours(9)]), Some(&secret), "the run"),
            (live("shop", "", "2", &[ours(10), theirs]), Some(&secret), LATER),
        ] {
            let promised = applied.is_none().then_some("1");
            let found = match Maker::of(&live, plan, promised, applied) {
                Maker::Run => "the run".to_owned(),
                Maker::Another => "another".to_owned(),
                Maker::Nobody => "nobody".to_owned(),
                Maker::Somebody(what) => what,
            };
            assert_eq!(found, expected, "{live} {applied:?}");
        }
    }

    #[test]
    fn a_write_of_a_later_run_is_told_by_its_date() {
        let before = object(&[ours(1)]);
        let written = |second: u32| {
            let mut mark = Mark::default();
            mark.claim = Claim::of(&object(&[ours(second)]));
            mark
        };
        let half = entry("eve", "Update", 12, &["data"]);
        let theirs = entry("kubectl", "Update", 12, &["data"]);
        for (name, before, live, applied, expected) in [
            ("as it was written", &before, vec![ours(9)], Some(written(9)), false),
            ("somebody wrote beside it", &before, vec![ours(9), theirs], Some(written(9)), false),
            ("eve wrote again", &before, vec![ours(11)], Some(written(9)), true),
            ("the reply was lost", &before, vec![ours(11)], None, false),
            ("half undone", &before, vec![ours(1), half.clone()], Some(written(9)), false),
            ("half undone, and not eve's before", &object(&[]), vec![half], Some(written(9)), false),
        ] {
            assert_eq!(is_written_again(before, &object(&live), applied.as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn what_is_known_of_our_own_writes_goes_before_the_managed_fields() {
        let mark = |uid: &str, adopted| {
            let mut mark = Mark::default();
            (mark.uid, mark.adopted) = (uid.to_owned(), adopted);
            mark
        };
        let (lost, taken) = (object(&[ours(9)]), object(&[ours(10)]));
        for (before, known, written, expected) in [
            (None, Some(Making::Absent), &lost, true),
            (None, Some(Making::Sent), &lost, false),
            (None, Some(Making::Sent), &taken, true),
            (None, None, &lost, false),
            (None, None, &taken, true),
            (Some(mark("u", false)), None, &taken, false),
            (Some(mark("other", false)), None, &taken, true),
            (Some(mark("other", false)), None, &lost, false),
            (Some(mark("other", true)), None, &taken, false),
        ] {
            assert_eq!(is_taken_over(before.as_ref(), known, written), expected, "{before:?} {known:?}");
        }
    }
}
