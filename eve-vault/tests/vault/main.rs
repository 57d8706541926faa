//! The resolver on a real Vault, and on fakes where a real one cannot be made to misbehave. Values and tokens are canaries
//! everywhere: `support::Watch` sees that none of them comes out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]

mod at_once;
mod away;
mod fake;
mod fakes;
mod leaks;
mod login;
mod reads;
mod support;
