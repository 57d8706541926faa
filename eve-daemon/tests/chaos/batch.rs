//! What is sent: plans for many namespaces in turn, among them some that can never be run, come twice, or are stopped.

use std::time::Duration;

use eve_core::digest::Digest;
use eve_testbed::{DELAY, STAGE};
use serde_json::{Value, json};

use crate::Size;
use crate::dice::Dice;
use crate::world::World;

/// What is to become of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeded,
    Cancelled,
    Refused,
}

impl Fate {
    /// What is told of it.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

/// A plan that was or will be sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// What it is known by: for a message that does not say so, the identifier of the message.
    pub(crate) request: String,
    pub(crate) namespace: String,
    pub(crate) fate: Fate,
    /// The message.
    pub(crate) text: String,
    pub(crate) plan: Value,
    /// Whether it comes again, and in which group of the queue.
    again_in: Option<String>,
}

/// Everything that is to be sent, in order.
pub(crate) struct Batch(Vec<Sent>);

impl Batch {
    /// Each namespace gets its plans in turn.
    pub(crate) fn new(dice: &mut Dice, size: &Size, world: &World) -> Self {
        let mut all: Vec<Sent> = (0..size.plans)
            .map(|number| {
                let namespace = &world.namespaces[number % size.namespaces];
                let request = format!("r{number}");
                let plan = plan(dice, &request, namespace, &world.mount);
                let text = world.cloud.message(&request, Digest::of(plan.to_string().as_bytes()));
                Sent {
                    request,
                    namespace: namespace.clone(),
                    fate: Fate::Succeeded,
                    text,
                    plan,
                    again_in: None,
                }
            })
            .collect();
        // None of them is among the first of its namespace, which come twice.
        let mut chosen = Vec::new();
        let special = POISONS + size.cancels;
        while chosen.len() < special {
            let number = size.namespaces + dice.below(size.plans - size.namespaces);
            if !chosen.contains(&number) {
                chosen.push(number);
            }
        }
        let (poisons, cancels) = chosen.split_at(POISONS);
        for (kind, number) in poisons.iter().enumerate() {
            poison(kind, &mut all[*number], world);
        }
        for number in cancels {
            never_ready(&mut all[*number], world);
        }
        for sent in all.iter_mut().take(size.duplicates) {
            // The second may overtake the first only where that changes no order: the first is the first of its namespace.
            let group = if dice.once_in(2) { "again/" } else { "" };
            sent.again_in = Some(format!("{group}{}", sent.namespace));
        }
        // Their sender counts them: whatever is delivered again, and when, none of them may be taken for one that comes late.
        for (number, sent) in (0_u64..).zip(&mut all) {
            if let Ok(mut message) = serde_json::from_str::<Value>(&sent.text) {
                message["sequence"] = json!(number);
                sent.text = message.to_string();
            }
        }
        Self(all)
    }

    /// Sends everything within about this time, and returns it.
    pub(crate) async fn send(mut self, world: &World, mut dice: Dice, within: Duration) -> Vec<Sent> {
        let count = u32::try_from(self.0.len()).unwrap();
        let mut stops = Vec::new();
        for sent in &mut self.0 {
            world.cloud.put(&sent.request, &sent.plan.to_string()).await;
            let stop = stop(&sent.request);
            let cancelled = sent.fate == Fate::Cancelled;
            let overtaken = cancelled && stops.is_empty();
            if overtaken {
                world.cloud.send_text(&format!("cancel/{}", sent.namespace), &stop).await;
            }
            let message = world.cloud.send_text(&sent.namespace, &sent.text).await;
            if cancelled {
                stops.push((sent.request.clone(), sent.namespace.clone(), overtaken));
            }
            if let Some(group) = &sent.again_in {
                world.cloud.send_text(group, &format!("{} ", sent.text)).await;
            }
            if !names_request(&sent.text) {
                sent.request = message;
            }
            tokio::time::sleep(within / count * u32::try_from(dice.below(21)).unwrap() / 10).await;
        }
        for (request, namespace, _) in stops.iter().filter(|(_, _, overtaken)| !overtaken) {
            // It waits for what never gets ready, until it is told to stop.
            world.until_deployed(namespace, &format!("db-{request}")).await;
            world.cloud.send_text(&format!("cancel/{namespace}"), &stop(request)).await;
        }
        self.0
    }
}

/// How many ways there are to send what can never be run.
const POISONS: usize = 5;

/// Makes a plan one that can never be run.
fn poison(kind: usize, sent: &mut Sent, world: &World) {
    let text = match kind {
        0 => format!("{} is no message", sent.request),
        1 => sent.text.replace("\"version\":1", "\"version\":9"),
        2 => sent.text.replace("\"east\"", "\"west\""),
        3 => world.cloud.message(&sent.request, Digest::of(b"something else")),
        _ => {
            sent.plan["spec"]["components"][1]["dependsOn"] = json!(["nobody"]);
            world.cloud.message(&sent.request, Digest::of(sent.plan.to_string().as_bytes()))
        }
    };
    assert_ne!(text, sent.text);
    sent.text = text;
    sent.fate = Fate::Refused;
}

/// Whether a message says which request it is: also one of another version does.
fn names_request(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|message| message["requestId"].is_string())
}

/// Makes a plan one that ends only when it is stopped.
fn never_ready(sent: &mut Sent, world: &World) {
    let db = deployment(&sent.request, "db", json!({ STAGE: "never-ready" }));
    sent.plan["spec"]["components"] = json!([
        component("settings", &[], config_map(&format!("settings-{}", sent.request), &sent.request)),
        component("db", &["settings"], db),
        component("done", &["db"], config_map(&format!("done-{}", sent.request), &sent.request)),
    ]);
    sent.text = world.cloud.message(&sent.request, Digest::of(sent.plan.to_string().as_bytes()));
    sent.fate = Fate::Cancelled;
}

/// The identifier of the request to stop a request.
pub(crate) fn stop_id(request: &str) -> String {
    format!("stop-{request}")
}

fn stop(request: &str) -> String {
    json!({
        "version": 1, "requestId": stop_id(request), "cluster": crate::cloud::CLUSTER,
        "stop": { "requestId": request, "mode": "now" },
    })
    .to_string()
}

/// A plan of three to five components. All names but that of `latest` are its own, so that the audit log tells whose they are.
fn plan(dice: &mut Dice, request: &str, namespace: &str, mount: &str) -> Value {
    let named = |name: &str| format!("{name}-{request}");
    let mut components = vec![component("settings", &[], config_map(&named("settings"), request))];
    let mut last = "settings";
    let mut secrets = json!({});
    if dice.once_in(2) {
        secrets = json!({ "password": format!("vault:{mount}/db#password") });
        let login = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": named("login") },
            "stringData": { "password": "${{ secrets.password }}" },
        });
        components.push(component("login", &[last], login));
        last = "login";
    }
    if !dice.once_in(3) {
        let slowly = if dice.once_in(2) { json!({ STAGE: "slow", DELAY: "2500ms" }) } else { json!({}) };
        components.push(component("db", &[last], deployment(request, "db", slowly)));
        last = "db";
    }
    components.push(component("done", &[last], config_map(&named("done"), request)));
    components.push(component("latest", &["done"], config_map("latest", request)));
    json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
        "metadata": { "name": "shop", "namespace": namespace },
        "spec": { "secrets": secrets, "components": components },
    })
}

fn component(name: &str, after: &[&str], object: Value) -> Value {
    json!({ "name": name, "dependsOn": after, "manifests": { "objects": [object] } })
}

fn config_map(name: &str, request: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "request": request },
    })
}

fn deployment(request: &str, name: &str, annotations: Value) -> Value {
    let labels = json!({ "app": format!("{name}-{request}") });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": format!("{name}-{request}") },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": { "containers": [{ "name": "main", "image": "registry.example/app:1" }] },
            },
        },
    })
}
