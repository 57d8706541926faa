//! How values are compared, counted and written. Values are those of JSON: no bytes, no times, no unsigned numbers.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use serde_json::{Number, Value};

use super::ast::Binary;
use super::error::ExprError;
use super::eval::Meter;

/// What a value is; never the value itself.
pub(super) fn words_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A scalar as it stands in a text.
pub(super) fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        // Go's way: no point behind a whole number.
        Value::Number(number) => Some(Cow::Owned(match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => float.to_string(),
            None => number.to_string(),
        })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether two values are the same. Numbers are compared by their value, whatever their form; values of different types
/// are not equal.
pub(super) fn equal(
    left: &Value,
    right: &Value,
    meter: &mut Meter,
    at: &Range<usize>,
) -> Result<bool, ExprError> {
    meter.step(at)?;
    Ok(match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right) == Some(Ordering::Equal),
        (Value::String(left), Value::String(right)) => {
            meter.search(left.len().min(right.len()), at)?;
            left == right
        }
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right) {
                if !equal(left, right, meter, at)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(left), Value::Object(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (key, left) in left {
                let Some(right) = right.get(key) else { return Ok(false) };
                if !equal(left, right, meter, at)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        _ => false,
    })
}

/// Which of two values is the smaller; `None` where that has no meaning.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(left), None) => compare_mixed(left, right.as_f64()?),
        (None, Some(right)) => compare_mixed(right, left.as_f64()?).map(Ordering::reverse),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Exact, as CEL demands it: 2^53 + 1 is not 2^53.
fn compare_mixed(left: i128, right: f64) -> Option<Ordering> {
    if right.is_nan() {
        return None;
    }
    if right.abs() >= 1e30 {
        return Some(if right > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 1e30, so within i128")]
    let floor = right.floor() as i128;
    Some(left.cmp(&floor).then(if right.fract() == 0.0 { Ordering::Equal } else { Ordering::Less }))
}

/// `left OPERATOR right` for numbers; `None` where one is none. A whole number with one that has a point gives one that
/// has a point.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other operators are none of numbers alone")]
pub(super) fn arithmetic(
    operator: Binary,
    left: &Value,
    right: &Value,
    at: &Range<usize>,
) -> Option<Result<Value, ExprError>> {
    let (Value::Number(left), Value::Number(right)) = (left, right) else { return None };
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return whole_arithmetic(operator, left, right, at);
    }
    let (left, right) = (left.as_f64()?, right.as_f64()?);
    let result = match operator {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide => left / right,
        _ => return None,
    };
    let outside = || ExprError::of_type(at.clone(), "the result is no number");
    Some(Number::from_f64(result).map(Value::Number).ok_or_else(outside))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other operators are none of numbers alone")]
fn whole_arithmetic(
    operator: Binary,
    left: i128,
    right: i128,
    at: &Range<usize>,
) -> Option<Result<Value, ExprError>> {
    let by_zero = || ExprError::of_type(at.clone(), "a number is divided by zero");
    let result = match operator {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide | Binary::Remainder if right == 0 => return Some(Err(by_zero())),
        Binary::Divide => left / right,
        Binary::Remainder => left % right,
        _ => return None,
    };
    let outside = || ExprError::of_type(at.clone(), "the result does not fit into 64 bits");
    Some(i64::try_from(result).map(Value::from).map_err(|_| outside()))
}

/// About how many bytes a value takes in memory.
pub(super) fn bytes(value: &Value) -> usize {
    const EACH: usize = size_of::<Value>();
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => EACH,
        Value::String(text) => EACH + text.len(),
        Value::Array(items) => EACH + items.iter().map(bytes).sum::<usize>(),
        Value::Object(fields) => {
            // A node of the map holds more than its keys and values.
            EACH + fields.iter().map(|(key, value)| 2 * EACH + key.len() + bytes(value)).sum::<usize>()
        }
    }
}
