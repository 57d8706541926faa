//! Expressions: CEL on the values of JSON, within strings (`${{ … }}`) or alone. Pure.
//!
//! The language is CEL without bytes, times and unsigned numbers, with a closed list of functions. The evaluator is our
//! own because each step and each byte is counted: what a hostile plan says costs no more than a [`Budget`]
//! (`docs/adr/0018-expressions.md`). An error holds names and types, never a value.
//!
//! Start with [`Template`] for strings, [`Expression`] for conditions; `lex`, `parse`, `eval` are the three stages.

mod ast;
mod error;
mod eval;
mod expression;
mod functions;
mod lex;
mod limits;
mod names;
mod parse;
mod reference;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub use error::{ExprError, ExprErrorKind};
pub use expression::Expression;
pub use functions::Function;
pub use limits::{Budget, DEPTH_MAX, EXPRESSION_BYTES_MAX, LOOPS_MAX, RESULT_BYTES_MAX};
pub use names::{Names, Reference, Root};
pub use reference::markdown;
pub use template::{OPENING, Template, escape, escaped, has_expression, is_template, unescape};

/// All functions that expressions may call, in the order of the reference.
pub fn functions() -> &'static [Function] {
    functions::FUNCTIONS
}
