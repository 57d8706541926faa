//! True success: what was ready and is not at the end is a failure with its reason.

use eve_testbed::ControlPlane;
use serde_json::json;

use super::desk::Desk;
use super::{component, deployment, plan};

#[tokio::test]
async fn of_twelve_workloads_one_that_turns_unready_before_the_end_fails_the_run_with_its_reason() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane, "verify").await;
    let namespace = control_plane.namespace("twelve").await;
    let name = |number: usize| format!("app-{number}");
    let components: Vec<String> = (1..=12)
        .map(|number| {
            let slow = "testbed.eve.dev/delay";
            let mut object = deployment(&name(number), "ready", &["main"]);
            if number == 12 {
                let annotations = &mut object["spec"]["template"]["metadata"]["annotations"];
                *annotations = json!({ "testbed.eve.dev/stage": "slow", slow: "8s" });
            }
            component(&name(number), "", &object)
        })
        .collect();
    desk.write(
        "twelve.yaml",
        &plan(namespace.name(), &components).replace("onFailure: rollback", "onFailure: drain"),
    );
    let mut running = desk.start(&["apply", "-f", "twelve.yaml"]);
    running.until("ready", "app-3/").await;
    // Its pods are taken away, and new ones cannot be made.
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/app-3", namespace.name());
    let change = json!({ "spec": { "template": { "metadata": { "annotations": {
        "testbed.eve.dev/stage": "crash-loop" } } }, "strategy": null } });
    let uri = format!("{path}?fieldManager=eve");
    let request = http::Request::patch(uri).header("content-type", "application/merge-patch+json");
    let request = request.body(change.to_string().into_bytes()).unwrap();
    let client = control_plane.admin_client().await;
    client.request::<serde_json::Value>(request).await.unwrap();
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(1), "{}{}", ended.out, ended.err);
    let failure = &ended.summary()["failures"][0];
    assert_eq!(
        (&failure["component"], &failure["phase"]),
        (&json!("app-3/deployment/app-3"), &json!("verify"))
    );
    assert!(failure["failure"]["message"].as_str().is_some_and(|said| !said.is_empty()), "{failure}");
}
