//! Where plans come from.

use std::time::Duration;

use async_trait::async_trait;

use crate::failure::Failure;

/// Hands out plans that somebody sent, one delivery after the other.
///
/// - **At least once**: the same plan may be delivered again, at the same time or days later, under another
///   [`Delivery::handle`].
/// - **Ordering**: none is promised between plans.
/// - **Who retries**: the core. A source makes each request once and classifies what went wrong.
/// - **Cancel safety**: a dropped `receive` loses nothing: what it had taken comes back after its visibility timeout.
///
/// No part of this version receives plans; the command line reads files.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait PlanSource: Send + Sync {
    /// The next delivery; waits for one for as long as the source finds sensible, and then returns `None`.
    ///
    /// # Errors
    /// A classified [`Failure`]; nothing was taken.
    async fn receive(&self) -> Result<Option<Delivery>, Failure>;

    /// Keeps a delivery from being handed out again for this long from now.
    ///
    /// # Errors
    /// A classified [`Failure`]; it may be delivered again.
    async fn extend(&self, delivery: &Delivery, visibility_timeout: Duration) -> Result<(), Failure>;

    /// The delivery has been dealt with, durably. Success does not prove that it never comes again.
    ///
    /// # Errors
    /// A classified [`Failure`]; it may be delivered again.
    async fn acknowledge(&self, delivery: &Delivery) -> Result<(), Failure>;

    /// The delivery can never be dealt with; `reason` is for whoever looks at it, without secrets.
    ///
    /// # Errors
    /// A classified [`Failure`]; it may be delivered again.
    async fn reject(&self, delivery: &Delivery, reason: &str) -> Result<(), Failure>;
}

/// A plan as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What the source knows this delivery by; another one when the same plan is delivered again.
    pub handle: String,
    /// Which request it is, chosen by the sender; the same when it is delivered again.
    pub request_id: String,
    /// The text of the plan.
    pub body: Vec<u8>,
}
