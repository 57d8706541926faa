//! Canaries: values that must turn up nowhere, and the scan that finds them in whatever form they do.
//!
//! A test gives canaries to the code as secrets, collects everything that comes out of it (a [`CanaryScan`], one sink for
//! each way out), and asserts that none is in there. Who writes such a test also plants a leak ([`Canary::leaked`]) into each
//! sink and sees it found.
//!
//! ```
//! use eve_core::testing::canary::{Canary, CanaryScan};
//!
//! let canary = Canary::new(7);
//! let mut scan = CanaryScan::new([canary.clone()]);
//! scan.sink("the log", "logged in; nothing to see");
//! assert!(scan.leaks().is_empty());
//! scan.sink("the error", format!("cannot parse {:?}", canary.value()));
//! assert_eq!(scan.leaks()[0].sink, "the error");
//! ```

mod forms;
mod plant;

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::secret::SecretValue;
pub use forms::Form;
use forms::Patterns;

/// A value that must turn up nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary(String);

impl fmt::Debug for Canary {
    /// Masked, so that the output of a failing test is no leak that the next scan finds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canary(***)")
    }
}

impl Canary {
    /// The shortest value that can be looked for without finding it where it is not.
    pub const BYTES_MIN: usize = 12;

    /// A canary for this seed, of at least 64 bytes: runs of letters and digits that occur nowhere else, with the
    /// characters between them that formats escape: quotes, line breaks, `${{`, `%`, `<`, `&`, what is not ASCII.
    pub fn new(seed: u64) -> Self {
        const BETWEEN: [&str; 6] = ["\"'\\", "\n\t", "${{ ", " }}%2", "<&>/", "äß"];
        let mut state = seed;
        let mut value = String::new();
        for between in BETWEEN {
            value = value + &word(&mut state) + between;
        }
        Self(value + &word(&mut state))
    }

    /// A canary of 32 letters and digits, for places that take nothing else.
    pub fn plain(seed: u64) -> Self {
        let mut state = seed ^ u64::MAX;
        Self((0..4).map(|_| word(&mut state)).collect())
    }

    /// This value as canary: a token that a server gave out, for example.
    ///
    /// # Panics
    /// If it has less than [`Canary::BYTES_MIN`] bytes.
    pub fn of(value: impl Into<String>) -> Self {
        let value = value.into();
        assert!(value.len() >= Self::BYTES_MIN, "a canary needs {} bytes", Self::BYTES_MIN);
        Self(value)
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.0
    }

    /// The value as a secret.
    pub fn secret(&self) -> SecretValue {
        SecretValue::new(self.0.clone())
    }

    /// The first place of each form in which at least eight bytes of the canary stand in `haystack`; empty if there is none.
    ///
    /// Escapes of JSON (and of `Debug`) and percent signs are undone first, up to twice each, so that forms within forms are
    /// found: base64 in JSON in a URL. Fragments are found because a line may have been broken, or cut.
    pub fn scan(&self, haystack: &[u8]) -> Vec<Form> {
        Patterns::of(self.0.as_bytes()).scan(haystack)
    }
}

/// Eight letters and digits, from a generator (splitmix64) that gives the same for the same state everywhere.
fn word(state: &mut u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789Zq";
    (0..8)
        .map(|_| {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            DIGITS
                .get(usize::try_from(mixed >> 58).unwrap_or_default())
                .map_or('x', |digit| char::from(*digit))
        })
        .collect()
}

/// Everything that came out of the code under test, sink by sink, and the canaries that must not be in it.
///
/// A scan that is dropped before anybody has asked it ends the test: a test that names a secret and does not look where it
/// went proves nothing.
#[derive(Debug)]
#[must_use = "a scan proves something when it is asked"]
pub struct CanaryScan {
    canaries: Vec<Canary>,
    sinks: Vec<String>,
    leaks: Vec<Leak>,
    is_asked: AtomicBool,
}

impl Drop for CanaryScan {
    fn drop(&mut self) {
        assert!(
            self.is_asked.load(Ordering::Relaxed) || std::thread::panicking(),
            "a scan for canaries was dropped unasked"
        );
    }
}

/// A canary where none may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The sink.
    pub sink: String,
    /// Which canary, counted from 0 in the order they were given.
    pub canary: usize,
    /// In which forms.
    pub forms: Vec<Form>,
}

impl CanaryScan {
    /// A scan for these canaries, with no sink yet.
    pub fn new(canaries: impl IntoIterator<Item = Canary>) -> Self {
        let (sinks, leaks) = (Vec::new(), Vec::new());
        Self { canaries: canaries.into_iter().collect(), sinks, leaks, is_asked: AtomicBool::new(false) }
    }

    /// Scans one more thing that came out.
    pub fn sink(&mut self, name: impl Into<String>, content: impl AsRef<[u8]>) {
        let name = name.into();
        for (number, canary) in self.canaries.iter().enumerate() {
            let forms = canary.scan(content.as_ref());
            if !forms.is_empty() {
                self.leaks.push(Leak { sink: name.clone(), canary: number, forms });
            }
        }
        self.sinks.push(name);
    }

    /// What was found so far, in the order of the sinks.
    pub fn leaks(&self) -> &[Leak] {
        self.is_asked.store(true, Ordering::Relaxed);
        &self.leaks
    }

    /// Ends the test if anything was found, or if nothing was looked at.
    ///
    /// # Panics
    /// As said; names sinks and forms, and no value.
    #[track_caller]
    pub fn assert_clean(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
        assert!(!self.canaries.is_empty() && !self.sinks.is_empty(), "a scan needs canaries and sinks");
        let found = self.leaks.iter().fold(String::new(), |mut text, leak| {
            let _ = write!(text, "\n  canary {} in {}: {:?}", leak.canary, leak.sink, leak.forms);
            text
        });
        assert!(found.is_empty(), "secrets leaked:{found}");
    }
}

#[cfg(test)]
mod tests;
