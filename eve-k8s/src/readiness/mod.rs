//! Is an object ready? Pure functions from an object to [`Readiness`], one file a family of kinds.
//!
//! The rules are those of kstatus with a few deliberate differences: a Job is ready when it is complete, a failed pod
//! is a failure, a `LoadBalancer` needs an address. A status that speaks of an older generation is never judged.
//! Nothing here reads a clock: graces are the business of the wait.
//! `table` says which rule judges which kind; `docs/reference/readiness.md` is made from it.

use eve_core::failure::{Cause, Failure};
use serde_json::Value;

mod bygone;
mod daemonset;
mod deployment;
mod gateway;
mod generic;
mod job;
mod network;
mod pod;
mod replicaset;
mod statefulset;
pub(crate) mod storage;
mod table;

pub(crate) use bygone::Bygone;
pub use table::markdown;

pub(crate) use crate::object::text;

use crate::object::at;
use table::Rule;

/// The code of a state that the controller of the object has not looked at.
pub(crate) const UNSEEN: &str = "k8s.object.unseen";

/// How far an object has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Up and healthy, in the sense of its kind.
    Ready,
    /// Ready as far as anybody can tell: nothing reports a status for it.
    NoStatus,
    /// Not yet, and why.
    InProgress(Cause),
    /// Never, unless somebody changes something.
    Failed(Failure),
}

impl Readiness {
    fn waits(code: &'static str, message: impl Into<String>) -> Self {
        Self::InProgress(Cause::new(code, message))
    }

    fn fails(code: &'static str, message: impl Into<String>) -> Self {
        Self::Failed(Failure::permanent(code, message))
    }
}

/// Judges an object of this API group (empty for the core group) and kind, as the API server answered it. Reads
/// `metadata`, `status` and what else the kind's rule needs of `spec`; works on answers without `apiVersion`.
///
/// ```
/// use eve_k8s::readiness::{Readiness, judge};
/// let job = serde_json::json!({ "status": { "conditions": [{ "type": "Complete", "status": "True" }] } });
/// assert_eq!(judge("batch", "Job", &job), Readiness::Ready);
/// ```
pub fn judge(group: &str, kind: &str, object: &Value) -> Readiness {
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Readiness::waits("k8s.object.terminating", deletion(object));
    }
    judge_last(group, kind, object)
}

/// [`judge`] of the last state of an object, whether or not it was being deleted then.
pub(crate) fn judge_last(group: &str, kind: &str, object: &Value) -> Readiness {
    let (is_stated, judge) = match table::row(group, kind).rule {
        Rule::AtOnce => return Readiness::Ready,
        Rule::Unless(is_at_once, _) if is_at_once(object) => return Readiness::Ready,
        Rule::Observed(judge) => (true, judge),
        Rule::Judged(judge) | Rule::Unless(_, judge) => (false, judge),
    };
    let generation = integer(object, "/metadata/generation").unwrap_or_default();
    match integer(object, "/status/observedGeneration") {
        Some(seen) if seen < generation => unseen(),
        None if is_stated => unseen(),
        _ => judge(object),
    }
}

/// Whether an object with this spec is ready as soon as it is written, so that nobody needs to look.
pub(crate) fn is_ready_at_once(group: &str, kind: &str, object: &Value) -> bool {
    match table::row(group, kind).rule {
        Rule::AtOnce => true,
        Rule::Unless(is_at_once, _) => is_at_once(object),
        Rule::Observed(_) | Rule::Judged(_) => false,
    }
}

/// Whether objects of this kind are ready as soon as they are written, whatever stands in them.
pub(crate) fn is_never_judged(group: &str, kind: &str) -> bool {
    matches!(table::row(group, kind).rule, Rule::AtOnce)
}

fn unseen() -> Readiness {
    Readiness::waits(UNSEEN, "its controller has not seen this change yet")
}

fn deletion(object: &Value) -> String {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<&str> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() {
        "it is being deleted".to_owned()
    } else {
        format!("it is being deleted; blocked by the finalizers {}", names.join(", "))
    }
}

/// One entry of `status.conditions`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition<'a> {
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    /// The generation that it speaks of, where that is stated.
    observed: Option<i64>,
}

impl Condition<'_> {
    /// Whether it speaks of an older generation of this object.
    fn is_stale(&self, object: &Value) -> bool {
        self.observed < integer(object, "/metadata/generation") && self.observed.is_some()
    }

    fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Reason and message for people.
    pub(crate) fn why(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => "no reason given".to_owned(),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    condition_of(object.get("status")?, kind)
}

/// An entry of `conditions` of this part of a status.
fn condition_of<'a>(reported: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = reported.get("conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| text(condition, "/type") == kind)?;
    Some(Condition {
        status: text(found, "/status"),
        reason: text(found, "/reason"),
        message: text(found, "/message").trim(),
        observed: integer(found, "/observedGeneration"),
    })
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition.is_true())
}

pub(crate) fn integer(object: &Value, pointer: &str) -> Option<i64> {
    at(object, pointer).and_then(Value::as_i64)
}

/// A counter of the status; absent is zero.
fn count(object: &Value, field: &str) -> i64 {
    object.get("status").and_then(|status| status.get(field)).and_then(Value::as_i64).unwrap_or_default()
}

/// `1 of 3 replicas are available`.
fn of(some: i64, all: i64, noun: &str, verb: &str) -> String {
    match all {
        1 => format!("{some} of 1 {noun} is {verb}"),
        _ => format!("{some} of {all} {noun}s are {verb}"),
    }
}

#[cfg(test)]
mod tests;
