//! Runs that fail: what is still written under each policy, what is not, and what is said about it.

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::signals::Running;
use super::{command, eve, get, names, plan, writes};

const READY: &str = "testbed.eve.dev/stage: ready";
const DOOMED: &str = "testbed.eve.dev/stage: crash-loop";
const NEVER: &str = "testbed.eve.dev/stage: never-ready";

/// Ten components: a diamond, a chain behind `bad`, and a chain aside, whose head takes `pace`.
fn ten(namespace: &str, bad: (&str, &str), pace: &str) -> String {
    let components = [
        ("base", "", READY, ""),
        ("left", "base", pace, ""),
        ("right", "base", READY, ""),
        ("join", "left, right", READY, ""),
        ("bad", "base", bad.0, bad.1),
        ("behind", "bad", READY, ""),
        ("last", "behind, join", READY, ""),
        ("aside", "", pace, ""),
        ("aside-2", "aside", READY, ""),
        ("aside-3", "aside-2", READY, ""),
    ];
    plan(namespace, &components)
}

/// As a kubelet would, once the pod of a workload runs: it passes its readiness probe from now on.
async fn pass_probes(control_plane: &ControlPlane, namespace: &str, app: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let pod = loop {
        let pods = get(control_plane, &format!("{path}?labelSelector=app={app}")).await;
        if pods["items"][0]["status"]["phase"] == "Running" {
            break pods["items"][0].clone();
        }
        tokio::task::yield_now().await;
    };
    let mut containers = pod["status"]["containerStatuses"].clone();
    containers[0]["ready"] = json!(true);
    let conditions = ["Ready", "ContainersReady"].map(|kind| json!({ "type": kind, "status": "True" }));
    let change = json!({ "status": { "conditions": conditions, "containerStatuses": containers } });
    let uri = format!("{path}/{}/status", pod["metadata"]["name"].as_str().unwrap());
    let request = http::Request::patch(uri).header("content-type", "application/strategic-merge-patch+json");
    let request = request.body(change.to_string().into_bytes()).unwrap();
    control_plane.admin_client().await.request::<Value>(request).await.unwrap();
}

fn list<const N: usize>(items: [&str; N]) -> std::collections::BTreeSet<String> {
    items.map(str::to_owned).into()
}

/// The one failure of a run, and the parents of the components that were skipped because of it.
fn failure(summary: &Value) -> (&Value, std::collections::BTreeSet<String>) {
    let failures = summary["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    let parent = |name: &Value| name.as_str().unwrap().split('/').next().unwrap().to_owned();
    (&failures[0], failures[0]["skipped"].as_array().unwrap().iter().map(parent).collect())
}

#[tokio::test]
async fn drain_starts_nothing_new_and_lets_what_runs_end() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("drain").await;
    let text = ten(namespace.name(), (DOOMED, ""), NEVER);
    let mut running = Running::of(command(control_plane, &["apply", "-f", "-", "-o", "json"]), &text).await;
    running.until_of("attemptFailed", "bad").await;
    for app in ["left", "aside"] {
        pass_probes(control_plane, namespace.name(), app).await;
    }
    let ended = running.end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let summary = ended.summary();
    let (failure, skipped) = failure(&summary);
    assert_eq!(skipped, list(["join", "behind", "last", "aside-2", "aside-3"]));
    assert_eq!(
        (&summary["ready"], &summary["failed"], &summary["skipped"]),
        (&json!(4), &json!(1), &json!(5))
    );
    let written = names(&writes(control_plane, namespace.name()).await);
    assert_eq!(written, list(["base", "left", "right", "bad", "aside"]));

    assert_eq!(failure["component"], "bad/deployment/bad");
    let message = failure["failure"]["message"].as_str().unwrap();
    let object = format!("Deployment {}/bad", namespace.name());
    for part in [object.as_str(), "pod bad-", "container `main`", "CrashLoopBackOff"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let notes = failure["failure"]["notes"].to_string();
    assert!(notes.contains("cannot reach the database"), "the last log lines: {notes}");
    // It is known to be in vain long before the ten minutes that a component has.
    assert!(summary["wallSeconds"].as_f64().unwrap() < 120.0);
}

#[tokio::test]
async fn continue_skips_only_what_depends_on_the_failed_component() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("continue").await;
    let text = ten(namespace.name(), (DOOMED, ""), READY);
    let args = ["apply", "-f", "-", "-o", "json", "--on-failure", "continue"];
    let ended = eve(control_plane, &args, &text).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let summary = ended.summary();
    assert_eq!(failure(&summary).1, list(["behind", "last"]));
    assert_eq!(
        (&summary["ready"], &summary["failed"], &summary["skipped"]),
        (&json!(7), &json!(1), &json!(2))
    );
    let written = names(&writes(control_plane, namespace.name()).await);
    assert_eq!(written, list(["base", "left", "right", "join", "bad", "aside", "aside-2", "aside-3"]));
}

#[tokio::test]
async fn what_never_becomes_ready_fails_at_its_timeout_and_says_what_it_waited_for() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("never").await;
    let text = ten(namespace.name(), (NEVER, "timeout: 4s"), READY);
    let args = ["apply", "-f", "-", "--on-failure", "continue"];
    let ended = eve(control_plane, &args, &text).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let report = ended
        .err
        .split("\nbad/deployment/bad failed to become ready")
        .nth(1)
        .unwrap_or_else(|| panic!("no report: {}", ended.err));
    assert!(report.contains("0 of 1 replica"), "what it waited for last: {report}");
    assert!(
        report.contains("skipped because of it: behind/deployment/behind, last/deployment/last"),
        "{report}"
    );
    assert!(ended.out.starts_with("failed in "), "{}", ended.out);
    assert!(ended.out.contains("8 created"), "{}", ended.out);
    let written = names(&writes(control_plane, namespace.name()).await);
    assert!(!written.contains("behind") && !written.contains("last"), "{written:?}");
}

#[tokio::test]
async fn a_run_that_reaches_its_deadline_fails_and_says_so() {
    const TIMEOUTS: [&str; 3] = ["2s", "10s", "60s"];
    let control_plane = ControlPlane::shared().await;
    for timeout in TIMEOUTS {
        let namespace = control_plane.namespace("deadline").await;
        let text = plan(namespace.name(), &[("slow", "", NEVER, ""), ("next", "slow", READY, "")]);
        let ended = eve(control_plane, &["apply", "-f", "-", "--timeout", timeout], &text).await;
        let written = names(&writes(control_plane, namespace.name()).await);
        // On a busy machine it may be over before the first write: then there is more.
        if written.is_empty() && Some(&timeout) != TIMEOUTS.last() {
            continue;
        }
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.out.starts_with("failed, out of time in "), "{}", ended.out);
        assert!(ended.err.contains("the run reached its deadline"), "{}", ended.err);
        assert_eq!(written, list(["slow"]));
        return;
    }
}
