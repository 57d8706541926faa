//! What is refused before the first write, and what is said about it.

use eve_testbed::ControlPlane;

use super::{eve, get, names, writes};

#[tokio::test]
async fn foreign_namespaces_and_cluster_scoped_objects_are_all_refused_without_a_write() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("wall").await;
    let other = control_plane.namespace("wall-other").await;
    let (own, other) = (namespace.name(), other.name());
    let manifest = format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{ name: own }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{ name: foreign, namespace: {other} }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{ name: {own}-reader }}
rules: []
---
apiVersion: example.com/v1
kind: Unheard
metadata: {{ name: unheard }}
"
    );
    let refused = eve(control_plane, &["apply", "-n", own, "-f", "-"], &manifest).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(5), ""), "{}", refused.err);
    for part in ["foreign", other, "--allow-namespace", "-reader", "--allow-cluster-scoped", "Unheard"] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert!(writes(control_plane, own).await.is_empty());
    assert!(writes(control_plane, other).await.is_empty());
    let role = format!("{own}-reader");
    let all = control_plane.audit().settle().await.by_user("eve").writes();
    assert!(all.filter(|entry| entry.name == role).is_empty());

    let allowed = manifest.split("---\napiVersion: example.com").next().unwrap();
    let args =
        ["apply", "-n", own, "-f", "-", "--allow-namespace", other, "--allow-cluster-scoped", "ClusterRole"];
    let ended = eve(control_plane, &args, allowed).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(names(&writes(control_plane, other).await), ["foreign".to_owned()].into());
    get(control_plane, &format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")).await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_named() {
    let control_plane = ControlPlane::shared().await;
    let text = std::fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    // Port 9 (discard) is taken by nobody.
    std::fs::write(&path, text.replace(&control_plane.url(), "https://127.0.0.1:9")).unwrap();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n";
    let args = ["apply", "-f", "-", "--kubeconfig", path.to_str().unwrap()];
    let ended = eve(control_plane, &args, manifest).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
    assert!(ended.err.starts_with("error: the cluster at https://127.0.0.1:9"), "{}", ended.err);
    assert!(ended.err.contains("refused"), "{}", ended.err);
    assert!(ended.err.contains("hint: check the address of the cluster"), "{}", ended.err);
}

#[tokio::test]
async fn an_unknown_context_is_answered_with_what_was_meant() {
    let control_plane = ControlPlane::shared().await;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n";
    let ended = eve(control_plane, &["apply", "-f", "-", "--context", "nowhere"], manifest).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
    assert!(ended.err.starts_with("error: no context `nowhere` in "), "{}", ended.err);
    assert!(ended.err.contains("hint: "), "{}", ended.err);
}

#[tokio::test]
async fn a_user_without_rights_is_told_so() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("rights").await;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n";
    let args = ["apply", "-n", namespace.name(), "-f", "-", "--as", "nobody-in-particular"];
    let ended = eve(control_plane, &args, manifest).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("nobody-in-particular"), "{}", ended.err);
    let granted = writes(control_plane, namespace.name()).await.granted();
    assert!(granted.is_empty(), "{granted:?}");
}
