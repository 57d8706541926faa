//! `eve rollback RUN`: what it undoes, what it refuses, and that it needs no file.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::desk::Desk;
use super::{component, config_map, never_ready, plan, release};

/// A release that goes well.
pub(super) fn good() -> String {
    component("last", super::ALL, &config_map("bad", json!({ "a": "1" })))
}

#[tokio::test]
async fn a_run_that_went_well_is_undone_without_its_sources_and_refused_the_second_time() {
    let desk = Desk::new(ControlPlane::shared().await, "command").await;
    desk.write("release.yaml", &release(desk.namespace(), &good()));
    let ended = desk.eve(&["apply", "-f", "release.yaml", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    let run = ended.summary()["run"].as_str().unwrap().to_owned();
    desk.write("release.yaml", "gone");
    let undone = desk.eve(&["rollback", &run, "-o", "json"]).await;
    assert_eq!(undone.code(), Some(0), "{}{}", undone.out, undone.err);
    let summary = undone.summary();
    assert_eq!((&summary["outcome"], &summary["undoes"]), (&json!("rolled_back"), &json!(run)), "{summary}");
    let listed = desk.eve(&["runs"]).await;
    assert!(["rollback", "rolled back"].iter().all(|word| listed.out.contains(word)), "{}", listed.out);
    let status = desk.eve(&["status"]).await;
    assert!(status.out.contains("rolled back in"), "{}", status.out);
    let again = desk.eve(&["rollback", &run]).await;
    assert_eq!(again.code(), Some(5), "{}{}", again.out, again.err);
    assert!(again.err.contains("is undone already"), "{}", again.err);
    desk.is_as_before().await;
}

#[tokio::test]
async fn a_killed_run_that_another_followed_is_undone_after_that_one_and_nobody_is_sent_in_a_circle() {
    let desk = Desk::new(ControlPlane::shared().await, "followed").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    let killed = desk.newest().await;
    running.kill().await;
    let early = desk.eve(&["rollback", &killed]).await;
    assert_eq!(early.code(), Some(5), "{}{}", early.out, early.err);
    assert!(early.err.contains("eve cancel") && early.err.contains("eve resume"), "{}", early.err);

    let changed_again = release(desk.namespace(), &good()).replace(r#""kept":"2""#, r#""kept":"3""#);
    desk.write("release.yaml", &changed_again);
    let ended = desk.eve(&["apply", "-f", "release.yaml", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    let later = desk.newest().await;
    let refused = async |args: &[&str], said: &[&str]| {
        let refused = desk.eve(args).await;
        assert_eq!(refused.code(), Some(5), "{args:?}: {}{}", refused.out, refused.err);
        assert!(said.iter().all(|said| refused.err.contains(said)), "{said:?}: {}", refused.err);
        assert!(!refused.err.contains("eve resume"), "it cannot go on: {}", refused.err);
    };
    refused(&["resume", &killed], &[&format!("eve rollback {killed}")]).await;
    refused(&["resume"], &["no run on this machine was interrupted"]).await;
    let status = desk.eve(&["status", &killed]).await;
    assert!(status.out.contains("superseded") && !status.out.contains("eve resume"), "{}", status.out);
    let listed: Value = serde_json::from_str(&desk.eve(&["runs", "-o", "json"]).await.out).unwrap();
    let state = &listed["runs"][1]["state"];
    assert_eq!((&state["name"], &state["supersededBy"]), (&json!("superseded"), &json!(later)), "{listed}");
    let cancelled = desk.eve(&["cancel", &killed]).await;
    assert!(cancelled.err.contains(&format!("eve rollback {killed}")), "{}", cancelled.err);

    refused(&["rollback", &killed], &["after it", &format!("eve rollback {later}")]).await;
    for run in [&later, &killed] {
        let undone = desk.eve(&["rollback", run]).await;
        assert_eq!(undone.code(), Some(0), "{run}: {}{}", undone.out, undone.err);
    }
    desk.is_as_before().await;
    refused(&["rollback", &killed], &["is undone already"]).await;
}

#[tokio::test]
async fn what_cannot_be_undone_is_refused_with_the_reason() {
    let desk = Desk::new(ControlPlane::shared().await, "refused").await;
    let first = desk.newest().await;
    desk.write("release.yaml", &release(desk.namespace(), &good()));
    let ended = desk.eve(&["apply", "-f", "release.yaml", "--on-failure", "drain", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    let plain = desk.newest().await;
    let refused = async |run: &str, said: &[&str]| {
        let refused = desk.eve(&["rollback", run]).await;
        assert_eq!(refused.code(), Some(5), "{}{}", refused.out, refused.err);
        assert!(said.iter().all(|said| refused.err.contains(said)), "{said:?}: {}", refused.err);
    };
    refused(&plain, &["kept nothing of what was before", "--on-failure rollback"]).await;
    refused(&first, &[&format!("run {plain} of this plan changed"), "after it"]).await;
    refused("none", &["there is no run `none`"]).await;
    refused("", &["an empty name"]).await;
    let nothing = plan(desk.namespace(), &[component("same", "", &config_map("same", json!({ "a": "1" })))]);
    desk.write("same.yaml", &nothing);
    let same = desk.eve(&["apply", "-f", "same.yaml", "-o", "json"]).await;
    assert_eq!(same.code(), Some(0), "{}{}", same.out, same.err);
    refused(&desk.newest().await, &["there is nothing to undo"]).await;

    desk.write("release.yaml", &release(desk.namespace(), &never_ready()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    let live = desk.newest().await;
    refused(&live, &["is still under way", "eve cancel", "--rollback"]).await;
    let cancelled = desk.eve(&["cancel", &live]).await;
    assert_eq!(cancelled.code(), Some(0), "{}", cancelled.err);
    assert_eq!(running.end().await.code(), Some(4));
    let undone = desk.eve(&["rollback", &live]).await;
    assert_eq!(undone.code(), Some(0), "a run that was cancelled can be undone: {}", undone.err);
}
