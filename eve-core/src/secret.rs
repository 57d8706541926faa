//! References to secrets, and their values.
//!
//! A reference may be shown and stored; a value may not: it has no `Display`, no `Serialize`, a `Debug` that masks it, and
//! its memory is overwritten when it is dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Where a secret is kept: the name of a backend and what that backend understands. Not secret itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// The backend, for example `vault`.
    pub backend: String,
    /// The place in it, in the backend's own syntax, for example `shop/db#password`.
    pub place: String,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.place)
    }
}

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
