//! The sources of a plan, and places in them, made only when they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;

use super::index::{Index, Located};
use super::lines::Lines;
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
    lines: Vec<OnceLock<Lines>>,
    values: Vec<OnceLock<Values>>,
    /// Sources of which something could not be read: what is a value in them nobody knows.
    broken: BTreeSet<usize>,
    /// What must not be shown, besides the values of Secrets: the source and where it begins, with its end.
    hidden: BTreeMap<(usize, usize), usize>,
}

/// The values of the Secrets of a source.
#[derive(Debug)]
struct Values {
    /// In order of where they begin.
    spans: Vec<Range<usize>>,
    /// Where the furthest of those up to each ends.
    reach: Vec<usize>,
}

impl Values {
    fn of(mut spans: Vec<Range<usize>>) -> Self {
        spans.sort_by_key(|span| (span.start, span.end));
        let furthest = |reach: &mut usize, span: &Range<usize>| {
            *reach = span.end.max(*reach);
            Some(*reach)
        };
        let reach = spans.iter().scan(0, furthest).collect();
        Self { spans, reach }
    }

    fn contain(&self, byte: usize) -> bool {
        let begun = self.spans.partition_point(|span| span.start <= byte);
        begun.checked_sub(1).and_then(|last| self.reach.get(last)).is_some_and(|end| byte < *end)
    }
}

impl Texts {
    pub(super) fn add(&mut self, source: Source) -> usize {
        self.sources.push(source);
        self.indices.push(OnceLock::new());
        self.lines.push(OnceLock::new());
        self.values.push(OnceLock::new());
        self.sources.len() - 1
    }

    /// Nobody is to see the value of this field.
    pub(super) fn hide(&mut self, at: DocumentAt, pointer: &str) {
        if let Some(located) = self.locate(at, pointer).filter(|located| located.exact) {
            self.hidden.insert((at.source, located.value.start), located.value.end);
        }
    }

    /// Something of this source cannot be read.
    pub(super) fn mark_broken(&mut self, source: usize) {
        self.broken.insert(source);
    }

    pub(super) fn is_broken(&self, source: usize) -> bool {
        self.broken.contains(&source)
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
        let lines = self.lines.get(source)?.get_or_init(|| Lines::of(text));
        Some(Place {
            source,
            span: start..start + first_line,
            line: lines.line(start),
            column: lines.column(text, start),
            label: label.to_owned(),
        })
    }

    fn values(&self, source: usize) -> Option<&Values> {
        let (text, index) = (self.sources.get(source)?.text(), self.index(source)?);
        Some(self.values.get(source)?.get_or_init(|| Values::of(index.secrets(text))))
    }

    /// Whether what begins at this byte of a source must not be shown.
    pub(super) fn is_secret(&self, source: usize, byte: usize) -> bool {
        let hidden = self.hidden.range((source, 0)..=(source, byte)).next_back();
        hidden.is_some_and(|(_, end)| byte < *end)
            || self.values(source).is_some_and(|values| values.contain(byte))
    }

    /// Where problems of the Secrets of a source are placed.
    pub(super) fn around_secrets(&self, source: usize) -> Vec<Range<usize>> {
        self.index(source).map(Index::around_secrets).unwrap_or_default()
    }

    /// The spans of what must not be shown of a source: values of Secrets. Where the text is broken and speaks of
    /// Secrets, `broken` are lines (from 1) on which everything that may be a value is hidden.
    pub(super) fn secrets(&self, source: usize, broken: &BTreeSet<usize>) -> Vec<Range<usize>> {
        let Some(text) = self.sources.get(source).map(Source::text) else { return Vec::new() };
        let mut spans = self.values(source).map(|values| values.spans.clone()).unwrap_or_default();
        let hidden = self.hidden.range((source, 0)..(source + 1, 0));
        spans.extend(hidden.map(|((_, start), end)| *start..*end));
        let lines =
            self.lines.get(source).filter(|_| !broken.is_empty() && contains_ignoring_case(text, "secret"));
        if let Some(lines) = lines.map(|lines| lines.get_or_init(|| Lines::of(text))) {
            for line in broken {
                let start = lines.start(*line);
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

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
