//! The secrets of runs, on a real Vault: how often it is asked, and for how long what it said is kept.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

mod desk;
mod keys;
mod tries;
