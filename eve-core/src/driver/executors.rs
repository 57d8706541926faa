//! Which executor carries out which kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::plan::Action;
use crate::plan::graph::Graph;
use crate::plan::problem::PlanProblem;
use crate::ports::Executor;

/// Executors by the name of the kind that they carry out.
#[derive(Clone, Default)]
pub struct Executors(BTreeMap<String, Arc<dyn Executor>>);

impl Executors {
    /// No executors.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more; it replaces an earlier one of that kind.
    #[must_use]
    pub fn with(mut self, kind: impl Into<String>, executor: Arc<dyn Executor>) -> Self {
        self.0.insert(kind.into(), executor);
        self
    }

    /// Every problem that the executors see in the specs of a graph, without I/O: to be asked before the first write.
    ///
    /// A kind without executor is a problem of each component of that kind.
    pub fn check(&self, graph: &Graph) -> Vec<PlanProblem> {
        let mut problems = Vec::new();
        let resolved: Vec<_> = graph.kinds().map(|kind| (kind, self.0.get(kind))).collect();
        for node in graph.ids().map(|id| graph.node(id)).filter(|node| node.action() != Action::None) {
            let Some((kind, executor)) = resolved.get(node.kind_index()) else { continue };
            let component = Some(node.name().to_owned());
            let Some(executor) = executor else {
                problems.push(PlanProblem {
                    code: "graph.unknown-kind".into(),
                    component,
                    pointer: String::new(),
                    message: format!("nothing here carries out components of kind `{kind}`"),
                    hint: crate::plan::graph::closest(kind, self.0.keys().map(String::as_str))
                        .map(|known| format!("did you mean `{known}`?")),
                    cycle: Vec::new(),
                });
                continue;
            };
            problems.extend(executor.check(node.spec()).into_iter().map(|problem| PlanProblem {
                code: problem.code,
                component: component.clone(),
                pointer: problem.pointer,
                message: problem.message,
                hint: problem.hint,
                cycle: Vec::new(),
            }));
        }
        problems
    }

    /// Who carries out this kind.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Executor>> {
        self.0.get(kind)
    }
}

impl fmt::Debug for Executors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
