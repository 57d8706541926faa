//! Whose an object is: what belongs to another plan is left alone, unless it is to be taken over.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use eve_core::failure::Failure;
use eve_core::ids::{Attempt, RunId};
use eve_core::plan::Action;
use eve_core::plan::graph::Graph;
use eve_core::plan::problem::PlanProblem;
use eve_core::ports::Step;
use futures::StreamExt as _;
use serde_json::{Map, Value};

use super::intent::Intent;
use super::prepare::{Mark, conflicts};
use super::put::Put;
use super::{KubeExecutor, Located, Missing, Target, failure};
use crate::client::{Conflicts, Effect, Ensured, Location};
use crate::error::ApiError;
use crate::labels::{self, PlanName};
use crate::pattern::{BadObjectPattern, ObjectPattern};
use crate::readiness::text;

/// The code of the failure of a component whose object belongs to another plan.
const OTHER_PLAN: &str = "k8s.object.other-plan";
/// How many components are looked at at once before a run; lists are shared, so that this bounds nothing but memory.
const LOOKS: usize = 64;
/// What of the metadata makes a write one of that version alone.
const VERSION: &str = "resourceVersion";
/// A resource version that no object has: it makes a write fail where the object is there already.
const NEVER: &str = "1";

/// What a plan takes over that belongs to another plan: one object, or with `*` everything that it holds.
///
/// ```
/// use eve_k8s::TakeOver;
/// for text in ["*", "configmap/settings", "deploy/shop/web"] {
///     assert_eq!(text.parse::<TakeOver>().unwrap().to_string(), text);
/// }
/// assert!("settings".parse::<TakeOver>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Everything.
    All,
    /// The objects that this names.
    Object(ObjectPattern),
}

impl TakeOver {
    /// Whether the object in this spec of kind `object` is meant; `namespace` is that of the plan.
    pub fn matches(&self, spec: &Value, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Object(pattern) => pattern.matches(spec, namespace),
        }
    }
}

impl FromStr for TakeOver {
    type Err = BadObjectPattern;

    fn from_str(text: &str) -> Result<Self, BadObjectPattern> {
        if text == "*" { Ok(Self::All) } else { text.parse().map(Self::Object) }
    }
}

impl fmt::Display for TakeOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Object(pattern) => pattern.fmt(f),
        }
    }
}

/// What became of the first write of an object.
pub(super) struct Sent {
    pub(super) written: Value,
    pub(super) ensured: Ensured,
    /// Somebody had made it since it was looked for, and fields of it were taken over by force.
    pub(super) is_forced: bool,
    /// Which fields were taken over from `kubectl apply`, for people.
    pub(super) taken: Option<String>,
}

impl KubeExecutor {
    /// Every object of the graph that belongs to another plan and is not to be taken over, in plan order. What is read for
    /// it serves the run of the same graph; what cannot be listed is not told here, but when it is prepared. Cancel safe.
    pub async fn of_other_plans(&self, graph: &Arc<Graph>) -> Vec<PlanProblem> {
        let applied = graph.ids().filter(|id| graph.node(*id).action() == Action::Apply);
        let looks = applied.map(async |id| {
            let step = Step::new(RunId::new("owners"), Arc::clone(graph), id, Attempt::FIRST);
            let Ok(Located::Known(target)) = self.locate(&step, Missing::Accept).await else { return None };
            let is_other = |live: &Value| self.is_of_other(&step, &target.place, live).err();
            let failure =
                self.surveys.peek(graph, &target.place, Some(&self.live), is_other).await.flatten()?;
            Some(PlanProblem {
                code: failure.code.into_owned().into(),
                component: Some(step.name().to_owned()),
                pointer: "/object/metadata/name".to_owned(),
                message: failure.message,
                hint: failure.hint,
                cycle: Vec::new(),
            })
        });
        futures::stream::iter(looks).buffered(LOOKS).filter_map(std::future::ready).collect().await
    }

    /// Refuses a live object that belongs to another plan and is not to be taken over.
    pub(super) fn is_of_other(&self, step: &Step, place: &Location, live: &Value) -> Result<(), Failure> {
        let Some(owner) = PlanName::of(step).other(live) else { return Ok(()) };
        if self.take_over.iter().any(|taken| taken.matches(step.spec(), step.namespace())) {
            return Ok(());
        }
        Err(of_other(place, &owner))
    }

    /// The first write of an object. Where it was not there when it was looked for, it must not be there now either: what
    /// another plan made meanwhile is not overwritten. `before` is what was found.
    pub(super) async fn send_first(
        &self,
        step: &Step,
        target: &Target<'_>,
        intent: &mut Intent,
        before: Option<&Mark>,
    ) -> Result<Sent, Failure> {
        let place = &target.place;
        let mut is_forced = false;
        if before.is_none() {
            match self.make(step, target, intent).await {
                Ok((written, ensured)) => return Ok(Sent { written, ensured, is_forced, taken: None }),
                Err(error) if is_there_already(&error) => match self.client.get(place).await {
                    Ok(live) => self.is_of_other(step, place, &live)?,
                    Err(error) if error.is_code(404) => {}
                    Err(error) => return Err(failure::of_read(place, error)),
                },
                Err(error) => return Err(failure::of_write(place, error)),
            }
            if conflicts(step) == Conflicts::Force {
                // Whether there is anything to take by force decides whether it can be given back.
                match self.client.apply(place, &intent.object, Conflicts::Refuse, Effect::Stored).await {
                    Ok((written, ensured)) => return Ok(Sent { written, ensured, is_forced, taken: None }),
                    Err(error) if error.is_code(409) => is_forced = true,
                    Err(error) => return Err(failure::of_write(place, error)),
                }
            }
        }
        let put = self.put(step, target, intent, Effect::Stored).await;
        let Put { object, ensured, taken } = put.map_err(|error| failure::of_write(place, error))?;
        Ok(Sent { written: object, ensured, is_forced, taken })
    }

    async fn make(
        &self,
        step: &Step,
        target: &Target<'_>,
        intent: &mut Intent,
    ) -> Result<(Value, Ensured), ApiError> {
        let metadata = |object: &mut Value, change: fn(&mut Map<String, Value>)| {
            object.get_mut("metadata").and_then(Value::as_object_mut).map(change);
        };
        metadata(&mut intent.object, |fields| drop(fields.insert(VERSION.to_owned(), NEVER.into())));
        let made = self.client.apply(&target.place, &intent.object, conflicts(step), Effect::Stored).await;
        metadata(&mut intent.object, |fields| drop(fields.remove(VERSION)));
        made
    }

    /// Why the feed of a plan lost an object that is there still; `None` where it is not.
    pub(super) async fn lost(
        &self,
        place: &Location,
        uid: &str,
        plan: PlanName<'_>,
    ) -> Result<Option<Failure>, Failure> {
        let live = match self.client.get(place).await {
            Ok(live) if text(&live, "/metadata/uid") == uid => live,
            Ok(_) => return Ok(None),
            Err(error) if error.is_code(404) => return Ok(None),
            Err(error) => return Err(failure::of_read(place, error)),
        };
        Ok(Some(plan.other(&live).map_or_else(
            || {
                let message = format!("{place} lost its label `{}`: somebody took it away", labels::PLAN);
                Failure::transient("k8s.object.unlabelled", message)
            },
            |owner| of_other(place, &owner),
        )))
    }
}

fn of_other(place: &Location, owner: &str) -> Failure {
    let object = format!("{}/{}", place.resource.kind, place.name);
    Failure::permanent(OTHER_PLAN, format!("{place} {owner}")).with_hint(format!(
        "take it out of one of the two plans, or let this one take it over: `--take-over {object}`"
    ))
}

/// Whether a write that must make its object found it made; another conflict looks the same, and is looked at.
fn is_there_already(error: &ApiError) -> bool {
    let of_fields = |status: &crate::error::ApiStatus| {
        status.details.causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
    };
    let is_conflict = error.is_code(409) && !error.status().is_some_and(of_fields);
    // A server that takes no resource version where nothing is there.
    is_conflict || error.status().is_some_and(|status| status.message.contains("resourceVersion"))
}
