//! One user's place to work: the plan, the journals, eve started and killed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use eve_core::ids::RunId;
use eve_core::run::{Event, Record};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_store::{Listed, RunFolder, RunState};
use eve_testbed::{ControlPlane, TestNamespace};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::cases::{Kill, Pace};
use super::plans::{CANARY, FOUND, GATE, Plan};

/// Far more than any command takes here: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(3);
/// The exit code of a refusal.
pub(super) const REFUSED: i32 = 5;

/// How a process of eve ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) err: String,
}

impl Ended {
    pub(super) fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

/// A plan in a namespace of its own, and the state of a user who runs nothing else.
pub(super) struct Desk<'a> {
    control_plane: &'a ControlPlane,
    namespace: TestNamespace,
    plan: Plan,
    pace: Pace,
    folder: TempDir,
}

impl<'a> Desk<'a> {
    pub(super) async fn new(control_plane: &'a ControlPlane, plan: Plan, pace: Pace) -> Self {
        let namespace = control_plane.namespace("kill").await;
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("plan.yaml"), plan.text(namespace.name())).unwrap();
        let desk = Self { control_plane, namespace, plan, pace, folder };
        if plan == Plan::Grow {
            // What is there already must be compared: a request before the write.
            desk.make_settings(FOUND).await;
        }
        desk
    }

    pub(super) fn namespace(&self) -> &str {
        self.namespace.name()
    }

    pub(super) fn control_plane(&self) -> &'a ControlPlane {
        self.control_plane
    }

    /// Everything that eve writes on this machine.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn runs(&self) -> RunFolder {
        RunFolder::open(self.state().join("eve")).unwrap()
    }

    fn proof(&self) -> PathBuf {
        self.folder.path().join("reached")
    }

    /// What was written at fail points so far.
    pub(super) fn reached(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.proof()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The one run, once it has a journal.
    pub(super) fn run(&self) -> Option<(RunId, RunState)> {
        let mut found = self.runs().list().unwrap();
        assert!(found.len() <= 1, "one plan, one run: {found:?}");
        match found.pop()? {
            Listed::Run(run) => Some((run.header.run.clone(), run.state)),
            Listed::Damaged { path, error } => panic!("{}: {error}", path.display()),
        }
    }

    /// What the journal says, verified from the first record to the last.
    pub(super) fn records(&self, run: &RunId) -> Vec<Record> {
        let reader = self.runs().read(run).unwrap();
        reader.check().unwrap();
        reader.records().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
        command
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.control_plane.kubeconfig_path())
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.state())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Applies the plan, or goes on with its run, to the end or until it is killed.
    pub(super) async fn go_on(&self, kill: Option<&Kill>) -> Ended {
        let run = self.run().map(|(run, _)| run);
        if let Some(run) = &run
            && is_stopping(&self.records(run))
        {
            self.open_gate().await;
        }
        let mut command = match &run {
            Some(run) => self.command(&["resume", run.as_str(), "-o", "json"]),
            None => self.command(&["apply", "-f", "plan.yaml", "-o", "json"]),
        };
        if run.is_none() && self.pace == Pace::Serial {
            command.args(["--concurrency", "1"]);
        }
        if let Some(Kill::Point(point)) = kill {
            command.env("EVE_FAIL_POINT", point).env("EVE_FAIL_POINT_LOG", self.proof());
        }
        let outside = match kill {
            Some(Kill::Outside(after)) => Some(*after),
            Some(Kill::Point(_)) | None => None,
        };
        self.to_its_end(command, outside).await
    }

    async fn to_its_end(&self, mut command: Command, kill_after: Option<Duration>) -> Ended {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut err = child.stderr.take().unwrap();
        let shown = async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                // The last line of a killed process may be half a line.
                let record: Value = serde_json::from_str(&line).unwrap_or_default();
                said += &line;
                if record["type"] == "stopping" {
                    self.open_gate().await;
                }
            }
            said
        };
        let said = async {
            let mut said = String::new();
            err.read_to_string(&mut said).await.unwrap();
            said
        };
        let ended = async {
            if let Some(after) = kill_after
                && let Ok(status) = timeout(after, child.wait()).await
            {
                return status.unwrap();
            }
            if kill_after.is_some() {
                child.start_kill().unwrap();
            }
            child.wait().await.unwrap()
        };
        let all = async { tokio::join!(shown, said, ended) };
        let (out, err, status) =
            timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("eve hangs: {command:?}"));
        let mut scan = CanaryScan::new([Canary::of(CANARY)]);
        scan.sink("stdout", out);
        scan.sink("stderr", &err);
        scan.assert_clean();
        Ended { status, err }
    }

    /// What `eve status` says of the run.
    pub(super) async fn status(&self, run: &RunId) -> Value {
        let output = self.command(&["status", run.as_str(), "-o", "json"]).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no status: {text}"))
    }

    /// Makes what the plan waits for.
    async fn open_gate(&self) {
        if self.plan == Plan::Drain {
            self.make_settings(GATE).await;
        }
    }

    /// Somebody else makes a `ConfigMap`, unless it is there.
    async fn make_settings(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{}/configmaps", self.namespace());
        let made = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "from": "somebody" },
        });
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(made.to_string().into_bytes()).unwrap();
        match self.control_plane.admin_client().await.request::<Value>(request).await {
            Ok(_) => {}
            Err(error) if error.to_string().contains("already exists") => {}
            Err(error) => panic!("{name} cannot be made: {error}"),
        }
    }

    /// Every file below the user's state.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.state(), &mut found);
        found
    }
}

fn is_stopping(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Stopping { .. }))
}
