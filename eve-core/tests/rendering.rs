//! Outputs and secrets flow into specs while a plan runs, and nowhere else.
#![cfg(all(feature = "driver", feature = "test-util"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eve_core::driver::{Executors, Ports, drive};
use eve_core::expr::{Root, Template};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::expressions::{Constants, Expressions, OutputSource};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Action, Until};
use eve_core::ports::{Clock, Context, Executor, Step};
use eve_core::run::{Applied, Change, Outcome, Outputs, Prepared, Run, RunOptions};
use eve_core::run_store::MemoryStore;
use eve_core::secret::{SecretValue, Secrets};
use eve_core::testing::TokioClock;
use eve_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// Keeps what it was given; `db` puts out a host.
#[derive(Default)]
struct Witness(Mutex<Vec<(String, Value)>>);

impl Witness {
    fn note(&self, phase: &str, step: &Step) {
        assert!(!step.is_unrendered() || step.action() == Action::Delete);
        assert!(!format!("{step:?}").contains("hunter2"));
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

async fn run(web: ComponentBuilder) -> (Outcome, Vec<(String, Value)>, String) {
    let plan = PlanBuilder::new("p", "p").component(ComponentBuilder::new("db", "test")).component(web);
    let graph = Arc::new(Graph::from_plan(&plan).unwrap());
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1)));
    let (witness, store) = (Arc::new(Witness::default()), Arc::new(MemoryStore::new()));
    let mut run = Run::new(graph, RunOptions::default(), RunId::new("r1"), clock.now());
    let ports = Ports {
        executors: Executors::new().with("test", Arc::<Witness>::clone(&witness)),
        store: Arc::<MemoryStore>::clone(&store),
        reporters: Vec::new(),
        clock,
        secrets: Secrets::from_iter([("key".to_owned(), SecretValue::new("hunter2"))]),
    };
    let (_stop, control) = tokio::sync::mpsc::channel(1);
    let outcome = drive(&mut run, &ports, control).await.unwrap();
    let seen = witness.0.lock().unwrap().clone();
    (outcome, seen, serde_json::to_string(&store.records(&RunId::new("r1"))).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_component_is_given_outputs_and_secrets_once_what_it_refers_to_is_ready() {
    let (outcome, seen, records) =
        run(web("${{ components.db.host }}/${{ secrets.key }}/${{ run.id }}")).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let calls: Vec<&str> = seen.iter().map(|(call, _)| call.as_str()).collect();
    // What comes behind is the proof that it is still so.
    let first = ["db prepare", "db apply", "db wait", "web prepare", "web apply", "web wait"];
    assert_eq!(calls.get(..first.len()), Some(&first[..]), "{calls:?}");
    for (call, spec) in seen.iter().filter(|(call, _)| call.starts_with("web ")) {
        assert_eq!(*spec, json!({ "x": "${{ secrets.key }}/hunter2/r1", "y": 1 }), "{call}");
    }
    assert!(!records.contains("hunter2"), "{records}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rendered_fails_the_component_before_any_write() {
    let (outcome, seen, records) = run(web("${{ components.db.port }}-${{ secrets.key }}")).await;
    assert_eq!(outcome, Outcome::Failed);
    assert!(seen.iter().all(|(call, _)| call.starts_with("db ")), "{seen:?}");
    let message = "`x` cannot be rendered: `components.db` has no field `port`";
    assert!(records.contains("expr.missing") && records.contains(message), "{records}");
    assert!(!records.contains("hunter2"), "{records}");
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

#[test]
fn outputs_of_what_is_not_in_the_plan_are_a_problem() {
    let problems = Graph::from_plan(&PlanBuilder::new("p", "p").component(web("${{ run.id }}"))).unwrap_err();
    assert!(problems.iter().any(|problem| problem.code == "graph.unknown-source"), "{problems:?}");
}
