//! Small pieces of text: made harmless, cut, counted. Pure.

use std::borrow::Cow;

use anstream::adapter;
use eve_core::few::more;
use eve_core::ids::ComponentId;
use eve_core::plan::Action;
use eve_core::plan::graph::Graph;
use eve_core::time::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text with everything escaped that a terminal would obey rather than show: control characters, and those that
/// turn the direction of writing. What comes from a cluster or a file passes through here before it is shown.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if harmful(c) {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    Cow::Owned(cleaned)
}

fn harmful(c: char) -> bool {
    // Bidirectional controls, Unicode 15 §23.2 and UAX #9; line and paragraph separators.
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many entries of a list with a line for each are shown; the rest is counted, or named.
pub(crate) const ENTRIES_MAX: usize = 20;

/// The last line of a list of so many entries, where not all are shown.
pub(crate) fn unlisted(entries: usize) -> Option<String> {
    more(entries.saturating_sub(ENTRIES_MAX))
}

/// At most `width` columns of the text; what is longer ends with `…`. For text without styles.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let (mut kept, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// At most `width` columns of a line with our own styles, which take none; what is longer ends with `…`.
pub(crate) fn cut_styled(text: &str, width: usize) -> String {
    if adapter::strip_str(text).to_string().width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used, mut escaped, mut full) = (String::new(), 1, false, false);
    for c in text.chars() {
        escaped |= c == '\u{1b}';
        if escaped {
            kept.push(c);
            escaped = c != 'm';
        } else if !full {
            used += c.width().unwrap_or(0);
            full = used > width;
            kept.push(if full { '…' } else { c });
        }
    }
    kept
}

/// How many columns the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `1 component`, `2 components`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How exactly a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// For people.
    Seconds,
    /// For programs.
    Microseconds,
}

/// The time in UTC as RFC 3339 has it. A time beyond the year 9999 is written as the last that can be.
pub(crate) fn rfc3339(time: Timestamp, precision: Precision) -> String {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    match precision {
        Precision::Seconds => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Precision::Microseconds => format!("{time:.6}"),
    }
}

/// Whether the component is to be removed.
pub(crate) fn is_delete(graph: &Graph, component: ComponentId) -> bool {
    graph.node(component).action() == Action::Delete
}

/// Whether the component only joins others, so that nobody needs to see it.
pub(crate) fn is_join(graph: &Graph, component: ComponentId) -> bool {
    graph.node(component).action() == Action::None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, shown) in [
            ("plain ä 語", "plain ä 語"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{202e}txt", "\\u{202e}txt"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(clean(text), shown);
        }
    }

    #[test]
    fn styles_take_no_columns_and_are_closed() {
        let red = crate::output::style::error("abc").to_string();
        assert_eq!(cut_styled(&format!("{red}def"), 6), format!("{red}def"));
        let cut = cut_styled(&format!("{red}def"), 5);
        assert_eq!(adapter::strip_str(&cut).to_string(), "abcd…");
        assert!(cut_styled(&red, 2).ends_with("\u{1b}[0m"));
    }

    #[test]
    fn times_are_written_in_utc() {
        let time = Timestamp::from_micros(1_763_596_800_000_250);
        assert_eq!(rfc3339(time, Precision::Seconds), "2025-11-20T00:00:00Z");
        assert_eq!(rfc3339(time, Precision::Microseconds), "2025-11-20T00:00:00.000250Z");
        rfc3339(Timestamp::MAX, Precision::Microseconds);
    }

    #[test]
    fn what_is_too_long_is_cut_by_columns() {
        for (text, width, shown) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("語語語", 6, "語語語"),
            ("語語語", 5, "語語…"),
            ("語語語", 4, "語…"),
            ("abc", 0, ""),
            ("abc", 1, "…"),
        ] {
            assert_eq!(cut(text, width), shown, "{text} {width}");
        }
    }
}
