//! What a rollback does not put back: each object is named with what the run did to it and what stands in the way, and one
//! command finishes the job once that is out of the way.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::desk::Desk;
use super::{config_map, never_ready_in_time, release};

#[tokio::test]
async fn each_object_that_is_left_is_named_with_its_state_and_one_command_finishes_the_job() {
    let desk = Desk::new(ControlPlane::shared().await, "left").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready_in_time()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    // One that was changed is changed again, one that was made gets a key, one that was deleted is made anew.
    desk.merge("deployments", "web", &json!({ "spec": { "replicas": 2 } })).await;
    desk.merge("configmaps", "new", &json!({ "data": { "theirs": "1" } })).await;
    desk.make("configmaps", "old", &config_map("old", json!({ "theirs": "1" }))).await;
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(8), "{}{}", ended.out, ended.err);
    let summary = ended.summary();
    let run = summary["run"].as_str().unwrap();
    let command = format!("eve rollback {run}");
    assert_eq!(summary["rollback"]["command"], command);
    let left = summary["rollback"]["left"].as_array().unwrap();
    let of = |name: &str| left.iter().find(|one| one["component"] == name).unwrap_or(&Value::Null);
    let all = [
        ("web/deployment/web", "update", "changed by the run", "changed by `somebody` since"),
        ("new/configmap/new", "create", "created by the run", "was made by the run and stays"),
        ("old/configmap/old", "delete", "deleted by the run", "was made anew by somebody else since"),
    ];
    // What `web` depends on is kept with it.
    assert_eq!(left.len(), all.len() + 1, "{summary}");
    assert_eq!(of("settings/configmap/settings")["because"]["component"], "web/deployment/web", "{summary}");
    let status = desk.eve(&["status", run]).await;
    for (name, change, did, state) in all {
        let one = of(name);
        assert_eq!((&one["state"], &one["change"]), (&json!("failed"), &json!(change)), "{name}: {summary}");
        assert_eq!(one["failure"]["code"], "k8s.undo.conflict", "{one}");
        let mut lines = status.out.lines().map(str::trim_start);
        let line = lines.find(|line| line.starts_with(&format!("{name}, {did}: ")));
        assert!(line.is_some_and(|line| line.contains(state)), "{name}: {}", status.out);
    }
    assert!(status.out.contains(&format!("`{command}`")), "{}", status.out);

    // They take theirs away, and the command that was named puts back the rest.
    desk.merge("deployments", "web", &json!({ "spec": { "replicas": 1 } })).await;
    desk.merge("configmaps", "new", &json!({ "data": { "theirs": null } })).await;
    desk.remove("configmaps", "old").await;
    let finished = desk.eve(&["rollback", run, "-o", "json"]).await;
    assert_eq!(finished.code(), Some(0), "{}{}", finished.out, finished.err);
    assert_eq!(finished.summary()["rollback"]["left"], json!([]), "{}", finished.out);
    assert!(desk.get("configmaps", "new").await.is_none());
    assert_eq!(desk.get("configmaps", "old").await.unwrap()["data"], json!({ "a": "1" }));
    assert_eq!(desk.get("configmaps", "settings").await.unwrap()["data"]["kept"], "1");
}
