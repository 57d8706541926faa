//! The simulated cluster: one object for each component, the calls that are under way, and what was told of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::scenario::Scenario;
use super::script::{Found, Script};
use crate::failure::FailureClass;
use crate::ids::{Attempt, ComponentId};
use crate::plan::graph::Graph;
use crate::plan::{Action, Until};
use crate::run::{Change, Input, Phase};
use crate::time::Timestamp;

/// The object of a component, as it is in truth.
#[derive(Clone, Debug)]
pub(super) struct Object {
    exists: bool,
    /// Whether it is as it is wanted.
    pub(super) desired: bool,
    /// Counts up with each write that changed it.
    pub(super) generation: u64,
    pub(super) ready_at: Option<Timestamp>,
    /// Writes that were asked for in the attempt, and processes that died since the first of them.
    pub(super) asked: (Attempt, u32, u32),
}

/// A call that was asked for and whose end was neither told nor waived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) attempt: Attempt,
    pub(super) phase: Phase,
    pub(super) deadline: Timestamp,
    pub(super) since: Timestamp,
}

/// The last end of a call that was told to the process that had asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) attempt: Attempt,
    pub(super) phase: Phase,
    pub(super) failed: Option<FailureClass>,
}

/// What the world knows of one component.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) object: Object,
    pub(super) call: Option<Call>,
    pub(super) told: Option<Told>,
    /// When something new was last told of its wait, to the process that lives.
    pub(super) news_at: Option<Timestamp>,
    /// How often something new was told of it, to whomever.
    pub(super) news: u32,
}

/// The simulated cluster.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) seen: Vec<Seen>,
}

impl Cluster {
    pub(super) fn new(scenario: &Scenario, begun: Timestamp) -> Self {
        let seen = |id: ComponentId| {
            let script = scenario.script(id);
            let action = scenario.graph.node(id).action();
            let object = Object::new(script, action, begun);
            Seen { object, call: None, told: None, news_at: None, news: 0 }
        };
        Self { seen: scenario.graph.ids().map(seen).collect() }
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    pub(super) fn of(&self, id: ComponentId) -> &Seen {
        &self.seen[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    pub(super) fn of_mut(&mut self, id: ComponentId) -> &mut Seen {
        &mut self.seen[id.index()]
    }

    /// How many calls are under way that draw on the same budget as this phase.
    pub(super) fn calls_beside(&self, phase: Phase) -> usize {
        let waits = phase == Phase::Wait;
        let calls = self.seen.iter().filter_map(|seen| seen.call);
        calls.filter(|call| (call.phase == Phase::Wait) == waits).count()
    }

    /// The process that had asked is no more.
    pub(super) fn asker_died(&mut self) {
        for seen in &mut self.seen {
            (seen.call, seen.told, seen.news_at) = (None, None, None);
            seen.object.asked.2 += 1;
        }
    }

    /// How far every component has come in truth: whether it counts as applied, and as ready. A component counts for
    /// nothing before all that it depends on does.
    pub(super) fn reached(&self, graph: &Graph, now: Timestamp) -> Vec<(bool, bool)> {
        let mut reached = vec![(false, false); graph.len()];
        for &id in graph.order() {
            let node = graph.node(id);
            let edge_is_met = |on: ComponentId, until: Until| match (reached.get(on.index()), until) {
                (Some(&(applied, _)), Until::Applied) => applied,
                (Some(&(_, ready)), Until::Ready) => ready,
                (None, _) => false,
            };
            if !graph.dependencies(id).iter().all(|edge| edge_is_met(edge.component, edge.until)) {
                continue;
            }
            let object = &self.of(id).object;
            let applied = !node.action().writes() || object.desired;
            let waived = node.until() == Until::Applied || node.action().is_join();
            let ready = applied && (waived || object.ready_at.is_some_and(|at| at <= now));
            if let Some(slot) = reached.get_mut(id.index()) {
                *slot = (applied, ready);
            }
        }
        reached
    }
}

impl Object {
    fn new(script: &Script, action: Action, begun: Timestamp) -> Self {
        let there = script.found == Found::UpToDate;
        let appears = match action {
            Action::Read if there => Some(begun),
            Action::Read => script.ready_after.map(|after| begun.plus(after)),
            Action::Apply | Action::Delete | Action::None => {
                script.ready_after.filter(|_| there).map(|_| begun)
            }
        };
        Self {
            exists: script.found != Found::Absent || action == Action::Delete,
            desired: there,
            generation: u64::from(script.found != Found::Absent),
            ready_at: appears,
            asked: (Attempt::FIRST, 0, 0),
        }
    }

    /// What a write would change now.
    pub(super) const fn change(&self, action: Action) -> Change {
        match (self.desired, action, self.exists) {
            (true, ..) | (_, Action::Read | Action::None, _) => Change::None,
            (_, Action::Delete, _) => Change::Delete,
            (_, Action::Apply, false) => Change::Create,
            (_, Action::Apply, true) => Change::Update,
        }
    }

    /// A write arrives. The same once more changes nothing.
    pub(super) fn land(&mut self, ready_after: Option<Duration>, now: Timestamp) {
        if !self.desired {
            self.desired = true;
            self.exists = true;
            self.generation += 1;
            self.ready_at = ready_after.map(|after| now.plus(after));
        }
    }
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// A write of this process arrives.
    Land { epoch: u32, component: ComponentId },
    /// Something is told to this process.
    Tell { epoch: u32, input: Input },
    /// A wait of this process has news, and will have more.
    News { epoch: u32, component: ComponentId, attempt: Attempt, number: u32 },
    /// Somebody starts the program again.
    Restart,
}

/// What is going to happen, by time, then by chance, then in the order in which it was caused.
#[derive(Debug, Default)]
pub(super) struct Facts {
    queue: BinaryHeap<Reverse<Entry>>,
    caused: u64,
}

#[derive(Debug)]
struct Entry {
    key: (Timestamp, u64, u64),
    fact: Fact,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Facts {
    pub(super) fn push(&mut self, at: Timestamp, tie: u64, fact: Fact) {
        self.caused += 1;
        self.queue.push(Reverse(Entry { key: (at, tie, self.caused), fact }));
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse(entry)| entry.key.0)
    }

    pub(super) fn next(&self) -> Option<(Timestamp, &Fact)> {
        self.queue.peek().map(|Reverse(entry)| (entry.key.0, &entry.fact))
    }

    pub(super) fn pop(&mut self) -> Option<(Timestamp, Fact)> {
        self.queue.pop().map(|Reverse(entry)| (entry.key.0, entry.fact))
    }

    /// Drops what is not to happen any more.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Fact) -> bool) {
        let mut all: Vec<Entry> =
            std::mem::take(&mut self.queue).into_iter().map(|Reverse(entry)| entry).collect();
        all.sort_unstable();
        all.retain(|entry| keep(&entry.fact));
        self.queue = all.into_iter().map(Reverse).collect();
    }
}
