//! The reference of expressions, for `docs/reference/expressions.md`: the tables are made from what the code has.

use std::fmt::Write as _;

use super::limits::{Budget, DEPTH_MAX, EXPRESSION_BYTES_MAX, LOOPS_MAX, RESULT_BYTES_MAX};
use super::names::Root;

const HEAD: &str = "# Expressions

Generated from `eve-core/src/expr/reference.rs`; do not edit.

`${{ … }}` in any string of a component of a plan is an expression in [CEL](https://cel.dev), the language that
Kubernetes uses in admission policies. A string that is one expression and nothing else takes the type of its value; else
numbers, booleans and texts stand in the string where the expression stood. Values are data: what looks like an expression
in one is text. `$${{` stands for the characters `${{`.

Keys hold no expressions, and neither does the `name` of a component. In plain manifests, and in the files that a plan
lists, nothing is an expression. `readyWhen` and `outputs` are expressions as they stand, without `${{ }}`.

What needs only `inputs`, `plan` and `cluster` is rendered before anything else looks at the plan. The rest may stand in
what a kind says (`manifests`, …), not in general fields, and not in what makes an object the one it is: `apiVersion`,
`kind`, `metadata.name`, `metadata.namespace`. It is rendered when its component's turn comes; until then `eve diff` cannot
tell what would change. A component whose expressions name another waits until that is ready, as with `dependsOn`.

Every name is checked before anything is written: an input, secret, component or output that does not exist is an error
with its place.

";

const NAMES: &str = "
`inputs` are declared with their values under `spec.inputs`. `--inputs FILE` and `--set NAME=VALUE` of the command line
give others, and must give those that have none. A value of `--set` is read as a YAML scalar, or as text where the plan's
own value is a text. Inputs are recorded with the run: they are no place for secrets.

`secrets` are declared under `spec.secrets`, each with its place: `BACKEND:PLACE`, for example `vault:shop/db#password`. Of
Kubernetes objects only the values of `stringData` of a `Secret` may hold one.

A component whose name is no identifier is written in brackets: `components['my-db'].host`. Which component is meant must
be written out; `components[inputs.x]` is an error.

## Outputs

A component of kind `manifests` puts out what its `outputs` say, expressions on the live object once it is ready. With
several objects each says which one is meant:

```yaml
outputs:
  host: { object: Service/db, value: \"self.metadata.name + '.' + self.metadata.namespace\" }
```

A Service or Ingress with a load balancer puts out its `address` by itself. Outputs are stored with the run, at most 16 KiB
a component; of a `Secret` only its name, namespace, uid, labels and type can be put out. A component that is only waited
for until it is applied has no outputs.

## Conditions

`readyWhen` of a component with one object must hold, besides what its kind says, before the component counts as ready.
While a field is absent that it speaks of, it does not hold yet; a wrong type ends the component with an error.

## Functions

Operators are those of CEL: `+ - * / %`, `== != < <= > >=`, `&& || !`, `in`, `? :`, `[ ]`, `.`; so are `has(x.y)` and the
loops `all`, `exists`, `exists_one`, `map` and `filter`. Values are those of JSON: there are no bytes, times and unsigned
numbers, and a whole number with one that has a point gives one that has a point. There is no function that reads a clock, an
environment, a file or a network.

| function | gives |
|---|---|
";

/// The whole page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("## Names\n\n| name | what it is | where |\n|---|---|---|\n");
    for root in Root::ALL {
        let (what, place) = about(root);
        let _ = writeln!(page, "| `{}` | {what} | {place} |", root.name());
    }
    page.push_str(NAMES);
    for function in super::functions() {
        let _ = writeln!(page, "| `{}` | {} |", function.signature, function.about);
    }
    page.push_str("\n## Limits\n\n| what | at most |\n|---|---|\n");
    let mib = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
    for (what, most) in [
        ("bytes of an expression", EXPRESSION_BYTES_MAX.to_string()),
        ("levels of its tree; each operator of a chain is one", DEPTH_MAX.to_string()),
        ("loops within each other", LOOPS_MAX.to_string()),
        ("bytes of a result", mib(RESULT_BYTES_MAX as u64)),
        ("steps of one expression, and bytes of the values that it makes", cost(Budget::EXPRESSION)),
        ("the same, all expressions of a component together", cost(Budget::COMPONENT)),
        ("the same, all of a plan before it runs", cost(Budget::PLAN)),
    ] {
        let _ = writeln!(page, "| {what} | {most} |");
    }
    page.push_str("\nA step is one operation, one item compared, or 32 bytes searched.\n");
    page
}

fn cost(budget: Budget) -> String {
    format!("{} steps, {} MiB", budget.steps, budget.bytes / 1024 / 1024)
}

const fn about(root: Root) -> (&'static str, &'static str) {
    match root {
        Root::Inputs => ("`inputs.NAME`: a value of the plan", "everywhere"),
        Root::Secrets => ("`secrets.NAME`: the value of a secret, in memory only", "in what a kind says"),
        Root::Components => {
            ("`components.NAME.OUTPUT`: what another component puts out", "in what a kind says")
        }
        Root::Plan => ("`plan.name`, `plan.namespace`", "everywhere"),
        Root::Run => (
            "`run.id`: another one in each run, so what holds it is written each time",
            "in what a kind says",
        ),
        Root::Cluster => ("`cluster.name`: as `spec.cluster` states it", "everywhere"),
        Root::Itself => ("the live object", "in `readyWhen` and `outputs`"),
    }
}
