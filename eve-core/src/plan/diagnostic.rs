//! What is wrong with an input, with its places in the text: plain data for whoever shows it.
//!
//! A [`Diagnostic`] holds byte spans, not text; [`Diagnostics`] holds the sources that the spans point into. Rendering
//! is the business of the binaries. Start with [`Diagnostics`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::few::more;

/// Whether an input is refused or only looks wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The input is refused.
    #[default]
    Error,
    /// The input is used all the same.
    Warning,
}

/// One input text, and the name that people know it by. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    bad_byte: Option<usize>,
}

impl Source {
    /// A text; `name` is what is shown: a path as it was given, or `<stdin>`.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), bad_byte: None }
    }

    /// The same from bytes. Bytes that are no UTF-8 are reported when the source is loaded.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::new(name, text),
            Err(error) => {
                let bad_byte = Some(error.utf8_error().valid_up_to());
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Self { name: name.into(), text: text.into(), bad_byte }
            }
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text, whole, with a byte order mark if it has one.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the first byte stands that is no UTF-8.
    pub const fn bad_byte(&self) -> Option<usize> {
        self.bad_byte
    }
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which source of the [`Diagnostics`].
    pub source: usize,
    /// Bytes of its text. May be empty; lies on character borders.
    pub span: Range<usize>,
    /// The line of the first byte, from 1.
    pub line: usize,
    /// The column of the first byte in characters, from 1.
    pub column: usize,
    /// A few words that stand beside the marked text; may be empty.
    pub label: String,
}

/// One problem of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Refused, or only suspect.
    pub severity: Severity,
    /// Stable, dotted, lower case; for programs. For example `plan.unknown-field`.
    pub code: Cow<'static, str>,
    /// One line for people: a lowercase fragment without a full stop. May hold characters of the input: escape
    /// control characters before it is shown.
    pub message: String,
    /// Where it is, if it stands somewhere.
    pub place: Option<Place>,
    /// Further places that belong to it.
    pub related: Vec<Place>,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// Whether the hint is made of the program's own words and quotes nothing of the input: then nothing of it is hidden.
    pub is_own_hint: bool,
    /// Further lines.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            place: None,
            related: Vec::new(),
            hint: None,
            is_own_hint: false,
            notes: Vec::new(),
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same at this place.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Place>>) -> Self {
        self.place = place.into();
        self
    }

    /// The same with a further place.
    #[must_use]
    pub fn with_related(mut self, place: impl Into<Option<Place>>) -> Self {
        self.related.extend(place.into());
        self
    }

    /// The same with advice on what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with one more line.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Problems of one input, and the sources that their places point into.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// The sources, in the order in which they were read.
    pub sources: Vec<Source>,
    /// The problems, in the order of their places. Those without a place come first.
    pub list: Vec<Diagnostic>,
    /// How many errors were found but are not in `list`.
    pub hidden: usize,
    /// How many warnings were found but are not in `list`.
    pub hidden_warnings: usize,
    /// Values that must not be shown: by source, the spans of values of Kubernetes Secrets, in order.
    pub secrets: Vec<(usize, Range<usize>)>,
}

impl Diagnostics {
    /// How many errors there are, those not listed included.
    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count() + self.hidden
    }

    /// How many warnings are listed.
    pub fn warning_count(&self) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning).count()
    }

    /// What is said of errors and warnings that are not listed: a line each, where there are any.
    pub fn unlisted(&self) -> impl Iterator<Item = String> {
        let counted = [(self.hidden, "problem"), (self.hidden_warnings, "warning")];
        counted.into_iter().filter_map(|(number, what)| match number {
            0 => None,
            1 => Some(format!("1 further {what} is not shown")),
            _ => Some(format!("{number} further {what}s are not shown")),
        })
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    /// One line each, without the text of the sources: for logs. Binaries render them better.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            if let Some(place) = &diagnostic.place {
                let name = self.sources.get(place.source).map_or("?", Source::name);
                write!(f, "{name}:{}:{}: ", place.line, place.column)?;
            }
            write!(f, "{}", diagnostic.message.escape_debug())?;
        }
        more(self.hidden).map_or(Ok(()), |more| write!(f, "; {more}"))
    }
}

impl std::error::Error for Diagnostics {}
