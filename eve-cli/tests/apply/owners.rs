//! Two plans that hold the same object: the second is refused before it writes anything, unless it is to take over.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::signals::Running;
use super::{command, eve, get, names, writes};

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ key: {value} }}\n---\n")
}

fn apply<'a>(namespace: &'a str, plan: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["apply", "-n", namespace, "--name", plan, "-f", "-"], more].concat()
}

async fn label(control_plane: &ControlPlane, namespace: &str, name: &str) -> Value {
    let object = get(control_plane, &format!("/api/v1/namespaces/{namespace}/configmaps/{name}")).await;
    object["metadata"]["labels"]["eve.dev/plan"].clone()
}

#[tokio::test]
async fn an_object_of_another_plan_is_refused_before_the_first_write_and_taken_over_when_asked() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("owners").await;
    let namespace = namespace.name();
    let (shared, own) = (config_map("shared", "one"), config_map("own", "two"));
    let first = eve(control_plane, &apply(namespace, "one", &[]), &shared).await;
    assert_eq!(first.code, Some(0), "{}", first.err);

    let mark = control_plane.audit().mark().await;
    let both = own + &shared;
    let diff = ["diff", "-n", namespace, "--name", "two", "-f", "-"];
    for args in [&apply(namespace, "two", &[]), &diff.to_vec()] {
        let refused = eve(control_plane, args, &both).await;
        assert_eq!(refused.code, Some(5), "{args:?}: {}{}", refused.out, refused.err);
        let said = refused.out + &refused.err;
        let owner = format!("belongs to the plan `one` of namespace `{namespace}`");
        for part in [owner.as_str(), "--take-over ConfigMap/shared"] {
            assert!(said.contains(part), "{args:?}: {part}: {said}");
        }
    }
    let slip = eve(control_plane, &apply(namespace, "two", &["--take-over", "configmap/shred"]), &both).await;
    assert_eq!(slip.code, Some(5), "{}", slip.err);
    assert!(slip.err.contains("did you mean `ConfigMap/shared`"), "{}", slip.err);
    assert!(writes(control_plane, namespace).await.since(mark).is_empty());
    assert_eq!(label(control_plane, namespace, "shared").await, "one");

    for (plan, wanted) in [("two", "cm/shared"), ("one", "*")] {
        let text = if plan == "two" { &both } else { &shared };
        let taken = eve(control_plane, &apply(namespace, plan, &["--take-over", wanted]), text).await;
        assert_eq!(taken.code, Some(0), "{}", taken.err);
        assert_eq!(label(control_plane, namespace, "shared").await, plan);
    }
}

#[tokio::test]
async fn whoever_may_not_list_is_refused_by_name_without_a_write() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("owners-get").await;
    let name = namespace.name();
    let first = eve(control_plane, &apply(name, "one", &[]), &config_map("shared", "one")).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let rules = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{ name: narrow }}\nrules:\n\
         - {{ apiGroups: [''], resources: [configmaps], verbs: [get, create, patch] }}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{ name: narrow }}\n\
         roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: narrow }}\n\
         subjects: [{{ kind: User, name: narrow-{name}, apiGroup: rbac.authorization.k8s.io }}]\n"
    );
    let granted = eve(control_plane, &apply(name, "rights", &[]), &rules).await;
    assert_eq!(granted.code, Some(0), "{}", granted.err);
    let mark = control_plane.audit().mark().await;
    let user = format!("narrow-{name}");
    let refused =
        eve(control_plane, &apply(name, "two", &["--as", &user]), &config_map("shared", "two")).await;
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("belongs to the plan `one`"), "{}", refused.err);
    assert!(refused.err.contains("failed to be compared with the cluster"), "{}", refused.err);
    let tried = control_plane.audit().settle().await.since(mark).in_namespace(name).writes();
    assert!(tried.is_empty(), "{tried:?}");
}

#[tokio::test]
async fn an_object_that_is_taken_over_while_it_is_waited_for_is_not_said_to_be_deleted() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("owners-wait").await;
    let namespace = namespace.name();
    let claim = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: shared }\nspec:\n  \
                 selector: { matchLabels: { app: shared } }\n  template:\n    metadata: { labels: { app: shared }, \
                 annotations: { testbed.eve.dev/stage: never-ready } }\n    spec: { containers: [{ name: main, \
                 image: 'registry.example.com/web:1' }] }\n";
    let args = apply(namespace, "one", &["-o", "json"]);
    let mut running = Running::of(command(control_plane, &args), claim).await;
    running.until_of("applied", "deployment").await;
    let more = ["--take-over", "deploy/shared", "--until", "applied=deploy/shared"];
    let second = eve(control_plane, &apply(namespace, "two", &more), claim).await;
    assert_eq!(second.code, Some(0), "{}", second.err);
    let ended = running.end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let failure = ended.summary()["failures"][0]["failure"].clone();
    assert_eq!((&failure["code"], &failure["class"]), (&json!("k8s.object.other-plan"), &json!("permanent")));
    let said = failure["message"].as_str().unwrap();
    assert!(said.contains("belongs to the plan `two`"), "{said}");
    let mine = writes(control_plane, namespace).await;
    assert_eq!((mine.len(), names(&mine).len()), (2, 1), "nobody fights for it: {mine:?}");
}
