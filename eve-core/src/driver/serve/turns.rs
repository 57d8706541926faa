//! The loop: decide, store as one, show, act, wait for the first fact, take every fact that is there.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::live::{Ended, LiveRuns};
use super::outside::{Came, Fact, Outside, arrival, hand_out_again};
use super::{Opened, Order, ServeError, ServePorts};
use crate::failure::{Failure, FailureClass};
use crate::few::few;
use crate::ids::RunId;
use crate::ports::LedgerBatch;
use crate::run::{Outcome, Record, Run, StopMode};
use crate::scheduler::{Command, Input, Reason, Report, Scheduler};
use crate::time::Timestamp;

/// Serves until it is told to end by `orders`; a closed channel means [`Order::Drain`]. What is not answered then may be handed
/// out again by its source at once.
///
/// # Errors
/// [`ServeError`]; then nothing new was started, told or acknowledged, and reads in flight are dropped.
///
/// # Cancel safety
/// Dropping the future is like the death of the process. What was stored can be resumed.
pub async fn serve(
    scheduler: &mut Scheduler,
    ports: &ServePorts,
    orders: mpsc::Receiver<Order>,
) -> Result<(), ServeError> {
    // Which source a request came from is not stored: only the one that there is can know what became of it.
    if let [source] = &*ports.sources {
        let view = scheduler.view();
        let awaited = view.awaited().filter_map(|awaited| view.by_ticket(awaited.ticket));
        source.expect(&awaited.map(|request| request.key().clone()).collect::<Vec<_>>());
    }
    let mut server = Server {
        scheduler,
        ports,
        live: LiveRuns::default(),
        outside: Outside::new(ports),
        stops: BTreeMap::new(),
        opening: 0,
        ends: Ends::Not,
        is_led: true,
    };
    let result = server.serve(orders).await;
    server.live.let_go();
    if result.is_ok() {
        hand_out_again(scheduler, ports).await;
    }
    result
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ends {
    Not,
    Draining,
    Now,
}

struct Server<'a> {
    scheduler: &'a mut Scheduler,
    ports: &'a ServePorts,
    live: LiveRuns,
    outside: Outside,
    /// How runs that are being opened are to stop.
    stops: BTreeMap<RunId, StopMode>,
    opening: usize,
    ends: Ends,
    /// Whether orders may still come.
    is_led: bool,
}

impl Server<'_> {
    async fn serve(&mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), ServeError> {
        let mut alarm = pin!(sleep(Duration::ZERO));
        loop {
            self.decide_and_store().await?;
            self.act();
            if self.is_over() {
                return Ok(());
            }
            let deadline = self.scheduler.poll_deadline().into_iter().chain(self.live.next_alarm()).min();
            let deadline = deadline.unwrap_or(Timestamp::MAX);
            let rings_at = Instant::now() + deadline.since(self.ports.clock.now());
            if alarm.is_elapsed() || rings_at < alarm.deadline() {
                alarm.as_mut().reset(rings_at);
            }
            let Self { outside, live, .. } = self;
            let touched = live.is_touched();
            let came = tokio::select! {
                biased;
                order = orders.recv(), if self.is_led => {
                    self.is_led = order.is_some();
                    Fact::Order(order.unwrap_or(Order::Drain))
                }
                () = std::future::ready(()), if touched => Fact::Nothing,
                () = live.next() => Fact::Nothing,
                fact = outside.next() => fact,
                () = &mut alarm => Fact::Nothing,
            };
            self.take_in(came);
            while let Some(came) = self.outside.more() {
                self.take_in(Fact::Came(came));
            }
            while let Some((source, delivery, asks)) = self.outside.more_deliveries() {
                self.take_in(Fact::Delivered(source, delivery, asks));
            }
            self.live.take_in(self.ports);
            self.scheduler.handle_timeout(self.ports.clock.now());
        }
    }

    /// All that the runs and the scheduler decide now, in one append: the end of a run and its outcome are never apart.
    async fn decide_and_store(&mut self) -> Result<(), ServeError> {
        let means = (&self.ports.executors, &self.ports.clock);
        let (runs, ended) = self.live.decide(means);
        let over: Vec<RunId> = ended.iter().map(|ended| ended.run.clone()).collect();
        for Ended { run, outcome, reason, report } in ended {
            let ended = Input::RunEnded { run, outcome, reason, report };
            self.scheduler.handle(ended, self.ports.clock.now());
        }
        let next = self.scheduler.next_seq();
        let ledger: Vec<_> = std::iter::from_fn(|| self.scheduler.poll_event()).collect();
        let batch = LedgerBatch { next, ledger, runs };
        if !batch.is_empty() {
            let shown = batch.runs.clone();
            self.ports.ledger.append(batch).await?;
            self.live.show(&shown);
            (self.ports.observer)(self.scheduler.view());
        }
        for run in &over {
            self.ports.intake.let_go(run);
        }
        Ok(())
    }

    fn act(&mut self) {
        self.live.act((&self.ports.executors, &self.ports.clock));
        while let Some(command) = self.scheduler.poll_command() {
            match command {
                Command::Stop { run, mode } if self.live.has(&run) => {
                    self.live.stop(&run, mode, self.ports.clock.now());
                }
                Command::Stop { run, mode } => {
                    self.outside.stop_opening(&run);
                    let stop = self.stops.entry(run).or_insert(mode);
                    *stop = (*stop).max(mode);
                }
                Command::Open { .. }
                | Command::Notify { .. }
                | Command::Extend { .. }
                | Command::Acknowledge { .. }
                | Command::Reject { .. } => {
                    self.opening += usize::from(matches!(command, Command::Open { .. }));
                    self.outside.carry_out(self.scheduler, command, self.ports);
                }
            }
        }
        self.outside.set_room(self.scheduler.has_room());
    }

    fn is_over(&self) -> bool {
        match self.ends {
            Ends::Not => false,
            Ends::Draining => self.live.is_empty() && self.opening == 0 && self.outside.is_idle(),
            Ends::Now => true,
        }
    }

    fn take_in(&mut self, fact: Fact) {
        let now = self.ports.clock.now();
        match fact {
            Fact::Nothing => {}
            Fact::Delivered(source, delivery, asks) => {
                self.scheduler.handle(arrival(source, delivery, asks), now);
            }
            Fact::Came(Came::Input(input)) => self.scheduler.handle(input, now),
            Fact::Came(Came::Opened { run, result }) => self.opened(run, result),
            Fact::Order(Order::Stop { request, mode }) => {
                self.scheduler.handle(Input::Stop { request, mode }, now);
            }
            Fact::Order(Order::SendAgain { request }) => {
                self.scheduler.handle(Input::SendAgain { request }, now);
            }
            Fact::Order(Order::Drain) => {
                self.ends = self.ends.max(Ends::Draining);
                self.outside.close();
                self.scheduler.handle(Input::Halt, now);
            }
            Fact::Order(Order::HandBack) => self.ends = Ends::Now,
        }
    }

    /// A run begins, or is taken up; or it cannot be made, and has failed.
    fn opened(&mut self, run: RunId, result: Result<(Opened, Vec<Record>), Failure>) {
        self.opening -= 1;
        let stop = self.stops.remove(&run);
        self.outside.opened(&run);
        self.scheduler.handle(Input::OpenEnds { run: run.clone() }, self.ports.clock.now());
        let begun = result.and_then(|(opened, records)| self.begin(&run, opened, &records));
        let now = self.ports.clock.now();
        match (begun, stop) {
            (Ok(()), Some(mode)) => self.live.stop(&run, mode, now),
            (Ok(()), None) => {}
            (Err(failure), stop) => {
                self.ports.intake.let_go(&run);
                let outcome = match stop.filter(|_| failure.class == FailureClass::Transient) {
                    Some(StopMode::Supersede) => Outcome::Superseded,
                    Some(StopMode::Drain | StopMode::Now | StopMode::Rollback) => Outcome::Cancelled,
                    None => Outcome::Failed,
                };
                let (reason, report) = (Some(Reason::of(&failure)), Report::default());
                self.scheduler.handle(Input::RunEnded { run, outcome, reason, report }, now);
            }
        }
    }

    fn begin(&mut self, run: &RunId, opened: Opened, records: &[Record]) -> Result<(), Failure> {
        let Opened { graph, options, secrets } = opened;
        let executors = &self.ports.executors;
        let missing: Vec<&str> = graph.kinds().filter(|kind| executors.get(kind).is_none()).collect();
        if !missing.is_empty() {
            let message = format!("nothing here carries out components of kind {}", few(&missing));
            return Err(Failure::permanent("serve.no-executor", message));
        }
        let now = self.ports.clock.now();
        let resumed = Run::resume(graph, options, run.clone(), records, now);
        // One run that cannot go on is no reason for all others to stand still.
        let live = resumed.map_err(|error| {
            let message = format!("what was stored of run {run} does not fit its plan: {error}");
            Failure::permanent("serve.resume", message)
        })?;
        let reporters = (self.ports.reporters)(run, live.graph());
        self.live.begin(live, reporters, secrets);
        Ok(())
    }
}
