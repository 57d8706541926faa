//! Where secret values come from.

use async_trait::async_trait;

use crate::failure::Failure;
use crate::secret::{SecretRef, SecretValue};

/// Resolves references to secrets, for one run.
///
/// - **Idempotent**: yes; it only reads. The same references within a run give the same values.
/// - **All at once**: every bad reference is reported, not only the first.
/// - **Who retries**: the core. A resolver makes each request once and classifies what went wrong.
/// - **Cancel safety**: the future may be dropped at any await.
/// - **Secrets**: values stand in what is returned and nowhere else: not in failures, not in logs.
///
/// No part of this version asks for secrets; plans that name some are refused.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait SecretResolver: Send + Sync {
    /// The values, in the order of `references`.
    ///
    /// # Errors
    /// One [`BadReference`] for each reference that has no value; at least one.
    async fn resolve(&self, references: &[SecretRef]) -> Result<Vec<SecretValue>, Vec<BadReference>>;
}

/// A reference without a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reference}: {failure}")]
pub struct BadReference {
    /// What was asked for.
    pub reference: SecretRef,
    /// Why there is nothing.
    pub failure: Failure,
}
