//! Replacing: what cannot be changed in place is deleted and made anew, where that is allowed.
//!
//! A Job is one run of something: changed, or after it failed, it can only run again as another Job. Of other kinds a plan
//! has to say so, for what is deleted takes with it what it owns.

use eve_core::failure::Failure;
use eve_core::ports::{Context, Step};
use eve_core::run::Change;
use serde_json::Value;

use super::delete::Fate;
use super::{Adopted, KubeExecutor, Target, failure};
use crate::client::Location;
use crate::labels::PlanName;
use crate::object::{REPLACE, REPLACE_IF_NEEDED, REPLACE_NEVER};
use crate::readiness::{self, Readiness, text};

/// Kinds whose objects hold what nobody could make anew, with their groups.
const HOLDERS: [(&str, &str); 4] = [
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

impl KubeExecutor {
    /// Makes room for the object that replaces the one of this uid; returns once that is gone. May be entered again at any
    /// point.
    pub(super) async fn make_way(
        &self,
        step: &Step,
        place: &Location,
        uid: &str,
        cx: &Context,
    ) -> Result<(), Failure> {
        let live = match self.client.get(place).await {
            Ok(live) => live,
            Err(error) if error.is_code(404) => return Ok(()),
            Err(error) => return Err(failure::of_read(place, error)),
        };
        if text(&live, "/metadata/uid") != uid {
            // It was made already, before this attempt was interrupted, or by somebody else: the write will tell.
            return Ok(());
        }
        if live.pointer("/metadata/deletionTimestamp").is_none() {
            let seen = (uid, text(&live, "/metadata/resourceVersion"));
            match self.client.delete_as_seen(place, seen).await {
                Ok(()) => {}
                Err(error) if error.is_code(404) => {}
                Err(error) if error.is_code(409) => self.after_conflict(place, uid).await?,
                Err(error) => return Err(failure::of_write(place, error)),
            }
        }
        self.until_gone(step, place, uid, cx).await.map(drop)
    }
}

/// What is to be done where the live object cannot be changed in place: replace it, or say why not.
pub(super) fn replacement(
    step: &Step,
    target: &Target<'_>,
    live: &Value,
    refused: Failure,
) -> Result<Change, Failure> {
    match may_replace(step, target, live) {
        Ok(()) => Ok(Change::Replace),
        Err(Some(why)) => Err(refused.with_note(why)),
        Err(None) => Err(refused.with_hint(
            "delete the object first, give it another name, or allow to replace it: `replace: ifNeeded` on the component of a plan",
        )),
    }
}

/// Whether the live object is a Job that failed, and is to run again.
pub(super) fn is_to_run_again(step: &Step, target: &Target<'_>, live: &Value) -> bool {
    let has_failed = || matches!(readiness::judge("batch", "Job", live), Readiness::Failed(_));
    is_job(&target.place) && has_failed() && may_replace(step, target, live).is_ok()
}

fn is_job(place: &Location) -> bool {
    place.resource.group() == "batch" && *place.resource.kind == *"Job"
}

/// Whether the live object may be deleted and made anew; else why not, where somebody has said so.
fn may_replace(step: &Step, target: &Target<'_>, live: &Value) -> Result<(), Option<String>> {
    let place = &target.place;
    match step.spec().get(REPLACE).and_then(Value::as_str) {
        Some(REPLACE_NEVER) => {
            return Err(Some(format!("`{REPLACE}: {REPLACE_NEVER}` says not to replace it")));
        }
        Some(REPLACE_IF_NEEDED) => {}
        _ if is_job(place) => {}
        _ => return Err(None),
    }
    if HOLDERS.contains(&(place.resource.group(), &*place.resource.kind)) {
        return Err(Some("it is never replaced: what it holds would go with it".to_owned()));
    }
    match Fate::of(live, target.object, PlanName::of(step), Adopted::Delete) {
        Fate::Goes => Ok(()),
        Fate::Stays(why) => Err(Some(format!("it is not replaced: {why}"))),
    }
}
