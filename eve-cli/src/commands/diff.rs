//! `eve diff`: what `eve apply` would change, object by object and field by field. Writes nothing.
//!
//! What the plan wants gone is told too: whether it would be deleted, stays, or is not there. What cannot be told yet,
//! because its kind or namespace is still to come, is said to be so; what the cluster would refuse is shown, and is what
//! makes the command fail.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use eve_core::failure::{Failure, FailureClass};
use eve_core::few::few;
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Action, FailurePolicy, UndoRule};
use eve_core::ports::Step;
use eve_core::secret::{HashKey, PinnedSecrets, Secrets};
use eve_k8s::diff::{FieldChange, Shown};
use eve_k8s::{Difference, Followed, KubeExecutor};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::admit::{admit, leaving};
use super::foreseen::Foreseen;
use super::lines::{self, Line};
use super::or_json;
use crate::cli::{Diff, DiffOutput};
use crate::diagnose;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::{self, Checked};
use crate::output::{Printer, clean, count, left_over_json, left_over_words, object, style};
use crate::vault;
use crate::wiring::{self, DEFAULT_NAMESPACE, LeftOver};

/// What was found of one component.
type Finding = (ComponentId, Result<Foreseen, Failure>);

/// What was found.
struct Compared {
    graph: Arc<Graph>,
    findings: Vec<Finding>,
    /// What is of the plan, and not in the input.
    left: Vec<LeftOver>,
}

pub(super) fn run(args: &Diff, printer: &Printer) -> Result<Exit, Halt> {
    let result = compare(args, printer);
    or_json(result, (args.output, DiffOutput::Json), printer)
}

fn compare(args: &Diff, printer: &Printer) -> Result<Exit, Halt> {
    let namespace = wiring::namespace(&args.cluster);
    let default = namespace.as_ref().map_or_else(|_| DEFAULT_NAMESPACE.to_owned(), Clone::clone);
    let overrides = inputs::Overrides {
        on_failure: args.on_failure.map(FailurePolicy::from),
        taken: args.take_over.clone(),
        conflicts: inputs::Conflicts::of(args.force_conflicts),
        ..inputs::Overrides::default()
    };
    let checked = inputs::check(&args.input, default, &overrides)?;
    namespace?;
    let warnings = checked.plan.warnings();
    if !warnings.is_empty() && !printer.is_quiet() {
        printer.err(diagnose::render(&warnings, printer.colour()).trim_end());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Halt::error(Exit::Internal, format!("cannot start: {error}")))?;
    let result = runtime.block_on(on_cluster(args, checked, printer));
    // A signal ends the process as it is: nothing is written.
    runtime.shutdown_background();
    let Compared { graph, findings, left } = result?;
    let tally = Tally::of(&findings);
    match args.output {
        DiffOutput::Text => {
            let of_input = text(&graph, &findings, &tally);
            printer.out(&format!("{}{}", outside(&left), of_input.trim_end()));
        }
        DiffOutput::Json => {
            let mut compared = json(&graph, &findings, &tally);
            if let Some(compared) = compared.as_object_mut() {
                compared.insert("notInInput".to_owned(), left_over_json(&left));
            }
            printer.out(&compared.to_string());
        }
    }
    Ok(tally.exit(args.exit_code))
}

async fn on_cluster(args: &Diff, checked: Checked, printer: &Printer) -> Result<Compared, Halt> {
    let connected =
        wiring::connect(&args.cluster, &args.allow_namespaces, &args.allow_cluster_scoped).await?;
    let connected = admit(connected, &checked, &checked.graph)?;
    // Nothing is recorded here, so nobody sees a hash made with it.
    let key = HashKey::new(&[0; HashKey::BYTES]);
    let PinnedSecrets { values, .. } = vault::secrets(&args.vault, &checked.plan, None, &key).await?;
    let graph = checked.graph;
    let executor = Arc::new(connected.executor(&[], &args.take_over));
    leaving(&executor, &graph, Followed::ByNothing, printer).await?;
    let findings = findings(Arc::clone(&executor), (&graph, &values), args.concurrency).await?;
    let left = executor.left_over(&graph);
    Ok(Compared { graph, findings, left })
}

/// Looks at all objects that `eve apply` may write, in the order of the plan.
async fn findings(
    executor: Arc<KubeExecutor>,
    (graph, secrets): (&Arc<Graph>, &Secrets),
    concurrency: u32,
) -> Result<Vec<Finding>, Halt> {
    let slots = Arc::new(Semaphore::new(concurrency as usize));
    let mut tasks = JoinSet::new();
    for id in graph.ids().filter(|id| matches!(graph.node(*id).action(), Action::Apply | Action::Delete)) {
        let step = Step::new(RunId::new("diff"), Arc::clone(graph), id, Attempt::FIRST);
        let (executor, slots, secrets) = (Arc::clone(&executor), Arc::clone(&slots), secrets.clone());
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            (id, Foreseen::of(&executor, step, &secrets).await)
        });
    }
    let mut findings = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        findings.push(ended.map_err(|error| Halt::error(Exit::Internal, wiring::chain(&error)))?);
    }
    findings.sort_by_key(|(id, _)| *id);
    Ok(findings)
}

/// How many of each.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    create: usize,
    update: usize,
    replace: usize,
    unchanged: usize,
    delete: usize,
    /// To be gone, and not there.
    absent: usize,
    /// To be gone, and kept.
    kept: usize,
    unverified: usize,
    refused: usize,
    /// Of the refused, those that the cluster could not even judge.
    unreachable: usize,
}

impl Tally {
    fn of(findings: &[Finding]) -> Self {
        let mut tally = Self::default();
        for (_, found) in findings {
            match found {
                Ok(Foreseen::Wanted(Difference::None)) => tally.unchanged += 1,
                Ok(Foreseen::Wanted(Difference::Create)) => tally.create += 1,
                Ok(Foreseen::Wanted(Difference::Update(_))) => tally.update += 1,
                Ok(Foreseen::Wanted(Difference::Replace(_))) => tally.replace += 1,
                // What this version does not know is not known.
                Ok(Foreseen::Wanted(Difference::Unverified(_) | _)) => tally.unverified += 1,
                Ok(Foreseen::Deleted) => tally.delete += 1,
                Ok(Foreseen::Absent) => tally.absent += 1,
                Ok(Foreseen::Kept(_)) => tally.kept += 1,
                Err(failure) => {
                    tally.refused += 1;
                    tally.unreachable += usize::from(failure.class == FailureClass::Transient);
                }
            }
        }
        tally
    }

    fn exit(&self, exit_code: bool) -> Exit {
        if self.unreachable > 0 {
            Exit::Cluster
        } else if self.refused > 0 {
            Exit::Refused
        } else if exit_code && self.create + self.update + self.replace + self.delete + self.unverified > 0 {
            Exit::Failed
        } else {
            Exit::Succeeded
        }
    }

    fn text(&self) -> String {
        let mut text =
            format!("{} to create, {} to change, {} unchanged", self.create, self.update, self.unchanged);
        for (number, what) in [
            (self.replace, "to replace"),
            (self.delete, "to delete"),
            (self.absent, "not there"),
            (self.kept, "kept"),
            (self.unverified, "not verified"),
            (self.refused, "refused"),
        ] {
            if number > 0 {
                let _ = write!(text, ", {number} {what}");
            }
        }
        text
    }
}

fn text(graph: &Graph, findings: &[Finding], tally: &Tally) -> String {
    let mut text = String::new();
    for (id, found) in findings {
        let object = object(graph, *id);
        match found {
            Ok(found) => tell((&object, note(graph, *id)), found, &mut text),
            Err(failure) => tell_refusal(&object, failure, &mut text),
        }
    }
    for (stop, kept) in stops(graph, findings) {
        let kept: Vec<&str> = kept.iter().map(|id| graph.node(*id).name()).collect();
        let behind = if kept.is_empty() {
            String::new()
        } else {
            format!(", and leaves what it depends on: {}", few(kept))
        };
        let name = graph.node(stop).name();
        let _ =
            writeln!(text, "{}: a rollback stops at {name} (`undo: never`){behind}", style::warning("note"));
    }
    let _ = writeln!(text, "{} of {}", tally.text(), count(findings.len(), "object"));
    text
}

/// A line for each object that is not in the input, and that nothing is done with.
fn outside(left: &[LeftOver]) -> String {
    let line = |one: &LeftOver| {
        format!("{} {}  is not in the input, and stays\n", style::faint("="), left_over_words(one))
    };
    left.iter().map(line).collect()
}

/// A line for what would be done with an object, and one for each field; none where nothing would be done with what is
/// wanted.
fn tell((object, note): (&str, &str), found: &Foreseen, text: &mut String) {
    let line = match found {
        Foreseen::Wanted(Difference::None) => return,
        Foreseen::Wanted(Difference::Create) => format!("{} {object}{note}", style::good("+")),
        Foreseen::Wanted(Difference::Update(changes)) => {
            let note = if changes.is_empty() { "  (only what eve keeps for itself)" } else { "" };
            with_fields(format!("{} {object}{note}", style::warning("~")), changes)
        }
        Foreseen::Wanted(Difference::Replace(changes)) => {
            let why = if changes.is_empty() { "it failed" } else { "it cannot be changed in place" };
            let head = format!("{} {object}  to replace: {why}", style::warning("±"));
            with_fields(head, changes)
        }
        Foreseen::Wanted(Difference::Unverified(why)) => {
            format!("{} {object}  not verified: {}", style::hint("?"), clean(why))
        }
        Foreseen::Wanted(_) => format!("{} {object}  not verified", style::hint("?")),
        Foreseen::Deleted => format!("{} {object}  would be deleted", style::error("-")),
        Foreseen::Absent => format!("{} {object}  is not there", style::faint("=")),
        Foreseen::Kept(why) => format!("{} {object}  stays: {}", style::warning("="), clean(why)),
    };
    let _ = writeln!(text, "{line}");
}

/// What there is to say of an object that is to be made.
fn note(graph: &Graph, id: ComponentId) -> &'static str {
    let object = graph.node(id).spec().get("object").unwrap_or(&Value::Null);
    let is_job = object.get("kind").and_then(Value::as_str) == Some("Job");
    if is_job && object.pointer("/spec/ttlSecondsAfterFinished").is_some() {
        "  (its `ttlSecondsAfterFinished` removes it once it is through: each apply runs it again)"
    } else {
        ""
    }
}

fn with_fields(head: String, changes: &[FieldChange]) -> String {
    let lines = changes.iter().map(|change| format!("  {}", line(change)));
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

fn tell_refusal(object: &str, failure: &Failure, text: &mut String) {
    let _ = writeln!(text, "{} {object}  refused: {}", style::error("!"), clean(&failure.message));
    for note in &failure.notes {
        let _ = writeln!(text, "    {}", clean(note));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "    {}: {}", style::hint("hint"), clean(hint));
    }
}

/// What a rollback would leave by rule, were it to come after everything was done: each component that would be written
/// and says `undo: never`, with those that would be written and that it depends on, directly or over others.
fn stops(graph: &Graph, findings: &[Finding]) -> Vec<(ComponentId, Vec<ComponentId>)> {
    if !graph.may_be_rolled_back() {
        return Vec::new();
    }
    let written: BTreeSet<ComponentId> = findings
        .iter()
        .filter(|(_, found)| !found.as_ref().is_ok_and(Foreseen::is_nothing))
        .map(|(id, _)| *id)
        .collect();
    let is_stop = |id: &ComponentId| graph.node(*id).undo() == UndoRule::Never;
    let stops = written.iter().copied().filter(is_stop);
    stops.map(|stop| (stop, upstream(graph, stop).intersection(&written).copied().collect())).collect()
}

/// Everything that a component depends on.
fn upstream(graph: &Graph, of: ComponentId) -> BTreeSet<ComponentId> {
    let (mut found, mut open) = (BTreeSet::new(), vec![of]);
    while let Some(id) = open.pop() {
        for edge in graph.dependencies(id) {
            if found.insert(edge.component) {
                open.push(edge.component);
            }
        }
    }
    found
}

/// `+ path: new`, `- path: old`, `  path: old → new`; of texts of several lines the lines that differ.
fn line(change: &FieldChange) -> String {
    let path = clean(&change.path).into_owned();
    let path = path.as_str();
    match (&change.old, &change.new) {
        (Some(Shown::Hidden), Some(Shown::Hidden)) => format!("  {path}: changed"),
        (Some(Shown::Value(Value::String(old))), Some(Shown::Value(Value::String(new))))
            if old.contains('\n') || new.contains('\n') =>
        {
            let lines = lines::changed(old, new);
            lines
                .iter()
                .fold(format!("  {path}:"), |text, line| format!("{text}\n      {}", line_of_text(line)))
        }
        (Some(old), Some(new)) => {
            let (old, new) = lines::windows(&whole(old), &whole(new));
            format!("  {path}: {} → {}", clean(&old), clean(&new))
        }
        (None, Some(new)) => format!("{} {path}: {}", style::good("+"), value(new)),
        (old, None) => format!("{} {path}: {}", style::error("-"), old.as_ref().map_or(String::new(), value)),
    }
}

fn line_of_text(line: &Line) -> String {
    match line {
        Line::Same(text) => format!("  {}", clean(text)),
        Line::Old(text) => format!("{} {}", style::error("-"), clean(text)),
        Line::New(text) => format!("{} {}", style::good("+"), clean(text)),
        Line::Note(note) => style::faint(note).to_string(),
    }
}

fn value(shown: &Shown) -> String {
    clean(&lines::clipped(&whole(shown))).into_owned()
}

fn whole(shown: &Shown) -> String {
    match shown {
        Shown::Hidden => "***".to_owned(),
        Shown::Value(Value::String(text)) if is_plain(text) => text.clone(),
        Shown::Value(value) => value.to_string(),
    }
}

/// Whether a text can stand without quotes and still be told from a number or nothing.
fn is_plain(text: &str) -> bool {
    let is_word = text.starts_with(|c: char| c.is_alphabetic() || c == '/');
    is_word && !matches!(text, "true" | "false" | "null") && !text.contains(['\n', '"', '→'])
}

fn json(graph: &Graph, findings: &[Finding], tally: &Tally) -> Value {
    let objects: Vec<Value> = findings
        .iter()
        .map(|(id, found)| {
            let (difference, more) = match found {
                Ok(Foreseen::Wanted(Difference::None)) => ("none", json!({})),
                Ok(Foreseen::Wanted(Difference::Create)) => ("create", json!({})),
                Ok(Foreseen::Wanted(Difference::Update(changes))) => {
                    ("update", json!({ "changes": changes }))
                }
                Ok(Foreseen::Wanted(Difference::Replace(changes))) => {
                    ("replace", json!({ "changes": changes }))
                }
                Ok(Foreseen::Wanted(Difference::Unverified(why))) => ("unverified", json!({ "reason": why })),
                Ok(Foreseen::Wanted(_)) => ("unverified", json!({})),
                Ok(Foreseen::Deleted) => ("delete", json!({})),
                Ok(Foreseen::Absent) => ("absent", json!({})),
                Ok(Foreseen::Kept(why)) => ("kept", json!({ "reason": why })),
                Err(failure) => ("refused", json!({ "failure": failure })),
            };
            let mut object = json!({
                "component": graph.node(*id).name(), "object": object(graph, *id), "difference": difference,
            });
            if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
                object.extend(more);
            }
            object
        })
        .collect();
    let name = |id: ComponentId| graph.node(id).name();
    let stops = stops(graph, findings).into_iter().map(|(stop, kept)| {
        json!({ "component": name(stop), "leaves": kept.into_iter().map(name).collect::<Vec<_>>() })
    });
    let stops: Vec<Value> = stops.collect();
    json!({
        "type": "diff", "plan": graph.name(), "namespace": graph.namespace(), "objects": objects,
        "create": tally.create, "update": tally.update, "replace": tally.replace,
        "unchanged": tally.unchanged,
        "delete": tally.delete, "absent": tally.absent, "kept": tally.kept, "unverified": tally.unverified,
        "refused": tally.refused, "rollbackStops": stops,
    })
}

#[cfg(test)]
mod tests {
    use eve_k8s::diff::changes;

    use super::*;

    #[test]
    fn the_exit_code_tells_changes_only_when_asked_and_refusals_always() {
        let id = ComponentId::new(0);
        let refused = || Err(Failure::permanent("k8s.apply.conflict", "x"));
        let wanted = |difference| Ok(Foreseen::Wanted(difference));
        for (found, plain, asked) in [
            (wanted(Difference::None), Exit::Succeeded, Exit::Succeeded),
            (wanted(Difference::Create), Exit::Succeeded, Exit::Failed),
            (wanted(Difference::Update(Vec::new())), Exit::Succeeded, Exit::Failed),
            (wanted(Difference::Replace(Vec::new())), Exit::Succeeded, Exit::Failed),
            (wanted(Difference::Unverified(String::new())), Exit::Succeeded, Exit::Failed),
            (Ok(Foreseen::Deleted), Exit::Succeeded, Exit::Failed),
            (Ok(Foreseen::Absent), Exit::Succeeded, Exit::Succeeded),
            (Ok(Foreseen::Kept(String::new())), Exit::Succeeded, Exit::Succeeded),
            (refused(), Exit::Refused, Exit::Refused),
            (Err(Failure::transient("k8s.api.timeout", "x")), Exit::Cluster, Exit::Cluster),
        ] {
            let tally = Tally::of(&[(id, found)]);
            assert_eq!((tally.exit(false), tally.exit(true)), (plain, asked), "{tally:?}");
        }
    }

    #[test]
    fn values_are_told_apart_and_harmless() {
        let shown = |json: Value| value(&Shown::Value(json));
        for (json, text) in [
            (json!(3), "3"),
            (json!("3"), "\"3\""),
            (json!(""), "\"\""),
            (json!("true"), "\"true\""),
            (json!("web:1"), "web:1"),
            (json!({ "a": [1] }), "{\"a\":[1]}"),
            (json!("x\u{1b}[2J"), "x\\u{1b}[2J"),
        ] {
            assert_eq!(shown(json), text);
        }
        assert_eq!(shown(json!("x".repeat(1000))).chars().count(), lines::LINE_CHARS_MAX + 1);
        assert_eq!(value(&Shown::Hidden), "***");
    }

    #[test]
    fn a_change_in_a_long_value_is_seen_and_one_of_a_secret_is_not() {
        let change = |old: &str, new: &str| {
            let shown = |text: &str| Some(Shown::Value(json!(text)));
            let change = changes(&json!({ "data": { "a": old } }), &json!({ "data": { "a": new } }));
            assert_eq!((&change[0].old, &change[0].new), (&shown(old), &shown(new)));
            anstream::adapter::strip_str(&line(&change[0])).to_string()
        };
        let lines = |end: &str| format!("{}{end}\n", "x\n".repeat(300));
        assert_eq!(
            change(&lines("old"), &lines("new")),
            "  data.a:\n      … 298 lines are the same\n        x\n        x\n      - old\n      + new"
        );
        let long = |end: &str| format!("{}{end}", "x".repeat(1000));
        let shown = change(&long("old"), &long("new"));
        assert!(shown.contains("xold → …") && shown.ends_with("xnew"), "{shown}");
        let secret = |value: &str| json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": value } });
        let hidden = changes(&secret(&lines("old")), &secret(&lines("new")));
        assert_eq!(line(&hidden[0]), "  data.a: changed");
    }
}
