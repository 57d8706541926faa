//! One feed: what is kept of a collection, and who is woken when it changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use eve_core::plan::graph::Graph;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Phase, Topic, lock};
use crate::client::Collection;
use crate::interest::{Grown, Interest};
use crate::labels;
use crate::readiness::text;

/// How long a feed goes on after its last waiter: chains of components come back for the next one at once.
const LINGER: Duration = Duration::from_secs(10);
/// How many deleted objects are remembered, so that a Job which cleans itself up can still be judged.
const GONE_MAX: usize = 1000;

pub(super) struct Feed {
    pub(super) collection: Collection,
    pub(super) state: Mutex<State>,
    /// Rings when the interest has grown beyond what was listed.
    pub(super) grown: Notify,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) trouble: Option<String>,
    pub(super) heard: Instant,
    interest: Interest,
    /// How often the interest has grown, and how often it had when the last list began.
    grown: u64,
    listed: Option<u64>,
    /// By name.
    pub(super) objects: BTreeMap<Box<str>, Arc<Value>>,
    /// Names by the uid of an owner.
    pub(super) owned: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    pub(super) gone: VecDeque<Arc<Value>>,
    waiters: BTreeMap<u64, (Topic, Arc<Notify>)>,
    by_topic: BTreeMap<Topic, BTreeSet<u64>>,
    next_waiter: u64,
    /// The graphs of runs for which the feed goes on, waiters or not.
    anchors: Vec<Weak<Graph>>,
    idle_since: Instant,
}

impl Feed {
    pub(super) fn new(collection: Collection) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Starting,
            trouble: None,
            heard: now,
            interest: Interest::of(&collection),
            grown: 0,
            listed: None,
            objects: BTreeMap::new(),
            owned: BTreeMap::new(),
            gone: VecDeque::new(),
            waiters: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            next_waiter: 0,
            anchors: Vec::new(),
            idle_since: now,
        };
        Self { collection, state: Mutex::new(state), grown: Notify::new() }
    }

    /// Widens the interest; what that lacks of earlier lists is listed anew.
    pub(super) fn grow(&self, grow: impl FnOnce(&mut Interest) -> Grown) {
        let mut state = lock(&self.state);
        if grow(&mut state.interest) == Grown::No {
            return;
        }
        state.grown += 1;
        if state.listed.is_some() {
            if state.phase == Phase::Live {
                state.phase = Phase::Starting;
                state.wake_all();
            }
            self.grown.notify_one();
        }
    }

    /// One more who waits: its number, and what rings for it.
    pub(super) fn join(&self, topic: Topic) -> (u64, Arc<Notify>) {
        let notify = Arc::new(Notify::new());
        let mut state = lock(&self.state);
        let id = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.insert(id, (topic.clone(), Arc::clone(&notify)));
        state.by_topic.entry(topic).or_default().insert(id);
        (id, notify)
    }

    /// This one waits no more.
    pub(super) fn leave(&self, id: u64) {
        let mut state = lock(&self.state);
        if let Some((topic, _)) = state.waiters.remove(&id)
            && let Some(ids) = state.by_topic.get_mut(&topic)
        {
            ids.remove(&id);
            if ids.is_empty() {
                state.by_topic.remove(&topic);
            }
        }
        state.idle_since = Instant::now();
    }

    /// Goes on for as long as this graph lives, waiters or not.
    pub(super) fn anchor(&self, graph: &Arc<Graph>) {
        let mut state = lock(&self.state);
        state.anchors.retain(|anchor| anchor.strong_count() > 0);
        state.anchors.push(Arc::downgrade(graph));
    }

    /// Whether the interest has grown since the last list began.
    pub(super) fn is_behind(&self) -> bool {
        let state = lock(&self.state);
        state.listed.is_some_and(|listed| listed < state.grown)
    }

    /// What to give to [`Feed::replace`] when the list that begins now has ended.
    pub(super) fn begin_list(&self) -> u64 {
        let mut state = lock(&self.state);
        state.listed = Some(state.grown);
        state.grown
    }

    pub(super) fn covers(&self, object: &Value) -> bool {
        lock(&self.state).interest.covers(object)
    }

    /// A watch that was denied before was granted.
    pub(super) fn granted(&self) {
        if lock(&self.state).phase == Phase::Denied && !self.is_behind() {
            self.report(Some(Phase::Live), None);
        }
    }

    /// Whether nobody has waited for a while, and no run needs it.
    pub(super) fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        let anchored = state.anchors.iter().any(|anchor| anchor.strong_count() > 0);
        state.waiters.is_empty() && !anchored && state.idle_since.elapsed() >= LINGER
    }

    pub(super) fn report(&self, phase: Option<Phase>, trouble: Option<String>) {
        let mut state = lock(&self.state);
        let changed = phase.is_some_and(|phase| phase != state.phase) || state.trouble != trouble;
        state.phase = phase.unwrap_or(state.phase);
        state.trouble = trouble;
        if changed {
            state.wake_all();
        }
    }

    /// Takes over what a list says: whatever it lacks is gone. The feed is live then, unless its interest has grown
    /// since the list began.
    pub(super) fn replace(&self, objects: &BTreeMap<Box<str>, Arc<Value>>, begun: u64) {
        let mut state = lock(&self.state);
        state.heard = Instant::now();
        let gone: Vec<Box<str>> =
            state.objects.keys().filter(|name| !objects.contains_key(*name)).cloned().collect();
        for name in &gone {
            state.remove(name, None);
        }
        for object in objects.values() {
            state.put(object);
        }
        let is_live = begun == state.grown;
        drop(state);
        self.report(is_live.then_some(Phase::Live), None);
    }
}

impl State {
    fn wake_all(&self) {
        self.waiters.values().for_each(|(_, notify)| notify.notify_one());
    }

    /// Takes in what a watch says that an object is now.
    pub(super) fn update(&mut self, object: Value) {
        if self.interest.covers(&object) {
            return self.put(&Arc::new(trim(object)));
        }
        // Its owner may have let it go.
        let name = text(&object, "/metadata/name");
        if let Some(known) = self.objects.get(name).cloned() {
            self.wake(&known);
            self.unlink(name);
            self.objects.remove(name);
        }
    }

    /// Takes in the last state of an object that is gone.
    pub(super) fn end(&mut self, last: Value) {
        if self.interest.covers(&last) || self.objects.contains_key(text(&last, "/metadata/name")) {
            let name = text(&last, "/metadata/name").to_owned();
            self.remove(&name, Some(Arc::new(trim(last))));
        }
    }

    fn put(&mut self, object: &Arc<Value>) {
        let name = text(object, "/metadata/name");
        if self.objects.get(name).is_some_and(|known| version(known) == version(object)) {
            return;
        }
        self.unlink(name);
        for owner in owners(object) {
            self.owned.entry(owner.into()).or_default().insert(name.into());
        }
        self.wake(object);
        self.objects.insert(name.into(), Arc::clone(object));
    }

    /// `last` is the last state, as a watch tells it.
    fn remove(&mut self, name: &str, last: Option<Arc<Value>>) {
        let known = self.objects.get(name).cloned();
        self.unlink(name);
        self.objects.remove(name);
        if let Some(last) = last.or(known) {
            self.wake(&last);
            self.gone.push_back(last);
            if self.gone.len() > GONE_MAX {
                self.gone.pop_front();
            }
        }
    }

    fn unlink(&mut self, name: &str) {
        let Some(known) = self.objects.get(name).cloned() else { return };
        for owner in owners(&known) {
            if let Some(names) = self.owned.get_mut(owner) {
                names.remove(name);
                if names.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
    }

    fn wake(&self, object: &Value) {
        let name = Topic::Name(text(object, "/metadata/name").to_owned());
        let topics = std::iter::once(name).chain(owners(object).map(|uid| Topic::Owner(uid.to_owned())));
        for topic in topics {
            let ids = self.by_topic.get(&topic).into_iter().flatten();
            ids.filter_map(|id| self.waiters.get(id)).for_each(|(_, notify)| notify.notify_one());
        }
    }
}

/// What is kept of an object, under its name.
pub(super) fn named(object: Value) -> (Box<str>, Arc<Value>) {
    let trimmed = trim(object);
    (text(&trimmed, "/metadata/name").into(), Arc::new(trimmed))
}

/// Leaves what readiness and the search for reasons read: no managed fields, no pod templates, no specs of pods, and
/// of the annotations only the revisions.
fn trim(mut object: Value) -> Value {
    let is_pod = object.pointer("/spec/containers").is_some_and(Value::is_array);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| key == labels::TEMPLATE_GENERATION || key == labels::REVISION);
        }
    }
    if is_pod {
        object.as_object_mut().and_then(|object| object.remove("spec"));
    } else if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("template");
        spec.remove("volumeClaimTemplates");
    }
    object
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references.into_iter().flatten().filter_map(|owner| owner.get("uid")?.as_str())
}

fn version(object: &Value) -> (&str, &str) {
    (text(object, "/metadata/uid"), text(object, "/metadata/resourceVersion"))
}
