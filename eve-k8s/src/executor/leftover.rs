//! What a plan once made and does not name any more: as far as the lists of its run show it. Asks nothing.

use std::sync::Arc;

use eve_core::plan::graph::Graph;

use super::KubeExecutor;
use crate::inventory::LeftOver;

impl KubeExecutor {
    /// The objects of the graph's plan that are in the cluster and not in the graph, by namespace, kind and name.
    ///
    /// Known are those of kinds that the graph names too, in the namespaces that it names them in, once these were listed
    /// for its run: nothing is asked here. What is being deleted, or is marked to be kept, is not among them.
    pub fn left_over(&self, graph: &Arc<Graph>) -> Vec<LeftOver> {
        self.surveys.left_over(graph)
    }
}
