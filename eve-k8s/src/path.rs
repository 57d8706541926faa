//! What may stand between two slashes of a request path: parsed once, then safe to paste.
//!
//! The Rust client pastes namespace and name into the URL as they are. A name such as `#` or `x?force=true` would
//! change which request is sent, so every segment goes through [`PathSegment`] and no string ever does.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All that RFC 3986 calls reserved, and everything outside ASCII, is encoded; only the unreserved marks are not.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest name that the Kubernetes API accepts for an object, in bytes (DNS-1123 subdomain).
const NAME_BYTES_MAX: usize = 253;

/// The longest DNS-1123 label, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// One validated segment of a request path. Displayed as it was given; sent percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathSegment(Box<str>);

/// A text that may not stand in a request path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no valid {what}: {reason}", text.escape_debug())]
pub struct PathError {
    /// What the text was meant to be: `name`, `namespace`.
    pub what: &'static str,
    /// The text, cut to 253 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl PathSegment {
    /// The name of an object: the general rule of the API server for path segments, which also holds for RBAC names
    /// such as `system:node`. Not empty, at most 253 bytes, not `.` or `..`, none of `/ % ? #`, no control character.
    /// The API server knows the stricter rule of each kind.
    ///
    /// # Errors
    /// [`PathError`] with the reason.
    pub fn name(text: &str) -> Result<Self, PathError> {
        Self::check_name(text).map(|()| Self(text.into()))
    }

    /// Whether [`PathSegment::name`] takes a text.
    pub(crate) fn check_name(text: &str) -> Result<(), PathError> {
        let reason = if text.is_empty() {
            "it is empty"
        } else if text.len() > NAME_BYTES_MAX {
            "it is longer than 253 bytes"
        } else if text == "." || text == ".." {
            "it would point elsewhere"
        } else if text.bytes().any(|byte| b"/%?#".contains(&byte)) {
            "`/`, `%`, `?` and `#` are not allowed"
        } else if text.chars().any(char::is_control) {
            "control characters are not allowed"
        } else {
            return Ok(());
        };
        Err(PathError::new("name", text, reason))
    }

    /// A namespace: a DNS-1123 label, at most 63 bytes of `a-z0-9-`, with a letter or digit at both ends.
    ///
    /// # Errors
    /// [`PathError`] with the reason.
    pub fn namespace(text: &str) -> Result<Self, PathError> {
        Self::check_namespace(text).map(|()| Self(text.into()))
    }

    /// Whether [`PathSegment::namespace`] takes a text.
    pub(crate) fn check_namespace(text: &str) -> Result<(), PathError> {
        label(text).map_or(Ok(()), |reason| Err(PathError::new("namespace", text, reason)))
    }

    /// An API group, or the plural of a resource: DNS-1123 labels joined by dots, at most 253 bytes.
    ///
    /// # Errors
    /// [`PathError`] with the reason.
    pub fn subdomain(text: &str) -> Result<Self, PathError> {
        let reason = if text.len() > NAME_BYTES_MAX {
            Some("it is longer than 253 bytes")
        } else {
            text.split('.').find_map(label)
        };
        reason.map_or(Ok(Self(text.into())), |reason| Err(PathError::new("API name", text, reason)))
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segment as it stands in a request path.
    pub fn encoded(&self) -> impl fmt::Display + '_ {
        utf8_percent_encode(&self.0, ENCODED)
    }
}

impl fmt::Display for PathSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PathError {
    fn new(what: &'static str, text: &str, reason: &'static str) -> Self {
        Self { what, text: text.chars().take(NAME_BYTES_MAX).collect(), reason }
    }
}

/// The value of a query parameter, encoded.
pub(crate) fn query_value(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

/// Why this is no DNS-1123 label, if it is none.
fn label(text: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if text.is_empty() {
        Some("it has an empty part")
    } else if text.len() > LABEL_BYTES_MAX {
        Some("a part of it is longer than 63 bytes")
    } else if !text.bytes().all(|byte| plain(byte) || byte == b'-') {
        Some("only lower-case letters, digits and `-` are allowed")
    } else if text.starts_with('-') || text.ends_with('-') {
        Some("it must begin and end with a letter or digit")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whatever_cannot_change_the_path() {
        for (text, ok) in [
            ("web", true),
            ("system:node", true),
            ("v1.metrics.k8s.io", true),
            ("Ünï code", true),
            ("..web", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a%2fb", false),
            ("x?force=true&z=", false),
            ("#", false),
            ("a\0", false),
            ("a\nb", false),
        ] {
            assert_eq!(PathSegment::name(text).is_ok(), ok, "{text:?}");
        }
        assert!(PathSegment::name(&"a".repeat(253)).is_ok());
        assert!(PathSegment::name(&"a".repeat(254)).is_err());
    }

    #[test]
    fn a_namespace_is_a_dns_label() {
        for (text, ok) in [
            ("team-a", true),
            ("0", true),
            ("team-a/../kube-system", false),
            ("Team", false),
            ("a.b", false),
            ("-a", false),
            ("a-", false),
            ("", false),
        ] {
            assert_eq!(PathSegment::namespace(text).is_ok(), ok, "{text:?}");
        }
        assert!(PathSegment::namespace(&"a".repeat(64)).is_err());
    }

    #[test]
    fn what_is_reserved_is_sent_encoded() {
        let name = PathSegment::name("system:a b&c=d").unwrap();
        assert_eq!(name.encoded().to_string(), "system%3Aa%20b%26c%3Dd");
    }
}
