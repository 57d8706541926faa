//! What a control plane is to consist of. Data only.

use crate::servers::Server;

/// What a control plane is to consist of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    pub(super) nodes: u16,
    kwok: bool,
}

impl Default for Options {
    /// Three nodes, with kwok.
    fn default() -> Self {
        Self { nodes: 3, kwok: true }
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

    /// Nobody plays the kubelets: pods are bound to nodes and stay `Pending`. After 40 s the nodes count as lost.
    #[must_use]
    pub fn without_kwok(mut self) -> Self {
        self.kwok = false;
        self
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = Server> {
        let kwok = self.kwok;
        Server::CONTROL_PLANE.into_iter().filter(move |server| kwok || *server != Server::Kwok)
    }
}
