//! What a refusal means while a run is undone: the run had its rights when it wrote, and an API server that has just begun
//! knows none yet.

use std::time::Duration;

use eve_core::failure::{Failure, FailureClass};
use eve_core::ports::Step;

use super::{KubeExecutor, promise};

/// How long is waited before a refusal is believed: rights of roles are known a moment after those of everybody.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];

/// Refusals that were met in one call.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: usize,
}

impl KubeExecutor {
    /// What is to be told of a failure; `None` once it is time to try again.
    pub(super) async fn believe(
        &self,
        step: &Step,
        refusals: &mut Refusals,
        failure: Failure,
    ) -> Option<Failure> {
        if failure.code != "k8s.api.forbidden" {
            return Some(failure);
        }
        // Everybody may ask what they may do (role `system:basic-user`): who may not, asks a server that knows no rights.
        let may_ask = match promise::snapshots(step) {
            Ok(collection) => self.client.may(&collection, "get").await.is_ok(),
            Err(_) => true,
        };
        if !may_ask {
            return Some(Failure { class: FailureClass::Transient, ..failure });
        }
        let Some(pause) = PAUSES.get(refusals.count) else { return Some(failure) };
        refusals.count += 1;
        tokio::time::sleep(*pause).await;
        None
    }
}
