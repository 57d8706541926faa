//! What touches the disk: looking, claiming, reading, settling. Every step is a rename that is made durable.
//!
//! Links are never followed and nothing but regular files is opened; no name leaves the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use eve_core::digest::Digest;
use eve_core::failure::Failure;
use eve_core::ports::Content;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

use super::names;
use super::scan::Claimed;
use crate::stop::Stop;

/// The folders of a directory, held by this process as long as this lives.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    _lock: File,
}

/// What a file looks like from outside: when any of it changes, somebody is at work on it. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Look {
    written_micros: u64,
    bytes: u64,
    inode: u64,
}

/// Something in the directory.
#[derive(Debug)]
pub(super) enum Entry {
    File(Look),
    Ignored(&'static str),
}

const CLAIMED: &str = "claimed";
pub(super) const DONE: &str = "done";
pub(super) const REJECTED: &str = "rejected";
const LOCK: &str = ".lock";

impl Folders {
    pub(super) fn open(root: PathBuf) -> Result<Self, Failure> {
        for folder in [CLAIMED, DONE, REJECTED] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|error| io_failure("create", &path, &error))?;
        }
        let path = root.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(&path)
            .map_err(|error| io_failure("open", &path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(Failure::permanent(
                "directory.held",
                format!("another process receives plans from {}", root.display()),
            )
            .with_hint("end it first, or give this one a directory of its own")),
            Err(fs::TryLockError::Error(error)) => Err(io_failure("lock", &path, &error)),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    /// What a process that is gone had claimed, oldest first.
    pub(super) fn claimed(&self) -> Result<Vec<Claimed>, Failure> {
        let mut found = Vec::new();
        for (name, _) in list(&self.root.join(CLAIMED))? {
            if let Some((request, count)) = names::read_claimed(&name) {
                let written = request.rsplit_once('@').and_then(|(_, time)| time.parse::<u64>().ok());
                found.push((written, Claimed { request, count }));
            }
        }
        found.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.request.cmp(&y.request)));
        Ok(found.into_iter().map(|(_, claimed)| claimed).collect())
    }

    /// Everything in the directory that could be meant as a plan.
    pub(super) fn waiting(&self) -> Result<Vec<(String, Entry)>, Failure> {
        let names = list(&self.root)?;
        let mut found = Vec::new();
        for (name, path) in names {
            if name.starts_with('.') || [CLAIMED, DONE, REJECTED].contains(&name.as_str()) {
                continue;
            }
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => {
                    found.push((name, Entry::Ignored("it is a link, and links are not followed")));
                }
                Ok(metadata) if metadata.is_file() => found.push((name, Entry::File(Look::of(&metadata)))),
                Ok(_) => found.push((name, Entry::Ignored("it is no regular file"))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_failure("look at", &path, &error)),
            }
        }
        Ok(found)
    }

    /// Takes a file; `None` if it is gone, or the same request is held already.
    pub(super) fn claim(&self, name: &str, look: &Look) -> Result<Option<Claimed>, Failure> {
        let claimed = Claimed { request: names::request(name, look.written_micros), count: 1 };
        let from = self.root.join(name);
        let to = self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        match rename(&from, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                sync(&self.root)?;
                sync(&self.root.join(CLAIMED))?;
                Ok(Some(claimed))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                Ok(None)
            }
            Err(error) => Err(io_failure("take", &from, &error)),
        }
    }

    /// Notes that a claimed file is delivered once more.
    pub(super) fn count_up(&self, claimed: &Claimed) -> Result<Claimed, Failure> {
        let next = Claimed { request: claimed.request.clone(), count: claimed.count.saturating_add(1) };
        let path = |claimed: &Claimed| self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let from = path(claimed);
        rename(&from, &path(&next), RenameFlags::empty())
            .map_err(|error| io_failure("take", &from, &error))?;
        sync(&self.root.join(CLAIMED))?;
        Ok(next)
    }

    /// What a claimed file holds, and the digest of it.
    pub(super) fn read(&self, claimed: &Claimed, bytes_max: u64) -> Result<(Digest, Content), Failure> {
        let path = self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let failed = |error: io::Error| io_failure("read", &path, &error);
        let file = OpenOptions::new()
            .read(true)
            // A pipe that was renamed in after the look must not hold this thread.
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(&path)
            .map_err(failed)?;
        let unusable = |code: &'static str, message: String| {
            let failure = Failure::permanent(code, message);
            Ok((Digest::of(claimed.request.as_bytes()), Content::Unusable { failure }))
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return unusable("queue.payload.unreadable", format!("{} is no regular file", claimed.request));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
            let message =
                format!("{} is larger than {bytes_max} bytes, the most that is read", claimed.request);
            return unusable("queue.payload.too-large", message);
        }
        let digest = Digest::of(&bytes);
        let content = if names::is_stop(&claimed.request) {
            match Stop::read(&bytes) {
                Ok(stop) => Content::Stop { mode: stop.mode(), request: stop.request_id.into() },
                Err(failure) => Content::Unusable { failure },
            }
        } else {
            Content::Plan { body: bytes.into() }
        };
        Ok((digest, content))
    }

    /// Puts a claimed file where those are that were dealt with.
    pub(super) fn finish(&self, claimed: &Claimed) -> Result<(), Failure> {
        self.put_away(claimed, DONE)
    }

    /// Puts a claimed file where nobody looks for plans, with the reason.
    pub(super) fn reject(&self, claimed: &Claimed, reason: &str) -> Result<(), Failure> {
        let name = format!("{}.reason.txt", claimed.request);
        write(&self.root.join(REJECTED), &name, format!("{reason}\n").as_bytes())?;
        self.put_away(claimed, REJECTED)
    }

    fn put_away(&self, claimed: &Claimed, folder: &str) -> Result<(), Failure> {
        let from = self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let to = self.path(folder, &claimed.request);
        match rename(&from, &to, RenameFlags::empty()) {
            // An earlier call got as far as here.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
            result => result.map_err(|error| io_failure("put away", &from, &error))?,
        }
        sync(&self.root.join(folder))?;
        sync(&self.root.join(CLAIMED))
    }

    /// Removes the oldest of what was put away, with what stands beside it, until so many are left.
    pub(super) fn thin_out(&self, kept_max: usize) -> Result<(), Failure> {
        for folder in [DONE, REJECTED] {
            let mut requests: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
            for (name, path) in list(&self.root.join(folder))? {
                let is_plan = names::read_claimed(&names::claimed(&name, 1)).is_some();
                // When it was put away; when it was written says nothing of that.
                let at = path.symlink_metadata().map(|metadata| {
                    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
                    let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
                    std::time::UNIX_EPOCH + std::time::Duration::new(seconds, nanos)
                });
                if let (true, Ok(at)) = (is_plan, at) {
                    requests.push((at, path));
                }
            }
            requests.sort();
            let surplus = requests.len().saturating_sub(kept_max);
            for (_, path) in requests.into_iter().take(surplus) {
                for ending in ["", ".outcome.json", ".reason.txt"] {
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

impl Look {
    fn of(metadata: &fs::Metadata) -> Self {
        let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
        let micros = u64::try_from(metadata.mtime_nsec()).unwrap_or_default() / 1000;
        let written_micros = seconds.saturating_mul(1_000_000).saturating_add(micros);
        Self { written_micros, bytes: metadata.len(), inode: metadata.ino() }
    }
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
    let failed = |error: io::Error| io_failure("list", folder, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.path()));
        }
    }
    names.sort();
    Ok(names)
}

fn rename(from: &Path, to: &Path, how: RenameFlags) -> io::Result<()> {
    if how.is_empty() {
        return fs::rename(from, to);
    }
    renameat_with(CWD, from, CWD, to, how).map_err(io::Error::from)
}

fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_failure("sync", folder, &error))
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Disks fill up and are mounted again: what fails may well succeed later.
fn io_failure(act: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::transient("directory.io", format!("cannot {act} {}: {error}", path.display()))
}
