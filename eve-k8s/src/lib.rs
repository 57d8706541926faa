//! Kubernetes as a backend of eve: composite kinds that become objects, and the executor that makes the objects so.
//!
//! Knows the core and the Kubernetes API; knows no other backend and no terminal, and reads no file but a kubeconfig.
//!
//! ```no_run
//! # async fn demo(graph: eve_core::plan::graph::Graph) -> Result<(), Box<dyn std::error::Error>> {
//! use eve_k8s::{KubeConfigOptions, KubeExecutor, ScopePolicy, connect, preflight};
//!
//! let client = connect(&KubeConfigOptions::default()).await?;
//! let kinds = client.discover().await?;
//! let problems = preflight(&graph, &kinds, &ScopePolicy::default());
//! assert!(problems.is_empty(), "nothing is written where a plan reaches too far");
//! let executor = KubeExecutor::builder(client).with_kinds(kinds).build();
//! # let _ = executor; Ok(()) }
//! ```

mod account;
mod body;
mod client;
mod config;
mod controllers;
pub mod diff;
mod discovery;
mod error;
mod executor;
mod fields;
mod idle;
pub mod infer;
mod interest;
mod inventory;
pub mod kinds;
pub mod labels;
mod live;
mod normal;
mod object;
mod owned;
mod pace;
mod path;
mod pattern;
mod preflight;
mod proxy;
pub mod readiness;
mod reasons;
mod restore;
mod scaled;
mod snapshot;
mod survey;

pub use client::{Ensured, KubeClient};
pub use config::{Chosen, ConnectError, KubeConfigOptions, chosen, connect, context_namespace, init};
pub use discovery::{Kinds, Scope, UnknownKind};
pub use error::{ApiError, ApiStatus, StatusCause, StatusDetails};
pub use executor::{
    Adopted, Difference, Explanation, Followed, KEPT, KubeExecutor, KubeExecutorBuilder, NO_STATUS,
    TAKEN_OVER, TakeOver,
};
pub use inventory::{Installed, Inventory, InventoryScope, LeftOver, inventory, plan_of};
pub use object::OBJECT_KIND;
pub use path::{PathError, PathSegment};
pub use pattern::{BadObjectPattern, ObjectPattern};
pub use preflight::{BadPattern, KindPattern, ScopePolicy, preflight, preflight_offline};
pub use reasons::{Grace, Graces, Trouble, UnknownTrouble};
