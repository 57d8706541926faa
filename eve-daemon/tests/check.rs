//! `eve-daemon check`, as somebody sees it who runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use eve_core::testing::canary::{Canary, CanaryScan};
use tempfile::TempDir;

/// What stands in files of secrets here.
fn canary() -> Canary {
    Canary::plain(600)
}

fn call(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_eve-daemon"))
        .args(arguments)
        .current_dir(folder)
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let mut scan = CanaryScan::new([canary()]);
    scan.sink("what is said", [&*output.stdout, &output.stderr].concat());
    scan.assert_clean();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn desk(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("eve.yaml"), text).unwrap();
    std::fs::write(folder.path().join("kubeconfig"), kubeconfig("none", "{ server: 'https://127.0.0.1:1' }"))
        .unwrap();
    folder
}

/// A kubeconfig with the one context `none`, and this as the current one.
fn kubeconfig(current: &str, cluster: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: {current}
contexts: [{{ name: none, context: {{ cluster: none, user: none }} }}]
clusters: [{{ name: none, cluster: {cluster} }}]
users: [{{ name: none, user: {{}} }}]
"
    )
}

fn check(text: &str) -> (Option<i32>, String, String) {
    call(&["check", "eve.yaml"], desk(text).path(), &[("EVE_DAEMON__LOG__FILTER", "info")])
}

/// What both `check` and `run` say, which must be the same, of a configuration that is refused.
fn refused(folder: &Path, variables: &[(&str, &str)]) -> String {
    let checked = call(&["check", "eve.yaml"], folder, variables);
    assert_eq!(call(&["run", "eve.yaml"], folder, variables), checked);
    assert_eq!((checked.0, &*checked.1), (Some(2), ""), "{}", checked.2);
    checked.2
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

#[test]
fn what_run_refuses_check_refuses_in_the_same_words_and_all_at_once() {
    let folder = desk(
        "\
source: { directory: { path: '' } }
kubernetes: { allowClusterScoped: [Namespace/*, '/x'] }
vault:
  address: http://vault.example:8200
  auth: { appRole: { roleId: x, secretIdFile: role, mount: '../sys' } }
functions:
  - url: http://fn.example/api
  - url: https://fn.example/api?code=hunter2
notify:
  - function: { url: 'https://169.254.169.254/latest' }
  - webhook: { url: 'https://hooks.example/?code=x', secretFile: hook }
state: { folder: '' }
log: { filter: 'info,=what=' }
",
    );
    std::fs::write(folder.path().join("hook"), canary().value()).unwrap();
    let said = refused(folder.path(), &[]);
    let places: Vec<&str> = said.lines().map(|line| line.split(": error: ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "eve.yaml:1:30",
            "eve.yaml:2:49",
            "eve.yaml:4:12",
            "eve.yaml:5:60",
            "eve.yaml:7:10",
            "eve.yaml:8:10",
            "eve.yaml:10:22",
            "eve.yaml:11:66",
            "eve.yaml:12:18",
            "eve.yaml:13:16"
        ],
        "{said}"
    );
    for words in [
        "`source.directory.path` is empty",
        "`state.folder` is empty",
        "the address of Vault is plain HTTP to another machine",
        "only https is called, and http on this machine",
        "a link-local address is never called",
        "a key is `whsec_` and 24 to 64 bytes in base64",
        "[config.bad-filter]",
        "[config.bad-pattern]",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    let entries = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries, 3, "nothing is made");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn form_environment_and_files_are_told_in_one_answer() {
    let folder = desk(
        "\
cluster: 7
source: { directory: { path: plans } }
vault: { address: 'http://vault.example', caFile: nowhere.crt, auth: { tokenFile: 3 } }
notify:
  - webhook: { url: 7, secretFile: x }
  - webhook: { url: 'https://hooks.example', secretFile: hook }
  - {}
scheduler: { namespaces: [{ name: a }, { name: b, newerPlan: queue }, { name: b, newerPlan: queue }] }
",
    );
    std::fs::write(folder.path().join("plans"), "a file").unwrap();
    let variables = [
        ("KUBECONFIG", "none"),
        ("EVE_DAEMON__LOG__FILTER", "=what="),
        ("EVE_DAEMON__VAULT__AUTH__TOKEN", "x"),
        ("EVE_DAEMON__HTTP__LISTEN", "everywhere"),
    ];
    let said = refused(folder.path(), &variables);
    let found: Vec<&str> = said.lines().map(|line| line.split(": error: ").next().unwrap()).collect();
    let placed: Vec<&str> = found.iter().copied().filter(|place| place.starts_with("eve.yaml")).collect();
    assert_eq!(
        placed,
        [
            "eve.yaml:1:10",
            "eve.yaml:2:30",
            "eve.yaml:3:19",
            "eve.yaml:3:51",
            "eve.yaml:3:83",
            "eve.yaml:5:21",
            "eve.yaml:5:36",
            "eve.yaml:6:58",
            "eve.yaml:7:5",
            "eve.yaml:8:35",
            "eve.yaml:8:79",
        ],
        "{said}"
    );
    for words in [
        "error: the variable `EVE_DAEMON__LOG__FILTER`: ",
        "error: the variable `EVE_DAEMON__VAULT__AUTH__TOKEN` cannot be used: the configuration has no field `token`",
        "error: the variable `EVE_DAEMON__HTTP__LISTEN`: an address to listen at is",
        "error: no kubeconfig found; looked for none",
        "plans is a file, and a folder is wanted; name a folder",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert_eq!(found.len(), placed.len() + 4, "{said}");
}

#[test]
fn a_required_field_that_is_wrong_hides_nothing_beside_it() {
    let folder = desk(
        "\
source:
  sqs: { queueUrl: 3, deadLetterQueueUrl: 'ftp://x', wait: 1m }
vault:
  address: 7
  namespace: ../x
  caFile: nowhere.crt
  auth: { appRole: { roleId: 7, mount: ../sys } }
notify:
  - webhook: { url: 'ftp://x', secretFile: 3 }
  - webhook: { url: 3, secretFile: nowhere }
  - webhook: { url: 3, secretFile: nowhere }
scheduler: { namespaces: [{ name: 3, newerPlan: 3 }, { newerPlan: queue }] }
",
    );
    let said = refused(folder.path(), &[]);
    let found: Vec<String> = said
        .lines()
        .map(|line| {
            let (place, rest) = line.split_once(": error: ").unwrap();
            format!("{} {}", place.trim_start_matches("eve.yaml:"), rest.rsplit(" [config.").next().unwrap())
        })
        .collect();
    assert_eq!(
        found,
        [
            "2:3 missing-field]",
            "2:3 no-cluster]",
            "2:20 wrong-type]",
            "2:43 bad-url]",
            "2:60 out-of-range]",
            "4:12 wrong-type]",
            "5:14 bad-vault]",
            "6:11 bad-vault]",
            "7:11 missing-field]",
            "7:30 wrong-type]",
            "7:40 bad-vault]",
            "9:21 bad-url]",
            "9:44 wrong-type]",
            "10:21 wrong-type]",
            "10:36 bad-file]",
            "11:21 wrong-type]",
            "11:36 bad-file]",
            "12:35 wrong-type]",
            "12:49 wrong-type]",
            "12:56 missing-field]",
        ],
        "{said}"
    );
}

#[test]
fn a_variable_that_names_no_field_is_one_problem() {
    let folder = desk("source: { directory: { path: plans } }\n");
    for name in
        ["EVE_DAEMON__VAULT__AUTH__TOKEN", "EVE_DAEMON__SOURCE__SQS__CREDENTIALS__X", "EVE_DAEMON__VAULT"]
    {
        let said = refused(folder.path(), &[(name, "x")]);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("error: the variable `{name}` cannot be used: ")), "{said}");
    }
}

#[test]
fn a_cluster_that_no_file_leads_to_is_told_without_asking_a_server() {
    let source = "source: { directory: { path: plans } }\n";
    let config = format!("{source}kubernetes: {{ kubeconfig: other, context: away }}\n");
    for (config, file, text, wanted) in [
        (source, "kubeconfig", "clusters: [".to_owned(), "error: the kubeconfig "),
        (source, "kubeconfig", kubeconfig("away", "{}"), "error: no context `away` in "),
        (
            source,
            "kubeconfig",
            kubeconfig("none", "{ server: 'https://c.example', certificate-authority: nowhere.crt }"),
            "error: the certificate authority of cluster `none` cannot be read: ",
        ),
        (&*config, "other", kubeconfig("none", "{}"), "eve.yaml:2:43: error: no context `away` in other"),
        (
            &*config,
            "other",
            "clusters: [".to_owned(),
            "eve.yaml:2:27: error: the kubeconfig other is not valid",
        ),
    ] {
        let folder = desk(config);
        std::fs::write(folder.path().join(file), text).unwrap();
        let said = refused(folder.path(), &[]);
        assert!(said.starts_with(wanted) && said.lines().count() == 1, "{wanted}: {said}");
        assert_eq!(said.contains("nowhere.crt"), wanted.contains("authority"), "{said}");
        let elsewhere = call(&["check", "--without-files", "eve.yaml"], folder.path(), &[]);
        assert_eq!(elsewhere, (Some(0), "eve.yaml: no problem found\n".into(), String::new()));
    }
}

#[test]
fn a_folder_that_is_a_file_is_refused_unless_it_is_elsewhere() {
    let folder = desk("source: { directory: { path: plans } }\nstate: { folder: plans/state }\n");
    std::fs::write(folder.path().join("plans"), "a file").unwrap();
    let said = refused(folder.path(), &[]);
    assert!(said.starts_with("eve.yaml:1:30: error: plans is a file, and a folder is wanted; "), "{said}");
    assert!(said.contains("eve.yaml:2:18: error: the folder plans/state cannot be used: "), "{said}");
    let elsewhere = call(&["check", "--without-files", "eve.yaml"], folder.path(), &[]);
    assert_eq!(elsewhere.0, Some(0), "{elsewhere:?}");
}

#[test]
fn files_that_are_read_at_the_start_must_be_there_unless_they_are_elsewhere() {
    let folder = desk(
        "\
cluster: east
source:
  sqs:
    queueUrl: https://sqs.example/1/a.fifo
    deadLetterQueueUrl: https://sqs.example/1/b.fifo
    region: eu-west-1
    credentials: { keyFile: { path: aws } }
kubernetes: { kubeconfig: none }
vault: { address: 'https://vault.example', caFile: ca.crt, auth: { tokenFile: token } }
notify: [{ webhook: { url: 'https://hooks.example', secretFile: hook } }]
",
    );
    std::fs::write(folder.path().join("aws"), canary().value()).unwrap();
    let said = refused(folder.path(), &[]);
    for line in [
        "eve.yaml:7:37: error: the key file aws does not have two lines; its first line is",
        "eve.yaml:8:27: error: the kubeconfig none cannot be read: ",
        "eve.yaml:9:52: error: failed to read the certificates in ca.crt: ",
        "eve.yaml:10:65: error: the secret file hook cannot be read: ",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    assert_eq!(said.lines().count(), 4, "{said}");
    let elsewhere = call(&["check", "--without-files", "eve.yaml"], folder.path(), &[]);
    assert_eq!(elsewhere, (Some(0), "eve.yaml: no problem found\n".into(), String::new()));
}

#[test]
fn what_stands_nowhere_names_the_file_or_the_variable() {
    let empty = desk("");
    assert_eq!(
        refused(empty.path(), &[]),
        "eve.yaml:1:1: error: the configuration has no `source` [config.missing-field]\n"
    );
    let folder = desk("source: { directory: { path: plans } }\n");
    let said = refused(folder.path(), &[("EVE_DAEMON__SCHEDULER__NAMESPACES_AT_ONCE", "many")]);
    assert!(said.starts_with("error: the variable `EVE_DAEMON__SCHEDULER__NAMESPACES_AT_ONCE`: "), "{said}");
    let said = refused(folder.path(), &[("EVE_DAEMON__LOG__FILTER", "=what=")]);
    assert!(said.starts_with("error: the variable `EVE_DAEMON__LOG__FILTER`: "), "{said}");
    let said = refused(folder.path(), &[("EVE_DAEMON__VAULT__ADRESS", "x")]);
    assert!(said.starts_with("error: the variable `EVE_DAEMON__VAULT__ADRESS` cannot be used: "), "{said}");
    assert_eq!(call(&["run", "absent.yaml"], folder.path(), &[]).0, Some(2));
}
