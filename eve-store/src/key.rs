//! The key of this user's journals, and hashes that tell nothing without it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use eve_core::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::database::{open_file, sync_folder};
use crate::error::FileError;

/// The length of a key: that of the hash.
const KEY_BYTES: usize = 32;

/// The key of keyed hashes: from the hash of a value nobody can tell, by trying, what the value is. Kept in a file that
/// only its owner can read; its memory is overwritten when it is dropped.
pub struct HashKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    made_at: Timestamp,
}

/// An HMAC-SHA256, in hexadecimal digits. Tells nothing to who does not have the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyedHash(String);

/// Bytes in hexadecimal digits.
pub(crate) fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl KeyedHash {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(***)")
    }
}

impl HashKey {
    /// When its file was written, by the clock of the file system. A run that was started before has another key.
    pub const fn made_at(&self) -> Timestamp {
        self.made_at
    }

    /// The keyed hash of these parts in this order. Where one part ends and the next begins is part of it.
    ///
    /// # Panics
    /// Never: a key of this length is one.
    pub fn hash<Part: AsRef<[u8]>>(&self, parts: impl IntoIterator<Item = Part>) -> KeyedHash {
        #[expect(clippy::expect_used, reason = "an HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.bytes).expect("a key");
        for part in parts {
            let part = part.as_ref();
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        KeyedHash(hex(&mac.finalize().into_bytes()))
    }

    /// The key in this file, which is made if it is missing. Two processes that make it at once have the same.
    pub(crate) fn load_or_make(path: &Path) -> Result<Self, FileError> {
        match Self::load(path) {
            Err(FileError::Missing { .. }) => {}
            loaded => return loaded,
        }
        let failed = |error: io::Error| FileError::io("create", path, &error);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let draft = path.with_extension(format!("{}.new", std::process::id()));
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
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let whole = file.read_exact(&mut *key).is_ok() && file.read(&mut [0]).is_ok_and(|more| more == 0);
        if !whole {
            let reason = format!("a key has {KEY_BYTES} bytes");
            return Err(FileError::BadKey { path: path.to_owned(), reason });
        }
        let since = found.modified().map_err(failed)?.duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self { bytes: key, made_at: Timestamp::EPOCH.plus(since.unwrap_or_default()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = HashKey::load_or_make(&path).unwrap();
        let found = HashKey::load_or_make(&path).unwrap();
        assert_eq!(made.hash(["a"]), found.hash(["a"]));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        let other = HashKey::load_or_make(&folder.path().join("other")).unwrap();
        assert_ne!(made.hash(["a"]), other.hash(["a"]));
        assert_eq!(format!("{made:?}"), "HashKey(***)");
    }

    #[test]
    fn a_hash_is_an_hmac_of_its_parts_and_their_lengths() {
        // RFC 4231 has no case with our framing; the value was made with Python's `hmac`.
        let key = HashKey { bytes: Zeroizing::new([7; KEY_BYTES]), made_at: Timestamp::EPOCH };
        let expected = "cb26cbd8f92f96666adb85ea48780f04962ec8ae8998cd24c8bfb1721f19bb3c";
        assert_eq!(key.hash(["ab", "c"]).as_str(), expected);
        assert_ne!(key.hash(["a", "bc"]), key.hash(["ab", "c"]));
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        HashKey::load_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = FileError::Exposed { path: path.clone(), mode: 0o640 };
        assert_eq!(HashKey::load_or_make(&path).unwrap_err(), exposed);
        for bytes in [31, 33] {
            fs::write(&path, vec![1; bytes]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(HashKey::load_or_make(&path), Err(FileError::BadKey { .. })), "{bytes}");
        }
    }
}
