//! What the simulator needs of the engine: a replica of the state to compare with, and bugs planted on purpose.
//!
//! Outside of tests there is neither: `sabotaged!` is the constant `false`, and `planted!` is nothing. Which bugs there
//! are, and what finds them, is told by [`Sabotage`](crate::testing::sim::Sabotage).

/// Whether this bug is planted.
#[cfg(any(test, feature = "test-util"))]
macro_rules! sabotaged {
    ($state:expr, $bug:ident) => {
        $state.sabotage == Some(crate::testing::sim::Sabotage::$bug)
    };
}

/// What this bug does, where it is planted.
#[cfg(any(test, feature = "test-util"))]
macro_rules! planted {
    ($state:expr, $bug:ident, $does:block) => {
        if sabotaged!($state, $bug) $does
    };
}

#[cfg(not(any(test, feature = "test-util")))]
macro_rules! sabotaged {
    ($state:expr, $bug:ident) => {{
        let _ = &$state;
        false
    }};
}

#[cfg(not(any(test, feature = "test-util")))]
macro_rules! planted {
    ($state:expr, $bug:ident, $does:block) => {};
}

#[cfg(any(test, feature = "test-util"))]
mod hooks {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::Arc;

    use super::super::protocol::{PhaseEnd, Record};
    use super::super::rollback::Undone;
    use super::super::state::{ComponentStatus, State};
    use super::super::{ResumeError, RollbackError, Run, RunOptions, apply};
    use crate::ids::{ComponentId, RunId};
    use crate::plan::Until;
    use crate::plan::graph::Graph;
    use crate::testing::sim::Sabotage;
    use crate::time::Timestamp;

    /// The state as the records alone tell it.
    #[derive(Clone, Debug)]
    pub(crate) struct Replica {
        graph: Arc<Graph>,
        state: State,
    }

    impl Replica {
        /// The state before the first record.
        pub(crate) fn new(graph: Arc<Graph>, sabotage: Option<Sabotage>) -> Self {
            let state = State { sabotage, ..State::new(&graph) };
            Self { graph, state }
        }

        /// Takes over one record.
        pub(crate) fn take(&mut self, record: &Record) -> Result<(), &'static str> {
            apply::apply(&mut self.state, &self.graph, record)?;
            self.state.moved.clear();
            Ok(())
        }

        /// What the live run knows otherwise, if anything.
        pub(crate) fn differs_from(&self, run: &Run) -> Option<String> {
            if self.state == run.state {
                return None;
            }
            let pairs = self.state.cells.iter().zip(&run.state.cells).enumerate();
            let other: Vec<String> = pairs
                .filter(|(_, (replayed, live))| replayed != live)
                .map(|(index, (replayed, live))| format!("{index}: replayed {replayed:?}, live {live:?}"))
                .collect();
            let (mut replayed, mut live) = (self.state.clone(), run.state.clone());
            replayed.cells.clear();
            live.cells.clear();
            Some(format!("cells {other:?}; run: replayed {replayed:?}, live {live:?}"))
        }
    }

    impl Run {
        /// [`Run::resume`] with a bug planted; without records it is a new run.
        pub(crate) fn rehearse(
            (graph, options, id): (Arc<Graph>, RunOptions, RunId),
            records: &[Record],
            now: Timestamp,
            sabotage: Option<Sabotage>,
        ) -> Result<Self, ResumeError> {
            let mut run = Self::idle(graph, options, id, now);
            run.state.sabotage = sabotage;
            run.go_on_from(records)?;
            Ok(run)
        }

        /// [`Run::rollback`] with a bug planted.
        pub(crate) fn rehearse_rollback(
            (graph, options, id): (Arc<Graph>, RunOptions, RunId),
            undone: (&RunId, &[Record]),
            now: Timestamp,
            sabotage: Option<Sabotage>,
        ) -> Result<Self, RollbackError> {
            Self::undoing((graph, options, id), (undone, Undone::Over), now, |state| {
                state.sabotage = sabotage;
            })
        }

        /// The second copy of an end opens the edges once more.
        pub(in super::super) fn count_again(&mut self, id: ComponentId, end: &PhaseEnd) {
            let is_ready = self.state.cell(id).status == ComponentStatus::Ready;
            if !is_ready || !matches!(end, PhaseEnd::Wait(Ok(_))) {
                return;
            }
            let graph = Arc::clone(&self.graph);
            for edge in graph.dependants(id).iter().filter(|edge| edge.until == Until::Ready) {
                let cell = self.state.cell_mut(edge.component);
                if cell.status == ComponentStatus::Blocked {
                    cell.pending = cell.pending.saturating_sub(1);
                }
            }
        }

        /// A call that failed gives its slot back; here it does not.
        pub(in super::super) fn leak_slot(&mut self, end: &PhaseEnd) {
            match end {
                PhaseEnd::Prepare(Err(_))
                | PhaseEnd::Apply(Err(_))
                | PhaseEnd::Verify(Err(_))
                | PhaseEnd::Undo(Err(_)) => self.flight.api_calls += 1,
                PhaseEnd::Wait(Err(_)) => self.flight.wait_calls += 1,
                PhaseEnd::Prepare(Ok(_))
                | PhaseEnd::Apply(Ok(_))
                | PhaseEnd::Wait(Ok(_))
                | PhaseEnd::Verify(Ok(()))
                | PhaseEnd::Undo(Ok(_)) => {}
            }
        }

        /// Commands as a hash map would give them back: in another order in every process.
        pub(in super::super) fn shuffle_commands(&mut self) {
            for queue in [&mut self.at_once, &mut self.writes] {
                if queue.len() > 1 && RandomState::new().hash_one(0_u8) & 1 == 1 {
                    queue.rotate_left(1);
                }
            }
        }
    }
}

#[cfg(any(test, feature = "test-util"))]
pub(crate) use hooks::Replica;
