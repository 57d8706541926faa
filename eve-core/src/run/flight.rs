//! What is under way in this process: calls, budgets, queues, timers.
//!
//! Not part of the state: nothing of it is stored, and after a restart it is empty. It may be derived from the state at
//! any time, which is what [`Run::resume`](super::Run::resume) relies on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::protocol::Phase;
use crate::failure::Cause;
use crate::ids::{Attempt, ComponentId};
use crate::plan::graph::Graph;
use crate::time::Timestamp;

/// A call of this process that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) phase: Phase,
    pub(super) attempt: Attempt,
    pub(super) deadline: Timestamp,
    /// When it began, or last told something new that is not stored.
    pub(super) heard: Timestamp,
    /// Whether the driver was told to make it.
    pub(super) given_out: bool,
}

/// What this process does for one component.
#[derive(Clone, Copy, Debug)]
struct Slot {
    call: Option<Call>,
    /// Whether the preparation that is known was made when the component was runnable.
    prepared_in_turn: bool,
    /// Whether its next write was announced.
    announced: Announced,
    /// Whether it is in the queue of its class, where everybody stands once.
    in_class_queue: bool,
    /// The earliest timer that is set for the component.
    timer: Timestamp,
}

/// Whether the next write of a component was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announced {
    No,
    /// In records that may not be durable yet.
    Decided,
    Durably,
}

/// Components by priority: the longest remaining path first, then plan order.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(BinaryHeap<u64>);

impl Queue {
    pub(super) fn push(&mut self, graph: &Graph, id: ComponentId) {
        let earlier_first = u32::MAX - id.get();
        self.0.push(u64::from(graph.rank(id)) << 32 | u64::from(earlier_first));
    }

    /// The shortest remaining path first: in a rollback that is where the longest way back begins.
    pub(super) fn push_reversed(&mut self, graph: &Graph, id: ComponentId) {
        let earlier_first = u32::MAX - id.get();
        self.0.push(u64::from(u32::MAX - graph.rank(id)) << 32 | u64::from(earlier_first));
    }

    pub(super) fn pop(&mut self) -> Option<ComponentId> {
        let low = self.0.pop()? & u64::from(u32::MAX);
        u32::try_from(low).ok().map(|low| ComponentId::new(u32::MAX - low))
    }
}

/// All that is under way in this process.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    slots: Vec<Slot>,
    /// Calls that have not ended, but for `Wait`.
    pub(super) api_calls: u32,
    /// `Wait` calls that have not ended.
    pub(super) wait_calls: u32,
    /// Runnable components that want a call; in a rollback those that want to be undone.
    pub(super) runnable: Queue,
    /// Waiting components that want a call.
    pub(super) waits: Queue,
    /// Runnable components that wait for others of their class, by class.
    pub(super) class_queues: Vec<Queue>,
    /// How far along the graph's order components were looked at for early preparation.
    pub(super) early: usize,
    /// Blocked components that may be prepared again.
    pub(super) early_again: Vec<ComponentId>,
    /// Causes that are not stored: those that came too soon after the last one, and those of undos.
    pub(super) late_causes: BTreeMap<ComponentId, Cause>,
    /// Whether anything is ever called: the graph is more than joins.
    pub(super) has_work: bool,
    /// The fresh look at the end.
    pub(super) look: Look,
    timers: BinaryHeap<Reverse<(Timestamp, ComponentId)>>,
    /// What was announced in records that may not be durable yet.
    announcing: Vec<ComponentId>,
}

/// How far the fresh look at the end has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// How far along the graph's order components were looked at.
    pub(super) next: usize,
    /// Components whose look has begun and is not over: under way, paused, or to be made again.
    pub(super) open: u32,
    /// Components that are to be looked at again.
    pub(super) again: Vec<ComponentId>,
    /// When those may be looked at again that pause.
    pub(super) pauses: BTreeMap<ComponentId, Timestamp>,
    /// How often those were looked at that could not be at once.
    tries: BTreeMap<ComponentId, u32>,
}

impl Look {
    /// One more look at this component has failed; how many have.
    pub(super) fn tried(&mut self, id: ComponentId) -> u32 {
        let tries = self.tries.entry(id).or_default();
        *tries += 1;
        *tries
    }

    /// The look at this component is over.
    pub(super) fn close(&mut self, id: ComponentId) {
        self.tries.remove(&id);
        self.open -= 1;
    }

    /// Nothing that is not under way is looked at again; gives what would have been.
    pub(super) fn forget_pauses(&mut self) -> Vec<ComponentId> {
        let paused = std::mem::take(&mut self.pauses).into_keys();
        let forgotten: Vec<ComponentId> = self.again.drain(..).chain(paused).collect();
        self.open -= u32::try_from(forgotten.len()).unwrap_or(u32::MAX);
        forgotten
    }
}

impl Flight {
    pub(super) fn new(graph: &Graph) -> Self {
        let idle = Slot {
            call: None,
            prepared_in_turn: false,
            announced: Announced::No,
            in_class_queue: false,
            timer: Timestamp::MAX,
        };
        Self {
            slots: vec![idle; graph.len()],
            api_calls: 0,
            wait_calls: 0,
            runnable: Queue::default(),
            waits: Queue::default(),
            class_queues: vec![Queue::default(); graph.classes().len()],
            early: 0,
            early_again: Vec::new(),
            late_causes: BTreeMap::new(),
            has_work: graph.ids().any(|id| !graph.node(id).action().is_join()),
            look: Look::default(),
            timers: BinaryHeap::new(),
            announcing: Vec::new(),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "an index of another graph is a broken invariant")]
    fn slot(&mut self, id: ComponentId) -> &mut Slot {
        &mut self.slots[id.index()]
    }

    /// The call of this component that has not ended.
    pub(super) fn call(&self, id: ComponentId) -> Option<Call> {
        self.slots.get(id.index()).and_then(|slot| slot.call)
    }

    /// The driver is told to make this call, once, unless it was given up since.
    pub(super) fn give_out(&mut self, id: ComponentId, attempt: Attempt, phase: Phase) -> bool {
        let call = self.slots.get_mut(id.index()).and_then(|slot| slot.call.as_mut());
        let wanted = |call: &&mut Call| call.attempt == attempt && call.phase == phase && !call.given_out;
        call.filter(wanted).is_some_and(|call| !std::mem::replace(&mut call.given_out, true))
    }

    fn budget(&mut self, phase: Phase) -> &mut u32 {
        match phase {
            Phase::Prepare | Phase::Apply | Phase::Verify | Phase::Undo => &mut self.api_calls,
            Phase::Wait => &mut self.wait_calls,
        }
    }

    /// Takes a slot of the phase's budget.
    pub(super) fn begin(&mut self, id: ComponentId, call: Call) {
        *self.budget(call.phase) += 1;
        let before = self.slot(id).call.replace(call);
        assert!(before.is_none(), "calls for one component never overlap");
    }

    /// The call of this component has told something new.
    pub(super) fn hear(&mut self, id: ComponentId, now: Timestamp) {
        if let Some(call) = &mut self.slot(id).call {
            call.heard = now;
        }
    }

    /// Gives the slot back.
    pub(super) fn end(&mut self, id: ComponentId) -> Option<Call> {
        let call = self.slot(id).call.take()?;
        *self.budget(call.phase) -= 1;
        Some(call)
    }

    /// The next write of this component is announced in the records that are decided now.
    pub(super) fn announce(&mut self, id: ComponentId) {
        self.slot(id).announced = Announced::Decided;
        self.announcing.push(id);
    }

    /// All records that were decided are durable.
    pub(super) fn announcements_are_durable(&mut self) {
        for id in std::mem::take(&mut self.announcing) {
            if self.slot(id).announced == Announced::Decided {
                self.slot(id).announced = Announced::Durably;
            }
        }
    }

    pub(super) fn is_announced(&self, id: ComponentId) -> bool {
        self.slots.get(id.index()).is_some_and(|slot| slot.announced != Announced::No)
    }

    /// A write of this component begins: whether its announcement is durable. The next write needs another one.
    pub(super) fn use_announcement(&mut self, id: ComponentId) -> bool {
        std::mem::replace(&mut self.slot(id).announced, Announced::No) == Announced::Durably
    }

    /// Queues for its class.
    pub(super) fn queue_for_class(&mut self, graph: &Graph, class: usize, id: ComponentId) {
        if !std::mem::replace(&mut self.slot(id).in_class_queue, true)
            && let Some(queue) = self.class_queues.get_mut(class)
        {
            queue.push(graph, id);
        }
    }

    /// Whoever queues first for this class.
    pub(super) fn next_of_class(&mut self, class: usize) -> Option<ComponentId> {
        let id = self.class_queues.get_mut(class).and_then(Queue::pop)?;
        self.slot(id).in_class_queue = false;
        Some(id)
    }

    pub(super) fn prepared_in_turn(&mut self, id: ComponentId) -> &mut bool {
        &mut self.slot(id).prepared_in_turn
    }

    /// Makes sure that the component is looked at when `at` is reached.
    pub(super) fn set_timer(&mut self, id: ComponentId, at: Timestamp) {
        if at < self.slot(id).timer {
            self.slot(id).timer = at;
            self.timers.push(Reverse((at, id)));
        }
    }

    /// A component whose timer was reached. Its timer is then unset.
    pub(super) fn pop_timer(&mut self, now: Timestamp) -> Option<ComponentId> {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now {
                return None;
            }
            self.timers.pop();
            if self.slot(id).timer == at {
                self.slot(id).timer = Timestamp::MAX;
                return Some(id);
            }
        }
        None
    }

    /// The earliest timer of a component that has a call or pauses, or for which `counts` holds; others are dropped on the way.
    pub(super) fn next_timer(&mut self, counts: impl Fn(ComponentId) -> bool) -> Option<Timestamp> {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            let is_awaited = counts(id) || self.call(id).is_some() || self.look.pauses.contains_key(&id);
            if self.slot(id).timer == at && is_awaited {
                return Some(at);
            }
            self.timers.pop();
            if self.slot(id).timer == at {
                self.slot(id).timer = Timestamp::MAX;
            }
        }
        None
    }
}
