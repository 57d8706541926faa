//! What is as it should be is not written, nor tried; what somebody changed is put right, or named. Whole runs on a real
//! control plane, counted in its audit log.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]
#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "here whole runs are driven, mostly, and not single phases")]
mod common;
mod jobs;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::graph;
use eve_core::driver::{Executors, Ports, drive};
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::Clock as _;
use eve_core::run::{Change, Outcome, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_core::testing::TokioClock;
use eve_core::time::Timestamp;
use eve_k8s::{KubeConfigOptions, KubeExecutor, OBJECT_KIND, connect, labels};
use eve_testbed::{ControlPlane, Entries, STAGE, TestNamespace};
use http::Request;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How a run ended: the outcome, what was changed, why components failed; by the names of their objects.
#[derive(Debug)]
struct Ended {
    outcome: Outcome,
    changes: BTreeMap<String, Change>,
    failures: BTreeMap<String, String>,
    /// What was taken over from others, and from whom.
    taken: BTreeMap<String, String>,
}

/// A namespace of the shared control plane.
struct Place {
    control_plane: &'static ControlPlane,
    namespace: TestNamespace,
}

impl Place {
    async fn new(prefix: &str) -> Self {
        let control_plane = ControlPlane::shared().await;
        Self { control_plane, namespace: control_plane.namespace(prefix).await }
    }

    fn graph(&self, objects: &[Value]) -> Arc<Graph> {
        graph(self.namespace.name(), objects.to_vec())
    }

    /// A whole run by an executor of its own, as in a process of its own.
    async fn run(&self, graph: Arc<Graph>) -> Ended {
        let options = KubeConfigOptions::default().with_kubeconfig(self.control_plane.kubeconfig_path());
        let executor = KubeExecutor::builder(connect(&options).await.unwrap()).build();
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1)));
        let store = Arc::new(MemoryStore::new());
        let ports = Ports {
            executors: Executors::new().with(OBJECT_KIND, Arc::new(executor)),
            store: Arc::clone(&store) as _,
            reporters: Vec::new(),
            clock: clock.clone(),
            secrets: Secrets::default(),
        };
        let mut run = Run::new(Arc::clone(&graph), RunOptions::default(), RunId::new("r"), clock.now());
        let (_stop, control) = mpsc::channel(1);
        let outcome = drive(&mut run, &ports, control).await.unwrap();
        common::unseen("the journal", store.records(run.id()));
        let view = run.view();
        let name = |id| {
            let object = graph.node(id).spec().get("object").unwrap();
            format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
        };
        let changes = graph.ids().filter_map(|id| Some((name(id), view.change(id)?))).collect();
        let failures = graph.ids().filter_map(|id| Some((name(id), view.failure(id)?.to_string()))).collect();
        let told = |id| Some((name(id), view.outputs(id).get("takenOver")?.as_str()?.to_owned()));
        let taken = graph.ids().filter_map(told).collect();
        Ended { outcome, changes, failures, taken }
    }

    /// A run that succeeds, and the requests of eve in it.
    async fn apply(&self, objects: &[Value]) -> (Ended, Entries) {
        let mark = self.control_plane.audit().mark().await;
        let ended = self.run(self.graph(objects)).await;
        let entries = self.control_plane.audit().settle().await.since(mark);
        assert_eq!(ended.outcome, Outcome::Succeeded, "{ended:?}");
        (ended, entries.by_user("eve").in_namespace(self.namespace.name()))
    }

    fn path(&self, api: &str, plural: &str, name: &str) -> String {
        format!("/{api}/namespaces/{}/{plural}/{name}", self.namespace.name())
    }

    /// Somebody else's request.
    async fn other(&self, method: &str, path: &str, kind: &str, body: &Value) -> Value {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(body.to_string().into_bytes()).unwrap();
        self.control_plane.admin_client().await.request(request).await.unwrap()
    }

    async fn merge(&self, path: &str, change: Value) -> Value {
        let path = format!("{path}?fieldManager=somebody");
        self.other("PATCH", &path, "application/merge-patch+json", &change).await
    }

    async fn get(&self, path: &str) -> Value {
        self.other("GET", path, "application/json", &Value::Null).await
    }
}

fn object(api: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name } });
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object
}

fn template(name: &str, stage: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name }, "annotations": { STAGE: stage } },
        "spec": {
            "securityContext": {},
            "containers": [{
                "name": "main", "image": "registry.example.com/web:1", "args": [], "command": ["/web"],
                "env": [
                    { "name": "PLAIN", "value": "" },
                    { "name": "FROM", "valueFrom": { "secretKeyRef": { "name": "password", "key": "text" } } },
                ],
                "ports": [
                    { "containerPort": 8080 }, { "containerPort": 53, "name": "dns", "protocol": "UDP" },
                    { "containerPort": 53, "name": "dns-tcp" },
                ],
                "readinessProbe": { "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 5 },
                "resources": { "requests": { "cpu": "0.1", "memory": "1024Mi" }, "limits": {} },
                "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp", "readOnly": false }],
            }],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
            "tolerations": [], "imagePullSecrets": [],
        },
    })
}

fn workload(api: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut spec =
        json!({ "selector": { "matchLabels": { "app": name } }, "template": template(name, "ready") });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object(api, kind, name, json!({ "spec": spec }))
}

fn deployment(replicas: i64) -> Value {
    workload("apps/v1", "Deployment", "web", json!({ "replicas": replicas, "strategy": {} }))
}

fn jobs() -> Vec<Value> {
    let mut template = template("job", "complete");
    template["spec"]["restartPolicy"] = json!("Never");
    let schedule = json!({ "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": template } } });
    vec![
        object("batch/v1", "Job", "job", json!({ "spec": { "template": template } })),
        object("batch/v1", "CronJob", "nightly", json!({ "spec": schedule })),
    ]
}

fn config_map(value: &str) -> Value {
    object("v1", "ConfigMap", "settings", json!({ "data": { "key": value, "empty": "" }, "binaryData": {} }))
}

fn secret() -> Value {
    let data = json!({ "type": "Opaque", "stringData": { "text": common::value("text") }, "data": { "bytes": "AAEC\n" } });
    object("v1", "Secret", "password", data)
}

fn claim() -> Value {
    json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } })
}

fn workloads() -> Vec<Value> {
    let stateful = json!({ "serviceName": "db", "replicas": 2, "volumeClaimTemplates": [{
        "metadata": { "name": "data" }, "spec": claim(),
    }] });
    vec![
        deployment(2),
        workload("apps/v1", "StatefulSet", "db", stateful),
        workload("apps/v1", "DaemonSet", "agent", json!({})),
        workload("apps/v1", "ReplicaSet", "set", json!({ "replicas": 1 })),
    ]
}

fn accounts() -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let api = &format!("{group}/v1");
    let rule = json!({ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] });
    let binding = json!({
        "roleRef": { "apiGroup": group, "kind": "Role", "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "name": "robot" }],
    });
    let robot = json!({ "imagePullSecrets": [], "automountServiceAccountToken": false });
    vec![
        object("v1", "ServiceAccount", "robot", robot),
        object(api, "Role", "reader", json!({ "rules": [rule] })),
        object(api, "RoleBinding", "reader", binding),
    ]
}

/// What has a `spec` and no pods.
fn rest() -> Vec<Value> {
    let ports = json!([{ "name": "http", "port": 80, "targetPort": 8080 }, { "port": 53, "protocol": "UDP", "name": "dns" }]);
    let web = json!({ "app": "web" });
    let backend = json!({ "service": { "name": "web", "port": { "name": "http" } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    let rule = json!({ "host": "shop.example.com", "http": { "paths": [path] } });
    let from = json!({ "from": [{ "podSelector": { "matchLabels": web } }], "ports": [{ "port": 80 }] });
    let policy = json!({
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}], "ingress": [from],
    });
    let target = json!({ "type": "Utilization", "averageUtilization": 80 });
    let scaler = json!({
        // Of nobody: a replica count that an autoscaler changes is not eve's any more.
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody" },
        "minReplicas": 1, "maxReplicas": 3,
        "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": target } }],
    });
    let budget = json!({ "minAvailable": 1, "selector": { "matchLabels": web } });
    let headless = json!({ "clusterIP": "None", "selector": { "app": "db" }, "ports": [{ "port": 5432 }] });
    let outside = json!({ "type": "LoadBalancer", "selector": web, "ports": [{ "port": 80 }] });
    let limit = json!({ "type": "Container", "max": { "cpu": "4000m" } });
    let all = [
        ("v1", "Service", "web", json!({ "selector": web, "ports": ports })),
        ("v1", "Service", "db", headless),
        ("v1", "Service", "outside", outside),
        ("networking.k8s.io/v1", "Ingress", "web", json!({ "rules": [rule], "tls": [] })),
        ("networking.k8s.io/v1", "NetworkPolicy", "web", policy),
        ("networking.k8s.io/v1", "NetworkPolicy", "closed", json!({ "podSelector": {}, "ingress": [] })),
        ("policy/v1", "PodDisruptionBudget", "web", budget),
        ("autoscaling/v2", "HorizontalPodAutoscaler", "db", scaler),
        ("v1", "PersistentVolumeClaim", "data", claim()),
        ("v1", "LimitRange", "all", json!({ "limits": [limit] })),
    ];
    all.map(|(api, kind, name, spec)| object(api, kind, name, json!({ "spec": spec }))).into()
}

/// Objects of many kinds, with what servers like to default, drop or rewrite.
fn everything() -> Vec<Value> {
    [workloads(), vec![config_map("1"), secret()], accounts(), rest(), jobs()].concat()
}

fn only(changes: &BTreeMap<String, Change>, change: Change) -> Vec<&str> {
    changes.iter().filter(|(_, is)| **is == change).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn the_second_run_writes_nothing_tries_nothing_and_lists_each_kind_once() {
    let place = Place::new("twice").await;
    let mut objects = everything();
    let (first, entries) = place.apply(&objects).await;
    assert_eq!(only(&first.changes, Change::Create).len(), objects.len(), "{:?}", first.changes);
    assert_eq!((entries.writes().len(), entries.dry_runs().len()), (objects.len(), 0));

    let (second, entries) = place.apply(&objects).await;
    assert_eq!(only(&second.changes, Change::None).len(), objects.len(), "{:?}", second.changes);
    assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");
    let reads = entries.count_by(|entry| format!("{} {}", entry.verb, entry.resource));
    for (read, count) in &reads {
        let expected = match read.split_once(' ') {
            // What is there when the run begins is what is there at its end.
            Some(("list" | "watch", _)) => 1,
            _ => 0,
        };
        assert_eq!(*count, expected, "{read}, of {reads:?}");
    }

    objects[0]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example.com/web:2");
    let (third, entries) = place.apply(&objects).await;
    assert_eq!(only(&third.changes, Change::Update), ["Deployment web"], "{:?}", third.changes);
    let written: Vec<String> = entries.writes().iter().map(|entry| entry.name.clone()).collect();
    assert_eq!((written, entries.dry_runs().len()), (vec!["web".to_owned()], 1), "{entries:?}");
    let lists = entries.verb("list").count_by(|entry| entry.resource.clone());
    assert_eq!((lists["deployments"], lists["secrets"]), (2, 2), "all is looked at again after a write");
}

#[tokio::test]
async fn what_was_written_and_what_was_not_are_looked_at_in_one_list_a_kind() {
    let place = Place::new("mixed").await;
    let named = |mut object: Value, index: usize| {
        object["metadata"]["name"] = format!("n{index}").into();
        object
    };
    let mut objects: Vec<Value> =
        (0..3).flat_map(|index| [named(config_map("1"), index), named(secret(), index)]).collect();
    place.apply(&objects).await;
    objects[0]["data"]["key"] = json!("2");
    objects[1]["data"]["bytes"] = json!("AAEB");
    let (ended, entries) = place.apply(&objects).await;
    assert_eq!(only(&ended.changes, Change::Update), ["ConfigMap n0", "Secret n0"], "{ended:?}");
    let lists = entries.verb("list").count_by(|entry| entry.resource.clone());
    assert_eq!((lists["configmaps"], lists["secrets"]), (2, 2), "{entries:?}");
    assert_eq!(entries.verb("get").len(), 0, "{entries:?}");
}

#[tokio::test]
async fn what_somebody_changed_is_the_only_thing_that_is_put_right() {
    let place = Place::new("drift").await;
    let objects = [config_map("1"), secret(), deployment(1)];
    let forced: Vec<Value> =
        objects.iter().map(|object| json!({ "object": object, "forceConflicts": true })).collect();
    let forced = || common::graph_of(place.namespace.name(), forced.clone());
    place.apply(&objects).await;
    let web = place.path("apis/apps/v1", "deployments", "web");
    let settings = place.path("api/v1", "configmaps", "settings");
    let password = place.path("api/v1", "secrets", "password");
    let changes = [
        ("Deployment web", &web, json!({ "spec": { "replicas": 3 } })),
        ("ConfigMap settings", &settings, json!({ "data": { "key": "theirs" } })),
        ("ConfigMap settings", &settings, json!({ "data": { "key": null } })),
        ("ConfigMap settings", &settings, json!({ "metadata": { "labels": { labels::PLAN: null } } })),
        ("Secret password", &password, json!({ "data": { "text": "aHVudGVyMw==" } })),
    ];
    for (name, path, patch) in changes {
        place.merge(path, patch.clone()).await;
        let mark = place.control_plane.audit().mark().await;
        let ended = place.run(forced()).await;
        let entries = place.control_plane.audit().settle().await.since(mark).by_user("eve");
        let entries = entries.in_namespace(place.namespace.name());
        assert_eq!(only(&ended.changes, Change::Update), [name], "{patch}: {ended:?}");
        assert_eq!((entries.writes().len(), entries.dry_runs().len()), (1, 1), "{patch}: {entries:?}");
        let again = place.run(forced()).await;
        assert_eq!(only(&again.changes, Change::None).len(), objects.len(), "{patch}: {again:?}");
    }
    let settings = place.get(&settings).await;
    assert_eq!(settings["data"]["key"], "1");
    assert!(settings["metadata"]["annotations"][labels::ADOPTED].is_null(), "eve made it: {settings}");
    assert_eq!(place.get(&password).await["data"]["text"], STANDARD.encode(common::value("text")));
}

#[tokio::test]
async fn a_conflict_is_named_by_the_dry_run_and_nothing_is_written() {
    let place = Place::new("conflicts").await;
    let objects = [config_map("1"), deployment(1)];
    place.apply(&objects).await;
    let scale = place.path("apis/apps/v1", "deployments", "web/scale");
    place.merge(&scale, json!({ "spec": { "replicas": 3 } })).await;
    let mark = place.control_plane.audit().mark().await;
    let ended = place.run(place.graph(&objects)).await;
    assert_eq!(ended.outcome, Outcome::Failed, "{ended:?}");
    let failure = &ended.failures["Deployment web"];
    assert!(failure.ends_with("a field belongs to `somebody`, first `.spec.replicas`"), "{failure}");
    let entries = place.control_plane.audit().settle().await.since(mark).by_user("eve");
    let entries = entries.in_namespace(place.namespace.name());
    assert_eq!((entries.writes().len(), entries.dry_runs().len()), (0, 1), "{entries:?}");
}

#[tokio::test]
async fn what_others_add_or_own_too_costs_no_write() {
    let place = Place::new("shared").await;
    let objects = [config_map("1"), deployment(1)];
    place.apply(&objects).await;
    let settings = place.path("api/v1", "configmaps", "settings");
    place
        .merge(&settings, json!({ "data": { "more": "x" }, "metadata": { "labels": { "team": "a" } } }))
        .await;
    // Another applier with the same value owns it too.
    let mut same = config_map("1");
    same.as_object_mut().unwrap().remove("binaryData");
    let path = format!("{settings}?fieldManager=other-applier");
    place.other("PATCH", &path, "application/apply-patch+yaml", &same).await;
    let (ended, entries) = place.apply(&objects).await;
    assert_eq!(only(&ended.changes, Change::None).len(), objects.len(), "{ended:?}");
    assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");
}

#[tokio::test]
async fn a_field_that_leaves_the_input_leaves_the_object() {
    let place = Place::new("less").await;
    let less = object("v1", "ConfigMap", "settings", json!({ "data": { "key": "1" } }));
    place.apply(&[config_map("1")]).await;
    let (ended, _) = place.apply(&[less]).await;
    assert_eq!(only(&ended.changes, Change::Update), ["ConfigMap settings"]);
    let settings = place.get(&place.path("api/v1", "configmaps", "settings")).await;
    assert_eq!(settings["data"], json!({ "key": "1" }));
}

#[tokio::test]
async fn secrets_carry_no_digest_and_everything_else_does() {
    let place = Place::new("digest").await;
    place.apply(&[config_map("1"), secret()]).await;
    let digest =
        async |path: String| place.get(&path).await["metadata"]["annotations"][labels::DESIRED].clone();
    let settings = digest(place.path("api/v1", "configmaps", "settings")).await;
    assert_eq!(settings.as_str().map(str::len), Some("1-".len() + 32), "{settings}");
    assert_eq!(digest(place.path("api/v1", "secrets", "password")).await, Value::Null);
}

#[tokio::test]
async fn what_was_there_before_is_marked_as_adopted_and_stays_marked() {
    let place = Place::new("adopted").await;
    let settings = place.path("api/v1", "configmaps", "settings");
    let collection = settings.trim_end_matches("/settings").to_owned();
    let theirs = object("v1", "ConfigMap", "settings", json!({ "data": { "key": "1" } }));
    place.other("POST", &collection, "application/json", &theirs).await;
    let mark = async || place.get(&settings).await["metadata"]["annotations"][labels::ADOPTED].clone();
    for (key, change) in
        [("1", Change::Update), ("1", Change::None), ("2", Change::Update), ("2", Change::None)]
    {
        // The key belongs to who made the object.
        let spec = json!({ "object": config_map(key), "forceConflicts": true });
        let ended = place.run(common::graph_of(place.namespace.name(), [spec])).await;
        assert_eq!(ended.changes.values().collect::<Vec<_>>(), [&change], "{ended:?}");
        assert_eq!(mark().await, json!("true"));
    }
}

#[tokio::test]
async fn one_object_of_a_kind_is_listed_by_its_plan_and_for_the_fresh_look_by_its_name() {
    let place = Place::new("single").await;
    let (_, entries) = place.apply(&[secret()]).await;
    let lists: Vec<String> = entries.verb("list").iter().map(|entry| entry.uri.clone()).collect();
    let selectors = ["labelSelector=eve.dev%2Fplan%3D", "fieldSelector=metadata.name%3Dpassword"];
    assert_eq!(lists.len(), selectors.len(), "{lists:?}");
    for (list, selector) in lists.iter().zip(selectors) {
        assert!(list.contains(selector), "{lists:?}");
    }
    assert_eq!(entries.verb("get").len(), 1, "without the label it may be there all the same: {entries:?}");
}
