//! Kills this process at a point that the environment names, so that a test can see a run go on from there. Only with the
//! feature `fail-points`; knows the ports and nothing behind them. Start with [`armed`].
//!
//! [`POINT_VARIABLE`] names one point. Occurrences count from 1, in this process:
//!
//! | point | the process dies |
//! |---|---|
//! | `before-append:EVENT:N` | when the N-th record of this event is about to be stored |
//! | `committed:EVENT:N` | when it is stored, before anything follows from it |
//! | `sent:PHASE:N[:TIME]` | so long (1 ms) after the N-th call of this phase has begun, or at its end if that is sooner |
//! | `replied:PHASE:N` | when the N-th call of this phase that ends has its answer, before anybody knows |
//! | `at:TIME` | so long after the run has begun or goes on |
//!
//! Events are named as in the journal (`started`), phases `prepare`, `apply`, `wait`, `verify` and `undo`, times in `us`, `ms` or `s`. It
//! dies by SIGKILL, after it has written one line into the file that [`LOG_VARIABLE`] names: the point, then what it was
//! about. Calls are told by their component, and by `answered` if the end of the call came before the time of `sent`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::driver::{Executors, Ports};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::plan::Until;
use eve_core::plan::graph::Graph;
use eve_core::plan::problem::SpecProblem;
use eve_core::ports::{Context, Executor, RecordBatch, RunStore, Step, StoreError, Verify};
use eve_core::run::{Applied, Event, Outputs, Phase, Prepared, Record, UndoReport, UndoToken};
use rustix::process::{Signal, getpid, kill_process};
use tokio::time::sleep;

use crate::exit::Exit;
use crate::halt::Halt;

/// The environment variable that names the point.
const POINT_VARIABLE: &str = "EVE_FAIL_POINT";
/// The environment variable that names the file into which is written that the point was reached.
const LOG_VARIABLE: &str = "EVE_FAIL_POINT_LOG";
/// How long a request takes at most to be on its way, on an idle machine.
const SENDING: Duration = Duration::from_millis(1);
/// The events of a journal, as they are named there.
const EVENTS: [&str; 19] = [
    "runStarted",
    "resumed",
    "prepared",
    "started",
    "applied",
    "waiting",
    "ready",
    "attemptFailed",
    "interrupted",
    "skipped",
    "stopping",
    "verifying",
    "rollingBack",
    "inherited",
    "undoStarted",
    "undone",
    "undoFailed",
    "kept",
    "finished",
];

/// On which side of storing a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Record(Side, &'static str),
    Sent(Phase, Duration),
    Replied(Phase),
    At(Duration),
}

/// A point, and how often it was passed.
#[derive(Debug)]
struct Point {
    text: String,
    place: Place,
    occurrence: u32,
    passed: AtomicU32,
}

/// The same ports, through which the process dies where the environment says. Without the variable, they are as they were.
///
/// # Errors
/// A point that is not understood.
pub(crate) fn armed(ports: Ports, graph: &Graph) -> Result<Ports, Halt> {
    let Ok(text) = std::env::var(POINT_VARIABLE) else { return Ok(ports) };
    let point = Point::parse(&text).ok_or_else(|| {
        Halt::error(Exit::Usage, format!("the variable {POINT_VARIABLE} cannot be understood: {text}"))
    })?;
    let point = Arc::new(point);
    if let Place::At(time) = point.place {
        let point = Arc::clone(&point);
        std::thread::spawn(move || {
            std::thread::sleep(time);
            point.die("");
        });
    }
    let wrapped = |executors: Executors, kind: &str| match ports.executors.get(kind) {
        Some(inner) => {
            let (inner, point) = (Arc::clone(inner), Arc::clone(&point));
            executors.with(kind, Arc::new(Calls { inner, point }))
        }
        None => executors,
    };
    let executors = graph.kinds().fold(Executors::new(), wrapped);
    Ok(Ports { executors, store: Arc::new(Journal { inner: ports.store, point }), ..ports })
}

impl Point {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(':').collect();
        let event = |name: &str| EVENTS.into_iter().find(|event| *event == name);
        let (place, occurrence) = match *words.as_slice() {
            ["before-append", name, number] => (Place::Record(Side::Before, event(name)?), number),
            ["committed", name, number] => (Place::Record(Side::After, event(name)?), number),
            ["sent", name, number] => (Place::Sent(phase(name)?, SENDING), number),
            ["sent", name, number, after] => (Place::Sent(phase(name)?, time(after)?), number),
            ["replied", name, number] => (Place::Replied(phase(name)?), number),
            ["at", after] => (Place::At(time(after)?), "1"),
            _ => return None,
        };
        let occurrence = occurrence.parse().ok().filter(|number| *number > 0)?;
        Some(Self { text: text.to_owned(), place, occurrence, passed: AtomicU32::new(0) })
    }

    /// Whether this is the occurrence that is meant.
    fn is_now(&self) -> bool {
        self.passed.fetch_add(1, Ordering::Relaxed).checked_add(1) == Some(self.occurrence)
    }

    fn is_at(&self, side: Side, records: &[Record]) -> Option<u64> {
        let of_event = |record: &&Record| self.place == Place::Record(side, name(&record.event));
        records.iter().filter(of_event).find(|_| self.is_now()).map(|record| record.seq.get())
    }

    /// Says that the point was reached, and ends the process.
    fn die(&self, about: &str) -> ! {
        if let Some(file) = std::env::var_os(LOG_VARIABLE) {
            let line = format!("{} {about}\n", self.text);
            let file = OpenOptions::new().create(true).append(true).open(file);
            // A line that is missing is what the reader of the file looks for.
            let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        }
        loop {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

fn phase(name: &str) -> Option<Phase> {
    match name {
        "prepare" => Some(Phase::Prepare),
        "apply" => Some(Phase::Apply),
        "wait" => Some(Phase::Wait),
        "verify" => Some(Phase::Verify),
        "undo" => Some(Phase::Undo),
        _ => None,
    }
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let number = number.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

/// As the event is named in the journal; empty for one that is not known here.
fn name(event: &Event) -> &'static str {
    let json = serde_json::to_value(event).unwrap_or_default();
    let name = json.get("type").and_then(|name| name.as_str()).unwrap_or_default();
    EVENTS.into_iter().find(|event| *event == name).unwrap_or_default()
}

/// A store, and the point at which appending to it is the end.
struct Journal {
    inner: Arc<dyn RunStore>,
    point: Arc<Point>,
}

#[async_trait]
impl RunStore for Journal {
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        let records: Vec<Record> = batches.iter().flat_map(|batch| batch.records.clone()).collect();
        if let Some(seq) = self.point.is_at(Side::Before, &records) {
            self.point.die(&format!("record {seq}"));
        }
        self.inner.append(batches).await?;
        if let Some(seq) = self.point.is_at(Side::After, &records) {
            self.point.die(&format!("record {seq}"));
        }
        Ok(())
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        self.inner.load(run).await
    }
}

/// An executor, and the point at which one of its calls is the end.
struct Calls {
    inner: Arc<dyn Executor>,
    point: Arc<Point>,
}

impl Calls {
    async fn pass<T>(&self, phase: Phase, step: &Step, call: impl Future<Output = T> + Send) -> T {
        match self.point.place {
            Place::Sent(wanted, after) if wanted == phase && self.point.is_now() => {
                tokio::select! {
                    biased;
                    _ = call => self.point.die(&format!("{} answered", step.name())),
                    () = sleep(after) => self.point.die(step.name()),
                }
            }
            Place::Replied(wanted) if wanted == phase => {
                let end = call.await;
                if self.point.is_now() {
                    self.point.die(step.name());
                }
                end
            }
            Place::Record(..) | Place::Sent(..) | Place::Replied(_) | Place::At(_) => call.await,
        }
    }
}

#[async_trait]
impl Executor for Calls {
    fn check(&self, spec: &serde_json::Value) -> Vec<SpecProblem> {
        self.inner.check(spec)
    }

    async fn prepare(&self, step: &Step, cx: &Context) -> Result<Prepared, Failure> {
        self.pass(Phase::Prepare, step, self.inner.prepare(step, cx)).await
    }

    async fn apply(&self, step: &Step, prepared: &Prepared, cx: &Context) -> Result<Applied, Failure> {
        self.pass(Phase::Apply, step, self.inner.apply(step, prepared, cx)).await
    }

    async fn wait(
        &self,
        step: &Step,
        applied: &Applied,
        until: Until,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        self.pass(Phase::Wait, step, self.inner.wait(step, applied, until, cx)).await
    }

    async fn verify<'a>(&self, step: &Step, of: Verify<'a>, cx: &Context) -> Result<(), Failure> {
        self.pass(Phase::Verify, step, self.inner.verify(step, of, cx)).await
    }

    async fn undo<'a>(
        &self,
        step: &Step,
        token: &UndoToken,
        applied: Option<&'a Applied>,
        cx: &Context,
    ) -> Result<UndoReport, Failure> {
        self.pass(Phase::Undo, step, self.inner.undo(step, token, applied, cx)).await
    }
}

#[cfg(test)]
mod tests {
    use eve_core::testing::{sample_events, sample_rollback, sample_undoing};

    use super::*;

    #[test]
    fn every_event_of_a_journal_has_a_point() {
        let all = [sample_events(), sample_rollback(), sample_undoing()].concat();
        let names: Vec<&str> = all.iter().map(|record| name(&record.event)).collect();
        assert!(EVENTS.iter().all(|event| names.contains(event)), "{names:?}");
        assert!(!names.contains(&""), "an event has no name here: {names:?}");
    }

    #[test]
    fn a_point_is_read_whole_or_not_at_all() {
        let read = |text| Point::parse(text).map(|point| (point.place, point.occurrence));
        assert_eq!(read("before-append:started:2"), Some((Place::Record(Side::Before, "started"), 2)));
        assert_eq!(read("committed:applied:1"), Some((Place::Record(Side::After, "applied"), 1)));
        assert_eq!(read("sent:apply:3"), Some((Place::Sent(Phase::Apply, SENDING), 3)));
        let quarter = Duration::from_micros(250);
        assert_eq!(read("sent:wait:1:250us"), Some((Place::Sent(Phase::Wait, quarter), 1)));
        assert_eq!(read("replied:prepare:7"), Some((Place::Replied(Phase::Prepare), 7)));
        assert_eq!(read("at:137ms"), Some((Place::At(Duration::from_millis(137)), 1)));
        for text in
            ["", "at", "at:5", "at:ms", "committed:apply:1", "sent:started:1", "replied:apply:0", "x:y:1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_point_is_reached_once() {
        let point = Point::parse("committed:resumed:2").unwrap();
        let record = |seq| Record {
            seq: eve_core::ids::Seq::new(seq),
            at: eve_core::time::Timestamp::EPOCH,
            event: Event::Resumed,
        };
        assert_eq!(point.is_at(Side::Before, &[record(1), record(2)]), None);
        assert_eq!(point.is_at(Side::After, &[record(1)]), None);
        assert_eq!(point.is_at(Side::After, &[record(5), record(6)]), Some(5));
        assert_eq!(point.is_at(Side::After, &[record(7)]), None);
    }
}
