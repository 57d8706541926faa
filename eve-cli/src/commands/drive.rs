//! A run on a cluster, driven and shown: what `eve apply` and `eve delete` have in common.

use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::{Executors, Ports, SystemClock, drive};
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock, Reporter};
use eve_core::run::{Run, RunOptions, StopMode};
use eve_core::run_store::MemoryStore;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::cli::ApplyOutput;
use crate::duration;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::{self, Ending, HumanReporter, JsonReporter, Printer};
use crate::signals::Signals;
use crate::wiring;

/// How often the frame is drawn: often enough that seconds tick evenly.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// What the command line says about the run itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Deadline,
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
            let message = format!("the cluster has not answered in time, the run's {after} are over");
            Err(Halt::error(Exit::Cluster, message).with_hint("give it more with `--timeout`".to_owned()))
        })
    }
}

/// Does the work in a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
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

/// Drives a run of the graph to its end, shows it, and lets signals stop it.
pub(super) async fn run(
    limits: &Limits,
    printer: &Arc<Printer>,
    graph: Graph,
    executors: Executors,
    signals: &mut Signals,
) -> Result<Exit, Halt> {
    let graph = Arc::new(graph);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let display = Display::new(limits.output, printer, &graph, &clock);
    let ports = Ports {
        executors,
        store: Arc::new(MemoryStore::new()),
        reporters: display.reporters(),
        clock: clock.clone(),
    };
    let options = RunOptions::default()
        .with_run_timeout(limits.deadline.left())
        .with_api_limit(limits.concurrency)
        .with_seed(wiring::random());
    let now = clock.now();
    let id = wiring::run_id(now);
    tracing::info!(run = %id, plan = graph.name(), namespace = graph.namespace(), "the run begins");
    drive_run(Run::new(graph, options, id, now), &ports, &display, printer, signals).await
}

pub(super) fn say_stopping(printer: &Printer) {
    printer.err(&format!(
        "{}: finishing the calls in flight, giving up waits; press Ctrl-C again to abort",
        output::style::warning("stopping"),
    ));
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

    fn tick(&self) {
        self.human.iter().for_each(|human| human.tick());
    }

    fn end(&self, exit: Exit) {
        self.human.iter().for_each(|human| human.end(exit));
        self.json.iter().for_each(|json| json.end(exit));
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
    display: &Display,
    printer: &Arc<Printer>,
    signals: &mut Signals,
) -> Result<Exit, Halt> {
    let (stop, control) = mpsc::channel(1);
    let ports = ports.clone();
    // Beside the calls that it makes, so that none of them wakes another thread; signals and frames have this one.
    let mut driving = tokio::spawn(async move { drive(&mut run, &ports, control).await });
    let mut frames = interval(FRAME_INTERVAL);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = false;
    let ended = loop {
        tokio::select! {
            ended = &mut driving => break joined(ended)?,
            exit = signals.next() => {
                if asked {
                    display.end(exit);
                    return Ok(exit);
                }
                asked = true;
                say_stopping(printer);
                // A full channel means that this was asked for already.
                let _ = stop.try_send(StopMode::Now);
            }
            _ = frames.tick() => display.tick(),
        }
    };
    let exit = ended.as_ref().map_or(Exit::Internal, |outcome| Exit::from(*outcome));
    display.end(exit);
    let exit = written(printer, exit, signals).await;
    ended.map(|_| exit).map_err(|error| {
        let hint = "what was written stays; run the same command again".to_owned();
        Halt::error(Exit::Internal, wiring::chain(&error)).with_hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
