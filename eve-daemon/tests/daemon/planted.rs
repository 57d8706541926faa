//! The scan itself: what is planted in each place out of which something comes is found in every form, so that a clean scan
//! means something.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use eve_core::testing::canary::{Canary, CanaryScan, Form};
use eve_testbed::{ControlPlane, Receiver, Reply};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::desk::Desk;
use crate::sinks::Sinks;

/// One place each in which the leaks are planted.
const PLACES: [&str; 23] = [
    "log-0",
    "said-0",
    "eve-daemon-state/eve.ledger-wal",
    "plans/done/shop.outcome.json",
    "head of event 0",
    "body of event 0",
    "head of notice 0",
    "body of notice 0",
    "head of step 0",
    "body of step 0",
    "message 0",
    "dead letter 0",
    "answer 0",
    "/livez",
    "/readyz",
    "/metrics",
    "/undelivered",
    "configmaps/in-data",
    "configmaps/in-annotation",
    "secrets/in-annotation",
    "pods/in-status",
    "deployments/in-label-of-pods",
    "events/in-message",
];

/// Makes an object as the administrator.
async fn make(control_plane: &ControlPlane, path: &str, object: &Value) {
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    control_plane.admin_client().await.request::<Value>(request).await.unwrap();
}

async fn plant_objects(control_plane: &ControlPlane, namespace: &str, leaks: &str, hidden: &str) {
    let meta = |name: &str| json!({ "name": name });
    let annotated = json!({ "name": "in-annotation", "annotations": { "eve.dev/planted": leaks } });
    let core = |plural: &str| format!("/api/v1/namespaces/{namespace}/{plural}");
    let containers = json!([{ "name": "main", "image": "registry.example/app:1" }]);
    let template = json!({
        "metadata": { "labels": { "app": "x" }, "annotations": { "planted": leaks } }, "spec": { "containers": containers },
    });
    let gate = json!({ "schedulingGates": [{ "name": "eve.dev/never" }], "containers": containers });
    for (path, object) in [
        (core("configmaps"), json!({ "metadata": meta("in-data"), "data": { "k": leaks } })),
        (core("configmaps"), json!({ "metadata": annotated })),
        (core("secrets"), json!({ "metadata": annotated, "stringData": { "k": hidden } })),
        (core("pods"), json!({ "metadata": meta("in-status"), "spec": gate })),
        (
            core("events"),
            json!({
                "metadata": meta("in-message"), "message": leaks,
                "involvedObject": { "kind": "Pod", "name": "in-status", "namespace": namespace },
            }),
        ),
        (
            format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
            json!({
                "metadata": meta("in-label-of-pods"),
                "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "x" } }, "template": template },
            }),
        ),
    ] {
        make(control_plane, &path, &object).await;
    }
    let status = json!({ "status": { "message": leaks } });
    let request = http::Request::patch(format!("{}/in-status/status", core("pods")));
    let request = request.header("content-type", "application/merge-patch+json");
    let request = request.body(status.to_string().into_bytes()).unwrap();
    control_plane.admin_client().await.request::<Value>(request).await.unwrap();
}

/// How a desk ends that gave a daemon this secret: with what it says, if it says something.
fn end(desk: Desk) -> Option<String> {
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(desk)));
    end.err().map(|panic| *panic.downcast::<String>().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_test_that_asks_for_no_scan_fails_if_what_it_gave_the_daemon_comes_out_anywhere() {
    let canary = Canary::plain(500);
    let (served, hook) = (Receiver::start().await, Arc::new(Receiver::start().await));
    let leak = canary.leaked(Form::Base64);
    served.otherwise(Reply::Text(200, leak.clone()));
    for (way, place) in [
        ("nowhere", None),
        ("given", None),
        ("panic", Some("log-0")),
        ("outcome", Some("plans/done/shop.outcome.json")),
        ("answer", Some("GET /readyz")),
        ("queue", Some("-dead.fifo 0")),
        ("notice", Some("body of call 0")),
    ] {
        let cloud = Cloud::new("unasked").await;
        let desk = Desk::new("", Path::new("none"));
        for (file, text) in [("log-0", "started"), ("said-0", "")] {
            fs::write(desk.path(file), text).unwrap();
        }
        cloud.admit(&desk, canary.value());
        desk.give_for(&hook, "key", &format!("whsec_{}", Canary::plain(501).value()));
        match way {
            "given" => desk.give("key", canary.value()),
            "panic" => fs::write(desk.path("log-0"), format!("panicked at {leak}")).unwrap(),
            "outcome" => {
                fs::create_dir_all(desk.path("plans/done")).unwrap();
                fs::write(desk.path("plans/done/shop.outcome.json"), &leak).unwrap();
            }
            "answer" => {
                drop(desk.watch().ask(served.url("").trim_start_matches("http://"), "GET", "/readyz"));
            }
            "queue" => {
                cloud.send_to(&cloud.dead, "eve", &leak).await;
                cloud.take_all(&cloud.dead).await;
            }
            "notice" => {
                let call = reqwest::Client::new().post(hook.url("/")).body(leak.clone());
                call.send().await.unwrap();
            }
            _ => {}
        }
        let end = end(desk);
        assert_eq!(end.is_some(), place.is_some(), "{way}: {end:?}");
        let said = end.unwrap_or_default();
        assert!(said.contains(place.unwrap_or_default()) && !said.contains(canary.value()), "{way}: {said}");
    }
}

#[tokio::test]
async fn a_secret_is_found_in_every_form_wherever_it_comes_out() {
    let canaries: Vec<Canary> = (0..=Form::ALL.len()).map(|seed| Canary::plain(400 + seed as u64)).collect();
    let leaked = Form::ALL.iter().zip(&canaries).map(|(form, canary)| canary.leaked(*form));
    let leaks = leaked.collect::<Vec<_>>().join(" | ");
    let hidden = canaries[Form::ALL.len()].value();
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("planted").await;
    let cloud = Cloud::new("planted").await;
    let (hook, served) = (Receiver::start().await, Receiver::start().await);
    let desk = Desk::new("", &control_plane.kubeconfig_path());

    for place in PLACES.iter().take(4) {
        fs::create_dir_all(desk.path(place).parent().unwrap()).unwrap();
        fs::write(desk.path(place), format!("\0panicked at {leaks}")).unwrap();
    }
    fs::write(desk.path("given-token"), hidden).unwrap();
    let call = reqwest::Client::new().post(hook.url("/events")).header("x-planted", &leaks);
    call.body(leaks.clone()).send().await.unwrap();
    for queue in [&cloud.queue, &cloud.dead, &cloud.answers] {
        cloud.send_to(queue, &namespace, &leaks).await;
    }
    served.otherwise(Reply::Text(200, leaks.clone()));
    plant_objects(control_plane, &namespace, &leaks, hidden).await;

    let mut sinks = Sinks::default();
    sinks.files(&desk, &["given-token"]);
    for who in ["event", "notice", "step"] {
        sinks.calls(who, &hook.received());
    }
    for (what, queue) in [("message", &cloud.queue), ("dead letter", &cloud.dead), ("answer", &cloud.answers)]
    {
        sinks.messages(what, &cloud.take_all(queue).await);
    }
    sinks.served(served.url("").trim_start_matches("http://")).await;
    sinks.objects(control_plane, &namespace).await;
    let scan: CanaryScan = sinks.scan(&canaries, &PLACES);
    for place in PLACES {
        for (number, form) in Form::ALL.iter().enumerate() {
            let is_it = scan.leaks().iter().any(|leak| leak.sink == place && leak.canary == number);
            assert!(is_it, "{form:?} in {place}");
        }
    }
    let seen = scan.leaks().iter().filter(|leak| leak.canary == Form::ALL.len()).count();
    assert_eq!(seen, 0, "values of Secrets, and what the daemon is given, are no leaks");
}
