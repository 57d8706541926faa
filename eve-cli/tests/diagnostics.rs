//! Every bad input of `bad_inputs/` and the exact words that people see.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eve_cli::diagnose::{Colour, render};
use eve_core::kind::Kinds;
use eve_core::plan::diagnostic::Diagnostics;
use eve_core::plan::load::{FileReader, LoadOptions, Source, load};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_k8s::kinds::Manifests;
use proptest::prelude::*;

/// Reads files beside the bad inputs.
struct Beside(PathBuf);

impl FileReader for Beside {
    fn read(&self, _from: &str, path: &str) -> Result<Vec<Source>, String> {
        let bytes = fs::read(self.0.join(path)).map_err(|_| "no such file".to_owned())?;
        Ok(vec![Source::from_bytes(path, bytes)])
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_inputs")
}

fn inputs() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    inputs.sort();
    inputs
}

/// What `eve validate -f` finds: loading, then the graph.
fn diagnose(path: &Path) -> Diagnostics {
    let name = path.file_name().unwrap().to_str().unwrap();
    find(Source::from_bytes(name, fs::read(path).unwrap()))
}

fn find(source: Source) -> Diagnostics {
    let kinds = Kinds::new().with_manifests(Manifests::default());
    let files = Beside(folder());
    let options = LoadOptions::new(&kinds)
        .with_default_namespace(Some("shop".into()))
        .with_files(&files)
        .with_secret_places(&eve_vault::check_place);
    match load(vec![source], &options) {
        Err(diagnostics) => diagnostics,
        Ok(loaded) if !loaded.misplaced_secrets().is_empty() => {
            loaded.diagnostics(loaded.misplaced_secrets().to_vec())
        }
        Ok(loaded) => loaded.graph().map_or_else(|diagnostics| diagnostics, |_| loaded.warnings()),
    }
}

#[test]
fn every_bad_input_is_told_in_these_words() {
    for path in inputs() {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        insta::assert_snapshot!(stem, render(&diagnose(&path), Colour::Never));
    }
}

#[test]
fn corpus_covers_many_codes() {
    let inputs = inputs();
    let codes: BTreeSet<String> =
        inputs.iter().flat_map(|path| diagnose(path).list).map(|one| one.code.into_owned()).collect();
    assert!(inputs.len() >= 40, "{} inputs", inputs.len());
    assert!(codes.len() >= 30, "{} codes", codes.len());
}

const TEMPLATE: &str = "apiVersion: v1
kind: Secret
metadata:
  name: db
  labels: {tier: data}
  annotations:
    copy: VALUE
type: Opaque
stringData:
  user: VALUE
  password: \"VALUE\"
  list: [VALUE, VALUE]
  block: |
    VALUE
    VALUE
data: {key: VALUE, other: !x VALUE, third: *VALUE}
";

/// A value of which eight letters in a row are a find.
fn canary() -> Canary {
    Canary::plain(50)
}

fn secret() -> String {
    TEMPLATE.replace("VALUE", canary().value())
}

/// A Secret whose values are words that stand in the open beside it, and something wrong next to it and in it.
const COMMON_WORDS: &str = "apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {env: prod, user: admin, on: 'true', app: web, place: prod-web, pin: VALUE}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: prod, labels: {role: admin}}
data: {admin: 1, web: true, prod-web: 1}
---
apiVersion: v1
kind: Secret
metadata: {name: other}
stringData: {admin: true, prod: [VALUE]}
";

#[test]
fn a_word_that_stands_in_the_open_is_hidden_only_where_a_secret_stands() {
    let found = find(Source::new("words.yaml", COMMON_WORDS.replace("VALUE", canary().value())));
    let told: Vec<String> = found.list.iter().map(|one| format!("{}: {}", one.code, one.message)).collect();
    let mut scan = CanaryScan::new([canary()]);
    scan.sink("what is shown", render(&found, Colour::Never));
    scan.sink("what is told", told.join("\n"));
    scan.assert_clean();
    insta::assert_snapshot!(told.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However a Secret is broken behind its kind, its values are not shown.
    #[test]
    fn no_value_of_a_secret_is_shown(
        changes in prop::collection::vec((30..secret().len(), 0usize..4, "[:{}\\[\\],&*!\"'\n\t -]{0,3}"), 1..5)
    ) {
        let mut text = secret();
        for (at, length, insert) in changes {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &insert);
        }
        let shown = render(&find(Source::new("secret.yaml", text.as_str())), Colour::Never);
        let mut scan = CanaryScan::new([canary()]);
        scan.sink("what is shown", &shown);
        prop_assert!(scan.leaks().is_empty(), "{}\n---\n{}", shown, text);
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_shown(
        text in "(apiVersion: v1\n|kind: Pod\n|metadata: \\{name: |[\\x00-\\x20\u{7f}-\u{9f}\u{202a}-\u{202e}\u{2066}-\u{2069}]|[\"'a-z:,}]){0,40}"
    ) {
        let shown = render(&find(Source::new("x\u{1b}.yaml", text.as_str())), Colour::Never);
        let acts = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
        prop_assert!(!shown.contains(acts), "{:?}", shown);
    }
}
