//! What a request to stop does to a run, by where the run stands. Pure.

use eve_core::run::StopMode;

use super::board::Board;

/// What becomes of the run because of this request, for people.
pub(crate) fn effect(board: &Board, mode: StopMode) -> &'static str {
    let is_back = board.rolling_back.is_some() || board.undoes.is_some();
    if board.outcome.is_some() {
        "nothing: it is over"
    } else if is_back {
        back(mode)
    } else if board.rolls_back {
        before_the_way_back(mode)
    } else {
        forward(mode, board.graph.may_be_rolled_back())
    }
}

const fn back(mode: StopMode) -> &'static str {
    match mode {
        StopMode::Rollback => "nothing changes: it is rolling back already",
        StopMode::Drain => "finishing what is being put back, leaving the rest alone",
        StopMode::Now | StopMode::Supersede => {
            "finishing what is being put back, leaving the rest alone, without a last look"
        }
    }
}

/// It has failed, and what is in flight comes to its end first.
const fn before_the_way_back(mode: StopMode) -> &'static str {
    match mode {
        StopMode::Rollback => "nothing changes: it rolls back as soon as what is in flight has ended",
        StopMode::Drain => {
            "letting what runs come to its end, then leaving everything alone: nothing is rolled back"
        }
        StopMode::Now | StopMode::Supersede => {
            "finishing the calls in flight, giving up waits, then leaving everything alone: nothing is rolled back"
        }
    }
}

const fn forward(mode: StopMode, may_be_rolled_back: bool) -> &'static str {
    match mode {
        StopMode::Drain => "starting nothing new, letting what runs come to its end",
        StopMode::Now | StopMode::Supersede => "finishing the calls in flight, giving up waits",
        StopMode::Rollback if may_be_rolled_back => {
            "finishing the calls in flight, giving up waits, then undoing what the run changed"
        }
        StopMode::Rollback => {
            "finishing the calls in flight, giving up waits; nothing is undone, for its plan has the policy `rollback` \
             nowhere"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eve_core::ids::{ComponentId, Seq};
    use eve_core::plan::FailurePolicy;
    use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
    use eve_core::plan::graph::Graph;
    use eve_core::run::{Event, Outcome, Record, StopReason};
    use eve_core::time::Timestamp;

    use super::*;

    fn board(policy: FailurePolicy, events: &[Event]) -> Board {
        let plan = PlanBuilder::new("p", "p").on_failure(policy).component(ComponentBuilder::new("a", "x"));
        let records = events.iter().enumerate().map(|(index, event)| {
            let (seq, at) = (Seq::new(index as u64 + 1), Timestamp::EPOCH);
            Record { seq, at, event: event.clone() }
        });
        Board::of(Arc::new(Graph::from_plan(&plan).unwrap()), &records.collect::<Vec<_>>())
    }

    #[test]
    fn what_is_promised_is_what_the_engine_does_where_the_run_stands() {
        use FailurePolicy::{Drain, Rollback};
        let failed = Event::Stopping { reason: StopReason::Failure { component: ComponentId::new(0) } };
        let asked = |mode| Event::Stopping { reason: StopReason::Asked { mode } };
        let over = Event::Finished { outcome: Outcome::Cancelled };
        for (policy, events, mode, said) in [
            (Rollback, vec![], StopMode::Now, "giving up waits"),
            (Rollback, vec![], StopMode::Drain, "letting what runs come to its end"),
            (Rollback, vec![], StopMode::Rollback, "then undoing what the run changed"),
            (Drain, vec![], StopMode::Rollback, "nothing is undone"),
            (Drain, vec![failed.clone()], StopMode::Now, "giving up waits"),
            (Rollback, vec![failed.clone()], StopMode::Now, "nothing is rolled back"),
            (Rollback, vec![failed.clone()], StopMode::Rollback, "rolls back as soon as"),
            (Rollback, vec![asked(StopMode::Drain), failed.clone()], StopMode::Now, "giving up waits"),
            (Rollback, vec![asked(StopMode::Rollback)], StopMode::Drain, "nothing is rolled back"),
            (Rollback, vec![failed.clone(), Event::RollingBack], StopMode::Now, "without a last look"),
            (Rollback, vec![failed.clone(), Event::RollingBack], StopMode::Drain, "leaving the rest alone"),
            (Rollback, vec![failed, Event::RollingBack], StopMode::Rollback, "rolling back already"),
            (Rollback, vec![over], StopMode::Now, "it is over"),
        ] {
            let effect = effect(&board(policy, &events), mode);
            assert!(effect.contains(said), "{policy:?} {events:?} {mode:?}: {effect}");
            let is_back = events.contains(&Event::RollingBack);
            assert!(!is_back || !effect.contains("waits"), "nothing waits in a rollback: {effect}");
        }
    }
}
