//! Who is shown what happens.

use crate::failure::Cause;
use crate::ids::ComponentId;
use crate::run::{Record, RunView};

/// Shows what happens: progress displays, metrics, traces. Local, synchronous, cannot fail a run.
///
/// Called in order, from one task, after the records are durable. Must not block.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
pub trait Reporter: Send + Sync {
    /// A record was stored; `view` is the state of the run after the whole batch that it belongs to.
    #[cfg_attr(any(test, feature = "test-util"), mockall::concretize)]
    fn record(&self, record: &Record, view: &RunView<'_>);

    /// A wait told what it waits for. Not stored as such, may come more often than a
    /// [`Waiting`](crate::run::Event::Waiting) record, and is lost in a crash.
    fn progress(&self, component: ComponentId, cause: &Cause) {
        let _ = (component, cause);
    }
}
