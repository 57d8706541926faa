//! What a Deployment says of its own deadline from before a wait: that somebody else's rollout ran out of time is not
//! held against this one, which judges its pods and waits like any other. Pure.

use std::sync::Arc;

use serde_json::Value;

use super::text;

/// The reason of the condition `Progressing` (`pkg/controller/deployment/util`). The controller leaves the condition
/// as it is until a pod makes progress, and a change of anything but the template does not renew it.
pub(super) const DEADLINE: &str = "ProgressDeadlineExceeded";

/// Remembers what was said in the first state of an object that a wait has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bygone {
    first: First,
}

/// What the first state said.
#[derive(Clone, Debug, Default)]
enum First {
    /// None was seen yet.
    #[default]
    Unseen,
    /// Whether the deadline had passed, and when.
    Seen(Option<Stamp>),
}

/// Tells two conditions apart: when it was last written, and when it last turned.
type Stamp = (String, String);

impl Bygone {
    /// The state as it is to be judged: without the condition, where it is still the one of the first state.
    pub(crate) fn judged(&mut self, object: &Arc<Value>) -> Arc<Value> {
        let now = stamp(object);
        let is_known = match &self.first {
            First::Unseen => {
                self.first = First::Seen(now.clone());
                true
            }
            First::Seen(first) => *first == now,
        };
        if now.is_some() && is_known { Arc::new(without(object)) } else { Arc::clone(object) }
    }
}

fn is_deadline(condition: &Value) -> bool {
    (text(condition, "/type"), text(condition, "/reason")) == ("Progressing", DEADLINE)
}

fn stamp(object: &Value) -> Option<Stamp> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| is_deadline(condition))?;
    let time = |field: &str| text(found, field).to_owned();
    Some((time("/lastUpdateTime"), time("/lastTransitionTime")))
}

fn without(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| !is_deadline(condition));
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::readiness::{Readiness, judge};

    fn deployment(reason: &str, updated_at: &str) -> Arc<Value> {
        Arc::new(json!({
            "metadata": { "generation": 1 }, "spec": { "replicas": 1 },
            "status": { "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "conditions": [
                { "type": "Progressing", "status": "False", "reason": reason,
                  "lastUpdateTime": updated_at, "lastTransitionTime": updated_at },
                { "type": "Available", "status": "False" },
            ] },
        }))
    }

    fn fails(state: &Value) -> bool {
        matches!(judge("apps", "Deployment", state), Readiness::Failed(_))
    }

    #[test]
    fn only_a_deadline_that_passes_during_the_wait_fails_it() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z");
        let (over, under_way) = (DEADLINE, "ReplicaSetUpdated");
        for (states, failed) in [
            (vec![(over, early)], false),
            (vec![(over, early), (over, early)], false),
            (vec![(over, early), (over, late)], true),
            (vec![(over, early), (under_way, early), (over, late)], true),
            (vec![(under_way, early), (over, late)], true),
        ] {
            let mut bygone = Bygone::default();
            let judged: Vec<bool> =
                states.iter().map(|(reason, at)| fails(&bygone.judged(&deployment(reason, at)))).collect();
            assert_eq!(judged.last(), Some(&failed), "{states:?}");
            assert!(judged.iter().rev().skip(1).all(|failed| !failed), "{states:?}");
        }
        assert!(fails(&deployment(over, early)), "whoever only looks is told");
    }

    #[test]
    fn the_other_conditions_stay() {
        let judged = Bygone::default().judged(&deployment(DEADLINE, "2026-01-01T00:00:00Z"));
        assert_eq!(judged.pointer("/status/conditions/0/type"), Some(&json!("Available")));
    }
}
