//! What is, as it changes: one list and one shared watch for each collection, for everybody who waits in it.
//!
//! A feed begins with a list, follows it with a watch, and ends some seconds after the last waiter left. Of its
//! collection it keeps what a run could ask for ([`Interest`]), cut down to what readiness reads. A watch that breaks is
//! resumed where it broke, or begun anew with a list where the server forgot that place: that is how a watch works, not
//! a retry of a failed step, and every waiter's deadline holds meanwhile. Who may not watch is asked again now and then
//! while somebody waits, for rights may be granted by the very plan that is applied. Nothing here judges an object.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use eve_core::plan::graph::Graph;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::body::BodyError;
use crate::client::{Collection, KubeClient};
use crate::error::ApiError;
use crate::interest::{Grown, Interest};
use crate::labels;
use crate::readiness::text;

/// How long a feed goes on after its last waiter: chains of components come back for the next one at once.
const LINGER: Duration = Duration::from_secs(10);
/// How often a feed looks whether anybody still waits.
const TICK: Duration = Duration::from_secs(2);
/// A watch without a line for so long is dead: bookmarks come about every minute.
const SILENCE: Duration = Duration::from_secs(90);
/// How long the server is asked to keep a watch open; the API server's own default is 30 to 60 minutes.
const WATCH_TIMEOUT: Duration = Duration::from_mins(5);
/// The pause after the first failure; doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How many deleted objects are remembered, so that a Job which cleans itself up can still be judged.
const GONE_MAX: usize = 1000;

/// All feeds of one executor. Dropping it ends them.
pub(crate) struct Live {
    client: KubeClient,
    feeds: Arc<Feeds>,
}

type Feeds = Mutex<BTreeMap<Collection, (Arc<Feed>, AbortHandle)>>;

struct Feed {
    collection: Collection,
    state: Mutex<State>,
    /// Rings when the interest has grown beyond what was listed.
    grown: Notify,
}

struct State {
    phase: Phase,
    trouble: Option<String>,
    heard: Instant,
    interest: Interest,
    /// How often the interest has grown, and how often it had when the last list began.
    grown: u64,
    listed: Option<u64>,
    /// By name.
    objects: BTreeMap<Box<str>, Arc<Value>>,
    /// Names by the uid of an owner.
    owned: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    gone: VecDeque<Arc<Value>>,
    waiters: BTreeMap<u64, (Topic, Arc<Notify>)>,
    by_topic: BTreeMap<Topic, BTreeSet<u64>>,
    next_waiter: u64,
    /// The graphs of runs for which the feed goes on, waiters or not.
    anchors: Vec<Weak<Graph>>,
    idle_since: Instant,
}

/// How much a feed knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing yet.
    Starting,
    /// All objects, as of a moment ago.
    Live,
    /// It may not list or watch, as far as is known; it asks again from time to time.
    Denied,
}

/// Which changes a waiter is woken for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Of the object of this name.
    Name(String),
    /// Of objects that the object of this uid owns.
    Owner(String),
}

/// Whom a waiter waits for: what of its collection a feed must keep.
pub(crate) struct Wanted<'a> {
    /// The run, whose plan says what else will be asked for.
    pub(crate) graph: &'a Arc<Graph>,
    pub(crate) topic: Topic,
    /// Kind and name of the owner, where the topic is one.
    pub(crate) owner: Option<(&'a str, &'a str)>,
}

/// What a list said.
pub(crate) struct Listed {
    pub(crate) objects: Vec<Value>,
    /// As of when.
    pub(crate) resource_version: String,
}

/// One waiter's view of a feed. Leaves when dropped.
pub(crate) struct Subscription {
    feed: Arc<Feed>,
    notify: Arc<Notify>,
    id: u64,
}

impl Live {
    pub(crate) fn new(client: KubeClient) -> Self {
        Self { client, feeds: Arc::default() }
    }

    /// Joins the feed of a collection, which begins if it does not run yet.
    pub(crate) fn subscribe(&self, collection: &Collection, wanted: Wanted<'_>) -> Subscription {
        let Wanted { graph, topic, owner } = wanted;
        let feed = self.feed(collection, None, |interest| {
            let planned = interest.add_plan(graph);
            planned.or(match (&topic, owner) {
                (Topic::Name(name), _) => interest.add_name(name),
                (Topic::Owner(_), Some((kind, name))) => interest.add_owner(kind, name),
                (Topic::Owner(_), None) => Grown::No,
            })
        });
        Subscription::new(feed, topic)
    }

    /// Follows a collection for as long as a run's graph lives, from what a list said of it: so that a wait which begins
    /// later in the run costs no further list, and does not judge what the list said when the run began.
    pub(crate) fn follow(&self, collection: &Collection, listed: Listed, graph: &Arc<Graph>) {
        let feed = self.feed(collection, Some(listed), |interest| interest.add_plan(graph));
        let mut state = lock(&feed.state);
        state.anchors.retain(|anchor| anchor.strong_count() > 0);
        state.anchors.push(Arc::downgrade(graph));
    }

    /// The feed of a collection; where there is none, one that begins with what was listed. `grow` says what of it is
    /// wanted.
    fn feed(
        &self,
        collection: &Collection,
        listed: Option<Listed>,
        grow: impl FnOnce(&mut Interest) -> Grown,
    ) -> Arc<Feed> {
        let mut feeds = lock(&self.feeds);
        if let Some((feed, _)) = feeds.get(collection) {
            feed.grow(grow);
            return Arc::clone(feed);
        }
        let feed = Arc::new(Feed::new(collection.clone()));
        feed.grow(grow);
        let since = listed.map(|listed| {
            feed.replace(&listed.objects.into_iter().map(named).collect(), feed.begin_list());
            listed.resource_version
        });
        let run = run(self.client.clone(), Arc::clone(&feed), Arc::downgrade(&self.feeds), since);
        feeds.insert(collection.clone(), (Arc::clone(&feed), tokio::spawn(run).abort_handle()));
        feed
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        lock(&self.feeds).values().for_each(|(_, task)| task.abort());
    }
}

impl Subscription {
    fn new(feed: Arc<Feed>, topic: Topic) -> Self {
        let notify = Arc::new(Notify::new());
        let mut state = lock(&feed.state);
        let id = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.insert(id, (topic.clone(), Arc::clone(&notify)));
        state.by_topic.entry(topic).or_default().insert(id);
        drop(state);
        Self { feed, notify, id }
    }

    /// Returns when something of the topic, or the phase of the feed, has changed since the last call. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }

    /// Returns once the feed knows something, or may not.
    pub(crate) async fn started(&self) -> Phase {
        loop {
            let phase = self.phase();
            if phase != Phase::Starting {
                return phase;
            }
            self.changed().await;
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        lock(&self.feed.state).phase
    }

    /// What keeps the feed from going on, if something does.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.feed.state).trouble.clone()
    }

    /// How long nothing was heard from the server.
    pub(crate) fn silence(&self) -> Duration {
        lock(&self.feed.state).heard.elapsed()
    }

    /// The object of this name, cut down.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Value>> {
        lock(&self.feed.state).objects.get(name).cloned()
    }

    /// The last state of an object that was seen and is gone.
    pub(crate) fn gone(&self, uid: &str) -> Option<Arc<Value>> {
        let state = lock(&self.feed.state);
        state.gone.iter().rev().find(|object| text(object, "/metadata/uid") == uid).cloned()
    }

    /// The objects that the object of this uid owns, by name.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Arc<Value>> {
        let state = lock(&self.feed.state);
        let names = state.owned.get(uid).into_iter().flatten();
        names.filter_map(|name| state.objects.get(name).cloned()).collect()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = lock(&self.feed.state);
        if let Some((topic, _)) = state.waiters.remove(&self.id)
            && let Some(ids) = state.by_topic.get_mut(&topic)
        {
            ids.remove(&self.id);
            if ids.is_empty() {
                state.by_topic.remove(&topic);
            }
        }
        state.idle_since = Instant::now();
    }
}

impl Feed {
    fn new(collection: Collection) -> Self {
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
    fn grow(&self, grow: impl FnOnce(&mut Interest) -> Grown) {
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

    /// Whether the interest has grown since the last list began.
    fn is_behind(&self) -> bool {
        let state = lock(&self.state);
        state.listed.is_some_and(|listed| listed < state.grown)
    }

    /// What to give to [`Feed::replace`] when the list that begins now has ended.
    fn begin_list(&self) -> u64 {
        let mut state = lock(&self.state);
        state.listed = Some(state.grown);
        state.grown
    }

    fn covers(&self, object: &Value) -> bool {
        lock(&self.state).interest.covers(object)
    }

    /// A watch that was denied before was granted.
    fn granted(&self) {
        if lock(&self.state).phase == Phase::Denied && !self.is_behind() {
            self.report(Some(Phase::Live), None);
        }
    }

    /// Whether nobody has waited for a while, and no run needs it.
    fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        let anchored = state.anchors.iter().any(|anchor| anchor.strong_count() > 0);
        state.waiters.is_empty() && !anchored && state.idle_since.elapsed() >= LINGER
    }

    fn report(&self, phase: Option<Phase>, trouble: Option<String>) {
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
    fn replace(&self, objects: &BTreeMap<Box<str>, Arc<Value>>, begun: u64) {
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
    fn update(&mut self, object: Value) {
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
    fn end(&mut self, last: Value) {
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

/// Why a watch ended.
enum End {
    /// The server or the network ended it; it goes on from where it was.
    Closed,
    /// The server has forgotten that place.
    Expired,
    /// More is wanted than was listed.
    Grown,
    /// It failed, or nothing was heard for too long.
    Failed(ApiError),
    /// Nobody waits any more.
    Idle,
}

/// Grows with each failure in a row; jittered, so that many clients do not come back together.
struct Pause(Duration);

impl Pause {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_MAX);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// `since` is where a list that was made already ends.
async fn run(client: KubeClient, feed: Arc<Feed>, feeds: Weak<Feeds>, mut since: Option<String>) {
    let mut pause = Pause(PAUSE_MIN);
    loop {
        let begun = Instant::now();
        let end = match &since {
            None => match relist(&client, &feed).await {
                Ok(listed) => {
                    since = Some(listed);
                    pause = Pause(PAUSE_MIN);
                    continue;
                }
                Err(error) => End::Failed(error),
            },
            Some(_) => follow(&client, &feed, &mut since).await,
        };
        match end {
            End::Closed => feed.report(None, None),
            End::Expired => since = None,
            End::Grown => {
                since = None;
                continue;
            }
            // Rights may come, and with them the feed: it asks again, more and more seldom.
            End::Failed(error) if error.is_code(403) || error.is_code(405) => {
                feed.report(Some(Phase::Denied), Some(error.to_string()));
            }
            End::Failed(error) => feed.report(None, Some(error.to_string())),
            End::Idle => {}
        }
        // A watch that lasted is no failure in a row.
        if begun.elapsed() > PAUSE_MAX {
            pause = Pause(PAUSE_MIN);
        }
        tokio::time::sleep(pause.next()).await;
        if retired(&feed, &feeds) {
            return;
        }
    }
}

/// Whether the feed may end: nobody waits, and nobody can join any more.
fn retired(feed: &Arc<Feed>, feeds: &Weak<Feeds>) -> bool {
    let Some(feeds) = feeds.upgrade() else { return true };
    let mut feeds = lock(&feeds);
    // Joining takes the same lock, so that nobody joins between the question and the removal.
    let idle = feed.is_idle();
    if idle {
        feeds.remove(&feed.collection);
    }
    idle
}

/// Lists all pages; answers the resource version that a watch goes on from.
async fn relist(client: &KubeClient, feed: &Feed) -> Result<String, ApiError> {
    let begun = feed.begin_list();
    let mut objects = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let mut page = client.list(&feed.collection, after.as_deref()).await?;
        let items =
            page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        objects.extend(items.into_iter().filter(|object| feed.covers(object)).map(named));
        after = Some(text(&page, "/metadata/continue").to_owned()).filter(|next| !next.is_empty());
        if after.is_none() {
            feed.replace(&objects, begun);
            return Ok(text(&page, "/metadata/resourceVersion").to_owned());
        }
    }
}

/// What is kept of an object, under its name.
fn named(object: Value) -> (Box<str>, Arc<Value>) {
    let trimmed = trim(object);
    (text(&trimmed, "/metadata/name").into(), Arc::new(trimmed))
}

/// Follows a watch to its end; `since` moves along.
async fn follow(client: &KubeClient, feed: &Feed, since: &mut Option<String>) -> End {
    let start = since.clone().unwrap_or_default();
    let mut lines = match client.watch(&feed.collection, &start, WATCH_TIMEOUT).await {
        Ok(lines) => lines,
        Err(error) if error.is_code(410) => return End::Expired,
        Err(error) => return End::Failed(error),
    };
    feed.granted();
    let call = format!("watch {}", feed.collection.resource.plural);
    // Opening a watch is no news: a proxy that buffers answers opens it, and passes nothing on.
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = feed.grown.notified() => if feed.is_behind() {
                return End::Grown;
            },
            line = lines.next() => match line {
                Ok(None) | Err(BodyError::Lost(_)) => return End::Closed,
                Err(BodyError::TooLarge) => return End::Expired,
                Ok(Some(line)) => {
                    heard = Instant::now();
                    if let Some(end) = take(feed, &line, since, &call) {
                        return end;
                    }
                }
            },
            () = tokio::time::sleep_until(heard + SILENCE) => {
                return End::Failed(ApiError::TimedOut { call, after: SILENCE });
            }
            () = tokio::time::sleep(TICK) => if feed.is_idle() {
                return End::Idle;
            },
        }
    }
}

/// Takes in one event of a watch.
fn take(feed: &Feed, line: &[u8], since: &mut Option<String>, call: &str) -> Option<End> {
    let event: Option<Value> = serde_json::from_slice(line).ok();
    let Some(mut event) = event else {
        return Some(End::Failed(ApiError::Malformed {
            call: call.to_owned(),
            reason: "no JSON".to_owned(),
        }));
    };
    let object = event.get_mut("object").map(Value::take).unwrap_or_default();
    let kind = text(&event, "/type");
    if kind == "ERROR" {
        let status: crate::error::ApiStatus = serde_json::from_value(object).unwrap_or_default();
        // 410 is Gone; a watch cache that starts up says 500 with the same meaning for us: list again.
        return Some(if status.code == 410 || status.reason == "Expired" {
            End::Expired
        } else {
            *since = None;
            End::Failed(ApiError::Refused { call: call.to_owned(), status: Box::new(status) })
        });
    }
    let version = text(&object, "/metadata/resourceVersion").to_owned();
    let mut state = lock(&feed.state);
    state.heard = Instant::now();
    match kind {
        "ADDED" | "MODIFIED" => state.update(object),
        "DELETED" => state.end(object),
        _ => {}
    }
    drop(state);
    if !version.is_empty() {
        *since = Some(version);
    }
    None
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking holder left is whole: every change is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
