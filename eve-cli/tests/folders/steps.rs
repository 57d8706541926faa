//! The steps of a folder's life, each with what the API server must have seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use eve_k8s::labels;
use eve_testbed::{ControlPlane, Entries, Entry, TestNamespace};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::cluster::Cluster;
use super::generated;
use super::row::{Edit, Foreign, How, INPUT, Row, Then};

/// Most dry runs that one changed object may cost: one tells what the change means, before the first write.
const DRY_RUNS_MAX: usize = 1;

/// A folder on its way.
pub(crate) struct Folder {
    row: &'static Row,
    control_plane: &'static ControlPlane,
    cluster: Cluster,
    namespace: TestNamespace,
    files: TempDir,
    /// The paths of all its objects, in the order in which they were written first.
    paths: Vec<String>,
    /// What comes after what, by path.
    edges: Vec<(String, String)>,
}

/// How `eve` ended, and its requests.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
    requests: Entries,
}

impl Ended {
    fn assert(&self, code: i32, what: &str) {
        assert_eq!(self.code, Some(code), "{what}\n{}{}", self.out, self.err);
    }

    /// The paths that were written, in order.
    fn written(&self) -> Vec<String> {
        self.requests.writes().iter().map(path_of).collect()
    }
}

fn path_of(entry: &Entry) -> String {
    entry.uri.split('?').next().unwrap().to_owned()
}

impl Folder {
    /// Copies the files, with the namespace that they are to be in.
    pub(crate) async fn prepare(row: &'static Row) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace(row.name).await;
        let files = TempDir::new().unwrap();
        let input = Path::new(INPUT).join(row.name);
        if input.exists() {
            for file in std::fs::read_dir(input).unwrap() {
                let file = file.unwrap();
                let text = std::fs::read_to_string(file.path()).unwrap().replace("NAMESPACE", &namespace);
                std::fs::write(files.path().join(file.file_name()), text).unwrap();
            }
        } else {
            generated::write(files.path());
        }
        let cluster = Cluster::of(control_plane).await;
        Self { row, control_plane, cluster, namespace, files, paths: Vec::new(), edges: Vec::new() }
    }

    /// Runs `eve` on the folder, as the user of this folder.
    async fn eve(&self, command: &str) -> Ended {
        let user = format!("folder-{}", self.row.name);
        let mark = self.control_plane.audit().mark().await;
        let mut eve = Command::new(env!("CARGO_BIN_EXE_eve"));
        eve.arg(command).args(["-n", &self.namespace, "--name", self.row.name, "-f"]).arg(self.files.path());
        if command == "graph" {
            eve.args(["--parts", "-o", "json"]);
        } else {
            eve.args(["--as", &user, "--as-group", "system:masters", "--allow-cluster-scoped", "*", "-v"]);
            eve.args(["--timeout", "5m"]);
            eve.args(self.row.namespaces.iter().flat_map(|namespace| ["--allow-namespace", namespace]));
        }
        let output = eve
            .env_clear()
            .env("KUBECONFIG", self.control_plane.kubeconfig_path())
            .env("HOME", self.control_plane.folder())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let all = self.control_plane.audit().settle().await.since(mark).by_user("eve");
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            requests: all.filter(|entry| entry.impersonated.as_deref() == Some(&user)),
        }
    }

    /// The one object of the folder whose path ends so.
    fn path(&self, end: &str) -> &str {
        let found: Vec<&String> =
            self.paths.iter().filter(|path| path.ends_with(&format!("/{end}"))).collect();
        assert_eq!(found.len(), 1, "{end}: {found:?} of {:?}", self.paths);
        found[0]
    }

    /// All edges between objects, those over joins included.
    async fn edges(&self) -> Vec<(String, String)> {
        let mut paths = BTreeMap::new();
        for path in &self.paths {
            let object = self.cluster.get(path).await;
            paths.insert(object["metadata"]["labels"][labels::COMPONENT].as_str().unwrap().to_owned(), path);
        }
        let ended = self.eve("graph").await;
        ended.assert(0, "eve graph");
        let graph: Value = serde_json::from_str(&ended.out).unwrap();
        let name = |value: &Value| value.as_str().unwrap().to_owned();
        let mut dependencies: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for component in graph["components"].as_array().unwrap() {
            let before = component["dependsOn"].as_array().unwrap().iter();
            dependencies
                .insert(name(&component["name"]), before.map(|edge| name(&edge["component"])).collect());
        }
        let mut edges = Vec::new();
        for (after, direct) in &dependencies {
            let Some(after) = paths.get(&labels::value(after)) else { continue };
            let mut left = direct.clone();
            while let Some(before) = left.pop() {
                match paths.get(&labels::value(&before)) {
                    Some(before) => edges.push(((*before).clone(), (*after).clone())),
                    None => left.extend(dependencies[&before].clone()),
                }
            }
        }
        edges
    }
}

/// Everything is created, in order, and ready.
pub(crate) async fn apply(folder: &mut Folder) {
    let ended = folder.eve("apply").await;
    ended.assert(0, "apply");
    folder.paths = ended.written();
    let distinct: BTreeSet<&String> = folder.paths.iter().collect();
    assert_eq!(
        (folder.paths.len(), distinct.len()),
        (folder.row.objects, folder.row.objects),
        "each object is written once: {:?}",
        ended.requests.writes()
    );
    assert!(ended.requests.dry_runs().is_empty(), "{:?}", ended.requests.dry_runs());
    folder.edges = folder.edges().await;
    assert!(!folder.edges.is_empty(), "every folder has an order");
    assert_order(&folder.paths, folder.edges.iter().map(|(before, after)| (before, after)));
}

fn assert_order<'a>(written: &[String], edges: impl Iterator<Item = (&'a String, &'a String)>) {
    let at = |path: &String| written.iter().position(|one| one == path);
    for (before, after) in edges {
        // What stays is in no order.
        let (Some(first), Some(then)) = (at(before), at(after)) else { continue };
        assert!(first < then, "{before} comes before {after}: {written:?}");
    }
}

/// Nothing is written and nothing tried; each kind is read once in each namespace.
pub(crate) async fn nothing_to_do(folder: &Folder, why: &str) {
    reads_are_lists(&writes_nothing(folder, why).await);
}

/// Nothing is written and nothing tried; what is not up yet is waited for.
async fn writes_nothing(folder: &Folder, why: &str) -> Entries {
    let ended = folder.eve("apply").await;
    ended.assert(0, why);
    let (writes, dry_runs) = (ended.requests.writes(), ended.requests.dry_runs());
    assert!(writes.is_empty() && dry_runs.is_empty(), "{why}: {writes:?}{dry_runs:?}\n{}", ended.err);
    ended.requests
}

/// Discovery, who the cluster is, one watch, one list of a kind in a namespace. A kind in two versions is two kinds: what is judged is stated in the
/// version of the input.
fn reads_are_lists(requests: &Entries) {
    let is_identity =
        |entry: &Entry| (entry.resource.as_str(), entry.name.as_str()) == ("namespaces", "kube-system");
    let asked = requests.filter(is_identity);
    assert!(
        asked.len() == 1 && asked.iter().all(|entry| entry.verb == "get"),
        "who the cluster is: {asked:?}"
    );
    let objects = requests.filter(|entry| !entry.resource.is_empty() && !is_identity(entry));
    for ((verb, path), count) in objects.count_by(|entry| (entry.verb.clone(), path_of(entry))) {
        let most = match verb.as_str() {
            "list" | "watch" => 1,
            _ => 0,
        };
        assert!(count <= most, "{count} times {verb} {path}: {objects:?}");
    }
}

/// One object is written, and no other.
pub(crate) async fn edit(folder: &mut Folder) {
    let Edit { file, from, to, written } = &folder.row.edit;
    let file = folder.files.path().join(file);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches(from).count(), 1, "`{from}` stands once in {}", file.display());
    std::fs::write(&file, text.replace(from, to)).unwrap();
    writes_one(folder, written, "edited").await;
    nothing_to_do(folder, "applied again after the edit").await;
}

async fn writes_one(folder: &Folder, object: &str, why: &str) {
    let ended = folder.eve("apply").await;
    ended.assert(0, why);
    assert_eq!(ended.written(), [folder.path(object)], "{why}: {:?}\n{}", ended.requests, ended.err);
    assert!(ended.requests.dry_runs().len() <= DRY_RUNS_MAX, "{why}: {:?}", ended.requests);
}

/// Somebody else changes something; eve puts it right, names the conflict, or lets it be.
pub(crate) async fn disturb(folder: &Folder, foreign: &Foreign) {
    let Foreign { by, path, body, then, .. } = foreign;
    let why = format!("{path} changed by {by}: {body}");
    write_as(folder, foreign, body).await;
    let object = object_of(path);
    match then {
        Then::Nothing => drop(writes_nothing(folder, &why).await),
        Then::PutRight => writes_one(folder, object, &why).await,
        Then::Create => {
            let ended = folder.eve("apply").await;
            ended.assert(0, &why);
            assert_eq!(ended.written(), [folder.path(object)], "{why}: {:?}", ended.requests);
            assert!(ended.requests.dry_runs().is_empty(), "{why}: {:?}", ended.requests);
        }
        Then::Conflict(undo) => {
            let ended = folder.eve("apply").await;
            ended.assert(1, &why);
            assert!(ended.requests.writes().is_empty(), "{why}: {:?}", ended.requests);
            let name = object.rsplit('/').next().unwrap();
            assert!(
                ended.err.contains(&format!("`{by}`")) && ended.err.contains(name),
                "{why}: {}",
                ended.err
            );
            write_as(folder, foreign, undo).await;
            writes_one(folder, object, &why).await;
        }
    }
    nothing_to_do(folder, &why).await;
}

/// Without the subresource.
fn object_of(path: &str) -> &str {
    path.strip_suffix("/scale").or_else(|| path.strip_suffix("/status")).unwrap_or(path)
}

async fn write_as(folder: &Folder, foreign: &Foreign, body: &str) {
    let object = object_of(foreign.path);
    let subresource = &foreign.path[object.len()..];
    let (method, kind, query) = match foreign.how {
        How::Update => (Method::PATCH, "application/merge-patch+json", ""),
        How::Apply => (Method::PATCH, "application/apply-patch+yaml", "&force=true"),
        How::Delete => (Method::DELETE, "application/json", ""),
    };
    let path = folder.path(object);
    let request = match foreign.how {
        How::Delete => path.to_owned(),
        How::Update | How::Apply => format!("{path}{subresource}?fieldManager={}{query}", foreign.by),
    };
    if let Err((status, message)) =
        folder.cluster.ask(method, &request, kind, &body.replace("NAMESPACE", &folder.namespace)).await
    {
        panic!("{path}: {status} {message}");
    }
    while foreign.how == How::Delete && folder.cluster.find(path).await.is_some() {
        tokio::task::yield_now().await;
    }
}

/// Everything goes, in the reverse order, but the namespace that was there before.
pub(crate) async fn delete(folder: &Folder) {
    let ended = folder.eve("delete").await;
    ended.assert(0, "delete");
    let mut deleted = ended.written();
    assert!(ended.requests.writes().iter().all(|entry| entry.verb == "delete"), "{:?}", ended.requests);
    assert_order(&deleted, folder.edges.iter().map(|(before, after)| (after, before)));
    for path in &folder.paths {
        let left = folder.cluster.find(path).await;
        assert!(left.is_none(), "{path} is still there: {left:?}");
    }
    deleted.sort();
    let mut all = folder.paths.clone();
    all.sort();
    assert_eq!(deleted, all, "each object is deleted once");
    let left = folder.cluster.labelled(&format!("{}={}", labels::PLAN, folder.row.name)).await;
    assert!(left.is_empty(), "{left:?}");
    let namespace = folder.cluster.get(&format!("/api/v1/namespaces/{}", folder.namespace.name())).await;
    assert_eq!(namespace["status"]["phase"], "Active");
}

/// What is gone is not missed, and nothing is sent.
pub(crate) async fn delete_again(folder: &Folder) {
    let ended = folder.eve("delete").await;
    ended.assert(0, "delete twice");
    assert!(ended.requests.writes().is_empty(), "{:?}", ended.requests);
}
