//! A receiver that says no: what it was not told is seen, outlives the daemon, and is sent again when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use eve_testbed::{ControlPlane, Receiver, Reply};
use serde_json::{Value, json};

use crate::desk::{Daemon, Desk, plan, until};

async fn listed(daemon: &Daemon) -> Vec<Value> {
    let (status, body) = daemon.get("/undelivered").await;
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn an_outcome_that_nobody_took_is_seen_and_sent_again_with_the_same_key() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    let hook = Arc::new(Receiver::start().await);
    hook.otherwise(Reply::status(404));
    let config = format!(
        "source: {{ directory: {{ path: plans }} }}\nnotify:\n- webhook: {{ url: '{}', secretFile: secret }}\n",
        hook.url("/told")
    );
    let desk = Desk::new(&config, &control_plane.kubeconfig_path());
    desk.give_for(&hook, "secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let daemon = desk.start();
    desk.send("shop.yaml", &plan("shop", &namespace, json!({})));
    // A receiver that says no holds up nobody.
    assert_eq!(desk.outcome("shop.yaml").await["ending"], "succeeded");
    daemon.says("outcome not told yet; it is tried again", json!({})).await;
    daemon.kill();

    let daemon = desk.start();
    let left = listed(&daemon).await;
    let [notice] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((&notice["code"], &notice["attempts"]), (&json!("webhook.gone"), &json!(1)), "{notice}");
    assert!(
        notice["retryAt"].is_string() && notice["receiver"].as_str().unwrap().contains("/told"),
        "{notice}"
    );
    let told = hook.received().len();

    hook.otherwise(Reply::status(200));
    let again = format!("/undelivered/{}", notice["request"].as_str().unwrap().replace('/', "%2F"));
    assert_eq!(daemon.ask("POST", &again).await.0, 202);
    until("the notice", || (hook.received().len() > told).then_some(())).await;
    let keys: Vec<_> =
        hook.received().iter().map(|event| event.header("webhook-id").map(str::to_owned)).collect();
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    // The directory may be told once more: its file was there before the record that it is.
    daemon.says("outcome told", json!({ "receiver": hook.url("/told") })).await;
    while !listed(&daemon).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(daemon.ask("POST", &again).await.0, 404);
}
