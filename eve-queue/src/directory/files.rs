//! The folders on the disk: taken over, listed, written, what was dealt with put away. Every step is a rename that is made durable.
//!
//! Links are never followed and nothing but regular files is opened; no name leaves the directory.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use eve_core::failure::Failure;
use rustix::fs::OFlags;

use super::names;
use super::scan::Claimed;

/// The folders of a directory, held by this process as long as this lives.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    is_new: bool,
    /// Of the directory, and of those that were in its place before: what was taken from them is under way in this process.
    locks: Mutex<Vec<File>>,
}

pub(super) const CLAIMED: &str = "claimed";
pub(super) const DONE: &str = "done";
pub(super) const REJECTED: &str = "rejected";
pub(super) const LOCK: &str = ".lock";

impl Folders {
    pub(super) fn open(root: PathBuf) -> Result<Self, Failure> {
        let is_new = fs::symlink_metadata(root.join(LOCK)).is_err();
        let folders = Self { root, is_new, locks: Mutex::default() };
        folders.make()?;
        folders.hold()?;
        Ok(folders)
    }

    /// Makes sure that the directory is the one that this process holds, and that it is whole: it may have been moved or removed
    /// meanwhile.
    ///
    /// # Errors
    /// `directory.held` while another process has what is in its place by now; `directory.io` if something was gone. Then it was
    /// made again, as far as that is possible.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        let gone = self.make()?;
        self.hold()?;
        let Some(path) = gone else { return Ok(()) };
        let message = format!("{} was gone, with all that was in it; it is made again", path.display());
        Err(Failure::transient("directory.io", message))
    }

    /// Makes what is missing; returns the first that was.
    fn make(&self) -> Result<Option<PathBuf>, Failure> {
        let folders = [CLAIMED, DONE, REJECTED].map(|folder| self.root.join(folder));
        let missing = std::iter::once(&self.root).chain(&folders).find(|path| is_gone(path)).cloned();
        if missing.is_some() {
            for path in &folders {
                fs::create_dir_all(path).map_err(|error| io_failure("create", path, &error))?;
            }
        }
        Ok(missing)
    }

    /// Takes the lock of what is at the path now, unless it is one of those that this process has.
    fn hold(&self) -> Result<(), Failure> {
        let path = self.root.join(LOCK);
        let failed = |error: io::Error| io_failure("lock", &path, &error);
        let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(there) = fs::symlink_metadata(&path) {
            let same = |lock: &File| lock.metadata().is_ok_and(|own| identity(&own) == identity(&there));
            if locks.iter().any(same) {
                return Ok(());
            }
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another process receives plans from {}", self.root.display());
                return Err(Failure::permanent("directory.held", message)
                    .with_hint("end it first, or give this one a directory of its own"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        // What was removed nobody else can find.
        locks.retain(|lock| lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0));
        locks.push(lock);
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether no process had this directory before.
    pub(super) const fn are_new(&self) -> bool {
        self.is_new
    }

    pub(super) fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    /// What a process that is gone had claimed, oldest first.
    pub(super) fn claimed(&self) -> Result<Vec<Claimed>, Failure> {
        let mut found = Vec::new();
        for (name, _) in list(&self.root.join(CLAIMED))? {
            if let Some((request, count)) = names::read_claimed(&name) {
                found.push((names::number(&request), Claimed { request, count }));
            }
        }
        found.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.request.cmp(&y.request)));
        Ok(found.into_iter().map(|(_, claimed)| claimed).collect())
    }

    /// The greatest number of a request that is still known here.
    pub(super) fn last_number(&self) -> Result<u64, Failure> {
        let mut last = 0;
        for folder in [CLAIMED, DONE, REJECTED] {
            let names = list(&self.root.join(folder))?;
            last = names.iter().filter_map(|(name, _)| names::number(name)).fold(last, u64::max);
        }
        Ok(last)
    }

    /// Puts a claimed file where those are that were dealt with.
    pub(super) fn finish(&self, claimed: &Claimed) -> Result<(), Failure> {
        self.put_away(claimed, DONE)
    }

    /// Puts a claimed file where nobody looks for plans, with the reason.
    pub(super) fn reject(&self, claimed: &Claimed, reason: &str) -> Result<(), Failure> {
        self.make()?;
        let name = format!("{}.reason.txt", claimed.request);
        write(&self.root.join(REJECTED), &name, format!("{reason}\n").as_bytes())?;
        self.put_away(claimed, REJECTED)
    }

    fn put_away(&self, claimed: &Claimed, folder: &str) -> Result<(), Failure> {
        self.make()?;
        let from = self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let to = self.path(folder, &claimed.request);
        match fs::rename(&from, &to) {
            // An earlier call got as far as here, or somebody took the file away: it is delivered to nobody any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_gone(&from) => {}
            result => result.map_err(|error| io_failure("put away", &from, &error))?,
        }
        sync(&self.root.join(folder))?;
        sync(&self.root.join(CLAIMED))
    }

    /// Removes the oldest of what was put away, with what stands beside it, until so many are left.
    pub(super) fn thin_out(&self, kept_max: usize) -> Result<(), Failure> {
        for folder in [DONE, REJECTED] {
            let mut requests: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
            let found = list(&self.root.join(folder))?;
            let there: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            // The outcome of a request that this source did not name stands beside no plan.
            let is_alone = |name: &str| {
                name.strip_suffix(names::OUTCOME).is_some_and(|request| !there.contains(request))
            };
            for (name, path) in &found {
                let is_plan = names::read_claimed(&names::claimed(name, 1)).is_some() || is_alone(name);
                // When it was put away; when it was written says nothing of that.
                let at = path.symlink_metadata().map(|metadata| {
                    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
                    let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
                    std::time::UNIX_EPOCH + std::time::Duration::new(seconds, nanos)
                });
                if let (true, Ok(at)) = (is_plan, at) {
                    requests.push((at, path.clone()));
                }
            }
            requests.sort();
            let surplus = requests.len().saturating_sub(kept_max);
            for (_, path) in requests.into_iter().take(surplus) {
                for ending in ["", names::OUTCOME, ".reason.txt"] {
                    let mut name = path.clone().into_os_string();
                    name.push(ending);
                    // What is not removed now is removed next time.
                    let _ = fs::remove_file(name);
                }
            }
        }
        Ok(())
    }
}

/// Whether there is nothing of this name, not even a link.
pub(super) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Writes a file so that nobody ever sees half of it, and makes it durable.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (temporary, path) = (folder.join(format!(".{name}.new")), folder.join(name));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    });
    written.map_err(|error| io_failure("write", &path, &error))?;
    sync(folder)
}

/// The names in a folder that are text, with their paths.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let entries = entries(folder)?.into_iter();
    Ok(entries.filter_map(|(name, path)| Some((name.into_string().ok()?, path))).collect())
}

/// What is in a folder, by name.
pub(super) fn entries(folder: &Path) -> Result<Vec<(OsString, PathBuf)>, Failure> {
    let failed = |error: io::Error| io_failure("list", folder, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        found.push((entry.file_name(), entry.path()));
    }
    found.sort();
    Ok(found)
}

pub(super) fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_failure("sync", folder, &error))
}

pub(super) fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Disks fill up and are mounted again: what fails may well succeed later.
fn io_failure(act: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::transient("directory.io", format!("cannot {act} {}: {error}", path.display()))
}
