//! What would put back what a rollback has left. Pure.

use eve_core::failure::{Failure, FailureClass};
use eve_core::run::KeepReason;

use super::board::Board;
use super::undoing::Undo;

/// Whether the fresh look did not come to its end, so that it has found nothing.
pub(super) fn is_unseen(failure: &Failure) -> bool {
    failure.code == "run.cancelled" || failure.code.starts_with("run.deadline")
}

/// What would put back a component that a rollback has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remedy {
    /// Another rollback, as things are.
    Again,
    /// Another rollback, once somebody has mended what stands in its way.
    Mend,
    /// No rollback.
    Nothing,
}

impl Remedy {
    /// Failures after which no rollback finds more than this one.
    const FORLORN: [&str; 6] = [
        "k8s.undo.gone",
        "k8s.undo.lost",
        "k8s.undo.no-snapshot",
        "k8s.undo.snapshot",
        "k8s.undo.token",
        "run.undo.unsupported",
    ];

    pub(super) fn of(board: &Board, undo: &Undo) -> Self {
        match undo.because {
            // It is as good as what holds it up, which is kept for a reason of its own, or has failed.
            Some(KeepReason::Dependant { component }) => {
                board.undos.get(&component).map_or(Self::Nothing, Self::own)
            }
            _ => Self::own(undo),
        }
    }

    fn own(undo: &Undo) -> Self {
        match (undo.because, &undo.failure) {
            (Some(KeepReason::Stopping | KeepReason::Deadline), _) | (None, None) => Self::Again,
            (Some(_), _) => Self::Nothing,
            (None, Some((_, failure))) if Self::FORLORN.contains(&&*failure.code) => Self::Nothing,
            // What changes it again and again does so the next time too.
            (None, Some((_, failure))) if failure.code == "k8s.undo.unsettled" => Self::Mend,
            (None, Some((_, failure))) => match failure.class {
                _ if is_unseen(failure) => Self::Again,
                FailureClass::Transient | FailureClass::Cancelled => Self::Again,
                FailureClass::Permanent | FailureClass::Misuse => Self::Mend,
            },
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Mend => "mend",
            Self::Nothing => "none",
        }
    }

    /// What to do, for people.
    pub(super) fn hint(self, command: &str) -> String {
        match self {
            Self::Again => format!("go on with the rollback: `{command}`"),
            Self::Mend => format!(
                "what failed for good does not pass by itself: mend what is said of it above, or put it back by hand; \
                 then `{command}` goes on from there"
            ),
            Self::Nothing => {
                "no rollback puts back the rest; put it back by hand, or apply the plan as it was before"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use eve_core::ids::{Attempt, ComponentId};
    use eve_core::run::{Event, Phase};
    use eve_core::testing::sample_rollback_graph;
    use eve_core::time::Timestamp;

    use super::*;

    fn failed(phase: Phase, failure: Failure) -> Event {
        let failure = Box::new(failure);
        Event::UndoFailed {
            component: ComponentId::new(0),
            attempt: Attempt::FIRST,
            phase,
            failure,
            retry_at: None,
        }
    }

    #[test]
    fn another_rollback_is_offered_only_where_it_may_find_something_else() {
        let component = ComponentId::new(0);
        let kept = |because| Event::Kept { component, because };
        let undo = |failure| failed(Phase::Undo, failure);
        let look = |failure| failed(Phase::Verify, failure);
        for (event, remedy) in [
            (kept(KeepReason::Stopping), Remedy::Again),
            (kept(KeepReason::Deadline), Remedy::Again),
            (kept(KeepReason::Rule), Remedy::Nothing),
            (kept(KeepReason::NoToken), Remedy::Nothing),
            (undo(Failure::transient("k8s.api.unreachable", "x")), Remedy::Again),
            (undo(Failure::permanent("run.deadline", "x")), Remedy::Again),
            (undo(Failure::permanent("run.deadline.no-progress", "x")), Remedy::Again),
            (look(Failure::new(FailureClass::Cancelled, "run.cancelled", "x")), Remedy::Again),
            (look(Failure::permanent("run.verify.changed", "x")), Remedy::Mend),
            (undo(Failure::permanent("k8s.undo.conflict", "x")), Remedy::Mend),
            (undo(Failure::permanent("k8s.undo.kept", "x")), Remedy::Mend),
            (undo(Failure::transient("k8s.undo.unsettled", "x")), Remedy::Mend),
            (undo(Failure::permanent("k8s.api.forbidden", "x")), Remedy::Mend),
            (undo(Failure::permanent("k8s.undo.gone", "x")), Remedy::Nothing),
            (undo(Failure::permanent("k8s.undo.lost", "x")), Remedy::Nothing),
            (undo(Failure::permanent("k8s.undo.no-snapshot", "x")), Remedy::Nothing),
            (undo(Failure::permanent("run.undo.unsupported", "x")), Remedy::Nothing),
        ] {
            let mut board = Board::new(sample_rollback_graph());
            let mut left = Undo::pending(Timestamp::EPOCH);
            left.record(&event, Timestamp::EPOCH);
            assert_eq!(Remedy::of(&board, &left), remedy, "{event:?}");
            board.undos.insert(component, left);
            let mut behind = Undo::pending(Timestamp::EPOCH);
            behind.record(&kept(KeepReason::Dependant { component }), Timestamp::EPOCH);
            assert_eq!(Remedy::of(&board, &behind), remedy, "behind {event:?}");
        }
    }
}
