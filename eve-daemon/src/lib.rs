//! The daemon of eve: takes plans from a source, runs them in one cluster, tells how they ended.

pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
mod credentials;
pub mod folder;
pub mod forget;
pub mod health;
pub mod http;
pub mod intake;
pub mod journal;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod notifiers;
pub mod outages;
pub mod problems;
pub mod queue;
pub mod run;
pub mod run_log;
pub mod secrets;
pub mod sources;
pub mod start_error;
pub mod undelivered;
pub mod validate;
pub mod watched;
pub mod wiring;
