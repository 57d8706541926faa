//! Takes out of the words of problems what must not be shown of the sources.
//!
//! Problems are worded in many places, and most quote the input. Here, where all of them pass, a quotation that holds
//! text of a hidden span is replaced, whoever wrote it. Away from every Secret a word that stands in the open as well is
//! quoted all the same: it tells nothing there, while to replace it would tell that some value is that word (ADR 23).

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::diagnostic::{Diagnostic, Place};

/// What stands for a quotation that is not shown.
const REDACTED: &str = "***";

/// Shorter words are hidden only where they are the whole quotation: `a` is part of most field names.
const PART_CHARS_MIN: usize = 4;

/// What YAML itself says stands in every plan.
const LITERALS: [&str; 3] = ["true", "false", "null"];

/// A source of which something is shown.
pub(super) struct Part<'a> {
    pub(super) source: usize,
    pub(super) text: &'a str,
    /// The spans that must not be shown, in order.
    pub(super) secrets: Vec<Range<usize>>,
    /// Where problems of Secrets are placed; `None` where the text is broken and nobody knows.
    pub(super) around: Option<Vec<Range<usize>>>,
}

/// Which words are hidden where.
pub(super) struct Redaction<'a> {
    parts: &'a [Part<'a>],
    /// The words of every hidden text.
    values: Vec<BTreeSet<&'a str>>,
    words: BTreeSet<&'a str>,
    /// Those that are hidden away from Secrets too: they stand nowhere in the open.
    closed: BTreeSet<&'a str>,
}

impl<'a> Redaction<'a> {
    pub(super) fn of(parts: &'a [Part<'a>]) -> Self {
        let texts =
            parts.iter().flat_map(|part| part.secrets.iter().filter_map(|span| part.text.get(span.clone())));
        let values: BTreeSet<BTreeSet<&str>> =
            texts.map(|text| literal(text).into_iter().flat_map(words_of).collect()).collect();
        let words: BTreeSet<&str> = values.iter().flatten().copied().collect();
        let mut closed: BTreeSet<&str> =
            words.iter().copied().filter(|word| !LITERALS.contains(word)).collect();
        for word in parts.iter().filter(|part| part.around.is_some()).flat_map(Part::open).flat_map(words_of)
        {
            closed.remove(word);
        }
        Self { parts, values: values.into_iter().collect(), words, closed }
    }

    /// Replaces the quotations (between backticks) of every problem whose source has secrets and that quote them.
    pub(super) fn apply(&self, list: &mut [Diagnostic]) {
        if self.words.is_empty() {
            return;
        }
        for diagnostic in list {
            let places = || diagnostic.place.iter().chain(&diagnostic.related);
            let hides: fn(&Self, &str) -> bool = match () {
                () if !places().any(|place| self.part(place).is_some()) => continue,
                () if places().any(|place| self.part(place).is_some_and(|part| part.is_near(place))) => {
                    Self::hides_near
                }
                () => Self::hides_away,
            };
            let hide = |text: &mut String| {
                if let Some(shown) = without(text, |piece| hides(self, piece)) {
                    *text = shown;
                }
            };
            hide(&mut diagnostic.message);
            diagnostic.hint.iter_mut().filter(|_| !diagnostic.is_own_hint).for_each(hide);
            diagnostic.notes.iter_mut().for_each(hide);
            let places = diagnostic.place.iter_mut().chain(&mut diagnostic.related);
            places.for_each(|place| hide(&mut place.label));
        }
    }

    /// The source of a place, if it has secrets.
    fn part(&self, place: &Place) -> Option<&Part<'a>> {
        self.parts.iter().find(|part| part.source == place.source && !part.secrets.is_empty())
    }

    /// Where the quotation may be a value: every word of one is hidden.
    fn hides_near(&self, piece: &str) -> bool {
        self.words.iter().any(|word| quotes(piece, word))
    }

    /// Elsewhere: a word that stands nowhere in the open is hidden, and so is more of one value than a word, unless it stands
    /// in the open as it is.
    fn hides_away(&self, piece: &str) -> bool {
        let held = || self.words.iter().filter(|word| piece.contains(**word));
        let is_closed = |part_of: &str| !self.parts.iter().any(|part| part.shows(part_of));
        held().any(|word| self.closed.contains(word) && quotes(piece, word))
            // Most quotations are done with here, however many values there are.
            || held().nth(1).is_some()
                && self.values.iter().filter_map(|value| quoted(piece, value)).any(is_closed)
    }
}

impl<'a> Part<'a> {
    /// What of the text is not hidden.
    fn open(&self) -> impl Iterator<Item = &'a str> {
        let starts = std::iter::once(0).chain(self.secrets.iter().scan(0, |end, span| {
            *end = span.end.max(*end);
            Some(*end)
        }));
        let ends = self.secrets.iter().map(|span| span.start).chain([self.text.len()]);
        let text = self.text;
        starts.zip(ends).filter_map(move |(start, end)| text.get(start..end))
    }

    /// Whether this stands in the open, and is no part of longer words there.
    fn shows(&self, words: &str) -> bool {
        let is_whole = |text: &str, at: usize| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + words.len()..).and_then(|after| after.chars().next());
            before.into_iter().chain(after).all(|c| !c.is_alphanumeric())
        };
        self.around.is_some()
            && self.open().any(|text| text.match_indices(words).any(|(at, _)| is_whole(text, at)))
    }

    /// Whether what is said of this place may be said of a Secret.
    fn is_near(&self, place: &Place) -> bool {
        let touches = |span: &Range<usize>| {
            span.start < place.span.end.max(place.span.start + 1)
                && place.span.start < span.end.max(span.start + 1)
        };
        self.around.as_ref().is_none_or(|around| around.iter().chain(&self.secrets).any(touches))
    }
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    words_at(text).map(|(_, word)| word)
}

/// Each word with where it begins.
fn words_at(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let ends = |c: char| !c.is_alphanumeric();
    let pieces = text.split_inclusive(ends).scan(0, |end, piece| {
        let start = std::mem::replace(end, *end + piece.len());
        Some((start, piece))
    });
    pieces
        .map(move |(start, piece)| (start, piece.trim_end_matches(ends)))
        .filter(|(_, word)| !word.is_empty())
}

/// From the first to the last word of a value that a quotation has, if it has more than one.
fn quoted<'p>(piece: &'p str, value: &BTreeSet<&str>) -> Option<&'p str> {
    let words_in = |one: &str| value.iter().filter(|word| quotes(one, word)).count();
    let mut with = words_at(piece).filter(|(_, one)| words_in(one) > 0);
    let (start, first) = with.next().filter(|_| value.len() > 1)?;
    match with.last() {
        Some((end, last)) => piece.get(start..end + last.len()),
        None => Some(first).filter(|only| words_in(only) > 1),
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

/// The text with those of its quotations replaced that are to be hidden, if there are any.
///
/// Every piece between two backticks counts as a quotation: a backtick of the input itself makes it uncertain which
/// pieces are ours.
fn without(text: &str, hides: impl Fn(&str) -> bool) -> Option<String> {
    let pieces: Vec<&str> = text.split('`').collect();
    let last = pieces.len() - 1;
    let shown = |(at, piece): (usize, &&str)| {
        if at > 0 && at < last && hides(piece) { REDACTED.to_owned() } else { (*piece).to_owned() }
    };
    let shown = pieces.iter().enumerate().map(shown).collect::<Vec<_>>().join("`");
    (shown != text).then_some(shown)
}

fn quotes(piece: &str, word: &str) -> bool {
    piece == word || word.chars().count() >= PART_CHARS_MIN && piece.contains(word)
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

    /// A text whose pieces between angle brackets are hidden, and what is hidden of a message at the first `@`.
    fn shown(text: &str, around: Option<&str>, message: &str) -> String {
        let mut plain = String::new();
        let mut secrets = Vec::new();
        for (at, piece) in text.split(['<', '>']).enumerate() {
            let start = plain.len();
            plain.push_str(piece);
            if at % 2 == 1 {
                secrets.push(start..plain.len());
            }
        }
        let around = around.map(|around| {
            let found = plain.match_indices(around).take(1);
            found.map(|(start, text)| start..start + text.len()).collect()
        });
        let at = plain.find('@').unwrap();
        let place = Place { source: 0, span: at..at + 1, line: 1, column: 1, label: String::new() };
        let part = Part { source: 0, text: &plain, secrets, around };
        let mut list = [Diagnostic::error("t", message).at(place)];
        Redaction::of(&[part]).apply(&mut list);
        list[0].message.clone()
    }

    #[test]
    fn near_a_secret_every_quotation_of_a_word_of_it_is_replaced() {
        let text = "@ <hunter2> <key> <s> key: s";
        for (message, want) in [
            ("no `key` of `metadata`", "no `***` of `metadata`"),
            ("hunter2 is a user, `so hunter2`: no", "hunter2 is a user, `***`: no"),
            ("`keys` and `s`", "`keys` and `***`"),
            ("`a`hunter2`b`", "`a`***`b`"),
            ("nothing `here`", "nothing `here`"),
            ("", ""),
        ] {
            assert_eq!(shown(text, Some("@"), message), want, "{message}");
            assert_eq!(shown(text, None, message), want, "{message}");
        }
    }

    #[test]
    fn away_from_secrets_a_word_that_stands_in_the_open_is_quoted() {
        let text = "@ web: prod, hunter, correct horse battery, shop-db Secret: <web> <prod> <true> <hunter2> \
                    <correct-horse-battery> <shop-db:5432>";
        for (message, want) in [
            ("`web` of `ConfigMap web` in `prod`", "`web` of `ConfigMap web` in `prod`"),
            ("neither `true` nor `production`", "neither `true` nor `production`"),
            ("`hunter2` and `prod/hunter2`", "`***` and `***`"),
            ("`hunter`, `horse`", "`hunter`, `horse`"),
            ("`correct-horse`, `horse correct`", "`***`, `***`"),
            ("`correct`, `horse`", "`correct`, `horse`"),
            ("`Service shop-db`, `data.shop-db`", "`Service shop-db`, `data.shop-db`"),
            ("`shop db`, `db-shop`, `shop-db:5432`, `shop-dbs`", "`***`, `***`, `***`, `shop-dbs`"),
            ("`web prod`", "`web prod`"),
        ] {
            assert_eq!(shown(text, Some("Secret"), message), want, "{message}");
        }
    }
}
