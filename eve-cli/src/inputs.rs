//! From `-f` to a graph: reads files, folders and stdin, loads them as one plan, checks it whole. No cluster.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eve_core::plan::diagnostic::{Diagnostics, Source};
use eve_core::plan::graph::{Graph, closest};
use eve_core::plan::limits::Limits;
use eve_core::plan::load::{FileReader, LoadOptions, Loaded, load};
use eve_core::plan::{Component, Dependency, FailurePolicy, Plan, Settings, Until};
use eve_k8s::{OBJECT_KIND, ObjectPattern, TakeOver};
use serde_json::Value;

use crate::cli::Input;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::wiring;

/// What stdin is called in messages.
const STDIN: &str = "<stdin>";
/// Files of a folder that are read.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// The field by which an object takes over what other managers own.
const FORCE_CONFLICTS: &str = "forceConflicts";

/// A checked input.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The plan, for problems that are found later.
    pub(crate) plan: Loaded,
    /// Its graph.
    pub(crate) graph: Arc<Graph>,
}

/// What the command line says otherwise than the plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// What a failed component does to the run.
    pub(crate) on_failure: Option<FailurePolicy>,
    /// Objects that count as ready once they are applied.
    pub(crate) waived: Vec<ObjectPattern>,
    /// Objects that are taken over from other plans.
    pub(crate) taken: Vec<TakeOver>,
    /// What is done about fields of other managers.
    pub(crate) conflicts: Conflicts,
}

/// What is done about fields that other managers own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// What the plan says.
    #[default]
    AsPlanned,
    /// They are taken over.
    Forced,
}

impl Conflicts {
    /// Of the flag.
    pub(crate) const fn of(forced: bool) -> Self {
        if forced { Self::Forced } else { Self::AsPlanned }
    }
}

/// Reads and checks everything; `default_namespace` is for inputs that state none.
pub(crate) fn check(
    input: &Input,
    default_namespace: String,
    overrides: &Overrides,
) -> Result<Checked, Halt> {
    let limits = Limits::default();
    let depth = if input.recursive { Depth::Whole } else { Depth::Flat };
    let sources = read_all(&input.filenames, depth, &limits)?;
    let values = read_inputs(&input.values.inputs, &limits)?;
    let kinds = wiring::kinds(input.helm_hooks.into());
    let files = Disk { limits: &limits };
    let options = LoadOptions::new(&kinds)
        .with_namespace(input.namespace.clone())
        .with_default_namespace(Some(default_namespace))
        .with_name(input.name.clone())
        .with_limits(limits.clone())
        .with_inputs(values, input.values.set.clone())
        .with_files(&files)
        .with_secret_places(&eve_vault::check_place);
    let plan = load(sources, &options).map_err(Halt::problems)?;
    let graph = graph(&plan, overrides, &limits).map_err(Halt::problems)?;
    each_is_used(&graph, overrides)?;
    Ok(Checked { plan, graph: Arc::new(graph) })
}

/// The files with inputs, in order. All that cannot be read are named at once.
fn read_inputs(files: &[PathBuf], limits: &Limits) -> Result<Vec<Source>, Halt> {
    let (mut sources, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let read = File::open(file).and_then(|open| bounded(open, &file.to_string_lossy(), limits));
        match read {
            Ok(source) => sources.push(source),
            Err(error) => wrong.push(format!("cannot read `{}`: {}", file.display(), reason(&error))),
        }
    }
    match wrong.split_first() {
        None => Ok(sources),
        Some((first, rest)) => Err(Halt::error(Exit::Refused, first.clone()).with_notes(rest.to_vec())),
    }
}

fn graph(plan: &Loaded, overrides: &Overrides, limits: &Limits) -> Result<Graph, Diagnostics> {
    let asked = Overridden { plan, overrides };
    Graph::from_plan_within(&asked, limits).map_err(|problems| {
        plan.diagnostics(problems.iter().map(|problem| plan.diagnose_plan(problem)).collect())
    })
}

/// A flag that means nothing is a slip of the pen, and would be missed only at the end of a long wait.
fn each_is_used(graph: &Graph, overrides: &Overrides) -> Result<(), Halt> {
    let nodes = || graph.ids().map(|id| graph.node(id)).filter(|node| !node.action().is_join());
    let namespace = graph.namespace();
    let waives = |waiver: &&ObjectPattern| {
        let mut waived = nodes().filter(|node| node.until() == Until::Applied);
        !waived.any(|node| waiver.matches(node.spec(), namespace))
    };
    let takes = |taken: &&TakeOver| !nodes().any(|node| taken.matches(node.spec(), namespace));
    let unused: Vec<String> = overrides.waived.iter().filter(waives).map(ToString::to_string).collect();
    no_slip(graph, "--until applied=", &unused)?;
    let unused: Vec<String> = overrides.taken.iter().filter(takes).map(ToString::to_string).collect();
    no_slip(graph, "--take-over ", &unused)
}

/// Refuses the values of a flag that name no object of the input.
fn no_slip(graph: &Graph, flag: &str, unused: &[String]) -> Result<(), Halt> {
    let Some((first, rest)) = unused.split_first() else { return Ok(()) };
    let words = |value: &str| format!("`{flag}{value}`: there is no such object in the input");
    let known = graph.ids().filter_map(|id| ObjectPattern::of(graph.node(id).spec()));
    let known: Vec<String> = known.map(|pattern| pattern.to_string()).collect();
    // Else something of this name.
    let same_name = || {
        let name = first.rsplit_once('/')?.1;
        known
            .iter()
            .map(String::as_str)
            .find(|known| known.rsplit_once('/').is_some_and(|(_, of)| of == name))
    };
    let meant = closest(first, known.iter().map(String::as_str)).or_else(same_name);
    Err(Halt::error(Exit::Refused, words(first))
        .with_notes(rest.iter().map(|value| words(value)).collect())
        .with_hint(meant.map(|meant| format!("did you mean `{meant}`?"))))
}

/// Whether the input makes this namespace itself.
pub(crate) fn defines_namespace(graph: &Graph, namespace: &str) -> bool {
    graph.ids().filter_map(|id| graph.node(id).spec().get("object")).any(|object| {
        object.get("kind").and_then(Value::as_str) == Some("Namespace")
            && object.pointer("/metadata/name").and_then(Value::as_str) == Some(namespace)
    })
}

/// A plan of which the command line says some things otherwise.
struct Overridden<'a> {
    plan: &'a Loaded,
    overrides: &'a Overrides,
}

impl Plan for Overridden<'_> {
    fn name(&self) -> &str {
        self.plan.name()
    }

    fn namespace(&self) -> &str {
        self.plan.namespace()
    }

    fn on_failure(&self) -> FailurePolicy {
        self.overrides.on_failure.unwrap_or_else(|| self.plan.on_failure())
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component)) {
        let Overrides { waived, conflicts, .. } = self.overrides;
        self.plan.visit_components(&mut |component| {
            if component.kind() != OBJECT_KIND || (waived.is_empty() && *conflicts == Conflicts::AsPlanned) {
                return visit(component);
            }
            let mut spec = component.spec();
            let is_waived = waived.iter().any(|waiver| waiver.matches(&spec, self.plan.namespace()));
            if *conflicts == Conflicts::Forced
                && let Some(fields) = Arc::make_mut(&mut spec).as_object_mut()
            {
                fields.insert(FORCE_CONFLICTS.to_owned(), true.into());
            }
            visit(&Adjusted { component, spec, until: is_waived.then_some(Until::Applied) });
        });
    }
}

/// A component of which the command line says something otherwise.
struct Adjusted<'a> {
    component: &'a dyn Component,
    spec: Arc<Value>,
    until: Option<Until>,
}

impl Component for Adjusted<'_> {
    fn name(&self) -> &str {
        self.component.name()
    }

    fn kind(&self) -> &str {
        self.component.kind()
    }

    fn spec(&self) -> Arc<Value> {
        Arc::clone(&self.spec)
    }

    fn dependencies(&self) -> Vec<Dependency> {
        self.component.dependencies()
    }

    fn settings(&self) -> Settings {
        let settings = self.component.settings();
        Settings { until: self.until.unwrap_or(settings.until), ..settings }
    }
}

/// How far a folder is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Its own files.
    Flat,
    /// And those of the folders within it. Links to folders are not followed: they may lead back.
    Whole,
}

/// Every source of every `-f`, in order. All that cannot be read are named at once.
fn read_all(filenames: &[PathBuf], depth: Depth, limits: &Limits) -> Result<Vec<Source>, Halt> {
    let (mut sources, mut wrong) = (Vec::new(), Vec::new());
    if filenames.iter().filter(|name| is_stdin(name)).count() > 1 {
        wrong.push("stdin (`-f -`) can be read only once".to_owned());
    }
    for name in filenames {
        let read = if is_stdin(name) { stdin(limits) } else { read_path(name, depth, limits) };
        match read {
            Ok(read) => sources.extend(read),
            Err(reason) => wrong.push(format!("cannot read `{}`: {reason}", name.display())),
        }
    }
    match wrong.split_first() {
        None => Ok(sources),
        Some((first, rest)) => Err(Halt::error(Exit::Refused, first.clone()).with_notes(rest.to_vec())),
    }
}

fn is_stdin(name: &Path) -> bool {
    name.as_os_str() == "-"
}

fn stdin(limits: &Limits) -> Result<Vec<Source>, String> {
    Ok(vec![bounded(io::stdin().lock(), STDIN, limits).map_err(|error| reason(&error))?])
}

/// The file at this path, or those of the folder, by name.
fn read_path(path: &Path, depth: Depth, limits: &Limits) -> Result<Vec<Source>, String> {
    let open = |path: &Path| bounded(File::open(path)?, &path.to_string_lossy(), limits);
    if !fs::metadata(path).map_err(|error| reason(&error))?.is_dir() {
        return Ok(vec![open(path).map_err(|error| reason(&error))?]);
    }
    let files = files_of(path, depth)?;
    if files.is_empty() {
        let hint = if depth == Depth::Flat { "; `-R` reads the folders within it, too" } else { "" };
        return Err(format!("the folder has no *.yaml, *.yml or *.json{hint}"));
    }
    let read = |file: &PathBuf| open(file).map_err(|error| format!("{}: {}", file.display(), reason(&error)));
    files.iter().map(read).collect()
}

/// The manifests of a folder by name, then those of the folders within it.
fn files_of(top: &Path, depth: Depth) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut open = vec![top.to_path_buf()];
    while let Some(folder) = open.pop() {
        let named = |error: io::Error| {
            let reason = reason(&error);
            if folder == top { reason } else { format!("{}: {reason}", folder.display()) }
        };
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let (mut own, mut within) = (Vec::new(), Vec::new());
        for entry in entries.map_err(named)? {
            let path = entry.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let is_manifest = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
            if entry.file_type().map_err(named)?.is_dir() {
                within.push(path);
            } else if is_manifest && !path.is_dir() {
                own.push(path);
            }
        }
        own.sort();
        files.append(&mut own);
        if depth == Depth::Whole {
            within.sort_by(|left, right| right.cmp(left));
            open.append(&mut within);
        }
    }
    Ok(files)
}

/// One byte more than allowed is read, so that the loader sees that it is too much.
fn bounded(reader: impl Read, name: &str, limits: &Limits) -> io::Result<Source> {
    let mut bytes = Vec::new();
    reader.take(limits.input_bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Source::from_bytes(name, bytes))
}

/// Without the number that the operating system gives the error.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others speak for themselves")]
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

/// Files that a plan names, relative to the file of the plan, or to the working folder for a plan from stdin.
struct Disk<'a> {
    limits: &'a Limits,
}

impl FileReader for Disk<'_> {
    fn read(&self, from: &str, path: &str) -> Result<Vec<Source>, String> {
        let base = if from == STDIN { None } else { Path::new(from).parent() };
        read_path(&base.unwrap_or(Path::new("")).join(path), Depth::Flat, self.limits)
    }
}

#[cfg(test)]
mod tests {
    use eve_core::plan::graph::Node;

    use super::*;

    fn names(sources: &[Source], root: &Path) -> Vec<String> {
        let name =
            |source: &Source| Path::new(source.name()).strip_prefix(root).unwrap().display().to_string();
        sources.iter().map(name).collect()
    }

    fn graph_of(text: &str, waived: &[&str]) -> Result<Graph, Halt> {
        let kinds = wiring::kinds(eve_k8s::kinds::HelmHooks::Refuse);
        let options = LoadOptions::new(&kinds).with_default_namespace(Some("shop".into()));
        let plan = load(vec![Source::new("x", text)], &options).unwrap();
        let waived = waived.iter().map(|waiver| waiver.parse().unwrap()).collect();
        let overrides = Overrides { waived, ..Overrides::default() };
        let graph = graph(&plan, &overrides, &Limits::default()).unwrap();
        each_is_used(&graph, &overrides).map(|()| graph)
    }

    fn waived_of(graph: &Graph) -> Vec<&str> {
        let nodes = graph.ids().map(|id| graph.node(id));
        nodes.filter(|node| node.until() == Until::Applied).map(Node::name).collect()
    }

    const TWO: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
";

    #[test]
    fn a_waiver_counts_for_the_objects_that_it_names_and_for_no_other() {
        let graph = graph_of(TWO, &["services/web"]).unwrap();
        assert_eq!(waived_of(&graph), ["service/web"]);
        assert_eq!(waived_of(&graph_of(TWO, &[]).unwrap()), [""; 0]);
    }

    #[test]
    fn forced_conflicts_are_forced_for_every_object_and_nothing_else_changes() {
        let kinds = wiring::kinds(eve_k8s::kinds::HelmHooks::Refuse);
        let options = LoadOptions::new(&kinds).with_default_namespace(Some("shop".into()));
        let plan = load(vec![Source::new("x", TWO)], &options).unwrap();
        let of = |conflicts| {
            let overrides = Overrides { conflicts, ..Overrides::default() };
            graph(&plan, &overrides, &Limits::default()).unwrap()
        };
        let (unforced, forced) = (of(Conflicts::AsPlanned), of(Conflicts::Forced));
        for id in unforced.ids() {
            let mut spec = unforced.node(id).spec().clone();
            assert_eq!(spec[FORCE_CONFLICTS], false);
            spec[FORCE_CONFLICTS] = true.into();
            assert_eq!((forced.node(id).spec(), forced.node(id).until()), (&spec, unforced.node(id).until()));
        }
    }

    #[test]
    fn a_waiver_counts_for_parts_of_a_plan() {
        let plan = "
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: {name: shop, namespace: shop}
spec:
  components:
    - name: front
      manifests:
        objects:
          - {apiVersion: v1, kind: Service, metadata: {name: web}}
          - {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}
";
        let graph = graph_of(plan, &["deployment.apps/shop/web"]).unwrap();
        assert_eq!(waived_of(&graph), ["front/deployment/web"]);
    }

    #[test]
    fn a_waiver_that_names_nothing_is_an_error_with_what_may_have_been_meant() {
        for (waiver, meant) in [("Servce/web", "Service/web"), ("pod/web", "Service/web")] {
            let halt = graph_of(TWO, &[waiver, "deploy/web"]).unwrap_err();
            let said = halt.to_string();
            assert_eq!(halt.exit(), Exit::Refused);
            assert!(said.contains(&format!("`--until applied={waiver}`: there is no such object")), "{said}");
            assert!(said.contains(&format!("did you mean `{meant}`?")), "{said}");
        }
    }

    #[test]
    fn a_folder_stands_for_its_manifests_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["b.yml", "a.yaml", "c.json", "notes.txt"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        fs::create_dir(folder.path().join("d.yaml")).unwrap();
        let sources = read_path(folder.path(), Depth::Flat, &Limits::default()).unwrap();
        assert_eq!(names(&sources, folder.path()), ["a.yaml", "b.yml", "c.json"]);
    }

    #[test]
    fn folders_within_are_read_when_asked_but_links_to_folders_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/x")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        for file in ["z.yaml", "b/c.yaml", "a/d.yaml", "a/x/e.json", "a/x/notes.md"] {
            fs::write(root.join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        let flat = read_path(root, Depth::Flat, &Limits::default()).unwrap();
        assert_eq!(names(&flat, root), ["z.yaml"]);
        let whole = read_path(root, Depth::Whole, &Limits::default()).unwrap();
        assert_eq!(names(&whole, root), ["z.yaml", "a/d.yaml", "a/x/e.json", "b/c.yaml"]);
    }

    #[test]
    fn an_empty_folder_is_no_input() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_path(folder.path(), Depth::Flat, &Limits::default()).is_err());
    }

    #[test]
    fn files_of_a_plan_are_relative_to_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "text").unwrap();
        let plan = folder.path().join("plan.yaml");
        let limits = Limits::default();
        let sources = Disk { limits: &limits }.read(plan.to_str().unwrap(), "a.yaml").unwrap();
        assert_eq!(sources[0].text(), "text");
    }

    #[test]
    fn no_more_is_read_than_one_byte_beyond_the_limit() {
        let mut limits = Limits::default();
        limits.input_bytes_max = 3;
        let source = bounded(&b"abcdef"[..], "x", &limits).unwrap();
        assert_eq!(source.text(), "abcd");
    }

    #[test]
    fn all_unreadable_files_are_named_at_once() {
        let names = [PathBuf::from("/nowhere/a"), PathBuf::from("/nowhere/b")];
        let halt = read_all(&names, Depth::Flat, &Limits::default()).unwrap_err().to_string();
        assert!(halt.contains("/nowhere/a") && halt.contains("/nowhere/b"), "{halt}");
    }
}
