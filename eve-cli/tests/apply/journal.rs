//! Runs that are killed, looked at, taken over and cancelled by other processes, through their journals.

use std::path::Path;

use eve_testbed::ControlPlane;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::signals::Running;
use super::{Ended, command, get, names, plan, writes};

/// One user's runs, and a folder to work in.
pub(super) struct Desk<'a> {
    control_plane: &'a ControlPlane,
    pub(super) state: TempDir,
    pub(super) folder: TempDir,
}

impl<'a> Desk<'a> {
    pub(super) fn new(control_plane: &'a ControlPlane) -> Self {
        Self { control_plane, state: TempDir::new().unwrap(), folder: TempDir::new().unwrap() }
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.control_plane, args);
        command.env("XDG_STATE_HOME", self.state.path()).current_dir(self.folder.path());
        command
    }

    pub(super) async fn eve(&self, args: &[&str]) -> Ended {
        self.eve_in(self.folder.path(), args, "").await
    }

    async fn eve_in(&self, folder: &Path, args: &[&str], stdin: &str) -> Ended {
        let mut child = self.command(args).current_dir(folder).spawn().unwrap();
        // A command that refuses its flags closes its input.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()).await;
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts a command and kills it with SIGKILL once a record of this type about this component was shown; the name of
    /// its run.
    pub(super) async fn killed_at(
        &self,
        (kind, component): (&str, &str),
        args: &[&str],
        stdin: &str,
    ) -> String {
        let mut running = Running::of(self.command(&[args, &["-o", "json"]].concat()), stdin).await;
        running.until_of(kind, component).await;
        run_of(&running.kill().await)
    }

    pub(super) async fn status(&self, run: &str) -> Value {
        let shown = self.eve(&["status", run, "-o", "json"]).await;
        assert_eq!(shown.code, Some(0), "{}", shown.err);
        serde_json::from_str(&shown.out).unwrap()
    }

    /// The name of the newest run.
    pub(super) async fn newest(&self) -> String {
        let listed = self.eve(&["runs", "-o", "json"]).await;
        let listed: Value = serde_json::from_str(&listed.out).unwrap();
        listed["runs"][0]["run"].as_str().unwrap().to_owned()
    }
}

/// A component that takes a while, between two that do not.
pub(super) fn three(namespace: &str) -> String {
    let slow = "testbed.eve.dev/stage: slow, testbed.eve.dev/delay: 3s";
    plan(namespace, &[("first", "", "a: b", ""), ("slow", "first", slow, ""), ("last", "slow", "a: b", "")])
}

fn run_of(ended: &Ended) -> String {
    ended.records()[0]["run"].as_str().unwrap().to_owned()
}

/// What nobody may touch once it is ready.
async fn identity(control_plane: &ControlPlane, namespace: &str, name: &str) -> (Value, Value) {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let metadata = get(control_plane, &path).await["metadata"].clone();
    (metadata["uid"].clone(), metadata["generation"].clone())
}

pub(super) const APPLY: [&str; 3] = ["apply", "-f", "plan.yaml"];

#[tokio::test]
async fn a_killed_run_goes_on_where_it_was_from_any_folder() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("killed").await;
    let namespace = namespace.name();
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace));
    let run = desk.killed_at(("applied", "slow"), &APPLY, "").await;
    assert_eq!(desk.status(&run).await["state"]["name"], "interrupted");
    let first = identity(control_plane, namespace, "first").await;

    let resumed = desk.eve_in(Path::new("/"), &["resume", &run[..17], "-o", "json"], "").await;
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.out, resumed.err);
    assert_eq!(resumed.records()[0]["type"], "resumed", "what was said before is not said again");
    let summary = resumed.summary();
    assert_eq!((&summary["run"], &summary["ready"]), (&json!(run), &json!(3)), "{summary}");
    let writes = writes(control_plane, namespace).await;
    assert_eq!((writes.len(), names(&writes).len()), (3, 3), "each object is written once: {writes:?}");
    assert_eq!(identity(control_plane, namespace, "first").await, first);

    let over = desk.eve(&["resume", &run]).await;
    assert_eq!(over.code, Some(5));
    assert!(over.err.contains("is over: it succeeded"), "{}", over.err);
    let timeline = desk.eve(&["timeline", &run]).await;
    assert!(timeline.out.contains("resumed at") && timeline.out.contains("critical"), "{}", timeline.out);
}

#[tokio::test]
async fn a_run_that_another_of_its_plan_came_after_does_not_go_on() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("after").await;
    let namespace = namespace.name();
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace));
    let run = desk.killed_at(("applied", "slow"), &APPLY, "").await;
    let deleted = desk.eve(&["delete", "--plan", "ten", "-n", namespace, "-o", "json"]).await;
    assert_eq!(deleted.code, Some(0), "{}", deleted.err);
    let later = run_of(&deleted);
    let mark = control_plane.audit().mark().await;
    let refused = desk.eve(&["resume", &run]).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    let says = [format!("run {later} of this plan came after it"), "`eve apply` starts from".to_owned()];
    assert!(says.iter().all(|said| refused.err.contains(said)), "{}", refused.err);
    assert!(writes(control_plane, namespace).await.since(mark).is_empty());
}

#[tokio::test]
async fn a_live_run_is_neither_taken_over_nor_joined_and_can_be_cancelled() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("live").await;
    let desk = Desk::new(control_plane);
    let never = "testbed.eve.dev/stage: never-ready";
    desk.write(
        "plan.yaml",
        &plan(namespace.name(), &[("never", "", never, ""), ("next", "never", "a: b", "")]),
    );
    let mut running = Running::of(desk.command(&[&APPLY[..], &["-o", "json"]].concat()), "").await;
    running.until_of("applied", "never").await;
    let mark = control_plane.audit().mark().await;

    let listed = desk.eve(&["runs", "-o", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    let process = listed["runs"][0]["state"]["holder"]["process"].to_string();
    for args in [&["resume", &run][..], &APPLY[..]] {
        let refused = desk.eve(args).await;
        assert_eq!(refused.code, Some(5), "{args:?}: {}", refused.err);
        let says = [format!("held by process {process}"), format!("eve cancel {run}")];
        assert!(says.iter().all(|said| refused.err.contains(said)), "{args:?}: {}", refused.err);
    }
    let tried = writes(control_plane, namespace.name()).await.since(mark);
    assert!(tried.is_empty(), "{tried:?}");

    let cancelled = desk.eve(&["cancel"]).await;
    assert_eq!((cancelled.code, cancelled.out), (Some(0), format!("run {run}: cancelled\n")));
    let ended = running.end().await;
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(ended.err.contains("asked for by"), "{}", ended.err);
    let again = desk.eve(&["cancel", &run]).await;
    assert_eq!(again.code, Some(0), "twice is fine: {}", again.err);
    assert!(again.err.contains("is over already: cancelled"), "{}", again.err);
}

#[tokio::test]
async fn a_cancel_while_nobody_drives_the_run_counts_when_it_goes_on() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("later").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace.name()));
    let run = desk.killed_at(("applied", "slow"), &APPLY, "").await;
    let asked = desk.eve(&["cancel", &run]).await;
    assert!(asked.err.contains("as soon as it is resumed"), "{}", asked.err);
    let resumed = desk.eve(&["resume"]).await;
    assert_eq!(resumed.code, Some(4), "{}", resumed.err);
    assert!(!names(&writes(control_plane, namespace.name()).await).contains("last"));
}

#[tokio::test]
async fn another_plan_another_cluster_or_a_lost_source_is_refused_without_a_write() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("other").await;
    let namespace = namespace.name();
    let desk = Desk::new(control_plane);
    let text = three(namespace);
    desk.write("plan.yaml", &text);
    let run = desk.killed_at(("applied", "slow"), &["apply", "-f", "-"], &text).await;
    let mark = control_plane.audit().mark().await;

    desk.write("plan.yaml", &text.replace("last:1", "last:2"));
    for (args, said) in [
        (&["resume", &run][..], "was read from stdin"),
        (&["resume", &run, "-f", "plan.yaml"], "is not the one that run"),
        (&["resume", &run, "-f", "nothing.yaml"], "no such file"),
        (&["resume", "0"], "there is no run `0`"),
    ] {
        let refused = desk.eve(args).await;
        assert_eq!(refused.code, Some(5), "{args:?}: {}", refused.err);
        assert!(refused.err.contains(said), "{args:?}: {}", refused.err);
    }
    let tried = writes(control_plane, namespace).await.since(mark);
    assert!(tried.is_empty(), "{tried:?}");
    desk.write("plan.yaml", &text);
    let resumed = desk.eve(&["resume", "-f", "plan.yaml"]).await;
    assert_eq!(resumed.code, Some(0), "a refusal lets go of the run: {}", resumed.err);
}

#[tokio::test]
async fn a_removal_by_labels_goes_on_from_what_was_installed_when_it_began() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("gone").await;
    let desk = Desk::new(control_plane);
    let slow_to_go = "testbed.eve.dev/termination: 3s";
    let components = [("first", "", "a: b", ""), ("slow", "first", slow_to_go, "")];
    desk.write("plan.yaml", &plan(namespace.name(), &components));
    let applied = desk.eve(&APPLY).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let delete = ["delete", "--plan", "ten", "-n", namespace.name()];
    let run = desk.killed_at(("applied", ""), &delete, "").await;
    let resumed = desk.eve(&["resume", &run, "-o", "json"]).await;
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.out, resumed.err);
    assert_eq!(resumed.summary()["deleted"], 2, "{}", resumed.out);
}

#[tokio::test]
async fn nothing_is_written_where_no_journal_can_be() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("nowhere").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace.name()));
    desk.write("file", "");
    let mut command = desk.command(&APPLY);
    command.env("XDG_STATE_HOME", desk.folder.path().join("file"));
    let ended = Running::of(command, "").await.end().await;
    assert_eq!(ended.code, Some(7), "{}", ended.err);
    assert!(ended.err.contains("file/eve") && ended.err.contains("hint:"), "{}", ended.err);
    assert!(writes(control_plane, namespace.name()).await.is_empty());
}

#[tokio::test]
async fn a_damaged_journal_is_named_beside_the_others() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("damaged").await;
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &plan(namespace.name(), &[("first", "", "a: b", "")]));
    for _ in 0..2 {
        let applied = desk.eve(&APPLY).await;
        assert_eq!(applied.code, Some(0), "{}", applied.err);
    }
    let runs = desk.state.path().join("eve/runs");
    let mut files: Vec<_> = std::fs::read_dir(&runs).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "run"));
    files.sort();
    std::fs::write(&files[0], "not a journal").unwrap();
    let listed = desk.eve(&["runs"]).await;
    assert_eq!((listed.code, listed.out.lines().count()), (Some(0), 2), "{}", listed.out);
    let damaged = files[0].file_stem().unwrap().to_str().unwrap();
    assert!(listed.err.contains(damaged), "{}", listed.err);
    let shown = desk.eve(&["status", damaged]).await;
    assert_eq!(shown.code, Some(7), "{}", shown.err);
    assert!(shown.err.contains(damaged) && shown.err.contains("hint:"), "{}", shown.err);
}

#[tokio::test]
async fn what_is_not_there_is_said_as_it_is_to_people_and_to_programs() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane);
    for args in [&["status", "none", "-o", "json"], &["timeline", "none", "-o", "json"]] {
        let refused = desk.eve(args).await;
        assert_eq!(refused.code, Some(5), "{args:?}: {}", refused.err);
        let error = &refused.records()[0];
        assert_eq!((&error["type"], &error["exitCode"]), (&json!("error"), &json!(5)), "{args:?}: {error}");
    }
    let listed = desk.eve(&["runs", "-n", "none"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    assert_eq!(listed.err, "there is no run in namespace none on this machine\n");
    let runs = desk.state.path().join("eve/runs");
    std::fs::remove_dir(&runs).unwrap();
    std::fs::write(&runs, "").unwrap();
    let refused = desk.eve(&["runs", "-o", "json"]).await;
    assert_eq!((refused.code, &refused.records()[0]["type"]), (Some(7), &json!("error")), "{}", refused.err);
}
