//! Cancel: so that the run undoes what it changed, during a rollback, twice, and after the end.

use eve_testbed::ControlPlane;
use serde_json::json;

use super::desk::Desk;
use super::{never_ready, refused, release};

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

#[tokio::test]
async fn a_cancel_during_the_rollback_ends_it_and_names_what_is_left_and_eve_rollback_goes_on() {
    let desk = Desk::new(ControlPlane::shared().await, "midway").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    // One after the other, so that something is left.
    let mut running = desk.start(&["apply", "-f", "release.yaml", "--concurrency", "1"]);
    running.until("undoStarted", "").await;
    let run = desk.newest().await;
    for _ in 0..2 {
        let asked = desk.eve(&["cancel", &run]).await;
        assert_eq!(asked.code(), Some(0), "twice is fine: {}{}", asked.out, asked.err);
    }
    let ended = running.end().await;
    let summary = ended.summary();
    if summary["outcome"] == "rolled_back" {
        // It was over sooner than anybody could ask.
        desk.is_as_before().await;
        return;
    }
    assert_eq!(ended.code(), Some(8), "{}{}", ended.out, ended.err);
    let left = summary["rollback"]["left"].as_array().unwrap();
    assert!(!left.is_empty() || summary["outcome"] == "rollback_failed", "{summary}");
    assert!(left.iter().all(|one| one["because"] == json!({ "type": "stopping" })), "{summary}");
    let finished = desk.eve(&["rollback", &run]).await;
    if left.is_empty() {
        assert_eq!(finished.code(), Some(5), "only the last look was given up: {}", finished.err);
    } else {
        assert_eq!(finished.code(), Some(0), "{}{}", finished.out, finished.err);
    }
    desk.is_as_before().await;
}
