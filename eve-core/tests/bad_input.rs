//! What bad input costs: as much as it is long, whatever is wrong with it, and every problem of it is counted.

#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_types, reason = "no engine is here, and a clock says what something costs")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use eve_core::kind::{Expansion, Kind, Kinds, Scope};
use eve_core::plan::diagnostic::Diagnostics;
use eve_core::plan::load::{LoadOptions, Source, load};
use eve_core::plan::problem::SpecProblem;
use eve_core::testing::canary::{Canary, CanaryScan};
use serde_json::{Value, json};

/// A kind to which every field is a problem.
struct Nothing;

impl Kind for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": { "list": {}, "map": {} } })
    }

    fn check(&self, spec: &Value, _scope: &Scope<'_>) -> Vec<SpecProblem> {
        let bad = |at: String| SpecProblem::new("nothing.bad", at, "bad").with_hint(SpecProblem::QUOTE);
        let list = spec.get("list").and_then(Value::as_array).map_or(0, Vec::len);
        let map = spec.get("map").and_then(Value::as_object).into_iter().flatten();
        let items = (0..list).map(|at| bad(format!("/list/{at}")));
        items.chain(map.map(|(key, _)| bad(format!("/map/{key}")))).collect()
    }

    fn expand(&self, _spec: Value, _scope: &Scope<'_>) -> Expansion {
        Expansion { parts: Vec::new() }
    }
}

/// What stands in the Secrets of these inputs.
fn canary() -> Canary {
    Canary::plain(60)
}

fn assert_secret_is_not_told(found: &Diagnostics) {
    let mut scan = CanaryScan::new([canary()]);
    scan.sink("what is told", format!("{:?}", found.list));
    scan.assert_clean();
}

fn diagnose(text: &str) -> Diagnostics {
    let kinds = Kinds::new().with(Nothing);
    let options = LoadOptions::new(&kinds).with_default_namespace(Some("shop".into()));
    load(vec![Source::new("in.yaml", text)], &options).unwrap_err()
}

const HEAD: &str = "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {name: shop, namespace: shop}\n";

fn keys(number: usize, value: &str, end: &str) -> String {
    (0..number).fold(String::new(), |mut text, at| {
        let _ = write!(text, "k{at}: {value}{end}");
        text
    })
}

/// Every way in which a text of this size can be wrong, with how many problems it has.
fn bad(kind: &str, number: usize) -> (String, usize) {
    match kind {
        "keys that stand twice" => (keys(number, "1", "\n").repeat(2), number),
        "unknown fields" => (format!("{HEAD}{}", keys(number, "1", "\n")), number + 1),
        "fields of the wrong type" => {
            let components = "    - name: [a]\n      dependsOn: 1\n      nothing: {}\n".repeat(number);
            (format!("{HEAD}spec:\n  components:\n{components}"), 2 * number)
        }
        "fields that a kind refuses" => {
            let map = keys(number, "1", ", ");
            (
                format!("{HEAD}spec:\n  components:\n    - name: a\n      nothing: {{map: {{{map}}}}}\n"),
                number,
            )
        }
        "items on one line" => {
            let list = vec!["1"; number].join(", ");
            let secret = format!("{{kind: Secret, data: {{{}}}}}", keys(number, canary().value(), ", "));
            let spec = format!("{{list: [{list}], map: {{a: {secret}}}}}");
            (format!("{HEAD}spec:\n  components:\n    - name: a\n      nothing: {spec}\n"), number + 1)
        }
        "secrets without a place" => {
            let secrets = keys(number, canary().value(), ", ");
            let component = "components: [{name: a, nothing: {}}]";
            (format!("{HEAD}spec:\n  secrets: {{{secrets}}}\n  {component}\n"), number)
        }
        "tags without a meaning" => (keys(number, "!x 1", "\n"), number),
        "documents that end nowhere" => ("a: [\n---\n".repeat(number), number),
        _ => unreachable!("{kind}"),
    }
}

const KINDS: [&str; 8] = [
    "keys that stand twice",
    "unknown fields",
    "fields of the wrong type",
    "fields that a kind refuses",
    "items on one line",
    "secrets without a place",
    "tags without a meaning",
    "documents that end nowhere",
];

#[test]
fn every_problem_is_counted_and_the_first_hundred_are_told() {
    for kind in KINDS {
        let (text, problems) = bad(kind, 3_000);
        let found = diagnose(&text);
        assert_eq!((found.list.len(), found.error_count()), (100, problems), "{kind}");
        assert_secret_is_not_told(&found);
    }
}

/// The least of several times: what others do on the machine makes a run longer, never shorter.
fn cost(kind: &str, number: usize) -> Duration {
    let (text, _) = bad(kind, number);
    let once = || {
        let begun = Instant::now();
        let found = diagnose(&text);
        let took = begun.elapsed();
        assert_secret_is_not_told(&found);
        took
    };
    (0..3).map(|_| once()).min().unwrap()
}

#[test]
fn bad_input_costs_as_much_as_it_is_long() {
    const TIMES: u32 = 16;
    for kind in KINDS {
        let (small, large) = (cost(kind, 1_000), cost(kind, 1_000 * TIMES as usize));
        let ratio = large.as_secs_f64() / small.as_secs_f64();
        assert!(
            ratio < 3.0 * f64::from(TIMES),
            "{kind}: {TIMES} times as much took {ratio:.0} times as long"
        );
    }
}
