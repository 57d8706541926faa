//! One server-side apply, and what of others it takes over without being told to.
//!
//! What `kubectl apply` wrote, its user said in a file, as eve's user does now; `kubectl apply --server-side` takes those
//! fields over too (kubectl's `csaupgrade`). eve does so on what it manages already, tells it, and takes nothing of
//! anybody else: the forced write is of the very state in which only such fields stood in the way.

use eve_core::few::few_within;
use eve_core::ports::Step;
use serde_json::Value;

use super::failure::{Owned, in_the_way};
use super::intent::Intent;
use super::prepare::conflicts;
use super::{KubeExecutor, Target};
use crate::client::{Conflicts, Effect, Ensured};
use crate::error::ApiError;
use crate::labels::{self, PlanName};
use crate::readiness::text;
use crate::scaled::Replicas;

/// The output of a component that took fields over from `kubectl apply`: which, for people. Absent where none were.
pub const TAKEN_OVER: &str = "takenOver";

/// The managers under which `kubectl apply` writes, and what was there before it first wrote.
const KUBECTL: [&str; 2] = ["kubectl-client-side-apply", "before-first-apply"];
/// How many bytes the names of the fields may take: they are kept in a token.
const FIELDS_BYTES_MAX: usize = 300;

/// What became of an apply.
pub(super) struct Put {
    pub(super) object: Value,
    pub(super) ensured: Ensured,
    /// Which fields were taken over, and from whom; for people.
    pub(super) taken: Option<String>,
}

impl KubeExecutor {
    /// Applies the intent.
    pub(super) async fn put(
        &self,
        step: &Step,
        target: &Target<'_>,
        intent: &Intent,
        effect: Effect,
    ) -> Result<Put, ApiError> {
        let place = &target.place;
        let refused = match self.client.apply(place, &intent.object, conflicts(step), effect).await {
            Ok((object, ensured)) => return Ok(Put { object, ensured, taken: None }),
            Err(error) => error,
        };
        let owned = in_the_way(&refused);
        if intent.is_counted && !owned.is_empty() && owned.iter().all(Owned::is_count) {
            // An autoscaler has taken it since it was looked at.
            let mut object = intent.object.clone();
            Replicas::Left.write(&mut object);
            let (object, ensured) = self.client.apply(place, &object, conflicts(step), effect).await?;
            return Ok(Put { object, ensured, taken: None });
        }
        if !is_kubectls(&owned) {
            return Err(refused);
        }
        let Ok(live) = self.client.get(place).await else { return Err(refused) };
        let is_managed = labels::has_plan(&live) && PlanName::of(step).other(&live).is_none();
        if !is_managed {
            return Err(refused);
        }
        let mut object = intent.object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), text(&live, "/metadata/resourceVersion").into());
        }
        match self.client.apply(place, &object, Conflicts::Refuse, effect).await {
            Ok((object, ensured)) => return Ok(Put { object, ensured, taken: None }),
            Err(error) if !is_kubectls(&in_the_way(&error)) => return Err(error),
            Err(_) => {}
        }
        let (object, ensured) = self.client.apply(place, &object, Conflicts::Force, effect).await?;
        Ok(Put { object, ensured, taken: Some(told(&owned)) })
    }
}

fn is_kubectls(owned: &[Owned]) -> bool {
    !owned.is_empty() && owned.iter().all(|owned| KUBECTL.contains(&owned.manager.as_str()))
}

fn told(owned: &[Owned]) -> String {
    let fields = few_within(owned.iter().map(|owned| format!("`{}`", owned.field)), FIELDS_BYTES_MAX);
    let manager = owned.first().map(|owned| owned.manager.as_str()).unwrap_or_default();
    format!("{fields} from `{manager}`")
}
