//! In which order things were told and written: plan after plan in each namespace, dependant after dependency in each plan.

use std::collections::BTreeMap;

use eve_testbed::audit::Entries;
use serde_json::Value;

use crate::batch::{Fate, Sent};
use crate::world::{Told, World};

/// What of the order was not kept.
pub(crate) async fn broken(world: &World, sent: &[Sent], told: &[Told]) -> Vec<String> {
    let audit = world.control_plane.audit().settle().await;
    let mut broken = Vec::new();
    for namespace in &world.namespaces {
        let here: Vec<&Sent> = sent.iter().filter(|sent| sent.namespace == *namespace).collect();
        let ran: Vec<&Sent> = here.iter().copied().filter(|sent| sent.fate != Fate::Refused).collect();
        broken.extend(numbers(namespace, &ran, told));
        // What an API server was killed over has no answer, and may have been done.
        let writes = audit.by_user("eve").in_namespace(namespace).writes();
        let writes = Writes::of(&writes.filter(|entry| entry.code.is_none_or(|code| code < 400)));
        for sent in here.iter().filter(|sent| sent.fate == Fate::Refused) {
            if writes.of_plan(sent).is_some() {
                broken.push(format!("{} was refused and written", sent.request));
            }
        }
        broken.extend(one_after_another(&ran, &writes));
        let dates = ready(world, namespace).await;
        broken.extend(ran.iter().flat_map(|sent| dependants(sent, &writes, &dates)));
        broken.extend(latest(world, namespace, &ran).await);
    }
    broken
}

/// The notices of a namespace are numbered in the order in which its plans were sent.
fn numbers(namespace: &str, ran: &[&Sent], told: &[Told]) -> Vec<String> {
    let number = |sent: &&Sent| {
        let told = told.iter().find(|told| told.request() == sent.request);
        told.and_then(|told| told.notice["sequence"].as_u64()).unwrap_or(0)
    };
    let numbers: Vec<u64> = ran.iter().map(number).collect();
    let rising = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    if rising { Vec::new() } else { vec![format!("the plans of {namespace} were answered as {numbers:?}")] }
}

/// When each object was written, by the API server's clock.
struct Writes(BTreeMap<String, (String, String)>);

impl Writes {
    fn of(entries: &Entries) -> Self {
        let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
        for entry in entries.iter() {
            let at = entry.received.clone();
            let times = all.entry(entry.name.clone()).or_insert_with(|| (at.clone(), at.clone()));
            times.0 = times.0.clone().min(at.clone());
            times.1 = times.1.clone().max(at);
        }
        Self(all)
    }

    /// The first and the last time that anything of a plan was written.
    fn of_plan(&self, sent: &Sent) -> Option<(&str, &str)> {
        let end = format!("-{}", sent.request);
        let own = self.0.iter().filter(|(name, _)| name.ends_with(&end)).map(|(_, times)| times);
        own.fold(None, |span, (first, last)| match span {
            None => Some((first.as_str(), last.as_str())),
            Some((from, to)) => Some((from.min(first), to.max(last))),
        })
    }
}

fn one_after_another(ran: &[&Sent], writes: &Writes) -> Vec<String> {
    let mut broken = Vec::new();
    let mut before: Option<(&str, &str)> = None;
    for sent in ran {
        let Some((first, last)) = writes.of_plan(sent) else {
            // One that was stopped before its turn writes nothing.
            if sent.fate == Fate::Succeeded {
                broken.push(format!("nothing of {} was written", sent.request));
            }
            continue;
        };
        if let Some((other, until)) = before.filter(|(_, until)| *until >= first) {
            broken
                .push(format!("{} was written at {first}, before {other} was over at {until}", sent.request));
        }
        before = Some((&sent.request, last));
    }
    broken
}

/// Since when each deployment of a namespace is available, to the second.
async fn ready(world: &World, namespace: &str) -> BTreeMap<String, String> {
    let list = world.object(&format!("/apis/apps/v1/namespaces/{namespace}/deployments")).await.unwrap();
    let since = |deployment: &Value| {
        let conditions = deployment["status"]["conditions"].as_array()?;
        let is_it = |condition: &&Value| condition["type"] == "Available" && condition["status"] == "True";
        let at = conditions.iter().find(is_it)?["lastTransitionTime"].as_str()?;
        Some((deployment["metadata"]["name"].as_str()?.to_owned(), at.to_owned()))
    };
    list["items"].as_array().unwrap().iter().filter_map(since).collect()
}

/// No component was written before what it depends on was written, and before that was ready.
fn dependants(sent: &Sent, writes: &Writes, ready: &BTreeMap<String, String>) -> Vec<String> {
    let mut broken = Vec::new();
    let components = sent.plan["spec"]["components"].as_array().unwrap();
    let object = |component: &Value| component["manifests"]["objects"][0].clone();
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    for component in components {
        let dependant = name(&object(component));
        // Others write `latest` too.
        if dependant == "latest" {
            continue;
        }
        let Some((first, _)) = writes.0.get(&dependant) else { continue };
        for dependency in component["dependsOn"].as_array().unwrap() {
            let dependency = components.iter().find(|other| other["name"] == *dependency).unwrap();
            let found = object(dependency);
            let written = writes.0.get(&name(&found)).map(|(first, _)| first);
            if written.is_none_or(|written| written >= first) {
                broken.push(format!("{dependant} was written at {first}, {} at {written:?}", name(&found)));
            }
            // Times of conditions are in whole seconds, cut off.
            let since = ready.get(&name(&found));
            let in_time = since.is_some_and(|since| since.trim_end_matches('Z') <= first.as_str());
            if found["kind"] == "Deployment" && !in_time {
                broken.push(format!(
                    "{dependant} was written at {first}, {} was ready at {since:?}",
                    name(&found)
                ));
            }
        }
    }
    broken
}

/// What all plans of a namespace write is as the last of them wrote it.
async fn latest(world: &World, namespace: &str, ran: &[&Sent]) -> Option<String> {
    let last = ran.iter().rfind(|sent| sent.fate == Fate::Succeeded)?;
    let found = world.object(&format!("/api/v1/namespaces/{namespace}/configmaps/latest")).await;
    let found = found.unwrap_or_default()["data"]["request"].clone();
    (found != last.request).then(|| format!("{namespace} is as {found} left it, not as {}", last.request))
}
