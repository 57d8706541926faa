//! What becomes of requests when something is wrong: who is told what, and who waits for whom.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::driver::{Executors, Intake, Opened, Order, PlanName};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Glance;
use eve_core::plan::{Action, FailurePolicy, UndoRule, Until};
use eve_core::ports::{
    ComponentEnd, Content, Context, Delivery, Ending, Executor, Named, Notice, PlanSource, STALE_HANDLE, Step,
};
use eve_core::run::{
    Applied, Change, Outputs, Phase, Prepared, RunOptions, RunStart, StopMode, UndoReport, UndoToken,
};
use eve_core::scheduler::RequestKey;
use eve_core::secret::Secrets;
use eve_core::testing::{NoopExecutor, QueueSource, ScriptStep, ScriptedExecutor};
use tokio::time::Instant;

use super::{Words, World, noops, options, world};

impl World {
    /// What was told of this request, once it is; and how long that took.
    pub(crate) async fn told(&self, request: &str) -> (Notice, Duration) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_hours(3) {
            if let Some(notice) = self.notifier.notices().into_iter().find(|notice| notice.request == request)
            {
                return (notice, begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing was told of {request}");
    }

    pub(crate) fn stop(&self, request: &str, target: &str) {
        let content = Content::Stop { request: target.into(), mode: StopMode::Now };
        self.source.send_content(request, "", eve_core::digest::Digest::of(request.as_bytes()), content);
    }

    pub(crate) async fn end(
        &self,
        orders: &tokio::sync::mpsc::Sender<Order>,
        served: tokio::task::JoinHandle<()>,
    ) {
        orders.send(Order::HandBack).await.unwrap();
        served.await.unwrap();
    }
}

/// Two components that fail, one that speaks, one that comes after a failed one.
struct Loose;

#[async_trait]
impl Intake for Loose {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Words::default().read(body)
    }

    async fn open(&self, _: &RunId, _: &[u8], _: Option<&RunStart>) -> Result<Opened, Failure> {
        let plan = PlanBuilder::new("app", "n").on_failure(FailurePolicy::Continue).components([
            ComponentBuilder::new("quiet", "talk"),
            ComponentBuilder::new("fails-a", "talk"),
            ComponentBuilder::new("speaks", "talk"),
            ComponentBuilder::new("fails-b", "talk"),
            ComponentBuilder::new("after", "talk").after("fails-b"),
        ]);
        let graph = Arc::new(Graph::from_plan(&plan).unwrap());
        Ok(Opened { graph, options: RunOptions::default(), secrets: Secrets::default() })
    }
}

struct Talk;

#[async_trait]
impl Executor for Talk {
    async fn apply(&self, step: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        if step.name().starts_with("fails") {
            let failure = Failure::permanent("function.failed", format!("{} says no", step.name()));
            return Err(failure.with_note("the second message").with_note("the third"));
        }
        Ok(Applied::new(Change::Create))
    }

    async fn wait(&self, step: &Step, _: &Applied, _: Until, _: &Context) -> Result<Outputs, Failure> {
        let said = serde_json::json!(["one", "two"]);
        Ok(if step.name() == "speaks" { Outputs::NONE.with("messages", said) } else { Outputs::NONE })
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_tells_every_component_that_failed_and_what_each_had_to_say() {
    let mut world = world(Executors::new().with("talk", Arc::new(Talk)));
    world.ports.intake = Arc::new(Loose);
    world.source.send("r", "n 1");
    let (orders, served) = world.serve(options()).await;
    let (notice, _) = world.told("r").await;
    world.end(&orders, served).await;
    let told: Vec<(&str, ComponentEnd, Option<&str>, Vec<&str>)> = notice
        .components
        .iter()
        .map(|component| {
            let code = component.failure.as_ref().map(|told| told.code.as_str());
            let messages = component.messages.iter().map(String::as_str).collect();
            (component.name.as_str(), component.state, code, messages)
        })
        .collect();
    let (failed, said) = (Some("function.failed"), vec!["the second message", "the third"]);
    assert_eq!(
        told,
        [
            ("fails-a", ComponentEnd::Failed, failed, said.clone()),
            ("fails-b", ComponentEnd::Failed, failed, said),
            ("speaks", ComponentEnd::Succeeded, None, vec!["one", "two"]),
            ("after", ComponentEnd::Skipped, None, vec![]),
        ]
    );
    assert_eq!(notice.components_left_out, 0);
    assert_eq!(notice.failure.unwrap().message, "fails-a says no");
}

/// A component of an outcome: its name, how it ended, the code and the text of its failure.
type Line<'a> = (&'a str, ComponentEnd, Option<(&'a str, &'a str)>);

/// A plan that is rolled back, in which a call that was made stays; with joins, as components of several parts have them.
struct Torn;

#[async_trait]
impl Intake for Torn {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Words::default().read(body)
    }

    async fn open(&self, _: &RunId, _: &[u8], _: Option<&RunStart>) -> Result<Opened, Failure> {
        let join = |name: &str| ComponentBuilder::new(name, "").action(Action::None);
        let plan = PlanBuilder::new("app", "n").on_failure(FailurePolicy::Rollback).components([
            ComponentBuilder::new("before", "test"),
            join("whole").after("before"),
            ComponentBuilder::new("call", "test").after("whole").undo(UndoRule::Never),
            ComponentBuilder::new("fails", "test").after("call"),
            join("other").after("fails"),
            ComponentBuilder::new("after", "test").after("other"),
        ]);
        let graph = Arc::new(Graph::from_plan(&plan).unwrap());
        Ok(Opened { graph, options: RunOptions::default(), secrets: Secrets::default() })
    }
}

#[async_trait]
impl Executor for Torn {
    async fn prepare(&self, step: &Step, _: &Context) -> Result<Prepared, Failure> {
        let undo = Some(UndoToken::new(step.name()));
        Ok(Prepared { undo, ..Prepared::new(Change::Update) })
    }

    async fn apply(&self, step: &Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        if step.name() == "fails" {
            return Err(Failure::permanent("test.fails", "no"));
        }
        Ok(Applied::new(Change::Update))
    }

    async fn undo<'a>(
        &self,
        _: &Step,
        _: &UndoToken,
        _: Option<&'a Applied>,
        _: &Context,
    ) -> Result<UndoReport, Failure> {
        Ok(UndoReport::new(Change::Update))
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_names_what_a_rollback_left_alone_and_why_and_no_join() {
    let mut world = world(Executors::new().with("test", Arc::new(Torn)));
    world.ports.intake = Arc::new(Torn);
    world.source.send("r", "n 1");
    let (orders, served) = world.serve(options()).await;
    let (notice, _) = world.told("r").await;
    world.end(&orders, served).await;
    assert_eq!(notice.ending.as_str(), "rollback_failed");
    let told: Vec<Line<'_>> = notice
        .components
        .iter()
        .map(|component| {
            let told = component.failure.as_ref().map(|told| (told.code.as_str(), told.message.as_str()));
            (component.name.as_str(), component.state, told)
        })
        .collect();
    let rule = "it cannot be undone: the plan says `undo: never`, or it is a call that was made";
    assert_eq!(
        told,
        [
            (
                "before",
                ComponentEnd::NotUndone,
                Some(("run.undo.kept", "call depends on it and is not put back"))
            ),
            ("call", ComponentEnd::NotUndone, Some(("run.undo.kept", rule))),
            ("fails", ComponentEnd::Failed, Some(("test.fails", "no"))),
            ("after", ComponentEnd::Skipped, None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_for_a_request_that_nobody_knows_is_told_to_whoever_asked() {
    let world = world(noops());
    world.stop("stop-1", "nobody");
    let (orders, served) = world.serve(options()).await;
    let (notice, _) = world.told("stop-1").await;
    let failure = notice.failure.unwrap();
    assert_eq!((notice.ending.as_str(), &*failure.code), ("nothing_to_stop", "stop.unknown-request"));
    assert!(failure.message.contains("no request nobody is known"), "{}", failure.message);
    world.source.send("r", "n 1");
    world.told("r").await;
    world.stop("stop-2", "r");
    let (late, _) = world.told("stop-2").await;
    assert_eq!(late.failure.unwrap().message, "request r is over (succeeded): nothing was stopped");
    world.until_empty().await;
    world.end(&orders, served).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_run_whose_plan_does_not_come_back_and_the_next_one_begins() {
    let slow = vec![ScriptStep::Sleep(Duration::from_hours(2))];
    let executor = ScriptedExecutor::new().with("c1", Phase::Wait, slow);
    let mut world = world(Executors::new().with("noop", Arc::new(executor)));
    world.source.send("lost", "n 3");
    let (orders, served) = world.serve(options()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.end(&orders, served).await;
    world.source = Arc::new(QueueSource::default());
    world.ports.sources = vec![Arc::clone(&world.source) as _];
    let (orders, served) = world.serve(options()).await;
    world.source.send("next", "n 1");
    world.stop("stop", "lost");
    let (notice, took) = world.told("lost").await;
    assert_eq!(notice.ending.as_str(), "cancelled");
    assert_eq!(notice.failure.unwrap().code, "request.stopped-without-plan");
    assert!(took < Duration::from_mins(7), "{took:?}");
    let (notice, took) = world.told("next").await;
    assert_eq!((notice.ending.as_str(), took < Duration::from_secs(5)), ("succeeded", true));
    world.end(&orders, served).await;
}

/// Cannot open runs in the namespace `n` for this long.
struct Away(Instant, Duration);

#[async_trait]
impl Intake for Away {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Words::default().read(body)
    }

    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        if &*self.read(body)?.namespace == "n" && self.0.elapsed() < self.1 {
            return Err(Failure::transient("test.away", "nobody is there"));
        }
        Words::default().open(run, body, begun).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_outlasts_an_outage_of_nine_minutes_and_holds_up_no_other_namespace() {
    let mut world = world(noops());
    world.ports.intake = Arc::new(Away(Instant::now(), Duration::from_mins(9)));
    let mut options = options();
    options.parallel = 1;
    let (orders, served) = world.serve(options).await;
    world.source.send("r", "n 2");
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.source.send("other", "m 2");
    let (other, took) = world.told("other").await;
    assert_eq!((other.ending.as_str(), took < Duration::from_secs(5)), ("succeeded", true), "{took:?}");
    let (notice, _) = world.told("r").await;
    assert_eq!(notice.ending.as_str(), "succeeded", "{notice:?}");
    world.end(&orders, served).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_end_fails_a_new_plan_and_a_stop_need_not_wait_for_it() {
    let mut world = world(noops());
    world.ports.intake = Arc::new(Away(Instant::now(), Duration::from_hours(24)));
    let (orders, served) = world.serve(options()).await;
    world.source.send("r", "n 2");
    let (notice, took) = world.told("r").await;
    assert_eq!((notice.ending.as_str(), notice.failure.unwrap().code), ("failed", "test.away".to_owned()));
    assert!((Duration::from_mins(9)..Duration::from_mins(11)).contains(&took), "{took:?}");
    world.source.send("s", "n 2");
    tokio::time::sleep(Duration::from_mins(2)).await;
    world.stop("stop", "s");
    let (notice, took) = world.told("s").await;
    assert_eq!((notice.ending.as_str(), took < Duration::from_secs(5)), ("cancelled", true), "{took:?}");
    world.end(&orders, served).await;
}

/// Takes as long to read the plan `slow 1` as it takes another run to come to its first write.
struct Slow(Mutex<Receiver<()>>, Arc<Mutex<Option<bool>>>);

#[async_trait]
impl Intake for Slow {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        if body == b"slow 1" {
            let other_went_on = self.0.lock().unwrap().recv_timeout(Duration::from_secs(5)).is_ok();
            *self.1.lock().unwrap() = Some(other_went_on);
        }
        Words::default().read(body)
    }

    fn glance(&self, body: &[u8]) -> Glance {
        let text = std::str::from_utf8(body).unwrap();
        Glance::Namespace(text.split(' ').next().unwrap().to_owned())
    }

    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        // Whoever reads on the loop is there first.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        Words::default().open(run, body, begun).await
    }
}

/// Says that it was called.
struct Tells(Mutex<Sender<()>>);

#[async_trait]
impl Executor for Tells {
    async fn apply(&self, step: &Step, prepared: &Prepared, cx: &Context) -> Result<Applied, Failure> {
        let _ = self.0.lock().unwrap().send(());
        NoopExecutor.apply(step, prepared, cx).await
    }
}

/// The plan that is read at once is run while the other one, which waits for that, is still read.
async fn goes_on_while_another_is_read(sent: [(&str, &str); 2]) {
    let (tell, told) = channel();
    let mut world = world(Executors::new().with("noop", Arc::new(Tells(Mutex::new(tell)))));
    let went_on = Arc::new(Mutex::new(None));
    world.ports.intake = Arc::new(Slow(Mutex::new(told), Arc::clone(&went_on)));
    for (request, plan) in sent {
        world.source.send(request, plan);
    }
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    world.end(&orders, served).await;
    assert_eq!(*went_on.lock().unwrap(), Some(true));
    assert_eq!(world.endings().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_takes_long_to_read_holds_up_no_run() {
    goes_on_while_another_is_read([("quick", "n 1"), ("slow", "slow 1")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_takes_long_to_read_holds_up_no_plan_of_another_namespace_that_came_later() {
    goes_on_while_another_is_read([("slow", "slow 1"), ("quick", "n 1")]).await;
}

/// A queue that hands a plan out twice: it takes it away while it runs, as one does at `maxReceiveCount`, and somebody moves it
/// back from the dead letters.
#[derive(Default)]
struct Redriven(Mutex<u32>, tokio::sync::Notify);

#[async_trait]
impl PlanSource for Redriven {
    fn expect(&self, _: &[RequestKey]) {}

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        let count = {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            *count
        };
        match count {
            1 => {}
            2 => self.1.notified().await,
            _ => std::future::pending().await,
        }
        let body: Arc<[u8]> = b"n 2".as_slice().into();
        Ok(Some(Delivery {
            handle: format!("handle-{count}").into(),
            request: "r".into(),
            named: Named::BySender,
            digest: eve_core::digest::Digest::of(&body),
            group: "n".into(),
            receive_count: count,
            content: Content::Plan { body, sequence: None },
        }))
    }

    async fn extend(&self, _: &str, _: Duration) -> Result<(), Failure> {
        Err(Failure::permanent(STALE_HANDLE, "the queue has moved it to the dead letters"))
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.extend(handle, Duration::ZERO).await
    }

    async fn reject(&self, handle: &str, _: &str) -> Result<(), Failure> {
        self.extend(handle, Duration::ZERO).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_its_queue_takes_away_while_it_runs_comes_to_its_end_and_runs_only_once() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(4))];
    let executor = Arc::new(ScriptedExecutor::new().with("c0", Phase::Wait, slow));
    let mut world = world(Executors::new().with("noop", Arc::clone(&executor) as _));
    let source = Arc::new(Redriven::default());
    world.ports.sources = vec![Arc::clone(&source) as _];
    let mut options = options();
    options.visibility = vec![Duration::from_secs(30)];
    let (orders, served) = world.serve(options).await;
    let (notice, took) = world.told("r").await;
    assert_eq!((notice.ending.as_str(), took > Duration::from_mins(3)), ("succeeded", true), "{took:?}");
    source.1.notify_one();
    tokio::time::sleep(Duration::from_hours(1)).await;
    world.end(&orders, served).await;
    assert_eq!(world.notifier.notices(), [notice]);
    let applied = executor.calls().iter().filter(|(_, _, phase)| *phase == Phase::Apply).count();
    assert_eq!(applied, 2, "each of two components once");
}

/// A source that has lost everything that an earlier process had of it.
#[derive(Default)]
struct Forgetful(QueueSource);

#[async_trait]
impl PlanSource for Forgetful {
    fn expect(&self, accepted: &[RequestKey]) {
        for RequestKey { id, digest } in accepted {
            let failure = Failure::permanent("source.gone", "its file is gone");
            self.0.send_content(Arc::clone(id), "", *digest, Content::Unusable { failure });
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        self.0.receive().await
    }

    async fn extend(&self, handle: &str, time: Duration) -> Result<(), Failure> {
        self.0.extend(handle, time).await
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.0.acknowledge(handle).await
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        self.0.reject(handle, reason).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_only_source_has_lost_ends_at_once_and_with_several_nobody_can_know() {
    for (others, code) in [(0, "source.gone"), (1, "request.plan-lost")] {
        let slow = vec![ScriptStep::Sleep(Duration::from_mins(1))];
        let executor = ScriptedExecutor::new().with("c1", Phase::Wait, slow);
        let mut world = world(Executors::new().with("noop", Arc::new(executor)));
        world.source.send("r", "n 3");
        let (orders, served) = world.serve(options()).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        orders.send(Order::HandBack).await.unwrap();
        served.await.unwrap();
        let source = Arc::new(Forgetful::default());
        world.ports.sources = vec![Arc::clone(&source) as _];
        world.ports.sources.extend((0..others).map(|_| Arc::new(QueueSource::default()) as _));
        let (orders, served) = world.serve(options()).await;
        let (notice, took) = world.told("r").await;
        assert_eq!((notice.ending, &*notice.failure.unwrap().code), (Ending::Failed, code));
        assert_eq!(took < Duration::from_secs(5), others == 0, "{took:?}");
        orders.send(Order::Drain).await.unwrap();
        served.await.unwrap();
        assert!(source.0.is_empty());
    }
}

/// Panics when it makes a run in the namespace `n`.
struct Panics;

#[async_trait]
impl Intake for Panics {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Words::default().read(body)
    }

    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        assert!(&*self.read(body)?.namespace != "n", "so it is written");
        Words::default().open(run, body, begun).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_which_no_run_can_be_made_without_a_panic_fails_at_once_and_alone() {
    let mut world = world(noops());
    world.ports.intake = Arc::new(Panics);
    world.source.send("r", "n 2");
    world.source.send("other", "m 2");
    let (orders, served) = world.serve(options()).await;
    let (notice, took) = world.told("r").await;
    assert_eq!(
        (notice.ending.as_str(), notice.failure.unwrap().code),
        ("failed", "serve.panicked".to_owned())
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.told("other").await.0.ending.as_str(), "succeeded");
    world.until_empty().await;
    world.end(&orders, served).await;
}
