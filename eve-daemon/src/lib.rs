//! The daemon of eve: takes plans from a source, runs them in one cluster, tells how they ended.

pub mod cli;
pub mod commands;
pub mod config;
pub mod health;
pub mod http;
pub mod metrics;
pub mod problems;
