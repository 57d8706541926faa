//! The real `eve-daemon` on real servers: what goes in, what comes out, and what becomes of it when it is killed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by a panic, and so do the functions that only tests call; they take JSON as it is written"
)]

mod cloud;
mod desk;
mod directory;
mod function_keys;
mod home;
mod main_job;
mod planted;
mod refused;
mod restart;
mod sinks;
mod supersede;
mod undelivered;
