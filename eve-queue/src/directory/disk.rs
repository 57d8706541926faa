//! The steps from a file that waits to what it holds, on the disk, and what stands in their way.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use eve_core::digest::Digest;
use eve_core::failure::Failure;
use eve_core::ports::Content;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::files::{self, CLAIMED, DONE, Folders, LOCK, REJECTED};
use super::names;
use super::scan::{Claimed, Disk, Entry, Look, Obstacle};
use crate::stop::Stop;

impl Disk for Folders {
    fn waiting(&self) -> Result<Vec<(String, Entry)>, Failure> {
        let mut found = Vec::new();
        for (name, path) in files::entries(self.root())? {
            let Ok(name) = name.into_string() else {
                found.push((path.display().to_string(), Entry::LeftAlone("its name is no text".to_owned())));
                continue;
            };
            if ![CLAIMED, DONE, REJECTED, LOCK].contains(&name.as_str()) {
                found.extend(entry(&name, &path).map(|entry| (name, entry)));
            }
        }
        Ok(found)
    }

    fn claim(&self, name: &str, after: u64) -> Result<(Claimed, u64), Obstacle> {
        // The number is chosen here and stands in the new name from the same instant on: a process that dies after the rename
        // has made the request, and one that dies before it has not. Nothing that the file brings along could serve as well:
        // the same bytes with the same times may be put there again, and the disk may give them the same inode.
        let number = after.saturating_add(1).max(micros());
        let claimed = Claimed { request: names::request(name, number), count: 1 };
        let from = self.root().join(name);
        let to = self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let renamed = renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE);
        renamed.map_err(|error| obstacle("taken", &from, &error.into()))?;
        Ok((claimed, number))
    }

    fn count_up(&self, claimed: &Claimed) -> Result<Claimed, Obstacle> {
        let next = Claimed { request: claimed.request.clone(), count: claimed.count.saturating_add(1) };
        self.rename_claimed(claimed, &next)?;
        Ok(next)
    }

    fn renew(&self, claimed: &Claimed, after: u64) -> Result<(Claimed, u64), Obstacle> {
        let number = after.saturating_add(1).max(micros());
        let next = Claimed { request: names::renewed(&claimed.request, number), count: 1 };
        self.rename_claimed(claimed, &next)?;
        Ok((next, number))
    }

    fn sync_claims(&self) -> Result<(), Obstacle> {
        files::sync(self.root()).map_err(Obstacle::OfAll)?;
        files::sync(&self.root().join(CLAIMED)).map_err(Obstacle::OfAll)
    }

    fn read(&self, claimed: &Claimed, bytes_max: u64) -> Result<(Digest, Content), Obstacle> {
        let path = self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let failed = |error: io::Error| obstacle("read", &path, &error);
        let file = OpenOptions::new()
            .read(true)
            // A pipe that was renamed in after the look must not hold this thread.
            .custom_flags(files::flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
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
            Content::Plan { body: bytes.into(), sequence: None }
        };
        Ok((digest, content))
    }
}

impl Folders {
    fn rename_claimed(&self, from: &Claimed, to: &Claimed) -> Result<(), Obstacle> {
        let path = |claimed: &Claimed| self.path(CLAIMED, &names::claimed(&claimed.request, claimed.count));
        let (from, to) = (path(from), path(to));
        match fs::rename(&from, &to) {
            // Disks of a network may do it and say that they did not.
            Err(_) if files::is_gone(&from) && !files::is_gone(&to) => Ok(()),
            result => result.map_err(|error| obstacle("taken", &from, &error)),
        }
    }
}

/// What something in the directory is; `None` if it is gone, or nobody can have meant it as a plan.
fn entry(name: &str, path: &Path) -> Option<Entry> {
    let is_hidden = name.starts_with('.');
    let left_alone = |reason: String| (!is_hidden).then_some(Entry::LeftAlone(reason));
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() && is_hidden => Some(Entry::Hidden(Look::of(&metadata))),
        Ok(metadata) if metadata.is_file() => match names::why_no_plan(name) {
            Some(reason) => left_alone(reason.to_owned()),
            None => Some(Entry::File(Look::of(&metadata))),
        },
        Ok(metadata) if metadata.is_symlink() => {
            left_alone("it is a link, and links are not followed".to_owned())
        }
        Ok(_) => left_alone("it is no regular file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => left_alone(format!("it cannot be looked at: {error}")),
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

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What keeps a file from being taken or read.
fn obstacle(done: &str, path: &Path, error: &io::Error) -> Obstacle {
    use io::ErrorKind as Kind;
    let is_open_too_often = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    if error.kind() == Kind::NotFound && files::is_gone(path) {
        return Obstacle::Gone;
    }
    let is_of_all = matches!(
        error.kind(),
        Kind::NotFound
            | Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::ReadOnlyFilesystem
            | Kind::OutOfMemory
    ) || is_open_too_often.contains(&error.raw_os_error());
    if is_of_all {
        // Not found though the file is there: then it is the folder that it goes to which is not.
        let why = if error.kind() == Kind::NotFound {
            "there is no folder to put it".to_owned()
        } else {
            error.to_string()
        };
        let message = format!("{} cannot be {done}: {why}", path.display());
        return Obstacle::OfAll(Failure::transient("directory.io", message));
    }
    Obstacle::OfOne(format!("it cannot be {done}: {error}"))
}
