//! `verify`: a fresh look at what is said to be done, or undone. Reads only, but for a dry run where ownership does not
//! tell; one list for each kind and namespace, for all components of a run, and a second one where what is ready as soon as it
//! is there is not as it was seen last. A run that found nothing to do has looked when it
//! began, and looks no more.

use std::sync::Arc;

use eve_core::failure::Failure;
use eve_core::plan::{Action, Until};
use eve_core::ports::{Step, Verify};
use eve_core::run::{Applied, Change, UndoToken};
use serde_json::Value;

use super::delete::{self, Fate};
use super::intent::{Doubt, Intent};
use super::prepare::Mark;
use super::promise::Promise;
use super::undo::{Past, is_untouched, not_served};
use super::{Explanation, KubeExecutor, Located, Missing, Target, conflict};
use crate::client::{Detail, Location};
use crate::fields::Entry;
use crate::labels::PlanName;
use crate::owned::{self, Gap};
use crate::readiness::{self, Bygone};
use crate::restore::{self, Restoration, Sides};
use crate::survey::Found;

impl KubeExecutor {
    pub(super) async fn look_again(&self, step: &Step, of: Verify<'_>) -> Result<(), Failure> {
        match (of, step.action()) {
            (Verify::Undone(token), _) => self.verify_undone(step, token).await,
            (Verify::Applied(Some(applied), _), Action::Delete) if delete::stays(applied).is_some() => Ok(()),
            (Verify::Applied(_, until), Action::Delete) => self.verify_gone(step, until).await,
            // Nothing was written since it was looked at when the run began, and nothing waited for.
            (Verify::Applied(..), Action::Apply) if self.surveys.is_idle(step.graph()) => Ok(()),
            (Verify::Applied(applied, until), Action::Apply | Action::Read | Action::None) => {
                self.verify_there(step, applied, until).await
            }
        }
    }

    /// What was seen by earlier fresh looks is not fresh any more.
    pub(super) fn forget_looks(&self, step: &Step) {
        self.states.forget(step.graph());
        self.fresh.forget(step.graph());
        self.whole.forget(step.graph());
    }

    async fn verify_there(
        &self,
        step: &Step,
        applied: Option<&Applied>,
        until: Until,
    ) -> Result<(), Failure> {
        let target = self.known(step).await?;
        let place = &target.place;
        let (live, detail) = match self.look_afresh(step, place, applied).await? {
            Found::There(live, detail) => (*live, detail),
            Found::Absent | Found::NotServed | Found::Unknown if removes_itself(&target) => return Ok(()),
            Found::Absent | Found::NotServed | Found::Unknown => {
                let message = format!("{place} is gone: somebody has deleted it since");
                return Err(Failure::permanent("k8s.object.gone", message));
            }
        };
        let is_as_written = Mark::is_of(token(applied), &live);
        if step.action() == Action::Apply && !is_as_written {
            self.verify_unchanged(step, &target, &live, detail).await?;
        }
        if until == Until::Applied {
            return Ok(());
        }
        let (group, kind) = (place.resource.group(), &*place.resource.kind);
        let object = match readiness::is_ready_at_once(group, kind, target.object) {
            true if is_as_written => return Ok(()),
            true => live,
            false => self.with_status(place, live, detail).await?,
        };
        // It was ready in this run: what its controller said of its own deadline before, it has not taken back.
        let object = Bygone::default().judged(&Arc::new(object));
        match self.state(step, &target, &object).await? {
            Explanation::Up => Ok(()),
            Explanation::Absent(failure) | Explanation::Waiting(failure) | Explanation::Failed(failure) => {
                Err(failure.with_note("it was ready before, in this run"))
            }
        }
    }

    /// The object as far as its verification needs it: of what was written here and by nobody since, the state is enough. Of what
    /// was not written no state is known, and one list is to do for both.
    async fn look_afresh(
        &self,
        step: &Step,
        place: &Location,
        applied: Option<&Applied>,
    ) -> Result<Found, Failure> {
        let mark = token(applied);
        if step.action() == Action::Apply && mark.is_some() && !self.surveys.saw_unchanged(step.graph()) {
            let found = self.states.find(step.graph(), place, None).await?;
            if matches!(&found, Found::There(live, _) if Mark::is_of(mark, live)) {
                return Ok(found);
            }
        }
        self.read_from(&self.fresh, step, place, None).await
    }

    async fn verify_unchanged(
        &self,
        step: &Step,
        target: &Target<'_>,
        live: &Value,
        detail: Detail,
    ) -> Result<(), Failure> {
        let place = &target.place;
        let Err(doubt) = Intent::of(step, target, Some(&Mark::before(step, target, live))).holds(live) else {
            return Ok(());
        };
        let why = match self.compare(step, target, live.clone(), detail).await {
            Ok(prepared) if matches!(prepared.change, Change::None | Change::Unknown) => return Ok(()),
            Ok(_) => doubt.to_string(),
            // Somebody else has them now: what the failure tells is how to take them over.
            Err(failure) if failure.code == "k8s.apply.conflict" => doubt.to_string(),
            Err(failure) => return Err(failure),
        };
        let by = match &doubt {
            Doubt::Fields(Gap::Lost(field)) => owners(live, field),
            Doubt::Input | Doubt::Fields(_) | Doubt::Values(_) => Vec::new(),
        };
        let message = format!("{place} was changed by somebody since it was applied: {why}");
        Err(Failure::permanent("k8s.verify.changed", message).with_few(by))
    }

    async fn verify_gone(&self, step: &Step, until: Until) -> Result<(), Failure> {
        let Located::Known(target) = self.locate(step, Missing::Accept).await? else { return Ok(()) };
        let place = &target.place;
        let Found::There(live, _) = self.read_from(&self.fresh, step, place, None).await? else {
            return Ok(());
        };
        if until == Until::Applied && live.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(());
        }
        match Fate::of(&live, target.object, PlanName::of(step), self.adopted) {
            Fate::Stays(_) => Ok(()),
            Fate::Goes => {
                let message = format!("{place} is there again: somebody has made it since it was deleted");
                Err(Failure::permanent("k8s.object.present", message))
            }
        }
    }

    async fn verify_undone(&self, step: &Step, token: &UndoToken) -> Result<(), Failure> {
        let promise = Promise::read(token)?;
        let Some(place) = self.promised_place(step, &promise).await? else {
            // What is of a kind that is gone is gone too; of a kind that is only not served, nobody knows.
            let is_gone = promise.before.is_none() && !self.is_away(&promise);
            return if is_gone { Ok(()) } else { Err(not_served(step)) };
        };
        let live = match self.read_from(&self.whole, step, &place, None).await? {
            Found::There(live, _) => Some(*live),
            Found::Absent | Found::NotServed | Found::Unknown => None,
        };
        match (self.past(step, &promise).await?, live) {
            (Past::Absent, None) => Ok(()),
            // Made by others, with nothing of eve's in it.
            (Past::Absent, Some(live)) if !owned::is_applied(&live) => Ok(()),
            (Past::Absent, Some(_)) => Err(not_undone(&place, "it is there")),
            (Past::There(..), None) => Err(not_undone(&place, "it is not there")),
            (Past::Unkept, Some(live)) if is_untouched(&promise, &live) => Ok(()),
            (Past::Unkept, _) => Err(conflict::unkept(&place)),
            (Past::There(before, intent), Some(live)) => as_before(&place, &before, intent.as_ref(), &live),
        }
    }
}

/// What is kept of the state that the run left the object in.
fn token(applied: Option<&Applied>) -> Option<&Value> {
    applied?.token.as_deref()
}

/// Whether a Job removes itself once it is through.
pub(super) fn removes_itself(target: &Target<'_>) -> bool {
    *target.place.resource.kind == *"Job" && target.object.pointer("/spec/ttlSecondsAfterFinished").is_some()
}

/// Who owns a field of this name, or fields in it, besides eve.
fn owners(live: &Value, field: &str) -> Vec<String> {
    let entries = Entry::all(live);
    let is_in =
        |words: &str| words.strip_prefix(field).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    let others = entries.iter().filter(|entry| !entry.is_eves());
    others
        .flat_map(|entry| {
            let fields = entry.paths.iter().map(|path| owned::words(path)).filter(|words| is_in(words));
            fields.map(|words| format!("`{words}` belongs to `{}` now", entry.manager())).collect::<Vec<_>>()
        })
        .collect()
}

fn as_before(place: &Location, before: &Value, intent: Option<&Value>, live: &Value) -> Result<(), Failure> {
    let reborn = restore::comparable(before, live);
    let sides = Sides::new(before, &reborn, intent, live);
    match Restoration::of(sides) {
        Restoration::Settled => Ok(()),
        Restoration::Conflict(conflicts) => Err(conflict::of_fields(place, &conflicts)),
        Restoration::Patch { fields, .. } => {
            let differ = fields.iter().map(|field| format!("`{field}` differs"));
            Err(not_undone(place, "it is not as it was").with_few(differ))
        }
    }
}

fn not_undone(place: &Location, why: &str) -> Failure {
    let message =
        format!("{place} is not as before the run: {why}; somebody has changed it since it was put back");
    Failure::permanent("k8s.verify.changed", message)
}
