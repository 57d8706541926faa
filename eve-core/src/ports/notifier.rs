//! Who is told how a run ended.

use async_trait::async_trait;

use crate::failure::Failure;
use crate::ids::RunId;
use crate::run::Outcome;

/// Delivers the outcome of a run to somebody outside.
///
/// - **At least once**: a notice is delivered again after a crash or a lost answer, always with the same
///   [`Notice::key`] and the same content; receivers drop what they know.
/// - **Who retries**: the core, from its outbox. A notifier makes each request once and classifies what went wrong.
/// - **Never holds a run**: the outcome is durable before it is delivered, and stays what it is.
/// - **Cancel safety**: a dropped delivery may or may not have arrived.
///
/// No part of this version has an outbox; an embedder may call it with the outcome that `drive` returns.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Returns once the receiver has taken the notice.
    ///
    /// # Errors
    /// A classified [`Failure`]; `Transient` where it is not known whether the notice arrived.
    async fn notify(&self, notice: &Notice) -> Result<(), Failure>;
}

/// What is told of the end of a run. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Stable over all deliveries of this notice; at most 128 bytes of printable ASCII.
    pub key: String,
    /// The run.
    pub run: RunId,
    /// The name of its plan.
    pub plan: String,
    /// The namespace of its plan.
    pub namespace: String,
    /// How it ended.
    pub outcome: Outcome,
}
