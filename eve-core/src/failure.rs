//! What is stored of an error, and of the reason for a wait.
//!
//! An error that enters the log cannot be downcast after a restart, so it is kept as plain data with a stable code.
//! A [`Failure`] never holds a secret; who makes one out of a foreign error must leave bodies and values out.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure it is; the retry rule reads this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureClass {
    /// May well succeed when tried again: a lost connection, an overloaded server.
    Transient,
    /// Will fail again until somebody changes something.
    Permanent,
    /// Given up because the run was told to stop. Never retried; from a component of a run that does not stop it is a
    /// failure like any other.
    Cancelled,
    /// The caller broke a contract; never retried.
    Misuse,
}

/// Why an attempt, or a phase of it, failed. Plain data, storable, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Failure {
    /// Stable, dotted, lower case; for programs. For example `k8s.apply.conflict`.
    pub code: Cow<'static, str>,
    /// What the retry rule reads.
    pub class: FailureClass,
    /// One line for people: a lowercase fragment without a full stop that names the object and the reason.
    pub message: String,
    /// Further lines, the most telling first, such as events. At most [`Failure::NOTES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The last lines that a workload wrote. Shown while the run goes on and **never stored**: programs print what they
    /// should keep to themselves. At most [`Failure::NOTES_MAX`].
    #[serde(skip)]
    pub log: Box<[String]>,
    /// What to do about it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// The most notes that are kept.
    pub const NOTES_MAX: usize = 20;
    /// The most bytes that are kept of a message, a note or a hint; what is longer is cut at a character border.
    pub const TEXT_BYTES_MAX: usize = 2048;

    /// A failure of this class; `code` is stable, `message` is for people.
    pub fn new(class: FailureClass, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            class,
            message: bounded(message.into()),
            notes: Vec::new(),
            log: Box::default(),
            hint: None,
        }
    }

    /// Shorthand for a [`FailureClass::Transient`] failure.
    pub fn transient(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Transient, code, message)
    }

    /// Shorthand for a [`FailureClass::Permanent`] failure.
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Permanent, code, message)
    }

    /// Shorthand for a [`FailureClass::Misuse`] failure.
    pub fn misuse(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Misuse, code, message)
    }

    /// The same within the bounds of its fields, which are public and may hold anything.
    pub(crate) fn bounded(self) -> Self {
        let Self { code, class, message, notes, log, hint } = self;
        let lines = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().take(Self::NOTES_MAX).map(bounded).collect()
        };
        let (notes, log) = (lines(notes), lines(log.into_vec()).into_boxed_slice());
        Self { code, class, message: bounded(message), notes, log, hint: hint.map(bounded) }
    }

    /// The same with another message, which is cut as in [`Failure::new`].
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = bounded(message.into());
        self
    }

    /// The same with one more note; dropped beyond [`Failure::NOTES_MAX`].
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        if self.notes.len() < Self::NOTES_MAX {
            self.notes.push(bounded(note.into()));
        }
        self
    }

    /// The same with one more line of a log; dropped beyond [`Failure::NOTES_MAX`].
    #[must_use]
    pub fn with_log(mut self, line: impl Into<String>) -> Self {
        if self.log.len() < Self::NOTES_MAX {
            let mut log = std::mem::take(&mut self.log).into_vec();
            log.push(bounded(line.into()));
            self.log = log.into();
        }
        self
    }

    /// All that is known besides the message: the notes, then the log.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().chain(&self.log).map(String::as_str)
    }

    /// The same with advice on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(bounded(hint.into()));
        self
    }
}

/// What a wait is waiting for. Plain data, storable, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Stable, dotted, lower case; for programs. For example `k8s.deployment.unavailable`.
    pub code: Cow<'static, str>,
    /// One line for people: a lowercase fragment, for example `1 of 3 replicas are available`.
    pub message: String,
}

impl Cause {
    /// A cause; `code` is stable, `message` is for people and is cut at [`Failure::TEXT_BYTES_MAX`].
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: bounded(message.into()) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > Failure::TEXT_BYTES_MAX {
        let mut end = Failure::TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_cut_at_its_limit() {
        let long = "ä".repeat(Failure::TEXT_BYTES_MAX);
        let failure = Failure::permanent("t", &long).with_note(&long).with_hint(&long);
        let texts = [&failure.message, &failure.notes[0], failure.hint.as_ref().unwrap()];
        assert!(texts.iter().all(|text| text.len() == Failure::TEXT_BYTES_MAX));
        let other = Failure::permanent("t", "short").with_message(&long);
        assert_eq!(other.message.len(), Failure::TEXT_BYTES_MAX);
        assert_eq!(Cause::new("t", &long).message.len(), Failure::TEXT_BYTES_MAX);
    }
}
