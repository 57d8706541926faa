//! What can be wrong with an expression, with its place in the text.

use std::ops::Range;

/// A problem of an expression. Holds names and types, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What sort of problem it is.
    pub kind: ExprErrorKind,
    /// One line for people: a lowercase fragment without a full stop.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// The bytes of the parsed text that it is about; on character borders.
    pub at: Range<usize>,
}

/// The sorts of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExprErrorKind {
    /// It is no expression.
    Syntax,
    /// It uses a name or a function that does not exist.
    UnknownName,
    /// An operator or function does not take these types, or a number has left its range.
    Type,
    /// A map has no such field, or a list no such item.
    Missing,
    /// It is longer, deeper, or does more than is allowed.
    Limit,
}

impl ExprErrorKind {
    /// Stable, dotted, lower case; for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "expr.syntax",
            Self::UnknownName => "expr.unknown-name",
            Self::Type => "expr.type",
            Self::Missing => "expr.missing",
            Self::Limit => "expr.limit",
        }
    }
}

impl ExprError {
    pub(super) fn new(kind: ExprErrorKind, at: Range<usize>, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, at }
    }

    pub(super) fn syntax(at: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(ExprErrorKind::Syntax, at, message)
    }

    pub(super) fn unknown(at: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(ExprErrorKind::UnknownName, at, message)
    }

    pub(super) fn of_type(at: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(ExprErrorKind::Type, at, message)
    }

    pub(super) fn missing(at: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(ExprErrorKind::Missing, at, message)
    }

    pub(super) fn limit(at: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(ExprErrorKind::Limit, at, message)
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}
