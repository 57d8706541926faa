//! Whether the process lives, and whether it can do its work: facts that its parts report, answers for probes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A part without which no plan is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The journal.
    Journal,
    /// The API server of the cluster.
    Cluster,
    /// Where plans come from.
    Source,
}

impl Part {
    const ALL: [Self; 3] = [Self::Journal, Self::Cluster, Self::Source];

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Cluster => "cluster",
            Self::Source => "source",
        }
    }
}

/// What is known of the parts. Shared between tasks.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<Part, Result<(), String>>,
    is_stopping: bool,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part works.
    pub fn works(&self, part: Part) {
        self.state().parts.insert(part, Ok(()));
    }

    /// The part does not work; `reason` is for people and holds no secret.
    pub fn fails(&self, part: Part, reason: impl Into<String>) {
        self.state().parts.insert(part, Err(reason.into()));
    }

    /// No plan is taken any more.
    pub fn stops(&self) {
        self.state().is_stopping = true;
    }

    /// `Ok` where plans are taken; why not, one line for each part, otherwise.
    ///
    /// # Errors
    /// The reasons.
    pub fn readiness(&self) -> Result<(), String> {
        let state = self.state();
        let mut reasons = Vec::new();
        if state.is_stopping {
            reasons.push("stopping".to_owned());
        }
        for part in Part::ALL {
            match state.parts.get(&part) {
                Some(Ok(())) => {}
                Some(Err(reason)) => reasons.push(format!("{}: {reason}", part.name())),
                None => reasons.push(format!("{}: not asked yet", part.name())),
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_part_works_and_no_longer_when_stopping() {
        let health = Health::default();
        let reasons = "journal: not asked yet\ncluster: not asked yet\nsource: not asked yet";
        assert_eq!(health.readiness(), Err(reasons.to_owned()));
        for part in Part::ALL {
            health.works(part);
        }
        assert_eq!(health.readiness(), Ok(()));
        health.fails(Part::Source, "no such queue");
        assert_eq!(health.readiness(), Err("source: no such queue".to_owned()));
        health.works(Part::Source);
        health.stops();
        assert_eq!(health.readiness(), Err("stopping".to_owned()));
    }
}
