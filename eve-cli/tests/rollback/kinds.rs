//! Kinds that come with the release, and go with it.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::desk::Desk;
use super::{component, impossible, plan};

fn definition(group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("things.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced", "names": { "kind": "Thing", "plural": "things" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            } } }],
        },
    })
}

#[tokio::test]
async fn objects_of_a_kind_that_comes_with_the_release_are_put_back_too() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane, "kinds").await;
    let group = format!("{}.example.com", desk.namespace());
    let thing = |name: &str| json!({ "apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": { "name": name }, "spec": { "a": "1" } });
    let components = [
        component("kind", "", &definition(&group)),
        component("one", "dependsOn: [kind]", &thing("one")),
        component("two", "dependsOn: [kind]", &thing("two")),
        component("bad", "dependsOn: [one, two]", &impossible()),
    ];
    desk.write("release.yaml", &plan(desk.namespace(), &components));
    let allow = ["--allow-cluster-scoped", "CustomResourceDefinition"];
    let apply = [&["apply", "-f", "release.yaml", "-o", "json"], &allow[..]].concat();
    let ended = desk.eve(&apply).await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    assert_eq!(ended.summary()["outcome"], "rolled_back");
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let found: Result<Value, _> = control_plane.admin_client().await.request(request).await;
    assert!(found.is_err(), "{found:?}");
}
