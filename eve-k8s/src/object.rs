//! The spec of an `object` component, and what identifies the object in it. Pure.

use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use crate::path::PathSegment;

/// The kind of the primitive components that [`KubeExecutor`](crate::KubeExecutor) carries out.
pub const OBJECT_KIND: &str = "object";

/// The key of the object in the spec.
pub(crate) const OBJECT: &str = "object";
/// The key that allows to take over fields of other managers.
pub(crate) const FORCE_CONFLICTS: &str = "forceConflicts";

/// The key that says whether an object that cannot be changed in place may be replaced, and its values.
pub(crate) const REPLACE: &str = "replace";
pub(crate) const REPLACE_NEVER: &str = "never";
pub(crate) const REPLACE_IF_NEEDED: &str = "ifNeeded";

/// The key of the expressions whose values are put out, by the names of the outputs.
pub(crate) const OUTPUTS: &str = "outputs";

/// What an object calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    /// As written; `None` where nothing or the empty text stands.
    pub(crate) namespace: Option<&'a str>,
}

/// The value at a JSON pointer. [`Value::pointer`] makes two strings of every step; names without `~` need none.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.contains('~') {
        return value.pointer(pointer);
    }
    let Some(steps) = pointer.strip_prefix('/') else { return pointer.is_empty().then_some(value) };
    steps.split('/').try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(_) => value.pointer(&format!("/{step}")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The object of a spec and its identity.
///
/// # Errors
/// Every problem found, at least one.
pub(crate) fn identify<'a>(spec: &'a Value) -> Result<(&'a Value, Identity<'a>), Vec<SpecProblem>> {
    let Some(object) = spec.get(OBJECT).filter(|object| object.is_object()) else {
        return Err(vec![SpecProblem::new("object.missing", "", "the spec holds no object")]);
    };
    let mut problems = Vec::new();
    let mut named = |holder: Option<&'a Value>, (field, pointer, code): (&str, &str, &'static str)| {
        let found = holder.and_then(|holder| holder.get(field)?.as_str()).unwrap_or_default();
        if found.is_empty() {
            let what = pointer.trim_start_matches('/').replace('/', ".");
            let message = format!("the object has no `{what}`");
            problems.push(SpecProblem::new(code, format!("/object{pointer}"), message));
        }
        found
    };
    let metadata = object.get("metadata");
    let namespace = metadata.and_then(|metadata| metadata.get("namespace")?.as_str());
    let identity = Identity {
        api_version: named(Some(object), ("apiVersion", "/apiVersion", "object.no-api-version")),
        kind: named(Some(object), ("kind", "/kind", "object.no-kind")),
        name: named(metadata, ("name", "/metadata/name", "object.no-name")),
        namespace: namespace.filter(|namespace| !namespace.is_empty()),
    };
    if !identity.name.is_empty()
        && let Err(error) = PathSegment::check_name(identity.name)
    {
        problems.push(SpecProblem::new("object.bad-name", "/object/metadata/name", error.to_string()));
    }
    if let Some(Err(error)) = identity.namespace.map(PathSegment::check_namespace) {
        problems.push(SpecProblem::new(
            "object.bad-namespace",
            "/object/metadata/namespace",
            error.to_string(),
        ));
    }
    if spec.get(FORCE_CONFLICTS).is_some_and(|force| !force.is_boolean()) {
        problems.push(SpecProblem::new(
            "object.bad-force",
            "/forceConflicts",
            "`forceConflicts` is true or false",
        ));
    }
    let is_rule = |rule: &Value| matches!(rule.as_str(), Some(REPLACE_NEVER | REPLACE_IF_NEEDED));
    if spec.get(REPLACE).is_some_and(|rule| !is_rule(rule)) {
        let message = format!("`{REPLACE}` is `{REPLACE_NEVER}` or `{REPLACE_IF_NEEDED}`");
        problems.push(SpecProblem::new("object.bad-replace", "/replace", message));
    }
    if problems.is_empty() { Ok((object, identity)) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_where_json_pointers_say() {
        let value = json!({ "a": { "b/c": [{ "d": 1 }, "two"], "": 3, "~": 4 }, "e": null });
        let pointers = [
            "",
            "/",
            "a",
            "/a",
            "/a/",
            "/a/b/c",
            "/a/b~1c",
            "/a/b~1c/0/d",
            "/a/~0",
            "/e",
            "/e/f",
            "/g",
            "/a/b~1c/1",
            "/a/b~1c/01",
            "/a/b~1c/-",
        ];
        for pointer in pointers {
            assert_eq!(at(&value, pointer), value.pointer(pointer), "{pointer}");
        }
        let items = json!([[1, { "x": "y" }]]);
        for pointer in ["/0", "/0/1", "/0/1/x", "/0/+1", "/0/00", "/0/2", "/0/x"] {
            assert_eq!(at(&items, pointer), items.pointer(pointer), "{pointer}");
        }
    }
}
