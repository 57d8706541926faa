//! Expressions of plans: checked with their places, rendered as far as that can be, the rest left for the run.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use eve_core::failure::Failure;
use eve_core::kind::{Expansion, FileList, Kind, Kinds, Part, PartOrigin, Scope};
use eve_core::plan::diagnostic::{Diagnostic, Diagnostics};
use eve_core::plan::graph::Graph;
use eve_core::plan::load::{FileReader, LoadOptions, Loaded, Source, load};
use eve_core::plan::problem::SpecProblem;
use eve_core::plan::{Action, Until, reversed};
use eve_core::secret::{BadSecret, SecretRef};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One part for each item of `objects`, whose spec is the item; `outputs` are the names of what the first puts out.
struct Things;

impl Kind for Things {
    fn name(&self) -> &'static str {
        "things"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": false, "properties": {
            "objects": { "type": "array" }, "files": { "type": "array", "items": { "type": "string" } },
            "outputs": { "type": "array", "items": { "type": "string" } },
            "count": { "type": "integer", "minimum": 1 } } })
    }

    fn check(&self, _: &Value, _: &Scope<'_>) -> Vec<SpecProblem> {
        Vec::new()
    }

    fn expand(&self, spec: Value, scope: &Scope<'_>) -> Expansion {
        let outputs: Option<Vec<String>> =
            spec.get("outputs").map(|all| serde_json::from_value(all.clone()).unwrap());
        let objects = spec.get("objects").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_one = objects.len() == 1 && !scope.component.is_empty();
        let part = |(index, object): (usize, Value)| Part {
            name: if is_one { String::new() } else { format!("thing/{index}") },
            kind: "thing".into(),
            action: Action::Apply,
            spec: Arc::new(object),
            origin: Some(PartOrigin { part: "", spec: format!("/objects/{index}") }),
            outputs: if index == 0 { outputs.clone() } else { Some(Vec::new()) },
            ..Part::join("")
        };
        Expansion { parts: objects.into_iter().enumerate().map(part).collect() }
    }

    fn files(&self) -> Option<FileList> {
        Some(FileList { paths: "files", into: "objects" })
    }
}

struct OneFile(String);

impl FileReader for OneFile {
    fn read(&self, _: &str, path: &str) -> Result<Vec<Source>, String> {
        Ok(vec![Source::new(path, self.0.as_str())])
    }
}

fn loaded_with(text: &str, set: &[(&str, &str)], files: &[&str]) -> Result<Loaded, Vec<String>> {
    let kinds = Kinds::new().with_manifests(Things);
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let files = files.iter().map(|text| Source::new("values.yaml", *text)).collect();
    let file = OneFile("kind: X\ntext: ${{ inputs.version }} ${{ nonsense\n".into());
    let options = LoadOptions::new(&kinds)
        .with_default_namespace(Some("shop".into()))
        .with_files(&file)
        .with_inputs(files, set);
    load(vec![Source::new("plan.yaml", text)], &options).map_err(|diagnostics| {
        let line = |one: &Diagnostic| {
            let place = one.place.as_ref().map(|place| {
                let marked = &diagnostics.sources[place.source].text()[place.span.clone()];
                format!("{}:{} `{marked}` ", place.line, place.column)
            });
            let hint = one.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{}{}: {}{hint}", place.unwrap_or_default(), one.code, one.message)
        };
        diagnostics.list.iter().map(line).collect()
    })
}

fn plan(rest: &str) -> String {
    format!(
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: shop, namespace: prod }}\nspec:\n{rest}"
    )
}

const INPUTS: &str = "  cluster: east\n  inputs: { version: 1.4.2, n: 3, list: [a, b], trap: '$${{ x }}' }\n";

fn graph(rest: &str) -> Graph {
    loaded_with(&plan(rest), &[], &[]).unwrap().graph().unwrap()
}

fn one(spec: &str) -> Value {
    let graph = graph(&format!("{INPUTS}  components:\n  - name: a\n    things: {{ objects: [{spec}] }}\n"));
    graph.node(graph.ids().next().unwrap()).spec().clone()
}

#[test]
fn what_needs_no_run_is_rendered_before_anything_sees_it() {
    for (spec, want) in [
        ("{ x: '${{ inputs.n }}' }", json!({ "x": 3 })),
        ("{ x: 'v${{ inputs.version }}' }", json!({ "x": "v1.4.2" })),
        ("{ x: '${{ inputs.list.map(i, i + \"!\") }}' }", json!({ "x": ["a!", "b!"] })),
        (
            "{ x: '${{ plan.name }}.${{ plan.namespace }}.${{ cluster.name }}' }",
            json!({ "x": "shop.prod.east" }),
        ),
        // Values and escapes are data, however often they pass.
        (
            "{ x: '${{ inputs.trap }}', y: '$${{ inputs.n }}' }",
            json!({ "x": "${{ x }}", "y": "${{ inputs.n }}" }),
        ),
        ("{ x: '${{ run.id }}' }", json!({ "x": "${{ run.id }}" })),
    ] {
        assert_eq!(one(spec), want, "{spec}");
    }
    let graph = graph(&format!(
        "{INPUTS}  components:\n  - {{ name: a, timeout: '${{{{ string(inputs.n) }}}}m', things: {{ count: '${{{{ inputs.n }}}}', objects: [{{}}] }} }}\n"
    ));
    assert_eq!(graph.node(graph.ids().next().unwrap()).timeout(), Some(std::time::Duration::from_mins(3)));
}

#[test]
fn manifests_are_data_alone_and_in_files() {
    let manifest = "kind: X\ntext: ${{ inputs.version }} ${{ nonsense\nmore: $${{\n";
    let graph = loaded_with(manifest, &[], &[]).unwrap().graph().unwrap();
    let spec = graph.node(graph.ids().next().unwrap()).spec();
    assert_eq!(*spec, json!({ "kind": "X", "text": "${{ inputs.version }} ${{ nonsense", "more": "$${{" }));
    let plan = plan("  components:\n  - { name: a, things: { files: [x.yaml] } }\n");
    let graph = loaded_with(&plan, &[], &[]).unwrap().graph().unwrap();
    let node = graph.node(graph.ids().next().unwrap());
    assert_eq!(node.spec()["text"], json!("${{ inputs.version }} ${{ nonsense"));
    assert!(node.expressions().is_none());
}

#[test]
fn every_problem_has_its_place_in_the_string_and_all_come_at_once() {
    let text = plan(
        "  inputs:
    version: '${{ 1 }}'
    absent:
  secrets:
    key: hunter2
    other: vault:a#b
  components:
  - name: a
    labels: { x: '${{ components.b.host }}' }
    readyWhen: self.x == inputs.versoin
    things:
      objects:
      - x: prefix ${{ inputs.versoin }}
        y: \"tab\\t${{ 1 + }}\"
        ${{ k }}: 1
        block: |
          first line
          second ${{ secrets.kye }} and more
        z: ${{ components.cache.host }} ${{ components.a.host }} ${{ cluster.name }}
        s: ${{ self.x }}
  - name: b
    things: { count: 'x${{ components.a.n }}', objects: [{ x: \"${{ inputs.list[3] }}\" }] }
",
    );
    assert_eq!(
        loaded_with(&text, &[("vers", "1")], &[]).unwrap_err(),
        [
            "plan.unknown-input: the plan has no input `vers` (the plan has the inputs `absent` and `version`)",
            "6:14 `'${{ 1 }}'` plan.expression: expressions can only stand in components (write the value itself; `$${{` stands for `${{`)",
            "7:5 `absent` plan.input-missing: the input `absent` has no value (give it with `--set absent=VALUE`, or write one in the plan)",
            "9:10 `hunter2` plan.bad-secret-reference: `key` does not say where the secret is kept (a reference to a secret is written `BACKEND:PLACE`, for example `vault:shop/db#password`)",
            "13:23 `components.b.host` expr.unknown-name: `components` cannot be used here (this field must be known before the plan runs)",
            "14:26 `inputs.versoin` expr.unknown-name: there is no input `versoin` (did you mean `version`?)",
            "17:23 `inputs.versoin` expr.unknown-name: there is no input `versoin` (did you mean `version`?)",
            "18:12 `\"tab\\t${{ 1 + }}\"` expr.syntax: something is missing at the end of the expression",
            "19:9 `${{ k }}` plan.expression: `${{` in a key: only values may hold expressions (write the key itself)",
            "22:22 `secrets.kye` expr.unknown-name: there is no secret `kye` (known are `other`)",
            "23:16 `components.cache.host` expr.unknown-name: there is no component `cache` (known are `a` and `b`)",
            "23:45 `components.a.host` expr.unknown-name: `a` refers to its own outputs (it has none before it is ready)",
            "23:70 `cluster.name` expr.unknown-name: the plan does not say which cluster it is for (state it under `spec.cluster`)",
            "24:16 `self.x` expr.unknown-name: `self` cannot be used here (known are `inputs`, `secrets`, `components`, `plan`, `run`, `cluster`)",
            "26:22 `'x${{ components.a.n }}'` plan.wrong-type: `things.count` of component `b` must be a whole number, not a text (let the expression be alone in its string)",
            "26:68 `inputs.list[3]` expr.unknown-name: there is no input `list` (known are `absent` and `version`)",
        ]
    );
}

/// A backend in which every place is wrong that does not begin with `kv/`.
fn judge(reference: &SecretRef) -> Result<(), Failure> {
    if reference.place.starts_with("kv/") {
        return Ok(());
    }
    let failure = Failure::permanent("vault.bad-reference", "the path names a mount");
    Err(failure.with_hint("write `vault:PATH#KEY`, for example `vault:kv/shop/db#password`"))
}

fn lines(found: &Diagnostics) -> Vec<String> {
    let line = |one: &Diagnostic| {
        let place = one.place.as_ref().map(|place| format!("{}:{}", place.line, place.column));
        let hint = one.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{} {}: {}{hint}", place.unwrap_or_default(), one.code, one.message)
    };
    found.list.iter().map(line).collect()
}

#[test]
fn a_bad_place_alone_is_told_with_what_asking_for_the_other_secrets_tells() {
    let text = plan(
        "  secrets:
    absent: vault:kv/shop/db#password
    shape: vault:kv
  components:
  - { name: a, things: { objects: [{}] } }
",
    );
    let kinds = Kinds::new().with(Things);
    let options = LoadOptions::new(&kinds).with_secret_places(&judge);
    let plan = load(vec![Source::new("x", text)], &options).unwrap();
    let bad = |(name, reference): (&String, &SecretRef)| BadSecret {
        name: name.clone(),
        reference: reference.clone(),
        failure: judge(reference).err().unwrap_or(Failure::permanent("vault.absent", "nothing is there")),
    };
    let bad: Vec<BadSecret> = plan.secrets().iter().map(bad).collect();
    assert_eq!(
        lines(&plan.diagnose_secrets(&bad)),
        [
            "6:13 vault.absent: secret `absent`: nothing is there",
            "7:12 vault.bad-reference: secret `shape`: the path names a mount (write `vault:PATH#KEY`, for example `vault:kv/shop/db#password`)",
        ]
    );
}

#[test]
fn bad_places_of_secrets_unknown_outputs_and_bad_fields_are_told_in_one_round() {
    let text = plan(
        "  onFailure: stop
  secrets:
    good: vault:kv/shop/db#password
    shape: vault:hunter2
    key: password of the vault for kv shop db
  components:
  - { name: a, readyWhen: self.ok, things: { objects: [{}, {}], outputs: [host] } }
  - { name: b, things: { objects: [{ x: '${{ components.a.hots }} ${{ inputs.nothing }}' }] } }
",
    );
    let kinds = Kinds::new().with(Things);
    let options = LoadOptions::new(&kinds).with_secret_places(&judge);
    let found = load(vec![Source::new("x", text)], &options).unwrap_err();
    assert_eq!(
        lines(&found),
        [
            "5:14 plan.unknown-value: unknown value `stop` for `spec.onFailure` (it can be `drain`, `continue` or `rollback`)",
            "8:12 vault.bad-reference: secret `shape`: the path names a mount (write `vault:PATH#KEY`, for example `vault:kv/shop/db#password`)",
            "9:10 plan.bad-secret-reference: `key` does not say where the secret is kept (a reference to a secret is written `BACKEND:PLACE`, for example `vault:shop/db#password`)",
            "11:27 plan.ready-when: `readyWhen` of `a` speaks of one object, and it has 2 (put the object that is meant into a component of its own)",
            "12:46 expr.unknown-output: component `a` has no output `hots` (did you mean `host`?)",
            "12:71 expr.unknown-name: there is no input `nothing` (name it under `spec.inputs`)",
        ]
    );
}

#[test]
fn inputs_come_from_the_plan_then_from_files_then_one_by_one() {
    let text = plan(
        "  inputs: { version: 1.4.2, n: 3, on: , from_file: x }
  components:
  - { name: a, things: { objects: [{ v: '${{ inputs.version }}', n: '${{ inputs.n }}', on: '${{ inputs.on }}', f: '${{ inputs.from_file }}' }] } }
",
    );
    let set = [("version", "1.10"), ("n", "5"), ("on", "yes ${{ x }}")];
    let loaded =
        loaded_with(&text, &set, &["n: 4\nfrom_file: [1]\n", "from_file: {a: '${{ y }}'}\n"]).unwrap();
    let graph = loaded.graph().unwrap();
    let want = json!({ "v": "1.10", "n": 5, "on": "yes ${{ x }}", "f": { "a": "${{ y }}" } });
    assert_eq!(*graph.node(graph.ids().next().unwrap()).spec(), want);
    let wrong = loaded_with(&text, &[("on", "1")], &["[1]", "versino: 1\n"]).unwrap_err();
    assert_eq!(
        wrong,
        [
            "1:2 `1` plan.bad-inputs: a file with inputs holds a map (write `name: value` lines)",
            "1:1 `versino` plan.unknown-input: the plan has no input `versino` (did you mean `version`?)",
        ]
    );
    let manifests = loaded_with("kind: X\n", &[("a", "1")], &[]).unwrap_err();
    assert_eq!(
        manifests,
        [
            "plan.unknown-input: plain manifests take no inputs: nothing in them is an expression (leave out `--set` and `--inputs`, or write a plan)"
        ]
    );
}

const CHAIN: &str = "  inputs: { stage: blue }
  secrets: { key: 'vault:a#b@3' }
  components:
  - name: web
    things:
      objects: [{ host: '${{ components.db.host }}', both: '${{ inputs.stage }}-${{ components[\"db\"].port }}-${{ secrets.key }}' }]
  - name: db
    things: { outputs: [host, port], objects: [{ a: 1 }, { b: 2 }] }
";

#[test]
fn a_reference_is_an_edge_and_is_left_for_the_run() {
    let loaded = loaded_with(&plan(CHAIN), &[], &[]).unwrap();
    let graph = loaded.graph().unwrap();
    let (web, db) = (graph.find("web").unwrap(), graph.find("db").unwrap());
    assert_eq!(
        graph.dependencies(web),
        [eve_core::plan::graph::Edge { component: db, until: Until::default() }]
    );
    let edge = loaded.edges().find(|edge| edge.component() == "web").unwrap();
    assert_eq!((edge.rule(), edge.place().unwrap().line), (Some("reference"), 10));
    let node = graph.node(web);
    let expressions = node.expressions().unwrap();
    assert_eq!(expressions.pointers(), ["/both", "/host"]);
    assert_eq!(expressions.secrets().into_iter().collect::<Vec<_>>(), ["key"]);
    let part = graph.find("db/thing/0").unwrap();
    assert_eq!(node.sources().len(), 1);
    assert_eq!((node.sources()[0].component, node.sources()[0].parts.as_slice()), (db, &[part][..]));
    assert_eq!(loaded.secrets()["key"].to_string(), "vault:a#b@3");

    let turned = Graph::from_plan(&reversed(&loaded)).unwrap();
    assert!(
        turned.node(turned.find("web").unwrap()).expressions().is_none(),
        "what is deleted needs no values"
    );
}

#[test]
fn references_that_lead_nowhere_or_back_are_found_before_anything_runs() {
    let unknown = CHAIN.replace("db.host", "db.hots");
    assert_eq!(
        loaded_with(&plan(&unknown), &[], &[]).unwrap_err(),
        [
            "10:30 `components.db.hots` expr.unknown-output: component `db` has no output `hots` (did you mean `host`?)"
        ]
    );
    let cycle = CHAIN.replace("{ a: 1 }", "{ a: 'x ${{ components.web.y }}' }");
    let cycle = loaded_with(&plan(&cycle), &[], &[]).unwrap_err();
    assert_eq!(cycle.len(), 1, "{cycle:?}");
    assert!(cycle[0].contains("graph.cycle: components depend on each other in a cycle"), "{cycle:?}");
    let own = CHAIN.replace("{ a: 1 }", "{ a: '${{ components.db.host }}' }");
    let own = loaded_with(&plan(&own), &[], &[]).unwrap_err();
    assert!(own[0].ends_with("`db` refers to its own outputs (it has none before it is ready)"), "{own:?}");
    let dynamic = CHAIN.replace("components.db.host", "components[inputs.stage].host");
    let dynamic = loaded_with(&plan(&dynamic), &[], &[]).unwrap_err();
    assert!(dynamic[0].contains("it must be written which component is meant"), "{dynamic:?}");
    let two = CHAIN.replace("- name: db", "- name: db\n    readyWhen: self.x");
    let two = loaded_with(&plan(&two), &[], &[]).unwrap_err();
    assert!(
        two[0].contains("plan.ready-when: `readyWhen` of `db` speaks of one object, and it has 2"),
        "{two:?}"
    );
}

#[test]
fn another_input_is_another_plan_even_where_only_the_run_renders_it() {
    let identity = |stage: &str| {
        let graph = loaded_with(&plan(CHAIN), &[("stage", stage)], &[]).unwrap().graph().unwrap();
        let mut bytes = Vec::new();
        graph.identity(&mut |piece| bytes.extend_from_slice(piece));
        bytes
    };
    assert_ne!(identity("blue"), identity("green"));
    assert_eq!(identity("blue"), identity("blue"));
}

#[test]
fn what_expressions_make_of_a_plan_is_bounded() {
    let many = "      - '${{ inputs.text }}'\n".repeat(2_000);
    let text = plan(&format!(
        "  inputs: {{ text: {} }}\n  components:\n  - name: a\n    things:\n      objects:\n{many}",
        "x".repeat(100_000)
    ));
    let wrong = loaded_with(&text, &[], &[]).unwrap_err();
    assert!(wrong[0].contains("expr.limit: the expression makes too large values"), "{}", wrong[0]);
    assert!(wrong.len() <= 100, "{}", wrong.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a manifest says, it comes out as it went in, alone and in a file.
    #[test]
    fn a_manifest_is_never_parsed_for_expressions(text in "[$a{} ]{0,24}") {
        let manifest = json!({ "kind": "X", "text": text }).to_string();
        let graph = loaded_with(&manifest, &[], &[]).unwrap().graph().unwrap();
        prop_assert_eq!(&graph.node(graph.ids().next().unwrap()).spec()["text"], &json!(text));
    }

    /// Whatever the value of an input is, it is data in a spec.
    #[test]
    fn an_input_is_never_parsed_again(text in "[$a{} ]{0,24}") {
        let plan = plan("  inputs: { x: '' }\n  components: [{ name: a, things: { objects: [{ v: '${{ inputs.x }}', w: '<${{ inputs.x }}>' }] } }]\n");
        let graph = loaded_with(&plan, &[("x", &text)], &[]).unwrap().graph().unwrap();
        let node = graph.node(graph.ids().next().unwrap());
        prop_assert_eq!(node.spec(), &json!({ "v": text, "w": format!("<{text}>") }));
        prop_assert!(node.expressions().is_none());
    }
}
