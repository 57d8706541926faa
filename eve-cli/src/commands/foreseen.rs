//! What `eve apply` would do with one object, told without a write.

use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::{SystemClock, foresee};
use eve_core::failure::Failure;
use eve_core::plan::{Action, Until};
use eve_core::ports::{Clock as _, Context, Executor as _, Step};
use eve_core::run::{Applied, Change};
use eve_core::secret::Secrets;
use eve_k8s::{Difference, KubeExecutor};
use serde_json::Value;

use crate::wiring;

/// How long it may take to tell of one object. Each request has a bound of its own, and there are few.
const PATIENCE: Duration = Duration::from_mins(5);

/// What `eve apply` would do with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreseen {
    /// It is to be there: what would differ.
    Wanted(Difference),
    /// It is to be gone, and would be deleted.
    Deleted,
    /// It is to be gone, and is not there.
    Absent,
    /// It is to be gone, and would stay: why.
    Kept(String),
}

impl Foreseen {
    /// Asks the cluster, by what the run itself would ask before its first write.
    ///
    /// # Errors
    /// Why the cluster cannot be asked, or what it would refuse.
    pub(super) async fn of(executor: &KubeExecutor, step: Step, secrets: &Secrets) -> Result<Self, Failure> {
        let step = foresee(step, secrets)?;
        if step.action() != Action::Delete {
            return executor.difference(&step).await.map(Self::Wanted);
        }
        let clock = SystemClock::new();
        let deadline = clock.now().plus(PATIENCE);
        let cx = Context::new(deadline, Arc::new(clock), Arc::new(|_| {}));
        if executor.prepare(&step, &cx).await?.change != Change::None {
            let kept = executor.stays_occupied(&step).await?;
            return Ok(kept.map_or(Self::Deleted, Self::Kept));
        }
        let untouched = Applied::new(Change::None);
        let outputs = executor.wait(&step, &untouched, Until::Ready, &cx).await?;
        let kept = outputs.get(wiring::KEPT).and_then(Value::as_str);
        Ok(kept.map_or(Self::Absent, |why| Self::Kept(why.to_owned())))
    }

    /// Whether `eve apply` would write nothing.
    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Wanted(Difference::None) | Self::Absent | Self::Kept(_))
    }
}
