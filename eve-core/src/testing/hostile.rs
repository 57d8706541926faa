//! Expressions that want far more than they are given.

use serde_json::{Value, json};

/// Loops in loops, long texts, long lists, all of them over [`inputs`]. Each of them is to be ended by its budget.
pub const GREEDY: [&str; 16] = [
    "inputs.list.map(a, inputs.list.map(b, inputs.list.map(c, a + b + c)))",
    "inputs.list.all(a, inputs.list.all(b, inputs.list.all(c, true)))",
    "inputs.list.exists(a, inputs.list.exists(b, a + b < 0) || a.b)",
    "inputs.list.map(a, inputs.text)",
    "inputs.list.map(a, inputs.text.contains('y'))",
    "inputs.list.filter(a, inputs.text == inputs.text + 'x')",
    "inputs.list.map(a, inputs.lists)",
    "inputs.list.all(a, inputs.lists == inputs.lists)",
    "inputs.list.all(a, -1 in inputs.list || true)",
    "inputs.text.split('')",
    "inputs.text.replace('x', inputs.text)",
    "inputs.text.replace('', inputs.text)",
    "inputs.list.map(a, string(a)).join(inputs.text)",
    "[inputs.text + inputs.text].map(a, a + a).map(b, b + b).map(c, c + c)",
    "inputs.list + inputs.list + inputs.list + inputs.list.map(x, inputs.list)[0].map(x, inputs.list)",
    "inputs.lists",
];

/// A long list, a text of a megabyte and a list of lists, for expressions to multiply.
pub fn inputs() -> Value {
    let list: Vec<i64> = (0..2_000).collect();
    json!({ "list": list, "text": "x".repeat(1_000_000), "lists": vec![vec![1; 1_000]; 1_000] })
}
