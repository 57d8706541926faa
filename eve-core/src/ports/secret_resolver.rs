//! Where secret values come from.

use async_trait::async_trait;

use crate::failure::Failure;
use crate::secret::{SecretRef, SecretValue, SecretVersion};

/// Resolves references to secrets, for one run.
///
/// - **Idempotent**: yes; it only reads. The same reference within a run gives the same value, whatever changes meanwhile.
/// - **All at once**: every bad reference is reported, not only the first.
/// - **Pinned**: [`Resolved::version`] is what the run keeps. Who resumes the run, or undoes it, asks for
///   [`SecretRef::at`] that version and gets the same value or a bad reference, never a newer value.
/// - **Who retries**: the core. A resolver makes each request once and classifies what went wrong. To call again is worth it
///   when every bad reference is of class [`Transient`](crate::failure::FailureClass::Transient), after the engine's
///   back-off; the values that were found are not asked for again.
/// - **Cancel safety**: the future may be dropped at any await.
/// - **Secrets**: values stand in what is returned and nowhere else: not in failures, not in logs.
///
/// [`SecretRequest`](crate::secret::SecretRequest) asks it for the secrets of a run.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait SecretResolver: Send + Sync {
    /// The values, in the order of `references`; a reference may occur more than once.
    ///
    /// # Errors
    /// One [`BadReference`] for each reference that has no value, in the order of `references`; at least one.
    async fn resolve(&self, references: &[SecretRef]) -> Result<Vec<Resolved>, Vec<BadReference>>;
}

/// What a reference stands for.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The value.
    pub value: SecretValue,
    /// The version that it is; `None` where the backend keeps no versions.
    pub version: Option<SecretVersion>,
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
