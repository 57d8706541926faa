//! What may not be done, by rights or by the scope of the plan.

use std::time::Duration;

use eve_core::failure::FailureClass;
use eve_core::plan::Until;
use eve_core::ports::Executor;
use eve_k8s::{KubeClient, KubeConfigOptions, KubeExecutor, ScopePolicy, connect, preflight};
use eve_testbed::ControlPlane;
use serde_json::json;

use crate::common::{Told, graph, step, write};
use crate::{client, config_map, deploy, deployment, meta};

async fn nobody(control_plane: &ControlPlane) -> KubeClient {
    let options = KubeConfigOptions::default()
        .with_kubeconfig(control_plane.kubeconfig_path())
        .with_as_user("nobody".to_owned())
        .with_as_groups(vec!["strangers".to_owned()]);
    connect(&options).await.unwrap()
}

#[tokio::test]
async fn who_may_not_do_what_is_told() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("forbidden").await;
    let kinds = client(control_plane).await.discover().await.unwrap();
    let executor = KubeExecutor::builder(nobody(control_plane).await).with_kinds(kinds).build();
    let step = step(&graph(namespace.name(), [config_map("settings", "1")]), 0);
    let failure = write(&executor, &step).await.unwrap_err();
    assert_eq!(failure.code, "k8s.api.forbidden", "{failure}");
    let told = format!(
        "User \"nobody\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"{}\"",
        namespace.name()
    );
    assert!(failure.message.contains(&told), "{failure}");
}

#[tokio::test]
async fn without_the_right_to_watch_objects_are_read_by_name() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("unwatched").await;
    let admin = KubeExecutor::builder(client(control_plane).await).build();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta("writer"),
        "rules": [{ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch", "create"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("writer"),
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody" }],
    });
    let graph = graph(namespace.name(), [role, binding, deployment("web", "ready", 1)]);
    for index in [0, 1] {
        deploy(&admin, &step(&graph, index)).await.unwrap();
    }
    let kinds = client(control_plane).await.discover().await.unwrap();
    let executor = KubeExecutor::builder(nobody(control_plane).await).with_kinds(kinds).build();
    deploy(&executor, &step(&graph, 2)).await.unwrap();
}

#[tokio::test]
async fn a_right_to_list_that_is_granted_during_a_wait_is_used() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("granted").await;
    let admin = KubeExecutor::builder(client(control_plane).await).build();
    let role = |verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta("writer"),
            "rules": [{ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs }],
        })
    };
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("writer"),
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody" }],
    });
    let mut nowhere = deployment("web", "ready", 1);
    nowhere["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "golden" });
    let wide = role(&["get", "patch", "create", "list", "watch"]);
    let graph = graph(namespace.name(), [role(&["get", "patch", "create"]), binding, nowhere, wide]);
    for index in [0, 1] {
        deploy(&admin, &step(&graph, index)).await.unwrap();
    }
    let kinds = client(control_plane).await.discover().await.unwrap();
    let executor = KubeExecutor::builder(nobody(control_plane).await).with_kinds(kinds).build();
    let (_, applied) = write(&executor, &step(&graph, 2)).await.unwrap();
    let lists = async || {
        let entries = control_plane.audit().settle().await.in_namespace(namespace.name());
        let entries = entries.verb("list").resource("deployments");
        entries.filter(|entry| entry.impersonated.as_deref() == Some("nobody"))
    };
    let is_used = async {
        // One list for the survey, one for the feed.
        while lists().await.refused().len() < 2 {}
        deploy(&admin, &step(&graph, 3)).await.unwrap();
        while lists().await.granted().is_empty() {}
    };
    let (cx, told) = Told::context();
    let waiting = step(&graph, 2);
    tokio::select! {
        ended = executor.wait(&waiting, &applied, Until::Ready, &cx) => panic!("nothing ended the wait: {ended:?}"),
        () = is_used => {}
        () = tokio::time::sleep(Duration::from_mins(1)) => panic!("only told {}", told.texts()),
    }
}

#[tokio::test]
async fn what_reaches_beyond_the_namespace_is_refused_before_any_write() {
    let control_plane =
        ControlPlane::start(eve_testbed::Options::new().nodes(0).without_kwok()).await.unwrap();
    let client = client(&control_plane).await;
    let executor = KubeExecutor::builder(client.clone()).build();
    let mark = control_plane.audit().mark().await;
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta("reader") });
    let mut elsewhere = config_map("settings", "1");
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let itself = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": meta("shop") });
    let unknown = json!({ "apiVersion": "apps/v1", "kind": "Deploymnt", "metadata": meta("web") });
    let graph = graph("shop", [role, elsewhere, itself, unknown, config_map("fine", "1")]);
    let problems = preflight(&graph, &client.discover().await.unwrap(), &ScopePolicy::default());
    let said: Vec<String> = problems
        .iter()
        .map(|problem| {
            format!(
                "{}: {} ({})",
                problem.component.as_deref().unwrap(),
                problem.message,
                problem.hint.as_deref().unwrap()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "component-0: ClusterRole `reader` is cluster-scoped; this plan may only touch the namespace `shop` \
             (allow it with `--allow-cluster-scoped ClusterRole`)",
            "component-1: ConfigMap `settings` is for the namespace `kube-system`; this plan may only touch `shop` \
             (remove its namespace, or allow it with `--allow-namespace kube-system`)",
            "component-2: Namespace `shop` is cluster-scoped; this plan may only touch the namespace `shop` \
             (allow it with `--allow-cluster-scoped Namespace`)",
            "component-3: Deploymnt `web`: no kind `Deploymnt` in apps/v1 (did you mean `Deployment`?)",
        ]
    );
    // Nor does the executor write what preflight would have refused.
    for index in 0..4 {
        let failure = write(&executor, &step(&graph, index)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Permanent, "{failure}");
    }
    let entries = control_plane.audit().settle().await.since(mark).by_user("eve");
    assert!(entries.writes().is_empty(), "{entries:?}");

    let policy = ScopePolicy::default()
        .with_namespace("kube-system")
        .with_cluster_scoped("ClusterRole".parse().unwrap())
        .with_cluster_scoped("Namespace/shop".parse().unwrap());
    let executor = KubeExecutor::builder(client).with_policy(policy).build();
    for index in [2, 0, 1] {
        write(&executor, &step(&graph, index)).await.unwrap();
    }
    control_plane.stop().await;
}
