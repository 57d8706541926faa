//! Cancel: so that the run undoes what it changed, during a rollback, twice, and after the end.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::desk::Desk;
use super::{never_ready, never_ready_in_time, release};

#[tokio::test]
async fn a_run_that_is_cancelled_undoes_what_it_changed_where_that_is_asked_for() {
    let desk = Desk::new(ControlPlane::shared().await, "cancel").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    let run = desk.newest().await;
    let asked = desk.eve(&["cancel", &run, "--rollback"]).await;
    assert_eq!(asked.code(), Some(0), "{}{}", asked.out, asked.err);
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    assert_eq!(ended.summary()["outcome"], "rolled_back");
    let again = desk.eve(&["cancel", &run, "--rollback"]).await;
    assert_eq!(again.code(), Some(0), "after the end: {}", again.err);
    assert!(again.err.contains("is over already"), "{}", again.err);
    desk.is_as_before().await;
}

/// A finalizer that holds up the deletion of what the release made last, and with it the whole rollback.
async fn hold(desk: &Desk<'_>, finalizers: Value) {
    desk.merge("deployments", "never", &json!({ "metadata": { "finalizers": finalizers } })).await;
}

#[tokio::test]
async fn a_cancel_during_the_rollback_ends_it_and_names_what_is_left_and_eve_rollback_goes_on() {
    let desk = Desk::new(ControlPlane::shared().await, "midway").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready_in_time()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    hold(&desk, json!(["example.com/hold"])).await;
    running.until("undoStarted", "never").await;
    let run = desk.newest().await;
    let status = desk.eve(&["status", &run]).await;
    assert!(status.out.contains("rolling back for"), "{}", status.out);
    let status = desk.eve(&["status", &run, "-o", "json"]).await;
    assert_eq!(status.summary()["rollback"]["undone"], 0, "{}", status.out);

    let asked = desk.eve(&["cancel", &run, "--rollback", "--timeout", "0"]).await;
    assert!(asked.err.contains("it is rolling back already"), "{}", asked.err);
    for _ in 0..2 {
        let asked = desk.eve(&["cancel", &run, "--timeout", "0"]).await;
        assert_eq!(asked.code(), Some(0), "twice is fine: {}{}", asked.out, asked.err);
        assert!(asked.err.contains("finishing what is being put back"), "{}", asked.err);
        assert!(!asked.err.contains("waits"), "{}", asked.err);
    }
    let stopping = running.until("stopping", "").await;
    assert_eq!(stopping["reason"], json!({ "type": "asked", "mode": "now" }), "while it is held up");
    hold(&desk, Value::Null).await;

    let ended = running.end().await;
    assert_eq!(ended.code(), Some(8), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("stopping: finishing what is being put back"), "{}", ended.err);
    let summary = ended.summary();
    let left = summary["rollback"]["left"].as_array().unwrap();
    assert_eq!(left.len(), 7, "all but what was being put back: {summary}");
    assert!(left.iter().all(|one| one["because"] == json!({ "type": "stopping" })), "{summary}");
    assert_eq!(summary["rollback"]["command"], format!("eve rollback {run}"));
    let finished = desk.eve(&["rollback", &run]).await;
    assert_eq!(finished.code(), Some(0), "{}{}", finished.out, finished.err);
    desk.is_as_before().await;
}

#[tokio::test]
async fn a_plan_that_keeps_nothing_is_not_promised_to_be_undone() {
    let desk = Desk::new(ControlPlane::shared().await, "unkept").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready()));
    let mut running = desk.start(&["apply", "-f", "release.yaml", "--on-failure", "drain"]);
    running.until("applied", "never").await;
    let asked = desk.eve(&["cancel", &desk.newest().await, "--rollback"]).await;
    assert_eq!(asked.code(), Some(1), "{}{}", asked.out, asked.err);
    assert!(asked.err.contains("nothing is undone"), "{}", asked.err);
    assert_eq!(running.end().await.code(), Some(4));
}
