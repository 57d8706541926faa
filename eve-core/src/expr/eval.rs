//! Evaluates the tree, and counts what that costs.
//!
//! Recursion is bounded by `DEPTH_MAX`. Names of loops hide other names. As CEL has it, `&&`, `||`, `all` and `exists`
//! give their result where one side is enough for it, even if the other has failed; a spent budget ends everything.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use serde_json::{Map, Value};

use super::ast::{Binary, Expr, Loop, LoopKind, Node, Unary};
use super::error::{ExprError, ExprErrorKind};
use super::functions;
use super::limits::Budget;
use super::names::Names;
use super::value::{self, arithmetic, words_of};

/// What is left of the budget.
#[derive(Debug)]
pub(super) struct Meter {
    left: Budget,
}

impl Meter {
    pub(super) fn new(left: Budget) -> Self {
        Self { left }
    }

    pub(super) fn left(&self) -> Budget {
        self.left
    }

    fn steps(&mut self, count: u64, at: &Range<usize>) -> Result<(), ExprError> {
        let left = self.left.steps.checked_sub(count);
        self.left.steps = left.unwrap_or_default();
        left.map(drop).ok_or_else(|| ExprError::limit(at.clone(), "the expression does too much"))
    }

    pub(super) fn step(&mut self, at: &Range<usize>) -> Result<(), ExprError> {
        self.steps(1, at)
    }

    /// A text of so many bytes is looked through.
    pub(super) fn search(&mut self, bytes: usize, at: &Range<usize>) -> Result<(), ExprError> {
        self.steps(u64::try_from(bytes / 32).unwrap_or(u64::MAX), at)
    }

    /// So many bytes are made.
    pub(super) fn allocate(&mut self, bytes: usize, at: &Range<usize>) -> Result<(), ExprError> {
        let left = self.left.bytes.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.left.bytes = left.unwrap_or_default();
        left.map(drop).ok_or_else(|| ExprError::limit(at.clone(), "the expression makes too large values"))
    }

    /// An item of a list is made, with so many bytes of its own.
    pub(super) fn item(&mut self, bytes: usize, at: &Range<usize>) -> Result<(), ExprError> {
        self.step(at)?;
        self.allocate(bytes.saturating_add(size_of::<Value>()), at)
    }

    fn owned(&mut self, value: Cow<'_, Value>, at: &Range<usize>) -> Result<Value, ExprError> {
        if let Cow::Borrowed(value) = value {
            // Counted item by item, so that the count itself is bounded by what is left.
            self.steps(1, at)?;
            self.allocate(value::bytes(value), at)?;
        }
        Ok(value.into_owned())
    }
}

/// The names of loops, the innermost first.
#[derive(Clone, Copy)]
struct Scope<'a> {
    outer: Option<&'a Scope<'a>>,
    name: &'a str,
    value: &'a Value,
}

type Found<'a> = Result<Cow<'a, Value>, ExprError>;

pub(super) fn evaluate<'a>(node: &'a Node, names: &'a Names<'_>, meter: &mut Meter) -> Found<'a> {
    eval(node, names, None, meter)
}

fn eval<'a>(
    node: &'a Node,
    names: &'a Names<'_>,
    scope: Option<&'a Scope<'a>>,
    meter: &mut Meter,
) -> Found<'a> {
    let at = &node.at;
    meter.step(at)?;
    match &node.expr {
        Expr::Literal(value) => Ok(Cow::Borrowed(value)),
        Expr::Name(name) => named(name, at, names, scope),
        Expr::List(items) => list(items, names, scope, meter),
        Expr::Map(entries) => map(entries, names, scope, meter),
        Expr::Select(of, field) => {
            let value = eval(of, names, scope, meter)?;
            select(of, value, field, at, meter)
        }
        Expr::Has(of, field) => match &*eval(of, names, scope, meter)? {
            Value::Object(fields) => Ok(Cow::Owned(Value::Bool(fields.contains_key(&**field)))),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(no_fields(of, other, at))
            }
        },
        Expr::Index(pair) => index(pair, at, names, scope, meter),
        Expr::Unary(sign, of) => {
            let value = eval(of, names, scope, meter)?;
            unary(*sign, &value, at)
        }
        Expr::Binary(operator, pair) => {
            let [left, right] = &**pair;
            let left = eval(left, names, scope, meter)?;
            let right = eval(right, names, scope, meter)?;
            binary(*operator, left, right, at, meter)
        }
        Expr::And(pair) => either((false, "&&"), pair, names, scope, meter),
        Expr::Or(pair) => either((true, "||"), pair, names, scope, meter),
        Expr::Choice(all) => {
            let [condition, then, otherwise] = &**all;
            let value = eval(condition, names, scope, meter)?;
            let chosen = if boolean(&value, "? :", &condition.at)? { then } else { otherwise };
            eval(chosen, names, scope, meter)
        }
        Expr::Call(function, arguments) => {
            let mut values = Vec::with_capacity(arguments.len());
            for argument in arguments {
                values.push(eval(argument, names, scope, meter)?);
            }
            functions::call(function, &values, meter, at).map(Cow::Owned)
        }
        Expr::Loop(one) => looped(one, at, names, scope, meter),
    }
}

fn named<'a>(name: &str, at: &Range<usize>, names: &'a Names<'_>, scope: Option<&'a Scope<'a>>) -> Found<'a> {
    let mut inner = scope;
    while let Some(scope) = inner {
        if scope.name == name {
            return Ok(Cow::Borrowed(scope.value));
        }
        inner = scope.outer;
    }
    let found = names.get(name).map(Cow::Borrowed);
    found.ok_or_else(|| ExprError::missing(at.clone(), format!("`{name}` is not known here")))
}

fn list<'a>(
    items: &'a [Node],
    names: &'a Names<'_>,
    scope: Option<&'a Scope<'a>>,
    meter: &mut Meter,
) -> Found<'a> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let value = eval(item, names, scope, meter)?;
        meter.item(0, &item.at)?;
        values.push(meter.owned(value, &item.at)?);
    }
    Ok(Cow::Owned(Value::Array(values)))
}

fn map<'a>(
    entries: &'a [(Node, Node)],
    names: &'a Names<'_>,
    scope: Option<&'a Scope<'a>>,
    meter: &mut Meter,
) -> Found<'a> {
    let mut fields = Map::new();
    for (key, value) in entries {
        let name = match &*eval(key, names, scope, meter)? {
            Value::String(name) => name.clone(),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                let message = format!("the key of a map must be a text, not {}", words_of(other));
                return Err(ExprError::of_type(key.at.clone(), message));
            }
        };
        let found = eval(value, names, scope, meter)?;
        meter.item(name.len() + 2 * size_of::<Value>(), &key.at)?;
        let found = meter.owned(found, &value.at)?;
        if fields.insert(name, found).is_some() {
            return Err(ExprError::of_type(key.at.clone(), "this key stands twice in the map"));
        }
    }
    Ok(Cow::Owned(Value::Object(fields)))
}

fn no_fields(of: &Node, value: &Value, at: &Range<usize>) -> ExprError {
    let what = of.path().map_or_else(|| "this".to_owned(), |path| format!("`{path}`"));
    ExprError::of_type(at.clone(), format!("{what} is {}, which has no fields", words_of(value)))
}

fn select<'a>(
    of: &Node,
    value: Cow<'a, Value>,
    field: &str,
    at: &Range<usize>,
    meter: &mut Meter,
) -> Found<'a> {
    let absent = || {
        let what = of.path().map_or_else(|| "this map".to_owned(), |path| format!("`{path}`"));
        ExprError::missing(at.clone(), format!("{what} has no field `{field}`"))
    };
    match value {
        Cow::Borrowed(Value::Object(fields)) => fields.get(field).map(Cow::Borrowed).ok_or_else(absent),
        Cow::Owned(Value::Object(mut fields)) => fields.remove(field).map(Cow::Owned).ok_or_else(absent),
        Cow::Borrowed(other) => Err(no_fields(of, other, at)),
        Cow::Owned(other) => Err(no_fields(of, &other, at)),
    }
    .and_then(|found| meter.step(at).map(|()| found))
}

fn index<'a>(
    pair: &'a [Node; 2],
    at: &Range<usize>,
    names: &'a Names<'_>,
    scope: Option<&'a Scope<'a>>,
    meter: &mut Meter,
) -> Found<'a> {
    let [of, by] = pair;
    let value = eval(of, names, scope, meter)?;
    let by_value = eval(by, names, scope, meter)?;
    match (&*value, &*by_value) {
        (Value::Object(_), Value::String(key)) => {
            // The key may be a secret; written as a literal it is none.
            let shown = if matches!(by.expr, Expr::Literal(_)) { key.as_str() } else { "…" };
            let found = match value {
                Cow::Borrowed(map) => map.get(key).map(Cow::Borrowed),
                Cow::Owned(mut map) => map.get_mut(key).map(Value::take).map(Cow::Owned),
            };
            found.ok_or_else(|| {
                let what = of.path().map_or_else(|| "this map".to_owned(), |path| format!("`{path}`"));
                ExprError::missing(at.clone(), format!("{what} has no field `{}`", shown.escape_debug()))
            })
        }
        (Value::Array(_), Value::Number(number)) => {
            let position = number.as_i64().and_then(|number| usize::try_from(number).ok());
            let found = match value {
                Cow::Borrowed(list) => position.and_then(|position| list.get(position)).map(Cow::Borrowed),
                Cow::Owned(mut list) => {
                    position.and_then(|position| list.get_mut(position)).map(Value::take).map(Cow::Owned)
                }
            };
            found.ok_or_else(|| ExprError::missing(at.clone(), "the list has no such item"))
        }
        (Value::Array(_), other) => {
            let message = format!("items of a list are counted by whole numbers, not by {}", words_of(other));
            Err(ExprError::of_type(at.clone(), message))
        }
        (Value::Object(_), other) => {
            let message = format!("fields of a map are named by texts, not by {}", words_of(other));
            Err(ExprError::of_type(at.clone(), message))
        }
        (other, _) => Err(no_fields(of, other, at)),
    }
}

fn unary<'a>(sign: Unary, value: &Value, at: &Range<usize>) -> Found<'a> {
    match (sign, value) {
        (Unary::Not, Value::Bool(value)) => Ok(Cow::Owned(Value::Bool(!value))),
        (Unary::Negate, Value::Number(_)) => {
            let zero = Value::from(0);
            let negative = match value.as_f64().filter(|_| value.is_f64()) {
                Some(float) => Ok(Value::from(-float)),
                None => arithmetic(Binary::Subtract, &zero, value, at).unwrap_or(Ok(Value::Null)),
            };
            negative.map(Cow::Owned)
        }
        (Unary::Not, other) => {
            Err(ExprError::of_type(at.clone(), format!("`!` takes a boolean, not {}", words_of(other))))
        }
        (Unary::Negate, other) => {
            Err(ExprError::of_type(at.clone(), format!("`-` takes a number, not {}", words_of(other))))
        }
    }
}

fn binary<'a>(
    operator: Binary,
    left: Cow<'a, Value>,
    right: Cow<'a, Value>,
    at: &Range<usize>,
    meter: &mut Meter,
) -> Found<'a> {
    let result = match operator {
        Binary::Equal => Value::Bool(value::equal(&left, &right, meter, at)?),
        Binary::Unequal => Value::Bool(!value::equal(&left, &right, meter, at)?),
        Binary::In => Value::Bool(is_in(&left, &right, at, meter)?),
        Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual => {
            if let (Value::String(left), Value::String(right)) = (&*left, &*right) {
                meter.search(left.len().min(right.len()), at)?;
            }
            let order = value::compare(&left, &right).ok_or_else(|| mismatch(operator, &left, &right, at))?;
            let is_equal_enough = matches!(operator, Binary::LessOrEqual | Binary::GreaterOrEqual);
            let is_less = matches!(operator, Binary::Less | Binary::LessOrEqual);
            Value::Bool(match order {
                Ordering::Equal => is_equal_enough,
                Ordering::Less => is_less,
                Ordering::Greater => !is_less,
            })
        }
        Binary::Add if left.is_string() || left.is_array() => return joined(left, right, at, meter),
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
            arithmetic(operator, &left, &right, at)
                .unwrap_or_else(|| Err(mismatch(operator, &left, &right, at)))?
        }
    };
    Ok(Cow::Owned(result))
}

/// Two texts or two lists behind each other.
fn joined<'a>(
    left: Cow<'a, Value>,
    right: Cow<'a, Value>,
    at: &Range<usize>,
    meter: &mut Meter,
) -> Found<'a> {
    match (&*left, &*right) {
        (Value::String(first), Value::String(second)) => {
            meter.allocate(first.len() + second.len(), at)?;
            Ok(Cow::Owned(Value::String(format!("{first}{second}"))))
        }
        (Value::Array(_), Value::Array(_)) => {
            let (mut first, mut second) = (meter.owned(left, at)?, meter.owned(right, at)?);
            if let (Value::Array(first), Value::Array(second)) = (&mut first, &mut second) {
                meter.allocate((first.len() + second.len()) * size_of::<Value>(), at)?;
                first.append(second);
            }
            Ok(Cow::Owned(first))
        }
        _ => Err(mismatch(Binary::Add, &left, &right, at)),
    }
}

fn mismatch(operator: Binary, left: &Value, right: &Value, at: &Range<usize>) -> ExprError {
    let sign = operator.sign();
    let message = format!("`{sign}` does not take {} and {}", words_of(left), words_of(right));
    let is_text = |value: &Value| value.is_string();
    let hint = (operator == Binary::Add && (is_text(left) || is_text(right)))
        .then(|| "make it a text: `string(…)`".to_owned());
    ExprError::of_type(at.clone(), message).with_hint(hint)
}

fn is_in(item: &Value, of: &Value, at: &Range<usize>, meter: &mut Meter) -> Result<bool, ExprError> {
    match (item, of) {
        (_, Value::Array(items)) => {
            for one in items {
                if value::equal(item, one, meter, at)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::String(key), Value::Object(fields)) => Ok(fields.contains_key(key)),
        (_, Value::Object(_)) => Ok(false),
        _ => Err(mismatch(Binary::In, item, of, at)),
    }
}

fn boolean(value: &Value, sign: &str, at: &Range<usize>) -> Result<bool, ExprError> {
    let message = || format!("`{sign}` takes booleans, not {}", words_of(value));
    value.as_bool().ok_or_else(|| ExprError::of_type(at.clone(), message()))
}

/// `&&` is decided by a `false` on either side, `||` by a `true`.
fn either<'a>(
    (decisive, sign): (bool, &str),
    pair: &'a [Node; 2],
    names: &'a Names<'_>,
    scope: Option<&'a Scope<'a>>,
    meter: &mut Meter,
) -> Found<'a> {
    let mut failed = None;
    for side in pair {
        let value = eval(side, names, scope, meter).and_then(|value| boolean(&value, sign, &side.at));
        match value {
            Ok(value) if value == decisive => return Ok(Cow::Owned(Value::Bool(decisive))),
            Ok(_) => {}
            Err(error) if error.kind == ExprErrorKind::Limit => return Err(error),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(Cow::Owned(Value::Bool(!decisive))), Err)
}

fn looped<'a>(
    one: &'a Loop,
    at: &Range<usize>,
    names: &'a Names<'_>,
    scope: Option<&'a Scope<'a>>,
    meter: &mut Meter,
) -> Found<'a> {
    let range = eval(&one.range, names, scope, meter)?;
    let keys: Vec<Value>;
    let items = match &*range {
        Value::Array(items) => items,
        Value::Object(fields) => {
            let bytes: usize = fields.keys().map(String::len).sum();
            meter.allocate(bytes + fields.len() * size_of::<Value>(), at)?;
            keys = fields.keys().map(|key| Value::String(key.clone())).collect();
            &keys
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            let message = format!("a loop goes over a list or a map, not over {}", words_of(other));
            return Err(ExprError::of_type(one.range.at.clone(), message));
        }
    };
    let mut round = Round { kind: one.kind, results: Vec::new(), holding: 0, failed: None };
    for item in items {
        meter.step(at)?;
        let inner = Scope { outer: scope, name: &one.name, value: item };
        if round.take(one, item, (names, &inner), meter)? == Goes::NoFurther {
            break;
        }
    }
    round.end().map(Cow::Owned)
}

#[derive(PartialEq, Eq)]
enum Goes {
    On,
    NoFurther,
}

/// What a loop has so far.
struct Round {
    kind: LoopKind,
    results: Vec<Value>,
    holding: usize,
    failed: Option<ExprError>,
}

impl Round {
    fn take(
        &mut self,
        one: &Loop,
        item: &Value,
        (names, scope): (&Names<'_>, &Scope<'_>),
        meter: &mut Meter,
    ) -> Result<Goes, ExprError> {
        let body = &one.body;
        let value = eval(body, names, Some(scope), meter);
        if let (LoopKind::Map, None) = (self.kind, &one.result) {
            let value = value?;
            return self.keep(value, &body.at, meter);
        }
        let holds = value.and_then(|value| boolean(&value, "the condition of a loop", &body.at));
        match (self.kind, holds) {
            (LoopKind::All | LoopKind::Exists, Err(error)) if error.kind != ExprErrorKind::Limit => {
                self.failed.get_or_insert(error);
                Ok(Goes::On)
            }
            (_, Err(error)) => Err(error),
            (LoopKind::All, Ok(false)) | (LoopKind::Exists, Ok(true)) => {
                self.holding = 1;
                self.failed = None;
                Ok(Goes::NoFurther)
            }
            (LoopKind::ExistsOne, Ok(true)) => {
                self.holding += 1;
                Ok(Goes::On)
            }
            (LoopKind::Filter, Ok(true)) => self.keep(Cow::Borrowed(item), &body.at, meter),
            (LoopKind::Map, Ok(true)) => {
                let result = one.result.as_ref().unwrap_or(body);
                let value = eval(result, names, Some(scope), meter)?;
                self.keep(value, &result.at, meter)
            }
            (_, Ok(_)) => Ok(Goes::On),
        }
    }

    fn keep(
        &mut self,
        value: Cow<'_, Value>,
        at: &Range<usize>,
        meter: &mut Meter,
    ) -> Result<Goes, ExprError> {
        meter.item(0, at)?;
        self.results.push(meter.owned(value, at)?);
        Ok(Goes::On)
    }

    fn end(self) -> Result<Value, ExprError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        Ok(match self.kind {
            LoopKind::All => Value::Bool(self.holding == 0),
            LoopKind::Exists => Value::Bool(self.holding > 0),
            LoopKind::ExistsOne => Value::Bool(self.holding == 1),
            LoopKind::Map | LoopKind::Filter => Value::Array(self.results),
        })
    }
}
