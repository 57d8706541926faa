//! `eve delete` of what others need: a Namespace or kind that would take with it what stays or is not the plan's, a program
//! that custom resources need to go.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::delete::{admin, config_map, exists, kept, place};
use super::{Ended, eve, get};

/// Runs a verb with these flags on an input, and expects it to succeed.
async fn done(control_plane: &ControlPlane, verb: &str, flags: &[&str], input: &str) -> Ended {
    let ended = eve(control_plane, &[&[verb, "-f", "-", "-o", "json"][..], flags].concat(), input).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.err, ended.out);
    ended
}

/// Why a component stays; `None` where it does not.
fn reason(ended: &Ended, component: &str) -> Option<String> {
    kept(ended).into_iter().find(|(name, _)| name == component).map(|(_, reason)| reason)
}

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n")
}

#[tokio::test]
async fn a_namespace_stays_while_it_holds_what_stays_or_is_not_the_plans() {
    let control_plane = ControlPlane::shared().await;
    let name = "occupied-by-what-stays";
    let manifest = [
        namespace(name),
        config_map("kept", "helm.sh/resource-policy: keep"),
        config_map("plain", ""),
        config_map("unmarked", ""),
    ]
    .concat();
    let flags = ["-n", name, "--allow-cluster-scoped", "Namespace"];
    done(control_plane, "apply", &flags, &manifest).await;
    let path = format!("/api/v1/namespaces/{name}/configmaps");
    let unmark = json!({ "metadata": { "labels": { "eve.dev/plan": null } } });
    admin(control_plane, "PATCH", &format!("{path}/unmarked"), &unmark).await;
    for stranger in 0..10 {
        let theirs = json!({ "metadata": { "name": format!("theirs-{stranger}") } });
        admin(control_plane, "POST", &path, &theirs).await;
    }

    let ended = done(control_plane, "delete", &flags, &manifest).await;
    let why = reason(&ended, &format!("namespace/{name}")).unwrap();
    assert_eq!(
        why,
        "it holds 12 objects that stay or are not the plan's: ConfigMap kept, ConfigMap theirs-0, ConfigMap theirs-1, \
         ConfigMap theirs-2, ConfigMap theirs-3, ConfigMap theirs-4, ConfigMap theirs-5, ConfigMap theirs-6, \
         ConfigMap theirs-7, ConfigMap theirs-8, and 2 more"
    );
    for left in ["kept", "unmarked", "theirs-0", "theirs-5"] {
        assert!(exists(control_plane, &format!("{path}/{left}")).await, "{left}");
    }
    assert!(!exists(control_plane, &format!("{path}/plain")).await);
    assert_eq!(ended.summary()["deleted"], 1, "{}", ended.out);

    let strangers = (0..10).map(|stranger| format!("theirs-{stranger}"));
    for left in strangers.chain(["kept", "unmarked"].map(str::to_owned)) {
        admin(control_plane, "DELETE", &format!("{path}/{left}"), &json!({})).await;
    }
    let ended = done(control_plane, "delete", &flags, &manifest).await;
    assert_eq!(kept(&ended), [], "what Kubernetes puts into every namespace does not count");
    assert!(!exists(control_plane, &format!("/api/v1/namespaces/{name}")).await);
}

#[tokio::test]
async fn an_adopted_namespace_goes_with_its_flag_only_where_nobody_else_uses_it() {
    let control_plane = ControlPlane::shared().await;
    let theirs = control_plane.namespace("occupied-adopted").await;
    let name = theirs.name();
    let path = format!("/api/v1/namespaces/{name}/configmaps");
    admin(control_plane, "POST", &path, &json!({ "metadata": { "name": "theirs" } })).await;
    let manifest = namespace(name) + &config_map("settings", "");
    let flags = ["-n", name, "--allow-cluster-scoped", "Namespace"];
    done(control_plane, "apply", &flags, &manifest).await;
    let flags = [&flags[..], &["--adopted"]].concat();
    let ended = done(control_plane, "delete", &flags, &manifest).await;
    let why = reason(&ended, &format!("namespace/{name}")).unwrap();
    assert_eq!(why, "it holds an object that stays or is not the plan's: ConfigMap theirs");
    assert!(exists(control_plane, &format!("{path}/theirs")).await);
}

#[tokio::test]
async fn a_definition_stays_while_objects_of_its_kind_stay_or_are_not_the_plans() {
    let control_plane = ControlPlane::shared().await;
    let (ours, others) = (control_plane.namespace("defined").await, control_plane.namespace("others").await);
    let group = "occupied.example.com";
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("gadgets.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "kind": "Gadget", "plural": "gadgets" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }] } });
    let gadget = |name: &str, annotations: Value| {
        json!({ "apiVersion": format!("{group}/v1"), "kind": "Gadget",
                "metadata": { "name": name, "annotations": annotations } })
    };
    let kept = gadget("kept", json!({ "helm.sh/resource-policy": " Keep " }));
    let manifest =
        [definition, kept, gadget("plain", json!({}))].map(|object| object.to_string()).join("\n---\n");
    let flags = ["-n", ours.name(), "--allow-cluster-scoped", "CustomResourceDefinition"];
    done(control_plane, "apply", &flags, &manifest).await;
    let path = |namespace: &str| format!("/apis/{group}/v1/namespaces/{namespace}/gadgets");
    let theirs = gadget("theirs", json!({}));
    admin(control_plane, "POST", &path(others.name()), &theirs).await;

    let ended = done(control_plane, "delete", &flags, &manifest).await;
    let component = format!("customresourcedefinition/gadgets.{group}");
    assert_eq!(
        reason(&ended, &component).unwrap(),
        format!(
            "2 objects of its kind stay or are not the plan's: Gadget {}/kept, Gadget {}/theirs",
            ours.name(),
            others.name()
        )
    );
    assert_eq!(ended.summary()["deleted"], 1, "{}", ended.out);
    assert!(exists(control_plane, &format!("{}/kept", path(ours.name()))).await);

    admin(control_plane, "DELETE", &format!("{}/kept", path(ours.name())), &json!({})).await;
    admin(control_plane, "DELETE", &format!("{}/theirs", path(others.name())), &json!({})).await;
    let ended = done(control_plane, "delete", &flags, &manifest).await;
    assert_eq!(ended.summary()["deleted"], 1, "{}", ended.out);
}

#[tokio::test]
async fn a_definition_goes_with_objects_of_its_kind_whose_owner_goes() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("owned-kind").await;
    let group = "owned.example.com";
    let definition = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("widgets.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "kind": "Widget", "plural": "widgets" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }] } });
    let manifest = format!("{definition}\n{}", config_map("owner", ""));
    let flags = ["-n", namespace.name(), "--allow-cluster-scoped", "CustomResourceDefinition"];
    done(control_plane, "apply", &flags, &manifest).await;
    let path = format!("/api/v1/namespaces/{}/configmaps/owner", namespace.name());
    let owner = get(control_plane, &path).await;
    let child = json!({ "apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": { "name": "child",
        "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"] }] } });
    let widgets = format!("/apis/{group}/v1/namespaces/{}/widgets", namespace.name());
    admin(control_plane, "POST", &widgets, &child).await;
    let ended = done(control_plane, "delete", &flags, &manifest).await;
    assert_eq!((kept(&ended).len(), &ended.summary()["deleted"]), (0, &json!(2)), "{}", ended.out);
}

#[tokio::test]
async fn a_namespace_stays_where_it_cannot_be_seen_what_it_holds() {
    let control_plane = ControlPlane::shared().await;
    let name = "occupied-unseen";
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({ "metadata": { "name": name }, "rules": [
        { "apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["*"] }] });
    admin(control_plane, "POST", &format!("{rbac}/clusterroles"), &role).await;
    let binding = json!({ "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }] });
    admin(control_plane, "POST", &format!("{rbac}/clusterrolebindings"), &binding).await;
    let manifest = namespace(name) + &config_map("settings", "");
    let flags = ["-n", name, "--allow-cluster-scoped", "Namespace"];
    done(control_plane, "apply", &flags, &manifest).await;
    let sparing = [&flags[..], &["--as", name]].concat();
    let ended = done(control_plane, "delete", &sparing, &manifest).await;
    let why = reason(&ended, &format!("namespace/{name}")).unwrap();
    let begin = "whether it holds anything of others cannot be told: ";
    assert!(why.starts_with(begin) && why.ends_with(" may not be listed"), "{why}");
    assert!(exists(control_plane, &format!("/api/v1/namespaces/{name}")).await);
    let ended = done(control_plane, "delete", &flags, &manifest).await;
    assert_eq!(kept(&ended), []);
}

/// A definition, a resource, and the program that may write it.
const OPERATOR: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: gizmos.operated.example.com }
spec:
  group: operated.example.com
  scope: Namespaced
  names: { kind: Gizmo, plural: gizmos }
  versions: [{ name: v1, served: true, storage: true, schema: { openAPIV3Schema: { type: object } } }]
---
apiVersion: operated.example.com/v1
kind: Gizmo
metadata: { name: one }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: op }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: op }
rules: [{ apiGroups: [operated.example.com], resources: [gizmos], verbs: [get, update] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: op }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: op }
subjects: [{ kind: ServiceAccount, name: op }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: op }
spec:
  selector: { matchLabels: { app: op } }
  template:
    metadata: { labels: { app: op } }
    spec: { serviceAccountName: op, containers: [{ name: c, image: registry.example.com/op }] }
";

#[tokio::test]
async fn custom_resources_go_before_the_program_that_looks_after_them_and_before_its_rights() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("operated").await;
    let flags = ["-n", namespace.name(), "--allow-cluster-scoped", "CustomResourceDefinition"];
    done(control_plane, "apply", &flags, OPERATOR).await;
    let ended = done(control_plane, "delete", &flags, OPERATOR).await;
    assert_eq!(ended.summary()["deleted"], 6, "{}", ended.out);
    let gone = |component: &str| place(&ended, "ready", component);
    let begins = |component: &str| place(&ended, "started", component);
    assert!(gone("gizmo/one") < begins("deployment/op"), "{}", ended.out);
    assert!(gone("deployment/op") < begins("rolebinding/op"), "{}", ended.out);
    assert!(gone("rolebinding/op") < begins("role/op"), "{}", ended.out);
}

#[tokio::test]
async fn a_namespace_that_will_stay_is_said_to_stay_before_anything_goes() {
    let control_plane = ControlPlane::shared().await;
    let name = "occupied-and-foreseen";
    let flags = ["-n", name, "--allow-cluster-scoped", "Namespace"];
    let manifest = [namespace(name), config_map("plain", "")].concat();
    done(control_plane, "apply", &flags, &manifest).await;
    let path = format!("/api/v1/namespaces/{name}/configmaps");
    admin(control_plane, "POST", &path, &json!({ "metadata": { "name": "theirs" } })).await;

    let gone = format!(
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: {name}, namespace: {name} }}\nspec:\n  \
         components:\n  - name: {name}\n    action: delete\n    manifests:\n      objects:\n      - apiVersion: v1\n        \
         kind: Namespace\n        metadata: {{ name: {name} }}\n      - apiVersion: v1\n        kind: ConfigMap\n        \
         metadata: {{ name: plain }}\n"
    );
    let why = "it holds an object that stays or is not the plan's: ConfigMap theirs";
    let diff = done(control_plane, "diff", &flags[2..], &gone).await;
    let objects = diff.records().pop().unwrap()["objects"].clone();
    let of = |kind: &str| {
        let objects = objects.as_array().unwrap();
        let found =
            objects.iter().find(|one| one["object"].as_str().is_some_and(|object| object.starts_with(kind)));
        let found = found.unwrap_or_else(|| panic!("{objects:?}"));
        (found["difference"].clone(), found["reason"].clone())
    };
    assert_eq!(of("Namespace "), (json!("kept"), json!(why)));
    assert_eq!(of("ConfigMap "), (json!("delete"), Value::Null));

    let delete = [&["delete", "--plan", name][..], &flags].concat();
    let ended = eve(control_plane, &delete, "").await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for line in [format!("  stays  Namespace {name}: {why}"), format!("  goes  ConfigMap {name}/plain")] {
        assert!(ended.err.lines().any(|said| said == line), "{line}: {}", ended.err);
    }
    admin(control_plane, "DELETE", &format!("{path}/theirs"), &json!({})).await;
    let ended = eve(control_plane, &delete, "").await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.lines().any(|said| said == format!("  goes  Namespace {name}")), "{}", ended.err);
}
