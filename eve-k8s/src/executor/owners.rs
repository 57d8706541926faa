//! Who owns an object that is made again: of its owners those that are there. Reads only.
//!
//! A reference to an owner of another uid would be the end of the object: the garbage collector takes what has no owner left.

use std::collections::BTreeMap;

use eve_core::failure::Failure;
use eve_core::ports::Step;
use serde_json::Value;

use super::{KubeExecutor, failure};
use crate::client::Location;
use crate::discovery::Scope;
use crate::labels::PlanName;
use crate::path::PathSegment;
use crate::readiness::text;
use crate::restore;

impl KubeExecutor {
    /// The object before with references to the owners that are there now: those of then, and those of the step's plan that
    /// were made again as well.
    ///
    /// # Errors
    /// An owner cannot be read now.
    pub(super) async fn reowned(
        &self,
        step: &Step,
        place: &Location,
        before: &Value,
    ) -> Result<Value, Failure> {
        let mut uids = BTreeMap::new();
        for reference in restore::owners(before) {
            if let Some(uid) = self.owner_now(step, place, reference).await? {
                uids.insert(text(reference, "/uid").to_owned(), uid);
            }
        }
        Ok(restore::reowned(before, |reference| uids.get(text(reference, "/uid")).cloned()))
    }

    async fn owner_now(
        &self,
        step: &Step,
        place: &Location,
        reference: &Value,
    ) -> Result<Option<String>, Failure> {
        let kinds = self.kinds();
        let Ok(resource) = kinds.find(text(reference, "/apiVersion"), text(reference, "/kind")) else {
            return Ok(None);
        };
        let namespace = match resource.scope {
            Scope::Cluster => None,
            Scope::Namespaced => place.namespace.clone(),
        };
        let Ok(name) = PathSegment::name(text(reference, "/name")) else { return Ok(None) };
        let owner = Location { resource, namespace, name };
        let live = match self.client.get(&owner).await {
            Ok(live) => live,
            Err(error) if error.is_code(404) || error.is_code(403) => return Ok(None),
            Err(error) => return Err(failure::of_read(&owner, error)),
        };
        let uid = text(&live, "/metadata/uid");
        let is_it = uid == text(reference, "/uid");
        let is_again = || PlanName::of(step).disowns(&live).is_none();
        let stays = live.pointer("/metadata/deletionTimestamp").is_none();
        Ok((stays && (is_it || is_again())).then(|| uid.to_owned()))
    }
}
