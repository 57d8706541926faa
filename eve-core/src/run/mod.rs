//! The engine: a run of one plan as a synchronous, deterministic state machine.
//!
//! [`Run`] reads no clock, does no I/O, spawns nothing and logs nothing. Time and results come in as [`Input`]s, wishes
//! go out as [`Command`]s, and what was decided goes out as [`Record`]s, whose events are the only thing that changes the
//! state. Whoever drives a run does this, over and over:
//!
//! 1. [`Run::handle`] each fact, and [`Run::handle_timeout`] when [`Run::poll_deadline`] is reached;
//! 2. [`Run::poll_event`] until it is empty, and store the records durably;
//! 3. only then [`Run::poll_command`] until it is empty, and carry the commands out;
//! 4. until [`Run::outcome`] is there.
//!
//! Only writes wait for their records, and not those that were announced in earlier ones. Who wants fewer, larger appends may carry out what [`Run::poll_at_once`] gives before
//! the records are stored, and handle what comes of it at once, as long as [`Run::wants_to_write`] does not hold.
//!
//! Start with [`protocol`], then `schedule` (what is started when), then `apply` (what an event changes).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{RunId, Seq};
use crate::plan::graph::Graph;
use crate::time::Timestamp;

#[macro_use]
mod rehearsal;

mod apply;
mod deadline;
mod ended;
mod flight;
pub mod options;
pub mod protocol;
mod resume;
mod retry;
mod rollback;
mod schedule;
mod state;
mod stop;
#[cfg(test)]
mod tests;
mod undo;
mod verify;
mod view;

pub use options::RunOptions;
pub use protocol::{
    Applied, Change, Command, Event, Input, KeepReason, OUTPUTS_BYTES_MAX, Outcome, Outputs, Phase, PhaseEnd,
    Prepared, Record, RunStart, SkipReason, StopMode, StopReason, TOKEN_BYTES_MAX, UndoReport, UndoToken,
    VALUE_DEPTH_MAX,
};
pub use resume::ResumeError;
pub(crate) use retry::mixed;
#[cfg(feature = "driver")]
pub(crate) use retry::pause;
pub use rollback::RollbackError;
pub use state::{ComponentStatus, Counts};
pub use undo::{UndoCounts, UndoStatus};
pub use view::RunView;

#[cfg(any(test, feature = "test-util"))]
pub(crate) use rehearsal::Replica;

use flight::Flight;
use state::State;

/// One execution of a plan. The contract of its use is in the [module's docs](self).
#[derive(Debug)]
pub struct Run {
    id: RunId,
    graph: Arc<Graph>,
    options: RunOptions,
    state: State,
    flight: Flight,
    next_seq: Seq,
    now: Timestamp,
    events: VecDeque<Record>,
    /// Wishes that wait for no record: reads, writes whose announcement is durable, and word that a call is given up.
    at_once: VecDeque<Command>,
    /// Writes that are carried out when the records before them are durable.
    writes: VecDeque<Command>,
}

impl Run {
    /// A run that begins `now`. Its first events and commands can be polled at once.
    pub fn new(graph: Arc<Graph>, options: RunOptions, id: RunId, now: Timestamp) -> Self {
        let mut run = Self::idle(graph, options, id, now);
        run.begin();
        run
    }

    fn idle(graph: Arc<Graph>, options: RunOptions, id: RunId, now: Timestamp) -> Self {
        let state = State::new(&graph);
        let flight = Flight::new(&graph);
        Self {
            id,
            graph,
            options,
            state,
            flight,
            next_seq: Seq::FIRST,
            now,
            events: VecDeque::new(),
            at_once: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    fn begin(&mut self) {
        let start = self.beginning();
        self.emit(Event::RunStarted { run: Box::new(start) });
        self.schedule();
    }

    fn beginning(&self) -> RunStart {
        RunStart {
            id: self.id.clone(),
            plan: self.graph.name().to_owned(),
            namespace: self.graph.namespace().to_owned(),
            components: u32::try_from(self.graph.len()).unwrap_or(u32::MAX),
            options: self.options.clone(),
            undoes: None,
        }
    }

    /// Takes in a fact. Late, duplicate and unknown facts change nothing.
    ///
    /// `now` must not go back; an earlier time is taken as the latest one. Poll events, then commands, then the
    /// deadline afterwards; several facts may be handled before that.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = self.now.max(now);
        if self.state.outcome.is_some() {
            return;
        }
        match input {
            Input::Ended { component, attempt, end } => self.ended(component, attempt, end),
            Input::Progress { component, attempt, cause } => self.progress(component, attempt, cause),
            Input::Stop { mode } => self.stop(mode),
        }
        self.judge_run_deadline();
        self.schedule();
    }

    /// Takes in that time has passed. Harmless when no deadline is reached.
    ///
    /// Poll events, then commands, then the deadline afterwards.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.state.outcome.is_some() {
            return;
        }
        self.deadlines();
        self.schedule();
    }

    /// The next record to store. Poll until `None` after each `new`, `resume`, `handle` and `handle_timeout`.
    #[must_use = "a record that is not stored is lost"]
    pub fn poll_event(&mut self) -> Option<Record> {
        self.events.pop_front()
    }

    /// The next command that waits for no record: a call of a phase that only reads, a write whose announcement is durable
    /// ([`Event::Announced`]), or word that a call is given up. It may be carried out before the records are stored.
    #[must_use = "a command that is not carried out never ends"]
    pub fn poll_at_once(&mut self) -> Option<Command> {
        while let Some(command) = self.at_once.pop_front() {
            if self.is_wanted(command) {
                return Some(command);
            }
        }
        None
    }

    /// Whether [`Run::poll_command`] has a write: then the records are to be stored before anything else is handled.
    pub fn wants_to_write(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The next command to carry out: what [`Run::poll_at_once`] gives, then writes. Poll until `None`, after the records were
    /// polled and stored.
    ///
    /// # Panics
    /// If there are records that were not polled: an effect would come before its record.
    #[must_use = "a command that is not carried out never ends"]
    pub fn poll_command(&mut self) -> Option<Command> {
        assert!(self.events.is_empty(), "records must be polled and stored before commands");
        self.flight.announcements_are_durable();
        if let Some(read) = self.poll_at_once() {
            return Some(read);
        }
        while let Some(command) = self.writes.pop_front() {
            if self.is_wanted(command) {
                return Some(command);
            }
        }
        None
    }

    /// Whether what was wished for was not given up since.
    fn is_wanted(&mut self, command: Command) -> bool {
        match command {
            Command::Call { component, attempt, phase, .. } => {
                self.flight.give_out(component, attempt, phase)
            }
            Command::Abort { .. } => true,
        }
    }

    /// When [`Run::handle_timeout`] wants to be called next. Changes with every input; a deadline that was handled is not
    /// offered again. `None` once the run is over.
    #[must_use = "a run that misses its deadlines may never end"]
    pub fn poll_deadline(&mut self) -> Option<Timestamp> {
        if self.state.outcome.is_some() {
            return None;
        }
        let state = &self.state;
        let lost = sabotaged!(state, LostWakeUp);
        let timer = self.flight.next_timer(|id| !lost && state.is_timed(id));
        timer.into_iter().chain([self.run_timer()]).min()
    }

    /// How the run ended, once it has; then there is nothing more to do.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.state.outcome
    }

    /// The run as readers may see it.
    pub fn view(&self) -> RunView<'_> {
        RunView { graph: &self.graph, state: &self.state }
    }

    /// Which run it is.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// The graph that is run.
    pub const fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The options that hold for the run.
    pub const fn options(&self) -> &RunOptions {
        &self.options
    }

    /// What `prepare` found for this attempt of the component, for the call of `apply`; with the undo token that holds.
    pub fn prepared(&self, component: crate::ids::ComponentId) -> Option<Prepared> {
        let cell = self.state.cell(component);
        let undo = || cell.undo.clone();
        cell.prepared.clone().map(|prepared| Prepared { undo: undo(), ..prepared })
    }

    /// What puts the component back as it was before the run, for the calls of `undo` and of `verify` afterwards.
    pub fn undo_token(&self, component: crate::ids::ComponentId) -> Option<&UndoToken> {
        self.state.cell(component).undo.as_ref()
    }

    /// What `apply` did the last time that its end is known, in whatever attempt: for the call of `undo`.
    pub fn last_applied(&self, component: crate::ids::ComponentId) -> Option<&Applied> {
        self.state.cell(component).applied.last()
    }

    /// What `apply` did in this attempt of the component, for the calls of `wait` and `verify`; `None` where nothing had to
    /// be written.
    pub fn applied(&self, component: crate::ids::ComponentId) -> Option<&Applied> {
        self.state.cell(component).applied.now()
    }

    /// Decides something: the one way by which the state of a live run changes.
    fn emit(&mut self, event: Event) {
        let record = Record { seq: self.next_seq, at: self.now, event };
        let taken = apply::apply(&mut self.state, &self.graph, &record);
        assert!(taken.is_ok(), "the engine decided what its own rules forbid: {taken:?}: {record:?}");
        self.next_seq = self.next_seq.next();
        self.events.push_back(record);
    }
}
