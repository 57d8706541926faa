//! Ports: what the core asks of the world, as object-safe traits.
//!
//! Backends implement them, binaries wire them together. No backend type appears here. Each trait's docs say who
//! retries (always the core, never the backend), what may be dropped, and what is ordered. Start with [`Executor`].

mod call;
mod clock;
mod executor;
mod ledger;
mod notifier;
mod plan_source;
mod reporter;
mod run_store;
mod secret_resolver;

pub use call::{Context, Step};
pub use clock::Clock;
pub use executor::{Executor, Verify};
pub use ledger::{Ledger, LedgerBatch};
pub use notifier::{ComponentEnd, ComponentNotice, Ending, Notice, Notifier, Receipt, Told, Verdict};
pub use plan_source::{Content, Delivery, Named, PlanSource, STALE_HANDLE};
pub use reporter::Reporter;
pub use run_store::{RecordBatch, RunStore, StoreError};
pub use secret_resolver::{BadReference, Resolved, SecretResolver};

#[cfg(any(test, feature = "test-util"))]
pub use {
    clock::MockClock, executor::MockExecutor, ledger::MockLedger, notifier::MockNotifier,
    plan_source::MockPlanSource, reporter::MockReporter, run_store::MockRunStore,
    secret_resolver::MockSecretResolver,
};
