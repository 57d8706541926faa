//! When each component's turn came, what it held up, and how long it could have taken. Pure.

use std::time::Duration;

use eve_core::ids::ComponentId;
use eve_core::plan::Until;
use eve_core::plan::graph::Edge;
use eve_core::run::Change;
use eve_core::time::Timestamp;

use super::board::{Board, Stage};
use super::text::is_join;

/// When each component's turn came and when its edges opened, as far as the records tell.
pub(crate) struct Times<'a> {
    board: &'a Board,
    applied: Vec<Timestamp>,
}

impl<'a> Times<'a> {
    pub(crate) fn of(board: &'a Board) -> Self {
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

    /// When the last of its dependencies had come as far as they had to.
    pub(crate) fn turn(&self, id: ComponentId) -> Timestamp {
        self.last_edge(id).map_or(self.board.started_at, |edge| self.opened(edge))
    }

    /// From the component that ended last, back over whatever each one waited for last.
    pub(crate) fn critical_path(&self) -> Vec<(ComponentId, Duration)> {
        let board = self.board;
        let ended = board.graph.order().iter().filter_map(|&id| {
            let row = board.row(id);
            row.ended_at.filter(|_| row.stage != Stage::Skipped).map(|at| (at, id))
        });
        // `max_by_key` takes the last of equals, which in this order comes after those it depends on.
        let Some((mut end, mut id)) = ended.max_by_key(|(at, _)| *at) else { return Vec::new() };
        let mut path = Vec::new();
        loop {
            let edge = self.last_edge(id);
            let begin = edge.map_or(board.started_at, |edge| self.opened(edge));
            if !is_join(&board.graph, id) {
                path.push((id, end.since(begin)));
            }
            let Some(edge) = edge else { break };
            (id, end) = (edge.component, begin);
        }
        path.reverse();
        path
    }

    /// How much later each component could have ended without the run ending later, by index. All else being as it was:
    /// what followed would have taken as long.
    pub(crate) fn slack(&self) -> Vec<Duration> {
        let board = self.board;
        let ended = |id: ComponentId| board.row(id).ended_at.unwrap_or(board.last_at);
        let end = board.graph.ids().map(ended).max().unwrap_or(board.last_at);
        let mut slack: Vec<Duration> = board.graph.ids().map(|id| end.since(ended(id))).collect();
        for &id in board.graph.order().iter().rev() {
            let own = slack.get(id.index()).copied().unwrap_or_default();
            // A component that never began held nobody up.
            if board.row(id).stage == Stage::Skipped {
                continue;
            }
            for &edge in board.graph.dependencies(id) {
                let room = own + self.turn(id).since(self.opened(edge));
                if let Some(slot) = slack.get_mut(edge.component.index()) {
                    *slot = room.min(*slot);
                }
            }
        }
        slack
    }
}
