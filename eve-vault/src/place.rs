//! `PATH#KEY`: the place of a secret in Vault, checked so that no part of it can lead elsewhere. Pure.

use eve_core::failure::Failure;
use eve_core::secret::{SecretRef, SecretVersion};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::VaultError;

/// The most bytes of a path, and of a key.
const PART_BYTES_MAX: usize = 512;

/// Everything but what a URL leaves as it is in a segment (RFC 3986, unreserved characters).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path in Vault: segments without a meaning of their own, at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VaultPath(String);

/// Where a value is: a path with a mount and more, a key, maybe a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: VaultPath,
    pub(crate) key: String,
    pub(crate) version: Option<SecretVersion>,
}

/// Judges where a secret is kept, without asking Vault: for whoever reads a plan before it runs.
///
/// # Errors
/// The reference is of another backend, or its place is no `PATH#KEY`. The words repeat nothing of it.
pub fn check_place(reference: &SecretRef) -> Result<(), Failure> {
    Place::parse(reference).map(drop).map_err(|error| error.failure(reference))
}

/// Why a text is no place. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("a path, one `#` and a key are wanted")]
    Shape,
    #[error("the path names a mount and what is in it, without `/` at its ends and without `//`")]
    Segments,
    #[error("`.` and `..` are no parts of a path in Vault")]
    Dots,
    #[error("paths in Vault have no `?`, `%`, `\\`, control characters, or spaces beside a `/`")]
    Character,
    #[error("path and key have at most {PART_BYTES_MAX} bytes each")]
    TooLong,
}

impl VaultPath {
    pub(crate) fn parse(text: &str) -> Result<Self, PlaceError> {
        if text.len() > PART_BYTES_MAX {
            return Err(PlaceError::TooLong);
        }
        for segment in text.split('/') {
            if segment.is_empty() {
                return Err(PlaceError::Segments);
            }
            if matches!(segment, "." | "..") {
                return Err(PlaceError::Dots);
            }
            let forbidden =
                |character: char| matches!(character, '?' | '#' | '%' | '\\') || character.is_control();
            if segment.contains(forbidden) || segment.trim() != segment {
                return Err(PlaceError::Character);
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first segment.
    pub(crate) fn first(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// What follows `prefix`; `None` if this path is not below it. Whole segments count.
    pub(crate) fn below(&self, prefix: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&prefix.0)?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }

    /// This path, then another.
    pub(crate) fn join(&self, rest: &Self) -> Self {
        Self(format!("{}/{}", self.0, rest.0))
    }

    /// This path, then a word that is no input.
    pub(crate) fn with(&self, word: &'static str) -> Self {
        Self(format!("{}/{word}", self.0))
    }

    /// As part of a URL: every segment escaped, so that a server splits it as it is split here.
    pub(crate) fn encoded(&self) -> String {
        let segments: Vec<String> =
            self.0.split('/').map(|segment| utf8_percent_encode(segment, SEGMENT).to_string()).collect();
        segments.join("/")
    }
}

impl Place {
    pub(crate) fn parse(reference: &SecretRef) -> Result<Self, VaultError> {
        if reference.backend != "vault" {
            return Err(VaultError::OtherBackend);
        }
        let bad = VaultError::BadReference;
        let (path, key) = reference.place.split_once('#').ok_or(bad(PlaceError::Shape))?;
        if key.is_empty() || key.contains('#') || key.chars().any(char::is_control) {
            return Err(bad(PlaceError::Shape));
        }
        if key.len() > PART_BYTES_MAX {
            return Err(bad(PlaceError::TooLong));
        }
        let path = VaultPath::parse(path).map_err(bad)?;
        if !path.as_str().contains('/') {
            return Err(bad(PlaceError::Segments));
        }
        Ok(Self { path, key: key.to_owned(), version: reference.version })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> Result<Place, VaultError> {
        Place::parse(&SecretRef { backend: "vault".into(), place: text.into(), version: None })
    }

    #[test]
    fn a_place_is_a_path_and_a_key() {
        let parsed = place("kv/teams/shop db/a.b#pass word").unwrap();
        assert_eq!((parsed.path.as_str(), parsed.key.as_str()), ("kv/teams/shop db/a.b", "pass word"));
        assert_eq!(parsed.path.encoded(), "kv/teams/shop%20db/a.b");
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused_and_never_repeated() {
        let long = format!("kv/{}#k", "hunter2".repeat(80));
        let cases = [
            ("kv/hunter2", PlaceError::Shape),
            ("kv/hunter2#", PlaceError::Shape),
            ("kv/hunter2#a#b", PlaceError::Shape),
            ("#hunter2", PlaceError::Segments),
            ("hunter2#k", PlaceError::Segments),
            ("/kv/hunter2#k", PlaceError::Segments),
            ("kv/hunter2/#k", PlaceError::Segments),
            ("kv//hunter2#k", PlaceError::Segments),
            ("kv/../sys/hunter2#k", PlaceError::Dots),
            ("kv/./hunter2#k", PlaceError::Dots),
            ("kv/hunter2?version=1#k", PlaceError::Character),
            ("kv/%2e%2e/hunter2#k", PlaceError::Character),
            ("kv\\..\\hunter2#k", PlaceError::Segments),
            ("kv/a\\..\\hunter2#k", PlaceError::Character),
            ("kv/hunter2\r\nX: y#k", PlaceError::Character),
            ("kv/hunter2 /x#k", PlaceError::Character),
            (long.as_str(), PlaceError::TooLong),
        ];
        for (text, expected) in cases {
            let error = place(text).unwrap_err();
            let expected = if text == "kv\\..\\hunter2#k" { PlaceError::Character } else { expected };
            assert_eq!(error, VaultError::BadReference(expected), "{text}");
            assert!(!error.to_string().contains("hunter2"));
            let reference = SecretRef { backend: "vault".into(), place: text.into(), version: None };
            let failure = check_place(&reference).unwrap_err();
            assert_eq!(failure.code, "vault.bad-reference");
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
        let other = SecretRef { backend: "file".into(), place: "kv/a#k".into(), version: None };
        assert_eq!(Place::parse(&other).unwrap_err(), VaultError::OtherBackend);
    }

    #[test]
    fn a_path_is_below_another_by_whole_segments() {
        let path = |text| VaultPath::parse(text).unwrap();
        assert_eq!(path("kv/shop/db").below(&path("kv/shop")), Some(path("db")));
        assert_eq!(path("kv/shopping/db").below(&path("kv/shop")), None);
        assert_eq!(path("kv/shop").below(&path("kv/shop")), None);
    }

    proptest! {
        /// Whatever is accepted is split by a server as it is split here, and stays below what it begins with.
        #[test]
        fn an_accepted_path_has_the_same_segments_in_a_url(text in "[a-z./%?#\\\\ äß+&=;:@~-]{1,40}") {
            let Ok(path) = VaultPath::parse(&text) else { return Ok(()) };
            let url = reqwest::Url::parse(&format!("http://vault/v1/{}", path.encoded())).unwrap();
            prop_assert_eq!(url.query(), None);
            prop_assert_eq!(url.fragment(), None);
            let segments: Vec<String> = url
                .path_segments()
                .unwrap()
                .skip(1)
                .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8().unwrap().into_owned())
                .collect();
            prop_assert_eq!(segments.join("/"), text);
        }
    }
}
