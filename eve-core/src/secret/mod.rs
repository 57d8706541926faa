//! References to secrets, their values, and hashes that tell nothing of a value.
//!
//! A reference may be shown and stored; a value may not: it has no `Display`, no `Serialize`, a `Debug` that masks it, and
//! its memory is overwritten when it is dropped. What others say is kept only without it: a [`Mask`]. What a journal keeps of a value is its version and a [`KeyedHash`]: a
//! [`SecretPin`]. Whoever opens a run asks for its secrets with a [`SecretRequest`].

mod hash;
mod mask;
mod pins;
mod reference;
mod request;
#[cfg(test)]
mod tests;
mod value;

pub use hash::{HashKey, KeyedHash};
pub use mask::Mask;
pub use pins::{SecretPin, SecretPins};
pub use reference::{SecretRef, SecretRefError, SecretVersion};
pub use request::{BadSecret, PinnedSecrets, SecretRequest};
pub use value::{SecretValue, Secrets};
