//! Where the time comes from.

use crate::time::Timestamp;

/// Where the time comes from.
///
/// Never goes back: the wall time at the start plus what a monotonic clock measured since.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}
