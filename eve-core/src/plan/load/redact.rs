//! Takes out of the words of problems what must not be shown of the sources.
//!
//! Problems are worded in many places, and most quote the input. Here, where all of them pass, a quotation that holds
//! text of a hidden span is replaced, whoever wrote it.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::diagnostic::{Diagnostic, Place, Source};

/// What stands for a quotation that is not shown.
const REDACTED: &str = "***";

/// Shorter words are hidden only where they are the whole quotation: `a` is part of most field names.
const PART_CHARS_MIN: usize = 4;

/// Replaces the quotations (between backticks) of every problem whose source has secrets and that quote them.
pub(super) fn redact(sources: &[Source], secrets: &[(usize, Range<usize>)], list: &mut [Diagnostic]) {
    let mut words = BTreeSet::new();
    for (source, span) in secrets {
        let text =
            sources.get(*source).and_then(|source| source.text().get(span.clone())).unwrap_or_default();
        let written = literal(text);
        let pieces = written.iter().flat_map(|piece| piece.split(|c: char| !c.is_alphanumeric()));
        words.extend(pieces.filter(|word| !word.is_empty()));
    }
    if words.is_empty() {
        return;
    }
    let hide = |text: &mut String| {
        if let Some(shown) = without(text, &words) {
            *text = shown;
        }
    };
    for diagnostic in list.iter_mut() {
        let at_secrets = |place: &Place| secrets.iter().any(|(source, _)| *source == place.source);
        if !diagnostic.place.iter().chain(&diagnostic.related).any(at_secrets) {
            continue;
        }
        hide(&mut diagnostic.message);
        diagnostic.hint.iter_mut().filter(|_| !diagnostic.is_own_hint).for_each(hide);
        diagnostic.notes.iter_mut().for_each(hide);
        let places = diagnostic.place.iter_mut().chain(&mut diagnostic.related);
        places.for_each(|place| hide(&mut place.label));
    }
}

/// What of a hidden text is there to be hidden: of its expressions only the texts in them, since their names are the plan's.
fn literal(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((expression, left)) = after.split_once("}}").filter(|_| !before.ends_with('$')) else {
            break;
        };
        found.push(before);
        found.extend(expression.split(['\'', '"']).skip(1).step_by(2));
        rest = left;
    }
    found.push(rest);
    found
}

/// The text with its quotations of hidden words replaced, if it has any.
///
/// Every piece between two backticks counts as a quotation: a backtick of the input itself makes it uncertain which
/// pieces are ours.
fn without(text: &str, words: &BTreeSet<&str>) -> Option<String> {
    let pieces: Vec<&str> = text.split('`').collect();
    let last = pieces.len() - 1;
    let shown = |(at, piece): (usize, &&str)| {
        if at > 0 && at < last && quotes(piece, words) { REDACTED.to_owned() } else { (*piece).to_owned() }
    };
    let shown = pieces.iter().enumerate().map(shown).collect::<Vec<_>>().join("`");
    (shown != text).then_some(shown)
}

fn quotes(piece: &str, words: &BTreeSet<&str>) -> bool {
    words.contains(piece)
        || words.iter().any(|word| word.chars().count() >= PART_CHARS_MIN && piece.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_expressions_are_not_hidden_and_texts_in_them_are() {
        for (text, want) in [
            ("hunter2", vec!["hunter2"]),
            ("${{ secrets.db }}", vec!["", ""]),
            ("a${{ secrets['db'] + \"hunter2\" }}b", vec!["a", "db", "hunter2", "b"]),
            ("a${{ 'hunter2", vec!["a${{ 'hunter2"]),
            ("a$${{ hunter2 }}", vec!["a$${{ hunter2 }}"]),
            ("${{ x }}a$${{ hunter2 }}", vec!["", "a$${{ hunter2 }}"]),
        ] {
            assert_eq!(literal(text), want, "{text}");
        }
    }

    #[test]
    fn quotations_of_hidden_words_are_replaced() {
        let words = BTreeSet::from(["hunter2", "key", "s"]);
        for (text, want) in [
            ("no `key` of `metadata`", Some("no `***` of `metadata`")),
            ("hunter2 is a user, `so hunter2`: no", Some("hunter2 is a user, `***`: no")),
            ("`keys` and `s`", Some("`keys` and `***`")),
            ("`a`hunter2`b`", Some("`a`***`b`")),
            ("nothing `here`", None),
            ("", None),
        ] {
            assert_eq!(without(text, &words).as_deref(), want, "{text}");
        }
    }
}
