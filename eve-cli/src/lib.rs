//! The command line of eve as a library, so that its tests and its generated documents can reach it.
//!
//! Nothing here is an interface for other programs; those use `eve-core`. Start with [`cli`] for what can be said on the
//! command line, with `commands` for what is then done, with `wiring` and `vault` for what is
//! connected to what.

pub mod cli;
pub mod commands;
pub mod diagnose;
mod duration;
pub mod exit;
#[cfg(feature = "fail-points")]
mod fail_points;
mod halt;
mod inputs;
mod journal;
mod outline;
mod output;
mod signals;
mod sketch;
mod vault;
mod wiring;
