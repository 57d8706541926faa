//! A run on a cluster, written down, driven and shown: what `eve apply`, `eve delete`, `eve rollback` and `eve
//! resume` have in common.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::{Ports, SystemClock, drive};
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock, Reporter, RunStore as _};
use eve_core::run::{Outcome, Record, Run, RunOptions, StopMode};
use eve_core::secret::PinnedSecrets;
use eve_k8s::KubeExecutor;
use eve_store::{RunFile, StopRequest};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::forget::{Forgetter, Purpose};
use crate::cli::{ApplyOutput, Cluster};
use crate::duration;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Call, Origin};
use crate::output::{Ending, HumanReporter, JsonReporter, Printer, clean, style};
use crate::signals::Signals;
use crate::wiring::{self, LeftOver};

/// How often the frame is drawn: often enough that seconds tick evenly.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// How often is looked whether another process wants the run to stop: soon enough for whoever waits at a terminal.
const REQUESTS_INTERVAL: Duration = Duration::from_millis(250);

/// How long a run that was refused waits for its journal, to remove it: far longer than any disk takes that answers.
const FORGET_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests to stop that may wait in each queue.
const STOPS_MAX: usize = 4;

/// What the command line says about the run itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Deadline,
    pub(super) no_progress: Duration,
    pub(super) concurrency: u32,
    pub(super) output: ApplyOutput,
}

/// When everything must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    begun: Instant,
    timeout: Duration,
}

impl Deadline {
    /// So long from now on.
    pub(super) fn of(timeout: Duration) -> Self {
        Self { begun: Instant::now(), timeout }
    }

    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    pub(super) async fn hold<T>(&self, work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
        timeout(self.left(), work).await.unwrap_or_else(|_| {
            let after = duration::show(self.timeout);
            let message = format!("no answer has come in time, the run's {after} are over");
            Err(Halt::error(Exit::Cluster, message).with_hint("give it more with `--timeout`".to_owned()))
        })
    }
}

/// Does the work in a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Halt::error(Exit::Internal, format!("cannot start: {error}")))?;
    let result = runtime.block_on(work);
    // An abort does not wait for what is under way.
    runtime.shutdown_background();
    result
}

/// Listens for signals from here on.
pub(super) fn signals() -> Result<Signals, Halt> {
    Signals::new().map_err(|error| Halt::error(Exit::Internal, format!("cannot listen for signals: {error}")))
}

/// Does what only reads, and gives it up at the first signal.
pub(super) async fn unless_stopped<T>(
    signals: &mut Signals,
    reading: impl Future<Output = Result<T, Halt>>,
) -> Result<T, Halt> {
    tokio::select! {
        result = reading => result,
        _ = signals.next() => Err(Halt::error(Exit::Cancelled, "stopped before anything was written")),
    }
}

/// What is driven, by whom, and where it is written down.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) graph: Arc<Graph>,
    pub(super) objects: KubeExecutor,
    pub(super) journal: RunFile,
    /// The secrets that it needs.
    pub(super) secrets: PinnedSecrets,
    pub(super) task: Task,
}

/// What a run is for.
#[derive(Debug)]
pub(super) enum Task {
    Apply,
    Delete,
    /// This run is undone, which has these records.
    Undo(RunId, Vec<Record>),
}

impl Task {
    fn purpose(&self) -> Purpose {
        match self {
            Self::Apply => Purpose::Apply,
            Self::Delete => Purpose::Delete,
            Self::Undo(run, _) => Purpose::Undo(run.clone()),
        }
    }
}

/// The cluster at hand: its address, and what it is known again by where that may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) server: &'a str,
    pub(super) identity: Option<&'a str>,
}

/// The journal of a run that begins, or of one that goes on: then it must be on the cluster that it was begun on.
pub(super) async fn journal(
    origin: Origin,
    cluster: &Cluster,
    place: Place<'_>,
    graph: &Arc<Graph>,
    signals: &mut Signals,
) -> Result<RunFile, Halt> {
    match origin {
        Origin::Call(call) => {
            Beginning::of(call, cluster, place.server, graph).claimed(place.identity, signals).await
        }
        Origin::Journal(mut file) => is_at(&mut file, place).map(|()| *file),
    }
}

/// Whether this is where the run was begun.
pub(super) fn is_at(file: &mut RunFile, place: Place<'_>) -> Result<(), Halt> {
    journal::is_on(file.header(), place.server)?;
    journal::belongs_to(file, place.identity)
}

/// A journal that is begun while the cluster is still asked, because that takes as long. Of one that nobody claims nothing
/// stays.
pub(super) struct Beginning(JoinHandle<Result<Unclaimed, Halt>>);

struct Unclaimed(Option<RunFile>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            journal::discard(file);
        }
    }
}

impl Beginning {
    /// Begins the journal of a new run of this graph.
    pub(super) fn of(call: Call, cluster: &Cluster, server: &str, graph: &Arc<Graph>) -> Self {
        let (cluster, server, graph) = (cluster.clone(), server.to_owned(), Arc::clone(graph));
        Self(tokio::task::spawn_blocking(move || {
            journal::begin(&call, &cluster, &server, &graph).map(|file| Unclaimed(Some(file)))
        }))
    }

    /// The journal, on the cluster of this identity, or why there is none. A disk that hangs holds up no signal.
    pub(super) async fn claimed(
        self,
        identity: Option<&str>,
        signals: &mut Signals,
    ) -> Result<RunFile, Halt> {
        let begun = unless_stopped(signals, async { joined(self.0.await)? }).await;
        let claimed = begun?.0.take();
        let mut file =
            claimed.ok_or_else(|| Halt::error(Exit::Internal, "the journal was claimed already"))?;
        journal::belongs_to(&mut file, identity)?;
        Ok(file)
    }

    /// Waits until there is a journal, and removes it; not past a signal, nor for a disk that hangs.
    pub(super) async fn forget(self, signals: &mut Signals) {
        let removing = unless_stopped(signals, async { joined(self.0.await)? });
        // Why there is none to remove is nobody's business.
        let _ = timeout(FORGET_TIMEOUT, removing).await;
    }
}

/// Does in a thread of its own what may have to wait for a disk.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Halt> + Send + 'static,
) -> Result<T, Halt> {
    joined(tokio::task::spawn_blocking(work).await)?
}

/// Drives a run of the graph to its end, shows it, and lets signals and requests of other processes stop it. A run whose
/// journal has records goes on from there.
pub(super) async fn run(
    limits: &Limits,
    printer: &Arc<Printer>,
    work: Work,
    signals: &mut Signals,
) -> Result<Exit, Halt> {
    let graph = work.graph;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let id = work.journal.header().run.clone();
    let unreadable = |error: &dyn std::error::Error| {
        Halt::error(Exit::Internal, format!("run {id} cannot go on: {}", wiring::chain(error)))
    };
    let records = work.journal.load(&id).await.map_err(|error| unreadable(&error))?;
    let display = Display::new(limits.output, printer, &graph, &clock);
    display.recall(&records);
    let journal = Arc::new(work.journal);
    let objects = Arc::new(work.objects);
    let PinnedSecrets { values: secrets, pins } = work.secrets;
    let ports = Ports {
        executors: wiring::executors(Arc::clone(&objects)),
        store: Arc::<RunFile>::clone(&journal),
        reporters: display.reporters(),
        clock: clock.clone(),
        secrets,
    };
    #[cfg(feature = "fail-points")]
    let ports = crate::fail_points::armed(ports, &graph)?;
    let options = RunOptions::default()
        .with_run_timeout(limits.deadline.left())
        .with_no_progress_timeout(limits.no_progress)
        .with_api_limit(limits.concurrency)
        .with_seed(wiring::random())
        .with_pins(pins);
    let what = if records.is_empty() { "the run begins" } else { "the run goes on" };
    tracing::info!(run = %id, plan = graph.name(), namespace = graph.namespace(), "{what}");
    let purpose = work.task.purpose();
    let (namespace, plan) = (graph.namespace().to_owned(), graph.name().to_owned());
    let run = match work.task {
        Task::Undo(run, undone) if records.is_empty() => {
            // Nobody goes on with it: this run came after it, and holds the plan.
            let begun = Run::rollback_of_abandoned(
                Arc::clone(&graph),
                options,
                id.clone(),
                (&run, &undone),
                clock.now(),
            );
            begun.map_err(|error| Halt::error(Exit::Refused, wiring::chain(&error)))
        }
        Task::Apply | Task::Delete | Task::Undo(..) => {
            Run::resume(Arc::clone(&graph), options, id.clone(), &records, clock.now())
                .map_err(|error| unreadable(&error))
        }
    }?;
    let forgetter = Forgetter { objects, purpose, namespace, plan };
    let watched = Watched { display: &display, printer, journal, forgetter, graph };
    drive_run(run, &ports, watched, signals).await
}

/// Passes on what other processes ask of the run, until nobody wants to know. `look` gives what was asked after the request
/// of a number.
async fn pass_on<E: fmt::Display>(
    look: impl AsyncFn(u64) -> Result<Vec<StopRequest>, E>,
    asked: mpsc::Sender<StopRequest>,
) {
    let (mut last, mut looks) = (0, interval(REQUESTS_INTERVAL));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_told = false;
    loop {
        looks.tick().await;
        match look(last).await {
            Ok(requests) => {
                for request in in_force(requests) {
                    last = request.number;
                    if asked.send(request).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) if was_told => tracing::debug!(%error, "requests of other processes cannot be read"),
            Err(error) => {
                was_told = true;
                tracing::warn!(%error, "what other processes ask of this run may not be heard");
            }
        }
    }
}

/// Of what was asked for before anybody heard it: a rollback takes the place of what came before it, which would end the run
/// without one. What came after it is wanted besides.
fn in_force(mut requests: Vec<StopRequest>) -> Vec<StopRequest> {
    let is_rollback = |request: &StopRequest| request.mode == StopMode::Rollback;
    let from = requests.iter().rposition(is_rollback).unwrap_or(0);
    requests.split_off(from)
}

/// The way to tell the driver to stop. It may be slow to listen: then what was asked for waits, in its order, for none of it
/// stands for another: who asks for a rollback and then for its end wants both.
struct Stops {
    driver: mpsc::Sender<StopMode>,
    wanted: VecDeque<StopMode>,
}

impl Stops {
    fn new(driver: mpsc::Sender<StopMode>) -> Self {
        Self { driver, wanted: VecDeque::new() }
    }

    /// Whether more may be asked for. Ctrl-C, which comes once, always may.
    fn has_room(&self) -> bool {
        self.wanted.len() < STOPS_MAX
    }

    fn want(&mut self, mode: StopMode) {
        self.wanted.push_back(mode);
    }

    /// Tells the driver the first of them as soon as there is room. Dropping the future loses nothing.
    async fn tell(&mut self) {
        let room = self.driver.reserve().await;
        // Where nobody listens any more, the run is over.
        if let (Some(mode), Ok(room)) = (self.wanted.pop_front(), room) {
            room.send(mode);
        }
    }
}

pub(super) fn say_stopping(printer: &Printer, effect: &str) {
    printer.err(&format!("{}: {effect}; press Ctrl-C again to abort", style::warning("stopping")));
}

fn say_asked(printer: &Printer, request: &StopRequest, effect: &str) {
    let who = clean(&request.who);
    printer.err(&format!("{}: {effect}; asked for by {who}", style::warning("stopping")));
}

/// Waits until everything that was said is written, or until a signal says that nobody wants to read it.
async fn written(printer: &Arc<Printer>, exit: Exit, signals: &mut Signals) -> Exit {
    let writing = Arc::clone(printer);
    tokio::select! {
        _ = tokio::task::spawn_blocking(move || writing.flush()) => exit,
        aborted = signals.next() => aborted,
    }
}

/// Who shows the run.
struct Display {
    human: Option<Arc<HumanReporter>>,
    json: Option<Arc<JsonReporter>>,
}

impl Display {
    fn new(output: ApplyOutput, printer: &Arc<Printer>, graph: &Arc<Graph>, clock: &Arc<dyn Clock>) -> Self {
        match output {
            ApplyOutput::Text => {
                let human = HumanReporter::new(printer.clone(), clock.clone(), graph.clone());
                Self { human: Some(Arc::new(human)), json: None }
            }
            ApplyOutput::Json => {
                let json = JsonReporter::new(printer.clone(), graph.clone());
                Self { human: None, json: Some(Arc::new(json)) }
            }
        }
    }

    fn reporters(&self) -> Vec<Arc<dyn Reporter>> {
        let human = self.human.iter().map(|human| Arc::clone(human) as Arc<dyn Reporter>);
        human.chain(self.json.iter().map(|json| Arc::clone(json) as Arc<dyn Reporter>)).collect()
    }

    /// What happened before this process.
    fn recall(&self, records: &[Record]) {
        self.human.iter().for_each(|human| human.recall(records));
        self.json.iter().for_each(|json| json.recall(records));
    }

    fn tick(&self) {
        self.human.iter().for_each(|human| human.tick());
    }

    /// What a request to stop does to the run, as far as it has come.
    fn effect(&self, mode: StopMode) -> &'static str {
        let human = self.human.iter().map(|human| human.effect(mode));
        human.chain(self.json.iter().map(|json| json.effect(mode))).next().unwrap_or_default()
    }

    fn end(&self, exit: Exit, left: &[LeftOver]) {
        self.human.iter().for_each(|human| human.end(exit, left));
        self.json.iter().for_each(|json| json.end(exit, left));
    }
}

/// Who looks at a run while it is driven.
struct Watched<'a> {
    display: &'a Display,
    printer: &'a Arc<Printer>,
    journal: Arc<RunFile>,
    forgetter: Forgetter,
    graph: Arc<Graph>,
}

impl Watched<'_> {
    /// What is of the plan and not in its input, once all of that is there.
    fn left_over(&self, exit: Exit) -> Vec<LeftOver> {
        match self.forgetter.purpose {
            Purpose::Apply if exit == Exit::Succeeded => self.forgetter.objects.left_over(&self.graph),
            Purpose::Apply | Purpose::Delete | Purpose::Undo(_) => Vec::new(),
        }
    }

    fn exit_of(&self, outcome: Outcome) -> Exit {
        match self.forgetter.purpose {
            Purpose::Undo(_) => Exit::of_undoing(outcome),
            Purpose::Apply | Purpose::Delete => Exit::from(outcome),
        }
    }
}

/// What the driver ended with. A panic of it is ours.
fn joined<T>(ended: Result<T, JoinError>) -> Result<T, Halt> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Halt::error(Exit::Internal, format!("the run was broken off: {error}")),
    })
}

async fn drive_run(
    mut run: Run,
    ports: &Ports,
    watched: Watched<'_>,
    signals: &mut Signals,
) -> Result<Exit, Halt> {
    let Watched { display, printer, ref journal, .. } = watched;
    let (id, journal) = (run.id().clone(), Arc::clone(journal));
    let (driver, control) = mpsc::channel(STOPS_MAX);
    let mut stops = Stops::new(driver);
    let (asked, mut requests) = mpsc::channel(STOPS_MAX);
    let mut passing_on: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
        pass_on(async |after| journal.requests(after).await, asked).await;
    });
    let ports = ports.clone();
    // Beside the calls that it makes, so that none of them wakes another thread; signals and frames have this one.
    let mut driving = tokio::spawn(async move { drive(&mut run, &ports, control).await });
    let mut frames = interval(FRAME_INTERVAL);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interrupted = false;
    let ended = loop {
        tokio::select! {
            ended = &mut driving => break joined(ended)?,
            exit = signals.next() => {
                if interrupted {
                    display.end(exit, &[]);
                    printer.err(&format!("{}: {}", style::hint("hint"), journal::resume_hint(&id)));
                    return Ok(exit);
                }
                interrupted = true;
                say_stopping(printer, display.effect(StopMode::Now));
                stops.want(StopMode::Now);
            }
            Some(request) = requests.recv(), if stops.has_room() => {
                say_asked(printer, &request, display.effect(request.mode));
                stops.want(request.mode);
            }
            () = stops.tell(), if !stops.wanted.is_empty() => {}
            () = &mut passing_on => passing_on = Box::pin(std::future::pending()),
            _ = frames.tick() => display.tick(),
        }
    };
    let exit = ended.as_ref().map_or(Exit::Internal, |outcome| watched.exit_of(*outcome));
    display.end(exit, &watched.left_over(exit));
    let exit = written(printer, exit, signals).await;
    if let Ok(outcome) = &ended {
        watched.forgetter.forget(&id, *outcome, printer, signals).await;
    }
    ended.map(|_| exit).map_err(|error| {
        Halt::error(Exit::Internal, wiring::chain(&error)).with_hint(journal::resume_hint(&id))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn requests_to_stop_wait_in_their_order_until_the_driver_has_room_for_them() {
        let (driver, mut control) = mpsc::channel(1);
        let mut stops = Stops::new(driver);
        // The last of them ends the rollback that the one before asks for.
        let asked = [StopMode::Drain, StopMode::Rollback, StopMode::Now];
        for mode in asked {
            stops.want(mode);
        }
        let telling = async {
            while !stops.wanted.is_empty() {
                stops.tell().await;
            }
        };
        let hearing = async { [control.recv().await, control.recv().await, control.recv().await] };
        let ((), heard) = tokio::join!(telling, hearing);
        assert_eq!(heard, asked.map(Some));
        assert!(stops.has_room());
        for _ in 0..STOPS_MAX {
            stops.want(StopMode::Now);
        }
        assert!(!stops.has_room());
        drop(control);
        while !stops.wanted.is_empty() {
            stops.tell().await;
        }
    }

    #[test]
    fn a_rollback_that_is_asked_for_last_is_not_cut_off_by_what_was_asked_before() {
        use StopMode::{Drain, Now, Rollback};
        for (asked, heard) in [
            (vec![], vec![]),
            (vec![Now], vec![Now]),
            (vec![Drain, Now], vec![Drain, Now]),
            (vec![Now, Rollback], vec![Rollback]),
            (vec![Rollback, Now], vec![Rollback, Now]),
            (vec![Rollback, Now, Rollback], vec![Rollback]),
        ] {
            let request = |(number, mode): (u64, &StopMode)| {
                let at = SystemClock::new().now();
                StopRequest { number, mode: *mode, at, who: "kim".to_owned() }
            };
            let requests: Vec<StopRequest> = (1..).zip(&asked).map(request).collect();
            let kept: Vec<StopMode> = in_force(requests).iter().map(|request| request.mode).collect();
            assert_eq!(kept, heard, "{asked:?}");
        }
    }

    #[tokio::test]
    async fn requests_are_looked_for_after_one_could_not_be_read() {
        let (asked, mut requests) = mpsc::channel(1);
        let (at, who) = (SystemClock::new().now(), "kim".to_owned());
        let request = StopRequest { number: 1, mode: StopMode::Now, at, who };
        let looks = Cell::new(0);
        let look = async |_| {
            looks.set(looks.get() + 1);
            if looks.get() < 3 { Err("the file is locked") } else { Ok(vec![request.clone()]) }
        };
        let heard = tokio::select! {
            () = pass_on(look, asked) => None,
            heard = requests.recv() => heard,
        };
        assert_eq!(heard, Some(request.clone()));
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nothing_else() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut hung = Box::pin(apart(move || Ok(held.recv().is_ok())));
        tokio::select! {
            biased;
            _ = &mut hung => panic!("it hangs"),
            () = tokio::task::yield_now() => {}
        }
        release.send(()).unwrap();
        assert!(hung.await.unwrap());
    }

    #[tokio::test]
    #[should_panic(expected = "a broken invariant")]
    async fn a_panic_of_the_driver_is_not_swallowed() {
        let ended = tokio::spawn(async { panic!("a broken invariant") }).await;
        let _ = joined::<()>(ended);
    }

    #[tokio::test]
    async fn a_driver_that_was_aborted_is_an_error() {
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(joined(task.await).unwrap_err().exit(), Exit::Internal);
    }
}
