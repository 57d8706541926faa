//! JSON values one behind another, as programs print them, made documents of YAML, which takes one value a document. Pure.

use serde::de::IgnoredAny;

use super::read::skip_mark;
use crate::plan::diagnostic::Source;

/// The source with a mark between each two values, where it holds several JSON values that begin with an object and
/// nothing else. Lines stay what they are, but where two values share one.
pub(super) fn separated(source: Source) -> Source {
    match marked(source.text()).filter(|_| source.bad_byte().is_none()) {
        Some(text) => Source::new(source.name(), text),
        None => source,
    }
}

fn marked(whole: &str) -> Option<String> {
    let (text, _) = skip_mark(whole);
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut ends = Vec::new();
    while let Some(value) = values.next() {
        value.ok()?;
        ends.push(values.byte_offset());
    }
    let (_, borders) = ends.split_last().filter(|(_, borders)| !borders.is_empty())?;
    let mut marked = String::with_capacity(text.len() + borders.len() * 5);
    let mut rest = text;
    let mut done = 0;
    for end in borders {
        let (value, behind) = rest.split_at_checked(end - done)?;
        let next = behind.trim_start();
        let (space, _) = behind.split_at_checked(behind.len() - next.len())?;
        // The mark begins a line.
        let lines = space.matches('\n').count().max(1);
        marked.push_str(value);
        marked.extend(std::iter::repeat_n('\n', lines));
        marked.push_str("--- ");
        done = end + space.len();
        rest = next;
    }
    marked.push_str(rest);
    Some(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_one_behind_another_become_documents_and_everything_else_stays() {
        for (text, expected) in [
            ("{}\n{}\n", Some("{}\n--- {}\n")),
            ("{}{\"a\": [1]}\n", Some("{}\n--- {\"a\": [1]}\n")),
            ("\u{feff}{}\n\n  {} {}", Some("{}\n\n--- {}\n--- {}")),
            ("{}\n", None),
            ("{}\n---\n{}\n", None),
            ("{a: 1}\n", None),
            ("a: 1\n", None),
            ("{}\n{", None),
            ("", None),
        ] {
            assert_eq!(marked(text).as_deref(), expected, "{text:?}");
        }
    }
}
