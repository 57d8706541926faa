//! `eve-daemon check`, as somebody sees it who runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn check(text: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("eve.yaml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_eve-daemon"))
        .args(["check", "eve.yaml"])
        .current_dir(folder.path())
        .env("EVE_DAEMON__LOG__FILTER", "info")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn good_configuration_is_said_to_be_good() {
    let found = check("source:\n  directory:\n    path: plans\n");
    assert_eq!(found, (Some(0), "eve.yaml: no problem found\n".into(), String::new()));
}

#[test]
fn every_problem_is_a_line_with_place_hint_and_code() {
    let want = "\
eve.yaml:1:1: error: unknown field `sorce` in the configuration; did you mean `source`? [config.unknown-field]
eve.yaml:1:1: error: the configuration has no `source` [config.missing-field]
eve.yaml:2:10: error: `cluster` must be a text, not the number `7`; put it in quotes: `\"7\"` [config.wrong-type]
";
    assert_eq!(check("sorce: {}\ncluster: 7\n"), (Some(2), String::new(), want.into()));
}
