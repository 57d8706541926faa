//! Takes the values of secrets out of texts that others wrote. Pure.
//!
//! Whoever is given a value may repeat it: a function in its answer, a server in an error, a program in a line of its log.
//! It is looked for as it is and as it may have been written down: with the escapes of JSON and of URLs, in base64, in
//! hexadecimal digits, over line breaks. A text is searched before it is cut, or half a value is left. Not found is what
//! was changed otherwise, and what is shorter than four bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::value::{SecretValue, Secrets};

/// What stands in the place of a value.
const MASKED: &str = "***";
/// Values of fewer bytes stand in every other text, and would tell where they were taken out.
const BYTES_MIN: usize = 4;
/// Lines of a value of fewer bytes tell nothing of it.
const LINE_BYTES_MIN: usize = 8;
/// So much white space is looked over at the end of a line.
const INDENT_BYTES_MAX: usize = 256;
/// How many times escapes are undone: JSON in JSON in a URL.
const LAYERS: usize = 3;

/// Takes the values of some secrets out of texts. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mask(Arc<[Pattern]>);

impl Mask {
    /// For the values of a run.
    pub fn of(secrets: &Secrets) -> Self {
        Self(secrets.values().flat_map(patterns).collect())
    }

    /// The same for one more value.
    #[must_use]
    pub fn with(&self, value: &SecretValue) -> Self {
        Self(self.0.iter().cloned().chain(patterns(value)).collect())
    }

    /// The text without the values, `***` where they were.
    pub fn apply(&self, text: String) -> String {
        if self.0.is_empty() {
            return text;
        }
        let mut found = Vec::new();
        for view in View::all(&text) {
            self.0.iter().for_each(|pattern| view.find(pattern, &mut found));
        }
        without(text, found)
    }
}

impl fmt::Debug for Mask {
    /// Nothing of the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(***)")
    }
}

/// One form of a value.
#[derive(Clone)]
struct Pattern {
    bytes: Zeroizing<Vec<u8>>,
    /// Whether digits beside it hold bits of the value too: those of base64 that does not begin or end with it.
    is_inner: bool,
}

/// Every form of a value that cannot be undone: others are found by undoing them.
fn patterns(value: &SecretValue) -> Vec<Pattern> {
    let value = value.expose().trim();
    let lines =
        value.lines().map(str::trim).filter(|line| line.len() >= LINE_BYTES_MIN && line.len() < value.len());
    let texts = std::iter::once(value).filter(|value| value.len() >= BYTES_MIN).chain(lines);
    let mut all = Vec::new();
    for text in texts.map(str::as_bytes) {
        let mut add = |bytes: Vec<u8>, is_inner| all.push(Pattern { bytes: Zeroizing::new(bytes), is_inner });
        add(text.to_vec(), false);
        let hex = text.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        add(hex.to_uppercase().into_bytes(), false);
        add(hex.into_bytes(), false);
        for alignment in 0..3 {
            let digits = inside_base64(text, alignment);
            let of_urls = |digit: &u8| match digit {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            };
            add(digits.iter().map(of_urls).collect(), true);
            add(digits, true);
        }
    }
    all.sort_by(|one, other| one.bytes.cmp(&other.bytes));
    all.dedup_by(|one, other| one.bytes == other.bytes);
    all
}

/// The digits of base64 that depend on the value alone when it stands `alignment` bytes behind a multiple of three.
fn inside_base64(value: &[u8], alignment: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let first_bit = alignment * 8;
    let last_bit = first_bit + value.len() * 8;
    let bit = |at: usize| value.get((at - first_bit) / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digit = |place: usize| (place * 6..place * 6 + 6).fold(0, |all, at| all << 1 | usize::from(bit(at)));
    (first_bit.div_ceil(6)..last_bit / 6).filter_map(|place| DIGITS.get(digit(place)).copied()).collect()
}

/// A text with some of its escapes undone, and where each of its bytes stands in the text itself.
struct View {
    bytes: Zeroizing<Vec<u8>>,
    places: Vec<Range<usize>>,
}

/// What an escape at the beginning of these bytes stands for, and how long it is.
type Unit = fn(&[u8]) -> Option<(Vec<u8>, usize)>;

impl View {
    /// The text as it is, and with escapes undone in every order.
    fn all(text: &str) -> Vec<Self> {
        let places = (0..text.len()).map(|at| at..at + 1).collect();
        let mut all = vec![Self { bytes: Zeroizing::new(text.as_bytes().to_vec()), places }];
        let mut begin = 0;
        for _ in 0..LAYERS {
            let end = all.len();
            for at in begin..end {
                for unit in [escape as Unit, percent, line_break] {
                    let undone = all.get(at).and_then(|view| view.undo(unit));
                    let undone = undone.filter(|undone| !all.iter().any(|view| view.bytes == undone.bytes));
                    all.extend(undone);
                }
            }
            begin = end;
        }
        all
    }

    /// Nothing if there is nothing to undo.
    fn undo(&self, unit: Unit) -> Option<Self> {
        let (mut bytes, mut places) = (Zeroizing::new(Vec::with_capacity(self.bytes.len())), Vec::new());
        let (mut at, mut is_changed) = (0, false);
        while let Some(byte) = self.bytes.get(at) {
            let (meant, length) = match self.bytes.get(at..).and_then(unit) {
                Some((meant, length)) => {
                    is_changed = true;
                    (meant, length)
                }
                None => (vec![*byte], 1),
            };
            if let Some(place) = self.range(at, length) {
                places.extend(meant.iter().map(|_| place.clone()));
                bytes.extend(meant);
            }
            at += length;
        }
        is_changed.then_some(Self { bytes, places })
    }

    /// Where so many bytes stand in the text.
    fn range(&self, at: usize, length: usize) -> Option<Range<usize>> {
        let (first, last) = (self.places.get(at)?, self.places.get((at + length).checked_sub(1)?)?);
        Some(first.start..last.end)
    }

    fn find(&self, pattern: &Pattern, found: &mut Vec<Range<usize>>) {
        let (bytes, length) = (pattern.bytes.as_slice(), pattern.bytes.len());
        let Some(first) = bytes.first() else { return };
        let is_digit = |at: &usize| {
            self.bytes.get(*at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte))
        };
        for (at, window) in self.bytes.windows(length).enumerate() {
            if window.first() != Some(first) || window != bytes {
                continue;
            }
            let before = at.checked_sub(1).filter(|at| pattern.is_inner && is_digit(at));
            let after = Some(at + length).filter(|at| pattern.is_inner && is_digit(at));
            let (start, end) = (before.unwrap_or(at), after.map_or(at + length, |at| at + 1));
            found.extend(self.range(start, end - start));
        }
    }
}

/// `\n`, `\"`, `\x41`, `\u00e4`, pairs of surrogates, and Rust's `\u{e4}`.
fn escape(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let rest = text.strip_prefix(b"\\")?;
    let simple = match rest.first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        kind @ (b'"' | b'\'' | b'\\' | b'/') => *kind,
        b'x' => return Some((vec![u8::try_from(number(rest.get(1..3)?)?).ok()?], 4)),
        b'u' => return unicode(rest.get(1..)?).map(|(meant, length)| (meant, length + 2)),
        _ => return None,
    };
    Some((vec![simple], 2))
}

/// The character of `00e4`, `d83d\ude00` or `{e4}`, and how long that is.
fn unicode(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let encoded = |character: char| character.to_string().into_bytes();
    if let Some(braced) = text.strip_prefix(b"{") {
        let end = braced.iter().take(8).position(|byte| *byte == b'}')?;
        return Some((encoded(char::from_u32(number(braced.get(..end)?)?)?), end + 2));
    }
    let first = number(text.get(..4)?)?;
    if let Some(character) = char::from_u32(first) {
        return Some((encoded(character), 4));
    }
    let second = number(text.get(4..)?.strip_prefix(b"\\u")?.get(..4)?)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    Some((encoded(char::decode_utf16(units).next()?.ok()?), 10))
}

/// `%2F`, and `+` for a space.
fn percent(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    match text.first()? {
        b'+' => Some((vec![b' '], 1)),
        b'%' => Some((vec![u8::try_from(number(text.get(1..3)?)?).ok()?], 3)),
        _ => None,
    }
}

/// The end of a line, with what begins the next one.
fn line_break(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let length = text.iter().take(INDENT_BYTES_MAX).take_while(|byte| byte.is_ascii_whitespace()).count();
    text.get(..length)?.contains(&b'\n').then(|| (Vec::new(), length))
}

fn number(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The text with these ranges replaced.
fn without(text: String, mut found: Vec<Range<usize>>) -> String {
    if found.is_empty() {
        return text;
    }
    found.sort_by_key(|range| (range.start, range.end));
    let (mut kept, mut end) = (String::with_capacity(text.len()), 0);
    for range in found {
        // Those that overlap are one.
        if range.start >= end {
            kept.push_str(text.get(end..range.start).unwrap_or_default());
            kept.push_str(MASKED);
        }
        end = end.max(range.end);
    }
    kept.push_str(text.get(end..).unwrap_or_default());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::canary::{Canary, Form};

    fn mask(value: &str) -> Mask {
        Mask::default().with(&SecretValue::new(value))
    }

    fn masked(value: &str, text: &str) -> String {
        mask(value).apply(text.to_owned())
    }

    #[test]
    fn a_value_is_found_in_every_form_and_all_around_it_is_kept() {
        for (value, text, expected) in [
            ("hunter2", "no user hunter2, or hunter2hunter2", "no user ***, or ******"),
            ("hunter2\n", "cannot use 'hunter2'", "cannot use '***'"),
            ("k+/=y", "GET /?code=k%2B%2F%3Dy&x=%2b k%2b%2f%3dy", "GET /?code=***&x=%2b ***"),
            ("a \"b\"\\", r#"{"p":"a \"b\"\\"}"#, r#"{"p":"***"}"#),
            ("a \"b\"\\", r#""{\"p\":\"a \\\"b\\\"\\\\\"}""#, r#""{\"p\":\"***\"}""#),
            ("päß<😀", r"got p\u00e4\u00df\u003c\ud83d\ude00 and p\u{e4}\u{df}<😀", "got *** and ***"),
            ("hunter2", "68756e74657232 68756E74657232", "*** ***"),
            ("hunter2", "aHVudGVyMg== of xxhunter2", "***== of xx***"),
            ("hunter2", "eGh1bnRlcjJ4, eHhodW50ZXIyeHg=", "e***4, eH***Hg="),
            ("hunter2", "aHVu\r\n  dGVyMg==", "***=="),
            ("hunter2", "hun\\nter2", "***"),
            ("one line of it\ntwo lines of it\nx", "at two lines of it: x", "at ***: x"),
            ("abc", "abc", "abc"),
            ("    ", "a    b", "a    b"),
            ("hunter2", "ä hunter ä", "ä hunter ä"),
            ("hunter2", "", ""),
        ] {
            assert_eq!(masked(value, text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_left_of_a_canary_that_is_leaked_in_any_form() {
        for canary in [Canary::new(1), Canary::plain(2)] {
            for form in Form::ALL {
                for before in ["", "a", "ab"] {
                    let text = format!("{before}{} and so on", canary.leaked(form));
                    assert!(!canary.scan(text.as_bytes()).is_empty(), "{form:?} is planted");
                    let text = mask(canary.value()).apply(text);
                    assert_eq!(canary.scan(text.as_bytes()), [], "{form:?}");
                    assert!(text.ends_with(" and so on"), "{form:?}");
                }
            }
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_value() {
        assert_eq!(format!("{:?}", mask("hunter2")), "Mask(***)");
    }
}
