//! Plans, the graph of their components, and the pure engine that runs them.
//!
//! ```text
//!   Plan ──▶ Graph ──▶ Run ◀── Input    what has happened: a call ended, progress, stop, time
//!                       │
//!                       ├───▶ Record   what was decided: stored before any effect
//!                       └───▶ Command  what to do next: call a phase of an Executor
//! ```
//!
//! A [`plan::Plan`] is read once into a [`plan::graph::Graph`]; a [`run::Run`] executes it without knowing clock, disk or
//! network; the `driver` module (feature `driver`) is the loop that joins it to the [`ports`]. This crate knows no backend.
//!
//! Where to start: [`run`] for the engine, [`ports`] for what a backend implements, [`plan`] for what is asked for.

pub mod digest;
pub mod expr;
pub mod failure;
pub mod few;
pub mod ids;
pub mod journal;
pub mod kind;
pub mod plan;
pub mod ports;
pub mod run;
pub mod run_store;
pub mod scheduler;
pub mod secret;
pub mod time;

#[cfg(feature = "driver")]
pub mod driver;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
