//! Outputs and secrets flow into specs while a plan runs, and nowhere else.
#![cfg(all(feature = "driver", feature = "test-util"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eve_core::driver::{Executors, Ports, drive, foresee};
use eve_core::expr::{Root, Template};
use eve_core::failure::{Cause, Failure};
use eve_core::ids::{Attempt, ComponentId, RunId, Seq};
use eve_core::journal::encode;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::expressions::{Constants, Expressions, OutputSource};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Action, Until};
use eve_core::ports::{Clock, Context, Executor, Step, Verify};
use eve_core::run::{Applied, Change, Event, Outcome, Outputs, Phase, Prepared, Record, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_core::testing::TokioClock;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// Keeps what it was given; `db` puts out a host.
#[derive(Default)]
struct Witness(Mutex<Vec<(String, Value)>>);

impl Witness {
    fn note(&self, phase: &str, step: &Step) {
        assert!(!step.is_unrendered() || step.action() == Action::Delete);
        let mut scan = CanaryScan::new([value()]);
        scan.sink("debug of a step", format!("{step:?}"));
        scan.assert_clean();
        self.0.lock().unwrap().push((format!("{} {phase}", step.name()), step.spec().clone()));
    }
}

#[async_trait]
impl Executor for Witness {
    async fn prepare(&self, step: &Step, _: &Context) -> Result<Prepared, Failure> {
        let applied = format!("{} apply", step.name());
        let is_applied = self.0.lock().unwrap().iter().any(|(call, _)| *call == applied);
        self.note("prepare", step);
        Ok(Prepared::new(if is_applied { Change::None } else { Change::Create }))
    }

    async fn apply(&self, step: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        self.note("apply", step);
        Ok(Applied::new(Change::Create))
    }

    async fn wait(&self, step: &Step, _: &Applied, _: Until, _: &Context) -> Result<Outputs, Failure> {
        self.note("wait", step);
        Ok(if step.name() == "db" { Outputs::NONE.with("host", "${{ secrets.key }}") } else { Outputs::NONE })
    }
}

fn web(text: &str) -> ComponentBuilder {
    let mut expressions = Expressions::new(Arc::new(Constants::new(Map::new(), "p", "p", None)));
    expressions.add("/x", Template::parse(text, &Root::ALL).unwrap());
    expressions.set_sources(vec![OutputSource { component: "db".into(), parts: vec!["db".into()] }]);
    ComponentBuilder::new("web", "test")
        .spec(json!({ "x": text, "y": 1 }))
        .after("db")
        .expressions(expressions)
}

fn value() -> Canary {
    Canary::new(1)
}

/// Looks for the value in what is stored, in both of its forms, and in what reporters are shown.
fn no_value_in(records: &[Record]) -> String {
    let mut scan = CanaryScan::new([value()]);
    let shown = serde_json::to_string(records).unwrap();
    scan.sink("events", &shown);
    scan.sink("debug of events", format!("{records:?}"));
    for record in records {
        scan.sink("the journal", encode(record));
    }
    scan.assert_clean();
    shown
}

async fn run(web: ComponentBuilder) -> (Outcome, Vec<(String, Value)>, String) {
    let witness = Arc::new(Witness::default());
    let (outcome, records) = driven(web, Arc::<Witness>::clone(&witness)).await;
    let seen = witness.0.lock().unwrap().clone();
    (outcome, seen, records)
}

async fn driven(web: ComponentBuilder, executor: Arc<dyn Executor>) -> (Outcome, String) {
    let plan = PlanBuilder::new("p", "p").component(ComponentBuilder::new("db", "test")).component(web);
    let graph = Arc::new(Graph::from_plan(&plan).unwrap());
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1)));
    let store = Arc::new(MemoryStore::new());
    let mut run = Run::new(graph, RunOptions::default(), RunId::new("r1"), clock.now());
    let ports = Ports {
        executors: Executors::new().with("test", executor),
        store: Arc::<MemoryStore>::clone(&store),
        reporters: Vec::new(),
        clock,
        secrets: Secrets::from_iter([("key".to_owned(), value().secret())]),
    };
    let (_stop, control) = tokio::sync::mpsc::channel(1);
    let outcome = drive(&mut run, &ports, control).await.unwrap();
    (outcome, no_value_in(&store.records(&RunId::new("r1"))))
}

#[tokio::test(start_paused = true)]
async fn a_component_is_given_outputs_and_secrets_once_what_it_refers_to_is_ready() {
    let (outcome, seen, _) = run(web("${{ components.db.host }}/${{ secrets.key }}/${{ run.id }}")).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let calls: Vec<&str> = seen.iter().map(|(call, _)| call.as_str()).collect();
    // What comes behind is the proof that it is still so.
    let first = ["db prepare", "db apply", "db wait", "web prepare", "web apply", "web wait"];
    assert_eq!(calls.get(..first.len()), Some(&first[..]), "{calls:?}");
    let want = json!({ "x": format!("${{{{ secrets.key }}}}/{}/r1", value().value()), "y": 1 });
    for (call, spec) in seen.iter().filter(|(call, _)| call.starts_with("web ")) {
        assert_eq!(*spec, want, "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rendered_fails_the_component_before_any_write() {
    let (outcome, seen, records) = run(web("${{ components.db.port }}-${{ secrets.key }}")).await;
    assert_eq!(outcome, Outcome::Failed);
    assert!(seen.iter().all(|(call, _)| call.starts_with("db ")), "{seen:?}");
    let message = "`x` cannot be rendered: `components.db` has no field `port`";
    assert!(records.contains("expr.missing") && records.contains(message), "{records}");
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_needs_no_values() {
    let plan = PlanBuilder::new("p", "p")
        .component(ComponentBuilder::new("db", "test"))
        .component(web("${{ components.db.port }}").action(Action::Delete));
    let graph = Graph::from_plan(&plan).unwrap();
    let (outcome, seen, _) = run(web("${{ components.db.port }}").action(Action::Delete)).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let spec = graph.node(graph.find("web").unwrap()).spec();
    assert!(seen.iter().any(|(call, seen)| call == "web apply" && seen == spec), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_value_of_the_wrong_type_or_too_large_is_in_no_word_of_the_failure() {
    for text in ["${{ secrets.key + 1 }}", "${{ int(secrets.key) }}", "${{ secrets.key.size().x }}"] {
        let (outcome, _, records) = run(web(text)).await;
        assert_eq!(outcome, Outcome::Failed, "{text}");
        assert!(records.contains("`x` cannot be rendered"), "{records}");
    }
}

/// Repeats its spec wherever it can say something.
struct Parrot(Phase);

impl Parrot {
    fn failure(&self, step: &Step, phase: Phase) -> Result<(), Failure> {
        let said = step.spec().to_string();
        let failure = Failure::permanent("test.said", said.clone()).with_note(said.clone()).with_hint(said);
        if self.0 == phase && step.name() == "web" { Err(failure) } else { Ok(()) }
    }
}

#[async_trait]
impl Executor for Parrot {
    async fn prepare(&self, step: &Step, _: &Context) -> Result<Prepared, Failure> {
        self.failure(step, Phase::Prepare)?;
        Ok(Prepared::new(Change::Unknown))
    }

    async fn apply(&self, step: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        self.failure(step, Phase::Apply)?;
        Ok(Applied::new(Change::Update))
    }

    async fn wait(&self, step: &Step, _: &Applied, _: Until, cx: &Context) -> Result<Outputs, Failure> {
        cx.progress(Cause::new("test.said", step.spec().to_string()));
        tokio::task::yield_now().await;
        self.failure(step, Phase::Wait)?;
        Ok(Outputs::NONE.with("said", step.mask().apply(step.spec().to_string())))
    }

    async fn verify<'a>(&self, step: &Step, _: Verify<'a>, _: &Context) -> Result<(), Failure> {
        self.failure(step, Phase::Verify)
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_repeat_of_a_secret_is_recorded_without_it() {
    for phase in [Phase::Prepare, Phase::Apply, Phase::Wait, Phase::Verify] {
        let records = driven(web("it is ${{ secrets.key }}!"), Arc::new(Parrot(phase))).await.1;
        let said = records.matches("it is ***!").count();
        // The message, the note and the hint; what it waited for, and what it put out, if it came so far.
        assert!(said >= 3 + usize::from(phase == Phase::Wait), "{phase:?}: {records}");
    }
}

#[test]
fn a_leak_in_a_record_is_found() {
    let said = |message: String| Record {
        seq: Seq::FIRST,
        at: Timestamp::EPOCH,
        event: Event::AttemptFailed {
            component: ComponentId::new(0),
            attempt: Attempt::FIRST,
            phase: Phase::Apply,
            failure: Box::new(Failure::permanent("t", message)),
            retry_at: None,
        },
    };
    no_value_in(&[said("nothing".to_owned())]);
    let leak = said(format!("cannot use {}", value().value()));
    std::panic::catch_unwind(|| no_value_in(&[leak])).expect_err("it is found");
}

#[test]
fn a_spec_is_foreseen_where_nothing_is_missing_but_the_run() {
    let secrets = Secrets::from_iter([("key".to_owned(), value().secret())]);
    let step = |text: &str| {
        let mut expressions = Expressions::new(Arc::new(Constants::new(Map::new(), "p", "p", None)));
        expressions.add("/x", Template::parse(text, &Root::ALL).unwrap());
        let web = ComponentBuilder::new("web", "test").spec(json!({ "x": text })).expressions(expressions);
        let graph = Graph::from_plan(&PlanBuilder::new("p", "p").component(web)).unwrap();
        Step::new(RunId::new("ahead"), Arc::new(graph), ComponentId::new(0), Attempt::FIRST)
    };
    let known = foresee(step("a ${{ secrets.key }}"), &secrets).unwrap();
    assert_eq!(known.spec(), &json!({ "x": format!("a {}", value().value()) }));
    assert!(foresee(step("${{ secrets.key }}${{ run.id }}"), &secrets).unwrap().is_unrendered());
    let failure = foresee(step("${{ secrets.key + 1 }}"), &secrets).unwrap_err();
    let mut scan = CanaryScan::new([value()]);
    scan.sink("the failure", format!("{failure} {failure:?}"));
    scan.sink("debug of the step", format!("{known:?}"));
    scan.assert_clean();
}

#[test]
fn outputs_of_what_is_not_in_the_plan_are_a_problem() {
    let problems = Graph::from_plan(&PlanBuilder::new("p", "p").component(web("${{ run.id }}"))).unwrap_err();
    assert!(problems.iter().any(|problem| problem.code == "graph.unknown-source"), "{problems:?}");
}
