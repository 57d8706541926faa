//! What can be wrong with a plan, before anybody knows where in a file it stands.
//!
//! A problem names the component and the field (a JSON Pointer, RFC 6901); a loader that knows the text turns that into
//! file, line and column. Problems come all at once, never one per attempt.

use std::borrow::Cow;
use std::ops::Range;

use super::diagnostic::Severity;

/// A problem of the spec of one component, as its kind or executor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Stable, dotted, lower case; for programs. For example `manifests.object.no-name`.
    pub code: Cow<'static, str>,
    /// The field, as a JSON Pointer (RFC 6901) into the spec; `""` is the whole spec.
    pub pointer: String,
    /// One line for people: a lowercase fragment without a full stop.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// Whether the spec cannot be used, or only looks wrong.
    pub severity: Severity,
    /// Further fields that belong to the problem, as JSON Pointers into the spec, each with a few words.
    pub related: Vec<(String, String)>,
    /// Where the field is a text and a part of it is meant: the text, and the bytes of the part.
    pub part: Option<(String, Range<usize>)>,
}

impl SpecProblem {
    /// The hint for a number or boolean that must be a text. Who knows the text of the input adds it, quoted, unless it
    /// is a secret.
    pub const QUOTE: &str = "put it in quotes";

    /// A problem at `pointer`, without advice.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            pointer: pointer.into(),
            message: message.into(),
            hint: None,
            severity: Severity::Error,
            related: Vec::new(),
            part: None,
        }
    }

    /// The same as a warning: the spec is used all the same.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same with a further field, and a few words on what it has to do with the problem.
    #[must_use]
    pub fn with_related(mut self, pointer: impl Into<String>, label: impl Into<String>) -> Self {
        self.related.push((pointer.into(), label.into()));
        self
    }

    /// The same for a part of the text that the field is.
    #[must_use]
    pub fn with_part(mut self, text: impl Into<String>, part: Range<usize>) -> Self {
        self.part = Some((text.into(), part));
        self
    }

    /// The same with advice on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A problem of a plan that stands between its components, or in their general fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanProblem {
    /// Stable, dotted, lower case; for programs. For example `graph.cycle`.
    pub code: Cow<'static, str>,
    /// The name of the component it stands in; `None` for the plan as a whole.
    pub component: Option<String>,
    /// The field, as a JSON Pointer (RFC 6901) into the component or the plan; `""` is the whole of it.
    pub pointer: String,
    /// One line for people: a lowercase fragment without a full stop.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// The components along a cycle, each depending on the next and the last on the first; empty for other problems.
    pub cycle: Vec<String>,
}
