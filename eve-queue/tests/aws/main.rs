//! SQS, S3 and STS: against moto what moto can do, against a receiver that lies what it cannot.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod answer;
mod identity;
mod lies;
mod payload;
mod source;
mod world;
