//! The reference in `docs/reference/` agrees with the program. `EVE_BLESS=1 cargo test -p eve-cli --test reference`
//! writes the generated parts anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eve_core::kind::Kinds;
use eve_core::plan::load::plan_schema;
use eve_k8s::kinds::Manifests;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Asserts that a file of the reference is what the code says; writes it anew when that is asked for.
fn is_up_to_date(name: &str, wanted: &str) {
    let path = workspace().join("docs/reference").join(name);
    if std::env::var_os("EVE_BLESS").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == wanted,
        "{} is stale; run EVE_BLESS=1 cargo test -p eve-cli --test reference",
        path.display()
    );
}

#[test]
fn schema_of_the_plan_is_up_to_date() {
    let kinds = Kinds::new().with_manifests(Manifests::default());
    let schema = serde_json::to_string_pretty(&plan_schema(&kinds)).unwrap() + "\n";
    is_up_to_date("plan.schema.json", &schema);
}

#[test]
fn reference_of_inferred_order_is_up_to_date() {
    is_up_to_date("inference.md", &eve_k8s::infer::markdown());
}

#[test]
fn reference_of_readiness_is_up_to_date() {
    is_up_to_date("readiness.md", &eve_k8s::readiness::markdown());
}

#[test]
fn reference_of_expressions_is_up_to_date() {
    is_up_to_date("expressions.md", &eve_core::expr::markdown());
}

/// Every `"family.word"` in the sources that make diagnostics.
fn codes_in_sources() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let folders = [
        "eve-core/src/plan",
        "eve-core/src/expr",
        "eve-core/src/secret",
        "eve-k8s/src/kinds",
        "eve-k8s/src/infer",
        "eve-vault/src",
    ];
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| workspace().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend(Some(path).filter(|path| !path.ends_with("expr/tests")));
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            codes.extend(text.split('"').filter(|word| is_code(word)).map(str::to_owned));
        }
    }
    codes
}

fn is_code(word: &str) -> bool {
    let Some((family, name)) = word.split_once('.') else { return false };
    ["input", "yaml", "plan", "expr", "graph", "object", "manifests", "secret", "vault"].contains(&family)
        && !name.is_empty()
        // A file of sources, not a code.
        && name != "rs"
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn codes_in_reference() -> BTreeSet<String> {
    let text = fs::read_to_string(workspace().join("docs/reference/diagnostics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(code, _)| code.to_owned()).collect()
}

#[test]
fn every_code_is_in_the_reference_and_nothing_else() {
    let (sources, reference) = (codes_in_sources(), codes_in_reference());
    let absent: Vec<_> = sources.difference(&reference).collect();
    let gone: Vec<_> = reference.difference(&sources).collect();
    assert!(
        absent.is_empty() && gone.is_empty(),
        "not in the reference: {absent:?}; not in the sources: {gone:?}"
    );
}

/// The keywords that the validator knows, or that only describe.
const KEYWORDS: [&str; 24] = [
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "examples",
];

fn unknown_keywords(schema: &serde_json::Value, unknown: &mut BTreeSet<String>) {
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        if !KEYWORDS.contains(&keyword.as_str()) {
            unknown.insert(keyword.clone());
        }
        let below: Vec<&serde_json::Value> = match keyword.as_str() {
            "$defs" | "properties" => value.as_object().into_iter().flat_map(|all| all.values()).collect(),
            "anyOf" | "oneOf" => value.as_array().into_iter().flatten().collect(),
            "items" | "additionalProperties" => vec![value],
            _ => Vec::new(),
        };
        for schema in below {
            unknown_keywords(schema, unknown);
        }
    }
}

#[test]
fn schema_says_nothing_that_the_validator_does_not_know() {
    let mut unknown = BTreeSet::new();
    unknown_keywords(&plan_schema(&Kinds::new().with_manifests(Manifests::default())), &mut unknown);
    assert!(unknown.is_empty(), "{unknown:?}");
}
