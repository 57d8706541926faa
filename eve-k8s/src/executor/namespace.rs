//! Whether the namespace of a plan is there. Reads only.

use std::sync::Arc;

use eve_core::plan::Action;
use eve_core::plan::graph::Graph;

use super::KubeExecutor;
use crate::client::{Location, Namespace};
use crate::discovery::Scope;
use crate::error::ApiError;
use crate::object;
use crate::path::PathSegment;
use crate::survey::lock;

impl KubeExecutor {
    /// Whether the namespace of the graph's plan is there; `None` where that may not be asked.
    ///
    /// An object in it tells: the list of one kind of the plan, which the run of this graph needs anyway. Only where it
    /// holds nothing of the plan the namespace itself is read. Cancel safe.
    ///
    /// # Errors
    /// The namespace could not be read.
    pub async fn has_namespace(&self, graph: &Arc<Graph>) -> Result<Option<bool>, ApiError> {
        if let Some(place) = self.first_inside(graph)
            && self.surveys.shows(graph, &place, &self.live).await
        {
            return Ok(Some(true));
        }
        let name = PathSegment::namespace(graph.namespace())?;
        Ok(match self.namespace_now(graph, &name).await? {
            Namespace::There(_) => Some(true),
            Namespace::Absent => Some(false),
            Namespace::Unseen => None,
        })
    }

    /// The namespace as it was when it was first read for the run of this graph.
    pub(super) async fn namespace_now(
        &self,
        graph: &Arc<Graph>,
        name: &PathSegment,
    ) -> Result<Namespace, ApiError> {
        let leaving = self.surveys.leaving(graph);
        let known = lock(&leaving.read).get(name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let read = self.client.namespace(name).await?;
        lock(&leaving.read).insert(name.clone(), read.clone());
        Ok(read)
    }

    /// The first object of the plan that is applied in its namespace and of which a list may be made.
    fn first_inside(&self, graph: &Graph) -> Option<Location> {
        let kinds = self.kinds();
        graph.ids().map(|id| graph.node(id)).filter(|node| node.action() == Action::Apply).find_map(|node| {
            let (_, identity) = object::identify(node.spec()).ok()?;
            let resource = kinds.find(identity.api_version, identity.kind).ok()?;
            let is_inside = resource.scope == Scope::Namespaced
                && identity.namespace.is_none_or(|namespace| namespace == graph.namespace());
            if !is_inside || !resource.watchable {
                return None;
            }
            let namespace = Some(PathSegment::namespace(graph.namespace()).ok()?);
            Some(Location { resource, namespace, name: PathSegment::name(identity.name).ok()? })
        })
    }
}
