//! A queue as source: which plans cannot be read yet is told each time.

use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::{Delivery, PlanSource};
use eve_core::scheduler::RequestKey;
use eve_queue::aws::{LatePlan, SqsSource};

/// A queue whose messages bring plans.
#[derive(Debug)]
pub struct Queue(pub SqsSource);

#[async_trait]
impl PlanSource for Queue {
    fn expect(&self, accepted: &[RequestKey]) {
        self.0.expect(accepted);
    }

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        let received = self.0.receive().await;
        for LatePlan { request, failure } in self.0.take_late() {
            let (code, reason, hint) = (&*failure.code, failure.message, failure.hint);
            tracing::warn!(%request, code, reason, hint, "a plan cannot be read yet");
        }
        received
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        self.0.extend(handle, visibility_timeout).await
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.0.acknowledge(handle).await
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        self.0.reject(handle, reason).await
    }
}
