//! Locks that end with the process that holds them, and say who that is.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use eve_core::ids::RunId;
use eve_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::open_file;
use crate::error::FileError;

/// How often a lock is tried for that others only look at.
const LOOKS_MAX: u32 = 10_000;
/// The most bytes of a lock file that are read.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Who holds a run: a live process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The number of the process.
    #[serde(rename = "pid")]
    pub process: u32,
    /// The machine it runs on.
    #[serde(rename = "host")]
    pub host: String,
    /// Since when it holds the run.
    #[serde(rename = "since")]
    pub since: Timestamp,
    /// The run.
    #[serde(rename = "run")]
    pub run: RunId,
}

impl Holder {
    /// This process, from now on.
    pub(crate) fn me(run: &RunId) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { process: std::process::id(), host, since: now(), run: run.clone() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, host, since, run } = self;
        let seconds = now().since(*since).as_secs();
        write!(f, "process {process} on {host} with run {run}, for {seconds} s")
    }
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}

/// A lock that is held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at once, or says who has it. `what` is what it stands for.
    pub(crate) fn take(path: &Path, what: &str, run: &RunId) -> Result<Self, FileError> {
        let failed = |error: std::io::Error| FileError::io("lock", path, &error);
        let mut file = open("lock", path, Make::IfMissing)?;
        if !exclusive(&file).map_err(failed)? {
            let holder = read(&mut file).map(Box::new);
            return Err(FileError::Held { what: what.to_owned(), holder });
        }
        let me = serde_json::to_vec(&Holder::me(run)).unwrap_or_default();
        file.set_len(0).and_then(|()| file.write_all(&me)).map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock.
    pub(crate) fn holder(path: &Path) -> Result<HeldBy, FileError> {
        let failed = |error: std::io::Error| FileError::io("look at", path, &error);
        let mut file = match open("look at", path, Make::Never) {
            Err(FileError::Missing { .. }) => return Ok(HeldBy::Nobody),
            opened => opened?,
        };
        // Shared: two that look do not take each other for a holder.
        match file.try_lock_shared() {
            Ok(()) => Ok(HeldBy::Nobody),
            Err(TryLockError::WouldBlock) => Ok(HeldBy::Somebody(read(&mut file))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Whether the lock could be had. Somebody who only looks is gone again at once, and does not count.
fn exclusive(file: &File) -> std::io::Result<bool> {
    for _ in 0..LOOKS_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match file.try_lock_shared() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        std::thread::yield_now();
    }
    Ok(false)
}

/// Who holds a lock.
pub(crate) enum HeldBy {
    Nobody,
    /// A process, where it can be read which.
    Somebody(Option<Holder>),
}

#[derive(Clone, Copy)]
enum Make {
    IfMissing,
    Never,
}

fn open(doing: &'static str, path: &Path, make: Make) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    if let Make::IfMissing = make {
        options.write(true).create(true).truncate(false).mode(0o600);
    }
    open_file(doing, path, &mut options)
}

fn read(file: &mut File) -> Option<Holder> {
    file.rewind().ok()?;
    let mut text = Vec::new();
    file.take(HOLDER_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
