//! The daemon of eve: takes plans from a source, runs them in one cluster, tells how they ended.

pub mod config;
