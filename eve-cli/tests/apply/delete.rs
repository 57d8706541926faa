//! `eve delete`: the reverse order, twice, what stays, what blocks.

use eve_testbed::{ControlPlane, Options};
use serde_json::{Value, json};

use super::{Ended, eve, get, writes};

/// Settings, a database, an API on it, a page on that, and a job: 15 objects in five components.
const SHOP: &str = include_str!("shop_to_delete.yaml");

/// Sends something as the user `admin`.
pub(super) async fn admin(control_plane: &ControlPlane, method: &str, path: &str, body: &Value) -> Value {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let request = request.body(serde_json::to_vec(body).unwrap()).unwrap();
    control_plane.admin_client().await.request(request).await.unwrap()
}

/// Whether an object is there.
pub(super) async fn exists(control_plane: &ControlPlane, path: &str) -> bool {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match control_plane.admin_client().await.request::<Value>(request).await {
        Ok(_) => true,
        Err(error) if error.to_string().contains("not found") => false,
        Err(error) => panic!("{path}: {error}"),
    }
}

pub(super) fn config_map(name: &str, annotations: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, annotations: {{ {annotations} }} }}\n"
    )
}

/// Where a record of this type is about this component.
pub(super) fn place(ended: &Ended, kind: &str, component: &str) -> usize {
    let found = |record: &Value| record["type"] == kind && record["component"] == component;
    ended
        .records()
        .iter()
        .position(found)
        .unwrap_or_else(|| panic!("no {kind} of {component}:\n{}", ended.out))
}

pub(super) fn kept(ended: &Ended) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let kept = ended.summary()["kept"].as_array().unwrap().clone();
    kept.iter().map(|one| (text(&one["component"]), text(&one["reason"]))).collect()
}

#[tokio::test]
async fn a_plan_goes_in_the_reverse_order_and_the_second_time_nothing_is_sent() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("delete").await;
    let namespace = namespace.name();
    let shop = SHOP.replace("NAMESPACE", namespace);
    let applied = eve(control_plane, &["apply", "-f", "-"], &shop).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);

    let mark = control_plane.audit().mark().await;
    let first = eve(control_plane, &["delete", "-f", "-", "-o", "json"], &shop).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let summary = first.summary();
    assert_eq!((&summary["deleted"], &summary["absent"]), (&json!(15), &json!(0)), "{summary}");
    let order = ["page", "api", "db", "settings"];
    let deletes = writes(control_plane, namespace).await.since(mark);
    assert!(deletes.iter().all(|entry| entry.verb == "delete"), "{deletes:?}");
    assert_eq!(deletes.len(), 15);
    let name = |position: usize| deletes.iter().nth(position).unwrap().name.clone();
    let of = |component: &str| -> Vec<usize> {
        (0..15).filter(|position| name(*position).starts_with(component)).collect()
    };
    for pair in order.windows(2) {
        let (later, earlier) = (of(pair[0]), of(pair[1]));
        assert!(!later.is_empty() && later.last() < earlier.first(), "{pair:?}: {deletes:?}");
    }
    // The next one is only touched once what needs it is gone, pods and all.
    let last_of_page = place(&first, "ready", "page/deployment/page");
    assert!(last_of_page < place(&first, "started", "api/service/api"), "{}", first.out);
    let pods = get(control_plane, &format!("/api/v1/namespaces/{namespace}/pods")).await;
    assert_eq!(pods["items"], json!([]));

    let mark = control_plane.audit().mark().await;
    let second = eve(control_plane, &["delete", "-f", "-", "-o", "json"], &shop).await;
    assert_eq!(second.code, Some(0), "{}", second.err);
    let summary = second.summary();
    assert_eq!((&summary["deleted"], &summary["absent"]), (&json!(0), &json!(15)), "{summary}");
    assert!(writes(control_plane, namespace).await.since(mark).is_empty());
    assert!(exists(control_plane, &format!("/api/v1/namespaces/{namespace}")).await);
}

#[tokio::test]
async fn a_finalizer_that_blocks_is_named_before_the_deadline_and_never_stripped() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("blocked").await;
    let namespace = namespace.name();
    let manifest = config_map("held", "");
    let args = ["-n", namespace, "-f", "-", "-o", "json"];
    let applied = eve(control_plane, &[&["apply"][..], &args].concat(), &manifest).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/held");
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    admin(control_plane, "PATCH", &format!("{path}?fieldManager=operator"), &hold).await;

    let delete = [&["delete", "--timeout", "8s"][..], &args].concat();
    let ended = eve(control_plane, &delete, &manifest).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let told = place(&ended, "waiting", "configmap/held");
    assert!(told < place(&ended, "attemptFailed", "configmap/held"));
    for line in [&ended.records()[told]["message"], &ended.summary()["failures"][0]["failure"]["message"]] {
        let line = line.as_str().unwrap();
        assert!(
            line.contains("finalizer `example.com/hold`") && line.contains("set by `operator`"),
            "{line}"
        );
    }
    let live = get(control_plane, &path).await;
    assert!(live["metadata"]["deletionTimestamp"].is_string());
    assert!(
        live["metadata"]["finalizers"].as_array().unwrap().contains(&json!("example.com/hold")),
        "{live}"
    );

    admin(control_plane, "PATCH", &path, &json!({ "metadata": { "finalizers": null } })).await;
    let ended = eve(control_plane, &delete, &manifest).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(!exists(control_plane, &path).await);
}

#[tokio::test]
async fn owned_objects_that_block_are_named() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("owned").await;
    let namespace = namespace.name();
    let manifest = config_map("owner", "");
    let args = ["-n", namespace, "-f", "-"];
    assert_eq!(eve(control_plane, &[&["apply"][..], &args].concat(), &manifest).await.code, Some(0));
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let owner = get(control_plane, &format!("{path}/owner")).await;
    let child = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "child", "finalizers": ["example.com/hold"], "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": true }] } });
    admin(control_plane, "POST", &path, &child).await;
    let ended = eve(control_plane, &[&["delete", "--timeout", "10s"][..], &args].concat(), &manifest).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let expected = "objects that it owns are still there: ConfigMap child (finalizer `example.com/hold`)";
    assert!(ended.err.contains(expected), "{}", ended.err);
    let free = json!({ "metadata": { "finalizers": null } });
    admin(control_plane, "PATCH", &format!("{path}/child"), &free).await;
}

#[tokio::test]
async fn what_is_foreign_adopted_or_kept_stays_and_is_told() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("stays").await;
    let namespace = namespace.name();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let made = |name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    admin(control_plane, "POST", &path, &made("adopted")).await;
    let ours = [
        config_map("adopted", ""),
        config_map("charted", "helm.sh/resource-policy: keep"),
        config_map("marked", "eve.dev/keep: 'true'"),
        config_map("plain", ""),
    ]
    .concat();
    let args = ["-n", namespace, "-f", "-", "-o", "json"];
    let applied = eve(control_plane, &[&["apply"][..], &args].concat(), &ours).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    admin(control_plane, "POST", &path, &made("foreign")).await;

    let all = ours.clone() + &config_map("foreign", "");
    let ended = eve(control_plane, &[&["delete"][..], &args].concat(), &all).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.summary()["deleted"], 1);
    let mut told = kept(&ended);
    told.sort();
    let expected = [
        ("adopted", "before eve"),
        ("charted", "helm.sh/resource-policy"),
        ("foreign", "does not belong to the plan"),
        ("marked", "eve.dev/keep"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((component, reason), (name, why)) in told.iter().zip(expected) {
        assert_eq!(component, &format!("configmap/{name}"));
        assert!(reason.contains(why), "{reason}");
        assert!(exists(control_plane, &format!("{path}/{name}")).await);
    }
    assert!(!exists(control_plane, &format!("{path}/plain")).await);

    let text = eve(control_plane, &["delete", "-n", namespace, "-f", "-"], &all).await;
    assert!(text.out.contains("0 deleted, 1 were not there, 4 stay of 5 components"), "{}", text.out);
    assert!(text.out.contains("stays: configmap/charted"), "{}", text.out);
    let ended = eve(control_plane, &[&["delete", "--adopted"][..], &args].concat(), &all).await;
    assert_eq!(ended.summary()["deleted"], 1, "{}", ended.out);
    assert!(!exists(control_plane, &format!("{path}/adopted")).await);
}

#[tokio::test]
async fn a_namespace_goes_only_where_the_plan_made_it() {
    let control_plane = ControlPlane::shared().await;
    let there = control_plane.namespace("there").await;
    let allow = ["--allow-cluster-scoped", "Namespace"];
    for (namespace, stays) in [(there.name(), true), ("made-by-a-plan", false)] {
        let manifest = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {namespace} }}\n{}",
            config_map("settings", "")
        );
        let args = [&["-n", namespace, "-f", "-", "-o", "json"][..], &allow].concat();
        let applied = eve(control_plane, &[&["apply"][..], &args].concat(), &manifest).await;
        assert_eq!(applied.code, Some(0), "{}{}", applied.err, applied.out);
        let ended = eve(control_plane, &[&["delete"][..], &args].concat(), &manifest).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(exists(control_plane, &format!("/api/v1/namespaces/{namespace}")).await, stays);
        assert_eq!(kept(&ended).len(), usize::from(stays));
        let refused = eve(control_plane, &["delete", "-n", namespace, "-f", "-"], &manifest).await;
        assert_eq!(refused.code, Some(5), "the wall stands for deletions too: {}", refused.err);
        let again = eve(control_plane, &[&["delete"][..], &args].concat(), &manifest).await;
        assert_eq!(again.code, Some(0), "a missing namespace is no error: {}", again.err);
    }
}

#[tokio::test]
async fn a_plan_is_removed_by_its_labels_alone_and_others_are_left() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("labels").await;
    let namespace = namespace.name();
    let shop = SHOP.replace("NAMESPACE", namespace);
    assert_eq!(eve(control_plane, &["apply", "-f", "-"], &shop).await.code, Some(0));
    let other = ["apply", "-n", namespace, "--name", "other", "-f", "-"];
    assert_eq!(eve(control_plane, &other, &config_map("other", "")).await.code, Some(0));

    let mark = control_plane.audit().mark().await;
    let ended = eve(control_plane, &["delete", "--plan", "shop", "-n", namespace], "").await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.err.starts_with(&format!("plan shop in namespace {namespace}: 15 objects\n")),
        "{}",
        ended.err
    );
    assert!(ended.err.contains(&format!("  goes  Deployment {namespace}/page\n")), "{}", ended.err);
    assert!(ended.out.contains("15 deleted, 0 were not there, 0 stay of 15 components"), "{}", ended.out);
    let deletes: Vec<String> = writes(control_plane, namespace)
        .await
        .since(mark)
        .iter()
        .map(|entry| format!("{}/{}", entry.resource, entry.name))
        .collect();
    let at = |what: &str| deletes.iter().position(|one| one == what).unwrap_or_else(|| panic!("{deletes:?}"));
    assert!(at("deployments/page") < at("configmaps/settings"), "{deletes:?}");
    assert!(at("statefulsets/db") < at("secrets/settings-password"), "{deletes:?}");
    assert!(exists(control_plane, &format!("/api/v1/namespaces/{namespace}/configmaps/other")).await);

    let again = eve(control_plane, &["delete", "--plan", "shop", "-n", namespace], "").await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("0 objects: nothing of it is there"), "{}", again.err);
    assert!(again.out.contains("nothing to do"), "{}", again.out);
}

#[tokio::test]
async fn plans_of_one_name_leave_each_others_objects_of_the_cluster() {
    let control_plane = ControlPlane::shared().await;
    let (blue, green) = (control_plane.namespace("blue").await, control_plane.namespace("green").await);
    let allow = ["--allow-cluster-scoped", "ClusterRole", "--name", "twin"];
    for namespace in [&blue, &green].map(eve_testbed::TestNamespace::name) {
        let role = format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{ name: twin-{namespace} }}\nrules: []\n"
        );
        let args = [&["apply", "-n", namespace, "-f", "-"][..], &allow].concat();
        let applied = eve(control_plane, &args, &role).await;
        assert_eq!(applied.code, Some(0), "{}", applied.err);
    }
    let args = ["delete", "--plan", "twin", "-n", blue.name(), "--allow-cluster-scoped", "ClusterRole"];
    let deleted = eve(control_plane, &args, "").await;
    assert_eq!(deleted.code, Some(0), "{}", deleted.err);
    let role = |namespace: &str| format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/twin-{namespace}");
    assert!(!exists(control_plane, &role(blue.name())).await);
    assert!(exists(control_plane, &role(green.name())).await);
    let plans = eve(control_plane, &["get", "plans", "-A"], "").await;
    let row = plans.out.lines().find(|line| line.contains(green.name())).unwrap_or_default().to_owned();
    assert!(row.split_whitespace().take(3).eq([green.name(), "twin", "1"]), "{}", plans.out);
}

#[tokio::test]
async fn components_may_delete_and_read_beside_others_that_apply() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("actions").await;
    let namespace = namespace.name();
    let plan = |action: &str, read: &str| {
        let component = |name: &str, action: &str, after: &str| {
            format!(
                "    - {{ name: {name}, action: {action}, dependsOn: [{after}], timeout: 20s, manifests: {{ objects: [ \
                 {{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: {name} }} }} ] }} }}\n"
            )
        };
        format!(
            "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: actions, namespace: {namespace} }}\n\
             spec:\n  components:\n{}{}{}",
            component("old", action, ""),
            component(read, "read", ""),
            component("new", "apply", &format!("old, {read}")),
        )
    };
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let read = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "outside" } });
    let first_plan = plan("apply", "outside");
    let first = eve(control_plane, &["apply", "-f", "-", "-o", "json"], &first_plan);
    let outside = async {
        // It waits for what is not there yet.
        while !exists(control_plane, &format!("{path}/old")).await {
            tokio::task::yield_now().await;
        }
        admin(control_plane, "POST", &path, &read).await
    };
    let (first, _) = tokio::join!(first, outside);
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert!(
        place(&first, "ready", "outside/configmap/outside") < place(&first, "started", "new/configmap/new")
    );
    let live = get(control_plane, &format!("{path}/outside")).await;
    assert_eq!(live["metadata"]["labels"], Value::Null, "what is read is never written");

    let second = eve(control_plane, &["apply", "-f", "-", "-o", "json"], &plan("delete", "outside")).await;
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert_eq!(second.summary()["deleted"], 1, "{}", second.out);
    assert!(!exists(control_plane, &format!("{path}/old")).await);

    let ended = eve(control_plane, &["delete", "-f", "-", "-o", "json"], &plan("apply", "outside")).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(exists(control_plane, &format!("{path}/outside")).await, "what was only read is not removed");
    assert!(!exists(control_plane, &format!("{path}/new")).await);
}

#[tokio::test]
async fn an_api_server_that_is_away_is_named_where_it_blocks() {
    // Its own: every namespace of the control plane is blocked by it.
    let control_plane = ControlPlane::start(Options::default().nodes(0)).await.unwrap();
    let manifest = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: shop }}\n{}",
        config_map("settings", "")
    );
    let args = ["-n", "shop", "-f", "-", "--allow-cluster-scoped", "*"];
    let applied = eve(&control_plane, &[&["apply"][..], &args].concat(), &manifest).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let service = json!({ "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": { "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
            "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": { "name": "gone", "namespace": "default" } } });
    let path = "/apis/apiregistration.k8s.io/v1/apiservices";
    admin(&control_plane, "POST", path, &service).await;
    loop {
        let live = get(&control_plane, &format!("{path}/v1beta1.metrics.k8s.io")).await;
        if live["status"]["conditions"][0]["status"] == "False" {
            break;
        }
        tokio::task::yield_now().await;
    }
    let delete = [&["delete", "--timeout", "20s"][..], &args].concat();
    let ended = eve(&control_plane, &delete, &manifest).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("what others have put into it cannot be seen"), "{}", ended.err);
    assert!(ended.err.contains("APIService `v1beta1.metrics.k8s.io` is not available"), "{}", ended.err);
    let live = get(&control_plane, "/api/v1/namespaces/shop").await;
    assert!(live["metadata"]["deletionTimestamp"].is_null(), "what is in it could not be seen");

    // Somebody else deletes it all the same.
    admin(&control_plane, "DELETE", "/api/v1/namespaces/shop", &json!({})).await;
    let ended = eve(&control_plane, &delete, &manifest).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(
        ended.err.contains("Namespace shop is not gone in time: APIService `v1beta1.metrics"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("metrics.k8s.io/v1beta1"), "{}", ended.err);
    let metrics = "apiVersion: metrics.k8s.io/v1beta1\nkind: PodMetrics\nmetadata: { name: a }\n";
    let ended = eve(&control_plane, &["delete", "-n", "default", "-f", "-"], metrics).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("APIService `v1beta1.metrics.k8s.io` is not available"), "{}", ended.err);

    admin(&control_plane, "DELETE", &format!("{path}/v1beta1.metrics.k8s.io"), &json!({})).await;
    let ended = eve(&control_plane, &[&["delete"][..], &args].concat(), &manifest).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(!exists(&control_plane, "/api/v1/namespaces/shop").await);
    control_plane.stop().await;
}
