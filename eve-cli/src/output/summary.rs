//! What is to be said when a run is over: counts, wall time, the critical path, failures and what they cost. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use eve_core::ids::ComponentId;
use eve_core::run::{Change, SkipReason, StopReason};

use super::board::{Board, Row, Stage};
use super::text::{is_delete, is_join};
use super::times::Times;

/// A run in figures. Joins are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// All components.
    pub(crate) components: usize,
    /// Components by what was written, whether they became healthy or not.
    pub(crate) created: usize,
    /// Updated, replaced, or written without knowing what changed.
    pub(crate) changed: usize,
    /// Not written, because nothing differed.
    pub(crate) unchanged: usize,
    /// Components that were to be removed.
    pub(crate) removals: usize,
    /// Removed in this run.
    pub(crate) deleted: usize,
    /// Gone before.
    pub(crate) absent: usize,
    /// Components that stay though they were to be removed, in plan order, with the reason.
    pub(crate) kept: Vec<(ComponentId, String)>,
    /// Components that took fields over from `kubectl apply`, in plan order, with the fields.
    pub(crate) taken_over: Vec<(ComponentId, String)>,
    /// Components that count as ready because nothing reports a status for them, in plan order.
    pub(crate) no_status: Vec<ComponentId>,
    /// Components by how they ended.
    pub(crate) ready: usize,
    /// Failed.
    pub(crate) failed: usize,
    /// Given up on request.
    pub(crate) cancelled: usize,
    /// Not started.
    pub(crate) skipped: usize,
    /// From the first record to the last.
    pub(crate) wall: Duration,
    /// The chain of components that took the time, in order; the times add up to that of its last component.
    pub(crate) critical_path: Vec<(ComponentId, Duration)>,
    /// Failed components in plan order.
    pub(crate) failures: Vec<ComponentId>,
    /// Skipped components in plan order, by the component whose failure is to blame; `None` where nobody's is.
    pub(crate) skips: BTreeMap<Option<ComponentId>, Vec<ComponentId>>,
    /// Components that were given up, in plan order.
    pub(crate) given_up: Vec<ComponentId>,
}

impl Summary {
    /// What the board says at the end of a run, or until now.
    pub(crate) fn of(board: &Board) -> Self {
        let mut summary = Self {
            components: board.total,
            created: 0,
            changed: 0,
            unchanged: 0,
            removals: 0,
            deleted: 0,
            absent: 0,
            kept: Vec::new(),
            taken_over: Vec::new(),
            no_status: Vec::new(),
            ready: 0,
            failed: 0,
            cancelled: 0,
            skipped: 0,
            wall: board.last_at.since(board.started_at),
            critical_path: Times::of(board).critical_path(),
            failures: Vec::new(),
            skips: BTreeMap::new(),
            given_up: Vec::new(),
        };
        for id in board.graph.ids().filter(|&id| !is_join(&board.graph, id)) {
            summary.add(board, id);
        }
        summary
    }

    fn add(&mut self, board: &Board, id: ComponentId) {
        let row = board.row(id);
        if is_delete(&board.graph, id) {
            self.removals += 1;
            match (row.stage, &row.kept) {
                (Stage::Ready, Some(why)) => self.kept.push((id, why.clone())),
                (Stage::Ready, None) if row.is_written() => self.deleted += 1,
                (Stage::Ready, None) => self.absent += 1,
                _ => {}
            }
        } else {
            self.add_change(row);
            self.no_status.extend(row.no_status.iter().map(|_| id));
            self.taken_over.extend(row.taken_over.iter().map(|taken| (id, taken.clone())));
        }
        match row.stage {
            Stage::Ready => self.ready += 1,
            Stage::Failed => {
                self.failed += 1;
                self.failures.push(id);
            }
            Stage::Cancelled => {
                self.cancelled += 1;
                self.given_up.push(id);
            }
            Stage::Skipped => {
                self.skipped += 1;
                let blame = match (row.because, board.stopping) {
                    (Some(SkipReason::Dependency { component }), _)
                    | (_, Some(StopReason::Failure { component })) => Some(component),
                    _ => None,
                };
                self.skips.entry(blame).or_default().push(id);
            }
            Stage::Pending | Stage::Applying | Stage::Waiting | Stage::Pausing => {}
        }
    }

    fn add_change(&mut self, row: &Row) {
        match row.change {
            Some(Change::Create) if row.is_written() => self.created += 1,
            Some(Change::None) if row.stage == Stage::Ready || row.is_written() => {
                self.unchanged += 1;
            }
            _ if row.is_written() => self.changed += 1,
            _ => {}
        }
    }
}
