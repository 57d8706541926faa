//! How a command ends before it has done its work, for people and for programs. It prints nothing.

use std::fmt;

use eve_core::plan::diagnostic::{Diagnostics, Severity};
use serde_json::{Value, json};

use crate::diagnose;
use crate::exit::Exit;
use crate::output::{clean, style};

/// Why a command ends before it has done its work.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The input is wrong; all problems, with their places.
    Problems(Box<Diagnostics>),
    /// What the input names cannot be asked for; where it names it.
    Unreachable(Box<Diagnostics>),
    /// Anything else.
    Error {
        /// How the program exits.
        exit: Exit,
        /// A lowercase fragment.
        message: String,
        /// Further lines.
        notes: Vec<String>,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl Halt {
    pub(crate) fn problems(diagnostics: Diagnostics) -> Self {
        Self::Problems(Box::new(diagnostics))
    }

    pub(crate) fn unreachable(diagnostics: Diagnostics) -> Self {
        Self::Unreachable(Box::new(diagnostics))
    }

    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> Self {
        Self::Error { exit, message: message.into(), notes: Vec::new(), hint: None }
    }

    pub(crate) fn with_notes(mut self, more: Vec<String>) -> Self {
        if let Self::Error { notes, .. } = &mut self {
            notes.extend(more);
        }
        self
    }

    pub(crate) fn with_hint(mut self, text: impl Into<Option<String>>) -> Self {
        if let Self::Error { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Problems(_) => Exit::Refused,
            Self::Unreachable(_) => Exit::Cluster,
            Self::Error { exit, .. } => *exit,
        }
    }

    /// All that is said about it, without a line break at its end.
    pub(crate) fn render(&self, colour: diagnose::Colour) -> String {
        match self {
            Self::Problems(diagnostics) | Self::Unreachable(diagnostics) => {
                diagnose::render(diagnostics, colour).trim_end().to_owned()
            }
            Self::Error { message, notes, hint, .. } => {
                let mut lines = vec![format!("{}: {}", style::error("error"), clean(message))];
                lines.extend(notes.iter().map(|note| format!("       {}", clean(note))));
                lines.extend(hint.iter().map(|hint| format!("{}: {}", style::hint("hint"), clean(hint))));
                lines.join("\n")
            }
        }
    }

    /// The same as an object for programs.
    pub(crate) fn json(&self) -> Value {
        let code = self.exit().code();
        match self {
            Self::Error { message, notes, hint, .. } => {
                json!({"type": "error", "exitCode": code, "message": message, "notes": notes, "hint": hint})
            }
            Self::Problems(diagnostics) | Self::Unreachable(diagnostics) => {
                let message = match self {
                    Self::Unreachable(_) => "the secrets of the input cannot be asked for",
                    Self::Problems(_) | Self::Error { .. } => "the input was refused",
                };
                let problems = diagnostics.list.iter().map(|problem| {
                    let place = problem.place.as_ref().map(|place| {
                        let file = diagnostics.sources.get(place.source).map(|source| source.name().to_owned());
                        json!({"file": file, "line": place.line, "column": place.column})
                    });
                    let severity = match problem.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    };
                    json!({
                        "severity": severity, "code": problem.code, "message": problem.message, "place": place,
                        "hint": problem.hint, "notes": problem.notes,
                    })
                });
                json!({
                    "type": "error", "exitCode": code, "message": message,
                    "problems": problems.collect::<Vec<_>>(), "hidden": diagnostics.hidden,
                })
            }
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&anstream::adapter::strip_str(&self.render(diagnose::Colour::Never)).to_string())
    }
}
