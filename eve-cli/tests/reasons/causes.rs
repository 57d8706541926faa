//! Every cause is provoked. A run ends within twice the cause's grace though it has ten times as long, and says why. Where the
//! machine is so busy that a run which finds all well takes long, one that fails may take longer by as much.

use std::time::Duration;

use eve_testbed::{ControlPlane, DELAY, Options, STAGE};
use serde_json::{Value, json};

use super::{Ended, assert_text, create, eve, text, webhook, workload};

/// The grace that the runs are given for the cause that they meet.
const GRACE: Duration = Duration::from_secs(4);
/// How long the runs may take: more than ten times as long.
const TIMEOUT: &str = "60s";
/// The case in whose namespace a webhook denies all pods.
const WEBHOOK: &str = "webhook-denies";

/// One failure, and what brings it about.
struct Case {
    /// The name of the snapshot, and of the namespace.
    name: &'static str,
    /// What is there before, made by somebody else: collection and object.
    before: Vec<(&'static str, Value)>,
    objects: Vec<Value>,
    /// `--grace`; where there is none, the failure ends the run at once.
    grace: Option<&'static str>,
    /// The object that fails.
    fails: &'static str,
}

impl Case {
    /// A Deployment whose pods meet this fate.
    fn stage(name: &'static str, stage: &str, grace: Option<&'static str>) -> Self {
        Self::of(name, workload("Deployment", "web", json!({ STAGE: stage }), json!({})), grace)
    }

    fn of(name: &'static str, object: Value, grace: Option<&'static str>) -> Self {
        let fails = match object["kind"].as_str().unwrap() {
            "Deployment" => "deployment/web",
            "StatefulSet" => "statefulset/web",
            "DaemonSet" => "daemonset/daemons",
            "Job" => "job/job",
            "Pod" => "pod/alone",
            other => panic!("no kind of pods: {other}"),
        };
        Self { name, before: Vec::new(), objects: vec![object], grace, fails }
    }

    fn beside(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    fn after(mut self, collection: &'static str, object: Value) -> Self {
        self.before.push((collection, object));
        self
    }
}

fn pods_of(spec: Value) -> Value {
    json!({ "template": { "spec": spec } })
}

fn quota(pods: u32) -> Value {
    json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" },
            "spec": { "hard": { "pods": pods.to_string() } } })
}

fn by_stages() -> Vec<Case> {
    let settings =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": {} });
    let starting = json!({ STAGE: "slow", DELAY: "10m" });
    let alone = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "alone", "annotations": { STAGE: "failed" } },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "registry.example.com/alone:1" }] },
    });
    vec![
        Case::stage("crash-loop", "crash-loop", None),
        Case::stage("bad-config", "bad-config", Some("bad-config=4s")),
        Case::stage("bad-config-upstream", "bad-config", Some("bad-config=4s")).beside(settings),
        Case::stage("image-pull", "image-pull", Some("image-pull=4s")),
        Case::stage("not-ready", "never-ready", Some("not-ready=4s")),
        Case::of("not-started", workload("Deployment", "web", starting, json!({})), Some("not-ready=4s")),
        Case::of("pod-failed", alone, None),
        Case::of(
            "job-failed",
            workload("Job", "job", json!({ STAGE: "job-failed" }), json!({ "backoffLimit": 0 })),
            None,
        ),
    ]
}

fn by_controllers() -> Vec<Case> {
    let plain = |kind, name, spec| workload(kind, name, json!({}), spec);
    let never = || json!({ STAGE: "never-ready" });
    vec![
        Case::of("quota", plain("Deployment", "web", json!({ "replicas": 2 })), Some("replica-failure=4s"))
            .after("resourcequotas", quota(1)),
        Case::of(
            "quota-stateful-set",
            plain("StatefulSet", "web", json!({ "replicas": 2 })),
            Some("replica-failure=4s"),
        )
        .after("resourcequotas", quota(1)),
        Case::of("quota-daemon-set", plain("DaemonSet", "daemons", json!({})), Some("replica-failure=4s"))
            .after("resourcequotas", quota(1)),
        Case::of("quota-job", plain("Job", "job", json!({})), Some("replica-failure=4s"))
            .after("resourcequotas", quota(0)),
        Case::of(WEBHOOK, plain("Deployment", "web", json!({})), Some("replica-failure=4s")),
        Case::of(
            "account-missing",
            plain("Deployment", "web", pods_of(json!({ "serviceAccountName": "clerk" }))),
            Some("replica-failure=4s"),
        ),
        Case::of(
            "unschedulable",
            plain("Deployment", "web", pods_of(json!({ "nodeSelector": { "disk": "fast" } }))),
            Some("unschedulable=4s"),
        ),
        Case::of(
            "claim-missing",
            plain(
                "Deployment",
                "web",
                pods_of(json!({ "volumes": [
                { "name": "data", "persistentVolumeClaim": { "claimName": "data" } }] })),
            ),
            Some("unschedulable=4s"),
        ),
        Case::of(
            "progress-deadline",
            workload("Deployment", "web", never(), json!({ "progressDeadlineSeconds": 3 })),
            None,
        ),
        Case::of("paused", plain("Deployment", "web", json!({ "paused": true })), None),
        Case::of(
            "job-deadline",
            workload("Job", "job", never(), json!({ "activeDeadlineSeconds": 1 })),
            None,
        ),
    ]
}

async fn provoke(control_plane: &ControlPlane, case: Case) -> (Case, String, Ended) {
    let namespace = control_plane.namespace(case.name).await;
    if case.name == WEBHOOK {
        webhook::deny_pods(control_plane, namespace.name()).await;
    }
    for (collection, object) in &case.before {
        create(control_plane, &format!("/api/v1/namespaces/{namespace}/{collection}"), object).await;
    }
    let mut args = vec!["apply", "-q", "-f", "-", "-n", namespace.name(), "--timeout", TIMEOUT];
    args.extend(case.grace.iter().flat_map(|grace| ["--grace", *grace]));
    let ended = eve(control_plane, &args, &text(&case.objects)).await;
    (case, namespace.name().to_owned(), ended)
}

/// How long a run takes at the moment that finds all well.
async fn undisturbed(control_plane: &ControlPlane) -> Duration {
    let well = Case::stage("well", "ready", None);
    let (_, _, ended) = provoke(control_plane, well).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended.took
}

/// Runs that take about as long as their grace, all at once.
async fn check(cases: Vec<Case>) {
    let control_plane = ControlPlane::shared().await;
    let runs = cases.into_iter().map(|case| provoke(control_plane, case));
    let runs = futures::future::join_all(runs);
    let (undisturbed, runs) = futures::future::join(undisturbed(control_plane), runs).await;
    let most = (GRACE * 2).max(GRACE + undisturbed * 2);
    for (case, namespace, ended) in runs {
        let name = case.name;
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.err);
        assert!(
            ended.err.contains(&format!("{} failed to become ready: ", case.fails)),
            "{name}: {}",
            ended.err
        );
        let borne = case.grace.map_or(Duration::ZERO, |_| GRACE);
        assert!(ended.took >= borne, "{name} was not borne for its grace: {:?}", ended.took);
        assert!(ended.took < most, "{name} took {:?} of {most:?}:\n{}", ended.took, ended.err);
        assert_text(name, &namespace, &ended.err);
    }
}

#[tokio::test]
async fn each_fate_of_pods_ends_a_run_within_twice_its_grace() {
    check(by_stages()).await;
}

#[tokio::test]
async fn each_refusal_of_a_controller_ends_a_run_within_twice_its_grace() {
    check(by_controllers()).await;
}

#[tokio::test]
async fn forty_pods_with_one_cause_give_one_finding() {
    // Its own: so many events hold up those of the tests beside this one.
    let control_plane = &ControlPlane::start(Options::default()).await.unwrap();
    let namespace = control_plane.namespace("forty").await;
    let forty = workload("Deployment", "web", json!({ STAGE: "crash-loop" }), json!({ "replicas": 40 }));
    // By then all of them have crashed.
    let args =
        ["apply", "-q", "-f", "-", "-n", namespace.name(), "--timeout", TIMEOUT, "--grace", "crash-loop=5"];
    let ended = eve(control_plane, &args, &text(&[forty])).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert_eq!(ended.err.matches("crashed and was restarted").count(), 1, "{}", ended.err);
    let many = ended.err.split(" pods (first web-").next().and_then(|text| text.rsplit(' ').next());
    let many: u32 = many.and_then(|many| many.parse().ok()).unwrap_or_default();
    // Of forty that crash in turn some run at any moment.
    assert!((20..=40).contains(&many), "{many}: {}", ended.err);
    assert_text("forty-pods", &namespace, &ended.err);
}

#[tokio::test]
async fn a_deadline_that_passed_before_the_run_is_not_held_against_it() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("bygone").await;
    // Long enough that the pod is there by then, which is progress.
    let late = workload(
        "Deployment",
        "web",
        json!({ STAGE: "never-ready" }),
        json!({ "progressDeadlineSeconds": 3 }),
    );
    let args =
        ["apply", "-q", "-f", "-", "-n", namespace.name(), "--timeout", TIMEOUT, "--grace", "not-ready=4s"];
    let first = eve(control_plane, &args[..args.len() - 2], &text(std::slice::from_ref(&late))).await;
    assert!(first.err.contains("no progress within the Deployment's own deadline"), "{}", first.err);
    let second = eve(control_plane, &args, &text(std::slice::from_ref(&late))).await;
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert!(second.took >= GRACE, "{:?}: {}", second.took, second.err);
    assert_text("not-ready", &namespace, &second.err);

    // What comes up after all is ready, whatever was said before.
    let mut repaired = late;
    repaired["spec"]["replicas"] = json!(0);
    let third = eve(control_plane, &args, &text(&[repaired])).await;
    assert_eq!(third.code, Some(0), "{}", third.err);
}
