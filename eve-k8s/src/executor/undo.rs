//! `undo`: puts an object back as it was before the run, and reads back. The only file that does.
//!
//! Each round looks at the object and decides anew ([`Restoration`]), so that it may be entered again at any point. What
//! this run made is deleted, what it changed is patched, what it deleted is made again.

use eve_core::failure::Failure;
use eve_core::ports::{Context, Step};
use eve_core::run::{Applied, Change, UndoReport, UndoToken};
use serde_json::{Value, json};

use super::conflict::{self, conflict};
use super::maker::{self, Maker};
use super::prepare::Mark;
use super::promise::Promise;
use super::{KubeExecutor, failure};
use crate::client::{Conflicts, Effect, Location};
use crate::controllers;
use crate::fields::Entry;
use crate::labels::{self, PlanName};
use crate::readiness::text;
use crate::restore::{self, Restoration, Sides};
use crate::{owned, snapshot::Snapshot};

/// How often an object is looked at anew: two patches, one look behind them, and what others write meanwhile.
const ROUNDS_MAX: usize = 10;

/// How the API server refuses an address or a port that is not free (`pkg/registry/core/service`).
const TAKEN: &str = "already allocated";

/// What was there before the run, as far as it is known.
pub(super) enum Past {
    /// Nothing.
    Absent,
    There(Box<Value>, Option<Value>),
    /// Nothing was kept; the run had not written yet, if this is the object of then.
    Unkept,
}

/// One object to be put back.
struct Undoing<'a> {
    executor: &'a KubeExecutor,
    step: &'a Step,
    cx: &'a Context,
    place: Location,
    promise: &'a Promise,
    report: UndoReport,
}

impl KubeExecutor {
    pub(super) async fn put_back(
        &self,
        step: &Step,
        token: &UndoToken,
        applied: Option<&Applied>,
        cx: &Context,
    ) -> Result<UndoReport, Failure> {
        let promise = Promise::read(token)?;
        self.forget_looks(step);
        let Some(place) = self.promised_place(step, &promise).await? else {
            return self.unserved(step, &promise);
        };
        let past = self.past(step, &promise).await?;
        let report = UndoReport::new(Change::None);
        let undoing = Undoing { executor: self, step, cx, place, promise: &promise, report };
        let written = applied.and_then(|applied| Mark::read(applied.token.as_deref()));
        match past {
            Past::Absent => undoing.unmake(written).await,
            Past::There(before, intent) => undoing.restore(&before, intent.as_ref(), written).await,
            // It is on record that the run wrote, and nobody knows any more what was before.
            Past::Unkept if applied.is_some_and(|applied| applied.change != Change::None) => {
                Err(conflict::unkept(&undoing.place))
            }
            Past::Unkept => undoing.untouched().await,
        }
    }

    /// What is of a kind that is gone is gone too; of a kind whose API server only does not answer, nobody knows.
    fn unserved(&self, step: &Step, promise: &Promise) -> Result<UndoReport, Failure> {
        if promise.before.is_none() && !self.is_away(promise) {
            return Ok(UndoReport::new(Change::None));
        }
        Err(not_served(step))
    }

    /// Whether the API server behind the object's kind does not answer.
    pub(super) fn is_away(&self, promise: &Promise) -> bool {
        self.kinds().is_away(&promise.api_version)
    }

    /// What was there before the run.
    pub(super) async fn past(&self, step: &Step, promise: &Promise) -> Result<Past, Failure> {
        let Some(before) = &promise.before else { return Ok(Past::Absent) };
        Ok(match self.kept(step, before).await? {
            None => Past::Unkept,
            Some(Snapshot { before: None, .. }) => Past::Absent,
            Some(Snapshot { before: Some(object), intent }) => Past::There(Box::new(object), intent),
        })
    }
}

/// Nothing can be told of an object whose kind is not served.
pub(super) fn not_served(step: &Step) -> Failure {
    let message = format!("{}: its kind is not served now", step.name());
    Failure::transient("k8s.kind.not-served", message)
}

/// Whether the object is the one that was looked at before the run, and nothing of the run has reached it.
pub(super) fn is_untouched(promise: &Promise, live: &Value) -> bool {
    let Some(before) = &promise.before else { return false };
    if text(live, "/metadata/uid") != before.uid {
        return false;
    }
    if text(live, "/metadata/resourceVersion") == before.resource_version {
        return true;
    }
    if promise.deletes {
        return live.pointer("/metadata/deletionTimestamp").is_none();
    }
    promise
        .desired
        .as_deref()
        .is_some_and(|desired| labels::annotation(live, labels::DESIRED) != Some(desired))
}

/// Whether this is the object of then, and nobody has begun to delete it.
fn is_still(before: &Value, live: &Value) -> bool {
    restore::is_same(before, live) && live.pointer("/metadata/deletionTimestamp").is_none()
}

impl Undoing<'_> {
    async fn look(&self) -> Result<Option<Value>, Failure> {
        match self.executor.client.get(&self.place).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_code(404) => Ok(None),
            Err(error) => Err(failure::of_read(&self.place, error)),
        }
    }

    /// Nothing was kept: then the run did not come to its first write, or what it kept has been removed.
    async fn untouched(self) -> Result<UndoReport, Failure> {
        if self.look().await?.is_some_and(|live| is_untouched(self.promise, &live)) {
            return Ok(self.report);
        }
        Err(conflict::unkept(&self.place))
    }

    async fn restore(
        mut self,
        before: &Value,
        intent: Option<&Value>,
        written: Option<Mark>,
    ) -> Result<UndoReport, Failure> {
        let mut left = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let live = self.look().await?;
            if self.promise.replaces && !live.as_ref().is_some_and(|live| is_still(before, live)) {
                return Err(conflict::replaced(&self.place));
            }
            let Some(live) = live else {
                self.remake(before).await?;
                continue;
            };
            let is_same = restore::is_same(before, &live);
            if live.pointer("/metadata/deletionTimestamp").is_some() {
                if !self.promise.deletes {
                    return Err(conflict(&self.place, "is being deleted by somebody else"));
                }
                self.leave(text(&live, "/metadata/uid")).await?;
                continue;
            }
            if is_same && self.promise.deletes {
                // The request never arrived.
                return Ok(self.report);
            }
            let reborn = restore::comparable(before, &live);
            let sides = Sides::new(before, &reborn, intent, &live);
            match Restoration::of(sides) {
                Restoration::Settled => {
                    if !is_same {
                        self.report.notes = restore::lacks(before, &live);
                    }
                    return Ok(self.report);
                }
                _ if !is_same && !self.is_remade(&live) => {
                    return Err(conflict(&self.place, "was made anew by somebody else since"));
                }
                Restoration::Conflict(conflicts) => return Err(conflict::of_fields(&self.place, &conflicts)),
                Restoration::Patch { .. } if maker::is_written_again(before, &live, written.as_ref()) => {
                    return Err(conflict(&self.place, maker::LATER));
                }
                Restoration::Patch { patch, fields } => {
                    self.patch(&patch).await?;
                    left = fields;
                }
            }
        }
        Err(conflict::unsettled(&self.place, &left))
    }

    /// Whether it is this undo that made the object again.
    fn is_remade(&self, live: &Value) -> bool {
        self.promise.deletes && Entry::all(live).iter().any(Entry::is_half_undone)
    }

    async fn patch(&mut self, patch: &Value) -> Result<(), Failure> {
        match self.executor.client.merge(&self.place, patch).await {
            Ok(_) => {
                if self.report.change == Change::None {
                    self.report.change = Change::Update;
                }
                Ok(())
            }
            // Somebody wrote at the same moment: it is looked at anew.
            Err(error) if error.is_code(409) || error.is_code(404) => Ok(()),
            Err(error) => Err(failure::of_write(&self.place, error)),
        }
    }

    /// Makes an object again that the run deleted.
    async fn remake(&mut self, before: &Value) -> Result<(), Failure> {
        let place = &self.place;
        if !self.promise.deletes {
            return Err(conflict::gone(place));
        }
        if *place.resource.kind == *"Namespace" {
            return Err(conflict::lost(place, "what it held went with it"));
        }
        if restore::is_spent(before) {
            return Err(conflict::lost(place, "it had ended, and made again it would run again"));
        }
        let object = restore::reborn(&self.executor.reowned(self.step, place, before).await?);
        match self.executor.client.create(place, &object).await {
            Ok(_) => {
                self.report.change = Change::Create;
                Ok(())
            }
            Err(error) if error.status().is_some_and(|status| status.reason == "AlreadyExists") => Ok(()),
            Err(error) if error.status().is_some_and(|status| status.message.contains(TAKEN)) => {
                Err(conflict::taken(place))
            }
            Err(error) => Err(failure::of_write(place, error)),
        }
    }

    /// Waits until an object that is being deleted is gone.
    async fn leave(&self, uid: &str) -> Result<(), Failure> {
        self.executor.until_gone(self.step, &self.place, uid, self.cx).await.map(drop)
    }

    /// Deletes what the run made, or lets go of what it found there.
    async fn unmake(mut self, applied: Option<Mark>) -> Result<UndoReport, Failure> {
        for _ in 0..ROUNDS_MAX {
            let Some(live) = self.look().await? else { return Ok(self.report) };
            // It was there before the run, whatever was kept of it: it is never deleted.
            if self.promise.before.as_ref().is_some_and(|before| before.uid == text(&live, "/metadata/uid")) {
                return Err(conflict::unkept(&self.place));
            }
            let desired = self.promise.desired.as_deref();
            match Maker::of(&live, PlanName::of(self.step), desired, applied.as_ref()) {
                Maker::Nobody => return Ok(self.report),
                Maker::Somebody(what) => return Err(conflict(&self.place, &what)),
                Maker::Another if applied.as_ref().is_some_and(|applied| applied.claim.forced) => {
                    return Err(conflict(&self.place, conflict::FORCED));
                }
                Maker::Another => self.release(&live).await?,
                Maker::Run => return self.delete(&live, applied.as_ref()).await,
            }
            if self.report.change != Change::None {
                return Ok(self.report);
            }
        }
        Err(conflict::unsettled(&self.place, &[]))
    }

    async fn delete(mut self, live: &Value, applied: Option<&Mark>) -> Result<UndoReport, Failure> {
        let (place, uid) = (&self.place, text(live, "/metadata/uid"));
        let foreign = conflict::since(live, applied);
        if !foreign.is_empty() {
            return Err(conflict::of_fields(place, &foreign));
        }
        if let Some(annotation) = labels::keep(live) {
            return Err(conflict::held(place, annotation));
        }
        if live.pointer("/metadata/deletionTimestamp").is_none() {
            let added = controllers::content(live);
            if !added.is_empty() {
                return Err(conflict::shared(place, &added));
            }
            let strangers = self.executor.inside(self.step, place, live).await?;
            if !strangers.is_empty() {
                return Err(conflict::occupied(place, strangers));
            }
            match self.executor.client.delete(place, uid).await {
                Ok(()) => {}
                Err(error) if error.is_code(404) => {}
                Err(error) if error.is_code(409) => self.executor.after_conflict(place, uid).await?,
                Err(error) => return Err(failure::of_write(place, error)),
            }
        }
        self.leave(uid).await?;
        self.report.change = Change::Delete;
        Ok(self.report)
    }

    /// Gives up every field of this very state of an object that somebody else made; what only eve had set goes.
    async fn release(&mut self, live: &Value) -> Result<(), Failure> {
        let place = &self.place;
        let of = |pointer: &str| live.pointer(pointer).cloned().unwrap_or_default();
        // Without them an object that is gone by then would be made anew, with nothing in it.
        let mut metadata = json!({
            "name": place.name.as_str(), "uid": of("/metadata/uid"), "resourceVersion": of("/metadata/resourceVersion"),
        });
        if let (Some(namespace), Some(fields)) = (&place.namespace, metadata.as_object_mut()) {
            fields.insert("namespace".to_owned(), namespace.as_str().into());
        }
        let (api_version, kind) = (place.resource.api_version(), &*place.resource.kind);
        let nothing = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
        let live = match self.executor.client.apply(place, &nothing, Conflicts::Refuse, Effect::Stored).await
        {
            Ok((live, _)) => live,
            // Somebody wrote at the same moment, or it is gone: it is looked at anew.
            Err(error) if error.is_code(409) || error.is_code(404) => return Ok(()),
            Err(error) => return Err(failure::of_write(place, error)),
        };
        if owned::is_applied(&live) {
            return Err(conflict::unsettled(place, &[]));
        }
        self.report.change = Change::Update;
        self.report.notes.push(
            "somebody else had made it while the run went on: it stays, without what eve added".to_owned(),
        );
        Ok(())
    }
}
