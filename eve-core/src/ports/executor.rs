//! Who carries out the components of a kind.

use async_trait::async_trait;
use serde_json::Value;

use super::{Context, Step};
use crate::failure::Failure;
use crate::plan::Until;
use crate::plan::problem::SpecProblem;
use crate::run::{Applied, Change, Outputs, Prepared};

/// Carries out components of one kind, one phase a call.
///
/// - **Idempotent**: each call may be repeated, in this process or after a crash in the next, with the same arguments.
/// - **Who retries**: the core. An executor makes each request once and classifies what went wrong.
/// - **Cancel safety**: the futures of `prepare` and `wait` may be dropped at any await; that of `apply` is only dropped
///   with the process.
/// - **Journal**: `apply` is called when the record that allows it is durable. `prepare` and `wait` may be called before what
///   led to them is: if it never is, nothing may have changed.
/// - **Ordering**: `prepare` may be called long before the dependencies of a component are ready; `apply` never.
///   Calls for one component never overlap.
/// - **Deadline**: [`Context::deadline`]; a call that is still running then is given up.
/// - **Secrets**: none in what is returned.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Executor: Send + Sync {
    /// Every problem of a spec that can be found without I/O.
    fn check(&self, spec: &Value) -> Vec<SpecProblem> {
        let _ = spec;
        Vec::new()
    }

    /// What applying would change. Reads only.
    ///
    /// # Errors
    /// A classified [`Failure`]; permanent ones end the component before its first write.
    async fn prepare(&self, step: &Step, cx: &Context) -> Result<Prepared, Failure> {
        let _ = (step, cx);
        Ok(Prepared::new(Change::Unknown))
    }

    /// Makes it so: the only phase that writes. Returns once the writes are accepted, without waiting for readiness.
    ///
    /// # Errors
    /// A classified [`Failure`]. Where it is not known whether a write took effect the class is `Transient`.
    async fn apply(&self, step: &Step, prepared: &Prepared, cx: &Context) -> Result<Applied, Failure>;

    /// Returns once the component has come as far as `until` says. Reads only; tells [`Context::progress`] what it
    /// waits for whenever that changes.
    ///
    /// # Errors
    /// A classified [`Failure`], as soon as it is known that waiting is in vain.
    async fn wait(
        &self,
        step: &Step,
        applied: &Applied,
        until: Until,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        let _ = (step, applied, until, cx);
        Ok(Outputs::NONE)
    }
}
