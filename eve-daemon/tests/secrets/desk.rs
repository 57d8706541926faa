//! A Vault with a role of its own, and a keeper of secrets that logs in with it.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eve_core::kind::Kinds;
use eve_core::plan::load::{LoadOptions, Loaded, Source, load};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_daemon::config::VaultConfig;
use eve_daemon::health::Health;
use eve_daemon::journal::Journal;
use eve_daemon::metrics::Metrics;
use eve_daemon::secrets::{Keeper, check_place};
use eve_k8s::kinds::Manifests;
use eve_queue::FunctionKind;
use eve_testbed::{KvVersion, Vault};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET_ID: &str = "secret-id";

/// Only to end a test that would hang.
const LIMIT: Duration = Duration::from_mins(1);

/// A Vault, a mount in it, and who may read there.
pub(crate) struct Desk {
    pub(crate) vault: Vault,
    pub(crate) mount: String,
    pub(crate) config: VaultConfig,
    folder: TempDir,
    /// What it logs in with.
    credential: Canary,
}

/// How many values there are for [`canary`].
const CANARIES: u64 = 9;

/// The value of this number, from 1 on.
pub(crate) fn canary(number: u64) -> Canary {
    assert!((1..=CANARIES).contains(&number));
    Canary::plain(number)
}

impl Desk {
    pub(crate) async fn new() -> Self {
        eve_k8s::init();
        let vault = Vault::start().await.unwrap();
        let mount = vault.kv("shop", KvVersion::V2).await;
        let policy = format!("path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}");
        vault.write("sys/policies/acl/eve", &json!({ "policy": policy })).await.unwrap();
        vault.write("sys/auth/approle", &json!({ "type": "approle" })).await.unwrap();
        vault.write("auth/approle/role/eve", &json!({ "token_policies": ["eve"] })).await.unwrap();
        let text = |answer: &Value, at: &str| answer.pointer(at).unwrap().as_str().unwrap().to_owned();
        let role = vault.read("auth/approle/role/eve/role-id").await.unwrap();
        let secret = vault.write("auth/approle/role/eve/secret-id", &json!({})).await.unwrap();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(SECRET_ID);
        let credential = Canary::of(text(&secret, "/data/secret_id"));
        std::fs::write(&file, credential.value()).unwrap();
        let config = json!({
            "address": vault.address(),
            "auth": { "appRole": { "roleId": text(&role, "/data/role_id"), "secretIdFile": file } },
        });
        Self { vault, mount, config: serde_json::from_value(config).unwrap(), folder, credential }
    }

    /// Looks for the credential, and for what the tests put into Vault, in what came of it and in what is kept.
    pub(crate) fn unseen(&self, came: impl Debug) {
        let mut scan = CanaryScan::new((1..=CANARIES).map(canary).chain([self.credential.clone()]));
        scan.sink("what came of it", format!("{came:?}"));
        for file in std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path()) {
            if file.is_file() && file != self.secret_id() {
                scan.sink(file.display().to_string(), std::fs::read(&file).unwrap());
            }
        }
        scan.assert_clean();
    }

    /// The file with the credential of whoever reads.
    pub(crate) fn secret_id(&self) -> PathBuf {
        self.folder.path().join(SECRET_ID)
    }

    pub(crate) fn keeper(&self) -> Keeper {
        let journal = Journal::open(self.folder.path(), Arc::<Health>::default(), Arc::<Metrics>::default());
        Keeper::new(Some(&self.config), journal.unwrap().key().unwrap()).unwrap()
    }

    /// Writes a secret with the one key `k`.
    pub(crate) async fn put(&self, path: &str, data: Value) {
        self.vault.write(&format!("{}/data/{path}", self.mount), &json!({ "data": data })).await.unwrap();
    }

    /// Takes a path out of service for whoever asks more than once: a quota of Vault, which answers 429.
    pub(crate) async fn throttle(&self, path: &str) {
        let path = format!("{}/data/{path}", self.mount);
        let quota = json!({ "path": path, "rate": 1, "interval": "1h" });
        self.vault.write("sys/quotas/rate-limit/few", &quota).await.unwrap();
        self.vault.read(&path).await.unwrap();
        self.vault.read(&path).await.unwrap_err();
    }

    pub(crate) async fn throttle_no_more(&self) {
        self.vault.ask(http::Method::DELETE, "sys/quotas/rate-limit/few", None).await.unwrap();
    }

    /// How often somebody else than its owner has done this at Vault, and was not refused.
    pub(crate) fn count(&self, operation: &str, path: &str) -> usize {
        let entries = self.vault.audit();
        let is_it = |entry: &&eve_testbed::VaultEntry| {
            entry.operation == operation
                && entry.path == path
                && entry.who != "root"
                && entry.error.is_empty()
        };
        entries.iter().filter(is_it).count()
    }

    pub(crate) fn logins(&self) -> usize {
        self.count("update", "auth/approle/login")
    }

    pub(crate) fn reads(&self, path: &str) -> usize {
        self.count("read", &format!("{}/data/{path}", self.mount))
    }

    /// Waits until this many tokens were given back.
    pub(crate) async fn until_given_back(&self, count: usize) {
        let begun = Instant::now();
        while self.count("update", "auth/token/revoke-self") < count {
            assert!(begun.elapsed() < LIMIT, "no token is given back: {:#?}", self.vault.audit());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A plan that names the keys `k` of these paths.
    pub(crate) fn plan(&self, paths: &[&str]) -> Loaded {
        let secrets = paths
            .iter()
            .map(|path| (path.replace('/', "-"), json!(format!("vault:{}/{path}#k", self.mount))));
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
        plan_of(&json!({
            "secrets": secrets.collect::<serde_json::Map<_, _>>(),
            "components": [{ "name": "a", "manifests": { "objects": [object] } }],
        }))
    }
}

/// A plan of this spec.
pub(crate) fn plan_of(spec: &Value) -> Loaded {
    let plan = json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
        "metadata": { "name": "shop", "namespace": "shop" }, "spec": spec,
    });
    let kinds = Kinds::new().with_manifests(Manifests::default()).with(FunctionKind);
    let options = LoadOptions::new(&kinds).with_secret_places(&check_place);
    load(vec![Source::new("plan", plan.to_string())], &options).unwrap()
}
