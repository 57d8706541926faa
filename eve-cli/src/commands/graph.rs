//! `eve graph`: the components of an input, what waits for what, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use eve_core::kind::EdgeSource;
use eve_core::plan::Until;
use eve_core::plan::diagnostic::Source;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::{Loaded, LoadedEdge};
use petgraph::dot::{Config, Dot};
use petgraph::graph::{DiGraph, EdgeReference, NodeIndex};
use petgraph::visit::EdgeRef;
use serde_json::{Value, json};

use crate::cli::{self, GraphOutput};
use crate::diagnose;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::{self, Checked, Overrides};
use crate::outline::{Detail, Item, Link, Outline, REDUCE_NODES_MAX};
use crate::output::{Printer, clean, count};
use crate::wiring;

pub(super) fn run(args: &cli::Graph, printer: &Printer) -> Result<Exit, Halt> {
    let Checked { plan, graph } =
        inputs::check(&args.input, wiring::offline_namespace(), &Overrides::default())?;
    let warnings = plan.warnings();
    if !warnings.is_empty() {
        printer.err(diagnose::render(&warnings, printer.colour()).trim_end());
    }
    let why = Why::of(&plan);
    let detail = if args.parts { Detail::Parts } else { Detail::Components };
    let mut outline = Outline::of(&graph, detail);
    let nodes = outline.picture.node_count();
    if args.reduce && nodes > REDUCE_NODES_MAX {
        let message = format!("--reduce takes at most {REDUCE_NODES_MAX} components, here are {nodes}");
        return Err(Halt::error(Exit::Refused, message));
    }
    if args.reduce {
        outline.reduce();
    }
    let text = match args.output {
        GraphOutput::Text => text(&graph, &outline, &why),
        GraphOutput::Dot => dot(&outline, &why),
        GraphOutput::Mermaid => mermaid(&outline, &why),
        GraphOutput::Json => json(&graph, &outline, &why),
    };
    printer.out(text.trim_end());
    Ok(Exit::Succeeded)
}

/// Where edges come from, by their ends: what waits, what it waits for.
struct Why<'a> {
    edges: BTreeMap<(&'a str, &'a str), LoadedEdge<'a>>,
    sources: &'a [Source],
}

impl<'a> Why<'a> {
    fn of(plan: &'a Loaded) -> Self {
        let mut edges = BTreeMap::new();
        for edge in plan.edges() {
            edges.entry((edge.component(), edge.dependency().component.as_str())).or_insert(edge);
        }
        Self { edges, sources: plan.sources() }
    }

    fn edge(&self, link: Link<'_>) -> Option<LoadedEdge<'a>> {
        self.edges.get(&link.ends).copied()
    }

    /// The rule, in one word; empty for what holds the parts of a component together.
    fn rule(&self, link: Link<'_>) -> &'static str {
        self.edge(link).map_or("", |edge| match edge.source() {
            EdgeSource::Written => edge.rule().unwrap_or("dependsOn"),
            EdgeSource::Inferred => edge.rule().unwrap_or_default(),
            EdgeSource::Structure => "",
        })
    }

    /// File and line.
    fn line(&self, link: Link<'_>) -> Option<(&'a str, usize)> {
        let place = self.edge(link)?.place()?;
        Some((self.sources.get(place.source)?.name(), place.line))
    }

    /// `configuration, web.yaml:12`
    fn words(&self, link: Link<'_>) -> String {
        let rule = self.rule(link).to_owned();
        match self.line(link) {
            Some((file, number)) => format!("{rule}, {}:{number}", clean(file)),
            None => rule,
        }
    }
}

fn text(graph: &Graph, outline: &Outline<'_>, why: &Why<'_>) -> String {
    let mut text = format!(
        "plan {}, namespace {}: {}, {}\n",
        graph.name(),
        graph.namespace(),
        count(outline.components(), "component"),
        count(outline.picture.edge_count(), "edge"),
    );
    for node in outline.order() {
        let Some(item) = outline.picture.node_weight(node) else { continue };
        let _ = writeln!(text, "  {}", item.name);
        for (name, link) in outline.dependencies(node) {
            let until = match link.until {
                Until::Ready => "",
                Until::Applied => " (applied)",
            };
            let _ = write!(text, "    after {name}{until}");
            match why.words(link).as_str() {
                "" => text.push('\n'),
                words => drop(writeln!(text, ": {words}")),
            }
        }
    }
    text
}

fn dot(outline: &Outline<'_>, why: &Why<'_>) -> String {
    type Picture<'a> = DiGraph<Item<'a>, Link<'a>>;
    let edge = |_: &Picture<'_>, edge: EdgeReference<'_, Link<'_>>| {
        let mut attributes = format!("label={}", quoted(why.rule(*edge.weight())));
        if edge.weight().until == Until::Applied {
            attributes.push_str(" style=dashed");
        }
        if let Some((file, line)) = why.line(*edge.weight()) {
            let _ = write!(attributes, " tooltip={}", quoted(&format!("{}:{line}", clean(file))));
        }
        attributes
    };
    let name = |_: &Picture<'_>, (_, item): (NodeIndex, &Item<'_>)| format!("label={}", quoted(item.name));
    let config = [Config::EdgeNoLabel, Config::NodeNoLabel];
    format!("{:?}", Dot::with_attr_getters(&outline.picture, &config, &edge, &name))
}

/// A text in the language of Graphviz.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn mermaid(outline: &Outline<'_>, why: &Why<'_>) -> String {
    let mut text = String::from("flowchart TD\n");
    for (index, item) in outline.picture.node_weights().enumerate() {
        let _ = writeln!(text, "    c{index}[\"{}\"]", item.name);
    }
    for edge in outline.picture.edge_references() {
        let arrow = match edge.weight().until {
            Until::Ready => "-->",
            Until::Applied => "-.->",
        };
        let label = match why.rule(*edge.weight()) {
            "" => String::new(),
            rule => format!("|\"{rule}\"|"),
        };
        let _ = writeln!(text, "    c{} {arrow}{label} c{}", edge.source().index(), edge.target().index());
    }
    text
}

fn json(graph: &Graph, outline: &Outline<'_>, why: &Why<'_>) -> String {
    let waits = |(name, link): &(&str, Link<'_>)| {
        let source = why.edge(*link).map(|edge| match edge.source() {
            EdgeSource::Written => "written",
            EdgeSource::Inferred => "inferred",
            EdgeSource::Structure => "structure",
        });
        let rule = Some(why.rule(*link)).filter(|rule| !rule.is_empty());
        let (file, line) = why.line(*link).unzip();
        json!({
            "component": name, "until": link.until,
            "origin": { "source": source, "rule": rule, "file": file, "line": line },
        })
    };
    let components = outline.picture.node_indices().filter_map(|node| {
        let item = outline.picture.node_weight(node)?;
        let after: Vec<Value> = outline.dependencies(node).iter().map(waits).collect();
        Some(json!({ "name": item.name, "kind": item.kind, "parts": item.parts, "dependsOn": after }))
    });
    json!({
        "plan": graph.name(), "namespace": graph.namespace(), "components": components.collect::<Vec<_>>(),
    })
    .to_string()
}
