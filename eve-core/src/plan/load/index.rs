//! Which bytes a value of a document stands in. Built only when a problem must be shown.
//!
//! Walks the same events as `read`, so the two cannot disagree; where a text is broken it holds what came before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use serde_saphyr::granit_parser::Event;

use super::pointer::segments;
use super::read::{bytes, parser, skip_mark};

/// The spans of all values of a source.
#[derive(Debug, Default)]
pub(super) struct Index {
    nodes: Vec<Node>,
    /// The root of each document, by its number.
    roots: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Node {
    span: Range<usize>,
    children: Vec<Child>,
    /// Of a map: the positions of its children, in order of their keys.
    by_key: Vec<usize>,
    is_map: bool,
    word: Word,
}

/// What a scalar would say as the `kind` of an object, however it is quoted or escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    Secret,
    SecretList,
    #[default]
    Other,
}

/// Which scalars of a value must not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hide {
    All,
    /// Those that cannot be a name.
    NoName,
}

/// The longest name there is: a DNS subdomain of 253 characters, `/`, and a name of 63
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
const NAME_BYTES_MAX: usize = 253 + 1 + 63;

/// A key and where it stands.
type Key = (Box<str>, Range<usize>);

#[derive(Debug)]
struct Child {
    key: Option<Key>,
    node: usize,
}

/// Where a value stands, or the nearest value around it that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// Its key, if it stands in a map.
    pub(super) key: Option<Range<usize>>,
    /// The value itself; of a list or map the part on its first line.
    pub(super) value: Range<usize>,
    /// Whether it is a list or a map.
    pub(super) is_container: bool,
    /// Whether the value itself was found, and not only one around it.
    pub(super) exact: bool,
}

impl Index {
    pub(super) fn build(text: &str) -> Self {
        let (text, offset) = skip_mark(text);
        let mut parser = parser(text);
        let mut walk = Walk { index: Self::default(), open: Vec::new(), anchors: BTreeMap::new() };
        loop {
            match parser.next_event() {
                None | Some(Ok((Event::StreamEnd, _))) => break,
                Some(Ok((event, span))) => walk.event(&event, bytes(&span, offset)),
                Some(Err(_)) => {
                    walk.open.clear();
                    if !matches!(parser.proceed_next_document(), Ok(true)) {
                        break;
                    }
                }
            }
        }
        walk.index.nodes.iter_mut().filter(|node| node.is_map).for_each(Node::sort);
        walk.index
    }

    /// The value at a JSON Pointer in a document.
    pub(super) fn locate(&self, document: usize, pointer: &str) -> Option<Located> {
        let mut at = (*self.roots.get(document)?)?;
        let mut key = None;
        let mut exact = true;
        for segment in segments(pointer) {
            let Some(child) = self.child(at, &segment) else {
                exact = false;
                break;
            };
            at = child.node;
            key = child.key.as_ref().map(|(_, span)| span.clone());
        }
        let node = self.nodes.get(at)?;
        Some(Located { key, value: self.head(node), is_container: node.is_container(), exact })
    }

    /// The spans of the values of Kubernetes Secrets that must not be shown: all but their kind, type and metadata;
    /// of the metadata the annotations, which may hold a copy. Elsewhere a key or value is hidden that no name looks
    /// like: behind one misplaced quote it may hold the rest of the object. A tag or an anchor before a value counts
    /// to it: it may be a password that was not quoted.
    pub(super) fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        for node in self.secret_maps().into_iter().filter_map(|map| self.nodes.get(map)) {
            for child in &node.children {
                match child.key.as_ref().map(|(key, _)| &**key) {
                    Some("apiVersion" | "kind" | "type" | "immutable") => {
                        self.scalars(child, text, Hide::NoName, &mut spans);
                    }
                    Some("metadata") => {
                        self.scalars(child, text, Hide::NoName, &mut spans);
                        if let Some(child) = self.child(child.node, "annotations") {
                            self.scalars(child, text, Hide::All, &mut spans);
                        }
                    }
                    _ => self.scalars(child, text, Hide::All, &mut spans),
                }
            }
        }
        spans
    }

    /// Where problems of Secrets are placed: everything that belongs to one, aliases followed, and what is marked of the
    /// lists and maps around it.
    pub(super) fn around_secrets(&self) -> Vec<Range<usize>> {
        let (mut spans, mut inside) = (Vec::new(), self.secret_maps());
        let mut open: Vec<usize> = inside.iter().copied().collect();
        while let Some(node) = open.pop().and_then(|at| self.nodes.get(at)) {
            spans.push(node.span.clone());
            let children = node.children.iter().map(|child| child.node);
            open.extend(children.filter(|child| inside.insert(*child)));
        }
        let mut parents: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            node.children.iter().for_each(|child| parents.entry(child.node).or_default().push(at));
        }
        let mut open: Vec<usize> = inside.iter().copied().collect();
        let mut around = BTreeSet::new();
        while let Some(at) = open.pop() {
            let outside = parents.get(&at).into_iter().flatten().filter(|parent| !inside.contains(parent));
            open.extend(outside.filter(|parent| around.insert(**parent)));
        }
        for node in around.iter().filter_map(|at| self.nodes.get(*at)) {
            spans.push(self.head(node));
            let within = node.children.iter();
            let within = within.filter(|child| around.contains(&child.node) || inside.contains(&child.node));
            spans.extend(within.filter_map(|child| child.key.as_ref()).map(|(_, span)| span.clone()));
        }
        spans
    }

    /// The maps that are Secrets: by a kind of their own, merged or behind an alias, or as items of a `SecretList`.
    fn secret_maps(&self) -> BTreeSet<usize> {
        let mut maps = BTreeSet::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_map) {
            let kinds = node.children_of("kind").chain(self.child(at, "kind"));
            for word in kinds.filter_map(|child| self.nodes.get(child.node)).map(|kind| kind.word) {
                match word {
                    Word::Secret => drop(maps.insert(at)),
                    Word::SecretList => maps.extend(
                        self.child(at, "items").map(|items| self.maps(items.node)).into_iter().flatten(),
                    ),
                    Word::Other => {}
                }
            }
        }
        maps
    }

    /// The spans of the scalars to hide in a value, each once even where aliases share them.
    fn scalars(&self, top: &Child, text: &str, hide: Hide, spans: &mut Vec<Range<usize>>) {
        let mut open = vec![top];
        let mut seen = BTreeSet::new();
        while let Some(child) = open.pop() {
            let Some(node) = self.nodes.get(child.node) else { continue };
            let after_key = child.key.as_ref().map_or(node.span.start, |(_, key)| key.end);
            let between = text.get(after_key..node.span.start).unwrap_or_default();
            let properties = between.find(['&', '!', '*']).map_or(node.span.start, |at| after_key + at);
            // `{password hunter2}`, without a colon, is a key without a value.
            let bare = hide == Hide::All && node.span.is_empty();
            if let Some((_, span)) = child.key.as_ref().filter(|(key, _)| bare || !is_name(key)) {
                spans.push(span.clone());
            }
            let end = if node.is_container() { node.span.start } else { node.span.end };
            let written = text.get(properties..end).unwrap_or_default();
            if properties < end && (hide == Hide::All || !is_name(unquoted(written))) {
                spans.push(properties..end);
            }
            if seen.insert(child.node) {
                open.extend(&node.children);
            }
        }
    }

    /// Follows a key or position; keys of merged maps count where the map does not have them itself.
    fn child(&self, at: usize, segment: &str) -> Option<&Child> {
        let node = self.nodes.get(at)?;
        if !node.is_map {
            return node.children.get(segment.parse::<usize>().ok()?);
        }
        let mut waiting = VecDeque::from([at]);
        let mut seen = BTreeSet::new();
        while let Some(map) = waiting.pop_front() {
            let Some(node) = self.nodes.get(map).filter(|_| seen.insert(map)) else { continue };
            // The last of two equal keys is the one that is marked: the first is shown beside it.
            if let Some(child) = node.children_of(segment).last() {
                return Some(child);
            }
            node.children_of("<<").for_each(|child| waiting.extend(self.maps(child.node)));
        }
        None
    }

    /// A map itself, or the maps of a list.
    fn maps(&self, at: usize) -> Vec<usize> {
        match self.nodes.get(at) {
            Some(node) if !node.is_map => node.children.iter().map(|child| child.node).collect(),
            _ => vec![at],
        }
    }

    /// What to mark of a value: all of a scalar; of a list or map its `name` or `metadata.name`, or else its first key
    /// or item.
    fn head(&self, node: &Node) -> Range<usize> {
        let value_of = |node: &Node, wanted: &str| {
            node.children_of(wanted).next().and_then(|child| self.nodes.get(child.node))
        };
        let name = value_of(node, "name").or_else(|| value_of(value_of(node, "metadata")?, "name"));
        if let Some(name) = name.filter(|name| !name.is_container()) {
            return name.span.clone();
        }
        match node.children.first() {
            Some(Child { key: Some((_, span)), .. }) => span.clone(),
            Some(Child { node: first, .. }) => self.nodes.get(*first).map_or(node.span.clone(), |first| {
                let first_key = first.children.first().and_then(|child| child.key.as_ref());
                first_key.map_or(first.span.clone(), |(_, span)| span.clone())
            }),
            None => node.span.clone(),
        }
    }
}

fn word(text: &str) -> Word {
    if text.eq_ignore_ascii_case("secret") {
        Word::Secret
    } else if text.eq_ignore_ascii_case("secretlist") {
        Word::SecretList
    } else {
        Word::Other
    }
}

/// Whether this may be the name of something: a key of a Secret's data, a label, an object.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
}

fn unquoted(written: &str) -> &str {
    let inner = |quote| written.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(written)
}

impl Node {
    fn is_container(&self) -> bool {
        self.is_map || !self.children.is_empty()
    }

    fn sort(&mut self) {
        let mut by_key: Vec<usize> = (0..self.children.len()).collect();
        by_key.sort_by_key(|at| self.key(*at));
        self.by_key = by_key;
    }

    fn key(&self, at: usize) -> Option<&str> {
        self.children.get(at)?.key.as_ref().map(|(key, _)| &**key)
    }

    /// The children of a map that have this key, in their order.
    fn children_of(&self, wanted: &str) -> impl Iterator<Item = &Child> {
        let first = self.by_key.partition_point(|at| self.key(*at) < Some(wanted));
        let equal = self.by_key.iter().skip(first).take_while(move |at| self.key(**at) == Some(wanted));
        equal.filter_map(|at| self.children.get(*at))
    }
}

struct Walk {
    index: Index,
    /// The lists and maps that are not closed yet; of a map the key whose value comes next.
    open: Vec<(usize, Option<Key>)>,
    anchors: BTreeMap<usize, usize>,
}

impl Walk {
    #[expect(clippy::wildcard_enum_match_arm, reason = "events without places, now and later")]
    fn event(&mut self, event: &Event<'_>, at: Range<usize>) {
        match event {
            Event::DocumentStart(..) => {
                self.open.clear();
                self.index.roots.push(None);
            }
            Event::Scalar(text, _, anchor, _) => {
                if let Some((node, key @ None)) = self.open.last_mut()
                    && self.index.nodes.get(*node).is_some_and(|node| node.is_map)
                {
                    *key = Some((text.as_ref().into(), at.clone()));
                    if *anchor != 0 {
                        self.node(at, *anchor, false);
                    }
                    return;
                }
                let node = self.node(at, *anchor, false);
                if let Some(node) = self.index.nodes.get_mut(node) {
                    node.word = word(text);
                }
                self.attach(node);
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                let is_map = matches!(event, Event::MappingStart(..));
                let node = self.node(at, *anchor, is_map);
                self.attach(node);
                self.open.push((node, None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((node, _)) = self.open.pop()
                    && let Some(node) = self.index.nodes.get_mut(node)
                {
                    node.span.end = node.span.end.max(at.end);
                }
            }
            Event::Alias(id) => {
                let found = self.anchors.get(id).copied();
                let is_open = found.is_some_and(|found| self.open.iter().any(|(node, _)| *node == found));
                let node = match found {
                    Some(found) if !is_open => found,
                    _ => self.node(at, 0, false),
                };
                self.attach(node);
            }
            Event::UnresolvedAlias(_) => {
                let node = self.node(at, 0, false);
                self.attach(node);
            }
            _ => {}
        }
    }

    fn node(&mut self, span: Range<usize>, anchor: usize, is_map: bool) -> usize {
        let node = self.index.nodes.len();
        self.index.nodes.push(Node {
            span,
            children: Vec::new(),
            by_key: Vec::new(),
            is_map,
            word: Word::Other,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        node
    }

    fn attach(&mut self, node: usize) {
        match self.open.last_mut() {
            None => {
                if let Some(root) = self.index.roots.last_mut() {
                    *root = Some(node);
                }
            }
            Some((parent, key)) => {
                let key = key.take();
                if let Some(parent) = self.index.nodes.get_mut(*parent) {
                    parent.children.push(Child { key, node });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, pointer: &str) -> (String, bool) {
        let located = Index::build(text).locate(0, pointer).unwrap();
        (text[located.value].to_owned(), located.exact)
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let text = "\u{feff}a: 1\nlist:\n  - x: [1, \"two\"]\n    name: n\r\nmerged:\n  <<: &m {deep: 7}\nalias: *m\n";
        for (pointer, want) in [
            ("/a", ("1", true)),
            ("/list/0/x/1", ("\"two\"", true)),
            ("/list/0", ("n", true)),
            ("/list/0/nothing/below", ("n", false)),
            ("/merged/deep", ("7", true)),
            ("/alias/deep", ("7", true)),
        ] {
            assert_eq!(at(text, pointer), (want.0.to_owned(), want.1), "{pointer}");
        }
    }

    #[test]
    fn values_of_secrets_are_known() {
        let text = "a:\n- kind: Secret\n  metadata: {name: x, annotations: {b: hidden}}\n  data: {p: hidden, l: [hidden]}\n";
        let spans = Index::build(text).secrets(text);
        assert_eq!(spans.len(), 3);
        assert!(spans.into_iter().all(|span| &text[span] == "hidden"));
    }

    #[test]
    fn values_of_secrets_are_known_however_their_kind_is_written() {
        for text in [
            "kind: SecretList\nitems:\n- metadata: {name: x}\n  data: {p: hidden}\n",
            "kind: !!str Secret\ndata: {p: hidden}\n",
            "kind: &k Secret\ndata: {p: hidden}\n",
            "kind: \"Sec\\x72et\"\ndata: {p: hidden}\n",
            "x: &k Secret\ny:\n  kind: *k\n  data: {p: hidden}\n",
            "x: &b\n  kind: Secret\ny:\n  <<: *b\n  data: {p: hidden}\n",
        ] {
            let spans = Index::build(text).secrets(text);
            assert!(spans.iter().any(|span| &text[span.clone()] == "hidden"), "{text}");
        }
    }

    #[test]
    fn a_problem_of_a_secret_or_of_what_holds_it_is_placed_around_it() {
        let text = "name: plan\nitems:\n- {kind: Secret, data: {p: &p {q: hidden}}}\n- kind: ConfigMap\n  data: {r: *p, s: t}\n";
        let index = Index::build(text);
        let spans = index.around_secrets();
        let is_around = |part: &str| {
            let at = text.find(part).unwrap();
            spans.iter().any(|span| span.start <= at && at < span.end)
        };
        for (part, expected) in [
            ("plan", true),
            ("items", true),
            ("kind: Secret", true),
            ("data: {p", true),
            ("q: hidden", true),
            ("ConfigMap", false),
            ("data: {r", true),
            ("r: *p", true),
            ("s: t", false),
            ("t}", false),
        ] {
            assert_eq!(is_around(part), expected, "{part}");
        }
    }

    #[test]
    fn alias_to_itself_does_not_hang() {
        let text = "kind: Secret\na: &a [*a, *a]\n";
        let index = Index::build(text);
        assert!(!index.secrets(text).is_empty());
        assert!(!index.around_secrets().is_empty());
    }
}
