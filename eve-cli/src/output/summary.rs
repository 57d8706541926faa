//! What is to be said when a run is over: counts, wall time, the critical path, failures and what they cost. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use eve_core::ids::ComponentId;
use eve_core::plan::Until;
use eve_core::plan::graph::Edge;
use eve_core::run::{Change, SkipReason, StopReason};
use eve_core::time::Timestamp;

use super::board::{Board, Row, Stage};
use super::text::{is_delete, is_join};

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
            ready: 0,
            failed: 0,
            cancelled: 0,
            skipped: 0,
            wall: board.last_at.since(board.started_at),
            critical_path: critical_path(board),
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
                (Stage::Ready, None) if row.applied_at.is_some() => self.deleted += 1,
                (Stage::Ready, None) => self.absent += 1,
                _ => {}
            }
        } else {
            self.add_change(row);
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
            Some(Change::Create) if row.applied_at.is_some() => self.created += 1,
            Some(Change::None) if row.stage == Stage::Ready || row.applied_at.is_some() => {
                self.unchanged += 1;
            }
            _ if row.applied_at.is_some() => self.changed += 1,
            _ => {}
        }
    }
}

/// When each component's turn came and when its edges opened, as far as the records tell.
struct Times<'a> {
    board: &'a Board,
    applied: Vec<Timestamp>,
}

impl<'a> Times<'a> {
    fn of(board: &'a Board) -> Self {
        let mut times = Self { board, applied: vec![Timestamp::EPOCH; board.graph.len()] };
        for &id in board.graph.order() {
            let row = board.row(id);
            // An unchanged component counts as applied when its turn comes, for which there is no record.
            let applied = row.applied_at.unwrap_or_else(|| {
                if row.change == Some(Change::None) {
                    times.turn(id).max(row.prepared_at.unwrap_or(board.started_at))
                } else {
                    row.ended_at.unwrap_or(board.last_at)
                }
            });
            if let Some(slot) = times.applied.get_mut(id.index()) {
                *slot = applied;
            }
        }
        times
    }

    fn opened(&self, edge: Edge) -> Timestamp {
        match edge.until {
            Until::Applied => self.applied.get(edge.component.index()).copied().unwrap_or(Timestamp::EPOCH),
            Until::Ready => self.board.row(edge.component).ended_at.unwrap_or(self.board.last_at),
        }
    }

    /// The edge that opened last; of several, that of the latest component in plan order.
    fn last_edge(&self, id: ComponentId) -> Option<Edge> {
        let edges = self.board.graph.dependencies(id).iter().copied();
        edges.max_by_key(|edge| (self.opened(*edge), edge.component))
    }

    fn turn(&self, id: ComponentId) -> Timestamp {
        self.last_edge(id).map_or(self.board.started_at, |edge| self.opened(edge))
    }
}

/// From the component that ended last, back over whatever each one waited for last.
fn critical_path(board: &Board) -> Vec<(ComponentId, Duration)> {
    let times = Times::of(board);
    let ended = board.graph.order().iter().filter_map(|&id| {
        let row = board.row(id);
        row.ended_at.filter(|_| row.stage != Stage::Skipped).map(|at| (at, id))
    });
    // `max_by_key` takes the last of equals, which in this order comes after those it depends on.
    let Some((mut end, mut id)) = ended.max_by_key(|(at, _)| *at) else { return Vec::new() };
    let mut path = Vec::new();
    loop {
        let edge = times.last_edge(id);
        let begin = edge.map_or(board.started_at, |edge| times.opened(edge));
        if !is_join(&board.graph, id) {
            path.push((id, end.since(begin)));
        }
        let Some(edge) = edge else { break };
        (id, end) = (edge.component, begin);
    }
    path.reverse();
    path
}
