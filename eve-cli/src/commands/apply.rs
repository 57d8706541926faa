//! `eve apply`: everything that can refuse does so before the first write; then the run is driven and shown.
//!
//! Order: read and check the input while connecting and asking what the cluster serves, check what may be touched, ask for
//! secrets, create the namespace if that is wanted, run. Each stage reports all of its problems. The journal is begun beside all
//! that, as soon as the input and the address of the cluster are known; where the run is refused, nothing of it stays.

use std::cell::OnceCell;
use std::pin::pin;
use std::sync::Arc;

use eve_core::plan::FailurePolicy;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::run::{Event, RunStart};
use eve_core::secret::PinnedSecrets;
use eve_k8s::{Followed, KubeExecutor};
use eve_store::RunFile;

use super::admit::{admit, leaving, refusal};
use super::drive::{self, Beginning, Deadline, Limits, Place, Task, Work};
use super::{or_json, warn, warn_of_request};
use crate::cli::{Apply, ApplyOutput};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::{self, Checked, Conflicts, Overrides};
use crate::journal::{self, Call, Origin};
use crate::output::Printer;
use crate::signals::Signals;
use crate::sketch::Specs;
use crate::vault;
use crate::wiring::{self, Connected, DEFAULT_NAMESPACE};

pub(super) fn run(args: &Apply, arguments: Vec<String>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let result = deploy(args, arguments, printer);
    or_json(result, (args.output, ApplyOutput::Json), printer)
}

fn deploy(args: &Apply, arguments: Vec<String>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let namespace = wiring::namespace(&args.cluster);
    // The input is judged first, even where the kubeconfig is of no use: both can be mended at once.
    let default = namespace.as_ref().map_or_else(|_| DEFAULT_NAMESPACE.to_owned(), Clone::clone);
    let (input, overrides) = (args.input.clone(), overrides(args));
    drive::block_on(async {
        let (mut signals, mut begun) = (drive::signals()?, None);
        let checking = drive::apart(move || inputs::check(&input, default, &overrides));
        let call = journal::sources(&args.input.filenames).map(|sources| Call {
            verb: "apply",
            arguments,
            sources,
            specs: Specs::Left,
        });
        let applying = Box::pin(async {
            let reading = Box::pin(while_connecting(args, checking, (call.as_ref().ok(), &mut begun)));
            let (checked, connected) = drive::unless_stopped(&mut signals, reading).await?;
            namespace?;
            warn(&checked.plan, printer);
            warn_of_request(&checked.plan, printer);
            let origin = Origin::Call(call?);
            let prepared =
                Prepared { checked, connected: connected?, signals: &mut signals, begun: &mut begun };
            Box::pin(on_cluster(args, printer, prepared, origin)).await
        });
        let applied = applying.await;
        if let Some(begun) = begun {
            begun.forget(&mut signals).await;
        }
        applied
    })
}

/// The same run of the same plan, from its journal on.
pub(super) fn resume(args: &Apply, mut file: Box<RunFile>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let namespace = file.header().namespace.clone();
    let checked = inputs::check(&args.input, namespace, &overrides(args))?;
    journal::is_of(&file, &checked.graph)?;
    drive::block_on(async {
        let mut signals = drive::signals()?;
        let connected =
            drive::unless_stopped(&mut signals, Box::pin(connect(args, &OnceCell::new()))).await?;
        // Before anything else of another cluster is in the way.
        let deadline = Deadline::of(args.timeout);
        let asking = Box::pin(deadline.hold(connected.identity().found()));
        let identity = drive::unless_stopped(&mut signals, asking).await?;
        let place = Place { server: connected.server(), identity: identity.as_deref() };
        drive::is_at(&mut file, place)?;
        let prepared = Prepared { checked, connected, signals: &mut signals, begun: &mut None };
        Box::pin(on_cluster(args, printer, prepared, Origin::Journal(file))).await
    })
}

/// What is needed before anything of the plan is looked for.
struct Prepared<'a> {
    checked: Checked,
    connected: Connected,
    signals: &'a mut Signals,
    /// The journal, where that was begun already.
    begun: &'a mut Option<Beginning>,
}

/// The checked input, and the cluster, which is connected to meanwhile. An input that is refused waits for no cluster; of one
/// that is not, the journal is begun while the cluster is still asked.
async fn while_connecting(
    args: &Apply,
    checking: impl Future<Output = Result<Checked, Halt>>,
    (call, begun): (Option<&Call>, &mut Option<Beginning>),
) -> Result<(Checked, Result<Connected, Halt>), Halt> {
    let server = OnceCell::new();
    let (mut checking, mut connecting) = (pin!(checking), pin!(connect(args, &server)));
    let mut connected = None;
    let checked = loop {
        tokio::select! {
            checked = &mut checking => break checked?,
            early = &mut connecting, if connected.is_none() => connected = Some(early),
        }
    };
    if let (Some(call), Some(server), None | Some(Ok(_))) = (call, server.get(), &connected) {
        *begun = Some(Beginning::of(call.clone(), &args.cluster, server, &checked.graph));
    }
    let connected = match connected {
        Some(connected) => connected,
        None => connecting.await,
    };
    Ok((checked, connected))
}

/// The cluster; its address stands in `server` before it is asked anything.
async fn connect(args: &Apply, server: &OnceCell<String>) -> Result<Connected, Halt> {
    // Nobody else sets it.
    let tell = |address: &str| drop(server.set(address.to_owned()));
    let (namespaces, kinds) = (&args.allow_namespaces, &args.allow_cluster_scoped);
    let connecting = wiring::connect_telling(&args.cluster, namespaces, kinds, tell);
    Deadline::of(args.timeout).hold(connecting).await
}

fn overrides(args: &Apply) -> Overrides {
    Overrides {
        on_failure: args.on_failure.map(FailurePolicy::from),
        waived: args.waived.clone(),
        taken: args.take_over.clone(),
        conflicts: Conflicts::of(args.force_conflicts),
    }
}

async fn on_cluster(
    args: &Apply,
    printer: &Arc<Printer>,
    prepared: Prepared<'_>,
    origin: Origin,
) -> Result<Exit, Halt> {
    let Prepared { checked, connected, signals, begun } = prepared;
    let connected = admit(connected, &checked, &checked.graph)?;
    // Beside all that is asked before the journal is needed.
    let identity = connected.identity();
    // The deadline of the run holds for what comes before it as well.
    let deadline = Deadline::of(args.timeout);
    let graph = checked.graph;
    let executor = connected.executor(&args.graces, &args.take_over);
    let namespace = graph.namespace();
    if !args.create_namespace && !inputs::defines_namespace(&graph, namespace) {
        let asking = Box::pin(deadline.hold(connected.has_namespace(&executor, &graph)));
        if !drive::unless_stopped(signals, asking).await? {
            let message = format!("the namespace `{namespace}` does not exist");
            let hint = "create it with `--create-namespace`, or choose another with `-n`".to_owned();
            return Err(Halt::error(Exit::Refused, message).with_hint(hint));
        }
    }
    let asking = deadline.hold(secrets(args, (&executor, &checked.plan, &graph), &origin));
    let secrets = drive::unless_stopped(signals, Box::pin(asking)).await?;
    if let Origin::Call(_) = origin {
        let asking = deadline.hold(leaving(&executor, &graph, Followed::ByRun, printer));
        drive::unless_stopped(signals, Box::pin(asking)).await?;
    }
    let identity = drive::unless_stopped(signals, Box::pin(deadline.hold(identity.found()))).await?;
    let identity = identity.as_deref();
    let journal = if let Some(begun) = begun.take() {
        begun.claimed(identity, signals).await?
    } else {
        let place = Place { server: connected.server(), identity };
        drive::journal(origin, &args.cluster, place, &graph, signals).await?
    };
    if args.create_namespace {
        let creating = deadline.hold(connected.create_namespace(namespace));
        if let Err(halt) = make_namespace(printer, namespace, creating, signals).await {
            journal::discard(journal);
            return Err(halt);
        }
    }
    let no_progress = args.no_progress_timeout;
    let limits = Limits { deadline, no_progress, concurrency: args.concurrency, output: args.output };
    let work = Work { graph: Arc::clone(&graph), objects: executor, journal, secrets, task: Task::Apply };
    drive::run(&limits, printer, work, signals).await
}

/// The secrets of the run, where nothing of its plan belongs to another one; whatever is wrong with either is told at once. A
/// run that goes on is not asked for the latter: it has written already, and what it has still to write is looked at when it
/// is prepared.
async fn secrets(
    args: &Apply,
    (executor, plan, graph): (&KubeExecutor, &Loaded, &Arc<Graph>),
    origin: &Origin,
) -> Result<PinnedSecrets, Halt> {
    let of_others = async {
        match origin {
            Origin::Call(_) => executor.of_other_plans(graph).await,
            Origin::Journal(_) => Vec::new(),
        }
    };
    let (of_others, found) = tokio::join!(Box::pin(of_others), Box::pin(from_vault(args, plan, origin)));
    let found = match (of_others.as_slice(), found) {
        ([], found) => return found,
        (_, found) => found.err(),
    };
    let bad = match found {
        Some(Halt::Problems(bad) | Halt::Unreachable(bad)) => bad.list,
        Some(Halt::Error { .. }) | None => Vec::new(),
    };
    Err(refusal(plan, &of_others, bad))
}

/// What Vault has of it. A run that goes on has the secrets that it began with; where it puts back what it changed, it needs
/// none.
async fn from_vault(args: &Apply, plan: &Loaded, origin: &Origin) -> Result<PinnedSecrets, Halt> {
    if plan.secrets().is_empty() {
        return Ok(PinnedSecrets::default());
    }
    let records = journal::records(origin).await?;
    if records.iter().any(|record| matches!(record.event, Event::RollingBack)) {
        return Ok(PinnedSecrets::default());
    }
    let pinned = RunStart::of(&records).map(|begun| begun.options.pins());
    vault::secrets(&args.vault, plan, pinned, &*journal::key(origin)?).await
}

/// Waits until the namespace is there. The first signal lets the call come to its end and starts nothing after it, the
/// second drops the call.
async fn make_namespace(
    printer: &Arc<Printer>,
    namespace: &str,
    creating: impl Future<Output = Result<bool, Halt>>,
    signals: &mut Signals,
) -> Result<(), Halt> {
    let mut creating = pin!(creating);
    let mut asked = false;
    let created = loop {
        tokio::select! {
            created = &mut creating => break created?,
            exit = signals.next() => {
                if asked {
                    let message = format!("aborted; whether the namespace `{namespace}` was created is not known");
                    return Err(Halt::error(exit, message));
                }
                asked = true;
                drive::say_stopping(printer, "finishing the call in flight");
            }
        }
    };
    if created && !printer.is_quiet() {
        printer.err(&format!("created namespace {namespace}"));
    }
    if asked {
        return Err(Halt::error(Exit::Cancelled, "stopped before anything of the plan was written"));
    }
    Ok(())
}
