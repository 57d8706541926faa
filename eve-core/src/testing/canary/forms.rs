//! The forms in which a value can stand in a text, and the search for all of them at once. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// How a canary stood where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Form {
    /// As it is.
    Plain,
    /// With escapes as in JSON strings, or in the `Debug` form of Rust.
    JsonEscaped,
    /// With percent signs, as in URLs and forms.
    UrlEncoded,
    /// In base64: any alignment, the alphabet of MIME or that of URLs.
    Base64,
    /// In hexadecimal digits, of either case.
    Hex,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::JsonEscaped, Self::UrlEncoded, Self::Base64, Self::Hex];
}

/// How many bytes of a value in a row count as a find.
const WINDOW_BYTES: usize = 8;
/// Those bytes in base64: of 11 digits in a row at least eight bytes can be told but for some bits.
const WINDOW_BASE64: usize = 11;
/// How often escapes of a kind are undone.
const LAYERS: usize = 2;

/// What is looked for: every window of every form of one value.
pub(super) struct Patterns {
    plain: BTreeSet<Vec<u8>>,
    base64: BTreeSet<Vec<u8>>,
    hex: BTreeSet<Vec<u8>>,
}

impl Patterns {
    pub(super) fn of(value: &[u8]) -> Self {
        let windows = |form: &[u8], length: usize| -> BTreeSet<Vec<u8>> {
            form.windows(length.min(form.len()).max(1)).map(<[u8]>::to_vec).collect()
        };
        let mut base64 = BTreeSet::new();
        for alignment in 0..3 {
            for url in [Alphabet::Mime, Alphabet::Url] {
                base64.extend(windows(&base64_inside(value, alignment, url), WINDOW_BASE64));
            }
        }
        let digits = |byte: &u8| format!("{byte:02x}").into_bytes();
        let hex: Vec<u8> = value.iter().flat_map(digits).collect();
        Self { plain: windows(value, WINDOW_BYTES), base64, hex: windows(&hex, 2 * WINDOW_BYTES) }
    }

    pub(super) fn scan(&self, haystack: &[u8]) -> Vec<Form> {
        let mut found = BTreeSet::new();
        for (view, escapes) in views(haystack) {
            if contains(&view, &self.plain) {
                found.insert(escapes.unwrap_or(Form::Plain));
            }
            if contains(&view, &self.base64) {
                found.insert(Form::Base64);
            }
            if contains(&view.to_ascii_lowercase(), &self.hex) {
                found.insert(Form::Hex);
            }
        }
        found.into_iter().collect()
    }
}

/// Whether one of the windows, which are all of one length, is in the haystack.
fn contains(haystack: &[u8], windows: &BTreeSet<Vec<u8>>) -> bool {
    let Some(length) = windows.first().map(Vec::len) else { return false };
    let firsts: BTreeSet<u8> = windows.iter().filter_map(|window| window.first().copied()).collect();
    let begins = |window: &[u8]| window.first().is_some_and(|first| firsts.contains(first));
    haystack.windows(length).any(|window| begins(window) && windows.contains(window))
}

/// The haystack as it is, and with escapes undone in each order, each with the form that a plain find in it has.
fn views(haystack: &[u8]) -> Vec<(Vec<u8>, Option<Form>)> {
    let mut views: BTreeMap<Vec<u8>, Option<Form>> = BTreeMap::from([(haystack.to_vec(), None)]);
    let mut last = vec![haystack.to_vec()];
    for _ in 0..2 * LAYERS {
        let mut next = Vec::new();
        for view in last {
            for (undone, form) in
                [(unescape(&view), Form::JsonEscaped), (percent_decode(&view), Form::UrlEncoded)]
            {
                if !views.contains_key(&undone) {
                    views.insert(undone.clone(), Some(form));
                    next.push(undone);
                }
            }
        }
        last = next;
    }
    // What is found without undoing anything is plain, whatever else it looks like.
    let mut views: Vec<_> = views.into_iter().collect();
    views.sort_by_key(|(_, form)| form.is_some());
    views
}

/// Undoes backslashes: `\n`, `\"`, `\u00e4`, pairs of surrogates, and Rust's `\u{e4}`. What is no escape stays.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&kind, after)) = rest.split_first() else {
            out.push(byte);
            break;
        };
        let simple = match kind {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'0' => 0,
            b'"' | b'\'' | b'\\' | b'/' => kind,
            _ => {
                if let Some((character, left)) = unicode(rest) {
                    out.extend(character.encode_utf8(&mut [0; 4]).bytes());
                    rest = left;
                } else {
                    out.push(byte);
                }
                continue;
            }
        };
        out.push(simple);
        rest = after;
    }
    out
}

/// The character of `u00e4`, `ud83d\ude00` or `u{e4}` at the beginning of a text, and what follows it.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let text = text.strip_prefix(b"u")?;
    if let Some(braced) = text.strip_prefix(b"{") {
        let end = braced.iter().take(8).position(|byte| *byte == b'}')?;
        let (digits, left) = (braced.get(..end)?, braced.get(end + 1..)?);
        return char::from_u32(number(digits)?).map(|character| (character, left));
    }
    let (first, left) = (number(text.get(..4)?)?, text.get(4..)?);
    if let Some(character) = char::from_u32(first) {
        return Some((character, left));
    }
    let pair = left.strip_prefix(b"\\u")?;
    let units = [first, number(pair.get(..4)?)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, pair.get(4..)?))
}

fn number(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    u32::from_str_radix(text, 16).ok()
}

/// Undoes percent signs, and `+` for a space.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let decoded = match (byte, after.get(..2)) {
            (b'%', Some(digits)) => number(digits).and_then(|number| u8::try_from(number).ok()),
            _ => None,
        };
        match (byte, decoded) {
            (_, Some(decoded)) => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
    }
    out
}

#[derive(Clone, Copy)]
enum Alphabet {
    Mime,
    Url,
}

/// The digits of base64 that depend on the value alone when it stands `alignment` bytes behind a multiple of three.
fn base64_inside(value: &[u8], alignment: usize, alphabet: Alphabet) -> Vec<u8> {
    let digits: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').collect();
    let last: [u8; 2] = match alphabet {
        Alphabet::Mime => *b"+/",
        Alphabet::Url => *b"-_",
    };
    // Three bytes are four digits of six bits. Bits of strangers come before and maybe after.
    let first_bit = alignment * 8;
    let bits = first_bit + value.len() * 8;
    let bit = |position: usize| {
        let byte = position.checked_sub(first_bit).and_then(|position| value.get(position / 8));
        byte.is_some_and(|byte| byte >> (7 - position % 8) & 1 == 1)
    };
    (first_bit.div_ceil(6)..bits / 6)
        .filter_map(|digit| {
            let number = (0..6).fold(0, |number, offset| number << 1 | usize::from(bit(digit * 6 + offset)));
            digits.get(number).or_else(|| last.get(number - digits.len())).copied()
        })
        .collect()
}
