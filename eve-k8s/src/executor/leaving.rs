//! Namespaces that are being deleted when a run begins: nothing can be made in them any more. Reads only.
//!
//! One that the plan makes is waited for and made anew, and what the plan has in it is looked at after that. Any other is
//! refused before the first write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use eve_core::failure::{Cause, Failure};
use eve_core::ids::{Attempt, RunId};
use eve_core::plan::Action;
use eve_core::plan::graph::Graph;
use eve_core::ports::Step;
use futures::StreamExt as _;
use serde_json::Value;

use super::blocked::{self, Blocked};
use super::{KubeExecutor, Located, Missing};
use crate::client::{Location, Namespace};
use crate::error::ApiError;
use crate::live::Live;
use crate::object;
use crate::path::PathSegment;
use crate::readiness::text;
use crate::survey::{MadeAnew, lock};

/// The code of what is said of a namespace that is being deleted.
pub(super) const TERMINATING: &str = "k8s.namespace.terminating";
/// How many components are looked at at once; lists are shared, so that this bounds nothing but memory.
const LOOKS: usize = 64;
const REFUSED: &str = "wait until it is gone and make it anew, or deploy to another one";

/// What comes after what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The run of the same graph, which waits for what was read.
    ByRun,
    /// Nothing: no watch is opened.
    ByNothing,
}

impl KubeExecutor {
    /// The namespaces of the graph's plan that are being deleted and that it makes itself, with what keeps them: the run
    /// waits until they are gone.
    ///
    /// Read is only a namespace that lacks something of the plan, or holds something of it that is being deleted; where
    /// that is forbidden, it is taken to stay. Cancel safe.
    ///
    /// # Errors
    /// `k8s.namespace.terminating`: all those that it does not make, with what keeps them. A namespace cannot be read.
    pub async fn leaving_namespaces(
        &self,
        graph: &Arc<Graph>,
        followed: Followed,
    ) -> Result<Vec<Cause>, Failure> {
        let live = (followed == Followed::ByRun).then_some(&self.live);
        let places = self.places(graph, |_| true).await;
        let made: BTreeSet<&PathSegment> =
            places.iter().filter(|place| blocked::is_namespace(place)).map(|place| &place.name).collect();
        let mut refused: Option<Failure> = None;
        for name in self.suspects(graph, &places, live).await {
            if made.contains(&name) {
                continue;
            }
            let Namespace::There(object) = self.namespace_now(graph, &name).await? else { continue };
            if is_leaving(&object) {
                let failure = self.refusal(&name, &object).await?;
                refused = Some(refused.map_or(failure.clone(), |all| also(all, &failure)));
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let mut awaited = Vec::new();
        let leaving = lock(&*self.made_anew(graph, live).await).clone();
        for (name, object) in leaving {
            let keeps = self.keeps(&PathSegment::namespace(&name).map_err(ApiError::from)?, &object).await?;
            awaited.push(Cause::new(TERMINATING, told(&name, &object, &keeps)));
        }
        Ok(awaited)
    }

    async fn refusal(&self, name: &PathSegment, object: &Value) -> Result<Failure, ApiError> {
        let keeps = self.keeps(name, object).await?;
        let failure = Failure::permanent(TERMINATING, told(name.as_str(), object, &keeps)).with_hint(REFUSED);
        Ok(keeps.notes.iter().cloned().chain(keeps.hint()).fold(failure, Failure::with_note))
    }

    async fn keeps(&self, name: &PathSegment, object: &Value) -> Result<Blocked, ApiError> {
        Ok(self.blocked(&Location::of_namespace(name.clone())?, object).await)
    }

    /// The namespaces in which something of the plan is not there, or is being deleted.
    async fn suspects(
        &self,
        graph: &Arc<Graph>,
        places: &[Location],
        live: Option<&Live>,
    ) -> BTreeSet<PathSegment> {
        let inside = places.iter().filter_map(|place| Some((place.clone(), place.namespace.clone()?)));
        let inside: Vec<(Location, PathSegment)> = inside.collect();
        let looks = inside.into_iter().map(async |(place, namespace)| {
            let stays = self.surveys.peek(graph, &place, live, |object| !is_leaving(object)).await;
            (stays != Some(true)).then_some(namespace)
        });
        futures::stream::iter(looks).buffered(LOOKS).filter_map(std::future::ready).collect().await
    }

    /// Whether the run of this graph makes this namespace anew, and has not done so yet.
    pub(super) async fn is_made_anew(
        &self,
        graph: &Arc<Graph>,
        namespace: Option<&PathSegment>,
        live: Option<&Live>,
    ) -> bool {
        let Some(namespace) = namespace else { return false };
        lock(&*self.made_anew(graph, live).await).contains_key(namespace.as_str())
    }

    /// The namespaces that the plan makes and that were being deleted when the run began, until they are made anew.
    async fn made_anew(&self, graph: &Arc<Graph>, live: Option<&Live>) -> Arc<MadeAnew> {
        let known = self.surveys.leaving(graph);
        let look = async || {
            let mut leaving = BTreeMap::new();
            let is_named = |object: &Value| text(object, "/kind") == "Namespace";
            for place in self.places(graph, is_named).await.into_iter().filter(blocked::is_namespace) {
                let found = |object: &Value| is_leaving(object).then(|| object.clone());
                if let Some(object) = self.surveys.peek(graph, &place, live, found).await.flatten() {
                    leaving.insert(place.name.as_str().into(), object);
                }
            }
            Arc::new(Mutex::new(leaving))
        };
        Arc::clone(known.made.get_or_init(look).await)
    }

    /// Where the plan applies objects that are wanted, as far as that is known and allowed.
    async fn places(&self, graph: &Arc<Graph>, is_wanted: fn(&Value) -> bool) -> Vec<Location> {
        let mut places = Vec::new();
        for id in graph.ids().filter(|id| graph.node(*id).action() == Action::Apply) {
            if !graph.node(id).spec().get(object::OBJECT).is_some_and(is_wanted) {
                continue;
            }
            let step = Step::new(RunId::new("namespaces"), Arc::clone(graph), id, Attempt::FIRST);
            if let Ok(Located::Known(target)) = self.locate(&step, Missing::Accept).await {
                places.push(target.place);
            }
        }
        places
    }
}

/// Whether an object is being deleted.
pub(super) fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

fn told(name: &str, object: &Value, keeps: &Blocked) -> String {
    let since = text(object, "/metadata/deletionTimestamp");
    let why = keeps.known().map(|why| format!(": {why}")).unwrap_or_default();
    format!("the namespace `{name}` is being deleted since {since}{why}")
}

/// Two refusals as one.
fn also(all: Failure, more: &Failure) -> Failure {
    let all = all.with_note(more.message.clone());
    more.notes.iter().cloned().fold(all, Failure::with_note)
}
