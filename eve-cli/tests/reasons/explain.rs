//! `eve explain`: what is not up and why, of an input and of what is installed; never a write.

use std::collections::BTreeSet;

use eve_testbed::{ControlPlane, STAGE};
use serde_json::{Value, json};

use super::{assert_text, eve, text, until, workload};

fn component(name: &str, after: &[&str], objects: &[Value]) -> Value {
    json!({ "name": name, "dependsOn": after, "manifests": { "objects": objects } })
}

/// A database that lacks its settings, what waits for it, and what does not.
fn shop(namespace: &str) -> String {
    let settings =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "prices" }, "data": {} });
    let database = workload("Deployment", "web", json!({ STAGE: "bad-config" }), json!({ "replicas": 3 }));
    let plain = |name: &str| workload("Deployment", name, json!({}), json!({}));
    json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan", "metadata": { "name": "shop", "namespace": namespace },
        "spec": { "components": [
            component("prices", &[], &[settings]),
            component("database", &["prices"], &[database]),
            component("api", &["database"], &[plain("api")]),
            component("front", &["api"], &[plain("front")]),
            component("aside", &[], &[plain("aside")]),
        ] },
    })
    .to_string()
}

/// Waits until events say this of so many objects whose names begin so: events come after what they tell of.
async fn until_told(
    control_plane: &ControlPlane,
    namespace: &str,
    names: &str,
    message: &str,
    number: usize,
) {
    until(control_plane, &format!("/api/v1/namespaces/{namespace}/events"), |events| {
        let says = |event: &&Value| event["message"].as_str().unwrap_or_default().contains(message);
        let about = events.iter().filter(says).filter_map(|event| event["involvedObject"]["name"].as_str());
        about.filter(|name| name.starts_with(names)).collect::<BTreeSet<_>>().len() == number
    })
    .await;
}

#[tokio::test]
async fn what_is_not_up_is_explained_from_its_input_and_from_labels_without_a_write() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("explain").await;
    let namespace = namespace.name();
    let input = shop(namespace);
    let explain = ["explain", "-f", "-"];

    let nothing = eve(control_plane, &explain, &input).await;
    assert_eq!(nothing.code, Some(1), "{}", nothing.err);
    assert_text("explain-nothing", namespace, &nothing.out);

    let applied = eve(control_plane, &["apply", "-q", "-f", "-", "--grace", "bad-config=2s"], &input).await;
    assert_eq!(applied.code, Some(1), "{}", applied.err);
    until_told(control_plane, namespace, "web-", "configmap \"settings\" not found", 3).await;
    let mark = control_plane.audit().mark().await;
    let from_input = eve(control_plane, &explain, &input).await;
    assert_eq!(from_input.code, Some(1), "{}", from_input.err);
    assert_text("explain-input", namespace, &from_input.out);

    let json = eve(control_plane, &["explain", "-f", "-", "-o", "json"], &input).await;
    assert_eq!(json.code, Some(1), "{}", json.err);
    let mut json: Value = serde_json::from_str(&json.out).unwrap();
    // Events of one second come in any order.
    let notes = json["components"][1]["reason"]["notes"].as_array_mut().unwrap();
    notes.sort_by_key(ToString::to_string);
    assert_text("explain-json", namespace, &format!("{json:#}"));

    let from_labels = eve(control_plane, &["explain", "--plan", "shop", "-n", namespace], "").await;
    assert_eq!(from_labels.code, Some(1), "{}", from_labels.err);
    assert_text("explain-plan", namespace, &from_labels.out);

    for (what, code, said) in [
        ("aside", 0, "all up: 1 component"),
        ("deploy/aside", 0, "all up: 1 component"),
        ("front", 1, "\n  not there because of it: front/deployment/front\n0 of 1 component up; 1 not there"),
        ("asides", 5, ""),
    ] {
        let one = eve(control_plane, &["explain", "-f", "-", what], &input).await;
        assert_eq!(one.code, Some(code), "{what}: {}{}", one.out, one.err);
        assert!(one.out.contains(said), "{what}: {}", one.out);
    }
    let requests = control_plane.audit().settle().await.by_user("eve").in_namespace(namespace).since(mark);
    assert!(requests.writes().is_empty(), "{:?}", requests.writes());
}

#[tokio::test]
async fn objects_of_any_kind_are_explained() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("kinds").await;
    let namespace = namespace.name();
    let never = json!({ STAGE: "never-ready" });
    let objects = [
        workload("Deployment", "web", json!({ STAGE: "image-pull" }), json!({ "replicas": 40 })),
        workload(
            "StatefulSet",
            "data",
            json!({}),
            json!({ "template": { "spec": { "serviceAccountName": "clerk" } } }),
        ),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "balancer", "annotations": never },
                "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] } }),
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "claim", "annotations": never },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "fine" } }),
    ];
    let args = ["apply", "-q", "-f", "-", "-n", namespace, "--name", "kinds", "--timeout", "6s"];
    let applied = eve(control_plane, &args, &text(&objects)).await;
    assert_eq!(applied.code, Some(1), "{}", applied.err);
    let path = format!("/api/v1/namespaces/{namespace}");
    until(control_plane, &format!("{path}/pods"), |pods| {
        let reason = "/status/containerStatuses/0/state/waiting/reason";
        let is_final = |pod: &&Value| pod.pointer(reason).is_some_and(|reason| reason == "ImagePullBackOff");
        pods.iter().filter(is_final).count() == 40
    })
    .await;
    until_told(control_plane, namespace, "web-", "Error: ImagePullBackOff", 40).await;
    until_told(control_plane, namespace, "data", "serviceaccount \"clerk\" not found", 1).await;
    until_told(control_plane, namespace, "claim", "Waiting for a volume", 1).await;

    let from_input = eve(control_plane, &["explain", "-f", "-", "-n", namespace], &text(&objects)).await;
    assert_eq!(from_input.code, Some(1), "{}", from_input.err);
    assert_eq!(from_input.out.matches("cannot pull its image").count(), 1, "{}", from_input.out);
    assert!(from_input.out.contains("container `main` of 40 pods (first web-"), "{}", from_input.out);
    assert_text("explain-kinds", namespace, &from_input.out);

    let from_labels = eve(control_plane, &["explain", "--plan", "kinds", "-n", namespace], "").await;
    assert_eq!(from_labels.code, Some(1), "{}", from_labels.err);
    for what in
        ["service/balancer is not up", "persistentvolumeclaim/claim is not up", "statefulset/data is not up"]
    {
        assert!(from_labels.out.contains(what), "{what}: {}", from_labels.out);
    }

    let waived =
        ["explain", "-f", "-", "-n", namespace, "svc/balancer", "--until", "applied=Service/balancer"];
    let waived = eve(control_plane, &waived, &text(&objects)).await;
    assert_eq!((waived.code, waived.out.as_str()), (Some(0), "all up: 1 component\n"), "{}", waived.err);
}

#[tokio::test]
async fn a_plan_of_which_nothing_is_there_is_no_plan_that_is_up() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("absent").await;
    let ended = eve(control_plane, &["explain", "--plan", "shop", "-n", &namespace], "").await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(5), ""), "{}", ended.err);
    assert_text("explain-no-plan", &namespace, &ended.err);
    let nobody = eve(control_plane, &["explain"], "").await;
    assert_eq!(nobody.code, Some(2), "{}", nobody.err);
}
