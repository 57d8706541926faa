//! A source of plans whose failures, and their end, are told: in the log, and in the health.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::{Delivery, PlanSource};
use eve_core::scheduler::RequestKey;

use crate::health::{Health, Part};

/// A source, and what is known of it.
pub struct Watched<S> {
    source: S,
    health: Arc<Health>,
    tell: Box<dyn Fn(&S) + Send + Sync>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Since when nothing can be received.
    fails_since: Option<Instant>,
    /// The requests that were delivered under each handle and are not settled.
    requests: BTreeMap<Arc<str>, Arc<str>>,
}

impl<S> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl<S> Watched<S> {
    /// Nothing was received yet. Whenever somebody has received, `tell` says what there is to say of the source besides.
    pub fn new(source: S, health: Arc<Health>, tell: impl Fn(&S) + Send + Sync + 'static) -> Self {
        Self { source, health, tell: Box::new(tell), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivered(&self, delivery: &Delivery) {
        let Delivery { handle, request, .. } = delivery;
        let mut seen = self.seen();
        // Only the newest handle of a request counts.
        seen.requests.retain(|_, known| known != request);
        seen.requests.insert(Arc::clone(handle), Arc::clone(request));
    }

    fn told(&self, what: &str, handle: &str, result: Result<(), Failure>) -> Result<(), Failure> {
        if let Err(failure) = &result {
            let request = self.seen().requests.get(handle).cloned();
            let (request, code) = (request.as_deref(), &*failure.code);
            tracing::warn!(request, code, reason = failure.message, "a delivery could not be {what}");
        }
        result
    }

    fn settled(&self, what: &str, handle: &str, result: Result<(), Failure>) -> Result<(), Failure> {
        let result = self.told(what, handle, result);
        if result.is_ok() {
            self.seen().requests.remove(handle);
        }
        result
    }
}

#[async_trait]
impl<S: PlanSource> PlanSource for Watched<S> {
    fn expect(&self, accepted: &[RequestKey]) {
        self.source.expect(accepted);
    }

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        let received = self.source.receive().await;
        (self.tell)(&self.source);
        match &received {
            Ok(delivery) => {
                if let Some(delivery) = delivery {
                    self.delivered(delivery);
                }
                self.health.works(Part::Source);
                if let Some(since) = self.seen().fails_since.take() {
                    tracing::info!(after_s = since.elapsed().as_secs(), "plans can be received again");
                }
            }
            Err(failure) => {
                self.seen().fails_since.get_or_insert_with(Instant::now);
                tracing::warn!(code = %failure.code, reason = failure.message, hint = failure.hint, "no plan can be received");
                self.health.fails(Part::Source, failure.message.clone());
            }
        }
        received
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        self.told("held", handle, self.source.extend(handle, visibility_timeout).await)
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.settled("acknowledged", handle, self.source.acknowledge(handle).await)
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        self.settled("rejected", handle, self.source.reject(handle, reason).await)
    }
}
