//! Hashes that tell nothing to who does not have the key. Where the key is kept is a backend's affair.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{SecretRef, SecretValue};

/// The key of keyed hashes: from the hash of a value nobody can tell, by trying, what the value is. Its memory is
/// overwritten when it is dropped.
pub struct HashKey(Zeroizing<[u8; HashKey::BYTES]>);

/// An HMAC-SHA256, in hexadecimal digits. Tells nothing to who does not have the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyedHash(String);

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
    /// The length of a key in bytes: that of the hash.
    pub const BYTES: usize = 32;

    /// The key of these bytes, which must come from a random source. The caller overwrites its own copy.
    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The keyed hash of these parts in this order. Where one part ends and the next begins is part of it.
    ///
    /// # Panics
    /// Never: a key of this length is one.
    pub fn hash<Part: AsRef<[u8]>>(&self, parts: impl IntoIterator<Item = Part>) -> KeyedHash {
        self.hash_of(|sink| parts.into_iter().for_each(|part| sink(part.as_ref())))
    }

    /// The same of the parts that `tell` gives to what it is given, none of which is kept.
    ///
    /// # Panics
    /// Never, unless `tell` does.
    pub fn hash_of(&self, tell: impl FnOnce(&mut dyn FnMut(&[u8]))) -> KeyedHash {
        #[expect(clippy::expect_used, reason = "an HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("a key");
        tell(&mut |part| {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        });
        let digits = mac.finalize().into_bytes();
        KeyedHash(digits.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// What is kept of the value of a secret, to tell later whether it is still the same.
    ///
    /// The place is part of it and its version is not: one value at two places has two hashes, so that nobody sees who
    /// shares a password; a new version with the old value has the old hash.
    pub fn hash_of_secret(&self, reference: &SecretRef, value: &SecretValue) -> KeyedHash {
        self.hash(["eve.secret.v1", &reference.backend, &reference.place, value.expose()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_an_hmac_of_its_parts_and_their_lengths() {
        // RFC 4231 has no case with our framing; the value was made with Python's `hmac`.
        let key = HashKey::new(&[7; HashKey::BYTES]);
        let expected = "cb26cbd8f92f96666adb85ea48780f04962ec8ae8998cd24c8bfb1721f19bb3c";
        assert_eq!(key.hash(["ab", "c"]).as_str(), expected);
        assert_ne!(key.hash(["a", "bc"]), key.hash(["ab", "c"]));
        assert_eq!(format!("{key:?}"), "HashKey(***)");
    }

    #[test]
    fn the_hash_of_a_secret_depends_on_key_place_and_value_and_not_on_the_version() {
        let key = HashKey::new(&[7; HashKey::BYTES]);
        let reference = |text: &str| text.parse::<SecretRef>().unwrap();
        let value = SecretValue::new("hunter2");
        let hash = key.hash_of_secret(&reference("vault:kv/db#password"), &value);
        assert_eq!(key.hash_of_secret(&reference("vault:kv/db#password@4"), &value), hash);
        for other in ["vault:kv/db#passwor", "vault:kv/cache#password", "file:kv/db#password"] {
            assert_ne!(key.hash_of_secret(&reference(other), &value), hash, "{other}");
        }
        assert_ne!(
            key.hash_of_secret(&reference("vault:kv/db#password"), &SecretValue::new("hunter3")),
            hash
        );
        let other = HashKey::new(&[8; HashKey::BYTES]);
        assert_ne!(other.hash_of_secret(&reference("vault:kv/db#password"), &value), hash);
    }
}
