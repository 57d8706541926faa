//! The crate `cel` as an oracle: where it gives a value, so do we, and the same.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;

/// Expressions of the part of the language that both have, with names of loops `x`.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (-20..20_i64).prop_map(|n| n.to_string()),
        (-4..4_i32).prop_map(|n| format!("{:.1}", f64::from(n) / 2.0)),
        prop_oneof![Just("true"), Just("false"), Just("null"), Just("''"), Just("'ab'"), Just("'ü'")]
            .prop_map(str::to_owned),
        prop_oneof![
            Just("inputs.replicas"),
            Just("inputs.ratio"),
            Just("inputs.tags"),
            Just("inputs.nested"),
            Just("inputs.absent"),
            Just("inputs['version']"),
            Just("inputs.tags[1]"),
            Just("x"),
        ]
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let signs = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in",
        ]);
        let loops = prop::sample::select(vec!["map", "filter", "all", "exists", "exists_one"]);
        let calls = prop::sample::select(vec!["size", "string", "int", "double"]);
        let tests = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
        prop_oneof![
            4 => (inner.clone(), signs, inner.clone()).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            1 => inner.clone().prop_map(|a| format!("{{'k': {a}}}.k")),
            1 => (calls, inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            1 => (inner.clone(), tests, inner.clone()).prop_map(|(a, name, b)| format!("({a}).{name}({b})")),
            2 => (inner.clone(), loops, inner).prop_map(|(a, name, b)| format!("({a}).{name}(x, {b})")),
        ]
    })
}

fn oracle(text: &str) -> Option<Value> {
    let mut context = cel::Context::default();
    context.add_variable("inputs", inputs()).unwrap();
    let program = cel::Program::compile(text).ok()?;
    program.execute(&context).ok()?.json().ok()
}

/// Numbers by their value: a double that is whole may be written either way.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (left, right) => left == right,
    }
}

fn agrees(text: &str) -> Result<(), String> {
    let Some(want) = oracle(text) else { return Ok(()) };
    match value(text) {
        Ok(found) if is_same(&found, &want) => Ok(()),
        // The oracle looks at names only when it comes to them.
        Err(error) if error.kind == ExprErrorKind::UnknownName && text.contains('x') => Ok(()),
        // A number that is none has no form in JSON: here it is an error at once.
        Err(error) if error.message == "the result is no number" => Ok(()),
        found => Err(format!("{text}: {found:?}, but the oracle says {want}")),
    }
}

#[test]
fn what_cel_has_a_value_for_has_the_same_here() {
    let config = ProptestConfig { cases: 2_000, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let mut with_value = 0;
    let result = runner.run(&expression(), |text| agrees(&text).map_err(TestCaseError::fail));
    result.unwrap();
    for _ in 0..500 {
        let text = expression().new_tree(&mut runner).unwrap().current();
        with_value += usize::from(oracle(&text).is_some());
    }
    assert!(with_value > 50, "the oracle had a value for {with_value} of 500 only");
}
