//! The main job: a plan from S3 through SQS, secrets from Vault, into the cluster, a function told; and a plan that fails.

use std::sync::Arc;
use std::time::Duration;

use eve_core::testing::canary::{Canary, Form};
use eve_testbed::{ControlPlane, DELAY, KvVersion, Received, Receiver, Reply, STAGE, Vault};
use serde_json::{Value, json};

use crate::cloud::{CLUSTER, Cloud};
use crate::desk::{Daemon, Desk};
use crate::sinks::Sinks;

/// Everything around a daemon.
struct World {
    control_plane: &'static ControlPlane,
    namespace: String,
    vault: Vault,
    mount: String,
    cloud: Cloud,
    /// Functions: `/told` is told outcomes, `/announce` is a step.
    functions: Receiver,
    /// A webhook.
    hook: Arc<Receiver>,
    desk: Desk,
    canaries: Vec<Canary>,
}

/// The secret that the plan gives to its function.
fn api_first() -> Canary {
    Canary::new(102)
}

impl World {
    async fn new() -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace("main-job").await.name().to_owned();
        let vault = Vault::start().await.unwrap();
        let cloud = Cloud::new("main-job").await;
        let (functions, hook) = (Receiver::start().await, Arc::new(Receiver::start().await));
        functions.otherwise(Reply::json(200, &json!({ "result": "success", "messages": ["heard"] })));
        // The step is called first, and repeats the secret that it is given.
        let repeated = Form::ALL.map(|form| format!("got {}", api_first().leaked(form)));
        functions.then(Reply::json(200, &json!({ "result": "success", "messages": repeated })));
        let mount = vault.kv("shop", KvVersion::V2).await;
        let config = config(&cloud, &vault, &functions, &hook);
        let desk = Desk::new(&config, &control_plane.kubeconfig_path());
        let mut world = Self {
            control_plane,
            namespace,
            vault,
            mount,
            cloud,
            functions,
            hook,
            desk,
            canaries: Vec::new(),
        };
        world.fill_vault().await;
        world.write_files().await;
        world
    }

    /// Six secrets at three paths.
    async fn fill_vault(&mut self) {
        let canaries: Vec<Canary> = (0..6).map(|seed| Canary::new(100 + seed)).collect();
        for (path, first) in [("db", 0), ("api", 2), ("tls", 4)] {
            let data = json!({ "first": canaries[first].value(), "second": canaries[first + 1].value() });
            let path = format!("{}/data/{path}", self.mount);
            self.vault.write(&path, &json!({ "data": data })).await.unwrap();
        }
        self.canaries.extend(canaries);
        self.vault.enable_kubernetes_auth(self.control_plane).await.unwrap();
        let policy = format!("path \"{}/data/*\" {{ capabilities = [\"read\"] }}", self.mount);
        self.vault.write("sys/policies/acl/eve", &json!({ "policy": policy })).await.unwrap();
        let role = json!({
            "bound_service_account_names": ["eve"],
            "bound_service_account_namespaces": [self.namespace],
            "audience": "vault",
            "token_policies": ["eve"],
        });
        self.vault.write("auth/kubernetes/role/eve", &role).await.unwrap();
    }

    /// The tokens and keys that the daemon reads, each of them a canary.
    async fn write_files(&mut self) {
        let token = async |audience| {
            self.control_plane.account_token(&self.namespace, "eve", audience).await.unwrap()
        };
        let (vault, aws) = (token("vault").await, token("sts.amazonaws.com").await);
        self.desk.give("vault-token", &vault);
        self.cloud.admit(&self.desk, &aws);
        let key = Canary::plain(200);
        self.desk.give("function-key", key.value());
        let secret = "bm90aGluZyBidXQgYSBrZXkgb2YgYSB0ZXN0IQ==";
        self.desk.give_for(&self.hook, "hook-secret", &format!("whsec_{secret}"));
        self.canaries.extend([Canary::of(vault), Canary::of(aws), key, Canary::of(secret)]);
    }

    async fn object(&self, path: &str) -> Option<Value> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        match self.control_plane.admin_client().await.request(request).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn deployment(&self, name: &str) -> Option<Value> {
        self.object(&format!("/apis/apps/v1/namespaces/{}/deployments/{name}", self.namespace)).await
    }

    /// What the function was told, and which steps were called.
    fn calls(&self, path: &str) -> Vec<Received> {
        let key = self.canaries[8].value();
        let target = format!("{path}?code={key}");
        self.functions.received().into_iter().filter(|call| call.target == target).collect()
    }

    /// Waits until nothing of the queue is left.
    async fn until_queue_is_empty(&self) {
        while self.cloud.left(&self.cloud.queue).await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn count(&self, operation: &str, path: &str) -> usize {
        let is_it = |entry: &&eve_testbed::VaultEntry| {
            entry.operation == operation && entry.path.starts_with(path) && entry.who != "root"
        };
        self.vault.audit().iter().filter(is_it).count()
    }

    /// Everything that came out of the daemon but what the plan names, while it runs.
    async fn sinks(&self, daemon: &Daemon) -> Sinks {
        let mut sinks = Sinks::default();
        sinks.served(&daemon.address().await).await;
        sinks.objects(self.control_plane, &self.namespace).await;
        sinks.calls("event", &self.hook.received());
        let (mut told, mut steps): (Vec<_>, Vec<_>) =
            self.functions.received().into_iter().partition(|call| call.target.starts_with("/told"));
        for call in told.iter_mut().chain(&mut steps) {
            // The key of a function is a part of its address.
            call.target.truncate(call.target.find('?').unwrap_or(call.target.len()));
        }
        for step in &mut steps {
            // One secret is for the function, and for nobody else.
            let mut body = step.json();
            assert_eq!(body["token"], self.canaries[2].value());
            body.as_object_mut().unwrap().remove("token");
            step.body = body.to_string().into_bytes();
        }
        sinks.calls("notice", &told);
        sinks.calls("step", &steps);
        sinks
    }
}

/// The files in which the daemon is given secrets.
const GIVEN: [&str; 4] = ["vault-token", "aws-token", "function-key", "hook-secret"];
/// Where something must have come out.
const PLACES: [&str; 19] = [
    "log-0",
    "said-0",
    "eve-daemon-state/",
    "answer 1",
    "head of event 1",
    "body of event 1",
    "head of notice 1",
    "body of notice 1",
    "head of step 0",
    "body of step 0",
    "/livez",
    "/readyz",
    "/metrics",
    "/undelivered",
    "configmaps/settings",
    "secrets/db-login",
    "deployments/web",
    "pods/",
    "events/",
];

fn config(cloud: &Cloud, vault: &Vault, functions: &Receiver, hook: &Receiver) -> String {
    format!(
        "{}
vault:
  address: {}
  caFile: {}
  auth: {{ kubernetes: {{ role: eve, tokenFile: vault-token }} }}
functions:
  - {{ url: '{}', keyFile: function-key }}
notify:
  - function: {{ url: '{}', keyFile: function-key }}
  - webhook: {{ url: '{}', secretFile: hook-secret }}
",
        cloud.source(),
        vault.tls_address(),
        vault.ca_path().display(),
        functions.url("/announce"),
        functions.url("/told"),
        hook.url("/events"),
    )
}

fn deployment(name: &str, annotations: Value) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": { "containers": [{ "name": "main", "image": "registry.example/app:1" }] },
            },
        },
    })
}

fn secret(name: &str, first: &str, second: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
        "stringData": { "first": format!("${{{{ secrets.{first} }}}}"), "second": format!("${{{{ secrets.{second} }}}}") },
    })
}

fn component(name: &str, after: &[&str], object: Value) -> Value {
    json!({ "name": name, "dependsOn": after, "manifests": { "objects": [object] } })
}

/// Eight components, six secrets at three paths, one function.
fn shop(world: &World, web: Value) -> String {
    let references = ["db", "api", "tls"].iter().flat_map(|path| {
        ["first", "second"]
            .map(|key| (format!("{path}{key}"), json!(format!("vault:{}/{path}#{key}", world.mount))))
    });
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "mode": "fast" },
    });
    let announce = json!({
        "name": "announce", "dependsOn": ["web"],
        "function": {
            "url": world.functions.url("/announce"),
            "payload": { "release": "1.4.2", "token": "${{ secrets.apifirst }}" },
        },
    });
    json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
        "metadata": { "name": "shop", "namespace": world.namespace },
        "spec": {
            "cluster": CLUSTER,
            "onFailure": "rollback",
            "secrets": references.collect::<serde_json::Map<_, _>>(),
            "components": [
                component("db-login", &[], secret("db-login", "dbfirst", "dbsecond")),
                component("api-keys", &[], secret("api-keys", "apifirst", "apisecond")),
                component("certificate", &[], secret("certificate", "tlsfirst", "tlssecond")),
                component("settings", &[], settings),
                component("db", &["db-login"], deployment("db", json!({}))),
                component("api", &["db", "api-keys", "settings"], deployment("api", json!({ STAGE: "slow", DELAY: "1s" }))),
                component("web", &["api", "certificate"], deployment("web", web)),
                announce,
            ],
        },
    })
    .to_string()
}

async fn base64_of(world: &World, name: &str, key: &str) -> Value {
    let path = format!("/api/v1/namespaces/{}/secrets/{name}", world.namespace);
    world.object(&path).await.unwrap()["data"][key].clone()
}

#[tokio::test]
async fn a_plan_comes_by_queue_and_bucket_gets_its_secrets_is_deployed_and_told_and_a_failing_one_is_undone()
{
    let world = World::new().await;
    let mut daemon = world.desk.start();
    world.cloud.send("r-1", &world.namespace, &shop(&world, json!({}))).await;
    daemon.says("request answered", json!({ "request": "r-1", "outcome": "succeeded" })).await;
    world.until_queue_is_empty().await;
    first_plan_did_what_it_should(&world, &daemon).await;

    let second = shop(&world, json!({ STAGE: "crash-loop" }))
        .replace("registry.example/app:1", "registry.example/app:2");
    let second = second.replace("\"fast\"", "\"slow\"");
    world.cloud.send("r-2", &world.namespace, &second).await;
    daemon.says("request answered", json!({ "request": "r-2", "outcome": "rolled_back" })).await;
    world.until_queue_is_empty().await;
    second_plan_was_undone_and_told(&world, &daemon).await;

    let mut sinks = world.sinks(&daemon).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let answers: Vec<Value> = world.cloud.take_all(&world.cloud.answers).await;
    let told: Vec<Value> = answers
        .iter()
        .map(|answer| {
            serde_json::from_str::<Value>(answer["Body"].as_str().unwrap()).unwrap()["notice"].clone()
        })
        .collect();
    let endings: Vec<&Value> = told.iter().map(|notice| &notice["ending"]).collect();
    assert_eq!(endings, ["succeeded", "rolled_back"], "{told:?}");
    assert_eq!(world.cloud.left(&world.cloud.dead).await, 0);
    sinks.files(&world.desk, &GIVEN);
    sinks.messages("answer", &answers);
    sinks.scan(&world.canaries, &PLACES).assert_clean();
}

async fn first_plan_did_what_it_should(world: &World, daemon: &Daemon) {
    for name in ["db", "api", "web"] {
        let deployment = world.deployment(name).await.unwrap();
        assert_eq!(deployment["status"]["availableReplicas"], 1, "{name}");
    }
    assert!(base64_of(world, "db-login", "first").await.is_string());
    let steps = world.calls("/announce");
    assert_eq!(steps.len(), 1, "{steps:?}");
    let payload = json!({ "release": "1.4.2", "token": world.canaries[2].value() });
    assert_eq!(steps[0].json(), payload);

    daemon.says("outcome told", json!({ "request": "r-1", "receiver": world.functions.url("/told") })).await;
    daemon.says("outcome told", json!({ "request": "r-1", "receiver": world.hook.url("/events") })).await;
    let told = world.calls("/told");
    assert_eq!(told.len(), 1, "{told:?}");
    let notice = told[0].json();
    let run = daemon.says("run opened", json!({ "request": "r-1" })).await["run"].clone();
    assert_eq!((&notice["ending"], &notice["request"]), (&json!("succeeded"), &json!("r-1")), "{notice}");
    assert_eq!((&notice["run"], &notice["plan"]), (&run, &json!("shop")));
    let said = notice["components"][0]["messages"].as_array().unwrap();
    // Base64 may be filled up behind the secret.
    let masked = said.iter().filter(|said| said.as_str().unwrap().trim_end_matches('=') == "got ***");
    assert_eq!(masked.count(), Form::ALL.len(), "{notice}");
    assert_eq!(notice["namespace"], *world.namespace);
    assert_eq!(told[0].header("idempotency-key"), notice["key"].as_str());
    let events = world.hook.received();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].header("webhook-id"), notice["key"].as_str());
    assert!(events[0].header("webhook-signature").is_some());

    assert_eq!(world.count("update", "auth/kubernetes/login"), 1, "{:#?}", world.vault.audit());
    assert_eq!(world.count("read", &format!("{}/data/", world.mount)), 3, "{:#?}", world.vault.audit());
}

/// What was kept to undo a run may hold values of Secrets, and goes with the run.
async fn nothing_is_kept_to_undo(world: &World) {
    let path = format!("/api/v1/namespaces/{}/secrets?labelSelector=eve.dev%2Frun", world.namespace);
    let gone = async {
        while world.object(&path).await.unwrap()["items"] != json!([]) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(3), gone).await.unwrap();
}

async fn second_plan_was_undone_and_told(world: &World, daemon: &Daemon) {
    for name in ["db", "api", "web"] {
        let image =
            world.deployment(name).await.unwrap()["spec"]["template"]["spec"]["containers"][0]["image"]
                .clone();
        assert_eq!(image, "registry.example/app:1", "{name}");
    }
    let settings = world.object(&format!("/api/v1/namespaces/{}/configmaps/settings", world.namespace)).await;
    assert_eq!(settings.unwrap()["data"]["mode"], "fast");
    assert_eq!(world.calls("/announce").len(), 1, "its turn did not come");
    nothing_is_kept_to_undo(world).await;
    daemon.says("outcome told", json!({ "request": "r-2", "receiver": world.functions.url("/told") })).await;
    daemon.says("outcome told", json!({ "request": "r-2", "receiver": world.hook.url("/events") })).await;
    let told = world.calls("/told");
    assert_eq!(told.len(), 2, "{told:?}");
    let notice = told[1].json();
    assert_eq!((&notice["ending"], &notice["request"]), (&json!("rolled_back"), &json!("r-2")), "{notice}");
    assert!(notice["failure"]["message"].as_str().unwrap().contains("restarted"), "{notice}");
    assert_eq!(notice["components"][0]["name"], "web/deployment/web", "{notice}");
    assert_eq!(world.count("update", "auth/kubernetes/login"), 2);
}
