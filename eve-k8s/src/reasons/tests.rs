//! The table of causes: one line a rule.

#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

use serde_json::json;

use super::*;

fn pod(name: &str, status: Value) -> Value {
    json!({ "metadata": { "name": name }, "status": { "containerStatuses": [status] } })
}

fn waiting(reason: &str, message: &str, restarts: u32) -> Value {
    json!({
        "name": "main", "restartCount": restarts,
        "state": { "waiting": { "reason": reason, "message": message } },
        "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    })
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// The text of the only finding of one container in this state, if there is one.
fn check(status: Value, expected: Option<(&str, &str)>) {
    let found = findings([&pod("web-1", status.clone())]);
    let said: Vec<_> = found.iter().map(|finding| (finding.code(), finding.text())).collect();
    let said: Vec<_> = said.iter().map(|(code, text)| (*code, text.as_str())).collect();
    assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{status}");
}

#[test]
fn each_state_of_a_container_has_its_cause() {
    check(json!({ "name": "main", "state": { "running": {} } }), None);
    check(json!({ "name": "main", "ready": true, "state": { "running": {} } }), None);
    check(
        json!({ "name": "main", "ready": false, "state": { "running": {} } }),
        Some(("k8s.pod.not-ready", "container `main` of pod web-1 runs but is not ready")),
    );
    for reason in ["ContainerCreating", "PodInitializing"] {
        let text = format!("container `main` of pod web-1 has not started: {reason}");
        check(waiting(reason, "", 0), Some(("k8s.pod.not-ready", &text)));
    }
    check(
        waiting("CrashLoopBackOff", "back-off 10s", 3),
        Some((
            "k8s.pod.crash-loop",
            "container `main` of pod web-1 crashed and was restarted 3 times: CrashLoopBackOff: OOMKilled, exit code 137",
        )),
    );
    check(
        json!({ "name": "main", "restartCount": 1, "state": { "terminated": { "exitCode": 1, "reason": "Error" } } }),
        Some((
            "k8s.pod.crash-loop",
            "container `main` of pod web-1 crashed and was restarted once: CrashLoopBackOff: Error, exit code 1",
        )),
    );
    check(json!({ "name": "main", "restartCount": 1, "state": { "terminated": { "exitCode": 0 } } }), None);
    for reason in ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"] {
        let text = format!("container `main` of pod web-1 cannot pull its image: {reason}: not found");
        check(waiting(reason, "not found", 0), Some(("k8s.pod.image-pull", &text)));
    }
    for reason in ["CreateContainerConfigError", "InvalidImageName", "RunContainerError"] {
        let text = format!("container `main` of pod web-1 cannot start: {reason}");
        check(waiting(reason, "", 0), Some(("k8s.pod.bad-config", &text)));
    }
}

#[test]
fn many_pods_with_one_cause_give_one_finding() {
    let pods: Vec<Value> = (0..40)
        .map(|index| {
            let reason = if index % 2 == 0 { "ErrImagePull" } else { "ImagePullBackOff" };
            pod(&format!("web-{index:02}"), waiting(reason, "not found", 0))
        })
        .collect();
    let found = findings(&pods);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].text(),
        "container `main` of 40 pods (first web-00) cannot pull its image: ErrImagePull: not found"
    );
}

#[test]
fn pods_on_their_way_out_say_nothing() {
    let mut leaving = pod("web-1", waiting("ImagePullBackOff", "", 0));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(findings([&leaving]), []);
}

#[test]
fn a_grace_counts_from_when_its_cause_was_first_seen_without_a_break() {
    let mut patience = Patience::new(Graces::default());
    let pull = findings([&pod("web-1", waiting("ErrImagePull", "", 0))]);
    let verdict = patience.judge(&pull, at(100));
    assert_eq!((verdict.doomed, verdict.check_at), (None, Some(at(160))));
    assert!(verdict.shown.is_some());
    let back_off = findings([&pod("web-2", waiting("ImagePullBackOff", "", 0))]);
    assert_eq!(patience.judge(&back_off, at(159)).doomed, None);
    assert_eq!(patience.judge(&[], at(159)), Verdict::default());
    assert_eq!(patience.judge(&back_off, at(160)).doomed, None, "the break began the grace anew");
    assert!(patience.judge(&back_off, at(220)).doomed.is_some());
}

#[test]
fn a_crash_loop_is_given_up_at_its_third_restart() {
    let mut patience = Patience::new(Graces::default());
    for (restarts, doomed) in [(1, false), (2, false), (3, true)] {
        let found = findings([&pod("web-1", waiting("CrashLoopBackOff", "", restarts))]);
        assert_eq!(patience.judge(&found, at(1)).doomed.is_some(), doomed, "{restarts}");
    }
}

#[test]
fn what_no_node_takes_is_shown_late_and_never_given_up() {
    let mut patience = Patience::new(Graces::default());
    let pod = json!({
        "metadata": { "name": "web-1" },
        "status": { "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                     "message": "0/3 nodes are available: 3 Insufficient cpu." }] },
    });
    let found = findings([&pod]);
    assert_eq!(patience.judge(&found, at(0)), Verdict { check_at: Some(at(15)), ..Verdict::default() });
    let verdict = patience.judge(&found, at(15));
    assert_eq!(
        verdict.shown.map(|finding| finding.cause().message),
        Some("pod web-1 cannot be scheduled: 0/3 nodes are available: 3 Insufficient cpu.".to_owned())
    );
    assert_eq!(patience.judge(&found, at(100_000)).doomed, None);
}

#[test]
fn only_the_set_of_the_current_revision_counts() {
    let with = |revision: &str| json!({ "metadata": { "annotations": { "deployment.kubernetes.io/revision": revision } } });
    let sets = [with("9"), with("10")];
    assert_eq!(current_set(&with("10"), &sets), Some(&sets[1]));
    assert_eq!(current_set(&json!({}), &sets), Some(&sets[1]));
    assert_eq!(current_set(&with("11"), &sets), None, "the new set is not known yet");
}

#[test]
fn only_pods_of_the_current_revision_count() {
    let pod = |key: &str, value: &str| json!({ "metadata": { "labels": { key: value } } });
    let set = json!({ "status": { "updateRevision": "web-2" } });
    assert!(is_current("StatefulSet", &set, &pod("controller-revision-hash", "web-2")));
    assert!(!is_current("StatefulSet", &set, &pod("controller-revision-hash", "web-1")));
    let daemons =
        json!({ "metadata": { "annotations": { "deprecated.daemonset.template.generation": "2" } } });
    assert!(is_current("DaemonSet", &daemons, &pod("pod-template-generation", "2")));
    assert!(!is_current("DaemonSet", &daemons, &pod("pod-template-generation", "1")));
    assert!(is_current("Job", &json!({}), &pod("x", "y")));
}

/// A finding of this cause whose container was restarted so often.
fn finding(trouble: Trouble, restarts: u32) -> Finding {
    Finding { trouble, restarts, ..Finding::refused("Reason", "message") }
}

#[test]
fn each_cause_is_borne_for_the_grace_of_its_row() {
    let cases = [
        // trouble, restarts, shown at, ends at (seconds)
        (Trouble::CrashLoop, 2, Some(0), None),
        (Trouble::CrashLoop, 3, Some(0), Some(0)),
        (Trouble::BadConfig, 0, Some(0), Some(60)),
        (Trouble::ImagePull, 0, Some(0), Some(60)),
        (Trouble::ReplicaFailure, 0, Some(0), Some(60)),
        (Trouble::Unschedulable, 0, Some(15), None),
        (Trouble::NotReady, 0, Some(15), None),
    ];
    for (trouble, restarts, shown, ends) in cases {
        check_grace(Graces::default(), &finding(trouble, restarts), (shown, ends));
    }
    let tested: Vec<Trouble> = cases.iter().map(|(trouble, ..)| *trouble).collect();
    assert!(Trouble::all().all(|trouble| tested.contains(&trouble)), "a row of the table has no case");
}

#[test]
fn a_grace_that_is_said_otherwise_counts() {
    let ten = Grace::After(Duration::from_secs(10));
    for trouble in Trouble::all() {
        let shown = if trouble.row().shown.is_zero() { 0 } else { 15 };
        let found = finding(trouble, 0);
        check_grace(Graces::default().with(trouble, ten), &found, (Some(shown), Some(10)));
        check_grace(Graces::default().with(trouble, Grace::Never), &found, (Some(shown), None));
        let late = Graces::default().with(trouble, Grace::Never).shown_after(trouble, Duration::from_secs(7));
        check_grace(late, &found, (Some(7), None));
    }
    let patient = Graces::default().with(Trouble::CrashLoop, Grace::Restarts(5));
    check_grace(patient.clone(), &finding(Trouble::CrashLoop, 4), (Some(0), None));
    check_grace(patient, &finding(Trouble::CrashLoop, 5), (Some(0), Some(0)));
}

/// Judges the finding every second for two minutes; both times are the first at which it was so.
fn check_grace(graces: Graces, finding: &Finding, expected: (Option<u64>, Option<u64>)) {
    let mut patience = Patience::new(graces);
    let (mut shown, mut doomed) = (None, None);
    for second in 0..120 {
        let verdict = patience.judge(std::slice::from_ref(finding), at(second));
        shown = shown.or(verdict.shown.map(|_| second));
        doomed = doomed.or(verdict.doomed.map(|_| second));
    }
    assert_eq!((shown, doomed), expected, "{finding:?}");
}

#[test]
fn each_reason_of_the_table_leads_to_its_cause() {
    for row in causes::ROWS {
        for reason in row.reasons() {
            let found = findings([&pod("web-1", waiting(reason, "message", 1))]);
            assert_eq!(found.iter().map(Finding::code).collect::<Vec<_>>(), [row.code], "{reason}");
        }
    }
    check(waiting("SomethingElse", "message", 0), None);
}

#[test]
fn causes_are_named_by_the_last_word_of_their_code() {
    for trouble in Trouble::all() {
        assert_eq!(trouble.name().parse(), Ok(trouble));
        assert!(trouble.row().code.ends_with(&format!(".{trouble}")));
    }
    assert!("quota".parse::<Trouble>().is_err());
}

#[test]
fn refused_pods_are_read_from_the_condition_where_there_is_one() {
    let with = |status: &str| {
        json!({ "status": { "conditions": [
            { "type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": "exceeded quota: few" }] } })
    };
    let text = |workload: &Value| replica_failure(workload).map(|finding| finding.text());
    assert_eq!(
        text(&with("True")).as_deref(),
        Some("its pods are refused: FailedCreate: exceeded quota: few")
    );
    assert_eq!(text(&with("False")), None);
    assert_eq!(text(&json!({})), None);
}

#[test]
fn refused_pods_are_read_from_the_newest_event_where_there_is_no_condition() {
    let event = |reason: &str, message: &str| json!({ "reason": reason, "message": message });
    let (made, refused) =
        (event("SuccessfulCreate", "pod web-0"), event("FailedCreate", "exceeded quota: few"));
    let other = event("Killing", "x");
    for (events, told) in [
        (vec![], false),
        (vec![&refused], true),
        (vec![&made, &refused, &other], true),
        (vec![&refused, &made], false),
        (vec![&other], false),
    ] {
        let events: Vec<Value> = events.into_iter().cloned().collect();
        let found = refusal(&events).map(|finding| finding.message);
        assert_eq!(found.as_deref(), told.then_some("exceeded quota: few"), "{events:?}");
    }
}

#[test]
fn how_many_pods_there_should_be_is_known_where_only_events_tell_of_refusals() {
    for (kind, workload, expected) in [
        ("StatefulSet", json!({ "spec": { "replicas": 3 } }), 3),
        ("StatefulSet", json!({}), 1),
        ("DaemonSet", json!({ "status": { "desiredNumberScheduled": 2 } }), 2),
        ("DaemonSet", json!({ "status": { "desiredNumberScheduled": 0 } }), 0),
        ("Job", json!({ "spec": { "parallelism": 4 } }), 1),
        ("Deployment", json!({ "spec": { "replicas": 3 } }), 0),
        ("ReplicaSet", json!({ "spec": { "replicas": 3 } }), 0),
    ] {
        assert_eq!(wanted(kind, &workload), expected, "{kind} {workload}");
    }
}
