//! What a control plane of the testbed promises to tests: pods meet the fate that they ask for, and the audit log tells
//! who asked for what. Most tests share one control plane and take a namespace each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

mod audit;
mod follow;
mod pods;
mod servers;
mod workloads;
