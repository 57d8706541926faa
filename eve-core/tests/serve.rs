//! The loop for many runs, on fakes and paused time.
#![cfg(all(feature = "driver", feature = "test-util"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "serve/kept.rs"]
mod kept;
#[path = "serve/outcomes.rs"]
mod outcomes;
#[path = "serve/requests.rs"]
mod requests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::driver::{Executors, Intake, Opened, Order, PlanName, ServePorts, serve};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock as _, Ending, Ledger as _, MockSecretResolver, Notifier, PlanSource, Resolved};
use eve_core::run::{Event, Phase, RunOptions, RunStart};
use eve_core::run_store::MemoryLedger;
use eve_core::scheduler::{LedgerEvent, Scheduler, SchedulerOptions};
use eve_core::secret::{
    HashKey, PinnedSecrets, SecretPins, SecretRef, SecretRequest, SecretVersion, Secrets,
};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::testing::{
    NoopExecutor, QueueSource, RecordingNotifier, ScriptStep, ScriptedExecutor, TokioClock,
};
use eve_core::time::Timestamp;
use tokio::sync::mpsc;

/// The value of the one secret in this version.
fn value(version: SecretVersion) -> Canary {
    Canary::new(version.get())
}

/// Plans are texts such as `NAMESPACE COUNT` or `NAMESPACE COUNT REQUEST`: so many components, one after the other. Those of the namespace `sealed` need
/// a secret, of which there is a newer version each time that it is asked for.
#[derive(Default)]
struct Words {
    /// What each run was opened with.
    pins: Mutex<Vec<SecretPins>>,
    /// Whether it takes the newest versions, whatever was pinned.
    forgets: bool,
    /// How often a run that is taken up finds nobody who knows secrets.
    away: AtomicU32,
}

impl Words {
    async fn secrets(&self, begun: Option<&RunStart>) -> Result<PinnedSecrets, Failure> {
        let away =
            begun.is_some() && self.away.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if away {
            return Err(Failure::transient("test.away", "nobody is there"));
        }
        let newest = u64::try_from(self.pins.lock().unwrap().len()).unwrap() + 1;
        let mut resolver = MockSecretResolver::new();
        resolver.expect_resolve().returning(move |references| {
            let version = |reference: &SecretRef| reference.version.or(SecretVersion::new(newest));
            let value = |version: Option<SecretVersion>| value(version.unwrap()).secret();
            let found = references.iter().map(version);
            Ok(found.map(|version| Resolved { value: value(version), version }).collect())
        });
        let declared = BTreeMap::from([("key".to_owned(), "test:key".parse().unwrap())]);
        let pinned = begun.filter(|_| !self.forgets).map(|begun| begun.options.pins());
        let key = HashKey::new(&[7; HashKey::BYTES]);
        let found = SecretRequest { declared: &declared, pinned, key: &key }.ask(&resolver).await;
        let found = found.map_err(|bad| bad.into_iter().next().unwrap().failure)?;
        self.pins.lock().unwrap().push(found.pins.clone());
        Ok(found)
    }
}

#[async_trait]
impl Intake for Words {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        let text = std::str::from_utf8(body).unwrap();
        assert!(text != "panic", "so it is written");
        let (namespace, _) = text.split_once(' ').ok_or(Failure::permanent("plan.bad", "it is no plan"))?;
        let request = text.split(' ').nth(2).map(Into::into);
        Ok(PlanName { namespace: namespace.into(), plan: "app".into(), request })
    }

    async fn open(&self, _: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        let (namespace, rest) = std::str::from_utf8(body).unwrap().split_once(' ').unwrap();
        let count = rest.split(' ').next().unwrap();
        let count: usize = count.parse().map_err(|_| Failure::permanent("plan.count", "it has no count"))?;
        let mut plan = PlanBuilder::new("app", namespace);
        for number in 0..count {
            let component = ComponentBuilder::new(format!("c{number}"), "noop");
            let after = number.checked_sub(1).map(|before| format!("c{before}"));
            plan =
                plan.component(after.into_iter().fold(component, |component, name| component.after(&name)));
        }
        let graph = Arc::new(Graph::from_plan(&plan).unwrap());
        if namespace != "sealed" {
            return Ok(Opened { graph, options: RunOptions::default(), secrets: Secrets::default() });
        }
        let PinnedSecrets { values, pins } = self.secrets(begun).await?;
        Ok(Opened { graph, options: RunOptions::default().with_pins(pins), secrets: values })
    }
}

struct World {
    source: Arc<QueueSource>,
    ledger: Arc<MemoryLedger>,
    notifier: Arc<RecordingNotifier>,
    ports: ServePorts,
    clock: Arc<TokioClock>,
}

fn world(executors: Executors) -> World {
    let (source, ledger) = (Arc::new(QueueSource::default()), Arc::new(MemoryLedger::new()));
    let notifier = Arc::new(RecordingNotifier::default());
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1_763_596_800_000_000)));
    let ports = ServePorts {
        sources: vec![Arc::clone(&source) as Arc<dyn PlanSource>],
        intake: Arc::new(Words::default()),
        executors,
        ledger: Arc::clone(&ledger) as _,
        notifiers: BTreeMap::from([("hook".into(), Arc::clone(&notifier) as Arc<dyn Notifier>)]),
        reporters: Arc::new(|_, _| Vec::new()),
        observer: Arc::new(|_| {}),
        clock: Arc::clone(&clock) as _,
    };
    World { source, ledger, notifier, ports, clock }
}

fn noops() -> Executors {
    Executors::new().with("noop", Arc::new(NoopExecutor))
}

fn options() -> SchedulerOptions {
    let mut options = SchedulerOptions::default();
    options.receivers = vec!["hook".into()];
    options
}

impl World {
    /// Serves in the background; orders go to the sender.
    async fn serve(&self, options: SchedulerOptions) -> (mpsc::Sender<Order>, tokio::task::JoinHandle<()>) {
        let records = self.ledger.load().await.unwrap();
        let mut scheduler = Scheduler::resume(options, &records, self.clock.now()).unwrap();
        let (orders, received) = mpsc::channel(4);
        let ports = self.ports.clone();
        let served = tokio::spawn(async move { serve(&mut scheduler, &ports, received).await.unwrap() });
        (orders, served)
    }

    /// Lets time pass until the queue is empty.
    async fn until_empty(&self) {
        for _ in 0..100_000 {
            if self.source.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the queue does not become empty");
    }

    fn endings(&self) -> BTreeMap<String, Ending> {
        self.notifier.notices().into_iter().map(|notice| (notice.request, notice.ending)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_delivery_is_run_told_and_acknowledged_and_poison_is_rejected() {
    let world = world(noops());
    for number in 0..12 {
        world.source.send(format!("r{number}"), format!("n{} 3", number % 4));
    }
    world.source.send("bad", "nothing");
    world.source.send("worse", "panic");
    world.source.send("uncounted", "n9 many");
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    let endings = world.endings();
    assert_eq!(endings.len(), 15, "{endings:?}");
    for (request, ending) in &endings {
        let expected = match request.as_str() {
            "bad" | "worse" => Ending::Refused,
            "uncounted" => Ending::Failed,
            _ => Ending::Succeeded,
        };
        assert_eq!(*ending, expected, "{request}");
    }
    let rejected: Vec<String> = world.source.rejected().into_iter().map(|(request, _)| request).collect();
    assert_eq!(rejected, ["bad", "worse"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_and_its_outcome_are_stored_in_one_append() {
    let seen: Arc<Mutex<Vec<(bool, bool)>>> = Arc::default();
    let mut world = world(noops());
    let mut mock = eve_core::ports::MockLedger::new();
    let (kept, told) = (Arc::clone(&world.ledger), Arc::clone(&seen));
    mock.expect_append().returning(move |batch| {
        let over = |event: &Event| matches!(event, Event::Finished { .. });
        let ended = batch.runs.iter().flat_map(|run| &run.records).any(|record| over(&record.event));
        let closed = batch.ledger.iter().any(|record| matches!(record.event, LedgerEvent::RunClosed { .. }));
        told.lock().unwrap().push((ended, closed));
        futures::FutureExt::now_or_never(kept.append(batch)).unwrap()
    });
    mock.expect_load_run().returning(|_| Ok(Vec::new()));
    world.ports.ledger = Arc::new(mock);
    for number in 0..6 {
        world.source.send(format!("r{number}"), format!("n{} 2", number % 2));
    }
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|(ended, closed)| ended == closed), "{seen:?}");
    assert_eq!(world.endings().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_handed_back_is_taken_up_by_the_next_process() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(1))];
    let executor = ScriptedExecutor::new().with("c1", Phase::Wait, slow);
    let executor = Arc::new(executor);
    let world = world(Executors::new().with("noop", Arc::clone(&executor) as _));
    world.source.send("r", "n 3");
    let (orders, served) = world.serve(options()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    orders.send(Order::HandBack).await.unwrap();
    served.await.unwrap();
    assert_eq!(world.endings().len(), 0);
    // Its delivery is in the queue again: the next process need not wait until the time is over for which it was held.
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    assert_eq!(world.endings()["r"], Ending::Succeeded);
    let applied = |name: &str| {
        executor.calls().iter().filter(|(of, _, phase)| of == name && *phase == Phase::Apply).count()
    };
    assert_eq!(["c0", "c1", "c2"].map(applied), [1, 1, 1], "{:?}", executor.calls());
}

/// A run with a secret is handed back and taken up; how it ended, and what it was opened with.
async fn taken_up(words: Words) -> (World, Arc<Words>) {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(1))];
    let executor = ScriptedExecutor::new().with("c1", Phase::Wait, slow);
    let mut world = world(Executors::new().with("noop", Arc::new(executor)));
    let words = Arc::new(words);
    world.ports.intake = Arc::clone(&words) as _;
    world.source.send("r", "sealed 3");
    let (orders, served) = world.serve(options()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    orders.send(Order::HandBack).await.unwrap();
    served.await.unwrap();
    world.source.expire();
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    let mut scan = CanaryScan::new((1..=3).map(|number| value(SecretVersion::new(number).unwrap())));
    for record in world.ledger.records() {
        scan.sink("the ledger", eve_core::journal::ledger::encode(&record));
    }
    for run in world.ledger.runs() {
        let records = world.ledger.load_run(&run).await.unwrap();
        for record in &records {
            scan.sink("a journal", eve_core::journal::encode(record));
        }
    }
    for notice in world.notifier.notices() {
        scan.sink("a notice", serde_json::to_string(&notice).unwrap());
        scan.sink("debug of a notice", format!("{notice:?}"));
    }
    scan.assert_clean();
    (world, words)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_taken_up_uses_the_versions_of_secrets_that_it_began_with() {
    let (world, words) = taken_up(Words::default()).await;
    assert_eq!(world.endings()["r"], Ending::Succeeded);
    let pins = words.pins.lock().unwrap();
    assert_eq!((pins.len(), &pins[0]), (2, &pins[1]));
    let reference = &pins[0].get("key").unwrap().reference;
    assert_eq!(reference.version, SecretVersion::new(1));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_begun_waits_long_for_its_secrets() {
    for (away, ending) in [(100, Ending::Succeeded), (200, Ending::Failed)] {
        let (world, _) = taken_up(Words { away: away.into(), ..Words::default() }).await;
        assert_eq!(world.endings()["r"], ending, "{away}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_never_goes_on_with_other_versions_of_secrets() {
    let (world, words) = taken_up(Words { forgets: true, ..Words::default() }).await;
    assert_eq!(words.pins.lock().unwrap().len(), 2);
    let notices = world.notifier.notices();
    assert_eq!(notices[0].ending, Ending::Failed);
    assert_eq!(notices[0].failure.as_ref().unwrap().code, "serve.other-secrets");
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_the_run_and_a_drain_waits_for_it() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(10))];
    let world =
        world(Executors::new().with("noop", Arc::new(ScriptedExecutor::new().with("c0", Phase::Wait, slow))));
    world.source.send("r", "n 2");
    let (orders, served) = world.serve(options()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let order = Order::Stop { request: "r".into(), mode: eve_core::run::StopMode::Now };
    orders.send(order).await.unwrap();
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    assert_eq!(world.endings()["r"], Ending::Cancelled);
    assert!(world.source.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_is_ended_by_handing_back() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(5))];
    let world =
        world(Executors::new().with("noop", Arc::new(ScriptedExecutor::new().with("c0", Phase::Wait, slow))));
    world.source.send("r", "n 2");
    let (orders, served) = world.serve(options()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    orders.send(Order::Drain).await.unwrap();
    let begun = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(25)).await;
    orders.send(Order::HandBack).await.unwrap();
    served.await.unwrap();
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    assert!(world.endings().is_empty() && !world.source.is_empty(), "it is for the next process");
}

#[tokio::test(start_paused = true)]
async fn records_that_do_not_fit_their_plan_fail_that_run_and_no_other() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(1))];
    let mut world =
        world(Executors::new().with("noop", Arc::new(ScriptedExecutor::new().with("c0", Phase::Wait, slow))));
    world.source.send("r", "n 3");
    let (orders, served) = world.serve(options()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    orders.send(Order::HandBack).await.unwrap();
    served.await.unwrap();
    world.source.send("other", "m 1");
    world.ports.intake = Arc::new(Shrunk);
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    assert_eq!(world.endings()["r"], Ending::Failed);
    assert_eq!(world.endings()["other"], Ending::Succeeded);
    let notices = world.notifier.notices();
    let failure = notices.iter().find_map(|notice| notice.failure.as_ref()).unwrap();
    assert_eq!(failure.code, "serve.resume");
}

/// Reads every plan as one of a single component, as an intake does that was changed between two processes.
struct Shrunk;

#[async_trait]
impl Intake for Shrunk {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Words::default().read(body)
    }

    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        let name = self.read(body)?;
        Words::default().open(run, format!("{} 1", name.namespace).as_bytes(), begun).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_everything_before_anybody_is_told() {
    let mut world = world(noops());
    let mut mock = eve_core::ports::MockLedger::new();
    let mut appends = 0;
    mock.expect_append().returning(move |_| {
        appends += 1;
        let reason = "the disk is full".to_owned();
        if appends < 3 { Ok(()) } else { Err(eve_core::ports::StoreError::Unavailable { reason }) }
    });
    mock.expect_load_run().returning(|_| Ok(Vec::new()));
    world.ports.ledger = Arc::new(mock);
    world.source.send("r", "n 3");
    let mut scheduler = Scheduler::new(options(), world.clock.now());
    let (_orders, received) = mpsc::channel(1);
    let error = serve(&mut scheduler, &world.ports, received).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to store what was decided");
    assert_eq!(world.endings().len(), 0);
    assert!(!world.source.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_grows_with_what_is_live_and_remembered_and_not_with_what_was() {
    let mut world = world(noops());
    let seen: Arc<Mutex<(usize, usize)>> = Arc::default();
    let told = Arc::clone(&seen);
    world.ports.observer = Arc::new(move |view| {
        let mut seen = told.lock().unwrap();
        *seen = (seen.0.max(view.live()), seen.1.max(view.len() - view.live() - view.waiting()));
    });
    let mut options = options();
    (options.parallel, options.remember_max, options.logs_max, options.records_free) = (8, 50, 20, 100);
    options.waiting_max = 100;
    let (orders, served) = world.serve(options).await;
    for number in 0..1_000 {
        world.source.send(format!("r{number}"), format!("n{} 20", number % 100));
    }
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    assert_eq!(world.endings().len(), 1_000);
    let (live, answered) = *seen.lock().unwrap();
    assert!(live <= 8 && answered <= 50 + 50, "{live} {answered}");
    let (records, runs) = (world.ledger.records().len(), world.ledger.runs().len());
    assert!(records <= 100 + 4 * 250, "{records}");
    assert!(runs <= 20 + 8, "{runs}");
}
