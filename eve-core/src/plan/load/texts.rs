//! The sources of a plan, and places in them, made only when they are asked for.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use super::index::{Index, Located};
use crate::plan::diagnostic::{Place, Source};

/// A document in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DocumentAt {
    pub(super) source: usize,
    pub(super) number: usize,
}

/// What to mark of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Its key.
    Key,
    /// Its value, or the key if the value is a list or a map.
    Value,
}

/// All sources with what is known of their places.
#[derive(Debug, Default)]
pub(super) struct Texts {
    sources: Vec<Source>,
    indices: Vec<OnceLock<Index>>,
    lines: Vec<OnceLock<Vec<usize>>>,
    /// What must not be shown, besides the values of Secrets.
    hidden: Vec<(usize, Range<usize>)>,
}

impl Texts {
    pub(super) fn add(&mut self, source: Source) -> usize {
        self.sources.push(source);
        self.indices.push(OnceLock::new());
        self.lines.push(OnceLock::new());
        self.sources.len() - 1
    }

    /// Nobody is to see the value of this field.
    pub(super) fn hide(&mut self, at: DocumentAt, pointer: &str) {
        if let Some(located) = self.locate(at, pointer).filter(|located| located.exact) {
            self.hidden.push((at.source, located.value));
        }
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(super) fn source(&self, source: usize) -> Option<&Source> {
        self.sources.get(source)
    }

    fn index(&self, source: usize) -> Option<&Index> {
        let text = self.sources.get(source)?.text();
        Some(self.indices.get(source)?.get_or_init(|| Index::build(text)))
    }

    pub(super) fn locate(&self, at: DocumentAt, pointer: &str) -> Option<Located> {
        self.index(at.source)?.locate(at.number, pointer)
    }

    /// The place of a field, or of the nearest value around it.
    pub(super) fn field(&self, at: DocumentAt, pointer: &str, mark: Mark, label: &str) -> Option<Place> {
        let located = self.locate(at, pointer)?;
        let span = match (mark, located.key) {
            (Mark::Key, Some(key)) => key,
            (Mark::Value, Some(key)) if located.is_container => key,
            _ => located.value,
        };
        self.place(at.source, span, label)
    }

    /// The place of a part of a string: `text` is the string, `part` are bytes of it. Where the source writes it otherwise,
    /// with escapes, it is the place of the whole.
    pub(super) fn part(
        &self,
        at: DocumentAt,
        pointer: &str,
        (text, part): (&str, Range<usize>),
    ) -> Option<Place> {
        let whole = self.locate(at, pointer)?.value;
        let raw = self.sources.get(at.source)?.text().get(whole.clone())?;
        let start = text.get(..part.start)?.rfind('\n').map_or(0, |newline| newline + 1);
        let end = text.get(part.start..)?.find('\n').map_or(text.len(), |newline| part.start + newline);
        let line = text.get(start..end)?.trim_end();
        let found = raw
            .find(line)
            .filter(|found| raw.get(found + 1..).is_none_or(|rest| line.is_empty() || !rest.contains(line)));
        let Some(found) = found else { return self.field(at, pointer, Mark::Value, "") };
        let from = whole.start + found + (part.start - start);
        let length = part.end.min(end).saturating_sub(part.start);
        self.place(at.source, from..from + length, "")
    }

    /// The place of these bytes, cut to what is on the first line.
    pub(super) fn place(&self, source: usize, span: Range<usize>, label: &str) -> Option<Place> {
        let text = self.sources.get(source)?.text();
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let first_line = text.get(start..end)?.lines().next().unwrap_or_default().trim_end().len();
        let lines = self.lines.get(source)?.get_or_init(|| line_starts(text));
        let line = lines.partition_point(|&line| line <= start);
        let line_start = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = text.get(line_start..start).unwrap_or_default();
        Some(Place {
            source,
            span: start..start + first_line,
            line,
            column: before.trim_start_matches('\u{feff}').chars().count() + 1,
            label: label.to_owned(),
        })
    }

    /// Where problems of the Secrets of a source are placed.
    pub(super) fn around_secrets(&self, source: usize) -> Vec<Range<usize>> {
        self.index(source).map(Index::around_secrets).unwrap_or_default()
    }

    /// The spans of what must not be shown of a source: values of Secrets. Where the text is broken and speaks of
    /// Secrets, `broken` are lines (from 1) on which everything that may be a value is hidden.
    pub(super) fn secrets(&self, source: usize, broken: &BTreeSet<usize>) -> Vec<Range<usize>> {
        let (Some(text), Some(index)) = (self.sources.get(source), self.index(source)) else {
            return Vec::new();
        };
        let text = text.text();
        let mut spans = index.secrets(text);
        spans.extend(self.hidden.iter().filter(|(of, _)| *of == source).map(|(_, span)| span.clone()));
        if !broken.is_empty() && contains_ignoring_case(text, "secret") {
            let lines = self.lines.get(source).map(|lines| lines.get_or_init(|| line_starts(text)));
            for line in broken {
                let start =
                    lines.and_then(|lines| lines.get(line.saturating_sub(1))).copied().unwrap_or_default();
                let shown = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
                spans.push(start + shown_of_broken(shown)..start + shown.len());
            }
        }
        spans.sort_by_key(|span| (span.start, span.end));
        spans
    }
}

/// How much of a line of a broken text may be shown: where it is not known what is a key and what is a value, only the
/// indentation and the fields that every object has.
fn shown_of_broken(line: &str) -> usize {
    const FIELDS: [&str; 9] = [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "data",
        "stringData",
    ];
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    let rest = line.get(indent..).unwrap_or_default();
    let field =
        FIELDS.iter().find(|field| rest.strip_prefix(**field).is_some_and(|rest| rest.starts_with(": ")));
    field.map_or(indent, |field| indent + field.len() + 2)
}

fn contains_ignoring_case(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

fn line_starts(text: &str) -> Vec<usize> {
    let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(newlines).collect()
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
