//! Whether an object is there: from the shared feed of its kind, or else by reading it by name. Reads only.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::ports::{Context, Step};
use serde_json::Value;
use tokio::time::Instant;

use super::{KubeExecutor, failure, wait};
use crate::client::Location;
use crate::live::{Phase, Subscription};

/// How often an object is read where its collection may not be watched, or has said nothing for long.
const POLL: Duration = Duration::from_secs(2);
/// After so long without a line from the server, bookmarks included, a feed is not relied on.
const SILENCE: Duration = Duration::from_secs(100);

/// What is known of an object.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It is there; from a feed it is cut down.
    There(Arc<Value>),
    Absent,
    /// Nothing yet.
    Unknown,
}

/// Looks at one object.
pub(super) struct Sight<'a> {
    executor: &'a KubeExecutor,
    place: &'a Location,
    feed: Subscription,
    /// When it is read by name, unless the feed tells something before.
    read_at: Instant,
    read: Option<Seen>,
}

impl<'a> Sight<'a> {
    pub(super) fn of(executor: &'a KubeExecutor, step: &Step, place: &'a Location) -> Self {
        let wanted = wait::by_name(step, place.name.as_str().to_owned());
        let feed = executor.live.subscribe(&wait::collection(step, place), wanted);
        Self { executor, place, feed, read_at: Instant::now() + POLL, read: None }
    }

    /// What is known now. That the feed does not show an object is only believed when it showed its end: it may lag, and
    /// the object may have lost the label by which the feed selects.
    pub(super) async fn look(&mut self, uid: Option<&str>) -> Result<Seen, Failure> {
        if let Some(read) = self.read.take() {
            return Ok(read);
        }
        if self.feed.phase() != Phase::Live || self.feed.silence() >= SILENCE {
            return Ok(Seen::Unknown);
        }
        if let Some(object) = self.feed.get(self.place.name.as_str()) {
            return Ok(Seen::There(object));
        }
        let end = uid.and_then(|uid| self.feed.gone(uid));
        if end.is_some_and(|last| last.pointer("/metadata/deletionTimestamp").is_some()) {
            return Ok(Seen::Absent);
        }
        self.read_now().await
    }

    /// What the API server says.
    pub(super) async fn read_now(&self) -> Result<Seen, Failure> {
        match self.executor.client.get(self.place).await {
            Ok(object) => Ok(Seen::There(Arc::new(object))),
            Err(error) if error.is_code(404) => Ok(Seen::Absent),
            Err(error) => Err(failure::of_read(self.place, error)),
        }
    }

    /// Waits for news, at most until `next`; reads by name where the feed is of no use. Trouble that may pass is told.
    ///
    /// # Errors
    /// The object may not be read.
    pub(super) async fn pause(&mut self, next: Instant, cx: &Context) -> Result<(), Failure> {
        let blind = self.feed.phase() != Phase::Live || self.feed.silence() >= SILENCE;
        tokio::select! {
            () = self.feed.changed() => return Ok(()),
            () = tokio::time::sleep_until(next) => return Ok(()),
            () = tokio::time::sleep_until(self.read_at), if blind => {}
        }
        self.read_at = Instant::now() + POLL;
        match self.read_now().await {
            Ok(seen) => self.read = Some(seen),
            Err(error) if error.class == FailureClass::Transient => {
                cx.progress(Cause::new("k8s.api.away", error.message));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
