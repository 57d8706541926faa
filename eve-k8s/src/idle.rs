//! A run that finds nothing to do: what it saw when it began is as good as a fresh look at its end. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use eve_core::ids::ComponentId;
use eve_core::plan::Action;
use eve_core::plan::graph::Graph;
use eve_core::run::Change;
use tokio::time::Instant;

/// How old what was seen may be to count as fresh: no older than the answer to one request may be.
const FRESH: Duration = Duration::from_secs(30);

/// What a run has found and done so far. What nobody has told of, components of other executors among it, counts as
/// something to do.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Before anything was read.
    begun: Instant,
    /// How many components there are to tell of: all but joins.
    wanted: usize,
    unchanged: BTreeSet<ComponentId>,
    /// Those of them that were up without a wait.
    up: BTreeSet<ComponentId>,
    has_written: bool,
}

/// How a component came to be as far as the plan wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was so already.
    AtOnce,
    /// It was waited for.
    Late,
}

impl Idle {
    /// Linear in the graph.
    pub(crate) fn new(graph: &Graph, now: Instant) -> Self {
        let wanted = graph.ids().filter(|id| !graph.node(*id).action().is_join()).count();
        Self { begun: now, wanted, unchanged: BTreeSet::new(), up: BTreeSet::new(), has_written: false }
    }

    /// A component was looked at: what its action would change.
    pub(crate) fn found(&mut self, component: ComponentId, action: Action, change: Change) {
        self.up.remove(&component);
        if action == Action::Apply && change == Change::None {
            self.unchanged.insert(component);
        } else {
            self.unchanged.remove(&component);
        }
    }

    /// A component is as far as the plan wants it.
    pub(crate) fn came(&mut self, component: ComponentId, came: Came) {
        if came == Came::AtOnce && self.unchanged.contains(&component) {
            self.up.insert(component);
        } else {
            self.up.remove(&component);
        }
    }

    /// Whether something was found as it should be.
    pub(crate) fn has_unchanged(&self) -> bool {
        !self.unchanged.is_empty()
    }

    /// Something is about to be written.
    pub(crate) const fn writes(&mut self) {
        self.has_written = true;
    }

    /// Whether all of the run was found as it should be, nothing was done since, and that is not long ago.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        !self.has_written
            && self.up.len() == self.wanted
            && now.saturating_duration_since(self.begun) <= FRESH
    }
}

#[cfg(test)]
mod tests {
    use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};

    use super::*;

    /// One component was looked at and is up.
    fn is(run: &mut Idle, id: ComponentId, change: Change, came: Came) {
        run.found(id, Action::Apply, change);
        run.came(id, came);
    }

    #[test]
    fn a_run_is_idle_while_all_was_found_unchanged_and_up_and_nothing_is_written() {
        use Came::{AtOnce, Late};
        type Story = fn(&mut Idle, ComponentId);
        let part = |name| ComponentBuilder::new(name, "object");
        let plan = PlanBuilder::new("shop", "shop").components([part("a"), part("b")]);
        let plan = plan.component(ComponentBuilder::join("all").after("a").after("b"));
        let graph = Graph::from_plan(&plan).unwrap();
        let [a, b] = [0, 1].map(ComponentId::new);
        let cases: [(&str, bool, Story); 9] = [
            ("it is as it should be", true, |run, b| is(run, b, Change::None, AtOnce)),
            ("nobody has looked at it", false, |_, _| {}),
            ("nobody knows whether it is up", false, |run, b| run.found(b, Action::Apply, Change::None)),
            ("it is to be written", false, |run, b| is(run, b, Change::Update, AtOnce)),
            ("nobody knows how it is", false, |run, b| is(run, b, Change::Unknown, AtOnce)),
            ("it was waited for", false, |run, b| is(run, b, Change::None, Late)),
            ("it is looked at again", false, |run, b| {
                is(run, b, Change::None, AtOnce);
                run.found(b, Action::Apply, Change::None);
            }),
            ("it is only read", false, |run, b| {
                run.found(b, Action::Read, Change::None);
                run.came(b, AtOnce);
            }),
            ("something is written", false, |run, b| {
                is(run, b, Change::None, AtOnce);
                run.writes();
            }),
        ];
        let begun = Instant::now();
        for (of_b, is_idle, story) in cases {
            let mut run = Idle::new(&graph, begun);
            is(&mut run, a, Change::None, AtOnce);
            story(&mut run, b);
            assert_eq!(run.holds(begun + FRESH), is_idle, "{of_b}");
            assert!(!run.holds(begun + FRESH + Duration::from_nanos(1)), "{of_b}, and that is too long ago");
        }
    }
}
