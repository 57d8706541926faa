//! The functions that expressions may call: a closed list. None knows an environment, a clock, a file or a network.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use serde_json::{Number, Value};

use super::error::ExprError;
use super::eval::Meter;
use super::value::words_of;

/// A function, as the reference lists it.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is called: `TEXT.startsWith(PREFIX)`.
    pub signature: &'static str,
    /// What it gives: one line.
    pub about: &'static str,
    pub(super) style: Style,
    /// How many, what a method is called on included.
    pub(super) arguments: RangeInclusive<usize>,
    call: Call,
}

/// The arguments, what is left of the budget, where the call stands.
type Call = fn(&[Cow<'_, Value>], &mut Meter, &Range<usize>) -> Result<Value, ExprError>;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Function,
    Method,
    Either,
}

impl Style {
    pub(super) fn covers(self, used: Self) -> bool {
        self == used || self == Self::Either
    }
}

pub(super) fn find(name: &str, style: Style) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name && function.style.covers(style))
}

/// All functions, in the order of the reference. `has` and the loops are part of the grammar.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "size",
        signature: "size(X)` or `X.size()",
        about: "the number of characters of a text, items of a list, or fields of a map",
        style: Style::Either,
        arguments: 1..=1,
        call: size,
    },
    Function {
        name: "string",
        signature: "string(X)",
        about: "a number, a boolean or a text as text",
        style: Style::Function,
        arguments: 1..=1,
        call: string,
    },
    Function {
        name: "int",
        signature: "int(X)",
        about: "a text or a number as a whole number; what stands behind the point of a number is left out",
        style: Style::Function,
        arguments: 1..=1,
        call: int,
    },
    Function {
        name: "double",
        signature: "double(X)",
        about: "a text or a number as a number with a point",
        style: Style::Function,
        arguments: 1..=1,
        call: double,
    },
    Function {
        name: "contains",
        signature: "TEXT.contains(PART)",
        about: "whether the part stands in the text",
        style: Style::Method,
        arguments: 2..=2,
        call: |arguments, meter, at| test(arguments, meter, at, |text, part| text.contains(part)),
    },
    Function {
        name: "startsWith",
        signature: "TEXT.startsWith(PREFIX)",
        about: "whether the text begins so",
        style: Style::Method,
        arguments: 2..=2,
        call: |arguments, meter, at| test(arguments, meter, at, |text, part| text.starts_with(part)),
    },
    Function {
        name: "endsWith",
        signature: "TEXT.endsWith(SUFFIX)",
        about: "whether the text ends so",
        style: Style::Method,
        arguments: 2..=2,
        call: |arguments, meter, at| test(arguments, meter, at, |text, part| text.ends_with(part)),
    },
    Function {
        name: "lowerAscii",
        signature: "TEXT.lowerAscii()",
        about: "the text with small letters for the capitals A to Z",
        style: Style::Method,
        arguments: 1..=1,
        call: |arguments, meter, at| map_text(arguments, meter, at, str::to_ascii_lowercase),
    },
    Function {
        name: "upperAscii",
        signature: "TEXT.upperAscii()",
        about: "the text with capitals for the letters a to z",
        style: Style::Method,
        arguments: 1..=1,
        call: |arguments, meter, at| map_text(arguments, meter, at, str::to_ascii_uppercase),
    },
    Function {
        name: "trim",
        signature: "TEXT.trim()",
        about: "the text without white space at its ends",
        style: Style::Method,
        arguments: 1..=1,
        call: |arguments, meter, at| map_text(arguments, meter, at, |text| text.trim().to_owned()),
    },
    Function {
        name: "replace",
        signature: "TEXT.replace(OLD, NEW)",
        about: "the text with each OLD replaced",
        style: Style::Method,
        arguments: 3..=3,
        call: replace,
    },
    Function {
        name: "split",
        signature: "TEXT.split(SEPARATOR)",
        about: "the parts of the text as a list",
        style: Style::Method,
        arguments: 2..=2,
        call: split,
    },
    Function {
        name: "join",
        signature: "LIST.join(SEPARATOR)",
        about: "the texts of a list as one; without SEPARATOR nothing stands between them",
        style: Style::Method,
        arguments: 1..=2,
        call: join,
    },
    Function {
        name: "substring",
        signature: "TEXT.substring(FROM, TO)",
        about: "the characters from FROM, counted from 0, up to but without TO; without TO up to the end",
        style: Style::Method,
        arguments: 2..=3,
        call: substring,
    },
    Function {
        name: "indexOf",
        signature: "TEXT.indexOf(PART)",
        about: "where the part stands first, in characters from 0; -1 if nowhere",
        style: Style::Method,
        arguments: 2..=2,
        call: index_of,
    },
];

pub(super) fn call(
    function: &Function,
    arguments: &[Cow<'_, Value>],
    meter: &mut Meter,
    at: &Range<usize>,
) -> Result<Value, ExprError> {
    (function.call)(arguments, meter, at).map_err(|error| {
        let hint = error.hint.or_else(|| Some(format!("it is written `{}`", function.signature)));
        let message = error.message.replace("{}", function.name);
        ExprError { message, hint, ..error }
    })
}

fn text<'a>(arguments: &'a [Cow<'_, Value>], index: usize, at: &Range<usize>) -> Result<&'a str, ExprError> {
    let value = arguments.get(index).map(AsRef::as_ref);
    value.and_then(Value::as_str).ok_or_else(|| wrong("a text", value, at))
}

/// `{}` stands for the name of the function.
fn wrong(wanted: &str, value: Option<&Value>, at: &Range<usize>) -> ExprError {
    let found = value.map_or("nothing", words_of);
    ExprError::of_type(at.clone(), format!("`{{}}` takes {wanted}, not {found}"))
}

fn first<'a>(arguments: &'a [Cow<'_, Value>]) -> &'a Value {
    arguments.first().map_or(&Value::Null, AsRef::as_ref)
}

fn size(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let size = match first(arguments) {
        Value::String(text) => {
            meter.search(text.len(), at)?;
            text.chars().count()
        }
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
            return Err(wrong("a text, a list or a map", Some(other), at));
        }
    };
    Ok(size.into())
}

fn string(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let value = first(arguments);
    let Some(text) = super::value::as_text(value) else {
        return Err(wrong("a text, a number or a boolean", Some(value), at));
    };
    meter.allocate(text.len(), at)?;
    Ok(Value::String(text.into_owned()))
}

fn int(arguments: &[Cow<'_, Value>], _: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let value = first(arguments);
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| truncated(number)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong("a text or a number", Some(value), at));
        }
    };
    let message = format!("{} is no whole number of 64 bits", words_of(value));
    number.map(Value::from).ok_or_else(|| ExprError::of_type(at.clone(), message))
}

fn truncated(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?.trunc();
    // 2^63 itself is no i64; below it every whole float is one.
    #[expect(clippy::cast_possible_truncation, reason = "within the range of i64")]
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float).then_some(float as i64)
}

fn double(arguments: &[Cow<'_, Value>], _: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let value = first(arguments);
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong("a text or a number", Some(value), at));
        }
    };
    let message = format!("{} is no number", words_of(value));
    number
        .and_then(Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| ExprError::of_type(at.clone(), message))
}

fn test(
    arguments: &[Cow<'_, Value>],
    meter: &mut Meter,
    at: &Range<usize>,
    holds: impl Fn(&str, &str) -> bool,
) -> Result<Value, ExprError> {
    let (text, part) = (text(arguments, 0, at)?, text(arguments, 1, at)?);
    meter.search(text.len() + part.len(), at)?;
    Ok(Value::Bool(holds(text, part)))
}

fn map_text(
    arguments: &[Cow<'_, Value>],
    meter: &mut Meter,
    at: &Range<usize>,
    change: impl Fn(&str) -> String,
) -> Result<Value, ExprError> {
    let text = text(arguments, 0, at)?;
    meter.allocate(text.len(), at)?;
    Ok(Value::String(change(text)))
}

fn replace(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let (text, old, new) = (text(arguments, 0, at)?, text(arguments, 1, at)?, text(arguments, 2, at)?);
    meter.search(text.len(), at)?;
    let found = text.matches(old).count();
    meter.allocate(text.len().saturating_add(found.saturating_mul(new.len())), at)?;
    Ok(Value::String(text.replace(old, new)))
}

fn split(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let (text, separator) = (text(arguments, 0, at)?, text(arguments, 1, at)?);
    let mut parts = Vec::new();
    let add = |part: &str, parts: &mut Vec<Value>, meter: &mut Meter| {
        meter.item(part.len(), at)?;
        parts.push(Value::String(part.to_owned()));
        Ok(())
    };
    if separator.is_empty() {
        let mut buffer = [0; 4];
        for c in text.chars() {
            add(c.encode_utf8(&mut buffer), &mut parts, meter)?;
        }
    } else {
        for part in text.split(separator) {
            add(part, &mut parts, meter)?;
        }
    }
    Ok(Value::Array(parts))
}

fn join(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let Value::Array(items) = first(arguments) else {
        return Err(wrong("a list", arguments.first().map(AsRef::as_ref), at));
    };
    let separator = if arguments.len() > 1 { text(arguments, 1, at)? } else { "" };
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        let Value::String(item) = item else { return Err(wrong("a list of texts", Some(item), at)) };
        let between = if index > 0 { separator } else { "" };
        meter.step(at)?;
        meter.allocate(between.len() + item.len(), at)?;
        joined.push_str(between);
        joined.push_str(item);
    }
    Ok(Value::String(joined))
}

fn substring(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let text = text(arguments, 0, at)?;
    let position = |index: usize| -> Result<Option<usize>, ExprError> {
        let Some(value) = arguments.get(index) else { return Ok(None) };
        let number = value.as_i64().ok_or_else(|| wrong("whole numbers", Some(value), at))?;
        usize::try_from(number).map(Some).map_err(|_| outside(at))
    };
    meter.search(text.len(), at)?;
    let length = text.chars().count();
    let (from, to) = (position(1)?.unwrap_or_default(), position(2)?.unwrap_or(length));
    if from > to || to > length {
        return Err(outside(at));
    }
    let part: String = text.chars().skip(from).take(to - from).collect();
    meter.allocate(part.len(), at)?;
    Ok(Value::String(part))
}

fn outside(at: &Range<usize>) -> ExprError {
    ExprError::missing(at.clone(), "the text does not reach so far")
}

fn index_of(arguments: &[Cow<'_, Value>], meter: &mut Meter, at: &Range<usize>) -> Result<Value, ExprError> {
    let (text, part) = (text(arguments, 0, at)?, text(arguments, 1, at)?);
    meter.search(text.len() + part.len(), at)?;
    let before = text.find(part).and_then(|found| text.get(..found));
    let index = before.map_or(-1, |before| i64::try_from(before.chars().count()).unwrap_or(i64::MAX));
    Ok(index.into())
}
