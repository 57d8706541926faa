//! What must hold of a run that was killed: each rule a function of the journal, the audit log and the cluster. Broken
//! rules are sentences.

use std::collections::{BTreeMap, BTreeSet};

use eve_core::ids::{ComponentId, RunId};
use eve_core::run::{Event, Record};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use eve_testbed::{Entries, Entry};
use serde_json::{Value, json};

use super::desk::Desk;
use super::plans::CANARY;

/// The user as whom the testbed plays the nodes.
const NODES: &str = "kwok";

/// Resource in the plural, and name.
pub(super) type ObjectName = (String, String);

/// One component of the graph.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// Those that must be ready first.
    after: Vec<usize>,
}

impl Node {
    /// Its object; `None` for a join.
    pub(super) fn object(&self) -> Option<ObjectName> {
        let mut words = self.name.split('/').skip(1);
        Some((format!("{}s", words.next()?), words.next()?.to_owned()))
    }
}

/// The graph of the run, from its journal.
pub(super) fn graph(desk: &Desk<'_>, run: &RunId) -> Vec<Node> {
    let header = desk.runs().read(run).unwrap().header().unwrap();
    let sketch: Value = serde_json::from_str(&header.graph).unwrap();
    let node = |node: &Value| {
        let after = node["r"].as_array().into_iter().flatten();
        Node {
            name: node["n"].as_str().unwrap().to_owned(),
            after: after.map(|id| usize::try_from(id.as_u64().unwrap()).unwrap()).collect(),
        }
    };
    sketch["components"].as_array().unwrap().iter().map(node).collect()
}

/// Components whose write may have begun, and whose end is not recorded.
#[derive(Default)]
pub(super) struct InFlight {
    /// Of which it is recorded that it has.
    pub(super) started: BTreeSet<ComponentId>,
    /// Of which it is recorded that it may.
    pub(super) announced: BTreeSet<ComponentId>,
}

/// What was in flight after these records.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others say nothing of writes")]
pub(super) fn in_flight(records: &[Record]) -> InFlight {
    let mut found = InFlight::default();
    for record in records {
        match &record.event {
            Event::Announced { component } => {
                found.announced.insert(*component);
            }
            Event::Started { component, .. } => {
                found.announced.remove(component);
                found.started.insert(*component);
            }
            Event::Applied { component, .. }
            | Event::AttemptFailed { component, .. }
            | Event::Ready { component, .. }
            | Event::Skipped { component, .. } => {
                found.announced.remove(component);
                found.started.remove(component);
            }
            _ => {}
        }
    }
    found
}

/// Components that are ready.
pub(super) fn ready(records: &[Record]) -> BTreeMap<ComponentId, &Record> {
    let ready = |record: &Record| matches!(record.event, Event::Ready { .. });
    let of = |record: &Record| component(&record.event).unwrap();
    records.iter().filter(|record| ready(record)).map(|record| (of(record), record)).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are about the whole run")]
fn component(event: &Event) -> Option<ComponentId> {
    match event {
        Event::Started { component, .. } | Event::Ready { component, .. } => Some(*component),
        _ => None,
    }
}

/// What does not depend on when things happened: how the run ended, and each failure with its cost.
pub(super) fn class(status: &Value) -> Value {
    let summary = &status["summary"];
    let failures = summary["failures"].as_array().into_iter().flatten().map(|failure| {
        json!({
            "component": failure["component"], "attempt": failure["attempt"], "phase": failure["phase"],
            "code": failure["failure"]["code"], "class": failure["failure"]["class"], "skipped": failure["skipped"],
        })
    });
    let number = |field: &str| summary[field].as_u64().unwrap_or_default();
    let mut class = json!({
        "state": status["state"]["name"], "failures": failures.collect::<Vec<_>>(),
        // An object that was made by a write whose answer is lost counts as changed.
        "written": number("created") + number("changed"),
    });
    for field in [
        "outcome",
        "exitCode",
        "components",
        "unchanged",
        "ready",
        "failed",
        "cancelled",
        "skipped",
        "givenUp",
        "notStarted",
        "underWay",
    ] {
        class[field] = summary[field].clone();
    }
    class
}

/// Attempts of eve to write each object.
pub(super) fn writes(entries: &Entries, namespace: &str) -> BTreeMap<ObjectName, usize> {
    // A write of what must not exist yet (a resource version that no object has) is refused where a killed process has made
    // it, and has written nothing.
    let own = entries.by_user("eve").in_namespace(namespace).writes().filter(|entry| entry.code != Some(409));
    own.count_by(|entry| (entry.resource.clone(), entry.name.clone()))
}

/// Uid and version of each object.
pub(super) type Identities = BTreeMap<ObjectName, (Value, Value)>;

/// What there was when a process was killed.
pub(super) struct Snapshot {
    pub(super) identities: Identities,
    /// Objects of which the write was recorded.
    pub(super) applied: BTreeSet<ObjectName>,
}

/// Who the objects are, and which version of their spec they have; of those without a generation, which version at all.
pub(super) async fn identities(desk: &Desk<'_>) -> Identities {
    let client = desk.control_plane().admin_client().await;
    let mut found = BTreeMap::new();
    for (group, resource) in [
        ("apis/apps/v1", "deployments"),
        ("apis/batch/v1", "jobs"),
        ("api/v1", "services"),
        ("api/v1", "configmaps"),
        ("api/v1", "secrets"),
    ] {
        let path = format!("/{group}/namespaces/{}/{resource}", desk.namespace());
        let list: Value = client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
        for object in list["items"].as_array().unwrap() {
            let metadata = &object["metadata"];
            let version = metadata.get("generation").unwrap_or(&metadata["resourceVersion"]).clone();
            let name = (resource.to_owned(), metadata["name"].as_str().unwrap().to_owned());
            found.insert(name, (metadata["uid"].clone(), version));
        }
    }
    found
}

/// Every object that was there is the same, and those of which the write was recorded have the version that they had.
pub(super) fn untouched(before: &Snapshot, after: &Identities) -> Vec<String> {
    let is_same = |name: &ObjectName, (uid, version): &(Value, Value)| {
        let now = after.get(name);
        now.is_some_and(|(now, _)| now == uid)
            && (!before.applied.contains(name) || now.is_some_and(|(_, now)| now == version))
    };
    let changed = before.identities.iter().filter(|(name, was)| !is_same(name, was));
    let mut broken: Vec<String> =
        changed.map(|(name, was)| format!("{name:?} was {was:?} and is {:?}", after.get(name))).collect();
    let lost = before.applied.iter().filter(|name| !before.identities.contains_key(*name));
    broken.extend(lost.map(|name| format!("{name:?} is recorded as applied and was not there")));
    broken
}

/// Objects that eve wrote, by what the journal says.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are about no write")]
pub(super) fn applied(graph: &[Node], records: &[Record]) -> BTreeSet<ObjectName> {
    let object = |record: &Record| match &record.event {
        Event::Applied { component, .. } => graph[component.index()].object(),
        _ => None,
    };
    records.iter().filter_map(object).collect()
}

/// Every component that was written was so once at least, and only those in flight at a kill once more for each.
pub(super) fn written_once(
    graph: &[Node],
    undisturbed: &BTreeMap<ObjectName, usize>,
    written: &BTreeMap<ObjectName, usize>,
    interrupted: &BTreeMap<ObjectName, usize>,
) -> Vec<String> {
    let known: BTreeSet<ObjectName> = graph.iter().filter_map(Node::object).collect();
    let mut broken: Vec<String> = written
        .keys()
        .filter(|name| !known.contains(*name))
        .map(|name| format!("{name:?} is written and not of the plan"))
        .collect();
    for name in known {
        let count = |counts: &BTreeMap<ObjectName, usize>| counts.get(&name).copied().unwrap_or_default();
        let (least, found) = (count(undisturbed), count(written));
        let most = least + count(interrupted);
        if found < least || found > most {
            broken.push(format!("{name:?} is written {found} times, not {least} to {most} times"));
        }
    }
    broken
}

/// No component was started, and none written, before each of its dependencies was ready: in the journal by the places of
/// records, in the audit log by its times and by the last that became of the dependency's pods.
pub(super) fn in_order(
    graph: &[Node],
    records: &[Record],
    entries: &Entries,
    namespace: &str,
) -> Vec<String> {
    let ready = ready(records);
    let own = entries.in_namespace(namespace);
    let mut broken = Vec::new();
    for record in records {
        let Event::Started { component, .. } = record.event else { continue };
        let node = &graph[component.index()];
        let first = node.object().and_then(|object| first_write(&own, &object));
        if let Some(first) = first
            && received(first) < intended(records, component).at
        {
            broken.push(format!("{} is written before the record of what was intended", node.name));
        }
        for dependency in &node.after {
            let needed = &graph[*dependency];
            let Some(is_ready) =
                ready.iter().find(|(id, _)| id.index() == *dependency).map(|(_, ready)| *ready)
            else {
                broken.push(format!("{} starts though {} is not ready", node.name, needed.name));
                continue;
            };
            if is_ready.seq > record.seq {
                broken.push(format!("{} starts before {} is ready", node.name, needed.name));
            }
            let Some(first) = first else { continue };
            if received(first) < is_ready.at {
                broken.push(format!("{} is written before {} is ready", node.name, needed.name));
            }
            if last_of_pods(&own, needed).is_some_and(|last| last > first.position) {
                broken.push(format!("{} is written before the pods of {} are ready", node.name, needed.name));
            }
        }
    }
    broken
}

/// The first record that lets this component be written.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others let nothing be written")]
fn intended(records: &[Record], wanted: ComponentId) -> &Record {
    let lets = |record: &&Record| match record.event {
        Event::Announced { component } | Event::Started { component, .. } => component == wanted,
        _ => false,
    };
    records.iter().find(lets).unwrap()
}

fn first_write<'a>(own: &'a Entries, (resource, name): &ObjectName) -> Option<&'a Entry> {
    let is_it = |entry: &&Entry| {
        entry.user == "eve" && entry.is_write() && entry.resource == *resource && entry.name == *name
    };
    own.iter().find(is_it)
}

/// Where in the audit log the nodes last said something of the pods of a workload that has become ready.
fn last_of_pods(own: &Entries, node: &Node) -> Option<usize> {
    let (resource, name) = node.object()?;
    if !matches!(resource.as_str(), "deployments" | "jobs") {
        return None;
    }
    let prefix = format!("{name}-");
    let of_pods = own.iter().filter(|entry| {
        entry.user == NODES
            && entry.resource == "pods"
            && entry.subresource == "status"
            && entry.name.starts_with(&prefix)
    });
    Some(of_pods.map(|entry| entry.position).max().unwrap_or(usize::MAX))
}

fn received(entry: &Entry) -> Timestamp {
    let at: jiff::Timestamp = entry.received.parse().unwrap();
    Timestamp::from_micros(u64::try_from(at.as_microsecond()).unwrap())
}

/// Nothing is held any more: whoever wants the run or its plan can have them.
pub(super) fn let_go(desk: &Desk<'_>, run: &RunId) -> Vec<String> {
    desk.runs()
        .resume(run)
        .err()
        .map(|error| format!("something is left locked: {error}"))
        .into_iter()
        .collect()
}

/// No file of eve's has the secret of the plan, in whatever form.
pub(super) fn no_secrets(desk: &Desk<'_>) -> Vec<String> {
    let mut scan = CanaryScan::new([Canary::of(CANARY)]);
    for file in desk.files() {
        scan.sink(file.display().to_string(), std::fs::read(&file).unwrap());
    }
    scan.leaks().iter().map(|leak| format!("{} has a secret in it", leak.sink)).collect()
}
