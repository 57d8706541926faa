//! What can be said of an input without reading all of it: who keeps plans in order must not wait for a large one.

use std::collections::BTreeSet;

use serde_saphyr::granit_parser::{Event, ScalarStyle};

use super::read::{parser, skip_mark};
use crate::plan::spec::{API_VERSION, KIND};

/// How many events of the parser are looked at.
const EVENTS_MAX: usize = 10_000;

/// What can be said of an input at a glance. [`load`](super::load), without a namespace that was asked for, never says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glance {
    /// If it is a plan that can be loaded, it is one for this namespace.
    Namespace(String),
    /// It cannot be loaded.
    Unusable,
    /// Nothing.
    Unknown,
}

/// Looks at the beginning of an input: as far as `apiVersion`, `kind` and `metadata.namespace`, and no farther than 10,000 names
/// and values.
pub fn glance(bytes: &[u8]) -> Glance {
    let Ok(text) = std::str::from_utf8(bytes) else { return Glance::Unusable };
    let mut parser = parser(skip_mark(text).0);
    let mut head = Head::default();
    for _ in 0..EVENTS_MAX {
        match parser.next_event() {
            None => break,
            Some(Err(_)) => return Glance::Unusable,
            Some(Ok((event, _))) => {
                if let Some(glance) = head.event(&event) {
                    return glance;
                }
            }
        }
    }
    Glance::Unknown
}

/// What was seen so far of the first document.
#[derive(Default)]
struct Head {
    frames: Vec<Frame>,
    fields: BTreeSet<String>,
    is_ours: bool,
    is_plan: bool,
    namespace: Option<String>,
}

enum Frame {
    List,
    Map { key: Option<String> },
}

impl Head {
    /// What can be said now, if anything.
    #[expect(clippy::wildcard_enum_match_arm, reason = "events without values, now and later")]
    fn event(&mut self, event: &Event<'_>) -> Option<Glance> {
        let (anchor, tag) = match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor, tag.is_some()),
            Event::Alias(_) | Event::UnresolvedAlias(_) => (0, true),
            Event::SequenceEnd | Event::MappingEnd => {
                self.frames.pop();
                self.value_ends();
                return None;
            }
            Event::DocumentEnd => return Some(Glance::Unknown),
            _ => return None,
        };
        if anchor != 0 || tag {
            return Some(Glance::Unknown);
        }
        let is_key = matches!(self.frames.last(), Some(Frame::Map { key: None }));
        match event {
            Event::Scalar(text, style, ..) if is_key => self.key(text, *style == ScalarStyle::Plain),
            _ if is_key => Some(Glance::Unknown),
            Event::Scalar(text, style, ..) => self.scalar(text, *style == ScalarStyle::Plain),
            Event::SequenceStart(..) if self.frames.is_empty() => Some(Glance::Unusable),
            Event::SequenceStart(..) => {
                self.frames.push(Frame::List);
                None
            }
            _ => {
                self.frames.push(Frame::Map { key: None });
                None
            }
        }
    }

    fn key(&mut self, text: &str, is_plain: bool) -> Option<Glance> {
        if is_plain && text == "<<" {
            return Some(Glance::Unknown);
        }
        if self.frames.len() == 1 && !self.fields.insert(text.to_owned()) {
            return Some(Glance::Unusable);
        }
        if let Some(Frame::Map { key }) = self.frames.last_mut() {
            *key = Some(text.to_owned());
        }
        None
    }

    fn value_ends(&mut self) {
        if let Some(Frame::Map { key }) = self.frames.last_mut() {
            *key = None;
        }
    }

    fn scalar(&mut self, text: &str, is_plain: bool) -> Option<Glance> {
        let keys = self.frames.iter().map(|frame| match frame {
            Frame::Map { key } => key.as_deref(),
            Frame::List => None,
        });
        match *keys.collect::<Vec<_>>() {
            // An empty document is passed over.
            [] if is_plain && (text.is_empty() || text == "~" || text.eq_ignore_ascii_case("null")) => {
                return Some(Glance::Unknown);
            }
            [] => return Some(Glance::Unusable),
            [Some("apiVersion")] => self.is_ours = text == API_VERSION,
            [Some("kind")] => self.is_plan = text == KIND,
            [Some("metadata"), Some("namespace")] if !text.contains("${{") => {
                self.namespace = Some(text.to_owned());
            }
            _ => {}
        }
        self.value_ends();
        if !(self.is_ours && self.is_plan) {
            return None;
        }
        self.namespace.take().map(Glance::Namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_of_a_plan_is_known_before_its_components_are_read() {
        let shop = || Glance::Namespace("shop".to_owned());
        let head = "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: { name: a, namespace: shop }\n";
        let json = r#"{"apiVersion": "eve.dev/v1alpha1", "kind": "Plan", "metadata": {"namespace": "shop"}, "spec": "#;
        for (text, want) in [
            (head.to_owned(), shop()),
            (format!("\u{feff}# a plan\n---\n{head}spec: [\"never closed"), shop()),
            (format!("{json}[{}", "1,".repeat(2_000)), shop()),
            // What breaks off so soon is seen before: the parser looks ahead.
            (format!("{json}{}", "[".repeat(10)), Glance::Unusable),
            (format!("spec: {{ metadata: {{ namespace: other }} }}\n{head}"), shop()),
            (head.replace("shop", "\"${{ inputs.n }}\""), Glance::Unknown),
            (head.replace("shop", "*n"), Glance::Unknown),
            (head.replace(", namespace: shop", ""), Glance::Unknown),
            (head.replace("eve.dev/v1alpha1", "v1"), Glance::Unknown),
            (format!("<<: {{ metadata: {{ namespace: other }} }}\n{head}"), Glance::Unknown),
            (format!("spec: [{}]\n{head}", "a,".repeat(20_000)), Glance::Unknown),
            (format!("---\n---\n{head}"), Glance::Unknown),
            (String::new(), Glance::Unknown),
        ] {
            assert_eq!(glance(text.as_bytes()), want, "{}", text.chars().take(100).collect::<String>());
        }
    }

    #[test]
    fn what_can_never_be_loaded_is_mostly_known_at_once() {
        for text in ["- a\n- b\n", "just words", "a: b: c", "kind: Plan\nkind: Plan\n", "a: ]"] {
            assert_eq!(glance(text.as_bytes()), Glance::Unusable, "{text}");
            let kinds = crate::kind::Kinds::new();
            let source = super::super::Source::new("x", text);
            assert!(
                super::super::load(vec![source], &super::super::LoadOptions::new(&kinds)).is_err(),
                "{text}"
            );
        }
        assert_eq!(glance(b"a: \xff"), Glance::Unusable);
    }
}
