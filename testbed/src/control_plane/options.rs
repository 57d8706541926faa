//! What a control plane is to consist of. Data only.

use crate::servers::Server;

const WITHOUT_KWOK: [Server; 4] =
    [Server::Etcd, Server::KubeApiserver, Server::KubeControllerManager, Server::KubeScheduler];
const API_SERVER: [Server; 2] = [Server::Etcd, Server::KubeApiserver];

/// What a control plane is to consist of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    pub(super) nodes: u16,
    servers: &'static [Server],
}

impl Default for Options {
    /// Three nodes, with kwok.
    fn default() -> Self {
        Self { nodes: 3, servers: &Server::CONTROL_PLANE }
    }
}

impl Options {
    /// The default: three nodes, with kwok.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many nodes there are, each with 64 CPUs, 256 GiB and room for 500 pods; 0 is allowed.
    #[must_use]
    pub fn nodes(mut self, nodes: u16) -> Self {
        self.nodes = nodes;
        self
    }

    /// Nobody plays the kubelets: pods are bound to nodes and stay `Pending`. After 10 min the nodes count as lost.
    #[must_use]
    pub fn without_kwok(mut self) -> Self {
        self.servers = &WITHOUT_KWOK;
        self
    }

    /// Only etcd and the API server: nobody but clients changes anything, there are no nodes, no namespace gets a default
    /// service account, and what is deleted in the foreground, namespaces among it, never goes.
    #[must_use]
    pub fn without_controllers(mut self) -> Self {
        self.nodes = 0;
        self.servers = &API_SERVER;
        self
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = Server> {
        self.servers.iter().copied()
    }

    /// Whether somebody makes the default service account of each namespace.
    pub(super) fn has_controllers(&self) -> bool {
        self.servers().any(|server| server == Server::KubeControllerManager)
    }
}
