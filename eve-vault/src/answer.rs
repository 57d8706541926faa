//! What came back: a status and bytes that are overwritten when they are dropped.

use serde::Deserialize;
use serde_json::error::Category;
use zeroize::Zeroizing;

use crate::error::VaultError;

/// An answer of Vault, whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Body,
}

/// Bytes that may hold secrets. Where they move to a larger place, the smaller one is overwritten.
#[derive(Default)]
pub(crate) struct Body(Zeroizing<Vec<u8>>);

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Body {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) {
        let needed = self.0.len() + chunk.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(chunk);
    }

    /// What it says, borrowed from it as far as the type allows.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, VaultError> {
        serde_json::from_slice(&self.0).map_err(|error| {
            let reason = match error.classify() {
                Category::Data => "its fields are others than Vault's",
                Category::Io | Category::Syntax | Category::Eof => "it is no JSON",
            };
            VaultError::NotJson { reason }
        })
    }
}

#[cfg(test)]
impl From<&str> for Body {
    fn from(text: &str) -> Self {
        let mut body = Self::default();
        body.push(text.as_bytes());
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_what_was_pushed_and_says_why_it_cannot_be_read() {
        let mut body = Body::default();
        for chunk in ["{\"a\"", ": \"", &"x".repeat(5000), "\"}"] {
            body.push(chunk.as_bytes());
        }
        assert_eq!(body.len(), 5009);
        let read: std::collections::BTreeMap<String, String> = body.json().unwrap();
        assert_eq!(read["a"].len(), 5000);
        for (text, reason) in [
            ("<html>hunter2</html>", "it is no JSON"),
            ("{\"a\":", "it is no JSON"),
            ("[\"hunter2\"]", "its fields are others than Vault's"),
        ] {
            let error = Body::from(text).json::<std::collections::BTreeMap<String, String>>().unwrap_err();
            assert_eq!(error, VaultError::NotJson { reason });
        }
    }
}
