//! From text to tokens, with the literals of CEL. Bounded by [`EXPRESSION_BYTES_MAX`].
//!
//! One lexer serves bare expressions and those within `${{ … }}`: where the latter end is decided here, so that a `}}`
//! in a text or at the end of a map does not end them.

use std::ops::Range;

use super::error::ExprError;
use super::limits::EXPRESSION_BYTES_MAX;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(u64),
    Float(f64),
    Text(String),
    /// An operator or bracket.
    Sign(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Lexed {
    pub(super) token: Token,
    pub(super) at: Range<usize>,
}

/// Where an expression ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    WithText,
    /// At `}}` outside of brackets and texts.
    AtBraces,
}

/// Longer signs first.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")", "[", "]",
    "{", "}", ",", ".",
];

/// The tokens of the expression that begins at `start`, the last being [`Token::End`], which stands where it ends.
pub(super) fn lex(text: &str, start: usize, ends: Ends) -> Result<Vec<Lexed>, ExprError> {
    let mut lexer = Lexer { text, at: start, braces: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        if lexer.at - start > EXPRESSION_BYTES_MAX {
            let message = format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes");
            return Err(ExprError::limit(start..start, message));
        }
        let from = lexer.at;
        if lexer.rest().is_empty() {
            if ends == Ends::AtBraces {
                let message = "this expression is never closed";
                return Err(
                    ExprError::syntax(start..start, message).with_hint("close it with `}}`".to_owned())
                );
            }
            tokens.push(Lexed { token: Token::End, at: from..from });
            return Ok(tokens);
        }
        if ends == Ends::AtBraces && lexer.braces == 0 && lexer.rest().starts_with("}}") {
            tokens.push(Lexed { token: Token::End, at: from..from });
            return Ok(tokens);
        }
        let token = lexer.token(start)?;
        tokens.push(Lexed { token, at: from..lexer.at });
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    braces: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = rest.get(..rest.find(|c| !belongs(c)).unwrap_or(rest.len())).unwrap_or_default();
        self.at += taken.len();
        taken
    }

    /// White space, and comments from `//` to the end of their line.
    fn skip_space(&mut self) {
        loop {
            self.take(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    fn token(&mut self, start: usize) -> Result<Token, ExprError> {
        let rest = self.rest();
        let mut chars = rest.chars();
        let (first, second) = (chars.next().unwrap_or_default(), chars.next().unwrap_or_default());
        if matches!(first, '"' | '\'') {
            return self.string(Escapes::Meant, start);
        }
        if matches!(second, '"' | '\'') && matches!(first, 'r' | 'R') {
            self.at += 1;
            return self.string(Escapes::Text, start);
        }
        let is_bytes = matches!(second, '"' | '\'') && matches!(first, 'b' | 'B');
        if is_bytes {
            let at = self.at..self.at + 1;
            return Err(ExprError::syntax(at, "there are no bytes here, only texts")
                .with_hint("leave out the `b`".to_owned()));
        }
        if first.is_ascii_digit() || (first == '.' && second.is_ascii_digit()) {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Token::Name(self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned()));
        }
        if first == '`' {
            return self.quoted_name();
        }
        let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) else {
            let at = self.at..self.at + first.len_utf8();
            let message = format!("`{}` has no meaning in an expression", first.escape_debug());
            let hint = match first {
                '=' => Some("compare with `==`".to_owned()),
                '&' => Some("write `&&`".to_owned()),
                '|' => Some("write `||`".to_owned()),
                _ => None,
            };
            return Err(ExprError::syntax(at, message).with_hint(hint));
        };
        match sign {
            "{" => self.braces += 1,
            "}" => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
        self.at += sign.len();
        Ok(Token::Sign(sign))
    }

    /// A field whose name is no identifier: `` components.`my-db`.host ``.
    fn quoted_name(&mut self) -> Result<Token, ExprError> {
        let from = self.at;
        self.at += 1;
        let name =
            self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ')).to_owned();
        if !self.rest().starts_with('`') || name.is_empty() {
            return Err(ExprError::syntax(from..self.at, "this name is never closed")
                .with_hint("close it with a backtick".to_owned()));
        }
        self.at += 1;
        Ok(Token::Name(name))
    }

    fn number(&mut self) -> Result<Token, ExprError> {
        let from = self.at;
        let rest = self.rest();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            self.at += 2;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            let number = u64::from_str_radix(digits, 16).ok();
            return self.ended(from, number.map(Token::Int));
        }
        let mut is_float = false;
        self.take(|c| c.is_ascii_digit());
        if self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()))
        {
            is_float = true;
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
        }
        if let Some(after) = self.rest().strip_prefix(['e', 'E']) {
            let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
            if digits.starts_with(|c: char| c.is_ascii_digit()) {
                is_float = true;
                self.at += self.rest().len() - digits.len();
                self.take(|c| c.is_ascii_digit());
            }
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        let token = if is_float {
            text.parse().ok().filter(|float: &f64| float.is_finite()).map(Token::Float)
        } else {
            text.parse().ok().map(Token::Int)
        };
        self.ended(from, token)
    }

    fn ended(&mut self, from: usize, token: Option<Token>) -> Result<Token, ExprError> {
        let after = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
        if matches!(after, "u" | "U") {
            return Err(ExprError::syntax(from..self.at, "there are no unsigned numbers here")
                .with_hint("leave out the `u`".to_owned()));
        }
        token
            .filter(|_| after.is_empty())
            .ok_or_else(|| ExprError::syntax(from..self.at, "this is no number, or one that is too large"))
    }

    fn string(&mut self, escapes: Escapes, start: usize) -> Result<Token, ExprError> {
        let from = self.at;
        let quote = if self.rest().starts_with('"') { '"' } else { '\'' };
        let triple = quote.to_string().repeat(3);
        let is_triple = self.rest().starts_with(&triple);
        let closing = if is_triple { triple } else { quote.to_string() };
        self.at += closing.len();
        let mut value = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(&closing) {
                self.at += closing.len();
                return Ok(Token::Text(value));
            }
            let next = rest.chars().next().filter(|c| is_triple || !matches!(c, '\n' | '\r'));
            let Some(next) = next.filter(|_| self.at - start <= EXPRESSION_BYTES_MAX) else {
                return Err(ExprError::syntax(from..from + 1, "this text is never closed")
                    .with_hint("close it with the quote that it begins with".to_owned()));
            };
            self.at += next.len_utf8();
            match next {
                '\\' if escapes == Escapes::Meant => value.push(self.escape()?),
                '\\' => {
                    value.push(next);
                    // A quote behind a backslash does not end a raw text, either.
                    if let Some(kept) = self.rest().chars().next() {
                        value.push(kept);
                        self.at += kept.len_utf8();
                    }
                }
                next => value.push(next),
            }
        }
    }

    /// What stands behind a backslash (CEL, "String and Bytes Values").
    fn escape(&mut self) -> Result<char, ExprError> {
        let from = self.at - 1;
        let Some(code) = self.rest().chars().next() else {
            return Err(ExprError::syntax(from..self.at, "there is nothing behind this backslash"));
        };
        self.at += code.len_utf8();
        let decoded = match code {
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            '\\' | '?' | '"' | '\'' | '`' => Some(code),
            'x' | 'X' => self.coded(2, 16),
            'u' => self.coded(4, 16),
            'U' => self.coded(8, 16),
            '0'..='3' => {
                self.at -= 1;
                self.coded(3, 8)
            }
            _ => None,
        };
        decoded.ok_or_else(|| {
            ExprError::syntax(from..self.at, "this escape does not exist")
                .with_hint("write `\\\\` for a backslash, or a raw text: r'…'".to_owned())
        })
    }

    fn coded(&mut self, digits: usize, radix: u32) -> Option<char> {
        let text = self.rest().get(..digits).filter(|text| text.chars().all(|c| c.is_digit(radix)))?;
        self.at += digits;
        char::from_u32(u32::from_str_radix(text, radix).ok()?)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Meant,
    Text,
}
