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

/// How often the oracle is asked: CEL leaves open in which order the keys of a map come, and the oracle takes another one
/// each time. With two keys, an order that is right and was never taken is one chance in 2^63.
const ASKED_MAX: usize = 64;

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
    let error = match value(text) {
        Ok(found) if is_same(&found, &want) || is_another_order(text, &found) => return Ok(()),
        Ok(found) => return Err(format!("{text}: {found}, but the oracle says {want}")),
        Err(error) => error,
    };
    // The oracle looks at names only when it comes to them.
    let is_never_reached = error.kind == ExprErrorKind::UnknownName && text.contains('x');
    // A number that is none has no form in JSON: here it is an error at once.
    let is_no_number = error.message == "the result is no number";
    // The oracle adds the keys of a map to a list. By the list of overloads in CEL's definition `+` joins lists alone.
    let is_list_and_map = error.message == "`+` does not take a list and a map";
    if is_never_reached || is_no_number || is_list_and_map {
        return Ok(());
    }
    Err(format!("{text}: {error:?}, but the oracle says {want}"))
}

/// Whether the oracle, too, comes to this value when it takes the keys of maps in another order.
fn is_another_order(text: &str, found: &Value) -> bool {
    (1..ASKED_MAX).any(|_| oracle(text).is_some_and(|other| is_same(found, &other)))
}

#[test]
fn where_cel_leaves_the_order_of_keys_open_it_is_that_of_their_names_here() {
    for (text, want) in [
        ("(inputs.nested).filter(x, true)", json!(["list", "my-key"])),
        ("inputs.nested.map(x, x.size())", json!([4, 6])),
    ] {
        assert_eq!((value(text), agrees(text)), (Ok(want), Ok(())), "{text}");
        assert!(!is_another_order(text, &json!(["list"])), "{text}: no order makes a key vanish");
    }
}

#[test]
fn a_map_is_not_added_to_a_list_though_the_oracle_does() {
    for text in ["[0, 0] + {'k': inputs.nested}.k", "(inputs.tags + inputs.nested) == 0"] {
        assert!(oracle(text).is_some(), "{text}: an exception that is needed no more");
        assert!(wrong(text).ends_with("`+` does not take a list and a map"), "{text}");
        assert_eq!(agrees(text), Ok(()), "{text}");
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
