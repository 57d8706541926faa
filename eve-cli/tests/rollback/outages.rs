//! The API server goes away in the middle of a rollback.

use std::time::Duration;

use eve_testbed::{ControlPlane, Entries, Options, Server};
use serde_json::json;

use super::desk::Desk;
use super::{never_ready, release};

/// How long it is away.
const AWAY: Duration = Duration::from_secs(10);

/// The writes of eve to this object that were granted, in the order of the log.
fn writes(entries: &Entries, desk: &Desk<'_>, resource: &str, name: &str) -> Vec<String> {
    let of = entries.by_user("eve").in_namespace(desk.namespace()).resource(resource).granted().writes();
    of.filter(|entry| entry.name == name).iter().map(|entry| entry.verb.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_away_for_10_seconds_costs_only_time() {
    let control_plane = ControlPlane::start(Options::new()).await.unwrap();
    let desk = Desk::new(&control_plane, "away").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    // The rollback stands still in the middle: `web`, `settings` and `new` come after `next`, which is held.
    desk.merge("deployments", "next", &json!({ "metadata": { "finalizers": ["testbed.eve.dev/held"] } }))
        .await;
    // It waits until the run is over.
    let mut asked = desk.command(&["cancel", &desk.newest().await, "--rollback"]).spawn().unwrap();
    running.until("undone", "never").await;
    running.until("undoStarted", "next").await;
    control_plane.kill(Server::KubeApiserver);
    let log = control_plane.audit_log_path();
    let before = Entries::from_file(&log).unwrap();
    assert_eq!(writes(&before, &desk, "deployments", "never"), ["patch", "delete"], "undone before");
    let forward = ["new", "settings"].map(|name| writes(&before, &desk, "configmaps", name).len());
    tokio::time::sleep(AWAY).await;
    control_plane.revive(Server::KubeApiserver).unwrap();
    while desk.get("deployments", "next").await.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    desk.merge("deployments", "next", &json!({ "metadata": { "finalizers": null } })).await;
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    assert_eq!(asked.wait().await.unwrap().code(), Some(0));
    let all = Entries::from_file(&log).unwrap();
    for (name, forward) in ["new", "settings"].into_iter().zip(forward) {
        let after = writes(&all, &desk, "configmaps", name).split_off(forward);
        assert!(!after.is_empty(), "`{name}` is undone after the outage");
    }
    desk.is_as_before_by_versions().await;
    control_plane.stop().await;
}
