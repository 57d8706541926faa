//! What a plan says about a ready object: when it really counts as ready, and what of it is put out. Pure.

use eve_core::expr::{Budget, ExprError, ExprErrorKind, Expression, Names, Root};
use eve_core::failure::{Cause, Failure};
use eve_core::ports::Step;
use eve_core::run::Outputs;
use serde_json::Value;

use crate::kinds::ADDRESS;
use crate::object;
use crate::readiness::text;

/// What is wanted of an object besides its readiness.
#[derive(Debug)]
pub(super) struct Wishes<'a> {
    step: &'a Step,
    outputs: Vec<(String, Expression)>,
}

/// What an object says to the wishes.
#[derive(Debug, PartialEq)]
pub(super) enum Granted {
    Yes(Outputs),
    NotYet(Cause),
}

impl<'a> Wishes<'a> {
    /// # Errors
    /// An output that is no expression.
    pub(super) fn of(step: &'a Step) -> Result<Self, Failure> {
        let mut outputs = Vec::new();
        for (name, value) in step.spec().get(object::OUTPUTS).and_then(Value::as_object).into_iter().flatten()
        {
            let text = value.as_str().unwrap_or_default();
            let expression = Expression::parse(text, &[Root::Itself])
                .map_err(|error| Failure::misuse(error.kind.code(), format!("output `{name}`: {error}")))?;
            outputs.push((name.clone(), expression));
        }
        Ok(Self { step, outputs })
    }

    /// Whether there are any: else a kind that is ready at once need not be looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.outputs.is_empty() && self.step.ready_when().is_none()
    }

    /// Judges an object that is ready by its kind.
    ///
    /// # Errors
    /// An expression that this object cannot make true, or give a value for, by gaining a field.
    pub(super) fn judge(&self, object: &Value) -> Result<Granted, Failure> {
        if let Some(condition) = self.step.ready_when() {
            match condition.holds(object) {
                Ok(true) => {}
                Ok(false) => {
                    let message =
                        format!("ready by its kind, but `readyWhen` does not hold yet: {}", condition.text());
                    return Ok(Granted::NotYet(Cause::new("k8s.ready-when", message)));
                }
                Err(error) => return missing(&error, "readyWhen", "k8s.ready-when").map(Granted::NotYet),
            }
        }
        let mut outputs = Outputs::NONE;
        if let Some(address) = address(object) {
            outputs = outputs.with(ADDRESS, address);
        }
        let names = Names::new().with(Root::Itself, object);
        for (name, expression) in &self.outputs {
            match expression.evaluate(&names, &mut Budget::EXPRESSION.clone()) {
                Ok(value) => outputs = outputs.with(name.clone(), value),
                Err(error) => {
                    let what = format!("output {name}");
                    return missing(&error, &what, "k8s.output").map(Granted::NotYet);
                }
            }
        }
        Ok(Granted::Yes(outputs))
    }
}

/// A field that is absent may come; anything else stays wrong.
fn missing(error: &ExprError, what: &str, code: &'static str) -> Result<Cause, Failure> {
    let message = format!("`{what}`: {error}");
    if error.kind == ExprErrorKind::Missing {
        return Ok(Cause::new(code, format!("ready by its kind, but {message}")));
    }
    let failure = Failure::permanent(error.kind.code(), message);
    Err(match &error.hint {
        Some(hint) => failure.with_hint(hint.clone()),
        None => failure,
    })
}

/// The address of a load balancer.
fn address(object: &Value) -> Option<&str> {
    let address = ["/status/loadBalancer/ingress/0/ip", "/status/loadBalancer/ingress/0/hostname"];
    address.iter().map(|pointer| text(object, pointer)).find(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eve_core::ids::{Attempt, ComponentId, RunId};
    use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
    use eve_core::plan::expressions::{Condition, Constants};
    use eve_core::plan::graph::Graph;
    use serde_json::json;

    use super::*;

    fn judge(spec: Value, ready_when: Option<&str>, object: &Value) -> Result<Granted, Failure> {
        let constants = Arc::new(Constants::new(serde_json::Map::new(), "shop", "shop", None));
        let mut component = ComponentBuilder::new("a", "object").spec(spec);
        if let Some(text) = ready_when {
            component = component.ready_when(Condition::parse(text, constants).unwrap());
        }
        let graph =
            Arc::new(Graph::from_plan(&PlanBuilder::new("shop", "shop").component(component)).unwrap());
        let step = Step::new(RunId::new("r"), graph, ComponentId::new(0), Attempt::FIRST);
        Wishes::of(&step)?.judge(object)
    }

    #[test]
    fn an_object_is_ready_once_its_condition_holds_and_its_outputs_are_there() {
        let spec = json!({ "outputs": { "ip": "self.spec.clusterIP" } });
        let when = Some("self.status.phase == 'Bound'");
        let waits = |object, code: &str, message: &str| {
            let granted = judge(spec.clone(), when, &object).unwrap();
            assert_eq!(granted, Granted::NotYet(Cause::new(code.to_owned(), message)));
        };
        waits(
            json!({}),
            "k8s.ready-when",
            "ready by its kind, but `readyWhen`: `self` has no field `status`",
        );
        waits(
            json!({ "status": { "phase": "Pending" } }),
            "k8s.ready-when",
            "ready by its kind, but `readyWhen` does not hold yet: self.status.phase == 'Bound'",
        );
        waits(
            json!({ "status": { "phase": "Bound" }, "spec": {} }),
            "k8s.output",
            "ready by its kind, but `output ip`: `self.spec` has no field `clusterIP`",
        );
        let ready = json!({ "status": { "phase": "Bound", "loadBalancer": { "ingress": [{ "hostname": "h" }] } },
            "spec": { "clusterIP": "10.0.0.1" } });
        let outputs = Outputs::NONE.with("address", "h").with("ip", "10.0.0.1");
        assert_eq!(judge(spec, when, &ready), Ok(Granted::Yes(outputs)));
    }

    #[test]
    fn a_condition_that_can_never_hold_is_a_failure() {
        let failure = judge(json!({}), Some("self.n + 1"), &json!({ "n": 1 })).unwrap_err();
        assert_eq!(failure.message, "`readyWhen`: the condition must be true or false, not a number");
    }
}
