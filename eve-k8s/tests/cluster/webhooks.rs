//! Webhooks that appear in the middle of a run, and stand in the way of a write.

use std::sync::Arc;

use base64::Engine as _;
use eve_core::driver::{Executors, Ports, SystemClock, drive};
use eve_core::ids::RunId;
use eve_core::plan::Action;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::ports::Clock;
use eve_core::run::{Outcome, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_k8s::OBJECT_KIND;
use eve_testbed::{ControlPlane, Entries};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};

use crate::responder::serve;
use crate::{config_map, executor};

const WEBHOOK: &str = "policy.example.com";

/// What became of a run: how it ended, everything that was stored of it, and its writes of the guarded object.
struct Told {
    outcome: Outcome,
    records: String,
    writes: Entries,
}

/// A webhook that is asked before `guarded` objects of this namespace are made.
fn webhook(namespace: &str, client: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": format!("{namespace}.example.com") },
        "webhooks": [{
            "name": WEBHOOK, "clientConfig": client, "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "objectSelector": { "matchLabels": { "guarded": "yes" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"] }],
        }],
    })
}

fn guarded(name: &str) -> Value {
    let mut object = config_map(name, "1");
    object["metadata"]["labels"] = json!({ "guarded": "yes" });
    object
}

/// The steps of a test that are somebody else's.
struct Admin {
    webhooks: Api<DynamicObject>,
    config_maps: Api<DynamicObject>,
    namespace: String,
}

impl Admin {
    async fn of(control_plane: &ControlPlane, namespace: &str) -> Self {
        let client = control_plane.admin_client().await;
        let resource = |group, kind| ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        let webhooks = resource("admissionregistration.k8s.io", "ValidatingWebhookConfiguration");
        Self {
            webhooks: Api::all_with(client.clone(), &webhooks),
            config_maps: Api::namespaced_with(client, namespace, &resource("", "ConfigMap")),
            namespace: namespace.to_owned(),
        }
    }

    /// Installs the webhook and returns once it stands in the way.
    async fn install(&self, client: &Value) {
        let object = serde_json::from_value(webhook(&self.namespace, client)).unwrap();
        self.webhooks.create(&PostParams::default(), &object).await.unwrap();
        let probe: DynamicObject = serde_json::from_value(guarded("probe")).unwrap();
        let params = PostParams { dry_run: true, ..PostParams::default() };
        while self.config_maps.create(&params, &probe).await.is_ok() {}
    }

    async fn remove(&self) {
        let name = format!("{}.example.com", self.namespace);
        self.webhooks.delete(&name, &DeleteParams::default()).await.unwrap();
    }

    /// Makes what the run waits for before it writes the guarded object.
    async fn open_the_gate(&self) {
        let gate = serde_json::from_value(config_map("gate", "1")).unwrap();
        self.config_maps.create(&PostParams::default(), &gate).await.unwrap();
    }
}

/// Writes of the guarded object in this namespace so far.
async fn writes(control_plane: &ControlPlane, namespace: &str) -> Entries {
    let entries = control_plane.audit().settle().await.by_user("eve").in_namespace(namespace).writes();
    entries.filter(|entry| entry.name == "settings")
}

/// Runs a plan whose guarded object waits for a gate, and meanwhile what `meddle` does.
async fn run(prefix: &str, meddle: impl AsyncFnOnce(&Admin, &ControlPlane)) -> Told {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace(prefix).await;
    let component = |name: &str, object: Value| {
        ComponentBuilder::new(name, OBJECT_KIND).spec(json!({ "object": object }))
    };
    let plan = PlanBuilder::new("shop", namespace.name())
        .component(component("gate", config_map("gate", "1")).action(Action::Read))
        .component(component("settings", guarded("settings")).after("gate"));
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new());
    let graph = Arc::new(Graph::from_plan(&plan).unwrap());
    let id = RunId::new("run");
    let mut run = Run::new(graph, RunOptions::default(), id.clone(), clock.now());
    let executors = Executors::new().with(OBJECT_KIND, Arc::new(executor(control_plane).await));
    let secrets = Secrets::default();
    let ports = Ports { executors, store: store.clone(), reporters: Vec::new(), clock, secrets };
    let (_stop, control) = tokio::sync::mpsc::channel(1);
    let admin = Admin::of(control_plane, namespace.name()).await;
    let (outcome, ()) = tokio::join!(drive(&mut run, &ports, control), meddle(&admin, control_plane));
    Told {
        outcome: outcome.unwrap(),
        records: serde_json::to_string(&store.records(&id)).unwrap(),
        writes: writes(control_plane, namespace.name()).await,
    }
}

fn nobody_there() -> Value {
    json!({ "url": "https://127.0.0.1:1/" })
}

/// Says no to everything.
fn deny(review: &str) -> String {
    let review: Value = serde_json::from_str(review).unwrap();
    let status = json!({ "message": "the moon is full" });
    let response = json!({ "uid": review["request"]["uid"], "allowed": false, "status": status });
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
        .to_string()
}

#[tokio::test]
async fn a_webhook_that_denies_ends_the_component_at_its_first_write() {
    let told = run("hook-denies", async |admin, _| {
        let responder = serve(deny);
        let authority = base64::engine::general_purpose::STANDARD.encode(&responder.certificate);
        let url = format!("https://127.0.0.1:{}/", responder.port);
        admin.install(&json!({ "url": url, "caBundle": authority })).await;
        admin.open_the_gate().await;
    })
    .await;
    assert_eq!(told.outcome, Outcome::Failed, "{}", told.records);
    for text in ["k8s.apply.denied", "`policy.example.com` denied it: the moon is full"] {
        assert!(told.records.contains(text), "{text} is not in {}", told.records);
    }
    assert_eq!(told.writes.len(), 1, "{:?}", told.writes);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_reached_is_tried_as_often_as_allowed_and_named() {
    let told = run("hook-away", async |admin, _| {
        admin.install(&nobody_there()).await;
        admin.open_the_gate().await;
    })
    .await;
    assert_eq!(told.outcome, Outcome::Failed, "{}", told.records);
    for text in ["k8s.apply.webhook-unreachable", "the webhook `policy.example.com` cannot be reached"] {
        assert!(told.records.contains(text), "{text} is not in {}", told.records);
    }
    assert_eq!(told.writes.len(), 3, "three attempts, and no more: {:?}", told.writes);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_reached_for_a_while_costs_an_attempt_and_not_the_run() {
    let told = run("hook-back", async |admin, control_plane| {
        admin.install(&nobody_there()).await;
        admin.open_the_gate().await;
        while writes(control_plane, &admin.namespace).await.is_empty() {}
        admin.remove().await;
    })
    .await;
    assert_eq!(told.outcome, Outcome::Succeeded, "{}", told.records);
    assert_eq!(told.writes.granted().len(), 1, "{:?}", told.writes);
    assert!(told.writes.len() <= 3, "{:?}", told.writes);
}
