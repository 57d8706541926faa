//! Kinds whose fields the server gives out, or that cannot be changed back as they are.

use super::*;

async fn check(prefix: &str, before: &[Part], next: &[Part], paths: impl Fn(&Place) -> Vec<String>) {
    let place = Place::new(prefix).await;
    place.deploy("first", before).await;
    let paths = paths(&place);
    let was = place.state(&paths).await;
    let release = place.deploy("second", next).await;
    release.undo_all().await;
    let is = place.state(&paths).await;
    for (path, was) in &was {
        assert_eq!(&is[path], was, "{path}");
    }
    place.assert_unchanged(before).await;
}

fn service(spec: Value) -> Value {
    let mut whole = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP" }] });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    if let Some(ports) = whole["ports"].as_array_mut() {
        ports[0]["name"] = "web".into();
    }
    object("v1", "Service", "web", json!({ "spec": whole }))
}

fn path(place: &Place) -> Vec<String> {
    vec![place.path("api/v1", "services", "web")]
}

#[tokio::test]
async fn a_service_has_its_ports_and_addresses_again() {
    let of = |kind: &str| service(json!({ "type": kind }));
    for (was, next) in [
        (of("NodePort"), of("ClusterIP")),
        (of("ClusterIP"), of("NodePort")),
        (service(json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" })), of("ClusterIP")),
        (
            of("NodePort"),
            service(
                json!({ "type": "NodePort", "ports": [{ "port": 80, "name": "web" }, { "name": "more", "port": 81 }] }),
            ),
        ),
    ] {
        check("service", &[apply(was)], &[apply(next)], path).await;
    }
    check("service", &[apply(of("NodePort"))], &[delete(of("NodePort"))], path).await;
}

#[tokio::test]
async fn a_workload_has_its_template_strategy_and_lists_again() {
    let mut recreate = deployment("web", 2, json!([container("web", "web:2")]));
    recreate["spec"]["strategy"] = json!({ "type": "Recreate" });
    recreate["spec"]["template"]["spec"]["volumes"] = json!([{ "name": "tmp", "emptyDir": {} }]);
    let mut rich = deployment("web", 1, json!([container("a", "a:1"), container("b", "b:1")]));
    rich["spec"]["strategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    rich["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{ "containerPort": 80 }, { "containerPort": 53, "protocol": "UDP" }]);
    rich["spec"]["template"]["spec"]["tolerations"] = json!([{ "key": "x", "operator": "Exists" }]);
    rich["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--one", "--two"]);
    let paths = |place: &Place| vec![place.path("apis/apps/v1", "deployments", "web")];
    check("workload", &[apply(rich.clone())], &[apply(recreate.clone())], paths).await;
    check("workload", &[apply(recreate.clone())], &[apply(rich.clone())], paths).await;
    check("workload", &[apply(rich.clone())], &[delete(rich)], paths).await;
}

fn job(args: Value) -> Value {
    let spec = json!({ "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "main", "image": "job:1", "args": args }],
    } } });
    object("batch/v1", "Job", "job", json!({ "spec": spec }))
}

#[tokio::test]
async fn a_job_that_has_not_ended_comes_back_and_one_that_has_does_not_run_again() {
    let place = Place::new("job").await;
    let mut suspended = job(json!(["x"]));
    suspended["spec"]["suspend"] = json!(true);
    place.deploy("first", &[apply(suspended.clone())]).await;
    let path = place.path("apis/batch/v1", "jobs", "job");
    let release = place.deploy("second", &[delete(suspended.clone())]).await;
    assert_eq!(release.undo_all().await, [Change::Create]);
    let is = place.get(&path).await.unwrap();
    assert_eq!(is["spec"]["suspend"], true);
    place.assert_unchanged(&[apply(suspended)]).await;

    let place = Place::new("job-ended").await;
    let mut release = place.release("first", &[apply(job(json!([])))]).await;
    release.apply(0).await.unwrap();
    let applied = release.done[&0].1.clone().unwrap();
    release.executor.wait(&release.step(0), &applied, Until::Ready, &Told::context().0).await.unwrap();
    let release = place.deploy("second", &[delete(job(json!([])))]).await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.lost", "{failure:?}");
    assert!(release.verify_undone(0).await.is_err());
}

#[tokio::test]
async fn a_job_that_was_replaced_is_not_put_back_and_that_is_said() {
    let place = Place::new("job-replaced").await;
    place.deploy("first", &[apply(job(json!(["x"])))]).await;
    let mut release = place.release("second", &[apply(job(json!(["y"])))]).await;
    assert_eq!(release.apply(0).await.unwrap(), Change::Replace);
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.lost", "{failure:?}");
    assert!(failure.message.contains("was replaced by the run"), "{failure}");

    // As long as nothing was deleted, there is nothing to put back.
    let mut release = place.release("third", &[apply(job(json!(["z"])))]).await;
    assert_eq!(release.prepare(0).await.unwrap().change, Change::Replace);
    assert_eq!(release.undo_all().await, [Change::None]);
}

#[tokio::test]
async fn a_claim_comes_back_without_its_volume_and_says_so() {
    let place = Place::new("claim").await;
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                       "resources": { "requests": { "storage": "1Gi" } } });
    let claim = object("v1", "PersistentVolumeClaim", "data", json!({ "spec": spec }));
    let mut first = place.release("first", &[apply(claim.clone())]).await;
    first.apply(0).await.unwrap();
    let applied = first.done[&0].1.clone().unwrap();
    first.executor.wait(&first.step(0), &applied, Until::Ready, &Told::context().0).await.unwrap();
    let release = place.deploy("second", &[delete(claim.clone())]).await;
    let report = release.undo(0).await.unwrap();
    assert_eq!(report.change, Change::Create);
    assert!(report.notes[0].contains("its data is not back"), "{report:?}");
    release.verify_undone(0).await.unwrap();
    place.assert_unchanged(&[apply(claim)]).await;
}

#[tokio::test]
async fn objects_of_the_cluster_are_kept_in_the_namespace_of_the_plan() {
    let place = Place::new("cluster").await;
    let role = |verbs: Value| {
        let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": verbs }]);
        object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            place.namespace.name(),
            json!({ "rules": rules }),
        )
    };
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{}", place.namespace.name());
    let before = [apply(role(json!(["get"])))];
    place.deploy("first", &before).await;
    let was = place.state(std::slice::from_ref(&path)).await;
    let release = place.deploy("second", &[apply(role(json!(["get", "list"])))]).await;
    assert_eq!(place.snapshots().await.len(), 1);
    assert_eq!(release.undo_all().await, [Change::Update]);
    assert_eq!(place.state(std::slice::from_ref(&path)).await, was);
    place.assert_unchanged(&before).await;
    let release = place.deploy("third", &[delete(role(json!([])))]).await;
    assert_eq!(release.undo_all().await, [Change::Create]);
    assert_eq!(place.state(std::slice::from_ref(&path)).await, was);
    place.other("DELETE", &path, "application/json", &json!({})).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_the_run_made_goes_and_one_that_it_deleted_is_lost() {
    let place = Place::new("namespaces").await;
    let name = format!("{}-own", place.namespace.name());
    let namespace = object("v1", "Namespace", &name, json!({}));
    let release = place.deploy("first", &[apply(namespace.clone())]).await;
    assert_eq!(release.undo_all().await, [Change::Delete]);
    place.deploy("second", &[apply(namespace.clone())]).await;
    let release = place.deploy("third", &[delete(namespace)]).await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.lost", "{failure:?}");
}

/// Deployments make replica sets and pods, a `StatefulSet` claims, a Service endpoints.
fn inhabitants(namespace: &str) -> Vec<Part> {
    let claims = json!([{ "metadata": { "name": "data" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "resources": { "requests": { "storage": "1Gi" } },
    } }]);
    let template = json!({ "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [container("db", "db:1")] } });
    let db = json!({ "spec": { "serviceName": "web", "selector": { "matchLabels": { "app": "db" } }, "template": template,
                               "volumeClaimTemplates": claims } });
    let objects = [
        config_map("x", json!({ "a": "1" })),
        service(json!({})),
        deployment("web", 1, json!([container("web", "web:1")])),
        object("apps/v1", "StatefulSet", "db", db),
    ];
    let inside = |mut object: Value| {
        object["metadata"]["namespace"] = namespace.into();
        apply(object)
    };
    objects.into_iter().map(inside).collect()
}

#[tokio::test]
async fn a_namespace_of_the_run_stays_with_what_others_have_put_into_it() {
    let place = Place::new("occupied").await;
    let name = format!("{}-own", place.namespace.name());
    let mut parts = vec![apply(object("v1", "Namespace", &name, json!({})))];
    parts.extend(inhabitants(&name));
    let mut release = place.release("first", &parts).await;
    let options = KubeConfigOptions::default().with_kubeconfig(place.control_plane.kubeconfig_path());
    let policy =
        ScopePolicy::default().with_cluster_scoped("*".parse().unwrap()).with_namespace(name.as_str());
    release.executor = KubeExecutor::builder(connect(&options).await.unwrap()).with_policy(policy).build();
    release.apply_all().await;
    for index in [3, 4] {
        let (step, applied) = (release.step(index), release.done[&index].1.clone().unwrap());
        release.executor.wait(&step, &applied, Until::Ready, &Told::context().0).await.unwrap();
    }
    let maps = format!("/api/v1/namespaces/{name}/configmaps");
    place.other("POST", &maps, "application/json", &config_map("theirs", json!({}))).await.unwrap();
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.conflict", "{failure:?}");
    assert_eq!(failure.notes, [format!("ConfigMap {name}/theirs")], "{failure:?}");
    let path = format!("/api/v1/namespaces/{name}");
    assert!(place.get(&path).await.unwrap()["metadata"].get("deletionTimestamp").is_none());
    place.other("DELETE", &format!("{maps}/theirs"), "application/json", &json!({})).await.unwrap();
    assert_eq!(release.undo(0).await.unwrap().change, Change::Delete);
}

#[tokio::test]
async fn a_definition_of_the_run_stays_with_the_objects_that_others_made() {
    let place = Place::new("instances").await;
    let group = format!("{}.dev", place.namespace.name());
    let thing =
        |name: &str| object(&format!("{group}/v1"), "Thing", name, json!({ "spec": { "field0": "1" } }));
    let parts = [apply(definition(&group, 1, "one")), apply(thing("own"))];
    let mut release = place.release("first", &parts).await;
    release.apply(0).await.unwrap();
    let (step, applied) = (release.step(0), release.done[&0].1.clone().unwrap());
    release.executor.wait(&step, &applied, Until::Ready, &Told::context().0).await.unwrap();
    release.apply(1).await.unwrap();
    let things = format!("/apis/{group}/v1/namespaces/{}/things", place.namespace.name());
    place.other("POST", &things, "application/json", &thing("theirs")).await.unwrap();
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.conflict", "{failure:?}");
    assert_eq!(failure.notes, [format!("Thing {}/theirs", place.namespace.name())], "{failure:?}");
    place.other("DELETE", &format!("{things}/theirs"), "application/json", &json!({})).await.unwrap();
    assert_eq!(release.undo(0).await.unwrap().change, Change::Delete);
}

/// A definition with so many fields.
fn definition(group: &str, fields: usize, version: &str) -> Value {
    let field = |index: usize| {
        let text = format!(
            "What the field number {index} of version {version} says to whoever reads it, at length."
        );
        (format!("field{index}"), json!({ "type": "string", "description": text }))
    };
    let properties: serde_json::Map<String, Value> = (0..fields).map(field).collect();
    let schema =
        json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": properties } } });
    object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &format!("things.{group}"),
        json!({ "spec": {
        "group": group, "scope": "Namespaced", "names": { "kind": "Thing", "plural": "things" },
        "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
    } }),
    )
}

/// Somebody defines a kind, and it is served.
async fn define(place: &Place, group: &str) -> String {
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    place.other("POST", definitions, "application/json", &definition(group, 1, "one")).await.unwrap();
    let things = format!("/apis/{group}/v1/namespaces/{}/things", place.namespace.name());
    let is_served = async { while place.get(&things).await.is_none() {} };
    tokio::time::timeout(Duration::from_mins(1), is_served).await.unwrap();
    things
}

#[tokio::test]
async fn an_object_of_a_kind_that_comes_during_the_run_is_put_back() {
    let place = Place::new("comes").await;
    let group = format!("{}.dev", place.namespace.name());
    let thing =
        |value: &str| object(&format!("{group}/v1"), "Thing", "own", json!({ "spec": { "field0": value } }));
    let mut release = place.release("first", &[apply(thing("1"))]).await;
    assert_eq!(release.prepare(0).await.unwrap().change, Change::Unknown);
    let things = define(&place, &group).await;
    assert_eq!(release.apply(0).await.unwrap(), Change::Create);
    assert_eq!(release.undo_all().await, [Change::Delete]);
    assert!(place.get(&format!("{things}/own")).await.is_none());
}

#[tokio::test]
async fn an_object_of_a_kind_that_came_before_the_run_is_kept_though_it_was_not_known() {
    let place = Place::new("came").await;
    let group = format!("{}.dev", place.namespace.name());
    let thing =
        |value: &str| object(&format!("{group}/v1"), "Thing", "own", json!({ "spec": { "field0": value } }));
    // An executor that has known its kinds for long.
    let old = place.deploy("zero", &[apply(config_map("x", json!({})))]).await;
    let things = define(&place, &group).await;
    place.deploy("first", &[apply(thing("1"))]).await;
    let was = place.state(&[format!("{things}/own")]).await;
    let mut release = place.release("second", &[apply(thing("2"))]).await;
    release.executor = old.executor;
    assert_eq!(release.apply_all().await, [Change::Update]);
    assert_eq!(release.undo_all().await, [Change::Update]);
    assert_eq!(place.state(&[format!("{things}/own")]).await, was);
}

#[tokio::test]
async fn a_large_definition_fits_and_comes_back() {
    let place = Place::new("large").await;
    let group = format!("{}.dev", place.namespace.name());
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}");
    let before = [apply(definition(&group, 4500, "one"))];
    assert!(before[0].object.to_string().len() > 500 * 1024);
    place.deploy("first", &before).await;
    let was = place.state(std::slice::from_ref(&path)).await;
    let release = place.deploy("second", &[apply(definition(&group, 4600, "two"))]).await;
    assert_eq!(release.undo_all().await, [Change::Update]);
    assert_eq!(place.state(std::slice::from_ref(&path)).await, was);
    place.assert_unchanged(&before).await;
    place.other("DELETE", &path, "application/json", &json!({})).await.unwrap();
}
