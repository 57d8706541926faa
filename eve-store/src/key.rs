//! The file with the key of this user's journals: made once, readable by its owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Deref;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use eve_core::secret::{HashKey, KeyedHash};
use zeroize::Zeroizing;

use crate::database::{open_file, sync_folder};
use crate::error::FileError;

/// How many drafts of keys this process has begun: no two have one name.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// The key of this user's journals, as its file has it.
#[derive(Debug)]
pub struct StoredKey {
    key: HashKey,
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Deref for StoredKey {
    type Target = HashKey;

    fn deref(&self) -> &HashKey {
        &self.key
    }
}

impl StoredKey {
    /// What this key makes of a text that is always the same: tells later whether a key is this one, and nothing of it.
    pub(crate) fn mark(&self) -> KeyedHash {
        self.key.hash(["eve.key.v1"])
    }

    /// The key in this file, which is made if it is missing. Two threads or processes that make it at once have the same.
    pub(crate) fn load_or_make(path: &Path) -> Result<Self, FileError> {
        match Self::load(path) {
            Err(FileError::Missing { .. }) => {}
            loaded => return loaded,
        }
        let failed = |error: io::Error| FileError::io("create", path, &error);
        let mut key = Zeroizing::new([0; HashKey::BYTES]);
        getrandom::fill(&mut *key).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = path.with_extension(format!("{}-{number}.new", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        file.write_all(&*key).and_then(|()| file.sync_all()).map_err(failed)?;
        // Unlike a rename, a link does not replace what another process has put there meanwhile.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft).map_err(failed)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        path.parent().map_or(Ok(()), sync_folder)?;
        Self::load(path)
    }

    /// The key in this file.
    pub(crate) fn load(path: &Path) -> Result<Self, FileError> {
        let failed = |error: io::Error| FileError::io("read", path, &error);
        let mut file = open_file("read", path, OpenOptions::new().read(true))?;
        let found = file.metadata().map_err(failed)?;
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FileError::Exposed { path: path.to_owned(), mode });
        }
        let mut key = Zeroizing::new([0; HashKey::BYTES]);
        let whole = file.read_exact(&mut *key).is_ok() && file.read(&mut [0]).is_ok_and(|more| more == 0);
        if !whole {
            let reason = format!("a key has {} bytes", HashKey::BYTES);
            return Err(FileError::BadKey { path: path.to_owned(), reason });
        }
        Ok(Self { key: HashKey::new(&key) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = StoredKey::load_or_make(&path).unwrap();
        let found = StoredKey::load_or_make(&path).unwrap();
        assert_eq!(made.hash(["a"]), found.hash(["a"]));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        let other = StoredKey::load_or_make(&folder.path().join("other")).unwrap();
        assert_ne!(made.hash(["a"]), other.hash(["a"]));
        assert!(format!("{made:?}").starts_with("StoredKey { key: HashKey(***) }"));
    }

    #[test]
    fn threads_that_make_a_key_at_once_have_the_same() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            let (all, path) = (std::sync::Barrier::new(4), &path);
            let make = || {
                all.wait();
                StoredKey::load_or_make(path).unwrap().hash(["a"])
            };
            std::thread::scope(|scope| {
                let others: Vec<_> = (0..3).map(|_| scope.spawn(make)).collect();
                let own = make();
                assert!(others.into_iter().all(|other| other.join().unwrap() == own));
            });
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        }
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        StoredKey::load_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = FileError::Exposed { path: path.clone(), mode: 0o640 };
        assert_eq!(StoredKey::load_or_make(&path).unwrap_err(), exposed);
        for bytes in [31, 33] {
            fs::write(&path, vec![1; bytes]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(StoredKey::load_or_make(&path), Err(FileError::BadKey { .. })), "{bytes}");
        }
    }
}
