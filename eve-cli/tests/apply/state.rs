//! A state folder that is not as it should be, and what is said of the runs in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::journal::{APPLY, Desk, three};
use super::{plan, writes};

fn key(desk: &Desk<'_>) -> PathBuf {
    desk.state.path().join("eve/key")
}

fn put_key(desk: &Desk<'_>, bytes: &[u8]) {
    std::fs::write(key(desk), bytes).unwrap();
    std::fs::set_permissions(key(desk), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_lost_key_is_told_as_what_it_is_and_none_is_made() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("lost-key").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace.name()));
    let run = desk.killed_at(("applied", "slow"), &APPLY, "").await;
    let whole = std::fs::read(key(&desk)).unwrap();
    std::fs::remove_file(key(&desk)).unwrap();
    let refused = desk.eve(&["resume", &run]).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    for part in ["eve/key", "is lost", "`eve apply` goes on from what the cluster has"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert!(!refused.err.contains("is not the one"), "{}", refused.err);
    assert!(!key(&desk).exists(), "a new key would say that the plan is another one");

    put_key(&desk, &[7; 32]);
    let refused = desk.eve(&["resume", &run]).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    let said = format!("eve/key is not the one that run {run} began with");
    assert!(refused.err.contains(&said), "{}", refused.err);

    put_key(&desk, &whole);
    let resumed = desk.eve(&["resume", &run]).await;
    assert_eq!(resumed.code, Some(0), "whenever it was put back: {}", resumed.err);
}

#[tokio::test]
async fn a_damaged_key_is_answered_with_what_helps() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("bad-key").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &plan(namespace.name(), &[("first", "", "a: b", "")]));
    let first = desk.eve(&APPLY).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    put_key(&desk, b"short");
    let mark = control_plane.audit().mark().await;
    let refused = desk.eve(&APPLY).await;
    assert_eq!(refused.code, Some(7), "{}", refused.err);
    assert!(refused.err.contains("move it away") && refused.err.contains("eve/key"), "{}", refused.err);
    assert!(writes(control_plane, namespace.name()).await.since(mark).is_empty());
    std::fs::rename(key(&desk), desk.state.path().join("away")).unwrap();
    let again = desk.eve(&APPLY).await;
    assert_eq!(again.code, Some(0), "the advice helps: {}", again.err);
}

#[tokio::test]
async fn what_is_no_file_holds_nobody_up() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("fifo").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &plan(namespace.name(), &[("first", "", "a: b", "")]));
    let first = desk.eve(&APPLY).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let run = desk.newest().await;
    let fifo = async |path: PathBuf| {
        let _ = std::fs::remove_file(&path);
        assert!(tokio::process::Command::new("mkfifo").arg(&path).status().await.unwrap().success());
        path
    };
    // Only to end a test that would hang.
    let limit = Duration::from_secs(30);
    let lock = fifo(desk.state.path().join(format!("eve/runs/{run}.lock"))).await;
    let shown = tokio::time::timeout(limit, desk.eve(&["status"])).await.unwrap();
    assert_eq!(shown.code, Some(7), "{}", shown.err);
    assert!(shown.err.contains(&format!("{run}.lock")) && shown.err.contains("no file"), "{}", shown.err);
    std::fs::remove_file(lock).unwrap();
    fifo(key(&desk)).await;
    let refused = tokio::time::timeout(limit, desk.eve(&APPLY)).await.unwrap();
    assert_eq!(refused.code, Some(7), "{}", refused.err);
    assert!(refused.err.contains("eve/key") && refused.err.contains("no file"), "{}", refused.err);
}

#[tokio::test]
async fn a_name_that_cannot_be_written_down_is_named_before_anything_is_asked() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("utf8").await;
    let desk = Desk::new(control_plane);
    let name = OsStr::from_bytes(b"pl\xffn.yaml");
    std::fs::write(desk.folder.path().join(name), plan(namespace.name(), &[("first", "", "a: b", "")]))
        .unwrap();
    let mut command = desk.command(&["apply"]);
    command.arg("-f").arg(name);
    let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(5), "{err}");
    for part in ["is not UTF-8", "pl\u{fffd}n.yaml", "rename it", "-f -"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(writes(control_plane, namespace.name()).await.is_empty());
}

#[tokio::test]
async fn a_run_is_neither_found_by_no_name_nor_passed_over_because_it_is_damaged() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("newest").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &plan(namespace.name(), &[("first", "", "a: b", "")]));
    for _ in 0..2 {
        let applied = desk.eve(&APPLY).await;
        assert_eq!(applied.code, Some(0), "{}", applied.err);
    }
    for args in [["status", ""], ["timeline", ""], ["cancel", ""], ["resume", ""]] {
        let refused = desk.eve(&args).await;
        assert_eq!(refused.code, Some(5), "{args:?}: {}{}", refused.out, refused.err);
        assert!(refused.err.contains("an empty name"), "{args:?}: {}", refused.err);
    }
    let run = desk.newest().await;
    std::fs::write(desk.state.path().join(format!("eve/runs/{run}.run")), "not a journal").unwrap();
    let refused = desk.eve(&["status"]).await;
    assert_eq!(refused.code, Some(7), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains(&run) && refused.err.contains("eve runs"), "{}", refused.err);
}

#[tokio::test]
async fn who_asked_a_run_to_stop_is_told_until_it_has() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("asked").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace.name()));
    let run = desk.killed_at(("applied", "slow"), &APPLY, "").await;
    let asked = desk.eve(&["cancel", &run, "--mode", "drain"]).await;
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    let shown = desk.eve(&["status", &run]).await;
    assert!(shown.out.contains("asked to stop (drain)"), "{}", shown.out);
    let requests = desk.status(&run).await["stopRequests"].clone();
    assert_eq!((requests.as_array().map(Vec::len), &requests[0]["mode"]), (Some(1), &json!("drain")));
    assert!(requests[0]["who"].is_string() && requests[0]["at"].is_string(), "{requests}");
    let resumed = desk.eve(&["resume", &run]).await;
    assert_eq!(resumed.code, Some(4), "{}", resumed.err);
    let over = desk.eve(&["status", &run]).await;
    assert!(!over.out.contains("asked to stop"), "it has: {}", over.out);
    assert_ne!(desk.status(&run).await["stopRequests"], Value::Null);
}
