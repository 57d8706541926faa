//! The lasting form of a [`Record`], and the chain of checksums that binds the records of a run. Pure.
//!
//! ```text
//!   Record ──encode──▶ bytes ──Chain──▶ link    covers the link before, the place, the bytes
//!   Record ◀─decode─── bytes ◀─verify── link    or where the damage is
//! ```
//!
//! # The form
//!
//! One JSON object for each record, the version first, names short, defaults left out:
//! `{"v":1,"n":4,"t":1763596804000000,"e":{"start":{"c":0}}}`. The names stand in this module and nowhere else, apart from
//! those of the Rust items, so that renaming an item cannot change what was stored. Unknown fields and words are refused.
//!
//! `v` is the lowest version that has everything that the record says. A later eve that stores a new event gives only
//! those records the next version; an older eve reads everything before them and then says [`JournalError::Newer`].
//! What was left out because it is the default of version 1 keeps that meaning for ever; the options of a run are all
//! written, because their defaults may change.
//!
//! # No secret
//!
//! A record holds numbers, words of this module, and text in the fields that `form.rs` names; the type of a secret,
//! [`SecretValue`](crate::secret::SecretValue), can be neither shown nor serialised, so that nothing here can take one:
//!
//! ```compile_fail
//! use eve_core::run::Outputs;
//! use eve_core::secret::SecretValue;
//! let outputs = Outputs::NONE.with("password", SecretValue::new("hunter2"));
//! ```
//!
//! The text of failures, causes, tokens and outputs is made by executors, which promise to put no secret into it
//! ([`Executor`](crate::ports::Executor)). The spec of a component, where secrets are used, is not in any event.
//!
//! # Example
//!
//! ```
//! use eve_core::ids::{Attempt, ComponentId, RunId, Seq};
//! use eve_core::journal::{self, Chain, Entry};
//! use eve_core::run::{Event, Record};
//! use eve_core::time::Timestamp;
//!
//! let event = Event::Started { component: ComponentId::new(0), attempt: Attempt::FIRST };
//! let record = Record { seq: Seq::FIRST, at: Timestamp::from_micros(7), event };
//! let bytes = journal::encode(&record);
//! assert_eq!(bytes, br#"{"v":1,"n":1,"t":7,"e":{"start":{"c":0}}}"#);
//!
//! let run = RunId::new("run-1");
//! let mut chain = Chain::new(&run);
//! let link = chain.push(&bytes);
//! let stored = [Entry { seq: 1, bytes: &bytes, link }];
//! assert_eq!(journal::verify(&run, stored, chain.head())?, [record]);
//! # Ok::<(), journal::JournalError>(())
//! ```

mod chain;
mod form;
pub mod ledger;
#[cfg(test)]
mod tests;
mod words;

pub use chain::{Chain, Entry, Head, Link, verify};

use crate::run::Record;

/// The newest version of the form that this eve reads and writes.
pub const VERSION: u32 = 5;

/// A stored record or log cannot be taken for what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The record is of a version that this eve does not know. Nothing is damaged: use that eve, or a newer one.
    #[error("written by a newer eve: format {found}, this one reads up to {VERSION}")]
    Newer {
        /// The version of the record.
        found: u32,
    },
    /// The bytes are no record of any version.
    #[error("not a record: {reason}")]
    Malformed {
        /// What is wrong with them.
        reason: String,
    },
    /// The log is not what was written. Every record before this place is as it was.
    #[error("record {seq} {reason}")]
    Damaged {
        /// The place of the first record that cannot be relied on.
        seq: u64,
        /// What is wrong with it, as the end of a sentence.
        reason: String,
    },
}

/// The lasting form of a record. The same record gives the same bytes, in every release that writes this version.
pub fn encode(record: &Record) -> Vec<u8> {
    form::write(record)
}

/// The record that was [encoded](encode) so.
///
/// # Errors
/// [`JournalError::Newer`] and [`JournalError::Malformed`].
pub fn decode(bytes: &[u8]) -> Result<Record, JournalError> {
    form::read(bytes)
}
