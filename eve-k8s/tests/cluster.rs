//! The executor on a real control plane: what is applied gets ready, what is doomed is said to be, and nothing is
//! written that may not be.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]
#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

mod common;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use common::{Told, graph, step, step_of, write};
use eve_core::failure::{Failure, FailureClass};
use eve_core::plan::Until;
use eve_core::ports::{Context, Executor, Step};
use eve_core::run::{Change, Outputs};
use eve_core::time::Timestamp;
use eve_k8s::{
    Grace, Graces, KubeClient, KubeConfigOptions, KubeExecutor, ScopePolicy, Trouble, connect, preflight,
};
use eve_testbed::{ControlPlane, DELAY, STAGE};
use serde_json::{Value, json};

/// What became of a component that went through all phases.
#[derive(Debug)]
struct Done {
    change: Change,
    outputs: Outputs,
}

/// All phases, one after the other.
async fn deploy(executor: &KubeExecutor, step: &Step) -> Result<Done, Failure> {
    let (_, applied) = write(executor, step).await?;
    let (cx, told) = Told::context();
    // Only to end a test that would hang.
    let limit = Duration::from_secs(90);
    let waited = tokio::time::timeout(limit, executor.wait(step, &applied, Until::Ready, &cx)).await;
    let outputs = waited.unwrap_or_else(|_| panic!("{} did not end: {}", step.name(), told.texts()))?;
    Ok(Done { change: applied.change, outputs })
}

/// Graces that end a test soon, and still begin with one.
fn short() -> Graces {
    let soon = Duration::from_millis(500);
    Graces::default()
        .with(Trouble::ImagePull, Grace::After(soon))
        .with(Trouble::BadConfig, Grace::After(soon))
        .with(Trouble::ReplicaFailure, Grace::After(Duration::from_secs(2)))
        .shown_after(Trouble::Unschedulable, soon)
}

async fn client(control_plane: &ControlPlane) -> KubeClient {
    let options = KubeConfigOptions::default().with_kubeconfig(control_plane.kubeconfig_path());
    connect(&options).await.unwrap()
}

async fn executor(control_plane: &ControlPlane) -> KubeExecutor {
    KubeExecutor::builder(client(control_plane).await).with_graces(short()).build()
}

fn meta(name: &str) -> Value {
    json!({ "name": name })
}

/// Each workload selects by its own name: controllers adopt what matches and belongs to nobody.
fn template(name: &str, stage: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name }, "annotations": { STAGE: stage } },
        "spec": { "containers": [{ "name": "main", "image": "registry.example.com/web:1" }] },
    })
}

fn workload(api: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": api, "kind": kind, "metadata": meta(name), "spec": spec })
}

fn deployment(name: &str, stage: &str, replicas: i64) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    let spec = json!({ "replicas": replicas, "selector": selector, "template": template(name, stage) });
    workload("apps/v1", "Deployment", name, spec)
}

fn replication_controller(name: &str, stage: &str) -> Value {
    let spec = json!({ "replicas": 2, "selector": { "app": name }, "template": template(name, stage) });
    workload("v1", "ReplicationController", name, spec)
}

fn stateful_set(name: &str, stage: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    let spec = json!({ "replicas": 2, "serviceName": name, "selector": selector, "template": template(name, stage) });
    workload("apps/v1", "StatefulSet", name, spec)
}

fn daemon_set(name: &str, stage: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    workload("apps/v1", "DaemonSet", name, json!({ "selector": selector, "template": template(name, stage) }))
}

fn job(name: &str, stage: &str) -> Value {
    let mut template = template(name, stage);
    template["spec"]["restartPolicy"] = json!("Never");
    workload("batch/v1", "Job", name, json!({ "backoffLimit": 0, "template": template }))
}

fn service(name: &str, kind: &str) -> Value {
    let spec = json!({ "type": kind, "selector": { "app": "web" }, "ports": [{ "port": 80 }] });
    workload("v1", "Service", name, spec)
}

fn claim(name: &str, class: &str) -> Value {
    let spec = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "resources": { "requests": { "storage": "1Gi" } },
    });
    workload("v1", "PersistentVolumeClaim", name, spec)
}

fn config_map(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name), "data": { "key": value } })
}

/// Deploys one object into a fresh namespace.
async fn one(prefix: &str, object: Value) -> Result<Done, Failure> {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace(prefix).await;
    let executor = executor(control_plane).await;
    deploy(&executor, &step(&graph(namespace.name(), [object]), 0)).await
}

#[tokio::test]
async fn every_kind_gets_ready() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("kinds").await;
    let executor = executor(control_plane).await;
    let mut replica_set = deployment("set", "ready", 2);
    replica_set["kind"] = json!("ReplicaSet");
    let mut pod = template("pod", "ready");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("pod");
    let objects = [
        deployment("deployment", "ready", 3),
        stateful_set("stateful", "ready"),
        daemon_set("daemon", "ready"),
        replica_set,
        replication_controller("controller", "ready"),
        job("job", "complete"),
        pod,
        service("inside", "ClusterIP"),
        service("outside", "LoadBalancer"),
        claim("at-once", "standard"),
        claim("late", "late"),
        config_map("settings", "1"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": meta("secret"), "stringData": { "a": "b" } }),
    ];
    let graph = graph(namespace.name(), objects);
    for id in graph.ids() {
        let done = deploy(&executor, &step(&graph, id.get())).await.unwrap();
        assert_eq!(done.change, Change::Create, "{:?}", graph.node(id).spec());
        let is_outside = graph.node(id).spec().pointer("/object/metadata/name") == Some(&json!("outside"));
        assert_eq!(done.outputs.get("address").is_some(), is_outside);
    }
    for id in graph.ids() {
        let done = deploy(&executor, &step(&graph, id.get())).await.unwrap();
        assert_eq!(done.change, Change::None, "{:?}", graph.node(id).spec());
    }
}

/// A doomed object ends its wait with this code, and its message and notes contain these texts.
async fn doomed(prefix: &str, object: Value, code: &str, texts: &[&str]) {
    let failure = one(prefix, object).await.unwrap_err();
    let all = format!("{}\n{}", failure.message, failure.notes.join("\n"));
    assert_eq!(failure.code, code, "{all}");
    assert_eq!(failure.class, FailureClass::Permanent, "{all}");
    for text in texts {
        assert!(all.contains(text), "`{text}` is not in:\n{all}");
    }
}

#[tokio::test]
async fn a_crash_loop_is_given_up_with_the_last_words_of_the_container() {
    let texts = [
        "/web: container `main` of ",
        "pod",
        "3 times",
        "exit code 1",
        "event BackOff",
        "panic: cannot reach the database",
    ];
    doomed("crash", deployment("web", "crash-loop", 2), "k8s.pod.crash-loop", &texts).await;
}

#[tokio::test]
async fn a_crash_loop_of_a_stateful_set_is_given_up() {
    doomed("crash-sts", stateful_set("web", "crash-loop"), "k8s.pod.crash-loop", &["pod web-0", "3 times"])
        .await;
}

#[tokio::test]
async fn a_crash_loop_of_a_daemon_set_is_given_up() {
    doomed("crash-ds", daemon_set("web", "crash-loop"), "k8s.pod.crash-loop", &["DaemonSet ", "3 times"])
        .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_given_up() {
    let texts = ["container `main` of 2 pods", "ErrImagePull", "registry.example.com/web:1"];
    doomed("pull", deployment("web", "image-pull", 2), "k8s.pod.image-pull", &texts).await;
}

#[tokio::test]
async fn a_bad_configuration_is_given_up() {
    let texts = ["CreateContainerConfigError", "configmap \"settings\" not found"];
    doomed("config", deployment("web", "bad-config", 1), "k8s.pod.bad-config", &texts).await;
}

#[tokio::test]
async fn what_a_pod_lacks_is_told_with_the_component_that_makes_it() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("upstream").await;
    let executor = executor(control_plane).await;
    let web = || deployment("web", "bad-config", 1);
    let upstream = "the component `component-1` of this plan makes the ConfigMap `settings`; name it in `dependsOn` to wait for it";
    for (others, hint) in [
        (vec![config_map("settings", "1")], upstream),
        (vec![config_map("other", "1")], "no component of this plan makes the ConfigMap `settings`"),
    ] {
        let graph = graph(namespace.name(), [vec![web()], others].concat());
        let failure = deploy(&executor, &step(&graph, 0)).await.unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some(hint), "{failure}");
    }
}

#[tokio::test]
async fn a_failed_job_is_given_up_at_once() {
    let texts = ["BackoffLimitExceeded", "container `main` of pod job-", "exit code 1", "log main: "];
    doomed("job", job("job", "job-failed"), "k8s.job.failed", &texts).await;
}

#[tokio::test]
async fn refused_pods_are_given_up() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("quota").await;
    let executor = executor(control_plane).await;
    let quota = workload("v1", "ResourceQuota", "none", json!({ "hard": { "pods": "0" } }));
    let graph = graph(namespace.name(), [quota, deployment("web", "ready", 1), stateful_set("db", "ready")]);
    deploy(&executor, &step(&graph, 0)).await.unwrap();
    for index in [1, 2] {
        let failure = deploy(&executor, &step(&graph, index)).await.unwrap_err();
        assert_eq!(failure.code, "k8s.workload.replica-failure", "{failure}");
        assert!(failure.message.contains("exceeded quota: none"), "{failure}");
    }
}

#[tokio::test]
async fn what_no_node_takes_is_told_and_waited_for() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("nowhere").await;
    let executor = executor(control_plane).await;
    let mut object = deployment("web", "ready", 1);
    object["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "golden" });
    let step = step(&graph(namespace.name(), [object]), 0);
    let (_, applied) = write(&executor, &step).await.unwrap();
    let (cx, told) = Told::context();
    let is_told = async {
        while !told.texts().contains("cannot be scheduled: 0/3 nodes are available") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = tokio::time::sleep(Duration::from_mins(1));
    tokio::select! {
        ended = executor.wait(&step, &applied, Until::Ready, &cx) => panic!("nothing ended the wait: {ended:?}"),
        () = is_told => {}
        () = limit => panic!("only told {}", told.texts()),
    }
}

#[tokio::test]
async fn progress_tells_how_many_replicas_are_available() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("progress").await;
    let executor = executor(control_plane).await;
    let mut object = deployment("web", "ready", 1);
    object["spec"]["template"]["metadata"]["annotations"][DELAY] = json!("1s");
    let step = step(&graph(namespace.name(), [object]), 0);
    let (_, applied) = write(&executor, &step).await.unwrap();
    let (cx, told) = Told::context();
    executor.wait(&step, &applied, Until::Ready, &cx).await.unwrap();
    assert!(
        told.texts().contains("k8s.deployment.unavailable: 0 of 1 replica is available"),
        "{}",
        told.texts()
    );
}

#[tokio::test]
async fn a_repair_is_not_judged_by_the_pods_that_it_replaces() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("repair").await;
    let executor = executor(control_plane).await;
    for (kind, broken, repaired) in [
        ("Deployment", deployment("web", "crash-loop", 2), deployment("web", "ready", 2)),
        ("DaemonSet", daemon_set("agent", "crash-loop"), daemon_set("agent", "ready")),
    ] {
        let graph = graph(namespace.name(), [broken, repaired]);
        let failure = deploy(&executor, &step(&graph, 0)).await.unwrap_err();
        assert_eq!(failure.code, "k8s.pod.crash-loop", "{kind}: {failure}");
        let done = deploy(&executor, &step(&graph, 1)).await;
        assert_eq!(done.unwrap().change, Change::Update, "{kind}");
    }
}

#[tokio::test]
async fn a_job_that_removes_itself_is_judged_by_its_end() {
    for (stage, code) in [("complete", None), ("job-failed", Some("k8s.job.failed"))] {
        let mut object = job("job", stage);
        object["spec"]["ttlSecondsAfterFinished"] = json!(0);
        let failure = one("ttl", object).await.err();
        assert_eq!(failure.as_ref().map(|failure| failure.code.as_ref()), code, "{stage}: {failure:?}");
    }
}

#[tokio::test]
async fn a_conflict_names_the_other_manager_and_the_fields() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("conflict").await;
    let executor = executor(control_plane).await;
    let theirs = kube::Api::<kube::api::DynamicObject>::namespaced_with(
        control_plane.admin_client().await,
        namespace.name(),
        &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
    );
    let params = kube::api::PatchParams::apply("their-operator");
    let patch = kube::api::Patch::Apply(config_map("settings", "theirs"));
    theirs.patch("settings", &params, &patch).await.unwrap();

    let ours = config_map("settings", "ours");
    let failure = write(&executor, &step_of(namespace.name(), json!({ "object": ours }))).await.unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.apply.conflict", FailureClass::Permanent),
        "{failure}"
    );
    let place = namespace.name();
    assert_eq!(
        failure.message,
        format!("ConfigMap {place}/settings: a field belongs to `their-operator`, first `.data.key`")
    );
    assert!(failure.hint.unwrap().contains("forceConflicts"));

    let forced = step_of(namespace.name(), json!({ "object": ours, "forceConflicts": true }));
    assert_eq!(write(&executor, &forced).await.unwrap().1.change, Change::Update);
}

#[tokio::test]
async fn an_object_that_is_being_deleted_is_not_ready_because_it_was_written() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("leaving").await;
    let executor = executor(control_plane).await;
    let theirs = kube::Api::<kube::api::DynamicObject>::namespaced_with(
        control_plane.admin_client().await,
        namespace.name(),
        &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
    );
    let mut held = config_map("settings", "ours");
    held["metadata"]["finalizers"] = json!(["test.eve.dev/hold"]);
    theirs.create(&kube::api::PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();
    theirs.delete("settings", &kube::api::DeleteParams::default()).await.unwrap();

    let step = step_of(namespace.name(), json!({ "object": config_map("settings", "ours") }));
    let (_, applied) = write(&executor, &step).await.unwrap();
    let (cx, told) = Told::context();
    let released = async {
        while !told.texts().contains("test.eve.dev/hold") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let patch = kube::api::Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        theirs.patch("settings", &kube::api::PatchParams::default(), &patch).await.unwrap();
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        tokio::join!(executor.wait(&step, &applied, Until::Ready, &cx), released).0
    });
    let failure = waited.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.object.gone", FailureClass::Transient),
        "{failure}"
    );
}

#[tokio::test]
async fn an_object_that_somebody_else_manages_keeps_that_label() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("adopted").await;
    let executor = executor(control_plane).await;
    let theirs = kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(
        control_plane.admin_client().await,
        namespace.name(),
    );
    let mut object = config_map("settings", "1");
    object["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "Helm" });
    let params = kube::api::PatchParams::apply("helm");
    theirs.patch("settings", &params, &kube::api::Patch::Apply(object)).await.unwrap();
    let step = step(&graph(namespace.name(), [config_map("settings", "1")]), 0);
    assert_eq!(write(&executor, &step).await.unwrap().1.change, Change::Update);
    let labels = theirs.get("settings").await.unwrap().metadata.labels.unwrap();
    let label = |key: &str| labels.get(key).map(String::as_str);
    assert_eq!(label("app.kubernetes.io/managed-by"), Some("Helm"));
    assert_eq!(label("eve.dev/plan"), Some("shop"));
    assert_eq!(label("eve.dev/component"), Some("component-0"));
}

/// The failure of writing this object.
async fn refused(prefix: &str, object: Value) -> Failure {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace(prefix).await;
    let executor = executor(control_plane).await;
    write(&executor, &step(&graph(namespace.name(), [object]), 0)).await.unwrap_err()
}

#[tokio::test]
async fn an_unknown_field_is_named() {
    let mut object = deployment("web", "ready", 1);
    object["spec"]["replica"] = json!(2);
    object["metadata"]["label"] = json!({});
    let failure = refused("strict", object).await;
    assert_eq!(failure.code, "k8s.apply.strict", "{failure}");
    let place = format!("Deployment {}/web", failure.message.split(['/', ' ']).nth(1).unwrap());
    assert_eq!(
        failure.message,
        format!("{place}: .metadata.label: field not declared in schema, and 1 more")
    );
    let notes =
        [".metadata.label: field not declared in schema", ".spec.replica: field not declared in schema"];
    assert_eq!(failure.notes, notes);
}

#[tokio::test]
async fn an_invalid_value_is_told_but_not_that_of_a_secret() {
    let failure = refused("invalid", deployment("web", "ready", -1)).await;
    assert_eq!(failure.code, "k8s.apply.invalid", "{failure}");
    assert!(failure.message.contains("spec.replicas"), "{failure}");

    let kubernetes_io = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": meta("pull"), "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": "hunter2" },
    });
    let failure = refused("invalid-secret", kubernetes_io).await;
    let all = format!("{failure:?}");
    assert_eq!(failure.code, "k8s.apply.invalid", "{all}");
    assert!(!all.contains("hunter2"), "{all}");
    assert!(all.contains("data[.dockerconfigjson]"), "{all}");

    let not_base64 = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": meta("bad"), "data": { "password": "hunter2!" },
    });
    let failure = refused("invalid-secret", not_base64).await;
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    assert_eq!((failure.code.as_ref(), failure.class), ("k8s.apply.invalid", FailureClass::Permanent));
}

#[tokio::test]
async fn an_immutable_field_is_named() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("immutable").await;
    let executor = executor(control_plane).await;
    let mut changed = deployment("web", "ready", 1);
    changed["spec"]["selector"]["matchLabels"]["tier"] = json!("front");
    changed["spec"]["template"]["metadata"]["labels"]["tier"] = json!("front");
    let graph = graph(namespace.name(), [deployment("web", "ready", 1), changed]);
    write(&executor, &step(&graph, 0)).await.unwrap();
    let failure = write(&executor, &step(&graph, 1)).await.unwrap_err();
    assert_eq!(failure.code, "k8s.apply.immutable", "{failure}");
    assert!(failure.message.contains("spec.selector"), "{failure}");
}

#[tokio::test]
async fn a_missing_namespace_is_said_to_be_missing_and_can_be_made() {
    let control_plane = ControlPlane::shared().await;
    let executor = executor(control_plane).await;
    let step = step(&graph("not-there", [config_map("settings", "1")]), 0);
    let failure = write(&executor, &step).await.unwrap_err();
    assert_eq!(failure.code, "k8s.namespace.missing", "{failure}");
    assert_eq!(failure.hint.as_deref(), Some("make it with `--create-namespace`"));

    let client = client(control_plane).await;
    assert_eq!(client.ensure_namespace("not-there").await.unwrap(), eve_k8s::Ensured::Created);
    assert_eq!(client.ensure_namespace("not-there").await.unwrap(), eve_k8s::Ensured::Existed);
    write(&executor, &step).await.unwrap();
}

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

#[tokio::test]
async fn a_definition_and_its_resources_come_up_in_one_run() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("custom").await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": meta("widgets.shop.example.com"),
        "spec": {
            "group": "shop.example.com", "scope": "Namespaced",
            "names": { "kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object", "properties": { "size": { "type": "integer" } } } },
            } } }],
        },
    });
    let widget = json!({
        "apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": meta("small"), "spec": { "size": 1 },
    });
    let graph = graph(namespace.name(), [definition, widget]);
    let policy = ScopePolicy::default().with_cluster_scoped("CustomResourceDefinition".parse().unwrap());
    let client = client(control_plane).await;
    let kinds = client.discover().await.unwrap();
    assert_eq!(preflight(&graph, &kinds, &policy), []);
    let executor = KubeExecutor::builder(client).with_kinds(kinds).with_policy(policy).build();
    let (cx, told) = Told::context();
    let early = executor.prepare(&step(&graph, 1), &cx).await.unwrap();
    assert_eq!(early.change, Change::Unknown);
    deploy(&executor, &step(&graph, 0)).await.unwrap();
    let (_, applied) = write(&executor, &step(&graph, 1)).await.unwrap();
    assert_eq!(applied.change, Change::Create);
    executor.wait(&step(&graph, 1), &applied, Until::Ready, &cx).await.unwrap();
    assert_eq!(told.texts(), "k8s.resource.no-status: applied, no status reported\n");
}

#[tokio::test]
async fn a_fan_out_costs_one_request_an_object_and_one_list_and_watch_a_kind() {
    const COUNT: u32 = 15;
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("fan").await;
    let executor = Arc::new(executor(control_plane).await);
    let objects = (0..COUNT).map(|index| deployment(&format!("web-{index}"), "ready", 1));
    let graph = graph(namespace.name(), objects);
    let all = graph.ids().map(|id| {
        let (executor, step) = (Arc::clone(&executor), step(&graph, id.get()));
        tokio::spawn(async move { deploy(&executor, &step).await })
    });
    for done in all.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    let entries = control_plane.audit().settle().await.by_user("eve").in_namespace(namespace.name());
    let counts = entries.count_by(|entry| format!("{} {}", entry.verb, entry.resource));
    let count = |key: &str| counts.get(key).copied().unwrap_or_default();
    assert_eq!(count("patch deployments"), COUNT as usize, "{counts:?}");
    for resource in ["deployments", "replicasets", "pods"] {
        for verb in ["list", "watch"] {
            assert_eq!(count(&format!("{verb} {resource}")), 1, "{counts:?}");
        }
    }
    assert_eq!(counts.len(), 7, "{counts:?}");
    assert!(entries.iter().all(|entry| entry.user_agent.starts_with("eve/")), "{entries:?}");
}

#[tokio::test]
async fn the_workloads_own_deadline_is_told_with_the_cause_of_its_pods() {
    let mut object = deployment("web", "image-pull", 1);
    object["spec"]["progressDeadlineSeconds"] = json!(3);
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("deadline").await;
    // The grace of the cause is longer than the deadline of the Deployment.
    let executor = KubeExecutor::builder(client(control_plane).await).build();
    let failure = deploy(&executor, &step(&graph(namespace.name(), [object]), 0)).await.unwrap_err();
    assert_eq!(failure.code, "k8s.deployment.deadline", "{failure}");
    assert!(failure.message.contains("0 of 1 replica is available; container `main` of pod"), "{failure}");
    assert!(failure.message.contains("cannot pull its image"), "{failure}");
}

/// Answers every TLS connection on loopback as an aggregated API server answers when it is asked whether it is there;
/// gives back its port. Ends with the process.
fn responder() -> u16 {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let config = Arc::clone(&config);
            // What one caller does to its connection is nobody else's business.
            std::thread::spawn(move || answer(config, socket?));
        }
    });
    port
}

fn answer(config: Arc<rustls::ServerConfig>, mut socket: std::net::TcpStream) -> std::io::Result<()> {
    let mut session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let body =
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "answered.example.com/v1",
                       "resources": [] })
        .to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

#[tokio::test]
async fn an_api_service_is_ready_once_its_server_answers_and_says_until_then_why_not() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("aggregated").await;
    let name = "v1.answered.example.com";
    let api_service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta(name),
        "spec": {
            "group": "answered.example.com", "version": "v1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 1000, "versionPriority": 10,
            "service": { "namespace": namespace.name(), "name": "answering", "port": responder() },
        },
    });
    // The API server takes no loopback address for an endpoint, but a name that leads there.
    let spec = json!({ "type": "ExternalName", "externalName": "localhost" });
    let service = workload("v1", "Service", "answering", spec);
    let graph = graph(namespace.name(), [api_service, service]);
    let policy = ScopePolicy::default().with_cluster_scoped("APIService".parse().unwrap());
    let executor = KubeExecutor::builder(client(control_plane).await).with_policy(policy).build();

    let (_, applied) = write(&executor, &step(&graph, 0)).await.unwrap();
    let clock = Arc::new(eve_core::testing::TokioClock::starting_at(Timestamp::EPOCH));
    let soon = Context::new(Timestamp::EPOCH.plus(Duration::from_secs(3)), clock, Arc::new(|_| {}));
    let failure = executor.wait(&step(&graph, 0), &applied, Until::Ready, &soon).await.unwrap_err();
    assert_eq!(failure.code, "k8s.wait.deadline");
    for text in [name, "it is not available: ServiceNotFound: ", "answering"] {
        assert!(failure.message.contains(text), "{failure}");
    }
    assert_eq!(
        failure.hint.as_deref(),
        Some("to count it as ready once it is applied: `--until applied=APIService/v1.answered.example.com`")
    );

    deploy(&executor, &step(&graph, 1)).await.unwrap();
    let done = deploy(&executor, &step(&graph, 0)).await.unwrap();
    assert_eq!(done.change, Change::None);

    // An API service whose server is gone would keep the namespaces of other tests from being deleted.
    let resource = kube::api::GroupVersionKind::gvk("apiregistration.k8s.io", "v1", "APIService");
    let resource = kube::api::ApiResource::from_gvk(&resource);
    let api = kube::Api::<kube::api::DynamicObject>::all_with(control_plane.admin_client().await, &resource);
    api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
}
