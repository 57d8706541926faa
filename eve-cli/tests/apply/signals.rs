//! Ctrl-C and SIGTERM: the first ends the run in good order, the second at once.

use std::time::Duration;

use eve_testbed::ControlPlane;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::{Ended, command, get, names, plan, writes};

/// `eve` while it runs.
pub(super) struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    async fn start(control_plane: &ControlPlane, args: &[&str], stdin: &str) -> Self {
        Self::of(command(control_plane, args), stdin).await
    }

    pub(super) async fn of(mut command: Command, stdin: &str) -> Self {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).await.unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err, said: String::new() }
    }

    /// Reads JSON lines until one of this type.
    async fn until(&mut self, kind: &str) {
        self.until_of(kind, "").await;
    }

    /// Reads JSON lines until one of this type about a component whose name begins so.
    pub(super) async fn until_of(&mut self, kind: &str, component: &str) {
        while let Some(line) = self.out.next_line().await.unwrap() {
            let record: Value = serde_json::from_str(&line).unwrap();
            self.said += &line;
            self.said.push('\n');
            let of = record["component"].as_str().unwrap_or_default();
            if record["type"] == kind && of.starts_with(component) {
                return;
            }
        }
        panic!("ended before `{kind}` of `{component}`:\n{}", self.said);
    }

    /// Reads stderr until a line that contains this.
    async fn until_error(&mut self, wanted: &str) {
        while let Some(line) = self.err.next_line().await.unwrap() {
            if line.contains(wanted) {
                return;
            }
        }
        panic!("ended before `{wanted}`");
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    }

    /// Ends it with SIGKILL.
    pub(super) async fn kill(self) -> Ended {
        self.signal("-KILL").await;
        self.end().await
    }

    pub(super) async fn end(mut self) -> Ended {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.into_inner().read_to_string(&mut out).await.unwrap();
        self.err.into_inner().read_to_string(&mut err).await.unwrap();
        let code = self.child.wait().await.unwrap().code();
        Ended { code, out: self.said + &out, err }
    }
}

#[tokio::test]
async fn the_first_signal_gives_up_waits_starts_nothing_and_reports() {
    for signal in ["-INT", "-TERM"] {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace("stop").await;
        let never = "testbed.eve.dev/stage: never-ready";
        let text = plan(namespace.name(), &[("slow", "", never, ""), ("next", "slow", "a: b", "")]);
        let mut running = Running::start(control_plane, &["apply", "-f", "-", "-o", "json"], &text).await;
        running.until("waiting").await;
        running.signal(signal).await;
        let ended = running.end().await;
        assert_eq!(ended.code, Some(4), "{signal}: {}", ended.err);
        assert!(ended.err.contains("press Ctrl-C again to abort"), "{signal}: {}", ended.err);
        let summary = ended.summary();
        assert_eq!(summary["outcome"], "cancelled", "{signal}");
        assert_eq!(summary["givenUp"][0], "slow/deployment/slow", "{signal}");
        assert_eq!(summary["notStarted"][0], "next/deployment/next", "{signal}");
        assert_eq!(names(&writes(control_plane, namespace.name()).await), ["slow".to_owned()].into());
    }
}

/// A kubeconfig for a server that takes connections and never answers.
async fn silent_server(control_plane: &ControlPlane) -> (TcpListener, tempfile::TempDir, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let text = std::fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, text.replace(&control_plane.url(), &url)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (listener, folder, path)
}

const MANIFEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n";

#[tokio::test]
async fn a_signal_before_the_run_ends_eve_at_once() {
    let control_plane = ControlPlane::shared().await;
    let (listener, _folder, kubeconfig) = silent_server(control_plane).await;
    let args = ["apply", "-f", "-", "--kubeconfig", &kubeconfig, "--request-timeout", "1h"];
    let running = Running::start(control_plane, &args, MANIFEST).await;
    let _connection = listener.accept().await.unwrap();
    running.signal("-INT").await;
    let ended = running.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(4), ""));
    assert_eq!(ended.err, "error: stopped before anything was written\n");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_after_the_request_timeout() {
    let control_plane = ControlPlane::shared().await;
    let (_listener, _folder, kubeconfig) = silent_server(control_plane).await;
    let args = ["apply", "-f", "-", "--kubeconfig", &kubeconfig, "--request-timeout", "1s"];
    let ended = Running::start(control_plane, &args, MANIFEST).await.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
    assert!(ended.err.contains("no answer within 1 s"), "{}", ended.err);
}

#[tokio::test]
async fn the_deadline_of_the_run_holds_before_it_begins() {
    let control_plane = ControlPlane::shared().await;
    let (_listener, _folder, kubeconfig) = silent_server(control_plane).await;
    let args = ["apply", "-f", "-", "--kubeconfig", &kubeconfig, "--timeout", "1s"];
    let begun = std::time::Instant::now();
    let ended = Running::start(control_plane, &args, MANIFEST).await.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""), "{}", ended.err);
    assert!(ended.err.contains("the run's 1.0s are over"), "{}", ended.err);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_second_signal_aborts_the_creation_of_the_namespace() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("slow-ns").await;
    let (listener, webhook) = silent_webhook(namespace.name(), &json!({
        "objectSelector": { "matchLabels": { "kubernetes.io/metadata.name": format!("{}-made", namespace.name()) } },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"] }],
    })).await;
    post(control_plane, WEBHOOKS, &webhook).await.unwrap();
    let made = format!("{}-made", namespace.name());
    let probe = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": made } });
    until_it_hangs(control_plane, &listener, "/api/v1/namespaces?dryRun=All", &probe).await;
    let args = ["apply", "-n", &made, "-f", "-", "--create-namespace"];
    let state = tempfile::tempdir().unwrap();
    let mut command = command(control_plane, &args);
    command.env("XDG_STATE_HOME", state.path());
    let mut running = Running::of(command, MANIFEST).await;
    let _write = listener.accept().await.unwrap();
    running.signal("-INT").await;
    running.until_error("press Ctrl-C again to abort").await;
    running.signal("-INT").await;
    let ended = running.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(130), ""), "{}", ended.err);
    assert!(ended.err.contains("whether the namespace"), "{}", ended.err);
    let left = std::fs::read_dir(state.path().join("eve/runs")).unwrap().count();
    assert_eq!(left, 0, "a run that did nothing is forgotten");
}

#[tokio::test]
async fn a_reader_who_does_not_read_neither_holds_up_the_run_nor_the_abort() {
    const OBJECTS: usize = 300;
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("unread").await;
    let object = |number| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: c{number} }}\n");
    let manifest: Vec<String> = (0..OBJECTS).map(object).collect();
    let args = ["apply", "-n", namespace.name(), "-f", "-", "-o", "json"];
    let mut running = Running::start(control_plane, &args, &manifest.join("---\n")).await;
    // Far more is said of so many objects than a pipe holds (64 KiB), and nobody reads it.
    let path = format!("/api/v1/namespaces/{}/configmaps", namespace.name());
    let written = |list: &Value| {
        let names = list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str());
        names.filter(|name| name.unwrap().starts_with('c')).count()
    };
    while written(&get(control_plane, &path).await) < OBJECTS {}
    // Whatever it answers may stand behind what nobody reads.
    let ended = loop {
        running.signal("-INT").await;
        let waited = tokio::time::timeout(Duration::from_millis(500), running.child.wait()).await;
        if let Ok(ended) = waited {
            break ended.unwrap();
        }
    };
    assert_eq!(ended.code(), Some(130));
}

const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A webhook that takes connections and never answers, and its configuration with `fields`: what it is asked about.
async fn silent_webhook(name: &str, fields: &Value) -> (TcpListener, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let mut webhook = json!({
        "name": "hangs.test.eve.dev",
        "clientConfig": { "url": url },
        "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 30, "failurePolicy": "Fail",
    });
    webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": format!("{name}-hangs") },
        "webhooks": [webhook],
    });
    (listener, configuration)
}

/// Writes on trial until one hangs: a webhook is not in force at once.
async fn until_it_hangs(control_plane: &ControlPlane, listener: &TcpListener, dry_run: &str, probe: &Value) {
    loop {
        tokio::select! {
            hangs = listener.accept() => {
                hangs.unwrap();
                return;
            }
            _ = post(control_plane, dry_run, probe) => {}
        }
    }
}

/// Makes every write of a `ConfigMap` in the namespace hang: the API server asks a webhook that never answers. Returns
/// once that is so; each connection that can be accepted is a write that hangs.
async fn hanging_writes(control_plane: &ControlPlane, namespace: &str) -> TcpListener {
    let (listener, webhook) = silent_webhook(namespace, &json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"] }],
    })).await;
    post(control_plane, WEBHOOKS, &webhook).await.unwrap();
    let probe = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "probe" } });
    let dry_run = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
    until_it_hangs(control_plane, &listener, &dry_run, &probe).await;
    listener
}

async fn post(control_plane: &ControlPlane, path: &str, object: &Value) -> Result<Value, kube::Error> {
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    control_plane.admin_client().await.request(request).await
}

#[tokio::test]
async fn the_second_signal_aborts_even_when_the_server_does_not_answer() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("abort").await;
    let listener = hanging_writes(control_plane, namespace.name()).await;
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let args = ["apply", "-n", namespace.name(), "-f", "-", "-o", "json"];
        let mut running = Running::start(control_plane, &args, MANIFEST).await;
        let _write = listener.accept().await.unwrap();
        running.signal(signal).await;
        running.until_error("press Ctrl-C again to abort").await;
        running.signal(signal).await;
        let ended = running.end().await;
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        let summary = ended.summary();
        assert_eq!(summary["exitCode"], code);
        assert!(summary["outcome"].is_null(), "{summary}");
        assert_eq!(summary["underWay"][0], "configmap/settings", "{summary}");
    }
}
