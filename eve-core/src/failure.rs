//! What is stored of an error, and of the reason for a wait.
//!
//! An error that enters the log cannot be downcast after a restart, so it is kept as plain data with a stable code.
//! A [`Failure`] never holds a secret; who makes one out of a foreign error must leave bodies and values out.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::few::{FEW_MAX, more};

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
    /// One line for people: a lowercase fragment without a full stop that names the object and the reason. At most
    /// [`Failure::MESSAGE_BYTES_MAX`].
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
    /// Whether it is certain that this attempt has left nothing behind: where all attempts have not, there is nothing to undo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_nothing: bool,
}

impl Failure {
    /// The most notes that are kept.
    pub const NOTES_MAX: usize = 20;
    /// The most bytes that are kept of a message: all that is wrong with most plans. What is longer is [shortened].
    pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;
    /// The most bytes that are kept of a note or a hint; what is longer is [shortened].
    pub const TEXT_BYTES_MAX: usize = 2048;

    /// A failure of this class; `code` is stable, `message` is for people.
    pub fn new(class: FailureClass, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            class,
            message: shortened(message.into(), Self::MESSAGE_BYTES_MAX),
            notes: Vec::new(),
            log: Box::default(),
            hint: None,
            left_nothing: false,
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

    /// The same with every text as `change` makes it.
    #[cfg(feature = "driver")]
    pub(crate) fn map_texts(self, change: impl Fn(String) -> String) -> Self {
        let Self { code, class, message, notes, log, hint, left_nothing } = self;
        let (notes, log) = (notes.into_iter().map(&change).collect(), log.into_iter().map(&change).collect());
        Self { code, class, message: change(message), notes, log, hint: hint.map(&change), left_nothing }
    }

    /// The same within the bounds of its fields, which are public and may hold anything.
    pub(crate) fn bounded(self) -> Self {
        let Self { code, class, message, notes, log, hint, left_nothing } = self;
        let lines = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().take(Self::NOTES_MAX).map(bounded).collect()
        };
        let (notes, log) = (lines(notes), lines(log.into_vec()).into_boxed_slice());
        let message = shortened(message, Self::MESSAGE_BYTES_MAX);
        Self { code, class, message, notes, log, hint: hint.map(bounded), left_nothing }
    }

    /// The same with another message, which is cut as in [`Failure::new`].
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = shortened(message.into(), Self::MESSAGE_BYTES_MAX);
        self
    }

    /// The same of an attempt that has certainly left nothing behind: it was never sent, or whoever got it says so.
    #[must_use]
    pub const fn with_nothing_left(mut self) -> Self {
        self.left_nothing = true;
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

    /// The same with the first [`FEW_MAX`] of these as notes, and one that says how many more there are.
    #[must_use]
    pub fn with_few(self, notes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut left = notes.into_iter();
        let told = left.by_ref().take(FEW_MAX).fold(self, Self::with_note);
        more(left.count()).into_iter().fold(told, Self::with_note)
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

fn bounded(text: String) -> String {
    shortened(text, Failure::TEXT_BYTES_MAX)
}

/// What a text ends with that was shortened.
const SHORTENED: &str = " …";

/// The text in at most so many bytes: what is longer ends after a whole word, and then with ` …`. One word that fills the
/// whole text is cut at a character border.
pub fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max.saturating_sub(SHORTENED.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    // Where the cut falls between two words, the last one is whole.
    let is_whole = text.get(end..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    let words = if is_whole { Some(end) } else { kept.rfind(char::is_whitespace) };
    let kept = words.and_then(|end| kept.get(..end)).map_or(kept, str::trim_end);
    let end = if kept.is_empty() { end } else { kept.len() };
    text.truncate(end);
    if bytes_max >= SHORTENED.len() {
        text.push_str(SHORTENED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_cut_at_its_limit() {
        let long = "ä".repeat(Failure::MESSAGE_BYTES_MAX);
        let failure = Failure::permanent("t", &long).with_note(&long).with_hint(&long);
        let other = Failure::permanent("t", "short").with_message(&long);
        for (text, most) in [
            (&failure.message, Failure::MESSAGE_BYTES_MAX),
            (&other.message, Failure::MESSAGE_BYTES_MAX),
            (&failure.notes[0], Failure::TEXT_BYTES_MAX),
            (failure.hint.as_ref().unwrap(), Failure::TEXT_BYTES_MAX),
            (&Cause::new("t", &long).message, Failure::TEXT_BYTES_MAX),
        ] {
            assert_eq!(*text, format!("{} …", "ä".repeat(most / 2 - 2)));
        }
    }

    #[test]
    fn of_many_notes_a_few_are_kept_and_the_rest_is_counted() {
        let noted =
            |number: usize| Failure::permanent("t", "t").with_few((0..number).map(|at| at.to_string())).notes;
        assert_eq!((noted(0).len(), noted(10).len(), noted(11).len()), (0, 10, 11));
        assert_eq!(noted(10).last().map(String::as_str), Some("9"));
        assert_eq!(noted(40).last().map(String::as_str), Some("and 30 more"));
    }

    #[test]
    fn a_text_that_is_shortened_ends_after_a_whole_word_and_says_so() {
        for (text, most, expected) in [
            ("one two three", 13, "one two three"),
            ("one two three", 12, "one two …"),
            ("one two three", 11, "one two …"),
            ("one two three", 10, "one …"),
            ("zwölf", 6, "zwölf"),
            ("zwölfe", 6, "zw …"),
            ("zwölfer", 7, "zw …"),
            ("zwölferl", 8, "zwö …"),
            (" zwölfer", 8, " zw …"),
            ("abc", 2, ""),
        ] {
            let told = shortened(text.to_owned(), most);
            assert_eq!(told, expected, "{text} in {most}");
            assert!(told.len() <= most);
            assert_eq!(shortened(told.clone(), most), told);
        }
    }
}
