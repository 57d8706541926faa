//! The value of a secret, and how it is kept from being shown.

use std::collections::BTreeMap;
use std::fmt;
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

    pub(super) fn values(&self) -> impl Iterator<Item = &SecretValue> {
        self.0.values()
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
}
