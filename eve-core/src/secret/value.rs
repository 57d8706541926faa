//! The value of a secret, and how it is kept from being shown.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_value() {
        let value = SecretValue::new("hunter2");
        assert_eq!(format!("{value:?}"), "SecretValue(***)");
        assert_eq!(value.expose(), "hunter2");
    }
}
