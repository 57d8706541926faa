//! The one asynchronous driver: it joins a [`Run`](crate::run::Run) to the ports, and decides nothing.
//!
//! Start with [`drive`]; [`Ports`] is what it needs, [`Executors`] who carries out which kind. [`serve`] does the same for a
//! [`Scheduler`](crate::scheduler::Scheduler) and all its runs.

use std::sync::Arc;

use crate::few::few;
use crate::ports::{Clock, Reporter, RunStore, StoreError};
use crate::secret::Secrets;

mod calls;
mod clock;
mod drive;
mod executors;
mod render;
mod secrets;
mod serve;

pub use clock::SystemClock;
pub use drive::drive;
pub use executors::Executors;
pub use render::foresee;
pub use secrets::resolve_secrets;
pub use serve::{Intake, Opened, Order, PlanName, Reporters, ServeError, ServePorts, serve};

/// What a run is joined to.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "ports are opaque")]
pub struct Ports {
    /// Who carries out which kind.
    pub executors: Executors,
    /// Where the records go.
    pub store: Arc<dyn RunStore>,
    /// Who is shown them, in this order.
    pub reporters: Vec<Arc<dyn Reporter>>,
    /// Where the time comes from. Deadlines are slept for on tokio's clock.
    pub clock: Arc<dyn Clock>,
    /// The values of the secrets that the plan names, all versions fixed. Empty for plans without secrets.
    pub secrets: Secrets,
}

/// A run could not be driven to its end. What was stored of it can be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// The graph has kinds that nobody carries out; nothing was started.
    #[error("nothing here carries out components of kind {}", few(.0))]
    NoExecutor(Vec<String>),
    /// The store failed; no write was started since.
    #[error("failed to store what the run decided")]
    Store(#[from] StoreError),
}
