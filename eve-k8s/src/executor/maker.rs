//! Who made an object that was not there when it was looked for, and was there when it was written. Pure.

use std::cmp::Ordering;

use serde_json::Value;

use super::prepare::Mark;
use crate::owned;
use crate::survey::Making;

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
