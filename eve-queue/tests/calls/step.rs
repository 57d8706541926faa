//! The function as a step of a plan, driven by the driver.

use std::sync::Arc;

use eve_core::driver::{Executors, Ports, SystemClock, drive};
use eve_core::expr::{Root, Template};
use eve_core::failure::FailureClass;
use eve_core::ids::RunId;
use eve_core::journal::encode;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::expressions::{Constants, Expressions};
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock as _, Executor as _};
use eve_core::run::{Event, Outcome, Record, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_core::testing::canary::{Canary, CanaryScan, Form};
use eve_queue::{Address, Allowed, FunctionClient, FunctionExecutor, KeyMap};
use eve_testbed::{Receiver, Reply};
use serde_json::{Map, Value, json};

fn key() -> Canary {
    Canary::plain(3)
}

/// A secret of the plan.
fn secret() -> Canary {
    Canary::new(4)
}

/// What was recorded, in which neither the key nor the secret is.
fn recorded(store: &MemoryStore, id: &RunId) -> Vec<Record> {
    let records = store.records(id);
    let mut scan = CanaryScan::new([key(), secret()]);
    scan.sink("debug of the events", format!("{records:?}"));
    scan.sink("the events", serde_json::to_vec(&records).unwrap());
    for record in &records {
        scan.sink("the journal", encode(record));
    }
    scan.assert_clean();
    records
}

fn executor(receiver: &Receiver) -> FunctionExecutor {
    let url = receiver.url("/api/migrate");
    let keys = KeyMap::new().with(&url, key().secret());
    let allowed = Allowed::none().with(Address::parse(&receiver.url("/api")).unwrap());
    FunctionExecutor::new(FunctionClient::new().unwrap(), Arc::new(keys), allowed)
}

fn graph(spec: Value) -> Arc<Graph> {
    let mut expressions = Expressions::new(Arc::new(Constants::new(Map::new(), "shop", "team", None)));
    if let Some(text) = spec.pointer("/payload/password").and_then(Value::as_str) {
        expressions.add("/payload/password", Template::parse(text, &Root::ALL).unwrap());
    }
    let migrate = ComponentBuilder::new("migrate", "function").spec(spec).expressions(expressions);
    let plan = PlanBuilder::new("shop", "team").component(migrate);
    Arc::new(Graph::from_plan(&plan).unwrap())
}

/// Runs a plan of this one function, and returns how it ended and what was recorded.
async fn run(receiver: &Receiver, spec: Value) -> (Outcome, Vec<Record>) {
    let clock = Arc::new(SystemClock::new());
    let id = RunId::new("run-1");
    let mut run = Run::new(graph(spec), RunOptions::default(), id.clone(), clock.now());
    (go_on(&mut run, receiver, &id, clock).await).unwrap()
}

async fn go_on(
    run: &mut Run,
    receiver: &Receiver,
    id: &RunId,
    clock: Arc<SystemClock>,
) -> Result<(Outcome, Vec<Record>), eve_core::driver::DriveError> {
    let store = Arc::new(MemoryStore::new());
    let executors = Executors::new().with("function", Arc::new(executor(receiver)));
    let ports = Ports {
        executors,
        store: Arc::clone(&store) as _,
        reporters: Vec::new(),
        clock,
        secrets: Secrets::from_iter([("a".to_owned(), secret().secret())]),
    };
    let (_stop, control) = tokio::sync::mpsc::channel(1);
    let outcome = drive(run, &ports, control).await?;
    Ok((outcome, recorded(&store, id)))
}

fn spec(receiver: &Receiver) -> Value {
    json!({ "url": receiver.url("/api/migrate"), "payload": { "version": "1.2" } })
}

#[tokio::test]
async fn a_step_calls_its_function_and_publishes_what_it_said() {
    let receiver = Receiver::start().await;
    let messages = ["nothing to do".to_owned(), format!("code={}", key().value())];
    receiver.then(Reply::json(200, &json!({ "result": "noop", "messages": messages })));
    let (outcome, records) = run(&receiver, spec(&receiver)).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let request = &receiver.received()[0];
    assert_eq!(request.target, format!("/api/migrate?code={}", key().value()));
    assert_eq!(request.json(), json!({ "version": "1.2" }));
    assert_eq!(request.header("idempotency-key"), Some("run-1/migrate/1"));
    assert_eq!(request.header("eve-step"), Some("run-1/migrate"));
    let outputs = records.iter().find_map(|record| {
        let Event::Ready { outputs, .. } = &record.event else { return None };
        Some(outputs)
    });
    let outputs = outputs.unwrap();
    assert_eq!(outputs.get("result"), Some(&json!("noop")));
    assert_eq!(outputs.get("messages"), Some(&json!(["nothing to do", "code=***"])));
}

#[tokio::test]
async fn what_a_function_repeats_of_a_secret_is_taken_out() {
    let spec = |receiver: &Receiver| {
        let payload = json!({ "password": "${{ secrets.a }}" });
        json!({ "url": receiver.url("/api/migrate"), "payload": payload })
    };
    let (value, body) = (secret().value().to_owned(), json!({ "password": secret().value() }));
    let forms = Form::ALL.iter().map(|form| json!(secret().leaked(*form)));
    let messages: Vec<Value> = forms.chain([json!(format!("got {body}")), body]).collect();
    for (word, outcome) in [("success", Outcome::Succeeded), ("failed", Outcome::Failed)] {
        let receiver = Receiver::start().await;
        for answer in [
            Reply::Text(500, format!("cannot read {value}")),
            Reply::json(200, &json!({ "result": word, "messages": messages })),
        ] {
            receiver.then(answer);
        }
        let (ended, records) = run(&receiver, spec(&receiver)).await;
        assert_eq!(ended, outcome, "{records:?}");
        let sent = receiver.received().pop().unwrap().json();
        assert_eq!(sent["password"], value, "it arrives whole");
        assert!(format!("{records:?}").contains("***"), "{records:?}");
    }
}

#[tokio::test]
async fn many_messages_are_cut_to_what_is_stored() {
    let receiver = Receiver::start().await;
    let messages = vec!["ä".repeat(100); 20];
    receiver.then(Reply::json(200, &json!({ "result": "success", "messages": messages })));
    let (outcome, records) = run(&receiver, spec(&receiver)).await;
    assert_eq!(outcome, Outcome::Succeeded, "{records:?}");
    let ready = format!("{records:?}");
    assert!(ready.contains("cut"), "{ready}");
}

#[tokio::test]
async fn silence_is_tried_again_with_the_next_attempt_and_an_answer_is_final() {
    let receiver = Receiver::start().await;
    receiver
        .then(Reply::Drop)
        .then(Reply::json(500, &json!({ "result": "failed", "messages": ["no room", "at all"] })));
    let (outcome, records) = run(&receiver, spec(&receiver)).await;
    assert_eq!(outcome, Outcome::Failed);
    let requests = receiver.received();
    let identities: Vec<_> =
        requests.iter().filter_map(|request| request.header("idempotency-key")).collect();
    assert_eq!(identities, ["run-1/migrate/1", "run-1/migrate/2"]);
    assert!(requests.iter().all(|request| request.header("eve-step") == Some("run-1/migrate")));
    let failure = records.iter().rev().find_map(|record| {
        let Event::AttemptFailed { failure, .. } = &record.event else { return None };
        Some(failure)
    });
    let failure = failure.unwrap();
    assert_eq!((failure.class, &*failure.code), (FailureClass::Permanent, "function.failed"));
    let left: Vec<bool> = records
        .iter()
        .filter_map(|record| {
            let Event::AttemptFailed { failure, .. } = &record.event else { return None };
            Some(failure.left_nothing)
        })
        .collect();
    assert_eq!(left, [false, true], "nobody knows what silence has left");
    assert!(failure.message.ends_with("says that it failed: no room"), "{failure}");
    assert_eq!(failure.notes, ["at all"]);
}

#[tokio::test]
async fn after_a_crash_the_call_is_made_again_under_the_same_identity() {
    let receiver = Receiver::start().await;
    receiver.then(Reply::Hang).then(Reply::json(200, &json!({ "result": "success" })));
    let clock = Arc::new(SystemClock::new());
    let (id, graph) = (RunId::new("run-1"), graph(spec(&receiver)));
    let store = Arc::new(MemoryStore::new());
    let mut first = Run::new(Arc::clone(&graph), RunOptions::default(), id.clone(), clock.now());
    {
        let executors = Executors::new().with("function", Arc::new(executor(&receiver)));
        let ports = Ports {
            executors,
            store: Arc::clone(&store) as _,
            reporters: Vec::new(),
            clock: Arc::clone(&clock) as _,
            secrets: Secrets::default(),
        };
        let (_stop, control) = tokio::sync::mpsc::channel(1);
        tokio::select! {
            ended = drive(&mut first, &ports, control) => panic!("{ended:?}"),
            _ = receiver.until(1) => {}
        }
    }
    let mut second =
        Run::resume(graph, RunOptions::default(), id.clone(), &recorded(&store, &id), clock.now()).unwrap();
    let (outcome, _) = go_on(&mut second, &receiver, &id, clock).await.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    let requests = receiver.received();
    let identities: Vec<_> =
        requests.iter().filter_map(|request| request.header("idempotency-key")).collect();
    assert_eq!(identities, ["run-1/migrate/1", "run-1/migrate/1"]);
}

#[tokio::test]
async fn what_the_operator_does_not_allow_is_never_called() {
    let receiver = Receiver::start().await;
    let executor = executor(&receiver);
    for url in [receiver.url("/admin"), receiver.url("/api/../admin"), "https://f.example/api".to_owned()] {
        let problems = executor.check(&json!({ "url": url }));
        assert_eq!(problems.len(), 1, "{url}");
        assert_eq!(problems[0].code, "function.not-allowed", "{url}");
        let (outcome, _) = run(&receiver, json!({ "url": url })).await;
        assert_eq!(outcome, Outcome::Failed);
    }
    assert_eq!(receiver.received(), []);
}
