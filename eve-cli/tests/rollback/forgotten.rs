//! What was kept so that a run can be undone holds values of Secrets: it is gone as soon as nobody needs it.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::command::good;
use super::desk::{Desk, Ended};
use super::{refused, release};

/// Applies a release that goes well, and is the only one that has kept something.
async fn deployed(desk: &Desk<'_>) -> String {
    desk.write("release.yaml", &release(desk.namespace(), &good()));
    let ended = desk.eve(&["apply", "-f", "release.yaml", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(desk.snapshots().await, 4);
    ended.summary()["run"].as_str().unwrap().to_owned()
}

fn is_quiet(ended: &Ended, code: i32) {
    assert_eq!(ended.code(), Some(code), "{}{}", ended.out, ended.err);
    assert!(!ended.err.contains("warning"), "{}", ended.err);
}

#[tokio::test]
async fn nothing_is_kept_of_a_run_that_is_rolled_back() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane, "forgets").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let mark = control_plane.audit().mark().await;
    is_quiet(&desk.eve(&["apply", "-f", "release.yaml", "-o", "json"]).await, 3);
    let kept = desk.since(mark).await.verb("create").resource("secrets");
    assert_eq!((kept.len(), desk.snapshots().await), (4, 0), "{kept:?}");
}

#[tokio::test]
async fn nothing_is_kept_of_a_run_that_another_has_undone() {
    let desk = Desk::new(ControlPlane::shared().await, "undoes").await;
    let run = deployed(&desk).await;
    is_quiet(&desk.eve(&["rollback", &run, "-o", "json"]).await, 0);
    assert_eq!(desk.snapshots().await, 0);
}

#[tokio::test]
async fn nothing_is_kept_of_a_plan_that_is_deleted_and_its_deletion_is_not_undone() {
    for by in [&["-f", "release.yaml"][..], &["--plan", "shop"]] {
        let desk = Desk::new(ControlPlane::shared().await, "deletes").await;
        let _ = deployed(&desk).await;
        let ended = desk.eve(&[&["delete", "-n", desk.namespace(), "-o", "json"], by].concat()).await;
        is_quiet(&ended, 0);
        assert_eq!(desk.snapshots().await, 0, "{by:?}");
        let refused = desk.eve(&["rollback", &desk.newest().await]).await;
        assert_eq!(refused.code(), Some(5), "{}", refused.err);
        assert!(refused.err.contains("is not kept after that"), "{}", refused.err);
    }
}

#[tokio::test]
async fn what_cannot_be_forgotten_is_a_warning_and_no_other_outcome() {
    let desk = Desk::new(ControlPlane::shared().await, "remains").await;
    let all = json!(["get", "list", "watch", "create", "patch", "update", "delete"]);
    let rules = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": all }]);
    desk.grant("sparing", rules).await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let ended = desk.eve(&["apply", "-f", "release.yaml", "--as", "sparing", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    assert_eq!(ended.summary()["outcome"], Value::from("rolled_back"));
    let run = ended.summary()["run"].as_str().unwrap().to_owned();
    for part in [
        "could not be removed".to_owned(),
        format!("kubectl delete secrets -n {} -l eve.dev/run={run}", desk.namespace()),
    ] {
        assert!(ended.err.contains(&part), "{part}: {}", ended.err);
    }
    assert_eq!(desk.snapshots().await, 4);
    desk.is_as_before().await;
}
