//! One user's place to work: a namespace, an engine and a token in Vault, canaries in it, and the watch over them.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eve_core::testing::canary::Canary;
use eve_testbed::{ControlPlane, Entries, KvVersion, Mark, TestNamespace, Vault, VaultEntry};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::watch::Watch;

/// Far more than any command takes here: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(3);
/// The most talkative that eve and the libraries below it can be made.
const TALKATIVE: (&str, &str) = ("EVE_LOG", "trace");
/// What a test looks at for values of secrets.
const KINDS: [&str; 5] = ["configmaps", "secrets", "events", "pods", "serviceaccounts"];

/// How a command ended and what it wrote; what it logged is left out of `err`.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ended {
    #[track_caller]
    pub(super) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }
}

pub(super) struct Desk {
    pub(super) control_plane: &'static ControlPlane,
    pub(super) vault: &'static Vault,
    namespace: TestNamespace,
    /// Where its secrets are.
    pub(super) mount: String,
    token: Canary,
    folder: TempDir,
    watch: Watch,
    mark: Mark,
}

/// A canary of this process alone.
pub(super) fn canary() -> Canary {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Canary::new((u64::from(std::process::id()) << 32) | NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Desk {
    /// A desk whose token may read what is below `shop` of its engine, with these values to watch over.
    pub(super) async fn new(prefix: &str, canaries: &[Canary]) -> Self {
        let (control_plane, vault) = (ControlPlane::shared().await, Vault::shared().await);
        let mount = vault.kv(prefix, KvVersion::V2).await;
        let policy = format!("path \"{mount}/data/shop/*\" {{ capabilities = [\"read\"] }}");
        vault.write(&format!("sys/policies/acl/{mount}"), &json!({ "policy": policy })).await.unwrap();
        let made = vault.write("auth/token/create", &json!({ "policies": [mount] })).await.unwrap();
        let token = Canary::of(made.pointer("/auth/client_token").unwrap().as_str().unwrap());
        let watched = canaries.iter().cloned().chain([token.clone()]);
        Self {
            control_plane,
            vault,
            namespace: control_plane.namespace(prefix).await,
            mount,
            token,
            folder: TempDir::new().unwrap(),
            watch: Watch::over(watched),
            mark: control_plane.audit().mark().await,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// Writes a new version of a secret of one key.
    pub(super) async fn put(&self, path: &str, value: &Canary) {
        let data = json!({ "data": { "password": value.value() } });
        self.vault.write(&format!("{}/data/{path}", self.mount), &data).await.unwrap();
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let text = text.replace("NAMESPACE", self.namespace()).replace("MOUNT", &self.mount);
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
        command
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.control_plane.kubeconfig_path())
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("VAULT_ADDR", self.vault.address())
            .env("VAULT_TOKEN", self.token.value())
            .env(TALKATIVE.0, TALKATIVE.1)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(super) async fn eve(&mut self, args: &[&str]) -> Ended {
        self.run(self.command(args)).await
    }

    /// What the command says is looked at, whatever it is.
    pub(super) async fn run(&mut self, mut command: Command) -> Ended {
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        self.said(output.status.code(), &output.stdout, &output.stderr)
    }

    fn said(&mut self, code: Option<i32>, out: &[u8], err: &[u8]) -> Ended {
        self.watch.saw("stdout", out);
        self.watch.saw("stderr and the log", err);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let is_log = |line: &str| {
            [" TRACE ", " DEBUG ", "  INFO ", "  WARN "].iter().any(|level| line.contains(level))
        };
        let err: Vec<String> = text(err).lines().filter(|line| !is_log(line)).map(str::to_owned).collect();
        Ended { code, out: text(out), err: err.join("\n") }
    }

    /// Runs `eve` until a record of this type about this component, and kills it with SIGKILL; the name of its run.
    pub(super) async fn killed_at(&mut self, (kind, component): (&str, &str), args: &[&str]) -> String {
        let mut child = self.command(&[args, &["-o", "json"]].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut err = child.stderr.take().unwrap();
        let logged = tokio::spawn(async move {
            let mut said = Vec::new();
            err.read_to_end(&mut said).await.unwrap();
            said
        });
        let (mut out, mut run) = (String::new(), None);
        loop {
            let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() else {
                panic!("ended before `{kind}` of `{component}`:\n{out}");
            };
            out += &line;
            let record: Value = serde_json::from_str(&line).unwrap();
            run = run.or(record["run"].as_str().map(str::to_owned));
            if record["type"] == kind
                && record["component"].as_str().unwrap_or_default().starts_with(component)
            {
                break;
            }
        }
        child.kill().await.unwrap();
        let err = logged.await.unwrap();
        self.said(None, out.as_bytes(), &err);
        run.unwrap()
    }

    fn path(&self, kind: &str) -> String {
        format!("/api/v1/namespaces/{}/{kind}", self.namespace())
    }

    async fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.control_plane.admin_client().await.request(request).await.unwrap()
    }

    /// The value of a key of a Secret, decoded.
    pub(super) async fn value(&self, name: &str, key: &str) -> String {
        let secret = self.get(&format!("{}/{name}", self.path("secrets"))).await;
        String::from_utf8(STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
    }

    /// Somebody else makes a `ConfigMap`.
    pub(super) async fn make_settings(&self, name: &str) {
        let made = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        let request = http::Request::post(self.path("configmaps")).header("content-type", "application/json");
        let request = request.body(made.to_string().into_bytes()).unwrap();
        self.control_plane.admin_client().await.request::<Value>(request).await.unwrap();
    }

    /// From here on attempts of eve to write are counted anew.
    pub(super) async fn mark(&mut self) {
        self.mark = self.control_plane.audit().mark().await;
    }

    /// What eve tried to write in this namespace since the mark.
    pub(super) async fn writes(&self) -> Entries {
        let all = self.control_plane.audit().settle().await.since(self.mark);
        all.by_user("eve").in_namespace(self.namespace()).writes()
    }

    /// What was asked of Vault for secrets of this desk.
    pub(super) fn asked(&self) -> Vec<VaultEntry> {
        let begin = format!("{}/data/", self.mount);
        let entries = self.vault.audit().into_iter();
        entries.filter(|entry| entry.path.starts_with(&begin) && entry.operation == "read").collect()
    }

    /// Looks through all that came out: what was said and logged, the journals, the objects and events of the cluster, the
    /// requests in its audit log.
    pub(super) async fn assert_clean(mut self) {
        self.watch.folder(&self.folder.path().join("state"));
        for kind in KINDS {
            let listed = self.get(&self.path(kind)).await;
            for object in listed["items"].as_array().unwrap() {
                self.watch.object(kind, object);
            }
        }
        let requests = self.control_plane.audit().settle().await.by_user("eve");
        self.watch.saw("the requests", format!("{:?}", requests.in_namespace(self.namespace.name())));
        let Self { watch, .. } = self;
        watch.assert_clean();
    }
}
