//! The loop for many runs: it joins a [`Scheduler`](crate::scheduler::Scheduler) and its [`Run`](crate::run::Run)s to the
//! ports, and decides nothing.
//!
//! ```text
//!   sources ──▶ Scheduler ──Open──▶ Run, Run, … ──▶ executors
//!                   │  ▲               │
//!                   │  └── ended ──────┤
//!                   ▼                  ▼
//!               one append of the ledger and of all runs, then: show, call, tell, acknowledge
//! ```
//!
//! `turns.rs` is the loop, `live.rs` the runs that are under way, `opening.rs` those that are made of plans, `report.rs`
//! what their ends have to say, `outside.rs` everybody else who is called; `receiving.rs` takes plans from a source and reads
//! them, in the order that `line.rs` keeps.

mod line;
mod live;
mod opening;
mod outside;
mod receiving;
mod report;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::Executors;
use crate::failure::Failure;
use crate::ids::RunId;
use crate::plan::graph::Graph;
use crate::plan::load::Glance;
use crate::ports::{Clock, Ledger, Notifier, PlanSource, Reporter, StoreError};
use crate::run::{RunOptions, RunStart, StopMode};
use crate::scheduler::SchedulerView;
use crate::secret::Secrets;

pub use turns::serve;

/// Reads what was delivered, and makes runs of it.
///
/// - **Idempotent**: the same delivery always asks for the same, and the same plan always gives the same graph: a run that is
///   taken up by another process is opened again.
/// - **Who retries**: the driver, for failures of class `Transient`.
/// - **Cancel safety**: the future of `open` may be dropped with the process.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Whose plan this is. Without I/O, on a thread that may be blocked; called before anything is known of the request.
    ///
    /// # Errors
    /// Why it can never be run here: it is no plan, or it is meant for somebody else. Then the request is refused.
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure>;

    /// What can be said of it at once. Plans are read beside each other, and one overtakes another that came before it only
    /// where both are known to be of different namespaces, or the other can never be run. Called as `read` is, before it; nothing
    /// is known by default.
    fn glance(&self, _body: &[u8]) -> Glance {
        Glance::Unknown
    }

    /// The graph, the options and the secrets of the run of a plan. `begun` is what was recorded of a run that is taken up:
    /// its secrets are those that were pinned then ([`SecretRequest::pinned`](crate::secret::SecretRequest)).
    ///
    /// # Errors
    /// A classified [`Failure`]; then the run has failed, before its first write if it had not begun.
    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure>;

    /// The run is over, or is not going to be opened: whatever was kept of it since it was first opened can go. Called once
    /// for each run that `open` was called for, but for those that are for the next process. Must not block.
    fn let_go(&self, run: &RunId) {
        let _ = run;
    }
}

/// Whose plan it is, and which request it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanName {
    /// The namespace of the plan.
    pub namespace: Arc<str>,
    /// Its name.
    pub plan: Arc<str>,
    /// The request that it says it is, in the form of [`Delivery::request`](crate::ports::Delivery). It counts where the source
    /// had to make one up; where the sender has chosen another one, the plan is refused.
    pub request: Option<Arc<str>>,
}

/// A run that may begin.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What is run.
    pub graph: Arc<Graph>,
    /// With which options; those that were stored hold for a run that is taken up. Their [pins](RunOptions::pins) are those
    /// of `secrets`, and for a run that is taken up those that were recorded.
    pub options: RunOptions,
    /// The values of the secrets that its plan names. Empty for plans without secrets.
    pub secrets: Secrets,
}

/// Makes the reporters of a run that begins in this process.
pub type Reporters = dyn Fn(&RunId, &Graph) -> Vec<Arc<dyn Reporter>> + Send + Sync;

/// What a scheduler and its runs are joined to.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "ports are opaque")]
pub struct ServePorts {
    /// Where plans come from, in the order of the scheduler's options.
    pub sources: Vec<Arc<dyn PlanSource>>,
    /// Who reads them.
    pub intake: Arc<dyn Intake>,
    /// Who carries out which kind.
    pub executors: Executors,
    /// Where all records go.
    pub ledger: Arc<dyn Ledger>,
    /// Who is told outcomes, by the names of the scheduler's options.
    pub notifiers: BTreeMap<Arc<str>, Arc<dyn Notifier>>,
    /// Who is shown the records of a run.
    pub reporters: Arc<Reporters>,
    /// Shown the requests after each turn; must not block.
    pub observer: Arc<dyn Fn(SchedulerView<'_>) + Send + Sync>,
    /// Where the time comes from. Deadlines are slept for on tokio's clock.
    pub clock: Arc<dyn Clock>,
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop what a request asked for.
    Stop {
        /// The request.
        request: Arc<str>,
        /// How a run that is under way is to end.
        mode: StopMode,
    },
    /// Send the notices of a request again.
    SendAgain {
        /// The request.
        request: Arc<str>,
    },
    /// Receive and open nothing any more; return when the runs that are under way have ended. Other orders may follow.
    Drain,
    /// Return at once, also from a drain. What is under way is for the next process, as after a crash.
    HandBack,
}

/// The scheduler could not go on. What was stored can be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The store failed; nothing was started, told or acknowledged since.
    #[error("failed to store what was decided")]
    Store(#[from] StoreError),
}
