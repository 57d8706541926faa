//! Loading through the public API: options, limits, places, and inputs that nobody meant.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use eve_core::kind::{Expansion, FileList, Kind, Kinds, Part, PartOrigin, Scope};
use eve_core::plan::diagnostic::{Diagnostic, Diagnostics, Severity};
use eve_core::plan::limits::Limits;
use eve_core::plan::load::{FileReader, LoadOptions, Loaded, Source, load};
use eve_core::plan::problem::SpecProblem;
use eve_core::plan::{Action, Plan, UndoRule};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Like `manifests`, without any opinion on objects: each item of `objects` is a part.
struct Things(&'static str);

impl Kind for Things {
    fn name(&self) -> &'static str {
        self.0
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "additionalProperties": false, "properties": {
            "objects": {"type": "array"}, "files": {"type": "array", "items": {"type": "string"}}}})
    }

    fn check(&self, spec: &Value, _scope: &Scope<'_>) -> Vec<SpecProblem> {
        let objects = spec.get("objects").and_then(Value::as_array).into_iter().flatten().enumerate();
        let problem = |(index, object): (usize, &Value)| {
            let problem =
                |field, text| SpecProblem::new("thing.bad", format!("/objects/{index}/{field}"), text);
            let bad = object.get("bad").map(|_| problem("bad", "a bad thing"));
            bad.or_else(|| object.get("warn").map(|_| problem("warn", "an odd thing").as_warning()))
        };
        objects.filter_map(problem).collect()
    }

    fn expand(&self, spec: Value, _scope: &Scope<'_>) -> Expansion {
        let objects = spec.get("objects").and_then(Value::as_array).into_iter().flatten().enumerate();
        let part = |(index, object): (usize, &Value)| Part {
            name: format!("thing/{index}"),
            kind: "thing".into(),
            action: Action::Apply,
            spec: Arc::new(json!({ "object": object })),
            dependencies: Vec::new(),
            undo: UndoRule::Allowed,
            labels: BTreeMap::new(),
            identity: None,
            origin: Some(PartOrigin { part: "/object", spec: format!("/objects/{index}") }),
            outputs: None,
            expressions: None,
        };
        Expansion { parts: objects.map(part).collect() }
    }

    fn files(&self) -> Option<FileList> {
        Some(FileList { paths: "files", into: "objects" })
    }
}

fn kinds() -> Kinds {
    Kinds::new().with_manifests(Things("things")).with(Things("others"))
}

struct OneFile(&'static str);

impl FileReader for OneFile {
    fn read(&self, from: &str, path: &str) -> Result<Vec<Source>, String> {
        Ok(vec![Source::new(format!("{from}+{path}"), self.0)])
    }
}

fn plan(components: &str) -> String {
    let head = "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {name: shop, namespace: shop}\n";
    format!("{head}spec:\n  components:\n{components}")
}

fn try_load(
    text: &str,
    change: impl FnOnce(LoadOptions<'_>) -> LoadOptions<'_>,
) -> Result<Loaded, Diagnostics> {
    let kinds = kinds();
    load(vec![Source::new("in.yaml", text)], &change(LoadOptions::new(&kinds)))
}

/// `code line:column` of everything that is found, by loading and by the graph.
fn codes(result: Result<Loaded, Diagnostics>) -> Vec<String> {
    let list = match result {
        Ok(loaded) => loaded.graph().map_or_else(|found| found.list, |_| loaded.warnings().list),
        Err(found) => found.list,
    };
    let place = |one: &Diagnostic| {
        one.place.as_ref().map(|place| format!(" {}:{}", place.line, place.column)).unwrap_or_default()
    };
    list.iter().map(|one| format!("{}{}", one.code, place(one))).collect()
}

#[test]
fn good_plan_loads_with_its_fields() {
    let text = plan(
        "    - name: a
      things: {objects: [{x: 1}]}
    - name: b
      dependsOn: [{component: a, until: applied}]
      timeout: 90s
      retry: {attempts: 2, backoff: 1m}
      onFailure: continue
      class: {name: one, limit: 1}
      labels: {tier: on}
      things: {objects: [{y: yes}, {z: 0644}]}
",
    );
    let loaded = try_load(&text, |options| options).unwrap();
    assert_eq!((loaded.name(), loaded.namespace(), loaded.is_manifests()), ("shop", "shop", false));
    let graph = loaded.graph().unwrap();
    let names: Vec<&str> = graph.ids().map(|id| graph.node(id).name()).collect();
    assert_eq!(names, ["a/thing/0", "a/applied", "a", "b/thing/0", "b/thing/1", "b"]);
    let part = graph.node(graph.find("b/thing/0").unwrap());
    // `on` is a text in a plan; `yes` is a boolean in a manifest, as kubectl reads it.
    assert_eq!(part.labels().collect::<Vec<_>>(), [("tier", "on")]);
    assert_eq!(*part.spec(), json!({"object": {"y": true}}));
    assert_eq!(part.timeout().unwrap().as_secs(), 90);
    assert_eq!(part.retry().unwrap().max_backoff.as_secs(), 60);
}

#[test]
fn plain_manifests_are_a_plan_named_after_their_namespace() {
    let text = "x: 1\n---\n---\nx: '${{ data }}'\n";
    let loaded = try_load(text, |options| options.with_namespace(Some("shop".into()))).unwrap();
    assert_eq!((loaded.name(), loaded.namespace(), loaded.is_manifests()), ("shop", "shop", true));
    let named = try_load(text, |options| {
        options.with_default_namespace(Some("shop".into())).with_name(Some("web".into()))
    });
    assert_eq!(named.unwrap().name(), "web");
    assert_eq!(codes(try_load(text, |options| options)), ["input.no-namespace"]);
}

#[test]
fn what_is_given_must_not_contradict_the_plan() {
    let text = plan("    - {name: a, things: {objects: [{}]}}\n");
    let other = try_load(&text, |options| {
        options.with_namespace(Some("other".into())).with_name(Some("other".into()))
    });
    assert_eq!(codes(other), ["plan.other-name 3:18", "plan.other-namespace 3:35"]);
    let bad = try_load(&text, |options| options.with_namespace(Some("Shop".into())));
    assert_eq!(codes(bad), ["plan.bad-name", "plan.other-namespace 3:35"]);
    assert!(try_load(&text, |options| options.with_namespace(Some("shop".into()))).is_ok());
}

#[test]
fn each_limit_has_its_own_error() {
    let two = plan(
        "    - {name: a, things: {objects: [{}]}}\n    - {name: b, dependsOn: [a], things: {objects: [{}]}}\n",
    );
    let check = |text: &str, change: fn(&mut Limits), want: &str| {
        let mut limits = Limits::default();
        change(&mut limits);
        let found =
            codes(try_load(text, |options| options.with_namespace(Some("shop".into())).with_limits(limits)));
        assert_eq!(found.first().map(String::as_str), Some(want), "{found:?}");
    };
    check(&two, |limits| limits.input_bytes_max = 10, "input.too-large");
    check("a: 1\n---\na: 2\n", |limits| limits.documents_max = 1, "input.too-many-documents 2:1");
    check("a: [[1]]\n", |limits| limits.depth_max = 2, "input.too-deep 1:5");
    check("a: &a [1, 2]\nb: [*a, *a]\n", |limits| limits.alias_values_max = 5, "input.too-many-aliases 2:5");
    check(&two, |limits| limits.components_max = 1, "graph.too-many-components 5:3");
    check(&two, |limits| limits.components_max = 3, "graph.too-many-components");
    check(&two, |limits| limits.edges_max = 2, "graph.too-many-edges");
    check(&two, |limits| limits.name_bytes_max = 5, "graph.bad-name 6:36");
}

#[test]
fn merged_maps_in_great_number_are_searched_once() {
    let mut text = "m0: &m0 {bad: 1}\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*m{}", level - 1); 6].join(", ");
        let _ = writeln!(text, "m{level}: &m{level} {{<<: [{below}]}}");
    }
    text.push_str("<<: *m11\n");
    assert_eq!(
        codes(try_load(&text, |options| options.with_namespace(Some("n".into())))),
        ["thing.bad 1:15"]
    );
}

#[test]
fn problems_beyond_the_limit_are_counted() {
    let mut components = String::new();
    for index in 0..50 {
        let _ = writeln!(components, "    - {{name: c{index}, things: {{objects: [{{bad: 1}}]}}}}");
    }
    let mut limits = Limits::default();
    limits.problems_max = 10;
    let found = try_load(&plan(&components), |options| options.with_limits(limits)).unwrap_err();
    assert_eq!((found.list.len(), found.hidden, found.error_count()), (10, 40, 50));
}

#[test]
fn warnings_beyond_the_limit_are_counted_and_hide_no_error() {
    let objects: Vec<String> = (0..50).map(|_| "{warn: 1}".to_owned()).collect();
    let component =
        |more: &str| format!("    - {{name: c, things: {{objects: [{}{more}]}}}}\n", objects.join(", "));
    let mut limits = Limits::default();
    limits.problems_max = 10;
    let loaded = try_load(&plan(&component("")), |options| options.with_limits(limits.clone())).unwrap();
    let found = loaded.warnings();
    assert_eq!((found.warning_count(), found.hidden_warnings, found.error_count()), (10, 40, 0));
    let found = try_load(&plan(&component(", {bad: 1}")), |options| options.with_limits(limits)).unwrap_err();
    assert_eq!((found.warning_count(), found.hidden_warnings, found.error_count()), (10, 40, 1));
}

#[test]
fn problems_of_all_components_and_edges_come_together() {
    let text = plan(
        "    - {name: a, dependsOn: [nobody], things: {objects: [{bad: 1}]}}
    - {name: b, timeuot: 1s, dependsOn: [c], things: {objects: [{}, {bad: 1}]}}
    - {name: c, dependsOn: [b], things: {}, others: {}}
",
    );
    assert_eq!(
        codes(try_load(&text, |options| options)),
        [
            "graph.unknown-dependency 6:29",
            "thing.bad 6:63",
            "plan.unknown-field 7:17",
            "graph.cycle 7:42",
            "thing.bad 7:75",
            "plan.many-kinds 8:33",
        ]
    );
}

#[test]
fn problems_in_files_are_shown_in_the_files() {
    let text = plan("    - {name: a, things: {objects: [{x: 1}], files: [f.yaml]}}\n");
    let kinds = kinds();
    let files = OneFile("x: 1\n---\nbad:\n  - 1\n");
    let options = LoadOptions::new(&kinds).with_files(&files);
    let found = load(vec![Source::new("in.yaml", text.clone())], &options).unwrap_err();
    let place = found.list[0].place.clone().unwrap();
    assert_eq!(found.sources[place.source].name(), "in.yaml+f.yaml");
    assert_eq!((place.line, place.column), (3, 1));
    assert_eq!(
        codes(load(vec![Source::new("in.yaml", text)], &LoadOptions::new(&kinds))),
        ["plan.file 6:53"]
    );
}

#[test]
fn problems_found_later_still_have_their_place() {
    let text = plan(
        "    - name: a\n      things:\n        objects:\n          - x: 1\n            deep: {er: [0, 1]}\n",
    );
    let loaded = try_load(&text, |options| options).unwrap();
    let problem = SpecProblem::new("k8s.refused", "/object/deep/er/1", "refused");
    let place = loaded.diagnose_spec("a/thing/0", &problem).place.unwrap();
    assert_eq!((place.line, place.column), (10, 28));
    assert_eq!(loaded.place("a").unwrap().line, 6);
    assert_eq!(loaded.diagnose_spec("nobody", &problem).place, None);
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let text = "base: &base {a: 1, b: [x]}
merged: {<<: *base, a: 2}
empty:
block: |
  two
  lines
fold: >-
  one
  line
tagged: !!str 5
\"json\": {\"u\": \"\\ud83d\\ude00\", \"t\":\t1}
8080: port
";
    let loaded = try_load(text, |options| options.with_namespace(Some("n".into()))).unwrap();
    let graph = loaded.graph().unwrap();
    let spec = graph.node(graph.ids().next().unwrap()).spec().clone();
    assert_eq!(
        spec["object"],
        json!({"base": {"a": 1, "b": ["x"]}, "merged": {"a": 2, "b": ["x"]}, "empty": null,
            "block": "two\nlines\n", "fold": "one line", "tagged": "5",
            "json": {"u": "\u{1f600}", "t": 1}, "8080": "port"})
    );
}

/// Reading must agree with the YAML library's own reading wherever both have an opinion.
fn agrees_with_the_library(text: &str) -> Result<(), TestCaseError> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let theirs = serde_saphyr::from_str_with_options::<Value>(text, options);
    let ours = try_load(text, |options| options.with_namespace(Some("n".into())));
    prop_assert_eq!(theirs.is_ok(), ours.is_ok(), "{}", text);
    if let (Ok(theirs), Ok(ours)) = (theirs, ours) {
        let graph = ours.graph().unwrap();
        let spec = graph.node(graph.ids().next().unwrap()).spec();
        prop_assert_eq!(&spec["object"], &theirs, "{}", text);
    }
    Ok(())
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "-?[1-9][0-9]{0,5}",
        "0[0-7]{1,4}",
        "[1-9][0-9]{0,2}\\.[0-9]*[1-9]",
        "0x[0-9a-f]{1,5}",
        Just("~".to_owned()),
        Just("yes".to_owned()),
        Just("Off".to_owned()),
        Just("\"quoted: \\u00e9\"".to_owned()),
        Just("'it''s'".to_owned()),
        Just("2026-11-20".to_owned()),
        Just("500m".to_owned()),
    ]
}

fn yaml() -> impl Strategy<Value = String> {
    let flow = scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let field = |(index, item): (usize, &String)| format!("k{index}: {item}");
                format!("{{{}}}", items.iter().enumerate().map(field).collect::<Vec<_>>().join(", "))
            }),
        ]
    });
    prop::collection::vec(flow, 1..6).prop_map(|values| {
        let mut text = String::new();
        for (index, value) in values.iter().enumerate() {
            let _ = writeln!(text, "key{index}: {value}");
        }
        text
    })
}

const GOOD: &str = "apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: {name: shop, namespace: shop}
spec:
  onFailure: continue
  components:
    - name: a
      things: &t {objects: [{x: 1, y: \"two\"}, {z: [1, 2]}]}
    - name: b
      dependsOn: [a, {component: a, until: applied}]
      timeout: 1h30m
      retry: {attempts: 3, backoff: 2s}
      class: {name: one, limit: 1}
      labels: {k: v}
      things: *t
";

#[test]
fn good_plan_of_the_property_is_good() {
    assert_eq!(codes(try_load(GOOD, |options| options)), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn reading_agrees_with_the_library(text in yaml()) {
        agrees_with_the_library(&text)?;
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let kinds = kinds();
        check_places(load(vec![Source::from_bytes("x", bytes)], &LoadOptions::new(&kinds)))?;
    }

    #[test]
    fn no_yaml_like_text_makes_it_panic(
        text in "([a-z]{1,3}|: |- |\\n|\\n  |[\\[\\]{},&*!|>'\"#%@`~]|<<: |---\\n|\\t|é){0,60}"
    ) {
        check_places(try_load(&text, |options| options.with_namespace(Some("n".into()))))?;
    }

    #[test]
    fn no_change_of_a_good_plan_makes_it_panic(
        cuts in prop::collection::vec((0..GOOD.len(), 0usize..12, "[a-z:{}\\[\\],&*\"\\n -]{0,4}"), 1..4)
    ) {
        let mut text = GOOD.to_owned();
        for (at, length, insert) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &insert);
        }
        check_places(try_load(&text, |options| options))?;
    }
}

/// Every refusal has at least one error, and every place lies in its source, on character borders.
fn check_places(result: Result<Loaded, Diagnostics>) -> Result<(), TestCaseError> {
    let found = match result {
        Ok(loaded) => match loaded.graph() {
            Ok(_) => loaded.warnings(),
            Err(found) => found,
        },
        Err(found) => {
            prop_assert!(found.list.iter().any(|one| one.severity == Severity::Error));
            found
        }
    };
    for place in found.list.iter().flat_map(|one| one.place.iter().chain(&one.related)) {
        let text = found.sources[place.source].text();
        prop_assert!(text.get(place.span.clone()).is_some(), "{:?}", place);
        let line = text.get(..place.span.start).unwrap_or_default().matches('\n').count() + 1;
        prop_assert_eq!(line, place.line);
    }
    Ok(())
}

#[test]
fn the_action_of_a_component_is_that_of_its_parts() {
    for (written, action) in
        [("apply", Action::Apply), ("delete", Action::Delete), ("read", Action::Read), ("", Action::Apply)]
    {
        let field = if written.is_empty() { String::new() } else { format!("      action: {written}\n") };
        let text = plan(&format!("    - name: a\n{field}      things: {{objects: [{{}}, {{}}]}}\n"));
        let graph = try_load(&text, |options| options).unwrap().graph().unwrap();
        let actions: Vec<Action> = graph.ids().map(|id| graph.node(id).action()).collect();
        assert_eq!(actions, [action, action, Action::None], "{written}");
    }
}

#[test]
fn what_depends_on_a_component_with_which_nothing_is_done_waits_for_what_it_depends_on() {
    let text = plan(
        "    - {name: a, things: {objects: [{}]}}\n    - {name: b, dependsOn: [a], action: none, things: {objects: [{}, {}]}}\n    \
         - {name: c, dependsOn: [b], things: {objects: [{}]}}\n",
    );
    let graph = try_load(&text, |options| options).unwrap().graph().unwrap();
    let at = |name: &str| graph.ids().find(|id| graph.node(*id).name() == name).unwrap();
    assert_eq!(graph.node(at("b")).action(), Action::None);
    assert!(graph.ids().all(|id| !graph.node(id).name().starts_with("b/")), "it has no parts");
    let waits = |name: &str, before: &str| {
        let edges = graph.dependencies(at(name));
        edges.iter().map(|edge| graph.node(edge.component).name()).eq([before])
    };
    assert!(waits("b", "a") && waits("c/thing/0", "b"));
}

#[test]
fn json_objects_one_behind_another_are_documents_and_keep_their_lines() {
    let kinds = kinds();
    let options = LoadOptions::new(&kinds).with_namespace(Some("shop".into()));
    let loaded = |text: &str| load(vec![Source::new("all.json", text)], &options);
    let text = "{\n  \"a\": 1\n}\n{\n  \"b\": [{}]\n}{\"c\": 2}\n";
    let graph = loaded(text).unwrap().graph().unwrap();
    assert_eq!(graph.ids().count(), 3);
    let found = loaded(&text.replace("\"b\"", "\"bad\"")).unwrap_err();
    assert_eq!(found.list[0].place.as_ref().unwrap().line, 5, "{found}");
}
