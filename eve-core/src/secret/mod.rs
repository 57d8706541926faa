//! References to secrets, their values, and hashes that tell nothing of a value.
//!
//! A reference may be shown and stored; a value may not: it has no `Display`, no `Serialize`, a `Debug` that masks it, and
//! its memory is overwritten when it is dropped. What a journal keeps of a value is its version and a [`KeyedHash`].

mod hash;
mod reference;
mod value;

pub use hash::{HashKey, KeyedHash};
pub use reference::{SecretRef, SecretRefError, SecretVersion};
pub use value::{SecretValue, Secrets};
