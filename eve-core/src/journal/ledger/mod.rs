//! The lasting form of a [`LedgerRecord`]: one JSON object, the version first, names short, defaults left out. Pure.
//!
//! The rules are those of the [records of runs](super): the names stand in this module and nowhere else, unknown fields and
//! words are refused, `v` is the lowest version that can say what the record says. The chain of a ledger begins at the head
//! that stood before its last [`LedgerEvent::Compacted`](crate::scheduler::LedgerEvent::Compacted), so that what was removed
//! is missed by nobody and everything else is.

mod convert;
mod form;
#[cfg(test)]
mod tests;

use super::JournalError;
use super::chain::{self, Chain, Entry, Head};
use crate::scheduler::LedgerRecord;

/// The newest version of the form that this eve reads and writes.
///
/// 2: what became of components, and a stop that stops nothing. 3: the numbers of plans.
pub const VERSION: u32 = 3;

/// The lasting form of a record. The same record gives the same bytes, in every release that writes this version.
pub fn encode(record: &LedgerRecord) -> Vec<u8> {
    form::write(record)
}

/// The record that was [encoded](encode) so.
///
/// # Errors
/// [`JournalError::Newer`] and [`JournalError::Malformed`].
pub fn decode(bytes: &[u8]) -> Result<LedgerRecord, JournalError> {
    form::read(bytes)
}

/// The chain of a ledger without records.
pub fn begin() -> Chain {
    Chain::of(b"eve ledger 1\0", b"")
}

/// The records of a ledger that is as it was written: from the one after `base` to the one that `head` names, in order.
///
/// # Errors
/// As [`verify`](super::verify).
pub fn verify<Bytes: AsRef<[u8]>>(
    base: Head,
    entries: impl IntoIterator<Item = Entry<Bytes>>,
    head: Head,
) -> Result<Vec<LedgerRecord>, JournalError> {
    chain::walk(Chain::after(base), entries, head, |bytes| {
        let record = decode(bytes)?;
        Ok((record.seq, record))
    })
}

fn malformed(reason: impl Into<String>) -> JournalError {
    JournalError::Malformed { reason: reason.into() }
}
