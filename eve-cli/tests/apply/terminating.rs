//! Namespaces that are being deleted when a run begins: refused before the first write, or waited for and made anew.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::delete::{admin, config_map, exists};
use super::signals::Running;
use super::{command, eve, get, writes};

/// Lets the namespace go, but for what a finalizer holds in it.
async fn begin_to_end(control_plane: &ControlPlane, namespace: &str, held: &str) {
    let finalizer = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    let path = format!("/api/v1/namespaces/{namespace}");
    admin(control_plane, "PATCH", &format!("{path}/configmaps/{held}"), &finalizer).await;
    admin(control_plane, "DELETE", &path, &json!({})).await;
}

async fn let_go(control_plane: &ControlPlane, namespace: &str, held: &str) {
    let free = json!({ "metadata": { "finalizers": null } });
    admin(control_plane, "PATCH", &format!("/api/v1/namespaces/{namespace}/configmaps/{held}"), &free).await;
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_and_not_made_anew_is_refused_once_before_the_first_write() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("leaving").await;
    let namespace = namespace.name();
    let input = ["held", "one", "two"].map(|name| config_map(name, "")).concat();
    let applied = eve(control_plane, &["apply", "-n", namespace, "-f", "-"], &input).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    begin_to_end(control_plane, namespace, "held").await;

    let mark = control_plane.audit().mark().await;
    let input = input + &config_map("three", "");
    for verb in [&["apply"][..], &["apply", "--create-namespace"], &["diff"]] {
        let refused = eve(control_plane, &[verb, &["-n", namespace, "-f", "-"]].concat(), &input).await;
        assert_eq!((refused.code, refused.out.as_str()), (Some(5), ""), "{verb:?}: {}", refused.err);
        let told = format!("the namespace `{namespace}` is being deleted since 2");
        assert_eq!(refused.err.matches(&told).count(), 1, "{verb:?}: {}", refused.err);
        assert_eq!(refused.err.matches("error: ").count(), 1, "{verb:?}: {}", refused.err);
        for part in ["ConfigMap held (finalizer `example.com/hold`", "hint: "] {
            assert!(refused.err.contains(part), "{verb:?}: {part}: {}", refused.err);
        }
    }
    assert!(writes(control_plane, namespace).await.since(mark).is_empty());
    let_go(control_plane, namespace, "held").await;
}

#[tokio::test]
async fn a_namespace_of_the_input_that_is_being_deleted_is_waited_for_and_made_anew() {
    let control_plane = ControlPlane::shared().await;
    let name = "leaving-and-back";
    let input = [
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n"),
        config_map("held", ""),
        config_map("plain", ""),
    ]
    .concat();
    let args = ["-n", name, "-f", "-", "--allow-cluster-scoped", "Namespace"];
    let applied = eve(control_plane, &[&["apply"][..], &args].concat(), &input).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let path = format!("/api/v1/namespaces/{name}");
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let before = uid(&get(control_plane, &path).await);
    begin_to_end(control_plane, name, "held").await;

    let diff = eve(control_plane, &[&["diff"][..], &args].concat(), &input).await;
    assert_eq!(diff.code, Some(0), "{}", diff.err);
    assert_eq!(diff.out.matches("is being deleted").count(), 3, "{}", diff.out);

    let apply = [&["apply", "-o", "json"][..], &args].concat();
    let mut running = Running::of(command(control_plane, &apply), &input).await;
    running.until_of("started", "namespace/").await;
    let_go(control_plane, name, "held").await;
    let ended = running.end().await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.err, ended.out);
    let told = format!("warning: the namespace `{name}` is being deleted since 2");
    assert!(ended.err.contains(&told), "{}", ended.err);
    assert_ne!(uid(&get(control_plane, &path).await), before);
    for made in ["held", "plain"] {
        assert!(exists(control_plane, &format!("{path}/configmaps/{made}")).await, "{made}");
    }
}
