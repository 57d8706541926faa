//! The documents of the daemon agree with the program. `EVE_BLESS=1 cargo test -p eve-daemon --test documents` writes the
//! generated ones anew.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use eve_testbed::ControlPlane;

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name)
}

fn is_up_to_date(name: &str, wanted: &str) {
    let path = document(name);
    if std::env::var_os("EVE_BLESS").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is stale: run this test with EVE_BLESS=1", path.display());
}

/// The blocks of a language in the guide, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(document("guide/daemon.md")).unwrap();
    let begins = format!("```{language}\n");
    text.split(&begins).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn reference_of_the_configuration_is_up_to_date() {
    is_up_to_date("reference/daemon.md", &eve_daemon::config::markdown());
    let schema = serde_json::to_string_pretty(&eve_daemon::config::schema()).unwrap() + "\n";
    is_up_to_date("reference/daemon.schema.json", &schema);
}

#[tokio::test]
async fn commands_of_the_guide_do_what_it_says() {
    let control_plane = ControlPlane::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The port of the guide may be taken on this machine.
    let script =
        format!("set -euo pipefail\ntrap 'kill $(jobs -p) || true' EXIT\n{}", blocks("sh").join("\n"))
            .replace("8081", &port.to_string());
    let program = Path::new(env!("CARGO_BIN_EXE_eve-daemon")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(folder.path()).env("PATH", path);
    command.env("KUBECONFIG", control_plane.kubeconfig_path());
    command.env("EVE_DAEMON__HTTP__LISTEN", format!("127.0.0.1:{port}"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    // What the guide shows of the output stands in it.
    for shown in ["eve.yaml: no problem found", "ok", "\"ending\": \"succeeded\"", "\"plan\": \"hello\""] {
        assert!(said.contains(shown), "{shown}: {said}\n{complained}");
    }
}

#[test]
fn configurations_of_the_guide_have_no_problem() {
    let all = blocks("yaml");
    assert!(!all.is_empty());
    for block in all.iter().filter(|block| block.contains("source:")) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("eve.yaml"), block).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_eve-daemon"));
        let output = command
            .args(["check", "--without-files", "eve.yaml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
