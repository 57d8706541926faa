//! The reference of the configuration, made from its schema: one row for each field, in the order of the types.

use std::fmt::Write as _;

use serde_json::Value;

use super::resolved;

/// The page `docs/reference/daemon.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# The configuration of `eve-daemon`\n\nGenerated from `eve-daemon/src/config/`; do not edit. How to begin: \
         [the guide](../guide/daemon.md).\n\nOne YAML file. A path in it is relative to the folder of the file. Every field can be \
         set in the environment,\nwhich counts more: `EVE_DAEMON__VAULT__ADDRESS` is `vault.address`; lists cannot. `eve-daemon check \
         FILE` tells every\nproblem with its place, `eve-daemon schema` prints the JSON Schema for editors.\n\nWhatever keeps `run` from \
         starting and needs no server to be found, `check` says in the same words; both end with\nexit code 2 then. 0 is success, 1 \
         everything else: a lock, a port, a journal that cannot be gone on with. With\n`--without-files`, `check` leaves out the files \
         that the configuration names, and the kubeconfig.\n\n| field | value | what it says \
         |\n|---|---|---|\n",
    );
    let schema = super::schema();
    rows(&schema, &schema, "", &mut text);
    text
}

/// The rows of an object, those of the objects in it after their own.
fn rows(root: &Value, object: &Value, path: &str, text: &mut String) {
    let required: Vec<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let (inner, is_list) = meaning(root, field);
        let place = format!("{path}{name}{}", if is_list && is_object(inner) { "[]" } else { "" });
        let what =
            field["description"].as_str().or_else(|| inner["description"].as_str()).unwrap_or_default();
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let must = if required.contains(&name.as_str()) { "**required** " } else { "" };
        let _ = writeln!(text, "| `{place}` | {must}{} | {what} |", value_of(inner, is_list));
        if is_object(inner) {
            rows(root, inner, &format!("{place}."), text);
        }
    }
}

fn is_object(schema: &Value) -> bool {
    schema["properties"].is_object()
}

/// What a field holds, references followed; and whether it is a list of that.
fn meaning<'a>(root: &'a Value, field: &'a Value) -> (&'a Value, bool) {
    let of_list = |schema: &'a Value| if schema["items"].is_object() { Some(&schema["items"]) } else { None };
    let held = resolved(root, field);
    match of_list(held) {
        Some(items) => (resolved(root, items), true),
        None => (held, false),
    }
}

/// The form of a value, in words.
fn value_of(schema: &Value, is_list: bool) -> String {
    let constants = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(schema["enum"].as_array().into_iter().flatten());
    let words: Vec<String> = constants
        .filter_map(|one| one["const"].as_str().or_else(|| one.as_str()).map(|word| format!("`{word}`")))
        .collect();
    let types = &schema["type"];
    let is =
        |name: &str| types == name || types.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let one = match () {
        () if !words.is_empty() => words.join(", "),
        () if is("object") => "map".to_owned(),
        () if is("integer") => "number".to_owned(),
        () if is("boolean") => "`true` or `false`".to_owned(),
        () if schema["pattern"].is_string() => "time such as `1h30m`".to_owned(),
        () => "text".to_owned(),
    };
    if is_list { format!("list: {one}") } else { one }
}
