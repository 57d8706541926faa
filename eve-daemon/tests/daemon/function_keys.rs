//! Keys of functions out of Vault, from the configuration to the call: for a step of a plan and for whoever is told.

use std::fs;

use eve_core::testing::canary::Canary;
use eve_testbed::{ControlPlane, KvVersion, Received, Receiver, Reply, Vault};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::sinks::Sinks;

struct World {
    control_plane: &'static ControlPlane,
    namespace: String,
    vault: Vault,
    mount: String,
    functions: Receiver,
    desk: Desk,
    /// The keys of the step and of whoever is told, the token for Vault.
    canaries: Vec<Canary>,
}

impl World {
    async fn new() -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace("keys").await.name().to_owned();
        let (vault, functions) = (Vault::start().await.unwrap(), Receiver::start().await);
        functions.otherwise(Reply::json(200, &json!({ "result": "success", "messages": ["done"] })));
        let mount = vault.kv("fn", KvVersion::V2).await;
        let policy = format!("path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}");
        vault.write("sys/policies/acl/eve", &json!({ "policy": policy })).await.unwrap();
        let made = vault.write("auth/token/create", &json!({ "policies": ["eve"] })).await.unwrap();
        let token = made.pointer("/auth/client_token").unwrap().as_str().unwrap().to_owned();
        let config = format!(
            "source: {{ directory: {{ path: plans }} }}
vault: {{ address: '{}', auth: {{ tokenFile: vault-token }} }}
functions: [{{ url: '{}', key: 'vault:{mount}/fn_codes' }}]
notify: [{{ function: {{ url: '{}', key: 'vault:{mount}/fn_codes#told' }} }}]
",
            vault.address(),
            functions.url("/steps"),
            functions.url("/told"),
        );
        let desk = Desk::new(&config, &control_plane.kubeconfig_path());
        fs::write(desk.path("vault-token"), &token).unwrap();
        let canaries = vec![Canary::plain(301), Canary::plain(302), Canary::of(token)];
        let world = Self { control_plane, namespace, vault, mount, functions, desk, canaries };
        world.put_codes(&world.canaries[0]).await;
        world
    }

    /// Writes both keys, with this one for the step.
    async fn put_codes(&self, step: &Canary) {
        let codes =
            json!({ &*self.functions.url("/steps/a"): step.value(), "told": self.canaries[1].value() });
        self.vault.write(&format!("{}/data/fn_codes", self.mount), &json!({ "data": codes })).await.unwrap();
    }

    /// A plan of an object, and of a step that calls the function at this path after it.
    fn plan(&self, name: &str, path: &str) -> String {
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        let step = json!({ "url": self.functions.url(path), "payload": {} });
        json!({
            "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": { "components": [
                { "name": "object", "manifests": { "objects": [object] } },
                { "name": "step", "dependsOn": ["object"], "function": step },
            ] },
        })
        .to_string()
    }

    /// With what keys the function at this path was called, in order.
    fn codes(&self, path: &str) -> Vec<String> {
        let calls = self.functions.received();
        let of = |call: &Received| call.target.strip_prefix(&format!("{path}?code=")).map(str::to_owned);
        calls.iter().filter_map(of).collect()
    }
}

#[tokio::test]
async fn a_step_and_whoever_is_told_are_called_with_keys_of_vault_which_come_out_nowhere_else() {
    let world = World::new().await;
    let mut daemon = world.desk.start();
    world.desk.send("good.yaml", &world.plan("good", "/steps/a"));
    let outcome = world.desk.outcome("good.yaml").await;
    assert_eq!(outcome["ending"], "succeeded", "{outcome}");
    let told = daemon.says("outcome told", json!({ "receiver": world.functions.url("/told") })).await;
    assert_eq!(told["request"], outcome["request"]);
    let [first, told] = [0, 1].map(|number: usize| world.canaries[number].value().to_owned());
    assert_eq!((world.codes("/steps/a"), world.codes("/told")), (vec![first], vec![told]));

    world.desk.send("bad.yaml", &world.plan("bad", "/steps/b"));
    let outcome = world.desk.outcome("bad.yaml").await;
    assert_eq!(
        (&outcome["ending"], &outcome["failure"]["code"]),
        (&json!("failed"), &json!("vault.absent-key"))
    );
    let message = outcome["failure"]["message"].as_str().unwrap();
    let url = world.functions.url("/steps/b");
    assert!(
        message.starts_with("1:") && message.contains(&format!("the key of function {url}: the secret at")),
        "{message}"
    );
    let path = format!("/api/v1/namespaces/{}/configmaps/bad", world.namespace);
    let client = world.control_plane.admin_client().await;
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    assert!(client.request::<Value>(request).await.is_err(), "it is told before anything is written");
    assert_eq!(world.codes("/steps/b"), [""; 0]);

    let mut sinks = Sinks::default();
    sinks.served(&daemon.address().await).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    sinks.files(&world.desk, &["vault-token"]);
    let mut calls = world.functions.received();
    for call in &mut calls {
        // The key of a function is a part of its address.
        call.target.truncate(call.target.find('?').unwrap_or(call.target.len()));
    }
    sinks.calls("call", &calls);
    let places = ["log-0", "eve-daemon-state/", "plans/done/", "body of call 1", "/metrics"];
    sinks.scan(&world.canaries, &places).assert_clean();
}
