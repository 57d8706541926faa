//! `outputs` of a component of kind `manifests`: fields of its live objects that other components may use.

use std::collections::BTreeMap;

use eve_core::expr::{Expression, Root};
use eve_core::plan::problem::SpecProblem;
use serde_json::{Map, Value};

use super::metadata::escaped;
use super::object::{Found, Identity};
use crate::pattern::ObjectPattern;

/// What of a Secret is no secret.
const OF_SECRETS: [&[&str]; 5] = [
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "uid"],
    &["metadata", "labels"],
    &["type"],
];

/// Kinds that publish their address without being asked to.
const WITH_ADDRESS: [&str; 2] = ["Service", "Ingress"];
/// The output of such a kind.
pub(crate) const ADDRESS: &str = "address";

/// The expressions by the names of outputs, for each object.
pub(super) type Outputs = BTreeMap<usize, Map<String, Value>>;

/// What each object is to publish, and what is wrong with that.
pub(super) fn of(
    spec: &Value,
    kept: &[(Identity<'_>, &Found<'_>)],
    namespace: &str,
) -> (Outputs, Vec<SpecProblem>) {
    let (mut outputs, mut problems) = (Outputs::new(), Vec::new());
    for (name, written) in spec.get("outputs").and_then(Value::as_object).into_iter().flatten() {
        match output(name, written, kept, namespace) {
            Ok((object, expression)) => {
                outputs.entry(object).or_default().insert(name.clone(), expression.into());
            }
            Err(problem) => problems.push(*problem),
        }
    }
    (outputs, problems)
}

/// The names of what an object publishes.
pub(super) fn names(kind: &str, asked: Option<&Map<String, Value>>) -> Vec<String> {
    let own = WITH_ADDRESS.contains(&kind).then(|| ADDRESS.to_owned());
    own.into_iter().chain(asked.into_iter().flat_map(Map::keys).cloned()).collect()
}

fn output(
    name: &str,
    written: &Value,
    kept: &[(Identity<'_>, &Found<'_>)],
    namespace: &str,
) -> Result<(usize, String), Box<SpecProblem>> {
    let at = format!("/outputs/{}", escaped(name));
    if !is_name(name) {
        let message = format!("`{}` is no name of an output", name.escape_debug());
        return Err(Box::new(
            SpecProblem::new("manifests.output", at, message)
                .with_hint("use letters, digits and `_`, a letter first: `dbHost`"),
        ));
    }
    let field = |field: &str| written.get(field).and_then(Value::as_str);
    let (pattern, text, text_at) = match written.as_str() {
        Some(text) => (None, Some(text), at.clone()),
        None => (field("object"), field("value"), format!("{at}/value")),
    };
    let Some(text) = text else {
        let message = format!("output `{name}` has no expression");
        return Err(Box::new(
            SpecProblem::new("manifests.output", at, message)
                .with_hint("write `NAME: EXPRESSION`, or `NAME: {object: KIND/NAME, value: EXPRESSION}`"),
        ));
    };
    let object = object(name, pattern, kept, (namespace, &at))?;
    let expression = Expression::parse(text, &[Root::Itself]).map_err(|error| {
        let problem = SpecProblem::new(error.kind.code(), &text_at, format!("output `{name}`: {error}"));
        Box::new(SpecProblem { hint: error.hint, ..problem })
    })?;
    let is_secret = kept.get(object).is_some_and(|(identity, _)| identity.kind == "Secret");
    let is_open = |path: &[String]| {
        OF_SECRETS
            .iter()
            .any(|open| open.len() <= path.len() && open.iter().zip(path).all(|(open, own)| open == own))
    };
    if is_secret && !expression.references().iter().all(|one| is_open(&one.path)) {
        let message = format!("output `{name}` could hold a secret, and outputs are stored");
        return Err(Box::new(
            SpecProblem::new("object.secret-exposed", text_at, message)
                .with_hint("of a Secret only its name, namespace, uid, labels and type can be put out"),
        ));
    }
    Ok((object, text.to_owned()))
}

/// The position of the object that is meant.
fn object(
    name: &str,
    pattern: Option<&str>,
    kept: &[(Identity<'_>, &Found<'_>)],
    (namespace, at): (&str, &str),
) -> Result<usize, Box<SpecProblem>> {
    let Some(pattern) = pattern else {
        if kept.len() == 1 {
            return Ok(0);
        }
        let message = format!("output `{name}` does not say which object it is of");
        return Err(Box::new(
            SpecProblem::new("manifests.output", at, message)
                .with_hint(format!("write `{name}: {{object: KIND/NAME, value: EXPRESSION}}`")),
        ));
    };
    let at = format!("{at}/object");
    let pattern: ObjectPattern = pattern
        .parse()
        .map_err(|error| Box::new(SpecProblem::new("manifests.output", &at, format!("{error}"))))?;
    let is_it = |identity: &Identity<'_>| {
        pattern.means((identity.group, identity.kind), (identity.namespace, identity.name))
    };
    let mut meant = kept.iter().enumerate().filter(|(_, (identity, _))| is_it(identity));
    match (meant.next(), meant.next()) {
        (Some((object, _)), None) => Ok(object),
        (None, _) => {
            let message = format!("there is no `{pattern}` in this component");
            Err(Box::new(SpecProblem::new("manifests.output", at, message)))
        }
        (Some((_, (first, _))), Some((_, (second, _)))) => {
            let (first, second) = (first.words(namespace), second.words(namespace));
            let message = format!("`{pattern}` means {first} and {second}");
            Err(Box::new(
                SpecProblem::new("manifests.output", at, message)
                    .with_hint("write the group too: KIND.GROUP/NAME"),
            ))
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use eve_core::kind::{Kind as _, Scope};
    use serde_json::json;

    use super::*;
    use crate::kinds::Manifests;

    fn objects() -> Value {
        json!([
            { "apiVersion": "v1", "kind": "Service", "metadata": { "name": "db" } },
            { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db" } },
        ])
    }

    fn problems(outputs: &Value) -> Vec<String> {
        let spec = json!({ "objects": objects(), "outputs": outputs });
        let all = Manifests::default().check(&spec, &Scope { namespace: "shop", component: "a" });
        all.iter().map(|one| format!("{} {} {}", one.code, one.pointer, one.message)).collect()
    }

    #[test]
    fn outputs_belong_to_the_object_that_they_name() {
        let outputs = json!({
            "host": { "object": "svc/db", "value": "self.metadata.name + '.' + self.metadata.namespace" },
            "secret": { "object": "secret/shop/db", "value": "self.metadata.name" },
        });
        assert_eq!(problems(&outputs), [""; 0]);
        let spec = json!({ "objects": objects(), "outputs": outputs });
        let parts = Manifests::default().expand(spec, &Scope { namespace: "shop", component: "a" }).parts;
        let names: Vec<_> = parts.iter().map(|part| part.outputs.clone().unwrap()).collect();
        assert_eq!(names, [vec!["address".to_owned(), "host".to_owned()], vec!["secret".to_owned()]]);
        assert_eq!(parts[1].spec["outputs"], json!({ "secret": "self.metadata.name" }));
        let one = json!({ "objects": [objects()[0]], "outputs": { "ip": "self.spec.clusterIP" } });
        let parts = Manifests::default().expand(one, &Scope { namespace: "shop", component: "a" }).parts;
        assert_eq!(parts[0].spec["outputs"], json!({ "ip": "self.spec.clusterIP" }));
    }

    #[test]
    fn bad_outputs_say_what_is_wrong() {
        for (output, want) in [
            (json!("self.x"), "manifests.output /outputs/o output `o` does not say which object it is of"),
            (
                json!({ "object": "Pod/db", "value": "self.x" }),
                "manifests.output /outputs/o/object there is no `Pod/db` in this component",
            ),
            (
                json!({ "object": "db", "value": "self.x" }),
                "manifests.output /outputs/o/object `db` names no object; write KIND/NAME, KIND.GROUP/NAME or KIND/NAMESPACE/NAME",
            ),
            (
                json!({ "object": "svc/db", "value": "inputs.x" }),
                "expr.unknown-name /outputs/o/value output `o`: `inputs` cannot be used here",
            ),
            (
                json!({ "object": "secret/db", "value": "self.data.password" }),
                "object.secret-exposed /outputs/o/value output `o` could hold a secret, and outputs are stored",
            ),
            (
                json!({ "object": "secret/db", "value": "[self].map(x, x.data)[0]" }),
                "object.secret-exposed /outputs/o/value output `o` could hold a secret, and outputs are stored",
            ),
        ] {
            assert_eq!(problems(&json!({ "o": output })), [want]);
        }
        let named = problems(&json!({ "my-host": { "object": "svc/db", "value": "self.x" } }));
        assert_eq!(named, ["manifests.output /outputs/my-host `my-host` is no name of an output"]);
    }
}
