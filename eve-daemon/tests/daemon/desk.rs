//! A folder with a configuration, a daemon that is started in it, and what comes out of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use eve_core::testing::canary::Canary;
use eve_testbed::{ControlPlane, Receiver};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sinks::Watch;

/// How long something is waited for that comes at once on an idle machine.
const LIMIT: Duration = Duration::from_mins(3);

/// A folder of a test's own. When it is dropped, every secret that the daemon was given is looked for in all that came out of
/// it, whether the test thinks of that or not.
pub(crate) struct Desk {
    folder: TempDir,
    variables: Vec<(String, String)>,
    starts: AtomicU32,
    watch: Arc<Watch>,
}

/// A daemon that runs. Killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    watch: Arc<Watch>,
}

impl Desk {
    /// A desk with this configuration, for the cluster of this kubeconfig.
    pub(crate) fn new(config: &str, kubeconfig: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("eve.yaml"), config).unwrap();
        let desk = Self { folder, variables: Vec::new(), starts: AtomicU32::new(0), watch: Arc::default() };
        // So that many may run side by side.
        desk.with("KUBECONFIG", &kubeconfig.display().to_string())
            .with("EVE_DAEMON__HTTP__LISTEN", "127.0.0.1:0")
    }

    /// The same with one more variable of the environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives the daemon a secret in this file: a token, or a key, which may have the prefix `whsec_`.
    pub(crate) fn give(&self, file: &str, secret: &str) {
        fs::write(self.path(file), format!("{secret}\n")).unwrap();
        let value = secret.strip_prefix("whsec_").unwrap_or(secret);
        self.watch.over(Canary::of(value), Some(file));
    }

    /// The same with a secret that is for what this receiver is told.
    pub(crate) fn give_for(&self, receiver: &Arc<Receiver>, file: &str, secret: &str) {
        self.give(file, secret);
        self.watch.receiver(receiver);
    }

    /// What is known of secrets, and who hears from the daemon.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Starts the daemon.
    pub(crate) fn start(&self) -> Daemon {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("log-{number}"));
        let child = Command::new(env!("CARGO_BIN_EXE_eve-daemon"))
            .args(["run", "eve.yaml"])
            .current_dir(self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(File::create(self.path(&format!("said-{number}"))).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon { child, log, watch: Arc::clone(&self.watch) }
    }

    /// Puts a plan into the directory `plans` as a sender does: written under another name, then renamed.
    pub(crate) fn send(&self, name: &str, plan: &str) {
        let folder = self.path("plans");
        fs::create_dir_all(&folder).unwrap();
        let draft = folder.join(format!(".{name}"));
        fs::write(&draft, plan).unwrap();
        fs::rename(draft, folder.join(name)).unwrap();
    }

    /// The outcome of the plan of this name, once it is there.
    pub(crate) async fn outcome(&self, name: &str) -> Value {
        let begins = format!("{name}@");
        until(&format!("the outcome of {name}"), || {
            let folders = ["plans/done", "plans/rejected"].map(|folder| self.path(folder));
            let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
            let found = files.map(|file| file.path()).find(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                name.starts_with(&begins) && name.ends_with(".outcome.json")
            })?;
            serde_json::from_slice(&fs::read(found).ok()?).ok()
        })
        .await
    }

    /// Every file that is left, for scans. What a daemon that runs takes away meanwhile is none.
    pub(crate) fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path(folder)).unwrap().flatten() {
            let name = entry.path().strip_prefix(self.folder.path()).unwrap().display().to_string();
            if entry.file_type().unwrap().is_dir() {
                found.extend(self.files(&name));
            } else {
                match fs::read(entry.path()) {
                    Ok(content) => found.push((name, content)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
        found
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.watch.assert_clean(self);
        }
    }
}

impl Daemon {
    /// Every line that was logged whole so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// The first line of this message in which all these fields are so, once it is there.
    pub(crate) async fn says(&self, message: &str, fields: Value) -> Value {
        until(&format!("`{message}` {fields} in {}", self.log.display()), || {
            let fits = |line: &Value| {
                line["message"] == message
                    && fields.as_object().unwrap().iter().all(|(name, value)| line[name] == *value)
            };
            self.log().into_iter().find(fits)
        })
        .await
    }

    /// Where it serves HTTP.
    pub(crate) async fn address(&self) -> String {
        let started = self.says("eve-daemon takes plans", json!({})).await;
        started["http"].as_str().unwrap().to_owned()
    }

    /// What `/livez`, `/readyz`, `/metrics` or `/undelivered` answers.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path).await
    }

    /// What a path answers to this method.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let (head, body) = self.watch.ask(&self.address().await, method, path);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Ends it with SIGKILL, which it must have lived to see.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it had ended by itself: {status}");
    }

    /// Asks it to end with SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Tells it that its terminal has gone, as some do to have a configuration read again.
    pub(crate) fn hang_up(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    /// What it wrote, whatever it is.
    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the end of the daemon", || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let _ = std::io::Write::write_all(&mut std::io::stderr(), log.as_bytes());
        }
    }
}

/// Looks again and again until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a plan waits for that has a gate.
const GATE: &str = "gate";

/// A plan that waits at its gate, for as long as a test wants.
pub(crate) fn gated_plan(name: &str, namespace: &str) -> String {
    let mut plan: Value = serde_json::from_str(&plan(name, namespace, json!({}))).unwrap();
    let gate = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": GATE } });
    let components = plan["spec"]["components"].as_array_mut().unwrap();
    components.push(json!({ "name": GATE, "action": "read", "manifests": { "objects": [gate] } }));
    plan.to_string()
}

/// Makes what a plan waits for at its gate.
pub(crate) async fn open_gate(control_plane: &ControlPlane, namespace: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let gate = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": GATE } });
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(gate.to_string().into_bytes()).unwrap();
    control_plane.admin_client().await.request::<Value>(request).await.unwrap();
}

/// A plan of one component `web`: a deployment of one replica with these annotations on its pod.
pub(crate) fn plan(name: &str, namespace: &str, annotations: Value) -> String {
    let labels = json!({ "app": name });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] },
            },
        },
    });
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "mode": "fast" },
    });
    json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "components": [
            { "name": "settings", "manifests": { "objects": [settings] } },
            { "name": "web", "dependsOn": ["settings"], "manifests": { "objects": [deployment] } },
        ] },
    })
    .to_string()
}
