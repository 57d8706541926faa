//! Runs that succeed: everything is healthy, the second time nothing is written, the output is complete.

use eve_testbed::ControlPlane;
use serde_json::json;

use super::{eve, get, names, writes};

const SHOP: &str = include_str!("../../../examples/plans/shop.yaml");
const WORKLOADS: [&str; 12] = [
    "adverts",
    "basket",
    "cards",
    "catalogue",
    "checkout",
    "currencies",
    "delivery",
    "mail",
    "sessions",
    "storefront",
    "suggestions",
    "visitors",
];

#[tokio::test]
async fn a_shop_of_twelve_workloads_comes_up_in_order_and_the_second_time_nothing_changes() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("shop").await;
    let namespace = namespace.name();
    let shop = SHOP.replace("namespace: shop", &format!("namespace: {namespace}"));

    let first = eve(control_plane, &["apply", "-f", "-", "-o", "json"], &shop).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    for workload in WORKLOADS {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{workload}");
        let deployment = get(control_plane, &path).await;
        let conditions = deployment["status"]["conditions"].as_array().unwrap().clone();
        let available =
            |condition: &serde_json::Value| condition["type"] == "Available" && condition["status"] == "True";
        assert!(conditions.iter().any(available), "{workload}: {conditions:?}");
    }
    let service =
        get(control_plane, &format!("/api/v1/namespaces/{namespace}/services/storefront-public")).await;
    assert!(service["status"]["loadBalancer"]["ingress"][0].is_object(), "{}", service["status"]);

    let records = first.records();
    let place = |kind: &str, component: &str| {
        let found =
            records.iter().position(|record| record["type"] == kind && record["component"] == component);
        found.unwrap_or_else(|| panic!("no {kind} of {component}"))
    };
    for (earlier, later) in [("sessions", "basket"), ("basket", "checkout"), ("checkout", "storefront")] {
        let object = |name: &str| format!("{name}/deployment/{name}");
        assert!(place("ready", &object(earlier)) < place("started", &object(later)), "{earlier} {later}");
    }
    let summary = first.summary();
    assert_eq!(
        (&summary["outcome"], &summary["created"], &summary["ready"]),
        (&json!("succeeded"), &json!(24), &json!(24))
    );
    let path = summary["criticalPath"].as_array().unwrap();
    let path: Vec<&str> = path.iter().map(|step| step["component"].as_str().unwrap()).collect();
    assert_eq!(path.first(), Some(&"sessions/deployment/sessions"), "{path:?}");
    assert_eq!(path.last(), Some(&"visitors/deployment/visitors"), "{path:?}");

    let mark = control_plane.audit().mark().await;
    let second = eve(control_plane, &["apply", "-f", "-", "-o", "json"], &shop).await;
    assert_eq!(second.code, Some(0), "{}", second.err);
    let requests = control_plane.audit().settle().await.since(mark).by_user("eve").in_namespace(namespace);
    assert!(requests.writes().is_empty() && requests.dry_runs().is_empty(), "{requests:?}");
    let summary = second.summary();
    assert_eq!(
        (&summary["created"], &summary["changed"], &summary["unchanged"]),
        (&json!(0), &json!(0), &json!(24))
    );
}

#[tokio::test]
async fn json_lines_are_complete_and_in_order() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("json").await;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { key: value }\n";
    let args = ["apply", "-n", namespace.name(), "-f", "-", "-o", "json"];
    let ended = eve(control_plane, &args, manifest).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let records = ended.records();
    let (summary, records) = records.split_last().unwrap();
    let seqs: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=records.len() as u64).collect::<Vec<_>>());
    assert!(records.iter().all(|record| record["run"] == summary["run"] && record["at"].is_string()));
    assert_eq!(records.first().unwrap()["type"], "runStarted");
    assert_eq!(records.last().unwrap()["type"], "finished");
    assert_eq!(summary["exitCode"], 0);
}

#[tokio::test]
async fn plain_manifests_are_applied_in_the_namespace_that_was_asked_for() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("plain").await;
    let manifest = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: main, image: 'registry.example.com/web:1', envFrom: [{ configMapRef: { name: settings } }] }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { key: value }
";
    let ended = eve(control_plane, &["apply", "-n", namespace.name(), "-f", "-"], manifest).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("succeeded in "), "{}", ended.out);
    assert!(
        ended.out.contains("2 created, 0 changed, 0 unchanged; 2 ready of 2 components"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains("ready (created) after"), "{}", ended.err);
    let written: Vec<String> =
        writes(control_plane, namespace.name()).await.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(written, ["settings", "web"], "configuration comes before workloads");
}

#[tokio::test]
async fn a_missing_namespace_is_created_only_when_asked_for_and_not_labelled() {
    let control_plane = ControlPlane::shared().await;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n";
    let refused = eve(control_plane, &["apply", "-n", "not-yet-there", "-f", "-"], manifest).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(5), ""), "{}", refused.err);
    assert!(refused.err.contains("`not-yet-there` does not exist"), "{}", refused.err);
    assert!(refused.err.contains("--create-namespace"), "{}", refused.err);
    assert!(writes(control_plane, "not-yet-there").await.is_empty());

    let args = ["apply", "-n", "not-yet-there", "-f", "-", "--create-namespace"];
    let created = eve(control_plane, &args, manifest).await;
    assert_eq!(created.code, Some(0), "{}", created.err);
    assert!(created.err.starts_with("created namespace not-yet-there\n"), "{}", created.err);
    assert!(
        created.out.contains("1 of 1 component") || created.out.contains("1 ready of 1 component"),
        "{}",
        created.out
    );
    let made = get(control_plane, "/api/v1/namespaces/not-yet-there").await;
    // The label that the API server itself gives to every namespace.
    assert_eq!(made["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "not-yet-there"}));
    assert_eq!(names(&writes(control_plane, "not-yet-there").await), ["settings".to_owned()].into());
}

#[tokio::test]
async fn a_plan_that_says_which_request_it_is_is_applied_each_time_and_says_that_this_has_no_meaning_here() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("request").await;
    let plan = format!(
        "apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: {{ name: shop, namespace: {} }}
spec:
  requestId: release-1
  components:
    - name: settings
      manifests: {{ objects: [{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: settings }} }}] }}
",
        namespace.name()
    );
    for _ in 0..2 {
        let applied = eve(control_plane, &["apply", "-f", "-"], &plan).await;
        assert_eq!(applied.code, Some(0), "{}", applied.err);
        assert!(applied.err.contains("warning[plan.request-unused]"), "{}", applied.err);
        assert!(applied.err.contains("<stdin>:5:14"), "{}", applied.err);
    }
    let quiet = eve(control_plane, &["apply", "--quiet", "-f", "-"], &plan).await;
    assert!(!quiet.err.contains("requestId"), "{}", quiet.err);
}
