//! What keeps a feed up to date: lists and watches, and when which.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::feed::{Feed, named};
use super::{Feeds, Phase, lock};
use crate::body::BodyError;
use crate::client::KubeClient;
use crate::error::ApiError;
use crate::readiness::text;

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
pub(super) async fn run(client: KubeClient, feed: Arc<Feed>, feeds: Weak<Feeds>, mut since: Option<String>) {
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
