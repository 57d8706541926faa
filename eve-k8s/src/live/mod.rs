//! What is, as it changes: one list and one shared watch for each collection, for everybody who waits in it.
//!
//! A feed begins with a list, follows it with a watch, and ends some seconds after the last waiter left. Of its
//! collection it keeps what a run could ask for ([`Interest`]), cut down to what readiness reads. A watch that breaks is
//! resumed where it broke, or begun anew with a list where the server forgot that place: that is how a watch works, not
//! a retry of a failed step, and every waiter's deadline holds meanwhile. Who may not watch is asked again now and then
//! while somebody waits, for rights may be granted by the very plan that is applied. Nothing here judges an object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eve_core::plan::graph::Graph;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::feed::Feed;
use crate::client::{Collection, KubeClient};
use crate::interest::{Grown, Interest};
use crate::readiness::text;

mod feed;
mod watch;

/// All feeds of one executor. Dropping it ends them.
pub(crate) struct Live {
    client: KubeClient,
    feeds: Arc<Feeds>,
}

type Feeds = Mutex<BTreeMap<Collection, (Arc<Feed>, AbortHandle)>>;

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
        feed.anchor(graph);
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
            feed.replace(&listed.objects.into_iter().map(feed::named).collect(), feed.begin_list());
            listed.resource_version
        });
        let run = watch::run(self.client.clone(), Arc::clone(&feed), Arc::downgrade(&self.feeds), since);
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
        let (id, notify) = feed.join(topic);
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
        self.feed.leave(self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking holder left is whole: every change is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
