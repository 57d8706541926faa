//! Checksums chained from record to record: a log that lost, gained, moved or changed a record does not verify.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{JournalError, decode};
use crate::ids::{RunId, Seq};
use crate::run::Record;

/// What the first link of every log covers besides its run, so that no other hash can be taken for one.
const DOMAIN: &[u8] = b"eve journal 1\0";

/// A checksum over a record and everything before it: the first 16 bytes of a SHA-256.
///
/// It finds damage. It does not keep out somebody who may write the file: there is no key in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link([u8; Self::BYTES]);

impl Link {
    /// The length of a link: at 128 bits no accident in the life of a log goes unseen.
    pub const BYTES: usize = 16;

    /// A link as it was stored.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn of(parts: [&[u8]; 3]) -> Self {
        let mut sum = Sha256::new();
        for part in parts {
            sum.update(part);
        }
        let mut link = [0; Self::BYTES];
        link.iter_mut().zip(sum.finalize()).for_each(|(kept, byte)| *kept = byte);
        Self(link)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// How long a log is and what it comes to; to be stored with it, so that a lost end is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The place of the last record; 0 for a log without any.
    pub seq: u64,
    /// The link of the last record; that of the run for a log without any.
    pub link: Link,
}

/// The chain of one run's log, to which records are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain(Head);

impl Chain {
    /// The chain of a log without records. Its link covers the run, so that no log verifies as another run's.
    pub fn new(run: &RunId) -> Self {
        Self::of(DOMAIN, run.as_str().as_bytes())
    }

    /// The chain of a log without records, of this kind and name.
    pub(super) fn of(domain: &[u8], name: &[u8]) -> Self {
        Self(Head { seq: 0, link: Link::of([domain, name, &[]]) })
    }

    /// The chain that goes on after this head.
    pub const fn after(head: Head) -> Self {
        Self(head)
    }

    /// Adds the next record, as it is stored, and gives its link: over the link before, its place, its bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Link {
        let seq = self.0.seq.saturating_add(1);
        let link = Link::of([self.0.link.as_bytes(), &seq.to_le_bytes(), bytes]);
        self.0 = Head { seq, link };
        link
    }

    /// Where the chain stands.
    pub const fn head(&self) -> Head {
        self.0
    }
}

/// A record as a store keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<Bytes> {
    /// Its place.
    pub seq: u64,
    /// Its [encoded](super::encode) form.
    pub bytes: Bytes,
    /// Its link.
    pub link: Link,
}

/// The records of a log that is as it was written: from the first to the one that `head` names, in order.
///
/// # Errors
/// [`JournalError::Damaged`] with the first place that cannot be relied on, be it changed, missing, doubled or beyond the
/// head; [`JournalError::Newer`] where all links hold and a record is of a newer version.
pub fn verify<Bytes: AsRef<[u8]>>(
    run: &RunId,
    entries: impl IntoIterator<Item = Entry<Bytes>>,
    head: Head,
) -> Result<Vec<Record>, JournalError> {
    walk(Chain::new(run), entries, head, |bytes| {
        let record = decode(bytes)?;
        Ok((record.seq, record))
    })
}

/// The same for a log of any records, from where its chain stands; `read` gives a record and the place it names.
pub(super) fn walk<Bytes: AsRef<[u8]>, T>(
    mut chain: Chain,
    entries: impl IntoIterator<Item = Entry<Bytes>>,
    head: Head,
    read: impl Fn(&[u8]) -> Result<(Seq, T), JournalError>,
) -> Result<Vec<T>, JournalError> {
    let damaged = |seq: u64, reason: &str| JournalError::Damaged { seq, reason: reason.to_owned() };
    let mut records = Vec::new();
    for entry in entries {
        let seq = chain.head().seq.saturating_add(1);
        if entry.seq != seq {
            return Err(damaged(seq, &format!("is missing: record {} stands in its place", entry.seq)));
        }
        if seq > head.seq {
            return Err(damaged(seq, "stands after the end of the log"));
        }
        let bytes = entry.bytes.as_ref();
        if chain.push(bytes) != entry.link {
            return Err(damaged(seq, "is not what was written: its checksum is another"));
        }
        let (named, record) = read(bytes).map_err(|error| match error {
            JournalError::Malformed { reason } => damaged(seq, &format!("cannot be read: {reason}")),
            other @ (JournalError::Newer { .. } | JournalError::Damaged { .. }) => other,
        })?;
        if named.get() != seq {
            return Err(damaged(seq, &format!("says that it is record {}", named.get())));
        }
        records.push(record);
    }
    let end = chain.head();
    if end.seq != head.seq {
        return Err(damaged(end.seq.saturating_add(1), &format!("is missing: {} were written", head.seq)));
    }
    if end.link != head.link {
        return Err(damaged(end.seq, "is not the one that the log ends with: its checksum is another"));
    }
    Ok(records)
}
