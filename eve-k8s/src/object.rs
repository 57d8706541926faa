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

/// The object of a spec and its identity.
///
/// # Errors
/// Every problem found, at least one.
pub(crate) fn identify(spec: &Value) -> Result<(&Value, Identity<'_>), Vec<SpecProblem>> {
    let Some(object) = spec.get(OBJECT).filter(|object| object.is_object()) else {
        return Err(vec![SpecProblem::new("object.missing", "", "the spec holds no object")]);
    };
    let mut problems = Vec::new();
    let mut text = |pointer: &str, code: &'static str, what: &str| {
        let found = object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if found.is_empty() {
            problems.push(SpecProblem::new(
                code,
                format!("/object{pointer}"),
                format!("the object has no {what}"),
            ));
        }
        found
    };
    let identity = Identity {
        api_version: text("/apiVersion", "object.no-api-version", "`apiVersion`"),
        kind: text("/kind", "object.no-kind", "`kind`"),
        name: text("/metadata/name", "object.no-name", "`metadata.name`"),
        namespace: object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .filter(|namespace| !namespace.is_empty()),
    };
    if !identity.name.is_empty()
        && let Err(error) = PathSegment::name(identity.name)
    {
        problems.push(SpecProblem::new("object.bad-name", "/object/metadata/name", error.to_string()));
    }
    if let Some(Err(error)) = identity.namespace.map(PathSegment::namespace) {
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
    if problems.is_empty() { Ok((object, identity)) } else { Err(problems) }
}
