//! What a run records of the secrets that it uses: where, which version, and a keyed hash. Never a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{KeyedHash, SecretRef};

/// What a run records of one secret that it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretPin {
    /// Where it is kept, with the version that the run uses; without one where the backend keeps none.
    pub reference: SecretRef,
    /// The hash of its value, by which a later process knows that it got the same.
    pub hash: KeyedHash,
}

/// The secrets of a run, by the names that its plan gives them, in the versions that hold for the whole run. Recorded when
/// it begins. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretPins(Arc<BTreeMap<String, SecretPin>>);

impl SecretPins {
    /// The pin of the secret of this name.
    pub fn get(&self, name: &str) -> Option<&SecretPin> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretPin)> {
        self.0.iter().map(|(name, pin)| (name.as_str(), pin))
    }

    /// Whether the run uses no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, SecretPin)> for SecretPins {
    fn from_iter<T: IntoIterator<Item = (String, SecretPin)>>(pins: T) -> Self {
        Self(Arc::new(pins.into_iter().collect()))
    }
}
