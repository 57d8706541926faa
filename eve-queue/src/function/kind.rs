//! What stands under `function` in a plan: its schema, its checks. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eve_core::expr::{Root, Template};
use eve_core::kind::{Expansion, Kind, Part, Scope};
use eve_core::plan::problem::SpecProblem;
use eve_core::plan::{Action, UndoRule};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::LIMIT;
use crate::address::Address;

/// The longest that a plan may let a function take, in seconds.
const SECONDS_MAX: u64 = 3600;

/// The kind `function`: `{url, payload?, timeoutSeconds?}`, primitive, never undone.
#[derive(Clone, Copy, Debug, Default)]
pub struct FunctionKind;

/// A spec that was read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) url: String,
    #[serde(default)]
    pub(super) payload: Map<String, Value>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

impl Spec {
    pub(super) fn read(spec: &Value) -> Result<Self, Box<SpecProblem>> {
        let spec = Self::deserialize(spec)
            .map_err(|_| SpecProblem::new("function.spec", "", "this is no spec of a function"))?;
        if spec.timeout_seconds.is_some_and(|seconds| !(1..=SECONDS_MAX).contains(&seconds)) {
            let message = format!("a function may take 1 to {SECONDS_MAX} seconds");
            return Err(SpecProblem::new("function.timeout", "/timeoutSeconds", message).into());
        }
        Ok(spec)
    }

    pub(super) fn address(&self) -> Result<Address, Box<SpecProblem>> {
        super::address(&self.url)
            .map_err(|error| SpecProblem::new("function.url", "/url", error.to_string()).into())
    }

    pub(super) fn limit(&self) -> Duration {
        self.timeout_seconds.map_or(LIMIT, Duration::from_secs)
    }
}

impl Kind for FunctionKind {
    fn name(&self) -> &'static str {
        "function"
    }

    fn schema(&self) -> Value {
        json!({
            "description": "Calls a function: POST with a JSON body, the key added as `code`.",
            "type": "object",
            "required": ["url"],
            "additionalProperties": false,
            "properties": {
                "url": {
                    "description": "The address, without its key. https, or http on the machine itself.",
                    "type": "string",
                },
                "payload": { "description": "The body. Empty by default.", "type": "object" },
                "timeoutSeconds": {
                    "description": "How long the call may take, in seconds. 300 by default.",
                    "type": "integer",
                    "minimum": 1,
                    "maximum": SECONDS_MAX,
                },
            },
        })
    }

    fn check(&self, spec: &Value, _: &Scope<'_>) -> Vec<SpecProblem> {
        let problem =
            exposed(spec).map_or_else(|| Spec::read(spec).and_then(|spec| spec.address()).err(), Some);
        problem.into_iter().map(|problem| *problem).collect()
    }

    fn expand(&self, spec: Value, _: &Scope<'_>) -> Expansion {
        let part = Part {
            name: String::new(),
            kind: self.name().to_owned(),
            action: Action::Apply,
            spec: Arc::new(spec),
            dependencies: Vec::new(),
            // What a function did is out of reach, and so is what it needed then. One that did nothing holds nothing.
            undo: UndoRule::Never,
            labels: BTreeMap::new(),
            identity: None,
            origin: None,
            outputs: Some(vec!["result".to_owned(), "messages".to_owned()]),
            expressions: None,
        };
        Expansion { parts: vec![part] }
    }
}

/// A secret in the address: that is shown and stored wherever the function is named. In the payload it may stand.
fn exposed(spec: &Value) -> Option<Box<SpecProblem>> {
    let url = spec.get("url")?.as_str()?;
    let template = Template::parse(url, &Root::ALL).ok()?;
    let secret = template.references().find(|one| one.root == Root::Secrets)?;
    let message = "a secret must not stand in the address of a function: addresses are logged";
    let problem = SpecProblem::new("function.secret-exposed", "/url", message);
    let hint = "put it into `payload`; the key of a function is known to whoever runs eve";
    Some(problem.with_part(url, secret.at.clone()).with_hint(hint).into())
}

#[cfg(test)]
mod tests {
    use eve_core::kind::Kinds;
    use eve_core::plan::load::{LoadOptions, Source, load};

    use super::*;

    #[test]
    fn a_key_in_a_plan_is_an_unknown_field_with_its_place() {
        let plan = "apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: shop }
spec:
  components:
    - name: step
      function:
        url: https://f.example/api
        key: vault:kv/fn#key
";
        let kinds = Kinds::new().with(FunctionKind);
        let found = load(vec![Source::new("plan", plan)], &LoadOptions::new(&kinds)).unwrap_err();
        let told: Vec<_> = found
            .list
            .iter()
            .map(|problem| (&*problem.code, problem.place.as_ref().map(|place| (place.line, place.column))))
            .collect();
        assert_eq!(told, [("plan.unknown-field", Some((9, 9)))], "{found}");
    }

    #[test]
    fn every_problem_of_a_spec_is_found_before_anything_is_called() {
        let scope = Scope { namespace: "n", component: "c" };
        let check = |spec: Value| FunctionKind.check(&spec, &scope);
        assert_eq!(
            check(json!({ "url": "https://f.example/api", "payload": {}, "timeoutSeconds": 3600 })),
            []
        );
        let in_payload = json!({ "a": "${{ secrets.a }}", "b": ["x ${{ secrets['b'] }}"] });
        assert_eq!(check(json!({ "url": "https://f.example/api", "payload": in_payload })), []);
        for (spec, code) in [
            (json!({}), "function.spec"),
            (json!({ "url": "https://f.example/", "payload": [] }), "function.spec"),
            (json!({ "url": "https://f.example/", "key": "k" }), "function.spec"),
            (json!({ "url": "http://f.example/" }), "function.url"),
            (json!({ "url": "https://169.254.169.254/" }), "function.url"),
            (json!({ "url": "https://f.example/?code=hunter2" }), "function.url"),
            (json!({ "url": "https://f.example/", "timeoutSeconds": 0 }), "function.timeout"),
            (json!({ "url": "https://f.example/${{ secrets.a }}" }), "function.secret-exposed"),
            (
                json!({ "url": "${{ 'https://f.example/' + string(secrets['a']) }}" }),
                "function.secret-exposed",
            ),
        ] {
            let problems = check(spec.clone());
            assert_eq!(problems.len(), 1, "{spec}");
            assert_eq!(problems[0].code, code, "{spec}");
            assert!(!problems[0].message.contains("hunter2"));
        }
    }
}
