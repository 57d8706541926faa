//! Faults that a real API server does not produce on demand: overload, silence, broken watches, stale answers.
//!
//! A scripted service stands in for the server; time is paused, so that an hour of waiting takes none. What a real
//! server does produce is tested against one, in `cluster/`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Told, graph, step, step_of, write};
use eve_core::failure::{Failure, FailureClass};
use eve_core::plan::Until;
use eve_core::ports::{Executor, Step};
use eve_core::run::{Applied, Change, Outputs};
use eve_k8s::{Followed, KubeExecutor};
use fake::{Answer, COLLECTION, FakeApi, Line, deployment, deployments, list, not_found, status};
use serde_json::{Value, json};
use tokio::time::Instant;

fn config_map() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "a": "b" } })
}

fn secret() -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "password" }, "data": { "a": STANDARD.encode(common::value("a")) } })
}

/// The failure of applying `object` where the server answers the write like this, and how many writes there were.
async fn refused(object: Value, answer: impl Fn() -> Answer + Send + Sync + 'static) -> (Failure, usize) {
    let api =
        FakeApi::new(move |asked, _, _| if asked.starts_with("patch") { answer() } else { not_found() });
    let executor = api.executor();
    let failure = write(&executor, &step(&graph("shop", [object]), 0)).await.unwrap_err();
    (failure, api.asked("patch").len())
}

#[tokio::test(start_paused = true)]
async fn no_request_is_sent_twice_and_nothing_is_slept_on() {
    for code in [429, 500, 502, 503, 504] {
        let begun = Instant::now();
        let (failure, writes) = refused(config_map(), move || status(code, "", "try again later")).await;
        assert_eq!((failure.class, writes), (FailureClass::Transient, 1), "{code}: {failure}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_sent_less_at_once() {
    for (code, at_once) in [(429, 1), (503, 1), (500, 8)] {
        let api = FakeApi::new(move |asked, before, _| match asked.split_once(' ').unwrap() {
            ("patch", path) if path.ends_with("/first") && before == 0 => {
                status(code, "", "too many requests")
            }
            ("patch", _) => Answer::Silence,
            ("get", SETTINGS) => list(1, &[]),
            _ => not_found(),
        });
        let executor = api.executor();
        let names = ["first", "a", "b", "c", "d", "e", "f", "g", "h"];
        let graph = graph("shop", names.map(named));
        write(&executor, &step(&graph, 0)).await.unwrap_err();
        let steps: Vec<Step> = (1..9).map(|index| step(&graph, index)).collect();
        let all = futures::future::join_all(steps.iter().map(|step| write(&executor, step)));
        // Less than one request may take.
        let all = tokio::time::timeout(Duration::from_secs(20), all).await;
        assert!(all.is_err(), "nobody answers");
        assert_eq!(api.asked("patch").len(), 1 + at_once, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_way_are_transient() {
    type Fault = fn() -> Answer;
    let faults: [(Fault, &str); 4] = [
        (|| Answer::Silence, "k8s.api.timeout"),
        (|| Answer::Break, "k8s.api.unreachable"),
        (|| Answer::Text(200, "<html>"), "k8s.api.malformed"),
        (|| Answer::Text(503, "<html>upstream away</html>"), "k8s.api.unavailable"),
    ];
    for (fault, code) in faults {
        let (failure, writes) = refused(config_map(), fault).await;
        assert_eq!(
            (failure.code.as_ref(), failure.class, writes),
            (code, FailureClass::Transient, 1),
            "{failure}"
        );
        assert!(failure.message.starts_with("apply ConfigMap shop/settings: "), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_given_up_after_its_own_timeout() {
    let timeout = Duration::from_secs(7);
    let api = FakeApi::new(|_, _, _| Answer::Silence);
    let executor = KubeExecutor::builder(api.client.clone().with_request_timeout(timeout)).build();
    let begun = Instant::now();
    let failure = write(&executor, &step(&graph("shop", [config_map()]), 0)).await.unwrap_err();
    assert_eq!(failure.message, "list configmaps in shop: no answer within 7 s");
    assert_eq!(begun.elapsed().as_secs(), timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn refusals_have_their_codes() {
    for (code, reason, message, expected, class) in [
        (401, "Unauthorized", "Unauthorized", "k8s.api.unauthorized", FailureClass::Permanent),
        (409, "Conflict", "the object has been modified", "k8s.api.conflict", FailureClass::Transient),
        (
            403,
            "Forbidden",
            "configmaps \"x\" is forbidden: exceeded quota: small, requested: 1",
            "k8s.apply.quota",
            FailureClass::Permanent,
        ),
        (
            400,
            "BadRequest",
            "admission webhook \"policy.example.com\" denied the request: no label",
            "k8s.apply.denied",
            FailureClass::Permanent,
        ),
        (
            422,
            "Invalid",
            "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'labels' with binding 'all' denied request: no label",
            "k8s.apply.denied",
            FailureClass::Permanent,
        ),
        (
            500,
            "InternalError",
            "Internal error occurred: failed calling webhook \"policy.example.com\": failed to call webhook: Post \
             \"https://policy\": no route",
            "k8s.apply.webhook-unreachable",
            FailureClass::Transient,
        ),
    ] {
        let (failure, _) = refused(config_map(), move || status(code, reason, message)).await;
        assert_eq!((failure.code.as_ref(), failure.class), (expected, class), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_away_is_no_matter_of_rights() {
    let terminating = || {
        let cause =
            json!([{ "reason": "NamespaceTerminating", "message": "…", "field": "metadata.namespace" }]);
        let body =
            json!({ "code": 403, "reason": "Forbidden", "message": "…", "details": { "causes": cause } });
        Answer::Json(403, body)
    };
    let (failure, _) = refused(config_map(), terminating).await;
    assert_eq!(failure.message, "ConfigMap shop/settings: the namespace `shop` is being deleted");
}

#[test]
fn a_leak_is_found_in_whatever_is_looked_at() {
    let coded = STANDARD.encode(common::value("a"));
    let snapshot = json!({ "name": "snapshot", "labels": { "eve.dev/run": "r" } });
    common::unseen("labels of a snapshot", &snapshot);
    for leak in [
        json!({ "labels": { "eve.dev/run": common::value("a") } }),
        json!({ "annotations": { "eve.dev/before": coded } }),
        json!({ "managedFields": [{ "fieldsV1": { "f:data": { common::value("a"): {} } } }] }),
    ] {
        std::panic::catch_unwind(|| common::unseen("labels of a snapshot", &leak)).unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn no_refusal_of_a_secret_quotes_it() {
    for (code, message) in [
        (422, "Secret \"password\" is invalid: data[a]: Invalid value: \"VALUE\""),
        (400, "strict decoding error: unknown field \"VALUE\""),
        (400, "admission webhook \"policy.example.com\" denied the request: VALUE is weak"),
        (403, "secrets \"password\" is forbidden: VALUE is weak"),
        (409, "VALUE"),
        (500, "failed to create typed patch object: VALUE"),
        (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: VALUE is weak"),
        (503, "VALUE"),
        (418, "VALUE"),
    ] {
        let message = message.replace("VALUE", &common::value("a"));
        let (failure, _) = refused(secret(), move || status(code, "Odd", &message)).await;
        let failure = common::unseen("a failure", failure);
        assert!(failure.message.contains("Secret shop/password"), "{code}: {failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_beyond_the_limit_is_an_error() {
    let api = FakeApi::new(|_, _, _| Answer::Json(200, json!({ "data": "x".repeat(5000) })));
    let client = api.client.clone().with_answer_bytes_max(4096);
    let executor = KubeExecutor::builder(client).build();
    let failure = write(&executor, &step(&graph("shop", [config_map()]), 0)).await.unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.api.too-large", FailureClass::Permanent),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_without_a_namespace_of_its_own_is_written_into_that_of_the_plan() {
    let api = FakeApi::new(|asked, _, _| match asked.split_once(' ').unwrap() {
        ("get", _) => not_found(),
        _ => Answer::Json(201, json!({ "metadata": { "uid": "u", "resourceVersion": "1" } })),
    });
    let spec = json!({ "object": config_map(), "forceConflicts": true });
    let (_, applied) = write(&api.executor(), &step_of("shop", spec)).await.unwrap();
    assert_eq!(applied.change, Change::Create);
    let log = api.log.lock().unwrap().clone();
    let (asked, query) = log.last().unwrap();
    assert_eq!(asked, "patch /api/v1/namespaces/shop/configmaps/settings");
    assert_eq!(query, "fieldManager=eve&fieldValidation=Strict&force=true");
}

fn gone(code: u16) -> Value {
    json!({ "kind": "Status", "code": code, "reason": "Expired", "message": "too old resource version" })
}

fn web() -> Step {
    let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" } });
    step(&graph("shop", [object]), 0)
}

/// Waits for `web`, of which our own write was version 5 of generation 2.
async fn wait(api: &FakeApi) -> (Result<Outputs, Failure>, String) {
    let mut applied = Applied::new(Change::Update);
    applied.token = Some(Box::new(json!({ "uid": "u", "resourceVersion": "5", "generation": 2 })));
    let (cx, told) = Told::context();
    let executor = api.executor();
    let step = web();
    let waited = executor.wait(&step, &applied, Until::Ready, &cx);
    let ended = tokio::time::timeout(Duration::from_mins(30), waited).await.expect("the wait ends");
    (ended, told.texts())
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_goes_on_from_where_it_was() {
    let api = deployments(|verb, before, _| match (verb, before) {
        ("list", _) => list(10, &[deployment(10, 0)]),
        ("watch", 0) => Answer::Lines(vec![
            (1, Line::Event("BOOKMARK", json!({ "metadata": { "resourceVersion": "20" } }))),
            (1, Line::Break),
        ]),
        ("watch", 1) => Answer::Lines(vec![]),
        ("watch", 2) => Answer::Break,
        _ => Answer::Lines(vec![(1, Line::Event("MODIFIED", deployment(30, 1)))]),
    });
    wait(&api).await.0.unwrap();
    let watches = api.asked(&format!("watch {COLLECTION}"));
    let since = |query: &String| {
        query.split('&').find(|part| part.starts_with("resourceVersion=")).unwrap().to_owned()
    };
    let since: Vec<String> = watches.iter().map(since).collect();
    assert_eq!(
        since,
        ["resourceVersion=10", "resourceVersion=20", "resourceVersion=20", "resourceVersion=20"]
    );
    assert_eq!(api.asked(&format!("get {COLLECTION}")).len(), 1, "one list was enough");
    assert!(
        watches[0].contains("allowWatchBookmarks=true")
            && watches[0].contains("labelSelector=eve.dev%2Fplan%3Dshop")
    );
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_place_is_listed_anew() {
    let as_event = || Answer::Lines(vec![(0, Line::Event("ERROR", gone(410)))]);
    let as_status = || Answer::Json(410, gone(410));
    let forgotten: [fn() -> Answer; 2] = [as_event, as_status];
    for forgotten in forgotten {
        let api = deployments(move |verb, before, _| match (verb, before) {
            ("list", 0) => list(10, &[deployment(10, 0)]),
            ("list", _) => list(40, &[deployment(40, 1)]),
            ("watch", 0) => forgotten(),
            _ => Answer::Lines(vec![(0, Line::Silence)]),
        });
        wait(&api).await.0.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_not_relied_on() {
    let api = deployments(|verb, _, _| match verb {
        "list" => list(10, &[deployment(10, 0)]),
        "watch" => Answer::Lines(vec![(0, Line::Silence)]),
        _ => Answer::Json(200, deployment(50, 1)),
    });
    // Also where the watch cannot even be opened anew.
    let stuck = deployments(|verb, before, _| match (verb, before) {
        ("list", _) => list(10, &[deployment(10, 0)]),
        ("watch", 0) => Answer::Lines(vec![(0, Line::Silence)]),
        ("watch", _) => Answer::Silence,
        _ => Answer::Json(200, deployment(50, 1)),
    });
    wait(&api).await.0.unwrap();
    wait(&stuck).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_told_and_waited_for() {
    let api = deployments(|verb, before, _| match (verb, before) {
        ("list", 0..3) => status(503, "ServiceUnavailable", "storage is (re)initializing"),
        ("list", _) => list(10, &[deployment(10, 1)]),
        ("watch", _) => Answer::Lines(vec![(0, Line::Silence)]),
        _ => status(503, "ServiceUnavailable", "storage is (re)initializing"),
    });
    let (ended, told) = wait(&api).await;
    ended.unwrap();
    assert!(told.contains("k8s.api.away: list deployments in shop: storage is"), "{told}");
    assert_eq!(api.asked(&format!("get {COLLECTION}")).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_state_older_than_our_write_is_not_judged() {
    // A lagging replica of the API server: available, but before our write.
    let api = deployments(|verb, _, _| match verb {
        "list" => list(4, &[deployment(4, 1)]),
        "watch" => Answer::Lines(vec![(1, Line::Event("MODIFIED", deployment(6, 0))), (0, Line::Break)]),
        _ => Answer::Json(200, deployment(7, 1)),
    });
    let (ended, _) = tokio::time::timeout(Duration::from_mins(2), async {
        let mut applied = Applied::new(Change::Update);
        applied.token = Some(Box::new(json!({ "uid": "u", "resourceVersion": "5", "generation": 2 })));
        let (cx, told) = Told::context();
        let executor = api.executor();
        let step = web();
        let waited = executor.wait(&step, &applied, Until::Ready, &cx);
        let ended = tokio::time::timeout(Duration::from_mins(1), waited).await;
        (ended, told.texts())
    })
    .await
    .unwrap();
    assert!(ended.is_err(), "version 4 was ready, version 6 is not: {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_deletes_is_gone_and_may_be_tried_again() {
    let mut recreated = deployment(20, 1);
    recreated["metadata"]["uid"] = json!("another");
    for last in [Line::Event("DELETED", deployment(20, 1)), Line::Event("ADDED", recreated)] {
        let last = Mutex::new(Some(last));
        let api = deployments(move |verb, before, _| match (verb, before) {
            ("watch", 0) => {
                let last = last.lock().unwrap().take().unwrap();
                Answer::Lines(vec![(1, last), (0, Line::Silence)])
            }
            ("watch", _) => Answer::Lines(vec![(0, Line::Silence)]),
            _ => list(10, &[deployment(10, 0)]),
        });
        let failure = wait(&api).await.0.unwrap_err();
        assert_eq!(
            (failure.code.as_ref(), failure.class),
            ("k8s.object.gone", FailureClass::Transient),
            "{failure}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_list_is_read_page_by_page() {
    let api = deployments(|verb, before, query| match (verb, before) {
        ("list", 0) => {
            let others = vec![json!({ "metadata": { "name": "other", "uid": "o", "resourceVersion": "1" } })];
            Answer::Json(
                200,
                json!({ "metadata": { "resourceVersion": "10", "continue": "next page/" }, "items": others }),
            )
        }
        ("list", _) => {
            assert!(query.contains("continue=next%20page%2F"), "{query}");
            list(10, &[deployment(10, 1)])
        }
        _ => Answer::Lines(vec![(0, Line::Silence)]),
    });
    wait(&api).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_feed_is_shared_and_ends_after_its_last_waiter() {
    let api = deployments(|verb, _, _| match verb {
        "list" => list(10, &[deployment(10, 0)]),
        "watch" => Answer::Lines(vec![(5, Line::Event("MODIFIED", deployment(20, 1))), (0, Line::Silence)]),
        _ => not_found(),
    });
    let executor = api.executor();
    let (cx, _) = Told::context();
    let applied = Applied::new(Change::Update);
    let (first, second) = (web(), web());
    let (first, second) = tokio::join!(
        executor.wait(&first, &applied, Until::Ready, &cx),
        executor.wait(&second, &applied, Until::Ready, &cx),
    );
    first.unwrap();
    second.unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    api.log.lock().unwrap().iter().for_each(|(asked, _)| *counts.entry(asked.clone()).or_default() += 1);
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    assert!(api.open.load(Ordering::SeqCst) > 0);
    // Well past the linger, and well before the silence that would end a watch anyway.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(api.open.load(Ordering::SeqCst), 0, "nobody waits, so nothing is watched");
}

const SETTINGS: &str = "/api/v1/namespaces/shop/configmaps";

fn named(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "b" } })
}

/// What the server has of an object: nothing that eve applied.
fn theirs(name: &str) -> Value {
    json!({ "metadata": { "name": name, "uid": "u", "resourceVersion": "1" } })
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_kind_share_one_list_of_which_only_theirs_is_kept() {
    let api = FakeApi::new(|asked, before, query| match (asked.split_once(' ').unwrap(), before) {
        (("get", SETTINGS), 0) => {
            assert!(!query.contains("fieldSelector"), "{query}");
            let metadata = json!({ "resourceVersion": "1", "continue": "next" });
            Answer::Json(200, json!({ "metadata": metadata, "items": [theirs("one"), theirs("stranger")] }))
        }
        (("get", SETTINGS), _) => {
            assert!(query.contains("continue=next"), "{query}");
            list(1, &[theirs("two")])
        }
        (("patch", _), _) => Answer::Json(200, theirs("x")),
        _ => not_found(),
    });
    let executor = api.executor();
    let graph = graph("shop", ["one", "two", "three"].map(named));
    let (cx, _) = Told::context();
    let mut changes = Vec::new();
    for index in 0..3 {
        changes.push(executor.prepare(&step(&graph, index), &cx).await.unwrap().change);
    }
    assert_eq!(changes, [Change::Update, Change::Update, Change::Create]);
    assert_eq!(api.asked(&format!("get {SETTINGS}")).len(), 2, "two pages of one list");
    assert!(
        api.asked("patch").iter().all(|query| query.contains("dryRun=All")),
        "what exists is tried, no more"
    );
    // Who asks again wants news.
    executor.prepare(&step(&graph, 2), &cx).await.unwrap();
    assert_eq!(api.asked(&format!("get {SETTINGS}/three")).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_read_only_where_nothing_of_the_plan_is_found_in_it() {
    let namespace = json!({ "metadata": { "name": "shop", "uid": "n" } });
    for (items, there, found, reads) in [
        (vec![theirs("one")], true, Some(true), 0),
        (vec![theirs("stranger")], true, Some(true), 1),
        (vec![], true, Some(true), 1),
        (vec![], false, Some(false), 1),
    ] {
        let namespace = namespace.clone();
        let api = FakeApi::new(move |asked, _, _| match asked.split_once(' ').unwrap() {
            ("get", SETTINGS) => list(1, &items),
            ("get", "/api/v1/namespaces/shop") if there => Answer::Json(200, namespace.clone()),
            ("patch", _) => Answer::Json(200, theirs("one")),
            _ => not_found(),
        });
        let executor = api.executor();
        let graph = graph("shop", [named("one"), named("two"), secret()]);
        let (cx, _) = Told::context();
        // From here on the kinds are known.
        common::unseen("what is kept of a Secret", executor.prepare(&step(&graph, 2), &cx).await).unwrap();
        assert_eq!(executor.has_namespace(&graph).await.unwrap(), found);
        executor.prepare(&step(&graph, 0), &cx).await.unwrap();
        let asked = api.log.lock().unwrap().clone();
        let count = |path: &str| asked.iter().filter(|(asked, _)| asked == &format!("get {path}")).count();
        assert_eq!(
            (count("/api/v1/namespaces/shop"), count(SETTINGS)),
            (reads, 1),
            "the run uses the same list"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_asked_whether_it_is_being_deleted_only_where_something_in_it_is_missing_or_leaves() {
    const NAMESPACE: &str = "/api/v1/namespaces/shop";
    let condition = |kind: &str, message: &str| json!({ "type": kind, "status": "True", "message": message });
    let leaves = "2030-01-01T00:00:00Z";
    let leaving = json!({
        "metadata": { "name": "shop", "uid": "n", "deletionTimestamp": leaves },
        "status": { "phase": "Terminating", "conditions": [
            condition("NamespaceDeletionContentFailure", "Failed to delete all resources: things.x.dev"),
            condition("NamespaceContentRemaining", "things.x.dev has 1 resource instances."),
            condition("NamespaceFinalizersRemaining", "x.dev/hold in 1 resource instances."),
        ] },
    });
    let stays = json!({ "metadata": { "name": "shop", "uid": "n" } });
    let mut leaving_one = theirs("one");
    leaving_one["metadata"]["deletionTimestamp"] = json!(leaves);
    let all = vec![theirs("one"), theirs("two")];
    for (items, namespace, reads, is_refused) in [
        (all.clone(), Some(&leaving), 0, false),
        (vec![theirs("one")], Some(&leaving), 1, true),
        (vec![leaving_one, theirs("two")], Some(&leaving), 1, true),
        (vec![], Some(&leaving), 1, true),
        (vec![], Some(&stays), 1, false),
        (vec![], None, 1, false),
    ] {
        let namespace = namespace.cloned();
        let api = FakeApi::new(move |asked, _, _| match (asked.split_once(' ').unwrap(), &namespace) {
            (("get", SETTINGS), _) => list(1, &items),
            (("get", NAMESPACE), Some(namespace)) => Answer::Json(200, namespace.clone()),
            (("get", NAMESPACE), None) => not_found(),
            _ => list(1, &[]),
        });
        let (executor, graph) = (api.executor(), graph("shop", [named("one"), named("two")]));
        // From here on the kinds are known.
        let _ = executor.of_other_plans(&graph).await;
        executor.has_namespace(&graph).await.unwrap();
        let found = executor.leaving_namespaces(&graph, Followed::ByRun).await;
        assert_eq!(found.is_err(), is_refused, "{found:?}");
        let asked = api.log.lock().unwrap().clone();
        let count = asked.iter().filter(|(asked, _)| *asked == format!("get {NAMESPACE}")).count();
        assert_eq!(count, reads, "{found:?}");
        if found.is_ok() {
            assert_eq!(api.asked(&format!("get {SETTINGS}")).len(), 1, "the run uses the same list");
        }
        if let Err(failure) = found {
            assert_eq!(
                (failure.code.as_ref(), failure.class),
                ("k8s.namespace.terminating", FailureClass::Permanent)
            );
            let told = format!("the namespace `shop` is being deleted since {leaves}: ");
            assert!(failure.message.starts_with(&told), "{failure}");
            let notes = failure.notes.join("\n");
            for condition in ["DeletionContentFailure", "ContentRemaining", "FinalizersRemaining"] {
                assert!(notes.contains(&format!("Namespace{condition}: ")), "{notes}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_known_by_its_system_namespace_where_that_may_be_read() {
    for (code, known) in
        [(200, Some(Some("c1".to_owned()))), (403, Some(None)), (404, Some(None)), (500, None)]
    {
        let api = FakeApi::new(move |asked, _, _| match (asked, code) {
            ("get /api/v1/namespaces/kube-system", 200) => {
                Answer::Json(200, json!({ "metadata": { "name": "kube-system", "uid": "c1" } }))
            }
            ("get /api/v1/namespaces/kube-system", 403) => status(403, "Forbidden", "no"),
            ("get /api/v1/namespaces/kube-system", 500) => status(500, "InternalError", "broken"),
            ("get /readyz", _) => Answer::Text(200, "ok"),
            _ => not_found(),
        });
        assert_eq!(api.client.identity().await.ok(), known);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_failed_is_made_anew_for_who_asks_then() {
    let api = FakeApi::new(|asked, before, _| match (asked.split_once(' ').unwrap(), before) {
        (("get", SETTINGS), 0) => status(503, "ServiceUnavailable", "try again later"),
        (("get", SETTINGS), _) => list(1, &[]),
        _ => not_found(),
    });
    let executor = api.executor();
    let graph = graph("shop", [named("one"), named("two"), secret()]);
    let (cx, _) = Told::context();
    // From here on the kinds are known.
    common::unseen("what is kept of a Secret", executor.prepare(&step(&graph, 2), &cx).await).unwrap();
    let (one, two) = (step(&graph, 0), step(&graph, 1));
    let (one, two) = tokio::join!(executor.prepare(&one, &cx), executor.prepare(&two, &cx));
    for failure in [one.unwrap_err(), two.unwrap_err()] {
        assert_eq!(failure.class, FailureClass::Transient, "{failure}");
    }
    assert_eq!(api.asked(&format!("get {SETTINGS}")).len(), 1, "both waited for the same list");
    let again = executor.prepare(&step(&graph, 0), &cx).await.unwrap();
    assert_eq!(again.change, Change::Create);
}

#[tokio::test(start_paused = true)]
async fn a_refused_dry_run_is_final_only_where_nothing_can_help() {
    let webhook = "admission webhook \"policy.example.com\" does not support dry run";
    for (code, reason, message, change) in [
        (403, "Forbidden", "configmaps \"x\" is forbidden: exceeded quota: small", Some(Change::Update)),
        (
            400,
            "BadRequest",
            "admission webhook \"policy.example.com\" denied the request: no",
            Some(Change::Update),
        ),
        (
            500,
            "InternalError",
            "Internal error occurred: failed calling webhook \"x\": no route",
            Some(Change::Update),
        ),
        (400, "BadRequest", webhook, Some(Change::Update)),
        (422, "Invalid", "ConfigMap \"x\" is invalid: data: field is immutable", None),
        (403, "Forbidden", "User \"eve\" cannot patch resource \"configmaps\"", None),
    ] {
        let api = FakeApi::new(move |asked, _, _| match asked.split_once(' ').unwrap() {
            ("get", SETTINGS) => list(1, &[theirs("settings")]),
            _ => status(code, reason, message),
        });
        let (cx, _) = Told::context();
        let prepared = api.executor().prepare(&step(&graph("shop", [config_map()]), 0), &cx).await;
        assert_eq!(prepared.ok().map(|prepared| prepared.change), change, "{code} {message}");
    }
}

/// The settings as eve left them, if it made them at 9 s; and what somebody else may own of them.
fn written(second: u32, others: &[Value]) -> Value {
    let time = format!("2030-01-01T00:00:{second:02}Z");
    let ours = json!({ "manager": "eve", "operation": "Apply", "apiVersion": "v1", "time": time, "fieldsV1": { "f:data": {} } });
    let entries: Vec<Value> = others.iter().cloned().chain([ours]).collect();
    let mut object = config_map();
    object["metadata"] = json!({
        "name": "settings", "namespace": "shop", "uid": "u", "resourceVersion": "1",
        "creationTimestamp": "2030-01-01T00:00:09Z", "managedFields": entries, "labels": { "eve.dev/plan": "shop" },
    });
    object
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_a_lost_reply_adopts_only_what_somebody_else_made() {
    let finalizer = json!({ "manager": "operator", "operation": "Update", "fieldsV1": { "f:metadata": {} } });
    for (live, adopted) in [
        (written(9, &[]), None),
        (written(9, std::slice::from_ref(&finalizer)), None),
        (written(30, &[finalizer]), Some(true)),
    ] {
        let shown = live.clone();
        let sent = AtomicUsize::new(0);
        let api = FakeApi::new(move |asked, before, _| match asked.split_once(' ').unwrap() {
            ("patch", _) if before == 0 => {
                sent.store(1, Ordering::SeqCst);
                Answer::Break
            }
            ("patch", _) => Answer::Json(200, shown.clone()),
            ("get", path) if path.ends_with("/settings") && sent.load(Ordering::SeqCst) == 1 => {
                Answer::Json(200, shown.clone())
            }
            _ => not_found(),
        });
        let (executor, step) = (api.executor(), step(&graph("shop", [config_map()]), 0));
        let lost = write(&executor, &step).await.unwrap_err();
        assert_eq!(lost.class, FailureClass::Transient, "{lost}");
        let prepared = executor.prepare(&step, &Told::context().0).await.unwrap();
        let token = prepared.token.unwrap();
        assert_eq!(token.get("adopted").and_then(Value::as_bool), adopted, "{live}");
    }
}
