//! Where `eve` finds its cluster: lists of kubeconfigs, and the account of a pod.

use std::env;
use std::fs;
use std::process::Output;

use eve_testbed::ControlPlane;
use kube::config::Kubeconfig;
use serde_json::json;

use crate::command;

/// `eve get plans` with these variables in place of those that lead to the control plane.
async fn get(control_plane: &ControlPlane, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = command(control_plane, &["get", "plans"]);
    let Output { status, stderr, .. } =
        command.env_remove("KUBECONFIG").envs(variables.iter().copied()).output().await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn kubeconfigs_of_a_list_are_merged_the_first_before_the_others_and_missing_ones_do_not_matter() {
    let control_plane = ControlPlane::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let mut theirs = serde_json::to_value(Kubeconfig::from_yaml(&text).unwrap()).unwrap();
    let context = theirs["contexts"][0]["context"].clone();
    theirs["current-context"] = json!("nowhere");
    fs::write(path("second"), theirs.to_string()).unwrap();
    let first = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "chosen",
        "contexts": [{ "name": "chosen", "context": context }],
    });
    fs::write(path("first"), first.to_string()).unwrap();

    let list =
        |names: &[&str]| env::join_paths(names.iter().map(|name| path(name))).unwrap().into_string().unwrap();
    let good = list(&["missing", "first", "second"]);
    let (code, err) = get(control_plane, &[("KUBECONFIG", &good)]).await;
    assert_eq!(code, Some(0), "{err}");
    let other_way = list(&["second", "first"]);
    let (code, err) = get(control_plane, &[("KUBECONFIG", &other_way)]).await;
    assert_ne!(code, Some(0));
    for part in ["no context `nowhere`", "first", "second"] {
        assert!(err.contains(part), "{err}");
    }
}

#[tokio::test]
async fn in_a_pod_its_account_is_used_and_what_it_lacks_is_said() {
    let control_plane = ControlPlane::shared().await;
    let (code, err) = get(control_plane, &[("KUBERNETES_SERVICE_HOST", "127.0.0.1")]).await;
    assert_ne!(code, Some(0));
    let told =
        "the service account of this pod cannot be used: the variable KUBERNETES_SERVICE_PORT is not set";
    assert!(err.contains(told), "{err}");
}
