//! A release that fails at its last component, under the policy `rollback`.

use eve_testbed::ControlPlane;
use serde_json::json;

use super::desk::Desk;
use super::{config_map, impossible, never_ready_in_time, refused, release};

#[tokio::test]
async fn a_release_that_fails_at_its_last_component_leaves_everything_as_it_was() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane, "rollback").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let mark = control_plane.audit().mark().await;
    let ended = desk.eve(&["apply", "-f", "release.yaml", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    let summary = ended.summary();
    assert_eq!(summary["outcome"], "rolled_back", "{summary}");
    // What could not be applied may have been written for all that is known, so it is looked at too.
    let undone = [&summary["rollback"]["undone"], &summary["rollback"]["components"]];
    assert_eq!((undone[0], &summary["rollback"]["left"]), (undone[1], &json!([])), "{summary}");
    assert_eq!(summary["failures"][0]["component"], "bad/deployment/bad");
    let entries = desk.since(mark).await;
    let untouched = entries.writes().filter(|entry| entry.name == "same");
    assert!(untouched.is_empty(), "{untouched:?}");
    let settings = desk.get("configmaps", "settings").await.unwrap();
    assert_eq!(settings["data"], json!({ "kept": "1", "lost": "x", "theirs": "1" }));
    desk.is_as_before().await;

    let run = summary["run"].as_str().unwrap();
    let status = desk.eve(&["status", run]).await;
    assert!(status.out.contains("failed, rolled back") && status.out.contains("put back"), "{}", status.out);
    let timeline = desk.eve(&["timeline", run]).await;
    assert!(timeline.out.contains("undoing") || timeline.out.contains("undone"), "{}", timeline.out);
    let again = desk.eve(&["rollback", run]).await;
    assert_eq!(again.code(), Some(5), "{}", again.err);
    assert!(again.err.contains("there is nothing to undo"), "{}", again.err);
}

#[tokio::test]
async fn the_display_for_people_tells_the_rollback() {
    let desk = Desk::new(ControlPlane::shared().await, "told").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let ended = desk.eve(&["apply", "-f", "release.yaml"]).await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    for part in [
        "rolling back what the run changed",
        "new/configmap/new: put back (removed)",
        "settings/configmap/settings: put back (changed back)",
        "old/configmap/old: put back (made again)",
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    assert!(ended.out.starts_with("failed, rolled back in "), "{}", ended.out);
}

#[tokio::test]
async fn what_somebody_else_has_changed_is_named_and_not_overwritten_and_the_rest_is_put_back() {
    let desk = Desk::new(ControlPlane::shared().await, "foreign").await;
    desk.write("release.yaml", &release(desk.namespace(), &never_ready_in_time()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("applied", "never").await;
    desk.merge("configmaps", "settings", &json!({ "data": { "kept": "theirs" } })).await;
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(8), "{}{}", ended.out, ended.err);
    let summary = ended.summary();
    assert_eq!(summary["outcome"], "rollback_failed", "{summary}");
    let left = summary["rollback"]["left"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{summary}");
    assert_eq!(
        (&left[0]["component"], &left[0]["state"]),
        (&json!("settings/configmap/settings"), &json!("failed"))
    );
    let said = left[0]["failure"].to_string();
    assert!(said.contains("somebody"), "it is named who: {said}");
    let run = summary["run"].as_str().unwrap();
    let rollback = &summary["rollback"];
    let command = json!(format!("eve rollback {run}"));
    assert_eq!((&rollback["command"], &left[0]["remedy"]), (&command, &json!("mend")), "{summary}");
    let settings = desk.get("configmaps", "settings").await.unwrap();
    assert_eq!(settings["data"]["kept"], "theirs", "it is not overwritten");
    let (was, is) = (&desk.was, desk.state().await);
    let changed: Vec<&String> =
        was.iter().filter(|(path, was)| is[*path] != **was).map(|(path, _)| path).collect();
    assert_eq!(changed, [&desk.path("configmaps", "settings")], "everything else is as before");

    let status = desk.eve(&["status", run]).await;
    for part in ["not put back", "settings/configmap/settings", "mend what is said of it above"] {
        assert!(status.out.contains(part), "{part}: {}", status.out);
    }
    assert!(!status.out.contains("go on with the rollback"), "it would end the same: {}", status.out);
    // The value is what the run wrote, but it is theirs now.
    desk.merge("configmaps", "settings", &json!({ "data": { "kept": "2" } })).await;
    let finished = desk.eve(&["rollback", run]).await;
    let kept = desk.get("configmaps", "settings").await.unwrap()["data"]["kept"].clone();
    assert_eq!((finished.code(), kept), (Some(8), json!("2")), "{}{}", finished.out, finished.err);
}

#[tokio::test]
async fn an_annotation_stops_the_rollback_of_a_folder_and_diff_says_so_before() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("stop").await;
    let desk = Desk::new(control_plane, "stops").await;
    let annotated = |name: &str, annotations: serde_json::Value, data: serde_json::Value| {
        let mut object = config_map(name, data);
        object["metadata"]["annotations"] = annotations;
        object
    };
    let mut bad = impossible();
    bad["metadata"]["annotations"] = json!({ "eve.dev/depends-on": "configmap/migrate" });
    let objects = [
        annotated("base", json!({}), json!({ "a": "1" })),
        annotated(
            "migrate",
            json!({ "eve.dev/depends-on": "configmap/base", "eve.dev/undo": "never" }),
            json!({ "a": "1" }),
        ),
        bad,
    ];
    let text: Vec<String> = objects.iter().map(ToString::to_string).collect();
    desk.write("folder.yaml", &text.join("\n---\n"));
    let flags = ["-n", namespace.name(), "-f", "folder.yaml", "--on-failure", "rollback"];
    let diff = desk.eve(&[&["diff"], &flags[..]].concat()).await;
    let said = "a rollback stops at configmap/migrate (`undo: never`), and leaves what it depends on: configmap/base";
    assert!(diff.out.contains(said), "{}{}", diff.out, diff.err);
    let diff = desk.eve(&[&["diff", "-o", "json"], &flags[..]].concat()).await;
    let stops = &diff.summary()["rollbackStops"];
    assert_eq!(stops, &json!([{ "component": "configmap/migrate", "leaves": ["configmap/base"] }]));

    let ended = desk.eve(&[&["apply", "-o", "json"], &flags[..]].concat()).await;
    assert_eq!(ended.code(), Some(8), "{}{}", ended.out, ended.err);
    let left = ended.summary()["rollback"]["left"].clone();
    let because: Vec<_> = left.as_array().unwrap().iter().map(|one| one["because"]["type"].clone()).collect();
    assert_eq!(because, [json!("dependant"), json!("rule")], "{left}");
    assert_eq!(ended.summary()["rollback"]["command"], json!(null));
    let run = ended.summary()["run"].as_str().unwrap().to_owned();
    let status = desk.eve(&["status", &run]).await;
    for part in ["left alone was not looked at", "apply the plan as it was before"] {
        assert!(status.out.contains(part), "{part}: {}", status.out);
    }
    assert!(!status.out.contains("eve rollback"), "{}", status.out);
}
