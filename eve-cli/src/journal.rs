//! The journals of runs on this machine: begun, found again, taken over. Knows how eve was called, and of clusters
//! nothing but their address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser as _;
use eve_core::driver::SystemClock;
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock as _, RunStore as _};
use eve_core::run::Record;
use eve_k8s::KindPattern;
use eve_store::{
    FileError, KeyedHash, Listed, Retention, RunFile, RunFolder, RunHeader, RunSource, RunState, RunSummary,
    StoredKey,
};

use crate::cli::{Apply, Cli, Cluster, Command, Delete, Rollback};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::clean;
use crate::sketch::{Sketch, Specs};
use crate::wiring;

/// How a command was called, as far as another process needs to know to do the same.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `apply`, `delete` or `rollback`.
    pub(crate) verb: &'static str,
    /// All arguments, without the program.
    pub(crate) arguments: Vec<String>,
    /// What was read.
    pub(crate) sources: Vec<RunSource>,
    /// What is kept of the specs.
    pub(crate) specs: Specs,
}

/// Where a run comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// It begins now.
    Call(Call),
    /// It goes on.
    Journal(Box<RunFile>),
}

/// The files that were named, so that they are found from every folder.
pub(crate) fn sources(named: &[PathBuf]) -> Result<Vec<RunSource>, Halt> {
    let source = |name: &PathBuf| {
        if name.as_os_str() == "-" {
            return Ok(RunSource::Stdin);
        }
        let path = std::path::absolute(name).map_err(|error| {
            Halt::error(Exit::Refused, format!("cannot tell where `{}` is: {error}", name.display()))
        })?;
        let hint = "rename it, or give the plan on stdin: `-f - < FILE`";
        writable(path).map(RunSource::Path).map_err(|halt| halt.with_hint(hint.to_owned()))
    };
    named.iter().map(source).collect()
}

/// A path that can be written down.
fn writable(path: PathBuf) -> Result<PathBuf, Halt> {
    if path.to_str().is_some() {
        return Ok(path);
    }
    let name = clean(&path.to_string_lossy()).into_owned();
    let message = format!("a run cannot be written down: the name `{name}` is not UTF-8");
    Err(Halt::error(Exit::Refused, message).with_hint("rename it".to_owned()))
}

/// The runs of this user.
pub(crate) fn folder() -> Result<RunFolder, Halt> {
    RunFolder::of_user().map_err(|error| halt(&error))
}

/// What is wrong with a journal, and what to do.
pub(crate) fn halt(error: &FileError) -> Halt {
    let is_refusal = matches!(error, FileError::Held { .. } | FileError::BadRunId(_));
    let exit = if is_refusal { Exit::Refused } else { Exit::Internal };
    let hint = if let FileError::Held { holder: Some(holder), .. } = error {
        format!("wait for it, or stop it: `eve cancel {}`", holder.run)
    } else {
        error.hint().to_owned()
    };
    Halt::error(exit, wiring::chain(error)).with_hint(hint)
}

/// Begins the journal of a new run of this graph, and holds its plan against other runs on this cluster.
pub(crate) fn begin(call: &Call, cluster: &Cluster, server: &str, graph: &Graph) -> Result<RunFile, Halt> {
    let folder = folder()?;
    let chosen = wiring::chosen(cluster)?;
    let absolute = |path: &PathBuf| writable(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let key = folder.key().map_err(|error| halt(&error))?;
    let now = SystemClock::new().now();
    let sketch = serde_json::to_string(&Sketch::of(graph, call.specs));
    let header = RunHeader {
        run: wiring::run_id(now),
        plan: graph.name().to_owned(),
        namespace: graph.namespace().to_owned(),
        cluster: server.to_owned(),
        context: chosen.context,
        kubeconfigs: chosen.kubeconfigs.iter().map(absolute).collect::<Result<_, _>>()?,
        verb: call.verb.to_owned(),
        sources: call.sources.clone(),
        arguments: absolute_inputs(&call.arguments),
        digest: digest(&key, graph),
        graph: sketch.map_err(|error| Halt::error(Exit::Internal, error.to_string()))?,
        started_at: now,
        eve_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let file = folder.create(&header).map_err(|error| halt(&error))?;
    if let Err(error) = folder.prune_when_due(Retention::default()) {
        tracing::warn!(%error, "old runs are not removed");
    }
    Ok(file)
}

/// The arguments, with files that flags name named so that they are found from every folder.
fn absolute_inputs(arguments: &[String]) -> Vec<String> {
    const FLAGS: [&str; 3] = ["--inputs", "--vault-ca-file", "--vault-token-file"];
    let absolute = |file: &str| {
        let path = std::path::absolute(file).ok();
        path.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| file.to_owned())
    };
    let mut is_file = false;
    let one = |argument: &String| {
        let was_flag = std::mem::replace(&mut is_file, FLAGS.contains(&argument.as_str()));
        match argument.split_once('=').filter(|(flag, _)| FLAGS.contains(flag)) {
            _ if was_flag => absolute(argument),
            Some((flag, file)) => format!("{flag}={}", absolute(file)),
            None => argument.clone(),
        }
    };
    arguments.iter().map(one).collect()
}

/// The key of the hashes of a run: of one that begins, made if it is missing; of one that goes on, the one that it began
/// with, as far as that is known.
pub(crate) fn key(origin: &Origin) -> Result<StoredKey, Halt> {
    let folder = folder()?;
    let key = match origin {
        Origin::Call(_) => folder.key(),
        Origin::Journal(file) => folder.key_of(file),
    };
    key.map_err(|error| halt(&error))
}

/// All records of a run that goes on; none of one that begins.
pub(crate) async fn records(origin: &Origin) -> Result<Vec<Record>, Halt> {
    let Origin::Journal(file) = origin else { return Ok(Vec::new()) };
    let run = &file.header().run;
    file.load(run).await.map_err(|error| {
        Halt::error(Exit::Internal, format!("run {run} cannot go on: {}", wiring::chain(&error)))
    })
}

/// Forgets a run of which nothing was done. One that has records stays, and can be resumed.
pub(crate) fn discard(file: RunFile) {
    let run = file.header().run.clone();
    let discarded = RunFolder::of_user().and_then(|folder| folder.discard(file));
    if let Err(error) = discarded {
        tracing::warn!(%error, %run, "a run that did nothing is not removed");
    }
}

/// Everything that decides what a run does, under a key: specs may hold passwords, and a plain digest would let them be
/// guessed.
fn digest(key: &StoredKey, graph: &Graph) -> KeyedHash {
    key.hash_of(|sink| graph.identity(sink))
}

/// The graph of a run from its journal, for display.
pub(crate) fn sketched(header: &RunHeader) -> Result<Arc<Graph>, Halt> {
    let damaged = || {
        let message = format!("the journal of run {} does not hold the shape of its plan", header.run);
        Halt::error(Exit::Internal, message)
    };
    let sketch: Sketch = serde_json::from_str(&header.graph).map_err(|_| damaged())?;
    sketch.graph().map(Arc::new).map_err(|_| damaged())
}

/// Whether this is a run of the same plan that began after that one.
pub(crate) fn is_later(other: &RunHeader, header: &RunHeader) -> bool {
    let of = |header: &RunHeader| (header.cluster.clone(), header.namespace.clone(), header.plan.clone());
    other.started_at > header.started_at && of(other) == of(header)
}

/// The newest of these runs that came after that one; of runs that are listed, the newest first.
pub(crate) fn newest_after<'a>(runs: &'a [RunSummary], header: &RunHeader) -> Option<&'a RunId> {
    runs.iter().map(|run| &run.header).find(|other| is_later(other, header)).map(|other| &other.run)
}

/// The newest run on this machine that came after that one.
pub(crate) fn newest_listed_after(folder: &RunFolder, header: &RunHeader) -> Result<Option<RunId>, Halt> {
    let listed = folder.list().map_err(|error| halt(&error))?;
    let runs = listed.into_iter().filter_map(|listed| match listed {
        Listed::Run(run) => Some(*run),
        Listed::Damaged { .. } => None,
    });
    Ok(newest_after(&runs.collect::<Vec<_>>(), header).cloned())
}

/// Which runs a command is about, where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest.
    Newest,
    /// The only one that goes on.
    Live,
    /// The only one that was interrupted and can go on.
    Interrupted,
}

/// The run of this name, or of the only name that begins so, or else the one that is wanted.
pub(crate) fn choose(folder: &RunFolder, name: Option<&str>, wanted: Wanted) -> Result<RunSummary, Halt> {
    if name == Some("") {
        let message = "an empty name names no run";
        return Err(
            Halt::error(Exit::Refused, message).with_hint("see which there are: `eve runs`".to_owned())
        );
    }
    let mut runs = Vec::new();
    for listed in folder.list().map_err(|error| halt(&error))? {
        match listed {
            Listed::Damaged { path, error }
                if name.is_none() && wanted == Wanted::Newest && runs.is_empty() && is_run(&path) =>
            {
                let hint = format!("{}; another run can be named: see `eve runs`", error.hint());
                return Err(halt(&error).with_hint(hint));
            }
            Listed::Run(run) => runs.push(*run),
            Listed::Damaged { path, error } if name.is_some_and(|name| is_named(&path, name)) => {
                return Err(halt(&error));
            }
            Listed::Damaged { .. } => {}
        }
    }
    match name {
        Some(name) => named(runs, name),
        None => unnamed(&runs, wanted),
    }
}

fn is_run(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "run")
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_stem().is_some_and(|stem| stem == name)
}

fn named(runs: Vec<RunSummary>, name: &str) -> Result<RunSummary, Halt> {
    let exact = runs.iter().position(|run| run.header.run.as_str() == name);
    let mut begin: Vec<RunSummary> = match exact {
        Some(at) => runs.into_iter().skip(at).take(1).collect(),
        None => runs.into_iter().filter(|run| run.header.run.as_str().starts_with(name)).collect(),
    };
    match (begin.pop(), begin.len()) {
        (Some(run), 0) => Ok(run),
        (Some(last), _) => {
            begin.push(last);
            let message = format!("several runs have names that begin with `{}`", clean(name));
            Err(Halt::error(Exit::Refused, message).with_notes(begin.iter().map(line).collect()))
        }
        (None, _) => {
            let message = format!("there is no run `{}` on this machine", clean(name));
            Err(Halt::error(Exit::Refused, message).with_hint("see which there are: `eve runs`".to_owned()))
        }
    }
}

fn unnamed(runs: &[RunSummary], wanted: Wanted) -> Result<RunSummary, Halt> {
    let fits = |run: &RunSummary| match (wanted, &run.state) {
        (Wanted::Newest, _) | (Wanted::Live, RunState::Live(_)) => true,
        (Wanted::Interrupted, RunState::Interrupted) => newest_after(runs, &run.header).is_none(),
        (Wanted::Live | Wanted::Interrupted, _) => false,
    };
    let mut fitting: Vec<RunSummary> = runs.iter().filter(|run| fits(run)).cloned().collect();
    let none = match wanted {
        Wanted::Newest => "there is no run on this machine yet",
        Wanted::Live => "no run is under way on this machine",
        Wanted::Interrupted => "no run on this machine was interrupted",
    };
    if fitting.is_empty() {
        return Err(Halt::error(Exit::Refused, none).with_hint("see which there are: `eve runs`".to_owned()));
    }
    if wanted != Wanted::Newest && fitting.len() > 1 {
        let notes = fitting.iter().map(line).collect();
        return Err(Halt::error(Exit::Refused, "there are several such runs: name one").with_notes(notes));
    }
    Ok(fitting.swap_remove(0))
}

fn line(run: &RunSummary) -> String {
    let RunHeader { run: id, verb, plan, namespace, .. } = &run.header;
    format!("{id}  {verb} of plan {plan} in namespace {namespace}")
}

/// A command that drives runs, called once more.
#[derive(Debug)]
pub(crate) enum Repeated {
    Apply(Box<Apply>),
    Delete(Box<Delete>),
    Rollback(Box<Rollback>),
}

/// The command of a run that is to go on, as it was called, with what it meant then: the same files, the same cluster,
/// the same namespace, from whatever folder and with whatever current context.
///
/// # Errors
/// What keeps it from being called again. `instead` are files to take in place of those that were recorded.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other command has a journal")]
pub(crate) fn command(header: &RunHeader, instead: &[PathBuf]) -> Result<Repeated, Halt> {
    let parsed = parsed(header)?;
    let files = if instead.is_empty() { files(header)? } else { instead.to_vec() };
    match parsed.command {
        Command::Apply(mut apply) => {
            apply.input.filenames = files;
            as_recorded(&mut apply.cluster, header);
            Ok(Repeated::Apply(apply))
        }
        Command::Delete(mut delete) => {
            delete.filenames = files;
            as_recorded(&mut delete.cluster, header);
            Ok(Repeated::Delete(delete))
        }
        Command::Rollback(rollback) => Ok(Repeated::Rollback(rollback)),
        _ => {
            let message =
                format!("run {} is of `eve {}`, which cannot go on", header.run, clean(&header.verb));
            Err(Halt::error(Exit::Refused, message))
        }
    }
}

fn parsed(header: &RunHeader) -> Result<Cli, Halt> {
    let arguments = std::iter::once("eve").chain(header.arguments.iter().map(String::as_str));
    Cli::try_parse_from(arguments).map_err(|error| {
        let message = format!("this eve does not understand how run {} was started", header.run);
        let notes = error.to_string().lines().map(str::to_owned).collect();
        let hint = format!("go on with eve {}", header.eve_version);
        Halt::error(Exit::Refused, message).with_notes(notes).with_hint(hint)
    })
}

/// Which cluster a run was on, and what it might touch there.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) cluster: Cluster,
    pub(crate) allow_namespaces: Vec<String>,
    pub(crate) allow_cluster_scoped: Vec<KindPattern>,
}

/// How far a run reached, as its command line said.
///
/// # Errors
/// It cannot be understood any more.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other command changes anything")]
pub(crate) fn reach(header: &RunHeader) -> Result<Reach, Halt> {
    let (mut cluster, allow_namespaces, allow_cluster_scoped) = match parsed(header)?.command {
        Command::Apply(apply) => (apply.cluster, apply.allow_namespaces, apply.allow_cluster_scoped),
        Command::Delete(delete) => (delete.cluster, delete.allow_namespaces, delete.allow_cluster_scoped),
        _ => {
            let message =
                format!("run {} is of `eve {}`, which changes nothing", header.run, clean(&header.verb));
            return Err(Halt::error(Exit::Refused, message));
        }
    };
    as_recorded(&mut cluster, header);
    Ok(Reach { cluster, allow_namespaces, allow_cluster_scoped })
}

fn as_recorded(cluster: &mut Cluster, header: &RunHeader) {
    cluster.kubeconfig.clone_from(&header.kubeconfigs);
    cluster.context.clone_from(&header.context);
}

fn files(header: &RunHeader) -> Result<Vec<PathBuf>, Halt> {
    let file = |source: &RunSource| match source {
        RunSource::Path(path) => Some(Ok(path.clone())),
        RunSource::Installed => None,
        RunSource::Stdin => {
            let message = format!("the plan of run {} was read from stdin, which is gone", header.run);
            Some(Err(Halt::error(Exit::Refused, message).with_hint("give it again with `-f`".to_owned())))
        }
    };
    header.sources.iter().filter_map(file).collect()
}

/// Whether this graph is the one that the run began with.
pub(crate) fn is_of(file: &RunFile, graph: &Graph) -> Result<(), Halt> {
    let RunHeader { run, digest: begun_with, .. } = file.header();
    let anew = "bring it back, or start a new run: `eve apply` goes on from what the cluster has";
    let key = match folder()?.key_of(file) {
        Err(FileError::OtherKey { path, .. }) => {
            let message = format!(
                "the key {} is not the one that run {run} began with: whether the plan is the one that it began with \
                 cannot be told",
                path.display()
            );
            let hint = "bring the key back as it was, or start a new run: `eve apply` goes on from what the cluster has";
            return Err(Halt::error(Exit::Refused, message).with_hint(hint.to_owned()));
        }
        Err(FileError::Missing { path }) => {
            let message = format!(
                "the key {} is lost: whether the plan is the one that run {run} began with cannot be told",
                path.display()
            );
            return Err(Halt::error(Exit::Refused, message).with_hint(anew.to_owned()));
        }
        key => key.map_err(|error| halt(&error))?,
    };
    if digest(&key, graph) == *begun_with {
        return Ok(());
    }
    let message = format!("the plan is not the one that run {run} began with");
    let hint = "bring its files back as they were, or start a new run: `eve apply` goes on from what the cluster has";
    Err(Halt::error(Exit::Refused, message).with_hint(hint.to_owned()))
}

/// Whether this is the address of the cluster that the run was begun on.
pub(crate) fn is_on(header: &RunHeader, server: &str) -> Result<(), Halt> {
    let RunHeader { run, cluster, .. } = header;
    if cluster == server {
        return Ok(());
    }
    let message = format!("run {run} was begun on {cluster}; the kubeconfig now leads to {server}");
    Err(Halt::error(Exit::Refused, message).with_hint("bring the kubeconfig back as it was".to_owned()))
}

/// Holds a run to the cluster of this identity; where that may not be read, its address alone has to tell.
pub(crate) fn belongs_to(file: &mut RunFile, identity: Option<&str>) -> Result<(), Halt> {
    let Some(identity) = identity else { return Ok(()) };
    file.belongs_to(identity).map_err(|error| {
        if let FileError::OtherCluster { known, found, .. } = &error {
            return of_another_cluster(file.header(), known, found);
        }
        halt(&error)
    })
}

/// What is said where another cluster answers at the address of the one that a run was begun on.
pub(crate) fn of_another_cluster(header: &RunHeader, known: &str, found: &str) -> Halt {
    let RunHeader { run, cluster, .. } = header;
    let message = format!(
        "run {run} was begun on another cluster than the one that now answers at {cluster}: the uid of its namespace \
         `kube-system` was {known}, and is {found} here"
    );
    let hint = "lead the kubeconfig back to that cluster, or start a new run here: `eve apply` goes on from what the cluster \
                has";
    Halt::error(Exit::Refused, message).with_hint(hint.to_owned())
}

/// The name of a run for people who want to go on with it.
pub(crate) fn resume_hint(run: &RunId) -> String {
    format!("what was written stays; go on with `eve resume {run}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_inputs_are_recorded_so_that_they_are_found_from_every_folder() {
        let here = std::env::current_dir().unwrap();
        let wanted = here.join("a.yaml").to_str().unwrap().to_owned();
        for flag in ["--inputs", "--vault-ca-file", "--vault-token-file"] {
            let joined = [format!("{flag}=/b.yaml"), format!("{flag}=a.yaml"), format!("{flag}={wanted}")];
            let arguments = ["apply", "-f", "x", flag, "a.yaml", &joined[0], &joined[1], "--set", "inputs=a"];
            let recorded = absolute_inputs(&arguments.map(str::to_owned));
            assert_eq!(
                recorded,
                ["apply", "-f", "x", flag, &wanted, &joined[0], &joined[2], "--set", "inputs=a"]
            );
        }
    }
}
