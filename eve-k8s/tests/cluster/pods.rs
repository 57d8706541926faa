//! Pods that do not come up, and what is said of them.

use eve_core::failure::FailureClass;
use eve_core::run::Change;
use eve_k8s::KubeExecutor;
use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use crate::common::{graph, step};
use crate::{
    client, config_map, daemon_set, deploy, deployment, executor, job, one, stateful_set, waits_for, workload,
};

/// A doomed object ends its wait with this code, and its message, notes and log contain these texts.
async fn doomed(prefix: &str, object: Value, code: &str, texts: &[&str]) {
    let failure = one(prefix, object).await.unwrap_err();
    let all = format!("{}\n{}", failure.message, failure.lines().collect::<Vec<_>>().join("\n"));
    assert_eq!(failure.code, code, "{all}");
    assert_eq!(failure.class, FailureClass::Permanent, "{all}");
    for text in texts {
        assert!(all.contains(text), "`{text}` is not in:\n{all}");
    }
}

#[tokio::test]
async fn a_crash_loop_is_given_up_with_the_last_words_of_the_container() {
    let texts = [
        "/web: container `main` of ",
        "pod",
        "3 times",
        "exit code 1",
        "event BackOff",
        "panic: cannot reach the database",
    ];
    doomed("crash", deployment("web", "crash-loop", 2), "k8s.pod.crash-loop", &texts).await;
}

#[tokio::test]
async fn a_crash_loop_of_a_stateful_set_is_given_up() {
    doomed("crash-sts", stateful_set("web", "crash-loop"), "k8s.pod.crash-loop", &["pod web-0", "3 times"])
        .await;
}

#[tokio::test]
async fn a_crash_loop_of_a_daemon_set_is_given_up() {
    doomed("crash-ds", daemon_set("web", "crash-loop"), "k8s.pod.crash-loop", &["DaemonSet ", "3 times"])
        .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_given_up() {
    let texts = ["container `main` of 2 pods", "ErrImagePull", "registry.example.com/web:1"];
    doomed("pull", deployment("web", "image-pull", 2), "k8s.pod.image-pull", &texts).await;
}

#[tokio::test]
async fn a_bad_configuration_is_given_up() {
    let texts = ["CreateContainerConfigError", "configmap \"settings\" not found"];
    doomed("config", deployment("web", "bad-config", 1), "k8s.pod.bad-config", &texts).await;
}

#[tokio::test]
async fn what_a_pod_lacks_is_told_with_the_component_that_makes_it() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("upstream").await;
    let executor = executor(control_plane).await;
    let web = || deployment("web", "bad-config", 1);
    let upstream = "the component `component-1` of this plan makes the ConfigMap `settings`; name it in `dependsOn` to wait for it";
    for (others, hint) in [
        (vec![config_map("settings", "1")], upstream),
        (vec![config_map("other", "1")], "no component of this plan makes the ConfigMap `settings`"),
    ] {
        let graph = graph(namespace.name(), [vec![web()], others].concat());
        let failure = deploy(&executor, &step(&graph, 0)).await.unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some(hint), "{failure}");
    }
}

#[tokio::test]
async fn a_failed_job_is_given_up_at_once() {
    let texts = ["BackoffLimitExceeded", "container `main` of pod job-", "exit code 1", "log main: "];
    doomed("job", job("job", "job-failed"), "k8s.job.failed", &texts).await;
}

#[tokio::test]
async fn refused_pods_are_given_up() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("quota").await;
    let executor = executor(control_plane).await;
    let quota = workload("v1", "ResourceQuota", "none", json!({ "hard": { "pods": "0" } }));
    let graph = graph(namespace.name(), [quota, deployment("web", "ready", 1), stateful_set("db", "ready")]);
    deploy(&executor, &step(&graph, 0)).await.unwrap();
    for index in [1, 2] {
        let failure = deploy(&executor, &step(&graph, index)).await.unwrap_err();
        assert_eq!(failure.code, "k8s.workload.replica-failure", "{failure}");
        assert!(failure.message.contains("exceeded quota: none"), "{failure}");
    }
}

#[tokio::test]
async fn what_no_node_takes_is_told_and_waited_for() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("nowhere").await;
    let executor = executor(control_plane).await;
    let mut object = deployment("web", "ready", 1);
    object["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "golden" });
    let step = step(&graph(namespace.name(), [object]), 0);
    waits_for(&executor, &step, "cannot be scheduled: 0/3 nodes are available").await;
}

#[tokio::test]
async fn a_repair_is_not_judged_by_the_pods_that_it_replaces() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("repair").await;
    let executor = executor(control_plane).await;
    for (kind, broken, repaired) in [
        ("Deployment", deployment("web", "crash-loop", 2), deployment("web", "ready", 2)),
        ("DaemonSet", daemon_set("agent", "crash-loop"), daemon_set("agent", "ready")),
    ] {
        let graph = graph(namespace.name(), [broken, repaired]);
        let failure = deploy(&executor, &step(&graph, 0)).await.unwrap_err();
        assert_eq!(failure.code, "k8s.pod.crash-loop", "{kind}: {failure}");
        let done = deploy(&executor, &step(&graph, 1)).await;
        assert_eq!(done.unwrap().change, Change::Update, "{kind}");
    }
}

#[tokio::test]
async fn the_workloads_own_deadline_is_told_with_the_cause_of_its_pods() {
    let mut object = deployment("web", "image-pull", 1);
    object["spec"]["progressDeadlineSeconds"] = json!(3);
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("deadline").await;
    // The grace of the cause is longer than the deadline of the Deployment.
    let executor = KubeExecutor::builder(client(control_plane).await).build();
    let failure = deploy(&executor, &step(&graph(namespace.name(), [object]), 0)).await.unwrap_err();
    assert_eq!(failure.code, "k8s.deployment.deadline", "{failure}");
    assert!(failure.message.contains("0 of 1 replica is available; container `main` of pod"), "{failure}");
    assert!(failure.message.contains("cannot pull its image"), "{failure}");
}
