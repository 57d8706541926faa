//! [`KubeExecutor`]: carries out components of kind `object`, one phase a file.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::plan::problem::SpecProblem;
use eve_core::plan::{Action, Until};
use eve_core::ports::{Context, Executor, Step, Verify};
use eve_core::run::{Applied, Change, Outputs, Prepared, UndoReport, UndoToken};
use serde_json::Value;

use crate::client::{KubeClient, Location};
use crate::discovery::{Kinds, Scope, UnknownKind};
use crate::live::Live;
use crate::object;
use crate::path::PathSegment;
use crate::preflight::ScopePolicy;
use crate::reasons::Graces;
use crate::survey::Surveys;

mod apply;
mod blocked;
mod claims;
mod compare;
mod conflict;
mod delete;
mod explain;
mod failure;
mod inside;
mod intent;
mod keep;
mod leaving;
mod leftover;
mod maker;
mod namespace;
mod occupied;
mod owner;
mod owners;
mod pods;
mod prepare;
mod promise;
mod publish;
mod put;
mod read;
mod refused;
mod replace;
mod sight;
mod terminating;
mod undo;
mod verify;
mod wait;

pub use compare::Difference;
pub use delete::KEPT;
pub use explain::Explanation;
pub use leaving::Followed;
pub use owner::TakeOver;
pub use put::TAKEN_OVER;
pub use wait::NO_STATUS;

/// Makes Kubernetes objects so: server-side apply, then a wait until they are ready.
///
/// Kind `object`, spec `{"object": …, "forceConflicts": bool?, "replace": "never" | "ifNeeded"?}`. Retries nothing; see
/// [`Executor`] for the contract.
/// One executor may serve many runs at once; must be used inside a tokio runtime.
///
/// A component that is deleted is removed in the foreground, if it carries the label of its plan, was not there before
/// eve, and no annotation keeps it; see [`KEPT`]. A Namespace or definition stays while it holds what stays or is none of
/// the plan's, or may not be listed. A component that is only read is never written. What belongs to another
/// plan is refused with `k8s.object.other-plan`, unless it is to be taken over. Jobs that changed or failed are replaced.
/// What `kubectl apply` owns of an object of the plan is taken over, and told as [`TAKEN_OVER`].
///
/// **Rights**: `get`, `patch` and `create` on what the plan holds. With `list` and `watch` on the same, waits share one
/// watch a kind and namespace; without, each waiting object is read every 2 s, and the watch is asked for again at least
/// every 10 s, for the plan itself may grant it. With `list` and `watch` on pods and
/// replica sets, doomed pods end a wait early; without, only the workload's own status and the deadline do. `get` on
/// pods and their logs and `list` on events give a failure its evidence; `get` on storage classes tells at once that a
/// claim waits for its first consumer. `delete` on Jobs, and on what else may be replaced. Where the run may be rolled
/// back: `create` and `get` on Secrets of the plan's namespace, `list` and `deletecollection` to remove old ones, and
/// `delete` on what the plan makes.
pub struct KubeExecutor {
    client: KubeClient,
    kinds: RwLock<Kinds>,
    refreshing: tokio::sync::Mutex<()>,
    policy: ScopePolicy,
    graces: Graces,
    live: Live,
    surveys: Surveys,
    /// Of the looks before a run is said to have succeeded: what tells whether somebody wrote since, and the rest of it.
    states: Surveys,
    fresh: Surveys,
    /// Of the looks before a run is said to be rolled back.
    whole: Surveys,
    adopted: Adopted,
    take_over: Vec<TakeOver>,
    census: blocked::Census,
}

/// What is done with objects that were there before eve, where a plan says that they are to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adopted {
    /// They stay.
    #[default]
    Keep,
    /// They are deleted as those that eve made.
    Delete,
}

impl fmt::Debug for KubeExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeExecutor").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Options of a [`KubeExecutor`].
#[derive(Clone, Debug)]
pub struct KubeExecutorBuilder {
    client: KubeClient,
    kinds: Kinds,
    policy: ScopePolicy,
    graces: Graces,
    adopted: Adopted,
    take_over: Vec<TakeOver>,
}

impl KubeExecutorBuilder {
    /// The kinds that the API server serves, where they were asked for already; else they are when first needed.
    #[must_use]
    pub fn with_kinds(mut self, kinds: Kinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// What plans may touch outside their namespace. By default nothing.
    #[must_use]
    pub fn with_policy(mut self, policy: ScopePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long each cause that keeps pods down is borne. By default [`Graces::default`].
    #[must_use]
    pub fn with_graces(mut self, graces: Graces) -> Self {
        self.graces = graces;
        self
    }

    /// What deleting does with objects that were there before eve. By default they stay.
    #[must_use]
    pub fn with_adopted(mut self, adopted: Adopted) -> Self {
        self.adopted = adopted;
        self
    }

    /// What is written although it belongs to another plan, and belongs to the run's plan then. By default nothing.
    #[must_use]
    pub fn with_take_over(mut self, take_over: Vec<TakeOver>) -> Self {
        self.take_over = take_over;
        self
    }

    /// The executor.
    pub fn build(self) -> KubeExecutor {
        KubeExecutor {
            live: Live::new(self.client.clone()),
            surveys: Surveys::new(self.client.clone()).seeing_left_over(),
            states: Surveys::new(self.client.clone()).of_states(),
            fresh: Surveys::new(self.client.clone()),
            whole: Surveys::new(self.client.clone()).whole(),
            client: self.client,
            kinds: RwLock::new(self.kinds),
            refreshing: tokio::sync::Mutex::new(()),
            policy: self.policy,
            graces: self.graces,
            adopted: self.adopted,
            take_over: self.take_over,
            census: blocked::Census::default(),
        }
    }
}

impl KubeExecutor {
    /// An executor that sends its requests through this client.
    pub fn builder(client: KubeClient) -> KubeExecutorBuilder {
        KubeExecutorBuilder {
            client,
            kinds: Kinds::default(),
            policy: ScopePolicy::default(),
            graces: Graces::default(),
            adopted: Adopted::default(),
            take_over: Vec::new(),
        }
    }
}

/// The object of a step, and where it goes.
struct Target<'a> {
    place: Location,
    object: &'a Value,
    /// An autoscaler of the plan says how many replicas it has.
    is_scaled: bool,
}

/// What a step's object stands for, as far as the kinds are known.
enum Located<'a> {
    Known(Target<'a>),
    Unknown(UnknownKind),
}

impl KubeExecutor {
    /// What the step's object stands for, where its kind has to be known by now.
    async fn known<'a>(&self, step: &'a Step) -> Result<Target<'a>, Failure> {
        match self.locate(step, Missing::Ask).await? {
            Located::Known(target) => Ok(target),
            Located::Unknown(unknown) => {
                let failure = Failure::permanent("k8s.kind.unknown", unknown.message);
                Err(unknown.hint.into_iter().fold(failure, Failure::with_hint))
            }
        }
    }

    fn kinds(&self) -> Kinds {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the API server what it serves, and keeps what was learned from definitions before. Of many that ask at
    /// once because of the same `stale` kinds, one does.
    async fn refresh_kinds(&self, stale: &Kinds) -> Result<Refreshed, Failure> {
        let _turn = self.refreshing.lock().await;
        if !self.kinds().is_same(stale) {
            return Ok(Refreshed::ByOthers);
        }
        let fresh = self.client.discover().await.map_err(Failure::from)?;
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        *kinds = fresh.merged(&kinds);
        Ok(Refreshed::Now)
    }

    /// Remembers the kinds that an applied definition defines, so that they need not be asked for.
    fn learn(&self, applied: &Value) {
        self.kinds.write().unwrap_or_else(PoisonError::into_inner).learn(applied);
    }

    /// The place of the step's object: asks for the kinds where they are not known, and checks the namespace wall.
    async fn locate<'a>(&self, step: &'a Step, missing: Missing) -> Result<Located<'a>, Failure> {
        let (object, identity) = object::identify(step.spec()).map_err(|problems| {
            let texts: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            Failure::misuse("k8s.object.malformed", texts.join("; "))
        })?;
        let mut kinds = self.kinds();
        let mut found = kinds.find(identity.api_version, identity.kind);
        while found.is_err() && (missing == Missing::Ask || kinds.is_empty()) {
            let refreshed = self.refresh_kinds(&kinds).await?;
            kinds = self.kinds();
            found = kinds.find(identity.api_version, identity.kind);
            if refreshed == Refreshed::Now {
                break;
            }
        }
        let resource = match found {
            Ok(resource) => resource,
            Err(unknown) => return Ok(Located::Unknown(unknown)),
        };
        self.policy.allows(step.namespace(), &resource, &identity).map_err(|refusal| {
            let message = refusal.message.clone();
            Failure::permanent(refusal.code, message).with_hint(refusal.hint)
        })?;
        let bad_name = |error| Failure::from(crate::error::ApiError::Path(error));
        let namespace = match resource.scope {
            Scope::Cluster => None,
            Scope::Namespaced => {
                let namespace = identity.namespace.unwrap_or(step.namespace());
                Some(PathSegment::namespace(namespace).map_err(bad_name)?)
            }
        };
        let name = PathSegment::name(identity.name).map_err(bad_name)?;
        let place = Location { resource, namespace, name };
        let has_count = || object::at(object, "/spec/replicas").is_some();
        let is_scaled = has_count() && self.surveys.is_scaled(step.graph(), &place);
        Ok(Located::Known(Target { place, object, is_scaled }))
    }
}

/// Whether this call asked the API server, or found that the kinds had changed while it waited for its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refreshed {
    Now,
    ByOthers,
}

/// What to do where a kind is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It may still come.
    Accept,
    /// The API server is asked again.
    Ask,
}

#[async_trait]
impl Executor for KubeExecutor {
    fn check(&self, spec: &Value) -> Vec<SpecProblem> {
        object::identify(spec).err().unwrap_or_default()
    }

    async fn prepare(&self, step: &Step, cx: &Context) -> Result<Prepared, Failure> {
        let _ = cx;
        let mut prepared = match step.action() {
            Action::Delete => self.look_before_delete(step).await,
            // Whatever it is: it is only waited for.
            Action::Read => Ok(Prepared::new(Change::None)),
            Action::Apply | Action::None => self.look_or_refuse(step).await,
        }?;
        self.promise(step, &mut prepared).await?;
        self.surveys.found(step.graph(), step.component(), step.action(), prepared.change);
        Ok(prepared)
    }

    async fn apply(&self, step: &Step, prepared: &Prepared, cx: &Context) -> Result<Applied, Failure> {
        self.forget_looks(step);
        self.surveys.writes(step.graph());
        match step.action() {
            Action::Delete => self.delete(step, prepared, cx).await,
            Action::Apply | Action::Read | Action::None => self.write(step, prepared, cx).await,
        }
    }

    async fn undo<'a>(
        &self,
        step: &Step,
        token: &UndoToken,
        applied: Option<&'a Applied>,
        cx: &Context,
    ) -> Result<UndoReport, Failure> {
        self.surveys.writes(step.graph());
        self.put_back(step, token, applied, cx).await
    }

    async fn verify<'a>(&self, step: &Step, of: Verify<'a>, cx: &Context) -> Result<(), Failure> {
        let _ = cx;
        self.look_again(step, of).await
    }

    async fn wait(
        &self,
        step: &Step,
        applied: &Applied,
        until: Until,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        match step.action() {
            Action::Delete => self.wait_until_gone(step, applied, until, cx).await,
            Action::Read => {
                self.wait_until_there(step, cx).await?;
                self.watch(step, applied, until, cx).await
            }
            Action::Apply | Action::None => {
                let outputs = self.watch(step, applied, until, cx).await?;
                if until == Until::Ready
                    && step.spec().get(object::OBJECT).is_some_and(prepare::is_definition)
                {
                    self.surveys.settle(step.graph(), step.component());
                }
                let mark = prepare::Mark::read(applied.token.as_deref());
                Ok(match mark.and_then(|mark| mark.taken) {
                    Some(taken) => outputs.with(TAKEN_OVER, taken),
                    None => outputs,
                })
            }
        }
    }
}
