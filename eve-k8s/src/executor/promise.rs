//! What `prepare` promises to put back: the undo token of an object. Holds no value of the object.

use eve_core::failure::Failure;
use eve_core::plan::Action;
use eve_core::ports::Step;
use eve_core::run::{Change, Prepared, UndoToken};
use serde::{Deserialize, Serialize};

use super::{KubeExecutor, Located, Missing, blocked, failure};
use crate::client::{Collection, Location};
use crate::discovery::{Resource, Scope};
use crate::object::{self, Identity};
use crate::path::PathSegment;
use crate::readiness::text;
use crate::snapshot::{self, SealKey};

/// What undo needs to know of an object; well under 1 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Promise {
    pub(super) api_version: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    /// What was there when it was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Before>,
    /// The digest of what is written; none for Secrets and for what is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) desired: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) deletes: bool,
    /// It is deleted, and another one made in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) replaces: bool,
}

/// An object that was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Before {
    pub(super) uid: String,
    #[serde(default)]
    pub(super) resource_version: String,
    /// The Secret in the plan's namespace that keeps it; see [`snapshot`].
    pub(super) snapshot: String,
    /// What tells that the run has written that Secret.
    #[serde(default)]
    pub(super) key: SealKey,
}

impl Promise {
    /// What was promised; the token is of this executor, or of nobody.
    pub(super) fn read(token: &UndoToken) -> Result<Self, Failure> {
        Self::deserialize(token.value()).map_err(|_| {
            Failure::permanent("k8s.undo.token", "what was kept to undo it cannot be read")
                .with_hint("was it written by a newer eve?")
        })
    }

    fn of(step: &Step, place: &Location, prepared: &Prepared, key: SealKey) -> Self {
        // What was going anyway is not put back: before the run there was nothing that stays.
        let is_gone = prepared.change == Change::Replace && blocked::is_namespace(place);
        let uid = if is_gone { "" } else { uid(prepared) };
        let known =
            |pointer: &str| prepared.token.as_deref().map_or("", |token| text(token, pointer)).to_owned();
        Self {
            api_version: place.resource.api_version(),
            kind: place.resource.kind.to_string(),
            namespace: place.namespace.as_ref().map(|namespace| namespace.as_str().to_owned()),
            name: place.name.as_str().to_owned(),
            before: (!uid.is_empty()).then(|| Before {
                uid: uid.to_owned(),
                resource_version: known("/resourceVersion"),
                snapshot: snapshot::name(step.run(), place),
                key,
            }),
            desired: prepared.desired.as_deref().map(str::to_owned),
            deletes: step.action() == Action::Delete,
            replaces: prepared.change == Change::Replace && !is_gone,
        }
    }

    fn token(&self) -> Option<UndoToken> {
        serde_json::to_value(self).ok().map(UndoToken::new)
    }
}

fn uid(prepared: &Prepared) -> &str {
    prepared.token.as_deref().map_or("", |token| text(token, "/uid"))
}

/// Whether nothing is known of what is there.
fn is_blind(prepared: &Prepared) -> bool {
    prepared.change == Change::Unknown && uid(prepared).is_empty()
}

/// How the object that was found has to be kept before it is written, if it has to.
pub(super) fn to_be_kept(prepared: &Prepared) -> Option<Before> {
    prepared.undo.as_ref().and_then(|token| Promise::read(token).ok())?.before
}

impl KubeExecutor {
    /// Adds the undo token to what was found, where something would be written that may be undone. What could not be kept
    /// is refused here, before the first write.
    pub(super) async fn promise(&self, step: &Step, prepared: &mut Prepared) -> Result<(), Failure> {
        if !step.may_be_undone() || prepared.change == Change::None {
            return Ok(());
        }
        if is_blind(prepared) {
            prepared.undo = self.promise_unseen(step).await?;
            return Ok(());
        }
        let Located::Known(target) = self.locate(step, Missing::Accept).await? else { return Ok(()) };
        let keeping = self.surveys.keeping(step.graph());
        let key = keeping.key.get_or_try_init(async || SealKey::random()).await.map_err(|error| {
            let message = format!("{}: there is no random number for a seal: {error}", target.place);
            Failure::permanent("k8s.undo.seal", message)
        })?;
        let promise = Promise::of(step, &target.place, prepared, key.clone());
        if promise.before.is_some() {
            self.has_home(step, &target.place).await?;
            keeping.rights.get_or_init(|| self.may_keep(step)).await.clone()?;
        }
        prepared.undo = promise.token();
        Ok(())
    }

    /// What applying would change; of a kind that is not known although it was served when the run began, with the kinds of
    /// then.
    pub(super) async fn look_informed(&self, step: &Step) -> Result<Prepared, Failure> {
        let prepared = self.look(step).await?;
        if !step.may_be_undone() || !is_blind(&prepared) || !self.was_served(step).await? {
            return Ok(prepared);
        }
        self.look(step).await
    }

    /// The token of an object that nothing is known of: of a kind that was not served when the run began there was none.
    async fn promise_unseen(&self, step: &Step) -> Result<Option<UndoToken>, Failure> {
        let Ok((_, identity)) = object::identify(step.spec()) else { return Ok(None) };
        if self.was_served(step).await? {
            return Ok(None);
        }
        let promise = Promise {
            api_version: identity.api_version.to_owned(),
            kind: identity.kind.to_owned(),
            namespace: identity.namespace.map(str::to_owned),
            name: identity.name.to_owned(),
            before: None,
            desired: None,
            deletes: false,
            replaces: false,
        };
        Ok(promise.token())
    }

    /// Whether the kind of the step's object was served, or may have been, when that was first asked in the run.
    async fn was_served(&self, step: &Step) -> Result<bool, Failure> {
        let Ok((_, identity)) = object::identify(step.spec()) else { return Ok(true) };
        let keeping = self.surveys.keeping(step.graph());
        let ask = async || {
            self.refresh_kinds(&self.kinds()).await?;
            Ok::<_, Failure>(self.kinds())
        };
        let kinds = keeping.kinds.get_or_try_init(ask).await?;
        Ok(kinds.may_have(identity.api_version, identity.kind))
    }

    /// An object outside of the plan's namespace is kept in it all the same: it has to be there.
    async fn has_home(&self, step: &Step, place: &Location) -> Result<(), Failure> {
        let own = step.namespace();
        if place.namespace.as_ref().is_some_and(|namespace| namespace.as_str() == own) {
            return Ok(());
        }
        if self.client.has_namespace(own).await.map_err(Failure::from)? != Some(false) {
            return Ok(());
        }
        let message =
            format!("{place}: how it is now cannot be kept for a rollback: there is no namespace `{own}`");
        Err(Failure::permanent("k8s.undo.no-home", message)
            .with_hint("make the namespace first, or say `undo: never` for this component"))
    }

    /// Whether snapshots may be written and read, asked once a run.
    async fn may_keep(&self, step: &Step) -> Result<(), Failure> {
        let collection = snapshots(step)?;
        for verb in ["create", "get"] {
            match self.client.may(&collection, verb).await {
                Ok(false) => return Err(unkept(step, verb)),
                Ok(true) => {}
                // Where that cannot be asked, the write tells.
                Err(error) => tracing::debug!(%error, "whether snapshots may be kept is not known"),
            }
        }
        Ok(())
    }

    /// The place of a promised object; `None` where its kind is not served.
    pub(super) async fn promised_place(
        &self,
        step: &Step,
        promise: &Promise,
    ) -> Result<Option<Location>, Failure> {
        let find = || self.kinds().find(&promise.api_version, &promise.kind);
        let mut found = find();
        if found.is_err() {
            let kinds = self.kinds();
            self.refresh_kinds(&kinds).await?;
            found = find();
        }
        let Ok(resource) = found else { return Ok(None) };
        let (api_version, kind) = (promise.api_version.as_str(), promise.kind.as_str());
        let (name, namespace) = (promise.name.as_str(), promise.namespace.as_deref());
        self.policy
            .allows(step.namespace(), &resource, &Identity { api_version, kind, name, namespace })
            .map_err(|refusal| Failure::permanent(refusal.code, refusal.message).with_hint(refusal.hint))?;
        let bad_name = |error| Failure::from(crate::error::ApiError::Path(error));
        let namespace = match resource.scope {
            Scope::Cluster => None,
            Scope::Namespaced => {
                Some(PathSegment::namespace(namespace.unwrap_or(step.namespace())).map_err(bad_name)?)
            }
        };
        Ok(Some(Location { resource, namespace, name: PathSegment::name(name).map_err(bad_name)? }))
    }
}

/// Where the snapshots of a plan are.
pub(super) fn snapshots(step: &Step) -> Result<Collection, Failure> {
    let bad_name = |error| Failure::from(crate::error::ApiError::Path(error));
    let namespace = Some(PathSegment::namespace(step.namespace()).map_err(bad_name)?);
    let resource = Resource::secrets().map_err(bad_name)?.into();
    Ok(Collection { resource, namespace, label: None })
}

/// The place of a snapshot.
pub(super) fn snapshot_place(step: &Step, name: &str) -> Result<Location, Failure> {
    let Collection { resource, namespace, .. } = snapshots(step)?;
    let name = PathSegment::name(name).map_err(|error| Failure::from(crate::error::ApiError::Path(error)))?;
    Ok(Location { resource, namespace, name })
}

/// The user may not keep snapshots.
fn unkept(step: &Step, verb: &str) -> Failure {
    let namespace = step.namespace();
    let message = format!(
        "how things are cannot be kept for a rollback: to {verb} Secrets in the namespace `{namespace}` is not allowed"
    );
    Failure::permanent("k8s.undo.forbidden", message)
        .with_hint("ask for `create`, `get`, `list` and `deletecollection` on Secrets there, or choose another `onFailure`")
}

/// Reading a snapshot failed.
pub(super) fn unread(place: &Location, error: crate::error::ApiError) -> Failure {
    failure::of_read(place, error)
}

#[cfg(test)]
mod tests {
    use eve_core::run::TOKEN_BYTES_MAX;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_names_fit_into_a_token() {
        let long = |bytes: usize| "x".repeat(bytes);
        let promise = Promise {
            api_version: format!("{}/{}", long(253), long(63)),
            kind: long(63),
            namespace: Some(long(63)),
            name: long(253),
            before: Some(Before {
                uid: long(36),
                resource_version: long(20),
                snapshot: long(45),
                key: SealKey::random().unwrap(),
            }),
            desired: Some(long(34)),
            deletes: true,
            replaces: true,
        };
        let token = promise.token().unwrap();
        assert!(token.value().to_string().len() <= TOKEN_BYTES_MAX, "{}", token.value());
        assert_eq!(Promise::read(&token).ok(), Some(promise));
        let strange = Promise::read(&UndoToken::new(json!({ "by": "somebody" }))).unwrap_err();
        assert_eq!(strange.code, "k8s.undo.token");
    }
}
