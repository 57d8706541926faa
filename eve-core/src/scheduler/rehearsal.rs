//! What the simulator needs of the scheduler: a replica of the state to compare with, and bugs planted on purpose.
//!
//! Outside of tests there is neither: `sabotaged!` is the constant `false`, and `planted!` is nothing. Which bugs there
//! are, and what finds them, is told by [`Sabotage`](crate::testing::sim_scheduler::Sabotage).

/// Whether this bug is planted.
#[cfg(any(test, feature = "test-util"))]
macro_rules! sabotaged {
    ($state:expr, $bug:ident) => {
        $state.sabotage == Some(crate::testing::sim_scheduler::Sabotage::$bug)
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
    ($state:expr, $bug:ident) => {
        false
    };
}

#[cfg(not(any(test, feature = "test-util")))]
macro_rules! planted {
    ($state:expr, $bug:ident, $does:block) => {};
}

#[cfg(any(test, feature = "test-util"))]
mod hooks {
    use super::super::protocol::LedgerRecord;
    use super::super::state::State;
    use super::super::{Kept, LedgerError, Scheduler, SchedulerOptions, apply};
    use crate::testing::sim_scheduler::Sabotage;
    use crate::time::Timestamp;

    /// The state as the records alone tell it.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct LedgerReplica {
        state: State,
    }

    impl LedgerReplica {
        /// The state before the first record.
        pub(crate) fn new(sabotage: Option<Sabotage>) -> Self {
            Self { state: State { sabotage, ..State::default() } }
        }

        /// Takes over one record.
        pub(crate) fn take(&mut self, record: &LedgerRecord) -> Result<(), &'static str> {
            apply::apply(&mut self.state, record)
        }

        /// All from which the state follows.
        pub(crate) fn kept(&self) -> Kept {
            self.state.kept()
        }

        /// What the live scheduler knows otherwise, if anything.
        pub(crate) fn differs_from(&self, scheduler: &Scheduler) -> Option<String> {
            let (replayed, live) = (&self.state, &scheduler.state);
            (replayed != live).then(|| format!("replayed {replayed:?}, live {live:?}"))
        }
    }

    impl Scheduler {
        /// [`Scheduler::resume`] with a bug planted; without records it is a new one.
        pub(crate) fn rehearse(
            options: SchedulerOptions,
            records: &[LedgerRecord],
            now: Timestamp,
            sabotage: Option<Sabotage>,
        ) -> Result<Self, LedgerError> {
            let mut scheduler = Self::idle(options, now);
            scheduler.state.sabotage = sabotage;
            for record in records {
                scheduler.replay(record)?;
            }
            scheduler.now = scheduler.now.max(scheduler.state.last_at);
            scheduler.take_over();
            Ok(scheduler)
        }
    }
}

#[cfg(any(test, feature = "test-util"))]
pub(crate) use hooks::LedgerReplica;
