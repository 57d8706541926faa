//! Where a secret is kept, as plans write it: `BACKEND:PLACE[@VERSION]`. Pure; knows no backend.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of one version of a secret; a backend with versions counts them from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersion(NonZeroU64);

impl SecretVersion {
    /// The version of this number; none has the number 0.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a secret is kept: a backend, a place in it, and maybe one version. Not secret itself.
///
/// As text, and in stored data, it is `BACKEND:PLACE` or `BACKEND:PLACE@VERSION`.
///
/// ```
/// use eve_core::secret::{SecretRef, SecretVersion};
///
/// let newest: SecretRef = "vault:kv/shop/db#password".parse()?;
/// assert_eq!((newest.backend.as_str(), newest.place.as_str()), ("vault", "kv/shop/db#password"));
/// let pinned = newest.at(SecretVersion::new(3).unwrap());
/// assert_eq!(pinned.to_string(), "vault:kv/shop/db#password@3");
/// # Ok::<(), eve_core::secret::SecretRefError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef {
    /// The backend, for example `vault`.
    pub backend: String,
    /// The place in it, in the backend's own syntax, for example `kv/shop/db#password`.
    pub place: String,
    /// The one version that is wanted; without it the newest.
    pub version: Option<SecretVersion>,
}

/// Why a text is no reference. Its words never repeat the text: somebody may have written the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretRefError {
    /// There is no backend before a colon.
    #[error("a reference to a secret is written `BACKEND:PLACE`, for example `vault:shop/db#password`")]
    Backend,
    /// There is nothing after the colon.
    #[error("nothing follows the backend; a place is wanted, such as `vault:kv/shop/db#password`")]
    Place,
    /// The text has a control character, a line break for example.
    #[error("a reference to a secret has no control characters and no line breaks")]
    Control,
    /// The text is longer than [`SecretRef::BYTES_MAX`].
    #[error("a reference to a secret has at most {} bytes", SecretRef::BYTES_MAX)]
    TooLong,
    /// The number after `@` is 0, or larger than any.
    #[error("versions of a secret count from 1, and this is the number of none")]
    Version,
}

impl SecretRef {
    /// The most bytes of a reference as text.
    pub const BYTES_MAX: usize = 1024;
    /// The most bytes of the name of a backend.
    const BACKEND_BYTES_MAX: usize = 63;

    /// The same place at one version, whatever the newest is by then.
    #[must_use]
    pub fn at(mut self, version: SecretVersion) -> Self {
        self.version = Some(version);
        self
    }
}

impl FromStr for SecretRef {
    type Err = SecretRefError;

    /// Digits after the last `@` are a version; any other `@` belongs to the place.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::BYTES_MAX {
            return Err(SecretRefError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(SecretRefError::Control);
        }
        let (backend, rest) = text.split_once(':').ok_or(SecretRefError::Backend)?;
        let letters =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        let named = backend.len() <= Self::BACKEND_BYTES_MAX
            && backend.starts_with(|first: char| first.is_ascii_lowercase())
            && backend.bytes().all(letters);
        if !named {
            return Err(SecretRefError::Backend);
        }
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (place, version) = match rest.rsplit_once('@') {
            Some((place, version)) if digits(version) => {
                let number = version.parse().ok().and_then(SecretVersion::new);
                (place, Some(number.ok_or(SecretRefError::Version)?))
            }
            _ => (rest, None),
        };
        if place.is_empty() {
            return Err(SecretRefError::Place);
        }
        Ok(Self { backend: backend.to_owned(), place: place.to_owned(), version })
    }
}

impl TryFrom<String> for SecretRef {
    type Error = SecretRefError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.place)?;
        self.version.map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, Option<u64>) {
        let SecretRef { backend, place, version } = text.parse().unwrap();
        (backend, place, version.map(SecretVersion::get))
    }

    #[test]
    fn a_reference_is_a_backend_a_place_and_maybe_a_version() {
        let cases = [
            ("vault:shop/db#password", "shop/db#password", None),
            ("vault:shop/db#password@12", "shop/db#password", Some(12)),
            ("vault:shop/db#a@b", "shop/db#a@b", None),
            ("vault:shop/db#a@", "shop/db#a@", None),
            ("vault:shop/db#a@b@7", "shop/db#a@b", Some(7)),
            ("vault:a:b", "a:b", None),
        ];
        for (text, place, version) in cases {
            assert_eq!(parts(text), ("vault".to_owned(), place.to_owned(), version), "{text}");
        }
    }

    #[test]
    fn a_reference_reads_back_from_its_text_and_from_its_stored_form() {
        for text in ["vault:shop/db#password", "a-b_2:x@3", "vault:shop/db#ä@b"] {
            let reference: SecretRef = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            let stored = serde_json::to_string(&reference).unwrap();
            assert_eq!(stored, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<SecretRef>(&stored).unwrap(), reference);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_and_never_repeated() {
        let long = format!("vault:{}", "hunter2".repeat(200));
        let cases = [
            ("hunter2", SecretRefError::Backend),
            ("Vault:hunter2", SecretRefError::Backend),
            (":hunter2", SecretRefError::Backend),
            ("2:hunter2", SecretRefError::Backend),
            ("hunter2 hunter2:x", SecretRefError::Backend),
            ("vault:", SecretRefError::Place),
            ("vault:@3", SecretRefError::Place),
            ("vault:hunter2\n", SecretRefError::Control),
            ("vault:hunter2@0", SecretRefError::Version),
            ("vault:hunter2@18446744073709551616", SecretRefError::Version),
            (long.as_str(), SecretRefError::TooLong),
        ];
        for (text, expected) in cases {
            let error = text.parse::<SecretRef>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
