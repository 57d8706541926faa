//! `eve delete`: the graph of an input, or of what is there of a plan, turned round and driven.
//!
//! With files nobody is asked, as with `kubectl delete -f`. What is found by labels is shown before it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use eve_core::ids::{Attempt, RunId};
use eve_core::plan::graph::Graph;
use eve_core::plan::{FailurePolicy, Plan, reversed};
use eve_core::ports::Step;
use eve_core::secret::PinnedSecrets;
use eve_k8s::{Adopted, Installed, Inventory, KubeExecutor};
use eve_store::{RunFile, RunSource};
use serde_json::Value;

use super::admit::admit;
use super::drive::{self, Deadline, Limits, Place, Task, Work};
use super::{or_json, unseen, warn};
use crate::cli::{ApplyOutput, Delete, Input};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::{self, Checked, Overrides};
use crate::journal::{self, Call, Origin};
use crate::output::{Printer, clean, count};
use crate::signals::Signals;
use crate::sketch::Specs;
use crate::wiring::{self, Connected, DEFAULT_NAMESPACE};

/// Kinds whose objects hold others, which may keep them.
const CONTAINERS: [&str; 2] = ["Namespace", "CustomResourceDefinition"];

/// Why something stays, by its kind and name: it is an object of the cluster.
type Occupied = BTreeMap<(String, String), String>;

pub(super) fn run(args: &Delete, arguments: Vec<String>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let result = match &args.plan {
        Some(plan) => by_labels(args, plan, arguments, printer),
        None => by_files(args, arguments, printer),
    };
    or_json(result, (args.output, ApplyOutput::Json), printer)
}

/// The same run of the same graph, from its journal on.
pub(super) fn resume(args: &Delete, file: Box<RunFile>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    if args.plan.is_none() {
        let checked = inputs::check(&input(args), file.header().namespace.clone(), &Overrides::default())?;
        let graph = turned(args, &checked.plan)?;
        journal::is_of(&file, &graph)?;
        return drive::block_on(on_cluster(args, printer, (&checked, graph), Origin::Journal(file)));
    }
    // What was installed then is in the journal; what is installed now is what is left of it.
    let graph = journal::sketched(file.header())?;
    journal::is_of(&file, &graph)?;
    drive::block_on(async {
        let mut signals = drive::signals()?;
        let limits = limits(args);
        let reading = Box::pin(limits.deadline.hold(connect(args)));
        let connected = drive::unless_stopped(&mut signals, reading).await?;
        remove(args, printer, (connected, graph), Origin::Journal(file), (limits, signals)).await
    })
}

fn input(args: &Delete) -> Input {
    Input {
        filenames: args.filenames.clone(),
        recursive: args.recursive,
        helm_hooks: args.helm_hooks,
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        values: args.values.clone(),
    }
}

fn by_files(args: &Delete, arguments: Vec<String>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let namespace = wiring::namespace(&args.cluster);
    let default = namespace.as_ref().map_or_else(|_| DEFAULT_NAMESPACE.to_owned(), Clone::clone);
    let checked = inputs::check(&input(args), default, &Overrides::default())?;
    namespace?;
    warn(&checked.plan, printer);
    let graph = turned(args, &checked.plan)?;
    let sources = journal::sources(&args.filenames)?;
    let call = Call { verb: "delete", arguments, sources, specs: Specs::Left };
    drive::block_on(on_cluster(args, printer, (&checked, graph), Origin::Call(call)))
}

async fn on_cluster(
    args: &Delete,
    printer: &Arc<Printer>,
    (checked, graph): (&Checked, Graph),
    origin: Origin,
) -> Result<Exit, Halt> {
    let mut signals = drive::signals()?;
    let limits = limits(args);
    let reading = Box::pin(limits.deadline.hold(preflight(args, checked, &graph)));
    let connected = drive::unless_stopped(&mut signals, reading).await?;
    remove(args, printer, (connected, Arc::new(graph)), origin, (limits, signals)).await
}

/// The run itself, once it is known what goes.
async fn remove(
    args: &Delete,
    printer: &Arc<Printer>,
    (connected, graph): (Connected, Arc<Graph>),
    origin: Origin,
    (limits, mut signals): (Limits, Signals),
) -> Result<Exit, Halt> {
    let asking = Box::pin(limits.deadline.hold(connected.identity().found()));
    let identity = drive::unless_stopped(&mut signals, asking).await?;
    let place = Place { server: connected.server(), identity: identity.as_deref() };
    let journal = drive::journal(origin, &args.cluster, place, &graph, &mut signals).await?;
    let work = Work {
        graph,
        objects: connected.deleter(adopted(args)),
        journal,
        secrets: none(),
        task: Task::Delete,
    };
    drive::run(&limits, printer, work, &mut signals).await
}

fn by_labels(
    args: &Delete,
    plan: &str,
    arguments: Vec<String>,
    printer: &Arc<Printer>,
) -> Result<Exit, Halt> {
    let namespace = match &args.namespace {
        Some(namespace) => namespace.clone(),
        None => wiring::namespace(&args.cluster)?,
    };
    drive::block_on(async {
        let mut signals = drive::signals()?;
        let limits = limits(args);
        let reading = Box::pin(limits.deadline.hold(found(args, (plan, &namespace), printer)));
        let (connected, graph) = drive::unless_stopped(&mut signals, reading).await?;
        let call =
            Call { verb: "delete", arguments, sources: vec![RunSource::Installed], specs: Specs::Kept };
        let found = (connected, graph);
        remove(args, printer, found, Origin::Call(call), (limits, signals)).await
    })
}

/// Looks for what there is of the plan, and says what will go.
async fn found(
    args: &Delete,
    (plan, namespace): (&str, &str),
    printer: &Printer,
) -> Result<(Connected, Arc<Graph>), Halt> {
    let connected = connect(args).await?;
    let inventory = connected.inventory_of(namespace, plan).await?;
    let installed = connected.plan_of(&inventory, (plan, namespace)).await?;
    let graph = Arc::new(turned(args, &installed)?);
    if !printer.is_quiet() {
        let occupied = occupied(&connected.deleter(adopted(args)), &graph).await;
        printer.err(&announcement(&inventory, (plan, namespace), adopted(args), &occupied));
    }
    Ok((connected, graph))
}

/// What stays because of what it holds, and why. What cannot be told now is found out when it is to go.
async fn occupied(executor: &KubeExecutor, graph: &Arc<Graph>) -> Occupied {
    let mut occupied = Occupied::new();
    for id in graph.ids().filter(|id| !graph.node(*id).action().is_join()) {
        let step = Step::new(RunId::new("delete"), Arc::clone(graph), id, Attempt::FIRST);
        let text = |pointer: &str| graph.node(id).spec().pointer(pointer).and_then(Value::as_str);
        let (Some(kind), Some(name)) = (text("/object/kind"), text("/object/metadata/name")) else {
            continue;
        };
        if CONTAINERS.contains(&kind)
            && let Ok(Some(why)) = executor.stays_occupied(&step).await
        {
            occupied.insert((kind.to_owned(), name.to_owned()), why);
        }
    }
    occupied
}

fn announcement(
    inventory: &Inventory,
    (plan, namespace): (&str, &str),
    adopted: Adopted,
    occupied: &Occupied,
) -> String {
    let mut lines: Vec<String> = unseen(inventory).collect();
    let objects = count(inventory.objects.len(), "object");
    lines.push(format!("plan {} in namespace {}: {objects}", clean(plan), clean(namespace)));
    if inventory.objects.is_empty()
        && let Some(line) = lines.last_mut()
    {
        line.push_str(": nothing of it is there");
    }
    for object in &inventory.objects {
        let stays = object.keep.is_some() || (object.is_adopted && adopted == Adopted::Keep);
        let why = occupied.get(&(object.kind.clone(), object.name.clone())).filter(|_| !stays);
        let fate = if stays || why.is_some() { "stays" } else { "goes" };
        let why = why.map(|why| format!(": {}", clean(why))).unwrap_or_default();
        lines.push(format!("  {fate}  {}{why}", clean(&words(object))));
    }
    lines.join("\n")
}

fn words(object: &Installed) -> String {
    match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    }
}

/// What is removed needs no secrets, whatever they were when it was made.
fn none() -> PinnedSecrets {
    PinnedSecrets::default()
}

fn adopted(args: &Delete) -> Adopted {
    if args.adopted { Adopted::Delete } else { Adopted::Keep }
}

fn limits(args: &Delete) -> Limits {
    let (deadline, no_progress) = (Deadline::of(args.timeout), args.no_progress_timeout);
    Limits { deadline, no_progress, concurrency: args.concurrency, output: args.output }
}

/// The graph that removes what the plan builds.
fn turned(args: &Delete, plan: &dyn Plan) -> Result<Graph, Halt> {
    let policy = args.on_failure.map_or_else(|| plan.on_failure(), FailurePolicy::from);
    Graph::from_plan(&reversed(plan).on_failure(policy)).map_err(|problems| {
        let problems = problems.into_iter().map(|problem| problem.message).collect();
        Halt::error(Exit::Refused, "what is to be removed makes no plan").with_notes(problems)
    })
}

async fn connect(args: &Delete) -> Result<Connected, Halt> {
    wiring::connect(&args.cluster, &args.allow_namespaces, &args.allow_cluster_scoped).await
}

/// Everything that may not be touched. Neither a missing namespace nor an unknown kind is in the way: what is in them is
/// gone already.
async fn preflight(args: &Delete, checked: &Checked, graph: &Graph) -> Result<Connected, Halt> {
    let connected = connect(args).await?;
    admit(connected, checked, graph)
}
