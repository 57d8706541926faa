//! What a daemon leaves to the next one: outcomes that nobody took, plans of a queue.

use std::fs;
use std::sync::Arc;

use eve_testbed::{ControlPlane, Receiver, Reply};
use serde_json::json;

use crate::cloud::Cloud;
use crate::desk::{Desk, gated_plan, open_gate, plan, until};

#[tokio::test]
async fn an_outcome_that_nobody_took_is_told_by_the_next_daemon_as_it_would_have_been_before() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("restart").await;
    let receiver = Arc::new(Receiver::start().await);
    receiver.otherwise(Reply::status(503));
    let config = format!(
        "source: {{ directory: {{ path: plans }} }}\nnotify: [{{ name: hook, webhook: {{ url: '{}', secretFile: key }} }}]\n",
        receiver.url("/events")
    );
    let desk = Desk::new(&config, &control_plane.kubeconfig_path());
    desk.give_for(&receiver, "key", "whsec_bm90aGluZyBidXQgYSBrZXkgb2YgYSB0ZXN0IQ==");
    let daemon = desk.start();
    desk.send("shop.yaml", &plan("shop", &namespace, json!({})));
    let hook = json!({ "receiver": "hook" });
    daemon.says("outcome not told yet; it is tried again", hook.clone()).await;
    // A receiver that is away holds up neither the plan nor the others who are told.
    assert_eq!(desk.outcome("shop.yaml").await["ending"], "succeeded");
    daemon.kill();
    receiver.otherwise(Reply::status(200));
    let daemon = desk.start();
    daemon.says("outcome told", hook).await;
    let events = receiver.received();
    assert!(events.len() >= 2, "{events:?}");
    for again in &events {
        assert_eq!(again.header("webhook-id"), events[0].header("webhook-id"));
        assert_eq!(again.body, events[0].body);
    }
}

#[tokio::test]
async fn a_plan_that_is_handed_back_is_in_the_queue_at_once() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("restart").await;
    let cloud = Cloud::new("restart").await;
    // Longer than any test waits.
    let desk = Desk::new(&cloud.source(), &control_plane.kubeconfig_path())
        .with("EVE_DAEMON__SOURCE__SQS__VISIBILITY_TIMEOUT", "1h")
        .with("EVE_DAEMON__SHUTDOWN__GRACE", "1s");
    let token = control_plane.account_token(&namespace, "eve", "sts.amazonaws.com").await.unwrap();
    cloud.admit(&desk, &token);
    let mut daemon = desk.start();
    cloud.send("slow", &namespace, &gated_plan("shop", &namespace)).await;
    let waits = daemon.says("component waits", json!({ "component": "gate/configmap/gate" })).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let next = desk.start();
    next.says("run goes on after an interruption", json!({ "run": waits["run"] })).await;
    open_gate(control_plane, &namespace).await;
    next.says("request answered", json!({ "request": "slow", "outcome": "succeeded" })).await;
}

#[tokio::test]
async fn a_plan_that_reaches_too_far_is_told_what_whoever_runs_the_daemon_can_do() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("restart").await;
    let config = "source: { directory: { path: plans } }\n";
    let desk = Desk::new(config, &control_plane.kubeconfig_path());
    let _daemon = desk.start();
    let far = plan("shop", &namespace, json!({})).replace("\"ConfigMap\"", "\"Namespace\"");
    desk.send("far.yaml", &far);
    let outcome = desk.outcome("far.yaml").await;
    let message = outcome["failure"]["message"].as_str().unwrap();
    assert!(message.contains("`kubernetes.allowClusterScoped`") && !message.contains("--"), "{message}");
    desk.send("lost.yaml", &plan("shop", "no-such-namespace", json!({})));
    let outcome = desk.outcome("lost.yaml").await;
    assert_eq!(outcome["failure"]["code"], "k8s.namespace.missing", "{outcome}");
}

#[tokio::test]
async fn a_run_whose_next_step_is_not_allowed_any_more_is_rolled_back_and_not_dropped() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("restart").await;
    let functions = Receiver::start().await;
    functions.otherwise(Reply::Hang);
    let source = "source: { directory: { path: plans } }\n";
    let config = format!("{source}functions: [{{ url: '{}' }}]\n", functions.url("/"));
    let desk = Desk::new(&config, &control_plane.kubeconfig_path());
    let daemon = desk.start();
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
    let plan = json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
        "metadata": { "name": "shop", "namespace": *namespace },
        "spec": { "onFailure": "rollback", "components": [
            { "name": "a", "manifests": { "objects": [object] } },
            { "name": "step", "dependsOn": ["a"], "function": { "url": functions.url("/step") } },
        ] },
    });
    desk.send("shop.yaml", &plan.to_string());
    until("a call of the function", || functions.received().first().cloned()).await;
    daemon.kill();
    fs::write(desk.path("eve.yaml"), source).unwrap();
    let _daemon = desk.start();
    let outcome = desk.outcome("shop.yaml").await;
    assert_eq!(outcome["failure"]["code"], "function.not-allowed", "{outcome}");
    assert!(["rolled_back", "rollback_failed"].contains(&outcome["ending"].as_str().unwrap()), "{outcome}");
    let told = outcome["components"].as_array().unwrap();
    assert!(told.iter().any(|component| component["name"] == "step"), "{outcome}");
}
