//! The program `eve-testbed` from outside: what it hands to a command, what it exits with, and that nothing of it is
//! left when it is killed.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Only to end a test that would hang.
const LIMIT: Duration = Duration::from_secs(90);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_eve-testbed"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exec_hands_over_the_environment_passes_the_exit_code_and_leaves_nothing() {
    let script = r#"
        test -s "$KUBECONFIG" && test -s "$EVE_TESTBED_ADMIN_KUBECONFIG" && test -s "$EVE_TESTBED_AUDIT_LOG" || exit 1
        dirname "$KUBECONFIG"
        exit 7
    "#;
    let output = program().args(["exec", "--nodes", "1", "--", "sh", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(
        stdout.starts_with('/') && stdout.lines().count() == 1,
        "standard output belongs to the command: {stdout}"
    );
    assert!(!Path::new(stdout.trim()).exists());
}

#[test]
fn exec_with_aws_says_how_to_reach_it() {
    let script = r#"
        test -s "$KUBECONFIG" && test -n "$AWS_REGION" && test -n "$AWS_ACCESS_KEY_ID" || exit 1
        echo "$AWS_ENDPOINT_URL"
    "#;
    let args = ["exec", "--nodes", "0", "--with", "aws", "--", "sh", "-c", script];
    let output = program().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("http://127.0.0.1:"), "{}", text(&output.stdout));
}

#[test]
fn exec_with_vault_says_how_to_reach_it() {
    let script = r#"
        test -s "$KUBECONFIG" && test -s "$EVE_TESTBED_VAULT_AUDIT_LOG" && test -n "$VAULT_TOKEN" || exit 1
        echo "$VAULT_ADDR"
    "#;
    let args = ["exec", "--nodes", "0", "--with", "vault", "--", "sh", "-c", script];
    let output = program().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("http://127.0.0.1:"), "{}", text(&output.stdout));
}

/// Is a process running that has the folder in its command line? A process that has ended but is not yet reaped has none.
fn runs(id: &str, folder: &Path) -> bool {
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| text(&line).contains(&*folder.to_string_lossy()))
}

#[test]
fn servers_and_folder_go_when_the_process_is_killed() {
    let mut up = program().args(["up", "--nodes", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let exports: HashMap<String, PathBuf> = BufReader::new(up.stdout.as_mut().unwrap())
        .lines()
        .take(3)
        .map(|line| {
            let line = line.unwrap();
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            (name.to_owned(), PathBuf::from(value))
        })
        .collect();
    let folder = exports["KUBECONFIG"].parent().unwrap();
    assert!(exports["EVE_TESTBED_AUDIT_LOG"].starts_with(folder));
    let ids: Vec<_> = fs::read_dir(folder.join("pids"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap().trim().to_owned())
        .collect();
    assert_eq!(ids.len(), 5);
    assert!(ids.iter().all(|id| runs(id, folder)), "all servers run: {ids:?}");

    up.kill().unwrap(); // SIGKILL: the program itself can do nothing any more
    up.wait().unwrap();
    let begun = Instant::now();
    while folder.exists() || ids.iter().any(|id| runs(id, folder)) {
        assert!(
            begun.elapsed() < LIMIT,
            "left: {} {:?}",
            folder.display(),
            ids.iter().filter(|id| runs(id, folder)).collect::<Vec<_>>()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn missing_go_is_named_with_the_way_to_get_it() {
    let cache = tempfile::tempdir().unwrap();
    let output = program()
        .args(["build", "etcd"])
        .env("PATH", cache.path())
        .env("XDG_CACHE_HOME", cache.path())
        .env_remove("KUBEBUILDER_ASSETS")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let stderr = text(&output.stderr);
    for part in ["there is no `go` on PATH", "Go 1.26.0 or newer", "https://go.dev/dl/"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn missing_and_old_python_are_named_with_the_way_to_get_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let build = || {
        let mut build = program();
        build.args(["build", "moto"]).env("PATH", folder.path()).env("XDG_CACHE_HOME", folder.path());
        let output = build.output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        text(&output.stderr)
    };
    let stderr = build();
    for part in ["there is no `python3` on PATH", "Python 3.11 or newer", "python3-venv"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let python = folder.path().join("python3");
    fs::write(&python, "#!/bin/sh\necho 3.9.2\n").unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(build().contains("`python3` on PATH is 3.9.2"));
}

#[test]
fn old_go_is_refused_with_its_version() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    fs::write(&go, "#!/bin/sh\necho go1.19.8\n").unwrap();
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
    let output = program()
        .args(["build", "kwok"])
        .env("PATH", folder.path())
        .env("XDG_CACHE_HOME", folder.path())
        .env_remove("KUBEBUILDER_ASSETS")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("`go` on PATH is go1.19.8"), "{}", text(&output.stderr));
}

#[test]
fn kubebuilder_assets_are_taken_as_they_are_and_must_be_complete() {
    let assets = tempfile::tempdir().unwrap();
    fs::write(assets.path().join("etcd"), "").unwrap();
    let build = |server: &str| {
        program().args(["build", server]).env("KUBEBUILDER_ASSETS", assets.path()).output().unwrap()
    };
    let output = build("etcd");
    assert_eq!(text(&output.stdout).trim(), assets.path().join("etcd").display().to_string());
    let output = build("kube-apiserver");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("there is no file"), "{}", text(&output.stderr));
}
