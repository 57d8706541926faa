//! What expressions mean, by tables; what they may cost; what must hold for all of them.

use serde_json::{Value, json};

use super::*;

mod hostile;
mod oracle;
mod props;

fn inputs() -> Value {
    json!({
        "version": "1.4.2", "replicas": 3, "ratio": 0.5, "debug": false, "none": null,
        "tags": ["a", "b", "c"], "nested": { "list": [{ "n": 1 }, { "n": 2 }], "my-key": "dash" },
        "trap": "${{ inputs.version }}", "big": 9_007_199_254_740_993_i64,
    })
}

fn names() -> Names<'static> {
    Names::new()
        .with_owned(Root::Inputs, inputs())
        .with_owned(Root::Components, json!({ "my-db": { "host": "db.shop", "port": 5432 } }))
        .with_owned(Root::Plan, json!({ "name": "shop", "namespace": "prod" }))
}

fn value(text: &str) -> Result<Value, ExprError> {
    Expression::parse(text, &Root::ALL)?.evaluate(&names(), &mut Budget::EXPRESSION.clone())
}

fn rendered(text: &str) -> Result<Value, ExprError> {
    Template::parse(text, &Root::ALL)?.render(&names(), &mut Budget::COMPONENT.clone())
}

/// The error of an expression: its sort, the text it marks, its message and hint.
fn wrong(text: &str) -> String {
    let error = value(text).expect_err(text);
    let marked = &text[error.at.clone()];
    let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{} at `{marked}`: {}{hint}", error.kind.code(), error.message)
}

#[test]
fn values_are_those_of_cel() {
    for (text, want) in [
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3", json!(9)),
        ("7 / 2", json!(3)),
        ("-7 / 2", json!(-3)),
        ("-7 % 3", json!(-1)),
        ("7.0 / 2", json!(3.5)),
        ("- -1", json!(1)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("0x1F", json!(31)),
        ("1e3", json!(1000.0)),
        (".5 + 1.5", json!(2.0)),
        ("1 == 1.0", json!(true)),
        ("inputs.big == 9007199254740992.0", json!(false)),
        ("inputs.big > 9007199254740992.0", json!(true)),
        ("1 < 2 && 'a' < 'b' && false < true", json!(true)),
        ("'1' == 1", json!(false)),
        ("null == inputs.none", json!(true)),
        ("[1, 'a'] == [1.0, 'a']", json!(true)),
        ("{'a': 1} == {'a': 1}", json!(true)),
        ("!inputs.debug ? 'yes' : 'no'", json!("yes")),
        ("true ? 1 : false ? 2 : 3", json!(1)),
        ("false && inputs.absent", json!(false)),
        ("inputs.absent && false", json!(false)),
        ("inputs.absent || true", json!(true)),
        ("'b' in inputs.tags", json!(true)),
        ("'version' in inputs", json!(true)),
        ("inputs.tags[1]", json!("b")),
        ("inputs['version']", json!("1.4.2")),
        ("inputs.nested['my-key']", json!("dash")),
        ("inputs.nested.`my-key`", json!("dash")),
        ("components['my-db'].host", json!("db.shop")),
        ("components.`my-db`.port", json!(5432)),
        ("plan.namespace", json!("prod")),
        ("has(inputs.version) && !has(inputs.absent)", json!(true)),
        ("has(components['my-db'].host)", json!(true)),
        ("inputs.nested.list.map(x, x.n * 2)", json!([2, 4])),
        ("inputs.nested.list.map(x, x.n > 1, x.n)", json!([2])),
        ("inputs.tags.filter(t, t != 'b')", json!(["a", "c"])),
        ("inputs.tags.exists(t, t == 'c')", json!(true)),
        ("inputs.tags.exists_one(t, t > 'a')", json!(false)),
        ("inputs.tags.all(t, size(t) == 1)", json!(true)),
        ("[1, 'x'].all(t, t > 5)", json!(false)),
        ("[].all(t, false) && ![].exists(t, true)", json!(true)),
        ("{'b': 1, 'a': 2}.map(k, k)", json!(["a", "b"])),
        ("[1, 2].map(x, [10, 20].map(y, x + y))", json!([[11, 21], [12, 22]])),
        ("[1].map(x, [2].map(x, x))", json!([[2]])),
        ("[1, 2] + [3]", json!([1, 2, 3])),
        ("size('ü€') + inputs.tags.size() + size({'a': 1})", json!(6)),
        ("string(1) + string(true) + string(1.5)", json!("1true1.5")),
        ("int('42') + int(1.9) + int(-1.9)", json!(42)),
        ("double('1.5')", json!(1.5)),
        ("'a-b-c'.split('-')", json!(["a", "b", "c"])),
        ("'ab'.split('')", json!(["a", "b"])),
        ("['a', 'b'].join(', ') + ['x'].join()", json!("a, bx")),
        ("'a.b.c'.replace('.', '-')", json!("a-b-c")),
        ("' Ab '.trim().lowerAscii() + 'b'.upperAscii()", json!("abB")),
        ("'grün'.substring(2) + 'abc'.substring(0, 1)", json!("üna")),
        ("'grün'.indexOf('n') + 'a'.indexOf('b')", json!(2)),
        ("'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", json!(true)),
        (
            r#""a\tb\x41\u00fc\101\"" + r'\n' + '''it's
two'''"#,
            json!("a\tbAüA\"\\nit's\ntwo"),
        ),
        ("1 // and no more\n + 2", json!(3)),
        ("[1, 2,][0]", json!(1)),
    ] {
        assert_eq!(value(text), Ok(want), "{text}");
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn problems_say_what_is_wrong_and_where() {
    for (text, want) in [
        ("", "expr.syntax at ``: there is no expression"),
        ("1 +", "expr.syntax at ``: something is missing at the end of the expression"),
        ("a b", "expr.syntax at `b`: the expression should end before `b`"),
        ("inputs..a", "expr.syntax at `.`: there should be the name of a field before `.`"),
        ("(1", "expr.syntax at `(`: a `)` is missing at the end"),
        ("'x", "expr.syntax at `'`: this text is never closed (close it with the quote that it begins with)"),
        ("1 = 2", "expr.syntax at `=`: `=` has no meaning in an expression (compare with `==`)"),
        ("true & false", "expr.syntax at `&`: `&` has no meaning in an expression (write `&&`)"),
        ("1u", "expr.syntax at `1u`: there are no unsigned numbers here (leave out the `u`)"),
        ("b'x'", "expr.syntax at `b`: there are no bytes here, only texts (leave out the `b`)"),
        (
            "99999999999999999999",
            "expr.syntax at `99999999999999999999`: this is no number, or one that is too large",
        ),
        (
            "9223372036854775808",
            "expr.syntax at `9223372036854775808`: this number is too large: whole numbers have 64 bits",
        ),
        ("namespace", "expr.syntax at `namespace`: `namespace` is a reserved word"),
        (
            r"'\q'",
            r"expr.syntax at `\q`: this escape does not exist (write `\\` for a backslash, or a raw text: r'…')",
        ),
        (
            "input.version",
            "expr.unknown-name at `input.version`: there is nothing named `input` (did you mean `inputs`?)",
        ),
        ("plan.nmae", "expr.unknown-name at `plan.nmae`: `plan` has no field `nmae` (did you mean `name`?)"),
        ("run.date", "expr.unknown-name at `run.date`: `run` has no field `date` (it has `id`)"),
        (
            "secrets",
            "expr.unknown-name at `secrets`: it must be written which secret is meant (write `secrets.NAME`, or `secrets['NAME']`)",
        ),
        (
            "components[inputs.version].x",
            "expr.unknown-name at `components[inputs.version].x`: it must be written which component is meant (write `components.NAME`, or `components['NAME']`)",
        ),
        ("getenv('HOME')", "expr.unknown-name at `getenv`: there is no function `getenv`"),
        (
            "'a'.startWith('b')",
            "expr.unknown-name at `startWith`: there is no method `startWith` (did you mean `startsWith`?)",
        ),
        (
            "split('a', 'b')",
            "expr.unknown-name at `split`: there is no function `split` (it is written `TEXT.split(SEPARATOR)`)",
        ),
        (
            "'a'.contains()",
            "expr.type at `'a'.contains()`: `contains` does not take so many or so few arguments (it is written `TEXT.contains(PART)`)",
        ),
        (
            "'a' + 1",
            "expr.type at `'a' + 1`: `+` does not take a text and a number (make it a text: `string(…)`)",
        ),
        ("1 < 'a'", "expr.type at `1 < 'a'`: `<` does not take a number and a text"),
        ("!1", "expr.type at `!1`: `!` takes a boolean, not a number"),
        ("1 ? 2 : 3", "expr.type at `1`: `? :` takes booleans, not a number"),
        (
            "size(1)",
            "expr.type at `size(1)`: `size` takes a text, a list or a map, not a number (it is written `size(X)` or `X.size()`)",
        ),
        ("1 / 0", "expr.type at `1 / 0`: a number is divided by zero"),
        (
            "9223372036854775807 + 1",
            "expr.type at `9223372036854775807 + 1`: the result does not fit into 64 bits",
        ),
        ("1e308 * 10", "expr.type at `1e308 * 10`: the result is no number"),
        (
            "int('x')",
            "expr.type at `int('x')`: a text is no whole number of 64 bits (it is written `int(X)`)",
        ),
        ("inputs.absent", "expr.missing at `inputs.absent`: `inputs` has no field `absent`"),
        (
            "inputs.version.major",
            "expr.type at `inputs.version.major`: `inputs.version` is a text, which has no fields",
        ),
        ("inputs.tags[3]", "expr.missing at `inputs.tags[3]`: the list has no such item"),
        (
            "'abc'.substring(2, 1)",
            "expr.missing at `'abc'.substring(2, 1)`: the text does not reach so far (it is written `TEXT.substring(FROM, TO)`)",
        ),
        ("self.x", "expr.missing at `self`: `self` is not known here"),
        ("{'a': 1, 'a': 2}", "expr.type at `'a'`: this key stands twice in the map"),
        (
            "[1].map(2, 3)",
            "expr.syntax at `[1].map(2, 3)`: `map` takes a name and an expression, as in `list.map(x, …)`",
        ),
        ("has(inputs)", "expr.syntax at `has(inputs)`: `has` takes one field, as in `has(inputs.name)`"),
    ] {
        assert_eq!(wrong(text), want, "{text}");
    }
}

#[test]
fn a_name_is_only_known_where_it_is_allowed() {
    let error = Expression::parse("self.x == inputs.y", &[Root::Inputs]).unwrap_err();
    assert_eq!((error.message.as_str(), error.at), ("`self` cannot be used here", 0..6));
    let hidden = Expression::parse("[1].all(self, self > 0)", &[Root::Inputs]).unwrap();
    assert_eq!(hidden.references(), []);
}

#[test]
fn references_are_found_without_evaluating() {
    let text = "has(components.db.host) ? components['my-api'].urls[0].x + inputs.a : \
                [secrets.key].map(components, components + inputs[plan.name])[0]";
    let all = Expression::parse(text, &Root::ALL).unwrap();
    let shown: Vec<String> =
        all.references().iter().map(|one| format!("{}:{}", one.root.name(), one.path.join("/"))).collect();
    assert_eq!(
        shown,
        ["components:db/host", "components:my-api/urls", "inputs:a", "secrets:key", "inputs:", "plan:name"]
    );
}

#[test]
fn a_string_that_is_one_expression_keeps_its_type() {
    for (text, want) in [
        ("${{ inputs.replicas }}", json!(3)),
        ("${{ inputs.replicas }} ", json!("3 ")),
        ("v${{ inputs.version }}-${{ inputs.ratio }}-${{ true }}", json!("v1.4.2-0.5-true")),
        ("${{ inputs.tags }}", json!(["a", "b", "c"])),
        ("${{ null }}", json!(null)),
        ("${{inputs.debug}}", json!(false)),
        ("${{ {'a': {'b': 1}} }}", json!({ "a": { "b": 1 } })),
        ("${{ {'a': {'b': 1}}}}", json!({ "a": { "b": 1 } })),
        ("${{ '}}' }}", json!("}}")),
        ("no expression }} here", json!("no expression }} here")),
        ("", json!("")),
    ] {
        assert_eq!(rendered(text), Ok(want), "{text}");
    }
}

#[test]
fn two_dollars_stand_for_the_characters_themselves() {
    for (text, want) in [
        ("$${{ inputs.x }}", "${{ inputs.x }}"),
        ("$$${{", "$${{"),
        ("$$ ${{ 'x' }} $", "$$ x $"),
        ("a$${{b$${{", "a${{b${{"),
    ] {
        assert_eq!(rendered(text), Ok(json!(want)), "{text}");
    }
    assert!(has_expression("$ ${{ x"));
    assert!(has_expression("$${{ a }} ${{ b }}"));
    assert!(!has_expression("$${{ a }}"));
}

#[test]
fn what_cannot_stand_in_a_text_is_refused() {
    for (text, want) in [
        ("x${{ inputs.tags }}", "a list cannot stand within a text"),
        ("x${{ null }}", "null cannot stand within a text"),
        ("${{ 1", "this expression is never closed"),
        ("${{ }}", "there is no expression"),
    ] {
        assert_eq!(rendered(text).unwrap_err().message, want, "{text}");
    }
}

#[test]
fn a_problem_in_a_string_is_marked_there() {
    let text = "prefix ${{ 1 }} ü ${{ inputs.absent }}";
    let error = rendered(text).unwrap_err();
    assert_eq!(&text[error.at], "inputs.absent");
}

#[test]
fn the_functions_are_these_and_no_others() {
    let names: Vec<&str> = functions().iter().map(|function| function.name).collect();
    assert_eq!(
        names,
        [
            "size",
            "string",
            "int",
            "double",
            "contains",
            "startsWith",
            "endsWith",
            "lowerAscii",
            "upperAscii",
            "trim",
            "replace",
            "split",
            "join",
            "substring",
            "indexOf"
        ]
    );
}
