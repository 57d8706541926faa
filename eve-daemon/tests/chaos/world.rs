//! The servers, the desk that daemons are started at, and who is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eve_core::testing::canary::{Canary, CanaryScan};
use eve_testbed::{ControlPlane, KvVersion, Received, Receiver, Reply, Vault};
use serde_json::{Value, json};

use crate::batch::Sent;
use crate::cloud::Cloud;
use crate::desk::{Daemon, Desk};
use crate::sinks::Sinks;

/// How long all outcomes are waited for, on whatever machine.
const LIMIT: Duration = Duration::from_mins(10);
/// How long a message is held, so that plans come again soon after a kill.
const VISIBILITY: &str = "visibilityTimeout: 6s";
const HOOK_SECRET: &str = "bm90aGluZyBidXQgYSBrZXkgb2YgYSB0ZXN0IQ==";
/// The files that the daemon reads them from.
const SECRET_FILES: [&str; 3] = ["vault-token", "aws-token", "hook-secret"];

pub(crate) struct World {
    pub(crate) control_plane: &'static ControlPlane,
    pub(crate) namespaces: Vec<String>,
    pub(crate) vault: Vault,
    pub(crate) mount: String,
    pub(crate) cloud: Cloud,
    pub(crate) functions: Receiver,
    pub(crate) hook: Arc<Receiver>,
    pub(crate) desk: Desk,
    canaries: Vec<Canary>,
}

/// A notice as somebody got it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) receiver: &'static str,
    /// The identity, as the receiver is shown it.
    pub(crate) key: String,
    pub(crate) notice: Value,
    /// The whole, in which nothing may differ from one time to the next.
    pub(crate) body: Vec<u8>,
}

impl Told {
    pub(crate) fn request(&self) -> &str {
        self.notice["request"].as_str().unwrap_or_default()
    }
}

/// Everybody who is told.
pub(crate) const RECEIVERS: [&str; 3] = ["function", "webhook", "queue"];

impl World {
    pub(crate) async fn new(count: usize) -> Self {
        let control_plane = ControlPlane::shared().await;
        let vault = Vault::start().await.unwrap();
        let cloud = Cloud::new("chaos").await;
        let (functions, hook) = (Receiver::start().await, Arc::new(Receiver::start().await));
        let mount = vault.kv("shop", KvVersion::V2).await;
        let config = config(&cloud, &vault, &functions, &hook, count);
        let desk = Desk::new(&config, &control_plane.kubeconfig_path());
        let (namespaces, canaries) = (Vec::new(), vec![Canary::new(7), Canary::of(HOOK_SECRET)]);
        let mut world =
            Self { control_plane, namespaces, vault, mount, cloud, functions, hook, desk, canaries };
        for _ in 0..count {
            world.namespaces.push(control_plane.namespace("chaos").await.name().to_owned());
        }
        world.receive();
        world.fill().await;
        world
    }

    async fn fill(&mut self) {
        let mount = &self.mount;
        let data = json!({ "data": { "password": self.canaries[0].value() } });
        self.vault.write(&format!("{mount}/data/db"), &data).await.unwrap();
        let policy = format!("path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}");
        self.vault.write("sys/policies/acl/eve", &json!({ "policy": policy })).await.unwrap();
        let token = self.vault.write("auth/token/create", &json!({ "policies": ["eve"] })).await.unwrap();
        let vault_token = token["auth"]["client_token"].as_str().unwrap().to_owned();
        self.desk.give("vault-token", &vault_token);
        let namespace = &self.namespaces[0];
        let token = self.control_plane.account_token(namespace, "eve", "sts.amazonaws.com").await.unwrap();
        self.cloud.admit(&self.desk, &token);
        self.canaries.extend([Canary::of(vault_token), Canary::of(token)]);
        self.desk.give_for(&self.hook, "hook-secret", &format!("whsec_{HOOK_SECRET}"));
    }

    /// Receivers take what they are sent.
    pub(crate) fn receive(&self) {
        self.functions.otherwise(Reply::json(200, &json!({ "result": "success", "messages": [] })));
        self.hook.otherwise(Reply::status(200));
    }

    async fn ask(&self, path: &str) -> Result<Value, kube::Error> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.control_plane.admin_client().await.request(request).await
    }

    pub(crate) async fn object(&self, path: &str) -> Option<Value> {
        match self.ask(path).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub(crate) async fn until_deployed(&self, namespace: &str, name: &str) {
        let begun = Instant::now();
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        // The API server may be away, too.
        while self.ask(&path).await.is_err() {
            assert!(begun.elapsed() < LIMIT, "waited in vain for {path}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until everybody was told of every request, and the queue is empty.
    pub(crate) async fn until_all_is_told(&self, sent: &[Sent]) -> Vec<Told> {
        let begun = Instant::now();
        let mut answers = Vec::new();
        loop {
            answers.extend(self.cloud.take_all(&self.cloud.answers).await);
            let told = self.told(&answers);
            let missing: Vec<String> = RECEIVERS
                .iter()
                .flat_map(|receiver| sent.iter().map(move |sent| (*receiver, sent)))
                .filter(|(receiver, sent)| {
                    !told.iter().any(|told| told.receiver == *receiver && told.request() == sent.request)
                })
                .map(|(receiver, sent)| format!("{receiver} of {} ({:?})", sent.request, sent.fate))
                .collect();
            let left = self.cloud.left(&self.cloud.queue).await;
            if missing.is_empty() && left == 0 {
                return told;
            }
            assert!(begun.elapsed() < LIMIT, "{left} messages are left, and nobody told {missing:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Every notice that somebody got so far.
    fn told(&self, answers: &[Value]) -> Vec<Told> {
        let by = |receiver, key: Option<&str>, notice: Value, body: &[u8]| Told {
            receiver,
            key: key.unwrap_or_default().to_owned(),
            notice,
            body: body.to_vec(),
        };
        let function =
            |call: &Received| by("function", call.header("idempotency-key"), call.json(), &call.body);
        let hook = |call: &Received| {
            by("webhook", call.header("webhook-id"), call.json()["data"].clone(), &call.body)
        };
        let answer = |answer: &Value| {
            let text = answer["Body"].as_str().unwrap();
            let notice = serde_json::from_str::<Value>(text).unwrap()["notice"].clone();
            by("queue", notice["key"].as_str().map(str::to_owned).as_deref(), notice, text.as_bytes())
        };
        let mut all: Vec<Told> = self.functions.received().iter().map(function).collect();
        all.extend(self.hook.received().iter().map(hook));
        all.extend(answers.iter().map(answer));
        all
    }

    /// Ends the daemon that is left, in peace.
    pub(crate) async fn end(&self, mut daemon: Daemon) {
        daemon.terminate();
        assert!(daemon.ended().await.success());
    }

    /// Looks for every secret in all that came out of the daemons.
    pub(crate) async fn scan(&self, told: &[Told]) -> CanaryScan {
        let mut sinks = Sinks::default();
        sinks.files(&self.desk, &SECRET_FILES);
        sinks.calls("call", &self.functions.received());
        sinks.calls("event", &self.hook.received());
        for told in told.iter().filter(|told| told.receiver == "queue") {
            sinks.add(format!("answer to {}", told.request()), told.body.clone());
        }
        for namespace in &self.namespaces {
            sinks.objects(self.control_plane, namespace).await;
        }
        sinks.scan(
            &self.canaries,
            &["log-", "eve-daemon-state/", "body of call", "body of event", "answer to"],
        )
    }

    /// What happened, in a line.
    pub(crate) fn summary(&self, told: &[Told], took: Duration) -> String {
        let logs: Vec<String> = self
            .desk
            .files(".")
            .into_iter()
            .filter(|(name, _)| name.contains("log-"))
            .map(|(_, content)| String::from_utf8_lossy(&content).into_owned())
            .collect();
        let count = |message: &str| -> usize {
            let message = format!("\"message\":\"{message}\"");
            logs.iter().map(|log| log.matches(&message).count()).sum()
        };
        format!(
            "{} daemons, {} runs opened, {} gone on with, {} components interrupted, {} attempts failed, {} notices received, {} s",
            logs.len(),
            count("run opened"),
            count("run goes on after an interruption"),
            count("component was interrupted"),
            count("attempt failed; it is tried again"),
            told.len(),
            took.as_secs()
        )
    }
}

fn config(cloud: &Cloud, vault: &Vault, functions: &Receiver, hook: &Receiver, at_once: usize) -> String {
    format!(
        "{}
vault: {{ address: {}, auth: {{ tokenFile: vault-token }} }}
notify:
  - function: {{ url: '{}' }}
  - webhook: {{ url: '{}', secretFile: hook-secret }}
scheduler: {{ namespacesAtOnce: {at_once} }}
",
        cloud.source().replace("visibilityTimeout: 30s", VISIBILITY),
        vault.address(),
        functions.url("/told"),
        hook.url("/events"),
    )
}
