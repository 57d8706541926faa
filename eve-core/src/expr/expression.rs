//! One expression: parsed once, evaluated often.

use std::ops::Range;

use serde_json::Value;

use super::ast::Node;
use super::error::ExprError;
use super::eval::{self, Meter};
use super::lex::Ends;
use super::limits::{Budget, RESULT_BYTES_MAX};
use super::names::{Names, Reference, Root, references};
use super::parse::parse;
use super::value::{bytes, words_of};

/// A CEL expression whose names, functions, depth and loops have been checked.
#[derive(Clone, Debug)]
pub struct Expression {
    node: Node,
    at: Range<usize>,
    references: Vec<Reference>,
}

impl Expression {
    /// Parses a bare expression, without `${{ … }}`. `allowed` are the names that it may use.
    ///
    /// # Errors
    /// What is wrong with it, with its place in `text`.
    pub fn parse(text: &str, allowed: &[Root]) -> Result<Self, ExprError> {
        Self::parse_in(text, 0, Ends::WithText, allowed).map(|(expression, _)| expression)
    }

    pub(super) fn parse_in(
        text: &str,
        start: usize,
        ends: Ends,
        allowed: &[Root],
    ) -> Result<(Self, usize), ExprError> {
        let (node, end) = parse(text, start, ends)?;
        let references = references(&node, allowed)?;
        Ok((Self { at: node.at.clone(), node, references }, end))
    }

    /// What it refers to, in the order in which it stands there.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    pub(super) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// Its value. Costs at most [`Budget::EXPRESSION`], and no more than `budget`, from which it is taken.
    ///
    /// # Errors
    /// What went wrong, with its place in the text that was parsed.
    pub fn evaluate(&self, names: &Names<'_>, budget: &mut Budget) -> Result<Value, ExprError> {
        let given = budget.least(Budget::EXPRESSION);
        let mut meter = Meter::new(given);
        let value = eval::evaluate(&self.node, names, &mut meter).and_then(|value| {
            let size = bytes(&value);
            meter.allocate(size, &self.at)?;
            if size > RESULT_BYTES_MAX {
                let message = format!("the result is larger than {RESULT_BYTES_MAX} bytes");
                return Err(ExprError::limit(self.at(), message));
            }
            Ok(value.into_owned())
        });
        budget.spend(given, meter.left());
        value
    }

    /// Its value, which must be a boolean. Costs as [`Expression::evaluate`].
    ///
    /// # Errors
    /// What went wrong, or that it is no boolean.
    pub fn evaluate_boolean(&self, names: &Names<'_>, budget: &mut Budget) -> Result<bool, ExprError> {
        let value = self.evaluate(names, budget)?;
        let message = || format!("the condition must be true or false, not {}", words_of(&value));
        value.as_bool().ok_or_else(|| ExprError::of_type(self.at(), message()))
    }
}
