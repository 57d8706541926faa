//! Plans with secrets, from a real Vault into a real control plane: a value gets to the Secret that the plan names and
//! nowhere else, whatever is said, stored or refused on the way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

mod desk;
mod leaks;
mod refusals;
mod resume;
mod rollback;
mod success;
mod watch;
