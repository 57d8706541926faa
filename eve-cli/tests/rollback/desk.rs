//! One user's place to work, in a namespace of its own: what was installed before, and the release that fails.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use eve_core::testing::canary::CanaryScan;
use eve_testbed::{ControlPlane, Entries, TestNamespace, audit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{State, before, canary, comparable};

/// Far more than any command takes here: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(3);

pub(super) struct Desk<'a> {
    pub(super) control_plane: &'a ControlPlane,
    namespace: TestNamespace,
    folder: TempDir,
    /// As it was before the release.
    pub(super) was: State,
}

/// How a command ended and what it wrote.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ended {
    /// The same, after values of Secrets were looked for in what was said.
    fn without_secrets(self) -> Self {
        let mut scan = CanaryScan::new([canary()]);
        scan.sink("stdout", &self.out);
        scan.sink("stderr", &self.err);
        scan.assert_clean();
        self
    }

    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The last line of stdout.
    pub(super) fn summary(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_else(|| panic!("nothing was said: {}", self.err));
        serde_json::from_str(last).unwrap()
    }
}

/// `eve` while it runs, with JSON lines on stdout.
pub(super) struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    said: String,
}

impl Running {
    /// Reads JSON lines until one of this type about a component whose name begins so.
    pub(super) async fn until(&mut self, kind: &str, component: &str) -> Value {
        while let Some(line) = self.out.next_line().await.unwrap() {
            self.said += &line;
            self.said.push('\n');
            let record: Value = serde_json::from_str(&line).unwrap();
            let of = record["component"].as_str().unwrap_or_default();
            if record["type"] == kind && of.starts_with(component) {
                return record;
            }
        }
        panic!("ended before `{kind}` of `{component}`:\n{}", self.said);
    }

    /// The process dies, and nothing of it is left.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(super) async fn end(self) -> Ended {
        let Self { mut child, out, said } = self;
        let (mut rest, mut err) = (String::new(), String::new());
        let read = async {
            out.into_inner().read_to_string(&mut rest).await.unwrap();
            child.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
            child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, read).await.unwrap();
        Ended { status, out: said + &rest, err }.without_secrets()
    }
}

impl<'a> Desk<'a> {
    /// Installs what is there before, and somebody else adds a key of their own.
    pub(super) async fn new(control_plane: &'a ControlPlane, prefix: &str) -> Self {
        let namespace = control_plane.namespace(prefix).await;
        let mut desk = Self { control_plane, namespace, folder: TempDir::new().unwrap(), was: State::new() };
        desk.write("before.yaml", &before(desk.namespace()));
        let installed = desk.eve(&["apply", "-f", "before.yaml", "-o", "json"]).await;
        assert_eq!(installed.code(), Some(0), "{}{}", installed.out, installed.err);
        desk.merge("configmaps", "settings", &json!({ "data": { "theirs": "1" } })).await;
        desk.was = desk.state().await;
        desk
    }

    pub(super) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
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
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(super) fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(&[args, &["-o", "json"]].concat()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, out, said: String::new() }
    }

    pub(super) async fn eve(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output();
        let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) }.without_secrets()
    }

    /// The newest run.
    pub(super) async fn newest(&self) -> String {
        let listed = self.eve(&["runs", "-o", "json"]).await;
        let listed: Value = serde_json::from_str(&listed.out).unwrap();
        listed["runs"][0]["run"].as_str().unwrap().to_owned()
    }

    pub(super) fn path(&self, resource: &str, name: &str) -> String {
        let group = if resource == "deployments" { "apis/apps/v1" } else { "api/v1" };
        format!("/{group}/namespaces/{}/{resource}/{name}", self.namespace())
    }

    /// Somebody else's change.
    pub(super) async fn merge(&self, resource: &str, name: &str, change: &Value) {
        let uri = format!("{}?fieldManager=somebody", self.path(resource, name));
        let request = http::Request::patch(uri).header("content-type", "application/merge-patch+json");
        let request = request.body(change.to_string().into_bytes()).unwrap();
        self.control_plane.admin_client().await.request::<Value>(request).await.unwrap();
    }

    /// Somebody else makes an object.
    pub(super) async fn make(&self, resource: &str, name: &str, object: &Value) {
        let path = self.path(resource, name);
        let request = http::Request::post(path.trim_end_matches(name).trim_end_matches('/'));
        let request = request.header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes()).unwrap();
        self.control_plane.admin_client().await.request::<Value>(request).await.unwrap();
    }

    /// Somebody else deletes one.
    pub(super) async fn remove(&self, resource: &str, name: &str) {
        let request = http::Request::delete(self.path(resource, name)).body(Vec::new()).unwrap();
        self.control_plane.admin_client().await.request::<Value>(request).await.unwrap();
    }

    pub(super) async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        let request = http::Request::get(self.path(resource, name)).body(Vec::new()).unwrap();
        self.control_plane.admin_client().await.request(request).await.ok()
    }

    /// How many objects are kept so that runs can be undone.
    pub(super) async fn snapshots(&self) -> usize {
        let path =
            format!("/api/v1/namespaces/{}/secrets?labelSelector=eve.dev/snapshot-of", self.namespace());
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let list: Value = self.control_plane.admin_client().await.request(request).await.unwrap();
        list["items"].as_array().unwrap().len()
    }

    /// Lets somebody do this in the namespace.
    pub(super) async fn grant(&self, user: &str, rules: Value) {
        let group = "rbac.authorization.k8s.io";
        let path = format!("/apis/{group}/v1/namespaces/{}", self.namespace());
        let role = json!({ "metadata": { "name": user }, "rules": rules });
        let binding = json!({
            "metadata": { "name": user },
            "roleRef": { "apiGroup": group, "kind": "Role", "name": user },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
        });
        for (resource, object) in [("roles", role), ("rolebindings", binding)] {
            let request = http::Request::post(format!("{path}/{resource}"));
            let request = request.header("content-type", "application/json");
            let request = request.body(object.to_string().into_bytes()).unwrap();
            self.control_plane.admin_client().await.request::<Value>(request).await.unwrap();
        }
    }

    /// Every object that the release touches or leaves alone, as far as it can be compared.
    pub(super) async fn state(&self) -> State {
        let mut state = State::new();
        for (resource, names) in [
            ("configmaps", &["settings", "old", "same", "new", "bad"][..]),
            ("secrets", &["password", "fresh"]),
            ("deployments", &["web", "next", "never", "bad"]),
        ] {
            for name in names {
                let object = self.get(resource, name).await.map_or(Value::Null, |object| comparable(&object));
                state.insert(self.path(resource, name), object);
            }
        }
        state
    }

    pub(super) async fn since(&self, mark: audit::Mark) -> Entries {
        let entries = self.control_plane.audit().settle().await.since(mark);
        entries.by_user("eve").in_namespace(self.namespace())
    }

    /// Values of Secrets are in no file of eve's.
    fn assert_clean(&self) {
        let mut scan = CanaryScan::new([canary()]);
        for file in std::fs::read_dir(self.folder.path().join("state/eve")).unwrap() {
            let file = file.unwrap().path();
            // What belongs to a process that ends goes with it.
            scan.sink(file.display().to_string(), std::fs::read(&file).unwrap_or_default());
        }
        scan.assert_clean();
    }

    async fn is_equal(&self) {
        self.assert_clean();
        let differences = super::differences(&self.was, &self.state().await);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    /// The same without an audit log, in which requests that a dead server was given never end: told by the versions of the
    /// objects.
    pub(super) async fn is_as_before_by_versions(&self) {
        self.is_equal().await;
        let before = self.versions().await;
        let again = self.eve(&["apply", "-f", "before.yaml", "-o", "json"]).await;
        assert_eq!(again.code(), Some(0), "{}{}", again.out, again.err);
        assert_eq!(self.versions().await, before, "the plan before writes");
    }

    /// What every write changes and no report of a controller.
    async fn versions(&self) -> Vec<Value> {
        let mut versions = Vec::new();
        for (resource, names) in [("configmaps", ["settings", "old", "same"]), ("secrets", ["password"; 3])] {
            for name in names {
                versions.push(self.get(resource, name).await.unwrap()["metadata"]["resourceVersion"].clone());
            }
        }
        versions.push(self.get("deployments", "web").await.unwrap()["metadata"]["generation"].clone());
        versions
    }

    /// Every object is as it was, and so much so that applying what was there before writes nothing.
    pub(super) async fn is_as_before(&self) {
        self.is_equal().await;
        let mark = self.control_plane.audit().mark().await;
        let again = self.eve(&["apply", "-f", "before.yaml", "-o", "json"]).await;
        assert_eq!(again.code(), Some(0), "{}{}", again.out, again.err);
        let entries = self.since(mark).await;
        assert!(entries.writes().is_empty(), "the plan before writes: {:?}", entries.writes());
    }
}
