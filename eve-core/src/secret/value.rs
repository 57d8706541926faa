//! The value of a secret, and how it is kept from being shown.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The value of a secret.
///
/// ```compile_fail
/// let value = eve_core::secret::SecretValue::new("hunter2");
/// println!("{value}");
/// ```
/// ```compile_fail
/// let value = eve_core::secret::SecretValue::new("hunter2");
/// serde_json::to_string(&value).unwrap();
/// ```
#[derive(Clone)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes over a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(***)")
    }
}

/// The values of a plan's secrets by the names that the plan gives them, for one run. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Arc<BTreeMap<String, SecretValue>>);

impl Secrets {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&SecretValue> {
        self.0.get(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, SecretValue)> for Secrets {
    fn from_iter<T: IntoIterator<Item = (String, SecretValue)>>(values: T) -> Self {
        Self(Arc::new(values.into_iter().collect()))
    }
}

impl fmt::Debug for Secrets {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A text is no reference to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reference to a secret is written `BACKEND:PLACE`, for example `vault:shop/db#password`")]
pub struct BadSecretRef;

impl FromStr for SecretRef {
    type Err = BadSecretRef;

    /// Reads `BACKEND:PLACE`: the backend is a word of small letters, digits and `-`; the place is its own business.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (backend, place) = text.split_once(':').ok_or(BadSecretRef)?;
        let is_word = backend.starts_with(|c: char| c.is_ascii_lowercase())
            && backend.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let is_place = !place.is_empty() && !place.contains(|c: char| c.is_control() || c.is_whitespace());
        (is_word && is_place)
            .then(|| Self { backend: backend.to_owned(), place: place.to_owned() })
            .ok_or(BadSecretRef)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_value() {
        let value = SecretValue::new("hunter2");
        assert_eq!(format!("{value:?}"), "SecretValue(***)");
        assert_eq!(value.expose(), "hunter2");
    }

    #[test]
    fn debug_of_many_shows_their_names_only() {
        let secrets = Secrets::from_iter([("key".to_owned(), SecretValue::new("hunter2"))]);
        assert_eq!(format!("{secrets:?}"), "{\"key\"}");
        assert_eq!(secrets.get("key").map(SecretValue::expose), Some("hunter2"));
    }

    #[test]
    fn a_reference_is_a_backend_and_a_place() {
        for text in ["vault:shop/db#password", "vault:shop/db#password@3", "file-2:a:b"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        for text in ["", "vault", "vault:", ":x", "Vault:x", "vault:a b", "2vault:x", "vault :x"] {
            assert_eq!(text.parse::<SecretRef>(), Err(BadSecretRef), "{text}");
        }
    }
}
