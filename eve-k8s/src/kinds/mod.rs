//! Composite kinds: a spec of the plan in, Kubernetes objects out. Pure; no client, no I/O.
//!
//! `manifests` takes objects as they are; `object` knows what every object must look like, `known` what the API of
//! Kubernetes itself has.

mod contents;
mod dynamic;
pub(crate) mod known;
mod manifests;
mod metadata;
mod object;
mod outputs;
mod twins;

pub(crate) use outputs::ADDRESS;

pub use manifests::{HelmHooks, Manifests};
