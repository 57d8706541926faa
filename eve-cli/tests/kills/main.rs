//! The real eve, killed with SIGKILL on a real control plane: wherever it dies, `eve resume` goes on to the outcome of a run
//! that nobody disturbed, and nothing is done twice but what was in flight.
//!
//! The program must be built with fail points:
//!
//! ```text
//! cargo test --workspace --features eve-cli/fail-points --test kills -- --nocapture
//! ```
//!
//! `EVE_KILLS=sweep` tries every occurrence of every point instead of those of every change; any other value is a list of
//! cases as they are printed, such as `drain serial committed:stopping:1 before-append:resumed:1`, separated by `;`.
//! `EVE_KILLS_SEED` chooses the random times (4 where nothing is said); it is printed with each case.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by a panic, and so do the functions that only tests call; it says what it did"
)]

mod cases;
mod delete;
mod desk;
mod plans;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use cases::{Case, Course, Kill, Pace};
use desk::{Desk, REFUSED};
use eve_core::ids::RunId;
use eve_store::RunState;
use eve_testbed::{ControlPlane, Options};
use futures::{FutureExt as _, StreamExt as _, stream};
use plans::{Plan, UNDECIDED};
use rules::{ObjectName, Snapshot};
use serde_json::{Value, json};

/// Runs that are killed side by side: most of a run is waiting.
const BESIDE: usize = 8;
/// How many kills there are at least with every change.
const KILLS_MIN: usize = 50;
/// Room for the pods of a whole sweep, 500 on each.
const NODES: u16 = 12;
/// How long a request is given to be under way, one after the other until it is so: microseconds.
const SENDING_US: [u32; 7] = [1000, 2000, 4000, 8000, 16_000, 3000, 6000];

/// How a plan goes when nobody disturbs it.
struct Reference {
    class: Value,
    writes: BTreeMap<ObjectName, usize>,
    course: Course,
}

/// What came of a case.
#[derive(Default)]
struct Report {
    kills: usize,
    extra: usize,
    reached: Vec<String>,
    broken: Vec<String>,
    /// The request of a `sent` point was not under way: it had not left, or was answered.
    missed: bool,
    /// How often an object was in flight at a kill.
    interrupted: BTreeMap<ObjectName, usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_goes_on_to_the_outcome_of_one_that_nobody_disturbed() {
    let control_plane = &ControlPlane::start(Options::new().nodes(NODES)).await.unwrap();
    webhook_that_cannot_be_reached(control_plane).await;
    let begun = Instant::now();
    let undisturbed = Plan::ALL.map(|plan| async move { (plan, reference(control_plane, plan).await) });
    let references: BTreeMap<Plan, Reference> =
        futures::future::join_all(undisturbed).await.into_iter().collect();
    let courses = references.iter().map(|(plan, reference)| (*plan, reference.course.clone())).collect();

    let seed = std::env::var("EVE_KILLS_SEED").map_or(4, |seed| seed.parse().unwrap());
    let chosen = std::env::var("EVE_KILLS").unwrap_or_default();
    let cases = match chosen.as_str() {
        "" => cases::of_every_change(&courses, seed),
        "sweep" => cases::sweep(&courses, seed),
        listed => Case::parse_all(listed),
    };
    let number = cases.len();
    let played = stream::iter(cases).map(|case| {
        let reference = &references[&case.plan];
        async move {
            let played =
                AssertUnwindSafe(play_until_sent(control_plane, &case, reference)).catch_unwind().await;
            let report = played.unwrap_or_else(|_| Report {
                broken: vec![
                    "something cannot be read or does not end: the panic above says what".to_owned(),
                ],
                ..Report::default()
            });
            eprintln!(
                "{case}: {} kills, {} written again; {}",
                report.kills,
                report.extra,
                report.reached.join("; ")
            );
            (case, report)
        }
    });
    let reports: Vec<(Case, Report)> = played.buffer_unordered(BESIDE).collect().await;
    let sum = |count: fn(&Report) -> usize| reports.iter().map(|(_, report)| count(report)).sum::<usize>();
    let kills = sum(|report| report.kills);
    eprintln!(
        "{kills} kills in {number} runs, {} writes more than undisturbed; seed {seed}; {:.0} s",
        sum(|report| report.extra),
        begun.elapsed().as_secs_f64()
    );
    let broken: Vec<String> = reports
        .iter()
        .filter(|(_, report)| !report.broken.is_empty())
        .map(|(case, report)| {
            format!("EVE_KILLS_SEED={seed} EVE_KILLS='{case}':\n    {}", report.broken.join("\n    "))
        })
        .collect();
    assert!(broken.is_empty(), "{} of {number} runs broke a rule:\n{}", broken.len(), broken.join("\n"));
    assert!(!chosen.is_empty() || kills >= KILLS_MIN, "{kills} kills are too few");
}

/// Writes of objects with the label cannot be decided on: a refusal that may pass.
async fn webhook_that_cannot_be_reached(control_plane: &ControlPlane) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": UNDECIDED },
        "webhooks": [{
            "name": "nobody.test.eve.dev", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": { "url": "https://127.0.0.1:1/" }, "failurePolicy": "Fail",
            "objectSelector": { "matchLabels": { UNDECIDED: "yes" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"] }],
        }],
    });
    let client = control_plane.admin_client().await;
    let post = |path: &str, body: &Value| {
        let request = http::Request::post(path).header("content-type", "application/json");
        client.request::<Value>(request.body(body.to_string().into_bytes()).unwrap())
    };
    post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", &configuration)
        .await
        .unwrap();
    let trial = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "trial", "labels": { UNDECIDED: "yes" } },
    });
    // It is in force when the first is refused.
    while post("/api/v1/namespaces/default/configmaps?dryRun=All", &trial).await.is_ok() {}
}

async fn reference(control_plane: &ControlPlane, plan: Plan) -> Reference {
    let desk = Desk::new(control_plane, plan, Pace::Parallel).await;
    let begun = Instant::now();
    let ended = desk.go_on(None).await;
    let wall = begun.elapsed();
    let (run, _) = desk.run().unwrap_or_else(|| panic!("{plan} does not begin: {}", ended.err));
    let records = desk.records(&run);
    let mut events = BTreeMap::new();
    for record in &records {
        let event = serde_json::to_value(&record.event).unwrap();
        *events.entry(event["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let entries = control_plane.audit().settle().await;
    let broken = rules::in_order(&rules::graph(&desk, &run), &records, &entries, desk.namespace());
    assert!(broken.is_empty(), "{plan}, undisturbed: {broken:?}");
    let class = rules::class(&desk.status(&run).await);
    assert_eq!(class["exitCode"], json!(ended.status.code()), "{}", ended.err);
    eprintln!("{plan}, undisturbed: {:.1} s, {events:?}, {class}", wall.as_secs_f64());
    let writes = rules::writes(&entries, desk.namespace());
    Reference { class, writes, course: Course { events, wall } }
}

/// Plays a case; one whose request was not under way at the kill is played again with another time, and counts as well.
async fn play_until_sent(control_plane: &ControlPlane, case: &Case, reference: &Reference) -> Report {
    let mut report = Report::default();
    for time in SENDING_US {
        let mut timed = case.clone();
        for kill in &mut timed.kills {
            if let Kill::Point(point) = kill
                && point.starts_with("sent:")
            {
                *point = format!("{point}:{time}us");
            }
        }
        let played = play(control_plane, &timed, reference).await;
        report.kills += played.kills;
        report.extra += played.extra;
        report.reached.extend(played.reached);
        report.broken.extend(played.broken);
        report.missed = played.missed;
        if !report.missed || !report.broken.is_empty() {
            return report;
        }
    }
    report.broken.push(format!("no request was under way at the kill: {:?}", report.reached));
    report
}

async fn play(control_plane: &ControlPlane, case: &Case, reference: &Reference) -> Report {
    let desk = Desk::new(control_plane, case.plan, case.pace).await;
    let mut report = Report::default();
    let mut seen = Vec::new();
    for kill in &case.kills {
        let ended = desk.go_on(Some(kill)).await;
        if !ended.was_killed() {
            if let Kill::Point(point) = kill
                && !point.starts_with("at:")
            {
                report.broken.push(format!("{point} is not reached: {:?}: {}", ended.status, ended.err));
            }
            continue;
        }
        report.kills += 1;
        if let Kill::Point(point) = kill {
            let proof = desk.reached().into_iter().find(|line| line.split(' ').next() == Some(point));
            report.missed |= is_missed(&desk, point, proof.as_deref()).await;
            match proof {
                Some(line) => report.reached.push(line),
                None => report.broken.push(format!("nothing proves that {point} was reached")),
            }
        }
        control_plane.audit().settle().await;
        let mut applied = BTreeSet::new();
        if let Some((run, _)) = desk.run() {
            at_kill(&desk, case, &run, &mut report);
            applied = rules::applied(&rules::graph(&desk, &run), &desk.records(&run));
        }
        seen.push(Snapshot { identities: rules::identities(&desk).await, applied });
    }
    finish(&desk, reference, &mut report).await;
    let Some((run, _)) = desk.run() else { return report };
    let after = rules::identities(&desk).await;
    report.broken.extend(seen.iter().flat_map(|before| rules::untouched(before, &after)));
    judge(&desk, reference, &run, &mut report).await;
    report
}

/// Whether the request of a `sent` point was not under way: the server has not seen it, or the call was over.
async fn is_missed(desk: &Desk<'_>, point: &str, proof: Option<&str>) -> bool {
    let Some(proof) = proof.filter(|_| point.starts_with("sent:")) else { return false };
    let mut words = proof.split(' ').skip(1);
    let mut names = words.next().unwrap_or_default().split('/').skip(1);
    let resource = format!("{}s", names.next().unwrap_or_default());
    let name = names.next().unwrap_or_default();
    let sent = desk.control_plane().audit().settle().await.by_user("eve").in_namespace(desk.namespace());
    let sent = sent.verb("patch").resource(&resource).filter(|entry| entry.name == name);
    let is_seen = match point.split(':').nth(1) {
        Some("prepare") => !sent.dry_runs().is_empty(),
        Some("apply") => !sent.writes().is_empty(),
        // Waits share their requests.
        _ => true,
    };
    words.next().is_some() || !is_seen
}

/// What must hold as soon as the process is dead; counts what was in flight.
fn at_kill(desk: &Desk<'_>, case: &Case, run: &RunId, report: &mut Report) {
    let graph = rules::graph(desk, run);
    let in_flight = rules::in_flight(&desk.records(run));
    let both = in_flight.started.union(&in_flight.announced);
    for object in both.filter_map(|id| graph[id.index()].object()) {
        *report.interrupted.entry(object).or_default() += 1;
    }
    let (started, announced) = (in_flight.started.len(), in_flight.announced.len());
    if case.pace == Pace::Serial && (started > 1 || announced > 1) {
        let found = format!("{started} components are in flight and {announced} announced, one at a time");
        report.broken.push(found);
    }
}

/// Resumes until the run is over, once as a rule.
async fn finish(desk: &Desk<'_>, reference: &Reference, report: &mut Report) {
    let was_over = matches!(desk.run(), Some((_, RunState::Finished(_))));
    let ended = desk.go_on(None).await;
    let expected = if was_over { json!(REFUSED) } else { reference.class["exitCode"].clone() };
    if json!(ended.status.code()) != expected {
        report.broken.push(format!("ends with {:?}, not {expected}: {}", ended.status, ended.err));
    }
    if was_over && !ended.err.contains("is over") {
        report.broken.push(format!("a run that is over goes on: {}", ended.err));
    }
}

/// What must hold when the run is over.
async fn judge(desk: &Desk<'_>, reference: &Reference, run: &RunId, report: &mut Report) {
    let class = rules::class(&desk.status(run).await);
    if class != reference.class {
        report
            .broken
            .push(format!("the outcome is\n      {class}, undisturbed it is\n      {}", reference.class));
    }
    let entries = desk.control_plane().audit().settle().await;
    let written = rules::writes(&entries, desk.namespace());
    let graph = rules::graph(desk, run);
    report.extra = written.values().sum::<usize>().saturating_sub(reference.writes.values().sum());
    report.broken.extend(rules::written_once(&graph, &reference.writes, &written, &report.interrupted));
    report.broken.extend(rules::in_order(&graph, &desk.records(run), &entries, desk.namespace()));
    report.broken.extend(rules::let_go(desk, run));
    report.broken.extend(rules::no_secrets(desk));
}
