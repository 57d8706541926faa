//! The driver, on executors that follow a script, under tokio's paused time.
#![cfg(all(feature = "driver", feature = "test-util"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::driver::{DriveError, Executors, Ports, drive};
use eve_core::failure::{Cause, Failure};
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Action, FailurePolicy, UndoRule, Until};
use eve_core::ports::{Clock, Context, Executor, RecordBatch, Reporter, RunStore, Step, StoreError};
use eve_core::run::{
    Applied, Change, ComponentStatus, Event, KeepReason, Outcome, Outputs, Phase, Prepared, Record, Run,
    RunOptions, RunView, StopMode, UndoStatus, UndoToken,
};
use eve_core::run_store::MemoryStore;
use eve_core::secret::Secrets;
use eve_core::testing::{ScriptStep, ScriptedExecutor, TokioClock};
use eve_core::time::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

struct Setup {
    run: Run,
    ports: Ports,
    store: Arc<MemoryStore>,
    stop: mpsc::Sender<StopMode>,
    control: mpsc::Receiver<StopMode>,
}

fn setup(components: Vec<ComponentBuilder>, executor: Arc<dyn Executor>) -> Setup {
    setup_under(FailurePolicy::Drain, components, executor)
}

fn setup_under(
    policy: FailurePolicy,
    components: Vec<ComponentBuilder>,
    executor: Arc<dyn Executor>,
) -> Setup {
    let plan = PlanBuilder::new("p", "p").on_failure(policy).components(components);
    let graph = Arc::new(Graph::from_plan(&plan).unwrap());
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1)));
    let store = Arc::new(MemoryStore::new());
    let (stop, control) = mpsc::channel(1);
    Setup {
        run: Run::new(graph, RunOptions::default(), RunId::new("r"), clock.now()),
        ports: Ports {
            executors: Executors::new().with("test", executor),
            store: Arc::<MemoryStore>::clone(&store),
            reporters: Vec::new(),
            clock,
            secrets: Secrets::default(),
        },
        store,
        stop,
        control,
    }
}

fn chain(names: &[&str]) -> Vec<ComponentBuilder> {
    let before = std::iter::once(None).chain(names.iter().map(Some));
    let pairs = names.iter().zip(before);
    pairs
        .map(|(name, before)| {
            let component = ComponentBuilder::new(*name, "test");
            before.map_or(component.clone(), |before| component.after(*before))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn phases_are_called_in_order_and_everything_is_stored() {
    let executor = Arc::new(ScriptedExecutor::new());
    let mut setup = setup(chain(&["a", "b"]), executor.clone());
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    let calls: Vec<String> =
        executor.calls().iter().map(|(name, _, phase)| format!("{name} {phase:?}")).collect();
    let forward = ["a Prepare", "b Prepare", "a Apply", "a Wait", "b Apply", "b Wait"];
    assert_eq!(calls, [&forward[..], &["a Verify", "b Verify"]].concat());
    let log = setup.store.records(&RunId::new("r"));
    assert!(matches!(log.last().map(|r| &r.event), Some(Event::Finished { outcome: Outcome::Succeeded })));
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_after_a_pause() {
    let lost = ScriptStep::Fail(Failure::transient("t", "lost"));
    let script = ScriptedExecutor::new().with("a", Phase::Apply, vec![lost]).with("a", Phase::Apply, vec![]);
    let mut setup = setup(chain(&["a"]), Arc::new(script));
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(setup.run.view().attempt(ComponentId::new(0)).get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_executor_fails_its_component_and_nothing_else() {
    for phase in [Phase::Prepare, Phase::Apply, Phase::Wait, Phase::Verify] {
        let script = ScriptedExecutor::new().with("a", phase, vec![ScriptStep::Panic]);
        let mut setup = setup(chain(&["a"]), Arc::new(script));
        let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
        assert_eq!(outcome, Outcome::Failed);
        let view = setup.run.view();
        assert_eq!(view.status(ComponentId::new(0)), ComponentStatus::Failed);
        assert_eq!(view.failure(ComponentId::new(0)).unwrap().code, "run.executor-panicked");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_never_ends_is_given_up_at_its_deadline() {
    let script = ScriptedExecutor::new().with("a", Phase::Wait, vec![ScriptStep::Hang]);
    let mut setup = setup(chain(&["a"]), Arc::new(script));
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn stop_now_ends_a_wait_and_lets_a_write_end() {
    let script = ScriptedExecutor::new()
        .with("slow", Phase::Apply, vec![ScriptStep::Sleep(Duration::from_mins(1))])
        .with("waits", Phase::Wait, vec![ScriptStep::Hang]);
    let parts = vec![ComponentBuilder::new("slow", "test"), ComponentBuilder::new("waits", "test")];
    let mut setup = setup(parts, Arc::new(script));
    let stop = setup.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.send(StopMode::Now).await.unwrap();
    });
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::Cancelled);
    let log = setup.store.records(&RunId::new("r"));
    let applied = log.iter().filter(|record| matches!(record.event, Event::Applied { .. })).count();
    assert_eq!(applied, 2, "the write in flight came to its end");
}

#[tokio::test(start_paused = true)]
async fn progress_is_shown_at_once_and_stored() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);
    impl Reporter for Seen {
        fn record(&self, record: &Record, _: &RunView<'_>) {
            if let Event::Waiting { cause, .. } = &record.event {
                self.0.lock().unwrap().push(format!("stored {cause}"));
            }
        }
        fn progress(&self, _: ComponentId, cause: &Cause) {
            self.0.lock().unwrap().push(format!("shown {cause}"));
        }
    }
    let tell =
        vec![ScriptStep::Progress(Cause::new("t", "starting")), ScriptStep::Sleep(Duration::from_secs(1))];
    let script = ScriptedExecutor::new().with("a", Phase::Wait, tell);
    let mut setup = setup(chain(&["a"]), Arc::new(script));
    let seen = Arc::new(Seen::default());
    setup.ports.reporters.push(seen.clone());
    drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(*seen.0.lock().unwrap(), ["shown starting", "stored starting"]);
}

/// Takes so many appends, and keeps them.
struct Limited {
    left: Mutex<u32>,
    batches: Mutex<Vec<Vec<Record>>>,
}

impl Limited {
    fn to(appends: u32) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(appends), batches: Mutex::default() })
    }

    /// What may have been written as far as the records tell, in order.
    fn intended(&self) -> Vec<ComponentId> {
        let batches = self.batches.lock().unwrap();
        let mut intended = Vec::new();
        for record in batches.iter().flatten() {
            if let Event::Announced { component } | Event::Started { component, .. } = record.event
                && !intended.contains(&component)
            {
                intended.push(component);
            }
        }
        intended
    }
}

#[async_trait]
impl RunStore for Limited {
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        // Whoever does not wait for this gets ahead of it.
        tokio::task::yield_now().await;
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or_else(|| StoreError::Unavailable { reason: "disk full".into() })?;
        self.batches.lock().unwrap().extend(batches.into_iter().map(|batch| batch.records));
        Ok(())
    }
    async fn load(&self, _: &RunId) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_the_store_has_failed() {
    let names = ["a", "b", "c"];
    for appends in 0..4 {
        let executor = Arc::new(ScriptedExecutor::new());
        let mut setup = setup(chain(&names), executor.clone());
        let store = Limited::to(appends);
        setup.ports.store = Arc::<Limited>::clone(&store);
        let result = drive(&mut setup.run, &setup.ports, setup.control).await;
        assert!(matches!(result, Err(DriveError::Store(_))), "{appends}");
        let calls = executor.calls();
        let written: Vec<&str> = calls
            .iter()
            .filter(|(_, _, phase)| *phase == Phase::Apply)
            .map(|(name, _, _)| name.as_str())
            .collect();
        let stored: Vec<&str> = store.intended().iter().map(|id| names[id.index()]).collect();
        assert_eq!(
            written, stored,
            "what was written is what was to be by what is stored, after {appends} appends"
        );
        // The second was not prepared yet when the first began.
        assert_eq!(stored.len(), [0, 1, 3, 3][usize::try_from(appends).unwrap()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hop_is_one_append_and_has_the_next_write_announced() {
    let mut setup = setup(chain(&["a", "b", "c"]), Arc::new(ScriptedExecutor::new()));
    let store = Limited::to(u32::MAX);
    setup.ports.store = Arc::<Limited>::clone(&store);
    drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    let batches = store.batches.lock().unwrap();
    let hop = |records: &[Record]| {
        #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else belongs to a hop")]
        let name = |record: &Record| match record.event {
            Event::Applied { .. } => "applied",
            Event::Ready { .. } => "ready",
            Event::Started { .. } => "started",
            Event::Announced { .. } => "announced",
            Event::Verifying => "verifying",
            Event::Finished { .. } => "finished",
            _ => "other",
        };
        records.iter().map(name).collect::<Vec<_>>()
    };
    let hops: Vec<_> = batches[1..].iter().map(|records| hop(records)).collect();
    let to_the_next = vec!["applied", "ready", "started", "announced"];
    let to_the_last = vec!["applied", "ready", "started"];
    assert_eq!(hops, [to_the_next, to_the_last, vec!["applied", "ready", "verifying", "finished"]]);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_stop_does_not_wait_for_everything_that_can_be_read() {
    let parts =
        (0..10_000).map(|index| ComponentBuilder::new(format!("c{index}"), "test").action(Action::Read));
    let mut setup = setup(parts.collect(), Arc::new(ScriptedExecutor::new()));
    let store = Limited::to(u32::MAX);
    setup.ports.store = Arc::<Limited>::clone(&store);
    setup.stop.send(StopMode::Now).await.unwrap();
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::Cancelled);
    let first = store.batches.lock().unwrap()[0].len();
    assert!(first < 2_000, "{first} records in one append");
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_executor_is_refused_before_anything_starts() {
    let mut setup = setup(vec![ComponentBuilder::new("a", "tset")], Arc::new(ScriptedExecutor::new()));
    let result = drive(&mut setup.run, &setup.ports, setup.control).await;
    assert!(matches!(result, Err(DriveError::NoExecutor(kinds)) if kinds == ["tset"]));
    let problems = setup.ports.executors.check(setup.run.graph());
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean `test`?"));
}

#[tokio::test(start_paused = true)]
async fn a_waived_component_is_waited_for_only_until_it_is_applied() {
    #[derive(Default)]
    struct Asked(Mutex<Vec<Until>>);
    #[async_trait]
    impl Executor for Asked {
        async fn apply(&self, _: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
            Ok(Applied::new(Change::Create))
        }
        async fn wait(&self, _: &Step, _: &Applied, until: Until, _: &Context) -> Result<Outputs, Failure> {
            self.0.lock().unwrap().push(until);
            Ok(Outputs::NONE)
        }
    }
    let executor = Arc::new(Asked::default());
    let parts = vec![
        ComponentBuilder::new("waived", "test").until(Until::Applied),
        ComponentBuilder::new("other", "test").after("waived"),
    ];
    let mut setup = setup(parts, executor.clone());
    drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    let asked = [Until::Applied, Until::Ready];
    assert_eq!(*executor.0.lock().unwrap(), [asked, asked].concat(), "and so asks the fresh look");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_what_is_unchanged_is_given_what_prepare_found() {
    #[derive(Default)]
    struct Given(Mutex<Vec<Applied>>);
    #[async_trait]
    impl Executor for Given {
        async fn prepare(&self, _: &Step, _: &Context) -> Result<Prepared, Failure> {
            let mut prepared = Prepared::new(Change::None);
            prepared.token = Some(Box::new(json!({ "uid": "u" })));
            Ok(prepared)
        }
        async fn apply(&self, _: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
            Err(Failure::permanent("t", "there is nothing to apply"))
        }
        async fn wait(&self, _: &Step, given: &Applied, _: Until, _: &Context) -> Result<Outputs, Failure> {
            self.0.lock().unwrap().push(given.clone());
            Ok(Outputs::NONE)
        }
    }
    let executor = Arc::new(Given::default());
    let mut setup = setup(vec![ComponentBuilder::new("a", "test")], executor.clone());
    drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    let given = executor.0.lock().unwrap();
    assert_eq!(given[0], Applied { change: Change::None, token: Some(Box::new(json!({ "uid": "u" }))) });
}

/// `b` after `a`, whose wait fails.
fn failing(script: ScriptedExecutor) -> ScriptedExecutor {
    script.with("b", Phase::Wait, vec![ScriptStep::Fail(Failure::permanent("t", "never"))])
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_is_undone_in_reverse_order_and_looked_at() {
    let lost = vec![ScriptStep::Fail(Failure::transient("t", "lost"))];
    let script = ScriptedExecutor::new().with("a", Phase::Undo, lost).with("a", Phase::Undo, vec![]);
    let executor = Arc::new(failing(script));
    let mut setup = setup_under(FailurePolicy::Rollback, chain(&["a", "b"]), executor.clone());
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::RolledBack);
    let calls = executor.calls();
    let back: Vec<String> =
        calls[6..].iter().map(|(name, attempt, phase)| format!("{name} {phase:?} {attempt}")).collect();
    assert_eq!(back, ["b Undo 1", "a Undo 1", "a Undo 2", "a Verify 3", "b Verify 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_an_undo_end() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(1))];
    let executor = Arc::new(failing(ScriptedExecutor::new().with("b", Phase::Undo, slow)));
    let mut setup = setup_under(FailurePolicy::Rollback, chain(&["a", "b"]), executor.clone());
    let stop = setup.stop.clone();
    let asks = async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stop.send(StopMode::Now).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(drive(&mut setup.run, &setup.ports, setup.control), asks);
    assert_eq!(outcome.unwrap(), Outcome::RollbackFailed);
    let view = setup.run.view();
    let status = |id| view.undo_status(ComponentId::new(id));
    assert_eq!((status(0), status(1)), (UndoStatus::Kept, UndoStatus::Undone));
    assert_eq!(view.kept_because(ComponentId::new(0)), Some(KeepReason::Stopping));
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_panics_has_failed() {
    let executor = failing(ScriptedExecutor::new().with("b", Phase::Undo, vec![ScriptStep::Panic]));
    let mut setup = setup_under(FailurePolicy::Rollback, chain(&["a", "b"]), Arc::new(executor));
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::RollbackFailed);
    let view = setup.run.view();
    assert_eq!(view.undo_failure(ComponentId::new(1)).unwrap().code, "run.executor-panicked");
}

/// Has `apply` alone, and a `prepare` that finds this.
struct Plain(Change);

#[async_trait]
impl Executor for Plain {
    async fn prepare(&self, step: &Step, _: &Context) -> Result<Prepared, Failure> {
        let undo = step.may_be_undone().then(|| UndoToken::new("before"));
        Ok(Prepared { undo, ..Prepared::new(self.0) })
    }
    async fn apply(&self, _: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        Ok(Applied::new(Change::Create))
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_the_fresh_look_must_find_nothing_to_change() {
    for (change, expected) in [
        (Change::Unknown, Outcome::Succeeded),
        (Change::None, Outcome::Succeeded),
        (Change::Update, Outcome::Failed),
    ] {
        let mut setup = setup(chain(&["a"]), Arc::new(Plain(change)));
        let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
        assert_eq!(outcome, expected, "{change:?}");
        let failure = setup.run.view().failure(ComponentId::new(0)).map(|failure| failure.code.to_string());
        let changed = (expected == Outcome::Failed).then(|| "run.verify.changed".to_owned());
        assert_eq!(failure, changed);
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_a_kind_cannot_be_undone() {
    let executor = Arc::new(Plain(Change::Update));
    let mut setup = setup_under(FailurePolicy::Rollback, chain(&["a"]), executor);
    let outcome = drive(&mut setup.run, &setup.ports, setup.control).await.unwrap();
    assert_eq!(outcome, Outcome::RollbackFailed);
    let view = setup.run.view();
    assert_eq!(view.undo_failure(ComponentId::new(0)).unwrap().code, "run.undo.unsupported");
}

#[test]
fn only_a_component_that_may_be_undone_says_so() {
    let of = |policy: FailurePolicy, rule: UndoRule| {
        let component = ComponentBuilder::new("a", "test").undo(rule);
        let plan = PlanBuilder::new("p", "p").on_failure(policy).component(component);
        let graph = Arc::new(Graph::from_plan(&plan).unwrap());
        let step = Step::new(RunId::new("r"), graph, ComponentId::new(0), Attempt::FIRST);
        assert_eq!(step.run(), &RunId::new("r"));
        step.may_be_undone()
    };
    assert!(of(FailurePolicy::Rollback, UndoRule::Allowed));
    assert!(!of(FailurePolicy::Rollback, UndoRule::Never));
    assert!(!of(FailurePolicy::Drain, UndoRule::Allowed));
}
