//! The simulated cluster: one object for each component, the calls that are under way, and what was told of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde_json::{Value, json};

use super::scenario::Scenario;
use super::script::{Found, Script};
use crate::failure::FailureClass;
use crate::ids::{Attempt, ComponentId};
use crate::plan::graph::Graph;
use crate::plan::{Action, Until};
use crate::run::{Change, Input, Phase, UndoToken};
use crate::time::Timestamp;

/// What an object is like. Whatever it is, it can be told from everything else that it may be.
pub(super) type Content = u64;

/// There is no object.
pub(super) const ABSENT: Content = 0;
/// It is as a plan that applies it wants it.
const APPLIED: Content = 1;
/// It is as it was when the schedule began, and not as it is wanted.
const OUTDATED: Content = 2;

/// The object of a component, as it is in truth.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// What it is like.
    pub(super) content: Content,
    /// What the plan wants.
    wanted: Content,
    /// Counts up with each change, whoever made it.
    pub(super) generation: u64,
    /// Whether it was ever as it is wanted.
    pub(super) was_wanted: bool,
    ready_at: Option<Timestamp>,
    /// When it was ready for the first time.
    was_ready_at: Option<Timestamp>,
    /// What it was like before the first write of a run that changed it.
    pub(super) before: Option<Content>,
    /// When somebody else changed it last, or it stopped being ready.
    pub(super) disturbed_at: Option<Timestamp>,
    /// Writes that were asked for in the attempt, and processes that died since the first of them.
    pub(super) asked: (Attempt, u32, u32),
    /// The same of undos.
    pub(super) asked_undo: (Attempt, u32, u32),
}

/// A write on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Makes it as it is wanted; over this generation alone, if it is bound to one.
    Apply { over: Option<u64> },
    /// Makes it as it was, where it is as the run made it.
    Undo { to: Content },
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landed {
    /// It has changed this.
    Changed(Change),
    /// It was so already.
    Nothing,
    /// Somebody else has changed it in between: it is left alone.
    Conflict,
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
    /// When a fresh look found it as it is to be, as told to the process that lives: as wanted, and as before.
    pub(super) looked_at: [Option<Timestamp>; 2],
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
            Seen { object, call: None, told: None, news_at: None, news: 0, looked_at: [None; 2] }
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
            (seen.call, seen.told, seen.news_at, seen.looked_at) = (None, None, None, [None; 2]);
            seen.object.asked.2 += 1;
            seen.object.asked_undo.2 += 1;
        }
    }

    /// How far every component ever came in truth: whether it counts as applied, and as ready. A component counts for
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
            let applied = !node.action().writes() || object.was_wanted;
            let waived = node.until() == Until::Applied || node.action().is_join();
            let ready = applied && (waived || object.was_ready(now));
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
        let wanted = if action == Action::Delete { ABSENT } else { APPLIED };
        let exists = script.found != Found::Absent || action == Action::Delete;
        let content = match (there, exists) {
            (true, _) => wanted,
            (false, true) => OUTDATED,
            (false, false) => ABSENT,
        };
        Self {
            content,
            wanted,
            generation: u64::from(script.found != Found::Absent),
            was_wanted: there,
            ready_at: appears,
            was_ready_at: None,
            before: None,
            disturbed_at: None,
            asked: (Attempt::FIRST, 0, 0),
            asked_undo: (Attempt::FIRST, 0, 0),
        }
    }

    /// Whether it is as the plan wants it.
    pub(super) const fn is_wanted(&self) -> bool {
        self.content == self.wanted
    }

    /// From when on it is ready, as it is now.
    pub(super) fn ready_at(&self) -> Option<Timestamp> {
        self.ready_at
    }

    pub(super) fn is_ready(&self, now: Timestamp) -> bool {
        self.ready_at.is_some_and(|at| at <= now)
    }

    fn was_ready(&self, now: Timestamp) -> bool {
        self.was_ready_at.is_some() || self.is_ready(now)
    }

    /// What a write would change now.
    pub(super) const fn change(&self, action: Action) -> Change {
        match (self.is_wanted(), action, self.content) {
            (true, ..) | (_, Action::Read | Action::None, _) => Change::None,
            (_, Action::Delete, _) => Change::Delete,
            (_, Action::Apply, ABSENT) => Change::Create,
            (_, Action::Apply, _) => Change::Update,
        }
    }

    /// What would put it back as it is now.
    pub(super) fn token(&self) -> UndoToken {
        UndoToken::new(json!([self.content, self.generation]))
    }

    /// A write arrives. The same once more changes nothing.
    pub(super) fn land(
        &mut self,
        write: Write,
        (action, ready_after): (Action, Option<Duration>),
        now: Timestamp,
    ) -> Landed {
        match write {
            Write::Apply { .. } if self.is_wanted() => Landed::Nothing,
            Write::Apply { over } if over.is_some_and(|over| over != self.generation) => Landed::Conflict,
            Write::Apply { .. } => {
                let change = self.change(action);
                self.before.get_or_insert(self.content);
                self.become_now(self.wanted, now);
                self.ready_at = ready_after.map(|after| now.plus(after));
                Landed::Changed(change)
            }
            Write::Undo { to } if self.content == to => Landed::Nothing,
            Write::Undo { .. } if !self.is_wanted() => Landed::Conflict,
            Write::Undo { to } => {
                let change = match (to, self.content) {
                    (ABSENT, _) => Change::Delete,
                    (_, ABSENT) => Change::Create,
                    _ => Change::Update,
                };
                self.become_now(to, now);
                Landed::Changed(change)
            }
        }
    }

    /// Somebody else makes it like this.
    pub(super) fn meddle(&mut self, content: Content, now: Timestamp) {
        self.become_now(content, now);
        self.disturbed_at = Some(now);
    }

    /// It stops being ready, until then or for good.
    pub(super) fn falter(&mut self, until: Option<Timestamp>, now: Timestamp) {
        self.note_ready(now);
        self.ready_at = until;
        self.disturbed_at = Some(now);
    }

    fn become_now(&mut self, content: Content, now: Timestamp) {
        self.note_ready(now);
        self.content = content;
        self.was_wanted |= self.is_wanted();
        self.generation += 1;
    }

    fn note_ready(&mut self, now: Timestamp) {
        self.was_ready_at = self.was_ready_at.or(self.ready_at.filter(|at| *at <= now));
    }
}

/// What an undo token says: what the object was like, and its generation.
pub(super) fn token_says(token: Option<&UndoToken>) -> Option<(Content, u64)> {
    let number = |at: usize| token?.value().get(at).and_then(Value::as_u64);
    Some((number(0)?, number(1)?))
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    /// A write of this process arrives, and then its end is told, if ever.
    Land { epoch: u32, component: ComponentId, write: Write, then: Option<Reply> },
    /// Something is told to this process.
    Tell { epoch: u32, input: Input },
    /// A wait of this process looks whether it is over.
    Seen { epoch: u32, component: ComponentId, attempt: Attempt },
    /// A wait of this process has news, and will have more.
    News { epoch: u32, component: ComponentId, attempt: Attempt, number: u32 },
    /// Somebody starts the program again.
    Restart,
}

/// How the end of a write is told once it has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) attempt: Attempt,
    pub(super) at: Timestamp,
    /// It says that it failed so, whatever came of it: the true reply was lost.
    pub(super) lie: Option<FailureClass>,
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
