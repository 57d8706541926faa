//! The JSON Schema of a plan, assembled from the types and the kinds; and a validator that speaks of it to people.
//!
//! The validator knows what `schemars` emits for our types and what kinds write by hand: `$ref`, `anyOf`, `oneOf` of
//! constants, `type`, `enum`, `const`, `pattern` (those of `spec`), bounds, `items`, `properties`, `required`,
//! `additionalProperties`. It reports every problem, with the pointer of the field; it knows nothing of text.

use serde_json::{Map, Value, json};

use super::pointer;
use super::problems::FieldProblem;
use super::texts::Mark;
use super::words::{self, list};
use crate::expr::{OPENING, has_expression};
use crate::kind::Kinds;
use crate::plan::graph::closest;
use crate::plan::problem::SpecProblem;
use crate::plan::spec::{DURATION_PATTERN, LABEL_PATTERN, PlanDocument, REQUEST_PATTERN, parse_duration};

const COMPONENT: &str = "#/$defs/ComponentSpec";

/// The JSON Schema (2020-12) of a plan with these kinds: what editors validate against.
///
/// Definitions (`$defs`) of a kind's schema are moved to the root; their names must be unique among all kinds.
pub fn plan_schema(kinds: &Kinds) -> Value {
    let mut root = schemars::schema_for!(PlanDocument).to_value();
    let mut choices = Vec::new();
    for (name, kind) in kinds.iter() {
        let mut schema = kind.schema();
        if let Some(Value::Object(definitions)) =
            schema.as_object_mut().and_then(|schema| schema.remove("$defs"))
            && let Some(all) = root.get_mut("$defs").and_then(Value::as_object_mut)
        {
            all.extend(definitions);
        }
        if let Some(fields) =
            root.pointer_mut("/$defs/ComponentSpec/properties").and_then(Value::as_object_mut)
        {
            fields.insert(name.to_owned(), schema);
        }
        choices.push(json!({ "required": [name] }));
    }
    if let Some(component) = root.pointer_mut("/$defs/ComponentSpec").and_then(Value::as_object_mut) {
        component.insert("oneOf".into(), Value::Array(choices));
    }
    root
}

/// Checks a document against the schema of plans.
pub(super) struct Validator<'a> {
    /// What the document is, in words.
    whole: &'a str,
    schema: &'a Value,
    kinds: &'a Kinds,
    document: &'a Value,
    found: Judged,
    problems_max: usize,
}

/// What a validator found.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) problems: Vec<FieldProblem>,
    /// How many more there are.
    pub(super) hidden: usize,
}

impl<'a> Validator<'a> {
    /// Every problem of `document`, at most `problems_max` of them in full.
    pub(super) fn run(
        (whole, schema): (&'a str, &'a Value),
        kinds: &'a Kinds,
        document: &'a Value,
        problems_max: usize,
    ) -> Judged {
        let mut validator = Self { whole, schema, kinds, document, found: Judged::default(), problems_max };
        validator.check(schema, document, "");
        validator.found
    }

    fn report(&mut self, problem: FieldProblem) {
        if self.is_full() {
            self.found.hidden += 1;
        } else {
            self.found.problems.push(problem);
        }
    }

    fn is_full(&self) -> bool {
        self.found.problems.len() >= self.problems_max
    }

    fn resolve(&self, schema: &'a Value) -> (&'a Value, bool) {
        let mut schema = schema;
        let mut is_component = false;
        while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            is_component |= reference == COMPONENT;
            let target = reference.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer));
            let Some(target) = target else { break };
            schema = target;
        }
        (schema, is_component)
    }

    fn check(&mut self, schema: &'a Value, value: &Value, at: &str) {
        let (schema, is_component) = self.resolve(schema);
        if let Value::String(text) = value
            && has_expression(text)
        {
            return self.expression(schema, text, at);
        }
        if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
            return self.any_of(branches, value, at);
        }
        if let Some(allowed) = constants(schema) {
            return self.one_of(&allowed, value, at);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| is_of(name, value)) {
            return self.wrong_type(schema, &types, value, at);
        }
        match value {
            Value::String(text) => self.text(schema, text, at),
            Value::Number(_) => self.range(schema, value, at),
            Value::Array(items) => self.items(schema, items, at),
            Value::Object(fields) => self.fields(schema, fields, at, is_component),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// A value that is only known while the plan runs: of whatever type, where the expression is alone; else a text.
    fn expression(&mut self, schema: &'a Value, text: &str, at: &str) {
        let types = types(schema);
        let is_alone = text.starts_with(OPENING) && text.ends_with("}}");
        if !is_alone && !types.is_empty() && !types.contains(&"string") {
            let message = format!(
                "{} must be {}, not a text",
                self.field(at),
                words::of_type(types.first().unwrap_or(&""))
            );
            let problem = FieldProblem::new("plan.wrong-type", at, message);
            self.report(problem.with_hint("let the expression be alone in its string"));
        }
    }

    fn any_of(&mut self, branches: &'a [Value], value: &Value, at: &str) {
        let mut expected = Vec::new();
        let mut others = Vec::new();
        for branch in branches {
            let (resolved, _) = self.resolve(branch);
            let types = types(resolved);
            if types.iter().any(|name| is_of(name, value)) {
                return self.check(branch, value, at);
            }
            if types != ["null"] {
                expected.extend(types);
                others.push(branch);
            }
        }
        match others.as_slice() {
            [only] => self.check(only, value, at),
            _ => self.wrong_type(&Value::Null, &expected, value, at),
        }
    }

    fn one_of(&mut self, allowed: &[&str], value: &Value, at: &str) {
        let Some(text) = value.as_str() else {
            let found = words::of(value);
            let message = format!("{} must be {}, not {found}", self.field(at), list(allowed, "or"));
            return self.report(FieldProblem::new("plan.wrong-type", at, message));
        };
        if allowed.contains(&text) {
            return;
        }
        let message = format!("unknown value `{}` for {}", text.escape_debug(), self.field(at));
        let hint = closest(text, allowed.iter().copied()).map_or_else(
            || format!("it can be {}", list(allowed, "or")),
            |meant| format!("did you mean `{meant}`?"),
        );
        let code = match at {
            "/apiVersion" => "plan.api-version",
            "/kind" => "plan.kind",
            _ => "plan.unknown-value",
        };
        self.report(FieldProblem::new(code, at, message).with_hint(hint));
    }

    fn wrong_type(&mut self, schema: &Value, expected: &[&str], value: &Value, at: &str) {
        let expected: Vec<&str> = expected.iter().copied().filter(|name| *name != "null").collect();
        let wanted: Vec<&str> = expected.iter().map(|name| words::of_type(name)).collect();
        let wanted = wanted.join(" or ");
        let message = format!("{} must be {wanted}, not {}", self.field(at), words::of(value));
        let is_duration = schema.get("pattern").and_then(Value::as_str) == Some(DURATION_PATTERN);
        let hint = match value {
            Value::Number(number) if is_duration => Some(format!("write it with a unit: `{number}s`")),
            Value::Number(_) | Value::Bool(_) if expected.contains(&"string") => {
                Some(SpecProblem::QUOTE.to_owned())
            }
            Value::String(text) if expected == ["array"] => {
                Some(format!("write a list: `[{}]`", text.escape_debug()))
            }
            Value::String(text) if expected == ["integer"] && text.parse::<i64>().is_ok() => {
                Some("write it without quotes".into())
            }
            Value::String(text) if expected == ["boolean"] => {
                let meant = matches!(text.to_lowercase().as_str(), "yes" | "on" | "y" | "true" | "1");
                Some(format!("write `{meant}`"))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        };
        let mut problem = FieldProblem::new("plan.wrong-type", at, message);
        problem.hint = hint;
        self.report(problem);
    }

    fn text(&mut self, schema: &Value, text: &str, at: &str) {
        let length = text.chars().count();
        let bound = |name: &str| {
            schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok())
        };
        if let Some(least) = bound("minLength").filter(|least| length < *least) {
            let field = self.field(at);
            let (code, message) = match length {
                0 => ("plan.empty", format!("{field} is empty")),
                _ => ("plan.too-short", format!("{field} is shorter than {least} characters")),
            };
            return self.report(FieldProblem::new(code, at, message));
        }
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            let message = format!("{} is longer than {most} characters", self.field(at));
            return self.report(FieldProblem::new("plan.too-long", at, message));
        }
        match schema.get("pattern").and_then(Value::as_str) {
            Some(LABEL_PATTERN) => {
                if let Some(reason) = words::bad_label(text) {
                    let message = match text {
                        "" => format!("{} is empty", self.field(at)),
                        _ => format!("`{}` is no valid name: {reason}", text.escape_debug()),
                    };
                    let mut problem = FieldProblem::new("plan.bad-name", at, message);
                    problem.hint = words::as_label(text).map(|label| format!("for example `{label}`"));
                    self.report(problem);
                }
            }
            Some(REQUEST_PATTERN) if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let message = format!("{} must be printable ASCII characters without spaces", self.field(at));
                let hint = "for example `2026-11-20.1`";
                self.report(FieldProblem::new("plan.bad-request", at, message).with_hint(hint));
            }
            Some(DURATION_PATTERN) => {
                if let Err(error) = parse_duration(text) {
                    let message = format!("{} cannot be `{}`: {error}", self.field(at), text.escape_debug());
                    let hint = "for example `90s`, `5m` or `1h30m`";
                    self.report(FieldProblem::new("plan.bad-duration", at, message).with_hint(hint));
                }
            }
            _ => {}
        }
    }

    fn range(&mut self, schema: &Value, value: &Value, at: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let Some(number) = value.as_f64() else { return };
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (None, most) => format!("at most {}", most.unwrap_or_default()),
            };
            let message = format!("{} must be {range}, not {value}", self.field(at));
            self.report(FieldProblem::new("plan.out-of-range", at, message));
        }
    }

    fn items(&mut self, schema: &'a Value, items: &[Value], at: &str) {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or_default();
        if u64::try_from(items.len()).unwrap_or(u64::MAX) < least {
            let message = format!("{} is empty", self.field(at));
            let problem = FieldProblem::new("plan.empty", at, message);
            self.report(problem.with_hint(format!("it needs at least {least} item")));
        }
        if self.is_data(at) {
            return;
        }
        let Some(schema) = schema.get("items") else { return };
        for (index, item) in items.iter().enumerate() {
            let mut at = at.to_owned();
            pointer::push_index(&mut at, index);
            self.check(schema, item, &at);
        }
    }

    /// Lists of documents are judged by their kind.
    fn is_data(&self, at: &str) -> bool {
        let mut segments = at.rsplit('/');
        let (field, kind) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let files = self.kinds.get(kind).and_then(|kind| kind.files());
        files.is_some_and(|files| files.into == field) && at.starts_with("/spec/components/")
    }

    fn fields(&mut self, schema: &'a Value, fields: &Map<String, Value>, at: &str, is_component: bool) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object);
        let known_or_none = known.unwrap_or(&none);
        let mut missing_kind_is_told = false;
        for (name, value) in fields {
            let at = pointer::child(at, name);
            if let Some(schema) = known.and_then(|known| known.get(name)) {
                self.check(schema, value, &at);
                continue;
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) => {
                    missing_kind_is_told |=
                        self.unknown_field((known_or_none, fields), &at, name, is_component);
                }
                Some(schema) => self.check(schema, value, &at),
                None => {}
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !fields.contains_key(name) {
                self.missing(at, name);
            }
        }
        if is_component {
            self.kind_key(fields, at, missing_kind_is_told);
        }
    }

    fn missing(&mut self, at: &str, name: &str) {
        let message = format!("{} has no `{name}`", self.scene(at));
        let mut problem = FieldProblem::new("plan.missing-field", at, message);
        problem.hint = match (at, name) {
            ("", "apiVersion") => Some("add `apiVersion: eve.dev/v1alpha1`".into()),
            ("", "kind") => Some("add `kind: Plan`".into()),
            _ => None,
        };
        self.report(problem);
    }

    /// Whether the message says what the component's kind key should be.
    fn unknown_field(
        &mut self,
        (known, fields): (&Map<String, Value>, &Map<String, Value>),
        at: &str,
        name: &str,
        is_component: bool,
    ) -> bool {
        if self.is_full() {
            self.found.hidden += 1;
            return true;
        }
        let scene = self.scene(parent(at));
        if let Some(problem) = unsupported_field(at, name, is_component, &scene) {
            self.report(problem.marked(Mark::Key));
            return false;
        }
        let absent = known.keys().map(String::as_str).filter(|known| !fields.contains_key(*known));
        let meant = closest(name, absent);
        let is_map = fields.get(name).is_some_and(Value::is_object);
        let no_kind = is_component && !fields.keys().any(|key| self.kinds.get(key).is_some());
        let kinds: Vec<&str> = self.kinds.iter().map(|(name, _)| name).collect();
        let shown = name.escape_debug();
        if no_kind && meant.is_none_or(|meant| kinds.contains(&meant)) && is_map {
            let message = format!("unknown kind `{shown}` in {scene}");
            let hint = meant.map_or_else(
                || format!("the known kinds are {}", list(&kinds, "and")),
                |meant| format!("did you mean `{meant}`?"),
            );
            let problem = FieldProblem::new("plan.unknown-kind", at, message).with_hint(hint);
            self.report(problem.marked(Mark::Key));
            return true;
        }
        let message = format!("unknown field `{shown}` in {scene}");
        let hint = meant.map_or_else(
            || {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                format!("the known fields are {}", list(&known, "and"))
            },
            |meant| format!("did you mean `{meant}`?"),
        );
        let problem = FieldProblem::new("plan.unknown-field", at, message).with_hint(hint);
        self.report(problem.marked(Mark::Key));
        meant.is_some_and(|meant| kinds.contains(&meant))
    }

    fn kind_key(&mut self, fields: &Map<String, Value>, at: &str, is_told: bool) {
        let mut found = fields.keys().filter(|key| self.kinds.get(key).is_some());
        let scene = self.scene(at);
        match (found.next(), found.next()) {
            (None, _) if !is_told => {
                let kinds: Vec<&str> = self.kinds.iter().map(|(name, _)| name).collect();
                let message = format!("{scene} has no kind: nothing says what it is");
                let hint = format!("add {}", list(&kinds, "or"));
                self.report(FieldProblem::new("plan.no-kind", at, message).with_hint(hint));
            }
            (Some(first), Some(second)) => {
                let message = format!("{scene} has two kinds, `{first}` and `{second}`");
                let mut problem = FieldProblem::new("plan.many-kinds", pointer::child(at, second), message)
                    .with_hint("split it into two components")
                    .marked(Mark::Key);
                problem.related.push((pointer::child(at, first), "the first kind".into()));
                self.report(problem);
            }
            _ => {}
        }
    }

    /// `retry.attempts` of component `web`
    fn field(&self, at: &str) -> String {
        words::field(self.whole, self.document, at)
    }

    /// What a field stands in.
    fn scene(&self, at: &str) -> String {
        words::scene(self.whole, self.document, at)
    }
}

fn parent(at: &str) -> &str {
    at.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if constants(schema).is_some() => vec!["string"],
        _ => Vec::new(),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

/// The strings that a schema of constants allows.
fn constants(schema: &Value) -> Option<Vec<&str>> {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        return Some(allowed.iter().filter_map(Value::as_str).collect());
    }
    if let Some(only) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![only]);
    }
    let branches = schema.get("oneOf").and_then(Value::as_array)?;
    branches.iter().map(|branch| branch.get("const").and_then(Value::as_str)).collect()
}

/// Fields of the format that this version does not know yet.
fn unsupported_field(at: &str, name: &str, is_component: bool, scene: &str) -> Option<FieldProblem> {
    let (code, what) = match (is_component, at, name) {
        (true, _, "cluster") => ("plan.unsupported-cluster", "plans for several clusters"),
        _ => return None,
    };
    let message = format!("`{name}` in {scene} is not supported by this version yet");
    Some(
        FieldProblem::new(code, at, message)
            .with_hint(format!("remove it; {what} come with a later version")),
    )
}
