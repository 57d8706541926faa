//! `eve validate`: every problem of an input, without a cluster.

use super::admit::refused;
use super::warn;
use crate::cli::Validate;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::{self, Checked, Overrides};
use crate::outline::{Detail, Outline};
use crate::output::{Printer, count};
use crate::wiring;

pub(super) fn run(args: &Validate, printer: &Printer) -> Result<Exit, Halt> {
    let Checked { plan, graph } =
        inputs::check(&args.input, wiring::offline_namespace(), &Overrides::default())?;
    if !plan.misplaced_secrets().is_empty() {
        return Err(Halt::problems(plan.diagnostics(plan.misplaced_secrets().to_vec())));
    }
    let (namespaces, kinds) = (&args.allow_namespaces, &args.allow_cluster_scoped);
    refused(&plan, &wiring::preflight_offline(&graph, namespaces, kinds))?;
    warn(&plan, printer);
    let outline = Outline::of(&graph, Detail::Components);
    let parts: usize = outline.picture.node_weights().map(|item| item.parts).sum();
    let components = count(outline.components(), "component");
    let of_parts = match parts {
        _ if parts == outline.components() => String::new(),
        _ => format!(" of {}", count(parts, "part")),
    };
    printer.out(&format!(
        "valid: {components}{of_parts}, {} (plan {}, namespace {})",
        count(outline.picture.edge_count(), "edge"),
        graph.name(),
        graph.namespace(),
    ));
    Ok(Exit::Succeeded)
}
