//! Pods meet the fate that their annotations ask for, and show it as kubelets do.

use eve_testbed::{ControlPlane, DELAY, STAGE};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, LogParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::follow::{LIMIT, condition, create_and_follow};

fn pod(annotations: &Value) -> Value {
    // The API server lets no terminated container run again where the policy is `Never`.
    let ends = ["complete", "job-failed", "failed"].iter().any(|stage| annotations[STAGE] == *stage);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "subject", "annotations": annotations },
        "spec": {
            "restartPolicy": if ends { "Never" } else { "Always" },
            "initContainers": [{ "name": "setup", "image": "example.com/setup:1" }],
            "containers": [{ "name": "main", "image": "example.com/main:1" }, { "name": "helper", "image": "example.com/helper:1" }],
        },
    })
}

/// The states of a pod with the given annotations, from its creation until `until` holds.
async fn pod_states(annotations: Value, until: impl Fn(&Value) -> bool) -> Vec<Value> {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("stage").await;
    let client = control_plane.eve_client().await;
    create_and_follow::<Pod>(&client, &namespace, pod(&annotations), until).await
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}

fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let all = pod["status"]["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|status| status["name"] == name).unwrap_or(&Value::Null)
}

fn waits_for(reason: &str) -> impl Fn(&Value) -> bool {
    move |pod| container(pod, "main")["state"]["waiting"]["reason"] == reason
}

/// Consecutive equal values once.
fn changes<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut changes: Vec<T> = values.collect();
    changes.dedup();
    changes
}

#[tokio::test]
async fn pod_without_a_stage_becomes_ready_and_looks_like_a_real_one() {
    let states = pod_states(json!({}), is_ready).await;
    let ready = &states.last().unwrap()["status"];
    assert_eq!(ready["phase"], "Running");
    for key in ["podIP", "hostIP", "startTime"] {
        assert!(ready[key].is_string(), "no {key} in {ready:#}");
    }
    for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        assert_eq!(condition(states.last().unwrap(), kind)["status"], "True", "{kind}");
    }
    for (name, image) in [("main", "example.com/main:1"), ("helper", "example.com/helper:1")] {
        let container = container(states.last().unwrap(), name);
        assert_eq!(
            (&container["image"], &container["ready"], &container["restartCount"]),
            (&json!(image), &json!(true), &json!(0))
        );
        assert!(container["state"]["running"]["startedAt"].is_string());
    }
    assert_eq!(ready["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
}

#[tokio::test]
async fn delayed_and_slow_pods_are_being_created_first() {
    for annotations in [json!({ DELAY: "300ms" }), json!({ STAGE: "slow", DELAY: "400ms" })] {
        let states = pod_states(annotations, is_ready).await;
        let creating = states
            .iter()
            .find(|state| container(state, "main")["state"]["waiting"].is_object())
            .expect("it is created first");
        assert_eq!(creating["status"]["phase"], "Pending");
        assert_eq!(container(creating, "main")["state"]["waiting"]["reason"], "PodInitializing");
        assert_eq!(condition(creating, "Initialized")["status"], "False");
        assert_eq!(
            creating["status"]["podIP"],
            states.last().unwrap()["status"]["podIP"],
            "the address stays"
        );
    }
}

#[tokio::test]
async fn slow_pod_takes_its_time_without_saying_so() {
    let states = pod_states(json!({ STAGE: "slow" }), is_ready).await;
    let last = &states.last().unwrap();
    let second = |time: &Value| {
        let time = time.as_str().unwrap().trim_end_matches('Z');
        time.rsplit_once(':').unwrap().1.parse::<u32>().unwrap()
    };
    // Both times have whole seconds, so 5 s may show as 4; the minute may turn in between.
    let took = (60 + second(&container(last, "main")["state"]["running"]["startedAt"])
        - second(&last["status"]["startTime"]))
        % 60;
    assert!(took >= 4, "{took} s");
}

#[tokio::test]
async fn completing_pod_runs_and_succeeds() {
    let states = pod_states(json!({ STAGE: "complete" }), |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(
        changes(states.iter().map(|state| &state["status"]["phase"])),
        ["Pending", "Running", "Succeeded"]
    );
    let last = states.last().unwrap();
    assert_eq!(container(last, "main")["state"]["terminated"]["exitCode"], 0);
    assert_eq!(condition(last, "Ready")["reason"], "PodCompleted");
}

#[tokio::test]
async fn failing_pod_runs_and_fails_with_exit_code_1() {
    let states = pod_states(json!({ STAGE: "job-failed" }), |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(
        changes(states.iter().map(|state| &state["status"]["phase"])),
        ["Pending", "Running", "Failed"]
    );
    let ended = &container(states.last().unwrap(), "main")["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(1), &json!("Error")));
}

#[tokio::test]
async fn pod_that_fails_early_was_never_ready() {
    let states = pod_states(json!({ STAGE: "failed" }), |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(changes(states.iter().map(|state| &state["status"]["phase"])), ["Pending", "Failed"]);
    assert!(!states.iter().any(is_ready));
    assert_eq!(container(states.last().unwrap(), "main")["state"]["terminated"]["exitCode"], 1);
}

#[tokio::test]
async fn crash_looping_pod_climbs_to_three_restarts_and_on_and_is_never_ready() {
    let restarts = |pod: &Value| container(pod, "main")["restartCount"].as_u64().unwrap_or(0);
    let waits = waits_for("CrashLoopBackOff");
    let states = pod_states(json!({ STAGE: "crash-loop" }), |pod| waits(pod) && restarts(pod) >= 4).await;
    assert_eq!(changes(states.iter().map(restarts)), [0, 1, 2, 3, 4]);
    assert!(!states.iter().any(is_ready));
    let last = container(states.last().unwrap(), "main");
    assert_eq!(last["lastState"]["terminated"]["exitCode"], 1);
    assert!(
        last["state"]["waiting"]["message"]
            .as_str()
            .unwrap()
            .contains("restarting failed container=main pod=subject_")
    );
    assert_eq!(states.last().unwrap()["status"]["phase"], "Running");
}

#[tokio::test]
async fn only_the_named_container_fails() {
    let waits = waits_for("CrashLoopBackOff");
    let states = pod_states(json!({ STAGE: "crash-loop", "testbed.eve.dev/container": "main" }), waits).await;
    let helper = container(states.last().unwrap(), "helper");
    assert_eq!((&helper["ready"], &helper["restartCount"]), (&json!(true), &json!(0)));
    assert!(!states.iter().any(is_ready));
}

#[tokio::test]
async fn image_pull_failure_is_an_error_first_and_a_back_off_then() {
    let states = pod_states(json!({ STAGE: "image-pull" }), waits_for("ImagePullBackOff")).await;
    let reasons = changes(
        states.iter().filter_map(|state| container(state, "main")["state"]["waiting"]["reason"].as_str()),
    );
    assert_eq!(reasons, ["ErrImagePull", "ImagePullBackOff"]);
    let message = container(states.last().unwrap(), "main")["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.contains(r#"Back-off pulling image "example.com/main:1""#), "{message}");
    assert_eq!(states.last().unwrap()["status"]["phase"], "Pending");
}

#[tokio::test]
async fn bad_configuration_is_a_waiting_container() {
    let states = pod_states(json!({ STAGE: "bad-config" }), waits_for("CreateContainerConfigError")).await;
    let last = states.last().unwrap();
    assert_eq!(container(last, "main")["state"]["waiting"]["message"], r#"configmap "settings" not found"#);
    assert_eq!(last["status"]["phase"], "Pending");
}

#[tokio::test]
async fn never_ready_pod_runs_and_is_not_ready() {
    let states = pod_states(json!({ STAGE: "never-ready" }), |pod| pod["status"]["phase"] == "Running").await;
    let last = states.last().unwrap();
    assert_eq!(condition(last, "Ready")["status"], "False");
    assert_eq!(condition(last, "Ready")["reason"], "ContainersNotReady");
    assert_eq!(condition(last, "Ready")["message"], "containers with unready status: [main helper]");
    assert!(container(last, "main")["state"]["running"].is_object());
}

#[tokio::test]
async fn flapping_pod_is_ready_and_not_ready_in_turn() {
    let ups = std::cell::Cell::new(0);
    let states = pod_states(json!({ STAGE: "flapping", DELAY: "100ms" }), |pod| {
        ups.set(ups.get() + usize::from(is_ready(pod)));
        ups.get() == 3
    })
    .await;
    let running = states.iter().filter(|state| state["status"]["phase"] == "Running");
    assert_eq!(changes(running.map(is_ready)), [true, false, true, false, true]);
}

#[tokio::test]
async fn faults_leave_events() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("events").await;
    let client = control_plane.eve_client().await;
    create_and_follow::<Pod>(
        &client,
        &namespace,
        pod(&json!({ STAGE: "crash-loop" })),
        waits_for("CrashLoopBackOff"),
    )
    .await;
    let events: Api<Event> = Api::namespaced(client, &namespace);
    let back_off = async {
        let mut stream = events.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        while let Some(event) = stream.try_next().await.unwrap() {
            if let WatchEvent::Added(event) = event
                && event.reason.as_deref() == Some("BackOff")
            {
                return event;
            }
        }
        panic!("the watch ended")
    };
    let event = tokio::time::timeout(LIMIT, back_off).await.expect("an event comes");
    assert_eq!(event.involved_object.name.as_deref(), Some("subject"));
    assert_eq!(event.type_.as_deref(), Some("Warning"));
}

#[tokio::test]
async fn containers_have_logs() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("logs").await;
    let client = control_plane.eve_client().await;
    create_and_follow::<Pod>(&client, &namespace, pod(&json!({})), is_ready).await;
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let params = |previous| LogParams {
        container: Some("main".to_owned()),
        tail_lines: Some(2),
        previous,
        ..LogParams::default()
    };
    let log = pods.logs("subject", &params(false)).await.unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.contains("connection refused"), "{log}");
    let previous = pods.logs("subject", &params(true)).await.unwrap();
    assert_ne!(previous, log);
}
