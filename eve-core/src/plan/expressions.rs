//! What of a plan is only known while it runs: strings with expressions, and conditions on live objects. Pure.
//!
//! A loader renders what it can and leaves the rest here, each string by its place in the spec; whoever drives the run
//! renders it before each call. A rendered spec may hold secrets: it stays in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use zeroize::Zeroize as _;

use crate::expr::{Budget, ExprError, Expression, Names, Root, Template};
use crate::secret::Secrets;

/// What expressions may know before a plan runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Constants {
    /// The inputs by name: a map.
    pub inputs: Value,
    /// The plan: its `name` and `namespace`.
    pub plan: Value,
    /// The cluster: its `name`, if the plan states one.
    pub cluster: Option<Value>,
}

impl Constants {
    /// The names that have these values.
    pub const ROOTS: [Root; 3] = [Root::Inputs, Root::Plan, Root::Cluster];

    /// The values of a plan; `inputs` is a map.
    pub fn new(inputs: Map<String, Value>, plan: &str, namespace: &str, cluster: Option<&str>) -> Self {
        Self {
            inputs: Value::Object(inputs),
            plan: json!({ "name": plan, "namespace": namespace }),
            cluster: cluster.map(|name| json!({ "name": name })),
        }
    }

    /// The names that an expression may use everywhere.
    pub fn names(&self) -> Names<'_> {
        let names = Names::new().with(Root::Inputs, &self.inputs).with(Root::Plan, &self.plan);
        match &self.cluster {
            Some(cluster) => names.with(Root::Cluster, cluster),
            None => names,
        }
    }
}

/// The strings of one component's spec that are rendered while the plan runs.
#[derive(Clone, Debug)]
pub struct Expressions {
    fields: Vec<Field>,
    constants: Arc<Constants>,
    sources: Vec<OutputSource>,
}

#[derive(Clone, Debug)]
struct Field {
    /// A JSON Pointer into the spec.
    pointer: String,
    template: Template,
}

/// A component that expressions refer to, and the components of the graph that put out what is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSource {
    /// The component as it is written: `components.NAME`. It must be ready before anything is rendered.
    pub component: String,
    /// The components of the graph whose outputs are meant, in plan order; of two with the same output the first counts.
    pub parts: Vec<String>,
}

/// Why a spec cannot be rendered. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be rendered: {error}", dotted(.pointer))]
pub struct RenderError {
    /// The string, as a JSON Pointer into the spec.
    pub pointer: String,
    /// What is wrong with its expression.
    pub error: ExprError,
}

/// What is known of a run when a spec is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The run's identifier.
    pub run: &'a str,
    /// The outputs of the components that are ready, by the component that refers to them: a map of maps.
    pub components: &'a Value,
    /// The secrets of the plan.
    pub secrets: &'a Secrets,
}

/// A spec as an executor is given it. What it holds is overwritten when it is dropped.
#[derive(PartialEq)]
pub struct Rendered(Value);

impl Rendered {
    /// The spec.
    pub const fn value(&self) -> &Value {
        &self.0
    }
}

impl Drop for Rendered {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rendered(***)")
    }
}

impl Expressions {
    /// No strings yet.
    pub fn new(constants: Arc<Constants>) -> Self {
        Self { fields: Vec::new(), constants, sources: Vec::new() }
    }

    /// Adds the string at a JSON Pointer of the spec.
    pub fn add(&mut self, pointer: impl Into<String>, template: Template) {
        self.fields.push(Field { pointer: pointer.into(), template });
    }

    /// Says where the outputs that the strings refer to come from.
    pub fn set_sources(&mut self, sources: Vec<OutputSource>) {
        self.sources = sources;
    }

    /// Whether there is no string.
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Where the strings stand in the spec, as JSON Pointers.
    pub fn pointers(&self) -> Vec<&str> {
        self.fields.iter().map(|field| field.pointer.as_str()).collect()
    }

    /// Where the outputs that the strings refer to come from.
    pub fn sources(&self) -> &[OutputSource] {
        &self.sources
    }

    /// What the plan states.
    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// The names of the components that the strings refer to, each once.
    pub fn components(&self) -> BTreeSet<&str> {
        self.used(Root::Components)
    }

    /// The names of the secrets that the strings refer to, each once.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.used(Root::Secrets)
    }

    /// Whether the strings refer to the run itself.
    pub fn use_run(&self) -> bool {
        self.fields.iter().flat_map(|field| field.template.references()).any(|one| one.root == Root::Run)
    }

    fn used(&self, root: Root) -> BTreeSet<&str> {
        let references = self.fields.iter().flat_map(|field| field.template.references());
        references
            .filter(|one| one.root == root)
            .filter_map(|one| one.path.first().map(String::as_str))
            .collect()
    }

    /// The spec with all strings rendered. The same arguments give the same result.
    ///
    /// # Errors
    /// [`RenderError`], of the first string that cannot be rendered.
    pub fn render(&self, spec: &Value, known: Known<'_>) -> Result<Rendered, RenderError> {
        let mut secrets = Map::new();
        for name in self.secrets() {
            if let Some(value) = known.secrets.get(name) {
                secrets.insert(name.to_owned(), Value::String(value.expose().to_owned()));
            }
        }
        // Overwritten whichever way this ends.
        let secrets = Rendered(Value::Object(secrets));
        let names = self.constants.names();
        let names = names.with(Root::Components, known.components).with(Root::Secrets, secrets.value());
        let names = names.with_owned(Root::Run, json!({ "id": known.run }));
        let mut rendered = Rendered(spec.clone());
        let mut budget = Budget::COMPONENT;
        for Field { pointer, template } in &self.fields {
            let value = template.render(&names, &mut budget);
            let value = value.map_err(|error| RenderError { pointer: pointer.clone(), error })?;
            if let Some(place) = rendered.0.pointer_mut(pointer) {
                *place = value;
            }
        }
        Ok(rendered)
    }
}

/// A condition on a live object: `readyWhen`.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    expression: Expression,
    constants: Arc<Constants>,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.constants == other.constants
    }
}

impl PartialEq for Expressions {
    /// By what they refer to: the strings themselves stand in the spec.
    fn eq(&self, other: &Self) -> bool {
        let of = |one: &Self| (Arc::clone(&one.constants), one.sources.clone());
        of(self) == of(other) && self.pointers() == other.pointers()
    }
}

impl Condition {
    /// The names that it may use.
    pub const ROOTS: [Root; 4] = [Root::Itself, Root::Inputs, Root::Plan, Root::Cluster];

    /// Parses a bare expression on `self`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, constants: Arc<Constants>) -> Result<Self, ExprError> {
        let expression = Expression::parse(text, &Self::ROOTS)?;
        Ok(Self { text: text.to_owned(), expression, constants })
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it refers to.
    pub const fn expression(&self) -> &Expression {
        &self.expression
    }

    /// What the plan states.
    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// Whether it holds for this object. Where a field is absent that it speaks of, it does not hold yet: the kind of
    /// the error is then [`Missing`](crate::expr::ExprErrorKind::Missing).
    ///
    /// # Errors
    /// Why it can be neither true nor false.
    pub fn holds(&self, object: &Value) -> Result<bool, ExprError> {
        let names = self.constants.names().with(Root::Itself, object);
        self.expression.evaluate_boolean(&names, &mut Budget::EXPRESSION.clone())
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A JSON Pointer as people write it: `object.spec.replicas`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretValue;

    fn constants() -> Arc<Constants> {
        let inputs = Map::from_iter([("stage".to_owned(), json!("blue"))]);
        Arc::new(Constants::new(inputs, "shop", "prod", None))
    }

    fn expressions(fields: &[(&str, &str)]) -> Expressions {
        let mut all = Expressions::new(constants());
        for (pointer, text) in fields {
            all.add(*pointer, Template::parse(text, &Root::ALL).unwrap());
        }
        all
    }

    fn known<'a>(components: &'a Value, secrets: &'a Secrets) -> Known<'a> {
        Known { run: "r1", components, secrets }
    }

    #[test]
    fn a_spec_is_rendered_where_its_expressions_stand_and_nowhere_else() {
        let spec = json!({ "a": "x", "b": ["y", "${{ data }}"], "c": "z" });
        let all = expressions(&[
            ("/a", "${{ components.db.port }}"),
            ("/b/0", "${{ secrets.key }}@${{ run.id }}-${{ inputs.stage }}.${{ plan.namespace }}"),
        ]);
        let components = json!({ "db": { "port": 5432 } });
        let secrets = Secrets::from_iter([("key".to_owned(), SecretValue::new("${{ inputs.stage }}"))]);
        let rendered = all.render(&spec, known(&components, &secrets)).unwrap();
        let want = json!({ "a": 5432, "b": ["${{ inputs.stage }}@r1-blue.prod", "${{ data }}"], "c": "z" });
        assert_eq!(rendered.value(), &want);
        assert_eq!(all.secrets(), BTreeSet::from(["key"]));
        assert_eq!(all.components(), BTreeSet::from(["db"]));
        assert_eq!(format!("{rendered:?}"), "Rendered(***)");
        assert!(all.use_run() && !expressions(&[("/a", "${{ secrets.key }}")]).use_run());
    }

    #[test]
    fn what_cannot_be_rendered_names_the_field() {
        let all = expressions(&[("/spec/a~1b", "${{ components.db.host }}")]);
        let components = json!({ "db": {} });
        let error = all.render(&json!({ "spec": {} }), known(&components, &Secrets::default())).unwrap_err();
        assert_eq!(error.to_string(), "`spec.a/b` cannot be rendered: `components.db` has no field `host`");
    }

    #[test]
    fn a_condition_is_judged_by_the_object_and_by_what_the_plan_states() {
        let condition = |text| Condition::parse(text, constants()).unwrap();
        let object = json!({ "status": { "stage": "blue", "n": 1 } });
        assert_eq!(condition("self.status.stage == inputs.stage").holds(&object), Ok(true));
        assert_eq!(condition("self.status.n > 1").holds(&object), Ok(false));
        let missing = condition("self.status.phase == 'Up'").holds(&object).unwrap_err();
        assert_eq!(missing.kind, crate::expr::ExprErrorKind::Missing);
        let no_boolean = condition("self.status.n").holds(&object).unwrap_err();
        assert_eq!(no_boolean.message, "the condition must be true or false, not a number");
        assert!(Condition::parse("components.db.host == ''", constants()).is_err());
    }
}
