//! A refusal that ends a run, with all others that are in the input: who mends one should not meet the next only then.
//!
//! Made only once something was refused: one more list a kind, and one dry run for each object that is not as it is
//! wanted. Writes nothing.

use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::ids::Attempt;
use eve_core::plan::{Action, FailurePolicy};
use eve_core::ports::Step;
use eve_core::run::Prepared;
use futures::StreamExt as _;

use super::{KubeExecutor, Located, Missing, failure};
use crate::survey::{Found, Refusals, Surveys};

/// How many components are looked at at once.
const LOOKS: usize = 16;
/// How long the others are looked for: what was found until then is told.
const TIMEOUT: Duration = Duration::from_secs(20);

impl KubeExecutor {
    /// What applying would change. A refusal names those of other components too, where it ends the run before they come to
    /// their turn.
    pub(super) async fn look_or_refuse(&self, step: &Step) -> Result<Prepared, Failure> {
        let refused = match self.look_informed(step).await {
            Err(failure) if is_of_input(&failure) && ends_run(step) => failure,
            looked => return looked,
        };
        let known = self.surveys.refusals(step.graph());
        let all = known.get_or_init(async || self.refusals(step, &refused).await).await;
        let others: Vec<String> =
            all.iter().filter(|(id, _)| *id != step.component()).map(|(_, failure)| words(failure)).collect();
        Err(with_others(refused, &others))
    }

    /// Everything of the step's plan that would be refused for what the input says, as far as it is known before the run.
    async fn refusals(&self, step: &Step, refused: &Failure) -> Refusals {
        let graph = step.graph();
        let surveys = Surveys::new(self.client.clone());
        let others = graph.ids().filter(|id| *id != step.component());
        let looks = others.filter(|id| graph.node(*id).action() == Action::Apply).map(async |id| {
            let other = Step::new(step.run().clone(), graph.clone(), id, Attempt::FIRST);
            let failure = self.judged(&surveys, &other).await.err().filter(is_of_input)?;
            Some((id, failure))
        });
        let found = futures::stream::iter(looks).buffered(LOOKS).filter_map(std::future::ready);
        let found = found.take_until(tokio::time::sleep(TIMEOUT)).collect::<Vec<_>>().await;
        found.into_iter().chain([(step.component(), refused.clone())]).collect()
    }

    /// Looks at one of them, unless nobody can tell yet how it will be.
    async fn judged(&self, surveys: &Surveys, step: &Step) -> Result<(), Failure> {
        let Located::Known(target) = self.locate(step, Missing::Accept).await? else { return Ok(()) };
        let namespace = target.place.namespace.as_ref();
        if step.is_unrendered() || self.is_made_anew(step.graph(), namespace, Some(&self.live)).await {
            return Ok(());
        }
        let Found::There(live, detail) = self.read_from(surveys, step, &target.place, None).await? else {
            return Ok(());
        };
        self.compare(step, &target, *live, detail).await.map(drop)
    }
}

/// Whether a refusal is about what the input says, which its author can mend.
fn is_of_input(failure: &Failure) -> bool {
    matches!(
        failure.code.as_ref(),
        "k8s.apply.conflict" | failure::IMMUTABLE | "k8s.apply.invalid" | "k8s.apply.strict"
    )
}

/// Whether nothing is looked at any more once this component has failed.
fn ends_run(step: &Step) -> bool {
    let graph = step.graph();
    let policy = graph.node(step.component()).on_failure().unwrap_or(graph.on_failure());
    policy != FailurePolicy::Continue
}

/// A refusal in one line: of a conflict every field that is known, with its manager.
fn words(failure: &Failure) -> String {
    match failure.message.split_once(": ") {
        Some((object, _)) if failure.code == "k8s.apply.conflict" => {
            format!("{object}: {}", failure.notes.join(", "))
        }
        _ => failure.message.clone(),
    }
}

fn with_others(refused: Failure, others: &[String]) -> Failure {
    if others.is_empty() {
        return refused;
    }
    let more = match others.len() {
        1 => "1 more object is refused".to_owned(),
        count => format!("{count} more objects are refused"),
    };
    let message = format!("{}; {more}", refused.message);
    let room = Failure::NOTES_MAX.saturating_sub(refused.notes.len() + 1);
    let failure = others.iter().take(room).cloned().fold(refused.with_message(message), Failure::with_note);
    match others.len().saturating_sub(room) {
        0 => failure,
        left => failure.with_note(format!("and {left} more; `eve diff` shows all")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_named_one_a_line_as_far_as_there_is_room() {
        let conflict = |name: &str| {
            Failure::permanent("k8s.apply.conflict", format!("ConfigMap shop/{name}: 2 fields belong to `x`"))
                .with_note("`.a` belongs to `x`")
                .with_note("`.b` belongs to `x`")
        };
        assert_eq!(with_others(conflict("one"), &[]), conflict("one"));
        let told = with_others(conflict("one"), &[words(&conflict("two"))]);
        assert_eq!(told.message, "ConfigMap shop/one: 2 fields belong to `x`; 1 more object is refused");
        let line = "ConfigMap shop/two: `.a` belongs to `x`, `.b` belongs to `x`";
        assert_eq!(told.notes.last().map(String::as_str), Some(line));
        let invalid =
            Failure::permanent("k8s.apply.invalid", "ConfigMap shop/three: it is wrong").with_note("x");
        assert_eq!(words(&invalid), invalid.message);
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let told = with_others(conflict("one"), &many);
        assert_eq!(told.notes.len(), Failure::NOTES_MAX);
        assert_eq!(told.notes.last().map(String::as_str), Some("and 83 more; `eve diff` shows all"));
    }
}
