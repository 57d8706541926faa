//! Who carries out the components of a kind.
#![cfg_attr(
    any(test, feature = "test-util"),
    expect(clippy::ref_option_ref, reason = "the mock compares what it is given by reference")
)]

use async_trait::async_trait;
use serde_json::Value;

use super::{Context, Step};
use crate::failure::{Failure, FailureClass};
use crate::plan::Until;
use crate::plan::problem::SpecProblem;
use crate::run::{Applied, Change, Outputs, Prepared, UndoReport, UndoToken};

/// What a fresh look is to find.
#[derive(Clone, Copy, Debug)]
pub enum Verify<'a> {
    /// What the plan wants, come as far as [`Until`] says; with what `apply` did, where it was called.
    Applied(Option<&'a Applied>, Until),
    /// What was before the run.
    Undone(&'a UndoToken),
}

/// Carries out components of one kind, one phase a call.
///
/// - **Idempotent**: each call may be repeated, in this process or after a crash in the next, with the same arguments.
/// - **Who retries**: the core. An executor makes each request once and classifies what went wrong.
/// - **Cancel safety**: the futures of `prepare`, `wait` and `verify` may be dropped at any await; those of `apply` and
///   `undo` are only dropped with the process.
/// - **Journal**: `apply` and `undo` are called when the record that allows it is durable. The others may be called before
///   what led to them is: if it never is, nothing may have changed.
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
    /// waits for whenever that changes. Where nothing had to be written, `applied` has the token of `prepare`.
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

    /// Puts the component back as it was before the run, and reads back. Only `token` and the names and the run of `step`
    /// may be relied on: of its spec nothing may be left. `applied` is what the last `apply` did, where its end is known.
    ///
    /// What is as before already is left alone. What somebody else has changed since is not overwritten but a failure
    /// that names it.
    ///
    /// # Errors
    /// A classified [`Failure`]. By default a permanent one: components of this kind cannot be undone.
    async fn undo<'a>(
        &self,
        step: &Step,
        token: &UndoToken,
        applied: Option<&'a Applied>,
        cx: &Context,
    ) -> Result<UndoReport, Failure> {
        let _ = (token, applied, cx);
        let message = format!("{} is of a kind that cannot be undone", step.name());
        Err(Failure::permanent("run.undo.unsupported", message))
    }

    /// Whether it is still so, by reads made after the call; by those from when the run began, half a minute ago at most, where
    /// it found nothing to do, so that a fresh look would be no fresher. By default `prepare`, which must find no change
    /// ([`Change::Unknown`] says nothing), and `wait`; and of what was undone nothing, because `undo` reads back.
    ///
    /// # Errors
    /// A classified [`Failure`]: a permanent one where it is not so.
    async fn verify<'a>(&self, step: &Step, of: Verify<'a>, cx: &Context) -> Result<(), Failure> {
        let Verify::Applied(applied, until) = of else { return Ok(()) };
        if step.action().writes() {
            let change = self.prepare(step, cx).await?.change;
            if !matches!(change, Change::None | Change::Unknown) {
                let message =
                    format!("{} is not as it was applied: somebody has changed it since", step.name());
                return Err(Failure::new(FailureClass::Permanent, "run.verify.changed", message));
            }
        }
        let nothing = Applied::new(Change::None);
        self.wait(step, applied.unwrap_or(&nothing), until, cx).await.map(|_| ())
    }
}
