//! `eve get`: what is installed, from the labels of objects alone.

use std::collections::{BTreeMap, BTreeSet};

use eve_k8s::{Installed, Inventory, InventoryScope};
use serde_json::{Value, json};

use super::{drive, or_json, unseen};
use crate::cli::{self, Get, GetOutput, GetWhat};
use crate::duration::show_whole;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::{Printer, table};
use crate::wiring;

pub(super) fn run(args: &Get, printer: &Printer) -> Result<Exit, Halt> {
    let (installed, plan) = match &args.what {
        GetWhat::Plans(installed) => (installed, None),
        GetWhat::Components(components) => (&components.installed, components.plan.as_deref()),
    };
    let result = look(installed, plan).map(|inventory| {
        for line in unseen(&inventory).filter(|_| !printer.is_quiet()) {
            printer.err(&line);
        }
        let text = match (&args.what, installed.output) {
            (GetWhat::Plans(_), GetOutput::Text) => plans_table(&inventory, installed),
            (GetWhat::Plans(_), GetOutput::Json) => plans_json(&inventory).to_string(),
            (GetWhat::Components(_), GetOutput::Text) => components_table(&inventory, installed),
            (GetWhat::Components(_), GetOutput::Json) => components_json(&inventory).to_string(),
        };
        if text.is_empty() {
            printer.err("nothing is installed here");
        } else {
            printer.out(text.trim_end());
        }
        Exit::Succeeded
    });
    or_json(result, (installed.output, GetOutput::Json), printer)
}

fn look(args: &cli::Installed, plan: Option<&str>) -> Result<Inventory, Halt> {
    let namespace = match &args.namespace {
        Some(namespace) => namespace.clone(),
        None => wiring::namespace(&args.cluster)?,
    };
    drive::block_on(async {
        let connected = wiring::connect(&args.cluster, &[], &[]).await?;
        let scope = if args.all_namespaces {
            InventoryScope::Everywhere
        } else {
            InventoryScope::Namespace(&namespace)
        };
        connected.inventory(scope, plan).await
    })
}

/// One plan, wherever its objects lie.
#[derive(Default)]
struct Row<'a> {
    components: BTreeSet<&'a str>,
    objects: usize,
    adopted: usize,
    deleting: usize,
    /// When the first of its objects was made.
    created: &'a str,
}

fn plans(inventory: &Inventory) -> BTreeMap<(Option<&str>, &str), Row<'_>> {
    let mut rows: BTreeMap<_, Row<'_>> = BTreeMap::new();
    for object in &inventory.objects {
        let row = rows.entry((object.plan_namespace.as_deref(), object.plan.as_str())).or_default();
        row.components.insert(&object.component);
        row.objects += 1;
        row.adopted += usize::from(object.is_adopted);
        row.deleting += usize::from(object.deleting.is_some());
        // RFC 3339 in UTC orders as text.
        if row.created.is_empty() || object.created.as_str() < row.created {
            row.created = &object.created;
        }
    }
    rows
}

fn plans_table(inventory: &Inventory, args: &cli::Installed) -> String {
    let mut rows =
        vec![vec!["NAMESPACE", "NAME", "OBJECTS", "AGE", "NOTE"].into_iter().map(str::to_owned).collect()];
    for ((namespace, plan), row) in plans(inventory) {
        let notes = [(row.adopted, "adopted"), (row.deleting, "being deleted")];
        let notes = notes.iter().filter(|(number, _)| *number > 0);
        let notes: Vec<String> = notes.map(|(number, what)| format!("{number} {what}")).collect();
        rows.push(vec![
            namespace.unwrap_or("?").to_owned(),
            plan.to_owned(),
            row.objects.to_string(),
            age(row.created),
            notes.join(", "),
        ]);
    }
    aligned(rows, args)
}

fn plans_json(inventory: &Inventory) -> Value {
    let plans = plans(inventory).into_iter().map(|((namespace, plan), row)| {
        json!({
            "name": plan, "namespace": namespace, "components": row.components, "objects": row.objects,
            "adopted": row.adopted, "deleting": row.deleting, "created": row.created,
        })
    });
    json!({ "type": "plans", "plans": plans.collect::<Vec<_>>(), "unseen": inventory.unseen })
}

fn components_table(inventory: &Inventory, args: &cli::Installed) -> String {
    let head = ["NAMESPACE", "PLAN", "COMPONENT", "OBJECT", "AGE", "NOTE"];
    let mut rows = vec![head.into_iter().map(str::to_owned).collect()];
    for object in &inventory.objects {
        rows.push(vec![
            object.namespace.clone().unwrap_or_else(|| "<cluster>".to_owned()),
            object.plan.clone(),
            object.component.clone(),
            format!("{}/{}", object.kind.to_lowercase(), object.name),
            age(&object.created),
            note(object),
        ]);
    }
    aligned(rows, args)
}

fn components_json(inventory: &Inventory) -> Value {
    let objects = inventory.objects.iter().map(|object| {
        json!({
            "namespace": object.namespace, "plan": object.plan, "planNamespace": object.plan_namespace, "component": object.component,
            "apiVersion": object.api_version, "kind": object.kind, "name": object.name,
            "created": object.created, "adopted": object.is_adopted, "keep": object.keep,
            "deleting": object.deleting,
        })
    });
    json!({ "type": "components", "components": objects.collect::<Vec<_>>(), "unseen": inventory.unseen })
}

fn note(object: &Installed) -> String {
    let notes = [
        object.deleting.as_ref().map(|_| "being deleted"),
        object.is_adopted.then_some("adopted"),
        object.keep.as_ref().map(|_| "kept"),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// How long ago that was; `?` where it cannot be told.
fn age(created: &str) -> String {
    let Ok(created) = created.parse::<jiff::Timestamp>() else { return "?".to_owned() };
    let now = i128::from(eve_core::ports::Clock::now(&eve_core::driver::SystemClock::new()).as_micros());
    let micros = now - i128::from(created.as_microsecond());
    show_whole(std::time::Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}

/// The namespace only where there are several; nothing where there are no rows.
fn aligned(mut rows: Vec<Vec<String>>, args: &cli::Installed) -> String {
    if rows.len() == 1 {
        return String::new();
    }
    if !args.all_namespaces {
        for row in &mut rows {
            row.remove(0);
        }
    }
    table(rows)
}
