//! `eve get`: what is installed, from labels alone.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::eve;

const MANIFEST: &str = "
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, annotations: { eve.dev/keep: 'true' } }
---
apiVersion: v1
kind: Secret
metadata: { name: password }
";

#[tokio::test]
async fn what_is_installed_is_known_from_labels() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("get").await;
    let namespace = namespace.name();
    let empty = eve(control_plane, &["get", "plans", "-n", namespace], "").await;
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""), "{}", empty.err);
    assert_eq!(empty.err, "nothing is installed here\n");
    for plan in ["one", "two"] {
        let manifest = MANIFEST.replace("name: ", &format!("name: {plan}-"));
        let applied =
            eve(control_plane, &["apply", "-n", namespace, "--name", plan, "-f", "-"], &manifest).await;
        assert_eq!(applied.code, Some(0), "{}", applied.err);
    }

    let mark = control_plane.audit().mark().await;
    let plans = eve(control_plane, &["get", "plans", "-n", namespace], "").await;
    assert_eq!(plans.code, Some(0), "{}", plans.err);
    let lines: Vec<Vec<&str>> = plans.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "OBJECTS", "AGE", "NOTE"], "{}", plans.out);
    assert_eq!((lines[1][..2].to_vec(), lines[2][..2].to_vec()), (vec!["one", "3"], vec!["two", "3"]));
    let requests = control_plane.audit().settle().await.by_user("eve").in_namespace(namespace).since(mark);
    assert!(requests.iter().all(|entry| entry.verb == "list"), "{requests:?}");
    assert!(
        requests.count_by(|entry| entry.resource.clone() + &entry.group).values().all(|lists| *lists == 1)
    );

    let json =
        eve(control_plane, &["get", "components", "-n", namespace, "--plan", "two", "-o", "json"], "").await;
    let found: Value = serde_json::from_str(&json.out).unwrap();
    let names: Vec<(&Value, &Value, &Value)> = found["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["kind"], &one["name"], &one["keep"]))
        .collect();
    // The endpoints of the Service carry its labels too, and are no part of the plan.
    assert_eq!(
        names,
        [
            (&json!("ConfigMap"), &json!("two-settings"), &json!("eve.dev/keep")),
            (&json!("Secret"), &json!("two-password"), &Value::Null),
            (&json!("Service"), &json!("two-web"), &Value::Null),
        ]
    );
    assert!(!json.out.contains("data"), "values are not even read");

    let everywhere = eve(control_plane, &["get", "components", "-A"], "").await;
    assert_eq!(everywhere.code, Some(0), "{}", everywhere.err);
    let line = everywhere.out.lines().find(|line| line.contains("one-settings")).unwrap();
    assert!(line.starts_with(namespace) && line.ends_with("kept"), "{line}");
}
