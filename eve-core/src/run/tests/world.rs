//! A world for a run: virtual time, calls that take a while and end as a script says, late and doubled facts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId, RunId};
use crate::plan::graph::Graph;
use crate::run::{
    Applied, Change, Command, Input, Outputs, Phase, PhaseEnd, Prepared, Record, Run, RunOptions, StopMode,
    UndoReport, UndoToken,
};
use crate::testing::sim;
use crate::time::Timestamp;

/// How one component behaves, the same whenever it is asked.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) change: Change,
    /// Milliseconds that each phase takes.
    pub(super) takes_ms: [u64; 5],
    /// The phase that fails, the first attempt in which it does not, and whether the failure is transient.
    pub(super) fails: Option<(Phase, u32, bool)>,
    /// The first attempt to undo it that does not fail, and whether the failures before are transient.
    pub(super) undo_fails: Option<(u32, bool)>,
    /// Whether the fresh look finds that it is not as before, although it was undone.
    pub(super) comes_back: bool,
    /// Whether its preparation says what would put it back.
    pub(super) keeps: bool,
    /// How often the wait tells something new.
    pub(super) causes: u32,
    /// Whether its wait never ends.
    pub(super) hangs: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) graph: Arc<Graph>,
    pub(super) options: RunOptions,
    pub(super) behaviours: Vec<Behaviour>,
    /// Requests to stop, by time since the beginning in milliseconds.
    pub(super) stops: Vec<(u64, StopMode)>,
    /// Whether each end is told twice, the second time late.
    pub(super) stutters: bool,
}

pub(super) const BEGINNING: Timestamp = Timestamp::from_micros(1_000_000_000);

/// More steps than any run of a test needs: a run that takes more does not end.
const STEPS_MAX: usize = 20_000;

impl World {
    pub(super) fn id() -> RunId {
        RunId::new("run")
    }

    /// A new run to its end; its whole log.
    pub(super) fn run(&self) -> Vec<Record> {
        let run = Run::new(Arc::clone(&self.graph), self.options.clone(), Self::id(), BEGINNING);
        self.drive(run, Vec::new(), BEGINNING)
    }

    /// The run taken over after `prefix`, by a process that begins `gap` later; its whole log, the prefix included.
    pub(super) fn resume(&self, prefix: &[Record], gap: Duration) -> Vec<Record> {
        let now = prefix.last().map_or(BEGINNING, |record| record.at).plus(gap);
        let run =
            Run::resume(Arc::clone(&self.graph), self.options.clone(), Self::id(), prefix, now).unwrap();
        self.drive(run, prefix.to_vec(), now)
    }

    fn drive(&self, mut run: Run, mut log: Vec<Record>, mut now: Timestamp) -> Vec<Record> {
        let mut facts = Facts::default();
        for (at_ms, mode) in &self.stops {
            facts.push(BEGINNING.plus(Duration::from_millis(*at_ms)), Input::Stop { mode: *mode });
        }
        for _ in 0..STEPS_MAX {
            while let Some(record) = run.poll_event() {
                log.push(record);
            }
            while let Some(command) = run.poll_command() {
                self.carry_out(&run, &command, now, &mut facts);
            }
            if run.outcome().is_some() {
                assert_eq!(run.poll_deadline(), None, "a run that is over waits for nothing");
                let judged = sim::judged(Arc::clone(&self.graph), self.options.clone(), &log);
                assert_eq!(judged, Ok(()), "{log:#?}");
                return log;
            }
            let deadline = run.poll_deadline().expect("a run that is not over has a deadline");
            let Some((at, input)) = facts.pop_before(deadline) else {
                now = now.max(deadline);
                run.handle_timeout(now);
                continue;
            };
            now = now.max(at);
            run.handle(input, now);
        }
        panic!("the run did not end in {STEPS_MAX} steps: {log:#?}");
    }

    fn carry_out(&self, run: &Run, command: &Command, now: Timestamp, facts: &mut Facts) {
        let Command::Call { component, attempt, phase, deadline } = *command else { return };
        assert!(deadline >= now, "a call that begins after its deadline");
        let behaviour = &self.behaviours[component.index()];
        let took = Duration::from_millis(behaviour.takes_ms[phase as usize]);
        match phase {
            Phase::Prepare | Phase::Verify => {}
            Phase::Undo => assert!(run.undo_token(component).is_some(), "what is undone has a token"),
            Phase::Apply => assert!(run.prepared(component).is_some(), "what is applied was prepared"),
            Phase::Wait => {
                for number in 0..behaviour.causes {
                    let cause = Cause::new("test", format!("step {number}"));
                    let at = now.plus(took * number / behaviour.causes);
                    facts.push(at, Input::Progress { component, attempt, cause });
                }
                if behaviour.hangs {
                    return;
                }
            }
        }
        let mut end = behaviour.end(phase, attempt);
        if phase == Phase::Verify && run.view().rolling_back_since().is_some() {
            let other = Failure::permanent("p", "somebody else has changed it");
            end = PhaseEnd::Verify(if behaviour.comes_back { Err(other) } else { Ok(()) });
        }
        if let PhaseEnd::Prepare(Ok(prepared)) = &mut end
            && behaviour.keeps
            && self.graph.may_be_rolled_back()
        {
            prepared.undo = Some(UndoToken::new(component.get()));
        }
        let input = Input::Ended { component, attempt, end };
        if self.stutters {
            facts.push(now.plus(took * 3), input.clone());
        }
        facts.push(now.plus(took), input);
    }
}

impl Behaviour {
    fn end(&self, phase: Phase, attempt: Attempt) -> PhaseEnd {
        let failing = match self.fails {
            _ if phase == Phase::Undo => self.undo_fails,
            Some((failing, until, transient)) if failing == phase => Some((until, transient)),
            _ => None,
        };
        if let Some((until, transient)) = failing
            && attempt.get() < until
        {
            let failure =
                if transient { Failure::transient("t", "lost") } else { Failure::permanent("p", "no") };
            return PhaseEnd::failed(phase, failure);
        }
        match phase {
            Phase::Prepare => PhaseEnd::Prepare(Ok(Prepared::new(self.change))),
            Phase::Apply => PhaseEnd::Apply(Ok(Applied::new(self.change))),
            Phase::Wait => PhaseEnd::Wait(Ok(Outputs::NONE)),
            Phase::Verify => PhaseEnd::Verify(Ok(())),
            Phase::Undo => PhaseEnd::Undo(Ok(UndoReport::new(Change::None))),
        }
    }
}

#[derive(Default)]
struct Facts {
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    inputs: BTreeMap<u64, Input>,
    next: u64,
}

impl Facts {
    fn push(&mut self, at: Timestamp, input: Input) {
        self.queue.push(Reverse((at, self.next)));
        self.inputs.insert(self.next, input);
        self.next += 1;
    }

    fn pop_before(&mut self, deadline: Timestamp) -> Option<(Timestamp, Input)> {
        let Reverse((at, number)) = *self.queue.peek()?;
        if at > deadline {
            return None;
        }
        self.queue.pop();
        self.inputs.remove(&number).map(|input| (at, input))
    }
}

/// The names of components that ended like this.
pub(super) fn ended_as(
    log: &[Record],
    wanted: impl Fn(&crate::run::Event) -> Option<ComponentId>,
) -> Vec<u32> {
    let mut found: Vec<u32> = log.iter().filter_map(|r| wanted(&r.event)).map(ComponentId::get).collect();
    found.sort_unstable();
    found
}
