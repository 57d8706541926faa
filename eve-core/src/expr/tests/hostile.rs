//! Expressions that want too much: refused, or ended by their budget, on a small stack.

use super::*;
use crate::testing::hostile::{GREEDY, inputs};

/// So many bytes of stack are enough for whatever an expression says, in an unoptimised build.
const STACK_BYTES: usize = 1024 * 1024;

fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap();
    thread.join().unwrap()
}

fn repeated(text: &str, times: usize) -> String {
    text.repeat(times)
}

fn corpus() -> Vec<String> {
    let mut all = Vec::new();
    for sign in [
        "(", "[", "{", "-", "!", "'", "\"", ".", ",", "a(", "a[", "{1:", "1?", "1?(", "has(", "([{", "`",
        "\\", "r'", "${{", "}}",
    ] {
        all.push(repeated(sign, EXPRESSION_BYTES_MAX / sign.len()));
    }
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{'a':", "}"),
        ("size(", ")"),
        ("1?(", "):1"),
        ("-(", ")"),
        ("[1].map(x,", ")"),
    ] {
        for times in [DEPTH_MAX - 4, 200] {
            all.push(format!("{}1{}", repeated(open, times), repeated(close, times)));
        }
    }
    for (link, last) in
        [("1+", "1"), ("1&&", "1"), ("1?1:", "1"), ("1 in ", "[]"), ("'a'<", "'b'"), ("true||", "1")]
    {
        all.push(repeated(link, 1000 / link.len()) + last);
        all.push(repeated(link, DEPTH_MAX - 3) + last);
    }
    for link in [".a", "[0]", ".a()", ".trim()", ".map(x, x)", ".size()"] {
        all.push("inputs".to_owned() + &repeated(link, 1000 / link.len()));
    }
    all
}

#[test]
fn no_expression_breaks_the_parser() {
    on_a_small_stack(|| {
        for text in corpus() {
            // Whatever comes of it, it comes.
            let _ = value(&text);
            let _ = rendered(&format!("a${{{{ {text} }}}}"));
        }
    });
}

#[test]
fn length_depth_and_loops_are_bounded() {
    for (text, want) in [
        (
            "1".to_owned() + &repeated(" ", EXPRESSION_BYTES_MAX) + "+ 1",
            "the expression is longer than 1024 bytes",
        ),
        (repeated("(", 60) + "1" + &repeated(")", 60), "the expression is nested more than 32 levels deep"),
        (repeated("1 + ", 60) + "1", "the expression is nested more than 32 levels deep"),
        (repeated("!", 60) + "true", "the expression is nested more than 32 levels deep"),
        (
            "[1].map(a, [1].map(b, [1].map(c, [1].map(d, 1))))".to_owned(),
            "loops stand more than 3 deep within each other",
        ),
    ] {
        let error = value(&text).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ExprErrorKind::Limit, want), "{text}");
    }
    let deepest = "[1].map(a, [1].map(b, [1].map(c, a + b + c)))";
    assert_eq!(value(deepest), Ok(json!([[[3]]])));
}

/// What is evaluated ends, and takes no more than its budget, whatever it does with large values.
#[test]
fn work_and_memory_are_bounded_by_the_budget() {
    let inputs = inputs();
    let names = Names::new().with(Root::Inputs, &inputs);
    for text in GREEDY {
        let mut budget = Budget::PLAN;
        let error =
            Expression::parse(text, &Root::ALL).unwrap().evaluate(&names, &mut budget).expect_err(text);
        assert_eq!(error.kind, ExprErrorKind::Limit, "{text}: {error}");
        assert!(Budget::PLAN.steps - budget.steps <= Budget::EXPRESSION.steps, "{text}");
        assert!(Budget::PLAN.bytes - budget.bytes <= Budget::EXPRESSION.bytes, "{text}");
    }
}

#[test]
fn a_spent_budget_is_no_value_that_another_side_could_replace() {
    let mut budget = Budget { steps: 20, bytes: 1_000 };
    let text = "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(x, x > 0) || true";
    let error =
        Expression::parse(text, &Root::ALL).unwrap().evaluate(&Names::new(), &mut budget).unwrap_err();
    assert_eq!(error.kind, ExprErrorKind::Limit);
    assert_eq!(budget.steps, 0);
}

#[test]
fn the_strings_of_a_plan_share_one_budget() {
    let inputs = json!({ "text": "x".repeat(500_000) });
    let names = Names::new().with(Root::Inputs, &inputs);
    let template = Template::parse("${{ inputs.text }}", &Root::ALL).unwrap();
    let mut budget = Budget::COMPONENT;
    let rendered = (0..1_000).take_while(|_| template.render(&names, &mut budget).is_ok()).count();
    assert!((1..20).contains(&rendered), "{rendered}");
}
