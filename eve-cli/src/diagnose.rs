//! Shows diagnostics with the lines they stand in, in the look of rustc. Writes nothing itself: text out.
//!
//! What comes from the input is made safe first: values of Secrets are hidden, control characters are written out, and
//! very long lines are cut. Start with [`render`].

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use eve_core::plan::diagnostic::{Diagnostic, Diagnostics, Place, Severity, Source};

/// What stands in place of a value of a Secret, whatever its length.
const MASK: &str = "********";
/// Lines longer than this are cut around what is marked, in bytes.
const LINE_BYTES_MAX: usize = 1000;
/// How much of a cut line is kept before and behind the beginning of what is marked, in bytes.
const BEFORE_BYTES: usize = 60;
const BEHIND_BYTES: usize = 200;
/// Places that are further apart than this are shown apart, in lines.
const TOGETHER_LINES: usize = 500;

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    #[default]
    Never,
    /// With ANSI escapes.
    Always,
}

/// All diagnostics as text, with a closing newline; ends with `N problems, nothing was written` if there are errors.
/// Empty if there is nothing to show.
pub fn render(diagnostics: &Diagnostics, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Never => Renderer::plain(),
        Colour::Always => Renderer::styled(),
    };
    let mut text = String::new();
    for diagnostic in &diagnostics.list {
        text.push_str(&one(diagnostic, diagnostics, &renderer));
        text.push_str("\n\n");
    }
    for line in diagnostics.unlisted() {
        let _ = writeln!(text, "{line}");
    }
    match diagnostics.error_count() {
        0 => {}
        1 => text.push_str("1 problem, nothing was written\n"),
        count => drop(writeln!(text, "{count} problems, nothing was written")),
    }
    text
}

fn one(diagnostic: &Diagnostic, all: &Diagnostics, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements: Vec<Element<'_>> = Vec::new();
    if let Some(place) = &diagnostic.place {
        for cluster in clusters(place, &diagnostic.related) {
            elements.extend(snippet(&cluster, all));
        }
    }
    for note in &diagnostic.notes {
        elements.push(Level::NOTE.message(safe(note)).into());
    }
    if let Some(hint) = &diagnostic.hint {
        elements.push(Level::HELP.with_name("hint").message(safe(hint)).into());
    }
    let title = level.primary_title(safe(&diagnostic.message)).id(diagnostic.code.to_string());
    let group: Group<'_> = title.elements(elements);
    without_empty_origins(&renderer.render(&[group]))
}

/// The renderer writes a line `:::` under an origin that was given apart from its lines; it says nothing.
fn without_empty_origins(text: &str) -> String {
    let says_nothing = |line: &str| {
        let mut plain = String::new();
        let mut in_escape = false;
        for c in line.chars() {
            match c {
                '\u{1b}' => in_escape = true,
                'm' if in_escape => in_escape = false,
                c if !in_escape => plain.push(c),
                _ => {}
            }
        }
        plain.trim() == ":::"
    };
    let kept: Vec<&str> = text.lines().filter(|line| !says_nothing(line)).collect();
    kept.join("\n")
}

/// A place, and whether it is the one that the diagnostic is about.
type Marked<'a> = (&'a Place, bool);

/// Places that are shown in one piece of text: the same source, and not far apart. The first holds the primary place.
fn clusters<'a>(primary: &'a Place, related: &'a [Place]) -> Vec<Vec<Marked<'a>>> {
    let mut clusters: Vec<Vec<Marked<'a>>> = vec![vec![(primary, true)]];
    for place in related {
        let near = |cluster: &&mut Vec<Marked<'a>>| {
            let mut lines = cluster.iter();
            lines.any(|(other, _)| {
                other.source == place.source && other.line.abs_diff(place.line) <= TOGETHER_LINES
            })
        };
        match clusters.iter_mut().find(near) {
            Some(cluster) => cluster.push((place, false)),
            None => clusters.push(vec![(place, false)]),
        }
    }
    clusters
}

fn snippet<'a>(cluster: &[Marked<'_>], all: &Diagnostics) -> Vec<Element<'a>> {
    let Some((head, _)) = cluster.first() else { return Vec::new() };
    let Some(source) = all.sources.get(head.source) else { return Vec::new() };
    let hidden = all.secrets.iter().filter(|(of, _)| *of == head.source).map(|(_, span)| span.clone());
    let shown = Shown::of(source, cluster, hidden.collect());
    let annotations = cluster.iter().map(|(place, is_primary)| {
        let kind = if *is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        let annotation: Annotation<'a> = kind.span(shown.span(&place.span));
        if place.label.is_empty() { annotation } else { annotation.label(safe(&place.label)) }
    });
    let annotations: Vec<Annotation<'a>> = annotations.collect();
    let name = safe(source.name());
    let column = shown.column(&head.span);
    let snippet = Snippet::source(shown.text).line_start(shown.first_line).annotations(annotations);
    if column == head.column {
        return vec![snippet.path(name).into()];
    }
    // The text before the mark is not shown as it is, so the column cannot be counted in what is shown.
    vec![Origin::path(name).line(head.line).char_column(head.column).into(), snippet.into()]
}

/// The lines of a source that are shown, made safe.
struct Shown {
    text: String,
    first_line: usize,
    /// For each character of the source that is shown: its byte, and the byte in `text`.
    map: Vec<(usize, usize)>,
}

impl Shown {
    fn of(source: &Source, cluster: &[Marked<'_>], hidden: Vec<Range<usize>>) -> Self {
        let first = cluster.iter().map(|(place, _)| place.span.start).min().unwrap_or_default();
        let last = cluster.iter().map(|(place, _)| place.span.end).max().unwrap_or_default();
        let text = source.text();
        let start = text.get(..first).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let end =
            text.get(last..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| last + length);
        let first_line = cluster.iter().map(|(place, _)| place.line).min().unwrap_or(1);
        let mut shown = Self { text: String::new(), first_line, map: Vec::new() };
        let hidden: Vec<Range<usize>> =
            hidden.into_iter().filter(|span| span.end > start && span.start < end).collect();
        let mut at = start;
        for line in text.get(start..end).unwrap_or_default().split_inclusive('\n') {
            let marks = cluster.iter().map(|(place, _)| place.span.start);
            let mark = marks.filter(|mark| (at..=at + line.len()).contains(mark)).min();
            shown.line(line, at, mark, &hidden);
            at += line.len();
        }
        shown.map.push((at, shown.text.len()));
        shown
    }

    fn line(&mut self, line: &str, at: usize, mark: Option<usize>, hidden: &[Range<usize>]) {
        let content = line.trim_end_matches(['\n', '\r']);
        let window = match mark {
            None if content.len() > LINE_BYTES_MAX => 0..0,
            Some(mark) if content.len() > LINE_BYTES_MAX => {
                let mark = mark - at;
                mark.saturating_sub(BEFORE_BYTES)..(mark + BEHIND_BYTES).min(content.len())
            }
            _ => 0..content.len(),
        };
        if window.start > 0 {
            self.text.push('…');
        }
        let (from, to) = (at + window.start, at + window.end);
        let hidden: Vec<&Range<usize>> =
            hidden.iter().filter(|span| span.end > from && span.start < to).collect();
        let mut masked: Option<usize> = None;
        let start = content.ceil_char_boundary(window.start);
        let written = content.get(start..content.ceil_char_boundary(window.end)).unwrap_or_default();
        for (offset, c) in written.char_indices() {
            let byte = at + start + offset;
            let span = hidden.iter().position(|span| span.contains(&byte));
            if span.is_some() && span == masked {
                continue;
            }
            masked = span;
            self.map.push((byte, self.text.len()));
            match span {
                Some(_) => self.text.push_str(MASK),
                None => push_safe(&mut self.text, c),
            }
        }
        self.map.push((at + window.end.min(content.len()), self.text.len()));
        if window.end < content.len() {
            self.text.push('…');
        }
        if line.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The column of the first byte in what is shown, in characters, from 1.
    fn column(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..self.span(span).start).unwrap_or_default();
        before.chars().rev().take_while(|c| *c != '\n').count() + 1
    }

    /// The bytes in `text` of bytes in the source.
    fn span(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.map.partition_point(|(byte, _)| *byte <= span.start);
        let start = self.map.get(start.saturating_sub(1)).map_or(0, |(_, shown)| *shown);
        let end = self.map.partition_point(|(byte, _)| *byte < span.end);
        let end = self.map.get(end).map_or(self.text.len(), |(_, shown)| *shown);
        start..end.max(start)
    }
}

/// Text of the input without characters that a terminal would act on.
fn safe(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => result.push('\n'),
            c => push_safe(&mut result, c),
        }
    }
    result
}

fn push_safe(text: &mut String, c: char) {
    let acts = c != '\t'
        && (c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}'));
    match c {
        // A byte order mark at the start of a file is no part of its first line.
        '\u{feff}' => {}
        c if acts => text.extend(c.escape_unicode()),
        c => text.push(c),
    }
}
