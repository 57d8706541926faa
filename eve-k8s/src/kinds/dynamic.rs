//! Expressions in objects: which may stand where. What they refer to has been checked; here it counts what they are in.
//!
//! What makes an object the one it is must be known before the plan runs. A secret may stand in the values of a Secret
//! and nowhere else: everything else is shown, stored and logged by whoever may read the object.

use std::ops::Range;

use eve_core::expr::{Root, Template, has_expression};
use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use super::known;
use super::metadata::escaped;
use super::object::Found;

/// What an object is known by.
const IDENTITY: [&str; 4] = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"];

/// Whether the object is known well enough to be checked further.
pub(super) fn check(found: &Found<'_>, problems: &mut Vec<SpecProblem>) -> bool {
    // Nearly no object has one, and places cost more than the search.
    if !has_any(found.object) {
        return true;
    }
    let mut strings = Vec::new();
    find(found.object, &mut String::new(), &mut strings);
    let mut is_known = true;
    let is_secret = found.kind() == Some("Secret")
        && found.api_version().is_none_or(|version| known::group(version).is_empty());
    for (at, text) in strings {
        if IDENTITY.contains(&at.as_str()) {
            is_known = false;
            let message = "this must be known before the plan runs".to_owned();
            let hint = "only `inputs`, `plan` and `cluster` can be used here";
            problems
                .push(SpecProblem::new("object.dynamic-identity", found.at(&at), message).with_hint(hint));
        } else if is_secret && at.starts_with("/data/") {
            let message = format!("an expression in `data` of {} would not be base64", found.words());
            let hint = "put it under `stringData`; the server encodes it";
            problems
                .push(SpecProblem::new("object.secret-not-base64", found.at(&at), message).with_hint(hint));
        } else if let Some(part) = secret(text).filter(|_| !(is_secret && at.starts_with("/stringData/"))) {
            let message = format!("a secret must not stand in {}: it could be read there", found.words());
            let hint =
                "put it into `stringData` of a Secret, and refer to that by `secretKeyRef` or as a volume";
            let problem = SpecProblem::new("object.secret-exposed", found.at(&at), message);
            problems.push(problem.with_part(text, part).with_hint(hint));
        }
    }
    is_known
}

/// Where a string names a secret first.
fn secret(text: &str) -> Option<Range<usize>> {
    let template = Template::parse(text, &Root::ALL).ok()?;
    template.references().find(|one| one.root == Root::Secrets).map(|one| one.at.clone())
}

/// Whether there is a string with an expression. Recursion is bounded by the depth of the value.
fn has_any(value: &Value) -> bool {
    match value {
        Value::String(text) => has_expression(text),
        Value::Array(items) => items.iter().any(has_any),
        Value::Object(fields) => fields.values().any(has_any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// All strings with expressions, with their places. Recursion is bounded by the depth of the value.
fn find<'a>(value: &'a Value, at: &mut String, found: &mut Vec<(String, &'a str)>) {
    let length = at.len();
    match value {
        Value::String(text) if has_expression(text) => found.push((at.clone(), text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&index.to_string());
                find(item, at, found);
                at.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                at.push('/');
                at.push_str(&escaped(key));
                find(value, at, found);
                at.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use eve_core::kind::{Kind as _, Scope};
    use serde_json::json;

    use crate::kinds::Manifests;

    /// The code and place of each problem of one object.
    fn problems(object: &serde_json::Value) -> Vec<String> {
        let spec = json!({ "objects": [object] });
        let all = Manifests::default().check(&spec, &Scope { namespace: "shop", component: "a" });
        all.iter().map(|one| format!("{} {}", one.code, one.pointer.replacen("/objects/0", "", 1))).collect()
    }

    #[test]
    fn a_secret_may_only_stand_in_a_secret() {
        let secret = "${{ secrets.key }}";
        let within = "url://x:${{ string(secrets['key']) }}@y";
        let ours = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" },
            "stringData": { "a": secret, "b": within, "c": "${{ components.db.host }}" } });
        assert_eq!(problems(&ours), [""; 0]);
        for (object, place) in [
            (
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "s" }, "data": { "a": within } }),
                "/data/a",
            ),
            (
                json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "annotations": { "a": secret } } }),
                "/metadata/annotations/a",
            ),
            (
                json!({ "apiVersion": "x.io/v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "a": secret } }),
                "/stringData/a",
            ),
            (
                json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "s" }, "spec": { "containers": [
                    { "name": "c", "env": [{ "name": "A", "value": secret }] }] } }),
                "/spec/containers/0/env/0/value",
            ),
            (
                json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "s" }, "spec": { "containers": [
                    { "name": "c", "command": ["sh", "-c", within] }] } }),
                "/spec/containers/0/command/2",
            ),
        ] {
            assert_eq!(problems(&object), [format!("object.secret-exposed {place}")]);
        }
        let encoded = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "a": secret } });
        assert_eq!(problems(&encoded), ["object.secret-not-base64 /data/a"]);
    }

    #[test]
    fn what_an_object_is_known_by_must_be_written_out() {
        for field in ["apiVersion", "kind", "metadata/name", "metadata/namespace"] {
            let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "s" } });
            match field.split_once('/') {
                None => object[field] = json!("${{ components.db.host }}"),
                Some((_, inner)) => object["metadata"][inner] = json!("a-${{ run.id }}"),
            }
            assert_eq!(problems(&object), [format!("object.dynamic-identity /{field}")]);
        }
        let label = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "s",
            "labels": { "a": "${{ components.db.host }}" } } });
        assert_eq!(problems(&label), [""; 0]);
        let text = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "s" }, "data": { "a": "$${{ x }}" } });
        assert_eq!(problems(&text), [""; 0]);
    }
}
