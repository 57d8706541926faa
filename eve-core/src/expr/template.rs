//! Strings with expressions in them: `db-${{ inputs.stage }}`.
//!
//! `${{` begins an expression, and the `}}` that is not part of it ends it; `$${{` stands for the characters `${{`.
//! Nothing else has a meaning.

use std::borrow::Cow;

use serde_json::Value;

use super::error::ExprError;
use super::expression::Expression;
use super::lex::Ends;
use super::limits::{Budget, RESULT_BYTES_MAX};
use super::names::{Names, Reference, Root};
use super::value::{as_text, bytes, words_of};

/// What an expression begins with.
pub const OPENING: &str = "${{";
const CLOSING: &str = "}}";
/// What stands for [`OPENING`] where that is text.
const ESCAPED: &str = "$${{";

/// A string with its expressions, parsed once.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Expression(Expression),
}

impl Template {
    /// Parses a string. `allowed` are the names that its expressions may use.
    ///
    /// # Errors
    /// The first problem, with its place in `text`.
    pub fn parse(text: &str, allowed: &[Root]) -> Result<Self, ExprError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| rest.find(OPENING)) {
            let opening = at + found;
            let before = text.get(at..opening).unwrap_or_default();
            if let Some(before) = before.strip_suffix('$') {
                literal.push_str(before);
                literal.push_str(OPENING);
                at = opening + OPENING.len();
                continue;
            }
            literal.push_str(before);
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            let start = opening + OPENING.len();
            let (expression, end) = Expression::parse_in(text, start, Ends::AtBraces, allowed)?;
            pieces.push(Piece::Expression(expression));
            at = end + CLOSING.len();
        }
        literal.push_str(text.get(at..).unwrap_or_default());
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self { pieces })
    }

    /// Whether there is no expression in it.
    pub fn is_text(&self) -> bool {
        !self.pieces.iter().any(|piece| matches!(piece, Piece::Expression(_)))
    }

    /// What its expressions refer to, in the order in which it stands there.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().flat_map(|piece| match piece {
            Piece::Text(_) => &[],
            Piece::Expression(expression) => expression.references(),
        })
    }

    /// The value: of any type where the string is one expression and nothing else, else a string. It is data: an `${{`
    /// in it is text.
    ///
    /// # Errors
    /// What went wrong in an expression, or a value that cannot stand in a text.
    pub fn render(&self, names: &Names<'_>, budget: &mut Budget) -> Result<Value, ExprError> {
        match self.pieces.as_slice() {
            [Piece::Expression(only)] => {
                let value = only.evaluate(names, budget)?;
                within(bytes(&value), only).map(|()| value)
            }
            pieces => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(literal) => text.push_str(literal),
                        Piece::Expression(expression) => {
                            let value = expression.evaluate(names, budget)?;
                            let Some(part) = as_text(&value) else {
                                let message = format!("{} cannot stand within a text", words_of(&value));
                                let hint = "let the expression be alone in its string, or make it a text";
                                return Err(
                                    ExprError::of_type(expression.at(), message).with_hint(hint.to_owned())
                                );
                            };
                            within(text.len() + part.len(), expression)?;
                            text.push_str(&part);
                        }
                    }
                }
                Ok(Value::String(text))
            }
        }
    }
}

fn within(bytes: usize, expression: &Expression) -> Result<(), ExprError> {
    if bytes <= RESULT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the result is larger than {RESULT_BYTES_MAX} bytes");
    Err(ExprError::limit(expression.at(), message))
}

/// Whether a string means something else than it says: it has an expression, or an escaped `${{`.
pub fn is_template(text: &str) -> bool {
    text.contains(OPENING)
}

/// Whether a string has an expression in it, well written or not.
pub fn has_expression(text: &str) -> bool {
    let escaped = |at: usize| text.get(..at).is_some_and(|before| before.ends_with('$'));
    text.match_indices(OPENING).any(|(at, _)| !escaped(at))
}

/// The string that stands for this text where strings may have expressions.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_template(text) { Cow::Owned(text.replace(OPENING, ESCAPED)) } else { Cow::Borrowed(text) }
}

/// [`escaped`] for every string of a value; whether any is another now. Recursion is bounded by the depth of the value.
pub fn escape(value: &mut Value) -> bool {
    replace(value, (OPENING, ESCAPED))
}

/// Undoes [`escape`].
pub fn unescape(value: &mut Value) {
    replace(value, (ESCAPED, OPENING));
}

fn replace(value: &mut Value, (from, to): (&str, &str)) -> bool {
    let mut any = false;
    match value {
        Value::String(text) if text.contains(from) => {
            *text = text.replace(from, to);
            any = true;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| any |= replace(item, (from, to))),
        Value::Object(fields) => fields.values_mut().for_each(|field| any |= replace(field, (from, to))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    any
}
