//! Fakes for the tests of embedders and backends: a clock that stands still, executors that follow a script, plans of a
//! shape, one event of each kind. Feature `test-util`.
//!
//! Mocks of the ports (`MockExecutor`, …) are in [`ports`](crate::ports); use them only to assert an interaction.

pub mod canary;
mod clock;
mod events;
mod executor;
pub mod hostile;
mod ledger;
mod outside;
#[macro_use]
mod sabotage;
mod shapes;
pub mod sim;
pub mod sim_scheduler;

pub use clock::ManualClock;
#[cfg(feature = "driver")]
pub use clock::TokioClock;
pub use events::{
    sample_announced, sample_events, sample_graph, sample_rollback, sample_rollback_graph, sample_undoing,
};
pub use executor::{NoopExecutor, ScriptedExecutor, Step as ScriptStep};
pub use ledger::sample_ledger;
pub use outside::{MapResolver, QueueSource, RecordingNotifier};
pub use shapes::{Shape, ShapedPlan};
