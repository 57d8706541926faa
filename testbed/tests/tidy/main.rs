//! Hygiene of the workspace: sizes, crate edges, module docs, leftovers. What a compiler does not check.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use secrets::Source;

mod secrets;

/// The longest file, in lines, tests included.
const FILE_LINES_MAX: usize = 800;

/// The longest architecture document, in lines.
const ARCHITECTURE_LINES_MAX: usize = 300;

/// Which crates of the workspace a crate may name under `[dependencies]`.
const EDGES: [(&str, &[&str]); 10] = [
    ("eve-core", &[]),
    ("eve-k8s", &["eve-core"]),
    ("eve-store", &["eve-core"]),
    ("eve-queue", &["eve-core"]),
    ("eve-vault", &["eve-core"]),
    ("eve-cli", &["eve-core", "eve-k8s", "eve-store", "eve-vault"]),
    ("eve-daemon", &["eve-core", "eve-k8s", "eve-queue", "eve-store", "eve-vault"]),
    ("testbed", &[]),
    ("benches", &["eve-core", "eve-k8s", "eve-store", "eve-cli", "eve-testbed"]),
    ("examples", &[]),
];

/// What `eve-core` may never depend on, whatever the feature.
const FOREIGN_TO_THE_CORE: [&str; 7] =
    ["kube", "k8s-openapi", "rusqlite", "vaultrs", "reqwest", "hyper", "aws-config"];

/// Files, or tests as `PATH::NAME`, that are given a secret and need not look for it, and why.
const UNSCANNED: [(&str, &str); 7] = [
    ("eve-cli/tests/apply/expressions.rs", "nobody has a value: Vault is not named"),
    ("eve-cli/tests/folders/main.rs::$name", "the values are small numbers"),
    ("eve-core/tests/expressions.rs", "a reference is refused, and every message is compared word by word"),
    (
        "eve-core/tests/golden_logs.rs",
        "of the value only its hash is in the logs, which are compared byte by byte",
    ),
    ("eve-k8s/tests/cluster/ready.rs", "the value is one letter"),
    ("testbed/tests/control_plane/audit.rs", "nothing of eve runs here"),
    ("testbed/tests/vault.rs", "nothing of eve runs here"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files that are, or are about to be, in the repository.
fn files(ending: &str) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files of the repository");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<PathBuf> =
        names.lines().filter(|name| name.ends_with(ending)).map(PathBuf::from).collect();
    assert!(!files.is_empty(), "there are files that end in {ending}");
    files.into_iter().filter(|file| root().join(file).exists()).collect()
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// Asserts that no file has a finding, and names all that have.
fn none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

#[test]
fn files_are_short_enough_to_read() {
    let lines = |file: PathBuf| (text(&file).lines().count(), file.display().to_string());
    let long = files(".rs").into_iter().map(lines).filter(|(lines, _)| *lines > FILE_LINES_MAX);
    none(
        "files that are too long",
        &long.map(|(lines, file)| format!("{file}: {lines}")).collect::<Vec<_>>(),
    );
    let architecture = text(Path::new("docs/ARCHITECTURE.md")).lines().count();
    assert!(architecture <= ARCHITECTURE_LINES_MAX, "docs/ARCHITECTURE.md has {architecture} lines");
}

#[test]
fn every_module_says_what_it_is_for() {
    let mute = files(".rs").into_iter().filter(|file| {
        let text = text(file);
        let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!"));
        !first.is_some_and(|line| line.starts_with("//! "))
    });
    none("files without `//!`", &mute.map(|file| file.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn crate_edges_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into();
    let mut wrong = Vec::new();
    for manifest in files("Cargo.toml").iter().filter(|file| file.components().count() == 2) {
        let folder = manifest.parent().unwrap().to_str().unwrap().to_owned();
        let may = allowed.get(folder.as_str()).unwrap_or_else(|| panic!("{folder} has no row in EDGES"));
        let text = text(manifest);
        assert!(text.contains("[lints]\nworkspace = true"), "{folder} does not take the workspace's lints");
        for name in dependencies(&text) {
            if name.starts_with("eve-") && !may.contains(&name.as_str()) {
                wrong.push(format!("{folder} -> {name}"));
            }
            if folder == "eve-core" && FOREIGN_TO_THE_CORE.contains(&name.as_str()) {
                wrong.push(format!("{folder} -> {name}"));
            }
        }
    }
    none("edges that are not allowed", &wrong);
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', '=', ' ']).next().map(str::to_owned);
    lines.filter_map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_core_is_small_and_knows_no_backend_and_no_runtime() {
    let crates = |features: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let tree = ["tree", "--locked", "-p", "eve-core", "-e", "normal", "--prefix", "none", "-f", "{p}"];
        let output = Command::new(cargo).args(tree).args(features).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let name = |line: &str| line.split(' ').next().map(str::to_owned);
        text.lines().filter_map(name).filter(|name| !name.is_empty()).collect::<BTreeSet<String>>()
    };
    let whole = crates(&[]);
    assert!(whole.len() < 70, "eve-core needs {} crates", whole.len());
    assert!(whole.contains("tokio"), "the driver is a default feature");
    let bare = crates(&["--no-default-features"]);
    let foreign = FOREIGN_TO_THE_CORE.iter().chain(&["tokio", "futures"]);
    let found: Vec<String> = foreign.filter(|name| bare.contains(**name)).map(ToString::to_string).collect();
    none("what the core must not know", &found);
}

#[test]
fn nothing_is_left_over() {
    // Built from parts, so that this file does not find itself.
    let marks = [["to", "do!("].concat(), ["unimple", "mented!("].concat(), ["FIX", "ME"].concat()];
    let ignored = ["#[ig", "nore"].concat();
    let mut found = Vec::new();
    for file in files(".rs") {
        for (number, line) in text(&file).lines().enumerate() {
            let unnumbered = line.contains(&["TO", "DO"].concat()) && !line.contains('#');
            if unnumbered || marks.iter().chain([&ignored]).any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    none("leftovers", &found);
}

#[test]
fn names_say_what_is_inside() {
    let vague = ["utils", "util", "misc", "helpers", "common_utils", "stuff"];
    let stem = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    let found = files(".rs").into_iter().filter(|file| vague.contains(&stem(file).as_str()));
    none("files with a name for anything", &found.map(|file| file.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn decisions_are_numbered_and_linked() {
    let index = text(Path::new("docs/adr/README.md"));
    let mut numbers = Vec::new();
    for file in files(".md").into_iter().filter(|file| file.starts_with("docs/adr")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        assert!(index.contains(name), "docs/adr/README.md does not link {name}");
        numbers.push(name.split('-').next().unwrap().parse::<u32>().expect("an ADR begins with its number"));
    }
    numbers.sort_unstable();
    let expected: Vec<u32> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "ADRs are numbered from 1 without gaps");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for file in files(".md") {
        let text = text(&file);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let local = !path.is_empty() && !path.contains("://");
            if local && !root().join(file.parent().unwrap()).join(path).exists() {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    none("links that lead nowhere", &broken);
}

#[test]
fn a_test_that_is_given_a_secret_looks_for_it_in_all_that_comes_out() {
    let own = Path::new("testbed/tests/tidy");
    let files = files(".rs").into_iter().filter(|file| !file.starts_with(own));
    let sources: Vec<Source> =
        files.map(|file| Source { path: file.display().to_string(), text: text(&file) }).collect();
    let found = secrets::unscanned(&sources);
    let is_excused = |test: &str| UNSCANNED.iter().any(|(excused, _)| test.starts_with(excused));
    let unexcused = found.iter().filter(|(test, _)| !is_excused(test));
    let unexcused: Vec<String> =
        unexcused.map(|(test, giver)| format!("{test}: is given one by {giver}")).collect();
    none("tests that are given a secret and do not scan for it (`eve_core::testing::canary`)", &unexcused);
    let is_needed = |excused: &str| found.keys().any(|test| test.starts_with(excused));
    let stale = UNSCANNED.iter().filter(|(excused, _)| !is_needed(excused));
    let stale: Vec<String> = stale.map(|(excused, _)| (*excused).to_owned()).collect();
    none("tests that are excused from the scan and need not be", &stale);
}

/// The groups of the catalogue of faults that are covered, with how many there are of each.
const FAULTS: [(char, usize); 3] = [('A', 30), ('E', 13), ('H', 10)];

#[test]
fn every_fault_has_a_test_that_is_there_or_a_reason() {
    let reference = text(Path::new("docs/reference/reliability.md"));
    let rows: BTreeMap<&str, &str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .filter_map(|row| Some((row.split(" | ").next()?, row.rsplit(" | ").next()?)))
        .collect();
    let mut wrong = Vec::new();
    for fault in
        FAULTS.iter().flat_map(|(group, last)| (1..=*last).map(move |number| format!("{group}{number}")))
    {
        let Some(cell) = rows.get(fault.as_str()) else {
            wrong.push(format!("{fault} has no row"));
            continue;
        };
        let tests: Vec<&str> =
            cell.split('`').skip(1).step_by(2).filter(|part| part.contains("::")).collect();
        if tests.is_empty() && !cell.starts_with("no test: ") {
            wrong.push(format!("{fault} has neither a test nor a reason"));
        }
        wrong.extend(
            tests.into_iter().filter(|test| !is_test(test)).map(|test| format!("{fault}: {test} is no test")),
        );
    }
    none("docs/reference/reliability.md", &wrong);
}

/// Whether `FILE::NAME` is a test: a function of that name behind an attribute that makes it one.
fn is_test(named: &str) -> bool {
    let Some((file, name)) = named.split_once("::") else { return false };
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return false };
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    ["#[test]", "#[tokio::test"].iter().any(|attribute| attributes.contains(attribute))
}
