//! Leaks for tests to plant: a value in each form, written by the book and by code that the search has no part in.

use super::{Canary, Form};

impl Canary {
    /// The value in this form, as far from the value itself as the form allows; in ASCII where it is not plain.
    pub fn leaked(&self, form: Form) -> String {
        let bytes = self.value().as_bytes();
        match form {
            Form::Plain => self.value().to_owned(),
            Form::JsonEscaped => unicode_escapes(self.value()),
            Form::UrlEncoded => bytes.iter().fold(String::new(), |text, byte| text + &format!("%{byte:02X}")),
            Form::Base64 => base64(bytes, ['+', '/']),
            Form::Hex => hex(bytes),
        }
    }
}

/// With padding; the last two digits are the alphabet's.
pub(super) fn base64(bytes: &[u8], last: [char; 2]) -> String {
    let mut digits: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').collect();
    digits.extend(last);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |position: usize| u32::from(chunk.get(position).copied().unwrap_or(0));
        let number = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4_usize {
            let digit = number >> (18 - 6 * position) & 63;
            let digit = usize::try_from(digit).ok().and_then(|digit| digits.get(digit));
            text.push(if position > chunk.len() { '=' } else { digit.copied().unwrap_or('=') });
        }
    }
    text
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// All characters as JSON allows them to be written.
pub(super) fn unicode_escapes(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |text, unit| text + &format!("\\u{unit:04X}"))
}
