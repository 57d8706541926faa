//! What can stand between eve and its files, in words for people: what, where, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use eve_core::ids::RunId;
use eve_core::journal::JournalError;
use eve_core::ports::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};

use crate::lock::Holder;

/// A file of runs, or the folder they lie in, cannot be used. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file was not made by eve.
    #[error("{} is not a file of runs: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What gives it away.
        reason: String,
    },
    /// The file is of a format that this eve does not know. Nothing was changed.
    #[error("{} was written by a newer eve: format {found}, this one knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this eve knows.
        known: u32,
    },
    /// The file is not what was written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No room is left. Nothing of the append was kept.
    #[error("the disk of {} is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file, its folder or its file system may not be written.
    #[error("{} cannot be written: it, its folder or its disk is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The disk did not confirm what was written; whether it is there cannot be known before the file is opened anew.
    #[error("the disk of {} did not confirm a write", path.display())]
    SyncFailed {
        /// The file.
        path: PathBuf,
    },
    /// Another process did not let go of the file in time.
    #[error("{} is locked by another process for too long", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A live process holds the run or its plan.
    #[error("{what} is held by {}", holder.as_deref().map_or_else(|| "another process".to_owned(), Holder::to_string))]
    Held {
        /// What is held.
        what: String,
        /// Who holds it, where that could be read.
        holder: Option<Box<Holder>>,
    },
    /// There is a run of this name already.
    #[error("{} exists already", path.display())]
    Exists {
        /// Its file.
        path: PathBuf,
    },
    /// Other users may read what is meant for one alone.
    #[error("{} may be used by other users: its mode is {mode:03o}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What lies where a file should be is none: a folder, a pipe, a device.
    #[error("{} is no file", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
    },
    /// The key of keyed hashes is none.
    #[error("{} is no key: {reason}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What gives it away.
        reason: String,
    },
    /// The key of keyed hashes is missing, and there are records with hashes of it.
    #[error("{} is missing: it is the key of what the journal beside it says about secrets", path.display())]
    LostKey {
        /// Where it was.
        path: PathBuf,
    },
    /// The key of keyed hashes is not the one that they were made with.
    #[error("{} is another key than the one of {}", path.display(), of.display())]
    OtherKey {
        /// The key.
        path: PathBuf,
        /// What has hashes of another one.
        of: PathBuf,
    },
    /// The file belongs to another cluster. Nothing was changed.
    #[error("{} belongs to another cluster: its `kube-system` had the uid {known}, and that of this one has {found}", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The identity of its cluster.
        known: String,
        /// That of the cluster at hand.
        found: String,
    },
    /// The run's name cannot be that of a file.
    #[error("a run cannot be called {0:?}: 1 to 128 of a-z, A-Z, 0-9, '-', '_' and '.', not '.' first")]
    BadRunId(RunId),
    /// The environment names no place for state.
    #[error(
        "there is no place for the state of runs: neither XDG_STATE_HOME nor HOME is set to an absolute path"
    )]
    NoPlace,
    /// An append failed before; since then nothing is appended.
    #[error("nothing is appended after a failure: {0}")]
    Poisoned(Box<Self>),
    /// Records came out of order: the caller broke the contract of the port.
    #[error("record {found} of run {run} was given where record {expected} should follow")]
    OutOfOrder {
        /// The run.
        run: RunId,
        /// The place that is next.
        expected: u64,
        /// The place that the record names.
        found: u64,
    },
    /// Another process has added to the ledger since this one read it. Nothing of the append was kept.
    #[error("another process has taken over {}", path.display())]
    TakenOver {
        /// The file.
        path: PathBuf,
    },
    /// The thread that owns the file is gone.
    #[error("the writer of {} has ended", path.display())]
    WriterGone {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the operating system or SQLite has to say.
    #[error("failed to {doing} {}: {reason}", path.display())]
    Io {
        /// What was wanted, as a verb.
        doing: &'static str,
        /// Of what.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
}

impl FileError {
    /// What to do about it, for people.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "see which runs there are; finished ones are removed after a while",
            Self::Foreign { .. } => "move the file elsewhere; eve did not make it and does not touch it",
            Self::Newer { .. } => "use the eve that wrote it, or a newer one",
            Self::Damaged { .. } => {
                "keep a copy of the file and check the disk; applying the plan again starts a new run from what the \
                 cluster has"
            }
            Self::Full { .. } => "make room, then resume the run; what was stored is kept",
            Self::ReadOnly { .. } => {
                "make the folder writable, or point XDG_STATE_HOME to one that is, then resume the run"
            }
            Self::SyncFailed { .. } => {
                "check the disk, then resume the run: it goes on from what the disk has in fact"
            }
            Self::Busy { .. } => "end the process that holds it, then resume the run",
            Self::Held { .. } => "wait for it, cancel it, or end the process",
            Self::TakenOver { .. } => "end this process: the other one goes on with all that was stored",
            Self::Exists { .. } => "choose another name for the run",
            Self::Exposed { .. } => "take it away from others: chmod go= FILE",
            Self::NoFile { .. } => "move it away; eve did not make it",
            Self::BadKey { .. } => {
                "bring the file back as it was, or move it away: a new one is made then, and runs that were interrupted \
                 can only be started anew"
            }
            Self::LostKey { .. } => "bring the file back from a copy of the folder",
            Self::OtherKey { .. } => "bring the key back as it was, from a copy of the folder",
            Self::OtherCluster { .. } => "bring the kubeconfig back as it was",
            Self::BadRunId(_) => "take the name from the list of runs",
            Self::NoPlace => "set XDG_STATE_HOME to an absolute path",
            Self::Poisoned(first) => first.hint(),
            Self::OutOfOrder { .. } | Self::WriterGone { .. } => {
                "this is a bug of the program; the run can be resumed from what was stored"
            }
            Self::Io { .. } => "mend what is named, then try again; what was stored is kept",
        }
    }

    /// What the operating system says, about this file.
    pub(crate) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is left is told in the system's own words")]
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { doing, path, reason: error.to_string() },
        }
    }

    /// What SQLite says, about this file.
    pub(crate) fn sqlite(doing: &'static str, path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let reason = error.to_string();
        let Some(code) = error.sqlite_error() else {
            // What is in the file is not of the type that this eve writes.
            return Self::Damaged { path, reason };
        };
        if [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC].contains(&code.extended_code) {
            return Self::SyncFailed { path };
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is left is told in SQLite's own words")]
        match code.code {
            ErrorCode::DiskFull => Self::Full { path },
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
                Self::ReadOnly { path }
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy { path },
            ErrorCode::DatabaseCorrupt
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown => Self::Damaged { path, reason },
            ErrorCode::NotADatabase => Self::Foreign { path, reason: "it is no SQLite database".to_owned() },
            _ => Self::Io { doing, path, reason },
        }
    }

    /// What the journal says, about this file.
    pub(crate) fn journal(path: &Path, error: &JournalError) -> Self {
        let path = path.to_owned();
        match error {
            JournalError::Newer { found } => {
                Self::Newer { path, found: *found, known: eve_core::journal::VERSION }
            }
            JournalError::Malformed { .. } | JournalError::Damaged { .. } | _ => {
                Self::Damaged { path, reason: error.to_string() }
            }
        }
    }

    /// The same for the port, about this run.
    pub(crate) fn into_store_error(self, run: Option<&RunId>) -> StoreError {
        match (self, run) {
            (Self::Damaged { reason, .. }, Some(run)) => StoreError::Corrupt { run: run.clone(), reason },
            (other, _) => StoreError::Unavailable { reason: Told(&other).to_string() },
        }
    }
}

/// An error with its advice, on one line.
struct Told<'a>(&'a FileError);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.0.hint())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of(code: i32) -> FileError {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        FileError::sqlite("append to", Path::new("/runs/r.run"), &error)
    }

    #[test]
    fn each_way_to_fail_has_words_of_its_own() {
        let path = || PathBuf::from("/runs/r.run");
        for (code, expected) in [
            (ffi::SQLITE_FULL, FileError::Full { path: path() }),
            (SQLITE_IOERR_FSYNC, FileError::SyncFailed { path: path() }),
            (SQLITE_IOERR_DIR_FSYNC, FileError::SyncFailed { path: path() }),
            (ffi::SQLITE_READONLY, FileError::ReadOnly { path: path() }),
            (ffi::SQLITE_CANTOPEN, FileError::ReadOnly { path: path() }),
            (ffi::SQLITE_BUSY, FileError::Busy { path: path() }),
        ] {
            assert_eq!(of(code), expected, "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX] {
            assert!(matches!(of(code), FileError::Damaged { .. }), "{code}");
        }
        assert!(matches!(of(ffi::SQLITE_NOTADB), FileError::Foreign { .. }));
        assert!(matches!(of(ffi::SQLITE_IOERR_WRITE), FileError::Io { doing: "append to", .. }));
    }

    #[test]
    fn the_port_is_told_what_to_do() {
        let said = FileError::Full { path: "/r".into() }.into_store_error(None).to_string();
        assert!(said.contains("the disk of /r is full") && said.contains("resume the run"), "{said}");
        let first = FileError::SyncFailed { path: "/r".into() };
        let said = FileError::Poisoned(Box::new(first)).into_store_error(None).to_string();
        assert!(
            said.contains("nothing is appended after a failure") && said.contains("check the disk"),
            "{said}"
        );
    }
}
