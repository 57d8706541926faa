//! A problem of a field of a document, before its place in the text is looked up.

use std::borrow::Cow;

use super::texts::Mark;
use crate::plan::diagnostic::Severity;

#[derive(Clone, Debug)]
pub(super) struct FieldProblem {
    pub(super) severity: Severity,
    pub(super) code: Cow<'static, str>,
    /// From the root of the document.
    pub(super) pointer: String,
    pub(super) mark: Mark,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether the hint quotes nothing of the input.
    pub(super) is_own_hint: bool,
    /// Further fields of the document, each with a few words.
    pub(super) related: Vec<(String, String)>,
}

impl FieldProblem {
    pub(super) fn new(
        code: impl Into<Cow<'static, str>>,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            pointer: pointer.into(),
            mark: Mark::Value,
            message: message.into(),
            hint: None,
            is_own_hint: false,
            related: Vec::new(),
        }
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a hint that quotes nothing of the input.
    #[must_use]
    pub(super) fn with_own_hint(mut self, hint: Option<String>) -> Self {
        (self.hint, self.is_own_hint) = (hint, true);
        self
    }

    #[must_use]
    pub(super) fn marked(mut self, mark: Mark) -> Self {
        self.mark = mark;
        self
    }
}
