//! `eve diff`: what would change, by field, without a write.

use eve_core::testing::canary::{Canary, CanaryScan};
use eve_testbed::{ControlPlane, Entries, Mark};
use serde_json::{Value, json};

use super::{Ended, writes};

const TEXT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 1
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: main, image: 'registry.example.com/web:1' }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { key: value }
---
apiVersion: v1
kind: Secret
metadata: { name: password }
stringData: { password: VALUE-2 }
";

fn canary() -> Canary {
    Canary::plain(40)
}

/// The input, whose Secret has a value that must not be seen.
fn input() -> String {
    TEXT.replace("VALUE", canary().value())
}

/// Runs `eve`, and looks for the value in what it says.
async fn eve(control_plane: &ControlPlane, args: &[&str], stdin: &str) -> Ended {
    let ended = super::eve(control_plane, args, stdin).await;
    let mut scan = CanaryScan::new([canary()]);
    scan.sink("stdout", &ended.out);
    scan.sink("stderr", &ended.err);
    scan.assert_clean();
    ended
}

async fn requests(control_plane: &ControlPlane, namespace: &str, mark: Mark) -> Entries {
    control_plane.audit().settle().await.since(mark).by_user("eve").in_namespace(namespace)
}

#[tokio::test]
async fn what_would_change_is_told_by_field_and_nothing_is_written() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("diff").await;
    let namespace = namespace.name();
    let diff = ["diff", "-n", namespace, "-f", "-", "--exit-code"];

    let new = eve(control_plane, &diff, &input()).await;
    assert_eq!(new.code, Some(1), "{}", new.err);
    let expected = "+ Deployment web\n+ ConfigMap settings\n+ Secret password\n3 to create, 0 to change, 0 unchanged of 3 objects\n";
    assert_eq!(new.out, expected);
    assert!(writes(control_plane, namespace).await.is_empty());

    let applied = eve(control_plane, &["apply", "-n", namespace, "-f", "-"], &input()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let mark = control_plane.audit().mark().await;
    let second = eve(control_plane, &diff, &input()).await;
    assert_eq!(second.code, Some(0), "{}", second.err);
    assert_eq!(second.out, "0 to create, 0 to change, 3 unchanged of 3 objects\n");
    assert!(requests(control_plane, namespace, mark).await.dry_runs().is_empty(), "nothing had to be tried");

    let changed = input()
        .replace("web:1", "web:2")
        .replace("replicas: 1", "replicas: 2")
        .replace("key: value", "other: value")
        .replace("-2 }", "-3 }");
    let third = eve(control_plane, &diff, &changed).await;
    assert_eq!(third.code, Some(1), "{}", third.err);
    let expected = "~ Deployment web
    spec.replicas: 1 → 2
    spec.template.spec.containers[main].image: registry.example.com/web:1 → registry.example.com/web:2
~ ConfigMap settings
  - data.key: value
  + data.other: value
~ Secret password
    data.password: changed
0 to create, 3 to change, 0 unchanged of 3 objects
";
    assert_eq!(third.out, expected);
    let entries = requests(control_plane, namespace, mark).await;
    assert_eq!((entries.writes().len(), entries.dry_runs().len()), (0, 3), "{entries:?}");
}

#[tokio::test]
async fn json_tells_the_same_without_a_value_of_a_secret() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("diff-json").await;
    let namespace = namespace.name();
    let applied = eve(control_plane, &["apply", "-n", namespace, "-f", "-"], &input()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let changed = input().replace("replicas: 1", "replicas: 2").replace("-2 }", "-3 }");
    let ended = eve(control_plane, &["diff", "-n", namespace, "-f", "-", "-o", "json"], &changed).await;
    assert_eq!(ended.code, Some(0), "without --exit-code: {}", ended.err);
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    let differences: Vec<&Value> =
        told["objects"].as_array().unwrap().iter().map(|object| &object["difference"]).collect();
    assert_eq!(differences, [&json!("update"), &json!("none"), &json!("update")], "{told}");
    let replicas = json!([{ "path": "spec.replicas", "old": { "value": 1 }, "new": { "value": 2 } }]);
    assert_eq!(told["objects"][0]["changes"], replicas);
    assert_eq!(
        told["objects"][2]["changes"],
        json!([{ "path": "data.password", "old": "hidden", "new": "hidden" }])
    );
}

#[tokio::test]
async fn what_is_still_to_come_is_not_verified_and_a_conflict_is_refused() {
    let control_plane = ControlPlane::shared().await;
    let early = eve(control_plane, &["diff", "-n", "not-made-yet", "-f", "-"], &input()).await;
    assert_eq!(early.code, Some(0), "{}", early.err);
    assert!(early.out.starts_with("? Deployment web  not verified: "), "{}", early.out);
    assert!(early.out.contains("there is no namespace `not-made-yet`"), "{}", early.out);
    assert!(early.out.ends_with("0 unchanged, 3 not verified of 3 objects\n"), "{}", early.out);

    let namespace = control_plane.namespace("diff-conflict").await;
    let namespace = namespace.name();
    let theirs = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "key": "theirs" } });
    let request =
        http::Request::post(format!("/api/v1/namespaces/{namespace}/configmaps?fieldManager=somebody"))
            .header("content-type", "application/json")
            .body(theirs.to_string().into_bytes())
            .unwrap();
    let _: Value = control_plane.admin_client().await.request(request).await.unwrap();
    let ended = eve(control_plane, &["diff", "-n", namespace, "-f", "-", "--exit-code"], &input()).await;
    assert_eq!(ended.code, Some(5), "{}", ended.err);
    assert!(ended.out.contains("! ConfigMap settings  refused: "), "{}", ended.out);
    assert!(ended.out.contains("belongs to `somebody`, first `.data.key`"), "{}", ended.out);
}

#[tokio::test]
async fn what_the_plan_wants_gone_is_told_and_whether_it_is_there() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("diff-gone").await;
    let namespace = namespace.name();
    let plan = |action: &str, objects: &[(&str, &str)]| {
        let component = |(name, annotation): &(&str, &str)| {
            format!(
                "    - {{ name: {name}, action: {action}, undo: {undo}, manifests: {{ objects: [{{ apiVersion: v1, kind: \
                 ConfigMap, metadata: {{ name: {name}, annotations: {{ {annotation} }} }} }}] }} }}\n",
                undo = if *name == "old" { "never" } else { "allowed" },
            )
        };
        let components: String = objects.iter().map(component).collect();
        format!(
            "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: shop, namespace: {namespace} }}\nspec:\n  \
             onFailure: rollback\n  components:\n{components}"
        )
    };
    let there = [("old", ""), ("held", "eve.dev/keep: 'true'")];
    let applied = eve(control_plane, &["apply", "-f", "-"], &plan("apply", &there)).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);

    let mark = control_plane.audit().mark().await;
    let gone = plan("delete", &[there[0], there[1], ("lost", "")]);
    let ended = eve(control_plane, &["diff", "-f", "-", "--exit-code"], &gone).await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    let expected = "- ConfigMap old  would be deleted
= ConfigMap held  stays: its annotation `eve.dev/keep` keeps it
= ConfigMap lost  is not there
note: a rollback stops at old/configmap/old (`undo: never`)
0 to create, 0 to change, 0 unchanged, 1 to delete, 1 not there, 1 kept of 3 objects
";
    assert_eq!(ended.out, expected);
    let ended = eve(control_plane, &["diff", "-f", "-", "-o", "json"], &gone).await;
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    let of = |field: &str| -> Vec<Value> {
        told["objects"].as_array().unwrap().iter().map(|object| object[field].clone()).collect()
    };
    assert_eq!(of("difference"), ["delete", "kept", "absent"], "{told}");
    assert_eq!([&told["delete"], &told["absent"], &told["kept"]], [1, 1, 1]);
    assert_eq!(of("reason")[1], "its annotation `eve.dev/keep` keeps it");
    assert!(requests(control_plane, namespace, mark).await.writes().is_empty());

    let ended = eve(control_plane, &["apply", "-f", "-"], &gone).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let ended = eve(control_plane, &["diff", "-f", "-", "--exit-code"], &gone).await;
    assert_eq!(ended.code, Some(0), "{}", ended.out);
    assert!(ended.out.contains("= ConfigMap old  is not there"), "{}", ended.out);
}
