//! From text to values: YAML (and JSON, which is YAML), document by document, all problems at once.
//!
//! Builds values straight from the parser's events, without recursion. It keeps no positions: `index` walks the same
//! events again when a problem must be shown.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::scalar::{self, Plain};
use crate::plan::limits::Limits;

/// One document that is not empty.
#[derive(Debug)]
pub(super) struct Document {
    /// Its number in the source, empty and broken documents counted.
    pub(super) number: usize,
    pub(super) value: Value,
    /// Booleans of YAML 1.1, as JSON Pointers with the text that stands there.
    pub(super) old_booleans: Vec<(String, String)>,
}

/// A problem of the text itself.
#[derive(Debug)]
pub(super) struct ReadProblem {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) span: Range<usize>,
    pub(super) related: Option<(Range<usize>, &'static str)>,
    pub(super) hint: Option<String>,
}

/// What one text holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) documents: Vec<Document>,
    /// In order of their places; at most as many as are shown.
    pub(super) problems: Vec<ReadProblem>,
    /// How many more there are.
    pub(super) hidden: usize,
}

/// A byte order mark is no part of the first document.
pub(super) fn skip_mark(text: &str) -> (&str, usize) {
    text.strip_prefix('\u{feff}').map_or((text, 0), |rest| (rest, '\u{feff}'.len_utf8()))
}

/// The parser that reader and index share, so that they see the same events.
pub(super) fn parser(text: &str) -> Parser<'_, StrInput<'_>> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
    };
    Parser::new_from_str_with_options(text, options)
}

/// The bytes of an event.
pub(super) fn bytes(span: &Span, offset: usize) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or_default() + offset;
    start..(span.end.byte_offset().unwrap_or_default() + offset).max(start)
}

pub(super) fn read(text: &str, limits: &Limits) -> Read {
    let (text, offset) = skip_mark(text);
    let mut parser = parser(text);
    let mut reader = Reader { text, offset, limits, result: Read::default(), document: None, started: 0 };
    loop {
        let step = match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((event, span))) => reader.event(event, &span),
            Some(Err(error)) => {
                reader.scan_error(&error);
                Err(Abandon)
            }
        };
        if step.is_err() {
            reader.document = None;
            if reader.started > limits.documents_max || !matches!(parser.proceed_next_document(), Ok(true)) {
                break;
            }
        }
    }
    reader.result
}

/// The rest of the document is not read.
struct Abandon;

struct Reader<'a> {
    text: &'a str,
    offset: usize,
    limits: &'a Limits,
    result: Read,
    document: Option<Building>,
    started: usize,
}

#[derive(Default)]
struct Building {
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
    copied: usize,
    root: Option<Value>,
    old_booleans: Vec<(String, String)>,
    broken: bool,
}

struct Anchored {
    value: Value,
    size: Size,
}

#[derive(Clone, Copy)]
struct Size {
    values: usize,
    depth: usize,
}

struct Frame {
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Map { map: Map<String, Value>, key: Option<Key>, keys: Vec<Range<usize>>, merges: Vec<Value> },
}

#[derive(Clone, Debug, PartialEq)]
enum Key {
    Name(String),
    /// `<<`: the value is merged into the map.
    Merge,
}

impl Reader<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "events without values, now and later")]
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Abandon> {
        let at = bytes(span, self.offset);
        match event {
            Event::DocumentStart(..) => {
                self.started += 1;
                if self.started > self.limits.documents_max {
                    let most = self.limits.documents_max;
                    self.problem("input.too-many-documents", format!("more than {most} documents"), at);
                    return Err(Abandon);
                }
                self.document = Some(Building::default());
                Ok(())
            }
            Event::DocumentEnd => {
                self.end_document();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.expects_key() {
                    let is_plain = style == ScalarStyle::Plain && tag.is_none();
                    return self.key(&text, is_plain, anchor, at);
                }
                let value = self.scalar(&text, style, tag.as_deref(), &at);
                self.anchor(anchor, &value, &at)?;
                self.place(value);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Content::List(Vec::new()), anchor, tag.as_deref(), at)
            }
            Event::MappingStart(_, anchor, tag) => {
                let content =
                    Content::Map { map: Map::new(), key: None, keys: Vec::new(), merges: Vec::new() };
                self.open(content, anchor, tag.as_deref(), at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&at),
            Event::Alias(id) => self.alias(id, at),
            Event::UnresolvedAlias(_) => {
                // The name is not repeated: a password may begin with an asterisk.
                self.report(ReadProblem {
                    code: "yaml.unknown-alias",
                    message: "this alias has no anchor above it".into(),
                    span: at,
                    related: None,
                    hint: Some("quote it if it is meant as text".into()),
                });
                self.place(Value::Null);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn problem(&mut self, code: &'static str, message: impl Into<String>, span: Range<usize>) {
        self.report(ReadProblem { code, message: message.into(), span, related: None, hint: None });
    }

    fn report(&mut self, problem: ReadProblem) {
        self.report_with(|| problem);
    }

    /// What is only counted need not be found out.
    fn report_with(&mut self, problem: impl FnOnce() -> ReadProblem) {
        if self.result.problems.len() < self.limits.problems_max {
            self.result.problems.push(problem());
        } else {
            self.result.hidden += 1;
        }
        if let Some(document) = &mut self.document {
            document.broken = true;
        }
    }

    fn scan_error(&mut self, error: &ScanError) {
        let (text, offset) = (self.text, self.offset);
        self.report_with(|| {
            let mut start = error.marker().byte_offset().unwrap_or_default().min(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let super::syntax::Explained { message, hint, at } = super::syntax::explain(error, text, start);
            let rest = text.get(at..).unwrap_or_default();
            let width = rest.chars().next().filter(|c| !matches!(c, '\n' | '\r')).map_or(0, char::len_utf8);
            let span = at + offset..at + width + offset;
            ReadProblem { code: "yaml.syntax", message, span, related: None, hint }
        });
    }

    fn expects_key(&self) -> bool {
        let frame = self.document.as_ref().and_then(|document| document.frames.last());
        matches!(frame, Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    /// Where the value stands that comes next.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for frame in self.document.iter().flat_map(|document| &document.frames) {
            match &frame.content {
                Content::List(list) => super::pointer::push_index(&mut pointer, list.len()),
                Content::Map { key: Some(Key::Name(name)), .. } => super::pointer::push(&mut pointer, name),
                Content::Map { .. } => super::pointer::push(&mut pointer, "<<"),
            }
        }
        pointer
    }

    fn key(&mut self, text: &str, is_plain: bool, anchor: usize, at: Range<usize>) -> Result<(), Abandon> {
        if is_plain && matches!(text, "" | "~" | "null") {
            self.problem("yaml.null-key", "a key of a map is empty", at.clone());
        }
        self.anchor(anchor, &Value::String(text.to_owned()), &at)?;
        let source = self.text;
        let offset = self.offset;
        let Some(Frame { content: Content::Map { map, key, keys, .. }, .. }) =
            self.document.as_mut().and_then(|document| document.frames.last_mut())
        else {
            return Ok(());
        };
        if is_plain && text == "<<" {
            *key = Some(Key::Merge);
            return Ok(());
        }
        *key = Some(Key::Name(text.to_owned()));
        if !map.contains_key(text) {
            keys.push(at);
            return Ok(());
        }
        let shown = |span: &&Range<usize>| {
            let raw = source.get(span.start - offset..span.end - offset).unwrap_or_default();
            raw.trim_matches(['"', '\'']) == text
        };
        let is_shown = self.result.problems.len() < self.limits.problems_max;
        let first = is_shown.then(|| keys.iter().find(shown).cloned()).flatten();
        self.report(ReadProblem {
            code: "yaml.duplicate-key",
            message: "this key stands twice in the same map".into(),
            span: at,
            related: first.map(|span| (span, "first used here")),
            hint: Some("keep one of the two".into()),
        });
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &Range<usize>) -> Value {
        let string = || Value::String(text.to_owned());
        let Some(tag) = tag else {
            if style != ScalarStyle::Plain {
                return string();
            }
            return self.plain(text, at);
        };
        match tag.core_suffix() {
            Some("str" | "timestamp") => string(),
            Some("int" | "float" | "bool" | "null") => self.plain(text, at),
            _ if tag.suffix() == "!" || (tag.handle().is_empty() && tag.suffix().is_empty()) => string(),
            _ => {
                self.unknown_tag(tag, at);
                Value::Null
            }
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, at: &Range<usize>) {
        // The tag is not repeated: a password may begin with an exclamation mark.
        self.report(ReadProblem {
            code: "yaml.unknown-tag",
            message: "the tag before this value has no meaning here".into(),
            span: at.clone(),
            related: None,
            hint: Some(if tag.core_suffix() == Some("binary") {
                "write the base64 text as a plain string".into()
            } else {
                "remove it, or quote the value if it is meant as text".into()
            }),
        });
    }

    fn plain(&mut self, text: &str, at: &Range<usize>) -> Value {
        match scalar::plain(text) {
            Plain::Value(value) => value,
            Plain::OldBoolean(value) => {
                let pointer = self.pointer();
                if let Some(document) = &mut self.document {
                    document.old_booleans.push((pointer, text.to_owned()));
                }
                Value::Bool(value)
            }
            Plain::NotFinite => {
                // The text is not repeated: a password may look like `1e999`.
                self.report(ReadProblem {
                    code: "yaml.not-finite",
                    message: "this is no number that JSON can hold".into(),
                    span: at.clone(),
                    related: None,
                    hint: Some("quote it if it is meant as text".into()),
                });
                Value::Null
            }
        }
    }

    fn open(
        &mut self,
        content: Content,
        anchor: usize,
        tag: Option<&Tag>,
        at: Range<usize>,
    ) -> Result<(), Abandon> {
        if let Some(tag) = tag.filter(|tag| !matches!(tag.core_suffix(), Some("map" | "seq"))) {
            self.unknown_tag(tag, &at);
        }
        if self.expects_key() {
            self.problem(
                "yaml.complex-key",
                "a key of a map must be a string, not a list or a map",
                at.clone(),
            );
            return Err(Abandon);
        }
        let Some(document) = &mut self.document else { return Ok(()) };
        if document.frames.len() >= self.limits.depth_max {
            let most = self.limits.depth_max;
            self.problem("input.too-deep", format!("nested more than {most} levels deep"), at);
            return Err(Abandon);
        }
        document.frames.push(Frame { anchor, content });
        Ok(())
    }

    fn close(&mut self, at: &Range<usize>) -> Result<(), Abandon> {
        let Some(frame) = self.document.as_mut().and_then(|document| document.frames.pop()) else {
            return Ok(());
        };
        let value = match frame.content {
            Content::List(list) => Value::Array(list),
            Content::Map { mut map, merges, .. } => {
                for merged in merges {
                    self.merge(&mut map, merged, at);
                }
                Value::Object(map)
            }
        };
        self.anchor(frame.anchor, &value, at)?;
        self.place(value);
        Ok(())
    }

    /// Keys that the map has itself win; of several merged maps the first (YAML 1.1 merge key).
    fn merge(&mut self, map: &mut Map<String, Value>, merged: Value, at: &Range<usize>) {
        match merged {
            Value::Object(other) => {
                for (key, value) in other {
                    map.entry(key).or_insert(value);
                }
            }
            Value::Array(list) if list.iter().all(Value::is_object) => {
                for other in list {
                    self.merge(map, other, at);
                }
            }
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let start = at.start..at.start;
                self.problem("yaml.bad-merge", "`<<` takes a map, or a list of maps", start);
            }
        }
    }

    fn alias(&mut self, id: usize, at: Range<usize>) -> Result<(), Abandon> {
        if self.expects_key() {
            self.problem("yaml.complex-key", "a key of a map must be written out, not be an alias", at);
            return Err(Abandon);
        }
        let Some(document) = &mut self.document else { return Ok(()) };
        let Some(anchored) = document.anchors.get(&id) else {
            self.problem("yaml.recursive-alias", "an alias stands inside of what it names", at);
            self.place(Value::Null);
            return Ok(());
        };
        if document.frames.len() + anchored.size.depth > self.limits.depth_max {
            let most = self.limits.depth_max;
            self.problem("input.too-deep", format!("nested more than {most} levels deep by this alias"), at);
            return Err(Abandon);
        }
        document.copied += anchored.size.values;
        let value = anchored.value.clone();
        self.within_copies(&at)?;
        self.place(value);
        Ok(())
    }

    /// Keeps what an alias may name later.
    fn anchor(&mut self, id: usize, value: &Value, at: &Range<usize>) -> Result<(), Abandon> {
        if id == 0 {
            return Ok(());
        }
        let size = size(value);
        let Some(document) = &mut self.document else { return Ok(()) };
        document.copied += size.values;
        document.anchors.insert(id, Anchored { value: value.clone(), size });
        self.within_copies(at)
    }

    fn within_copies(&mut self, at: &Range<usize>) -> Result<(), Abandon> {
        let most = self.limits.alias_values_max;
        if self.document.as_ref().is_none_or(|document| document.copied <= most) {
            return Ok(());
        }
        let message = format!("anchors and aliases of this document make more than {most} values");
        self.problem("input.too-many-aliases", message, at.clone());
        Err(Abandon)
    }

    fn place(&mut self, value: Value) {
        let Some(document) = &mut self.document else { return };
        match document.frames.last_mut().map(|frame| &mut frame.content) {
            None => document.root = Some(value),
            Some(Content::List(list)) => list.push(value),
            Some(Content::Map { map, key, merges, .. }) => match key.take() {
                Some(Key::Name(name)) => drop(map.insert(name, value)),
                Some(Key::Merge) => merges.push(value),
                None => {}
            },
        }
    }

    fn end_document(&mut self) {
        let Some(document) = self.document.take() else { return };
        let Some(value) = document.root.filter(|value| !document.broken && !value.is_null()) else { return };
        self.result.documents.push(Document {
            number: self.started - 1,
            value,
            old_booleans: document.old_booleans,
        });
    }
}

/// Recursion is bounded: no value here is nested deeper than `depth_max`.
fn size(value: &Value) -> Size {
    let join =
        |all: Size, one: Size| Size { values: all.values + one.values, depth: all.depth.max(one.depth + 1) };
    let leaf = Size { values: 1, depth: 0 };
    match value {
        Value::Array(list) => list.iter().map(size).fold(Size { values: 1, depth: 1 }, join),
        Value::Object(map) => map.values().map(size).fold(Size { values: 1, depth: 1 }, join),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => leaf,
    }
}
