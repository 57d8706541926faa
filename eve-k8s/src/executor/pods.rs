//! The pods behind a workload while it is waited for, and the evidence of what keeps them down. Reads only.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::plan::graph::Graph;
use serde_json::Value;

use super::KubeExecutor;
use crate::client::{Collection, Instance, Location};
use crate::discovery::Resource;
use crate::error::ApiError;
use crate::live::{Phase, Subscription, Topic, Wanted};
use crate::path::PathSegment;
use crate::readiness::text;
use crate::reasons::{self, Finding, Trouble};

const REPLICA_SET: &str = "ReplicaSet";
/// How many events of a pod are told.
const EVENTS_MAX: usize = 5;
/// How many lines of a log are told.
const LINES_MAX: usize = 10;
/// How much of an event or a line is told, in characters.
const LINE_CHARS_MAX: usize = 300;
/// How long gathering evidence may take in all: the failure is known already.
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pods that one workload owns, directly or over its replica sets.
pub(super) struct Pods {
    graph: Arc<Graph>,
    namespace: PathSegment,
    kind: Box<str>,
    sets: Option<Subscription>,
    of_owner: Option<(String, Subscription)>,
    resource: Arc<Resource>,
}

impl Pods {
    /// `None` for kinds that own no pods.
    pub(super) fn of(graph: &Arc<Graph>, place: &Location) -> Result<Option<Self>, ApiError> {
        let owns = matches!(
            (place.resource.group(), &*place.resource.kind),
            ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
                | ("batch", "Job")
                | ("", "ReplicationController")
        );
        let Some(namespace) = place.namespace.clone().filter(|_| owns) else { return Ok(None) };
        let resource = Arc::new(Resource::core("pods", "Pod")?);
        let kind = place.resource.kind.clone();
        Ok(Some(Self { graph: Arc::clone(graph), namespace, kind, sets: None, of_owner: None, resource }))
    }

    /// The pods of the revision that the workload rolls out now, as far as they are known.
    pub(super) fn current(
        &mut self,
        executor: &KubeExecutor,
        workload: &Value,
    ) -> Result<Vec<Arc<Value>>, ApiError> {
        let sets;
        let owner = if *self.kind == *"Deployment" {
            sets = self.replica_sets(executor, workload)?;
            let current = reasons::current_set(workload, sets.iter().map(AsRef::as_ref));
            current.map(|set| (REPLICA_SET, set))
        } else {
            Some((&*self.kind, workload))
        };
        let Some((kind, owner)) = owner.filter(|(_, owner)| !text(owner, "/metadata/uid").is_empty()) else {
            return Ok(Vec::new());
        };
        let kind = Box::<str>::from(kind);
        Ok(self
            .owned(executor, &kind, owner)
            .into_iter()
            .filter(|pod| reasons::is_current(&self.kind, workload, pod))
            .collect())
    }

    /// The pods of revisions before that keep a stateful set from going on, as far as they are known: one that replaces a
    /// pod after the other replaces none while one of them is broken.
    pub(super) fn in_the_way(&self, workload: &Value) -> Vec<Arc<Value>> {
        let is_ordered =
            *self.kind == *"StatefulSet" && text(workload, "/spec/podManagementPolicy") != "Parallel";
        let Some((_, pods)) = self.of_owner.as_ref().filter(|_| is_ordered) else { return Vec::new() };
        let mut pods = pods.owned_by(text(workload, "/metadata/uid"));
        pods.retain(|pod| !reasons::is_current(&self.kind, workload, pod));
        pods
    }

    /// [`Pods::current`], once lists have told what there is or may not. For whoever does not stay.
    pub(super) async fn known(
        &mut self,
        executor: &KubeExecutor,
        workload: &Value,
    ) -> Result<Vec<Arc<Value>>, ApiError> {
        self.current(executor, workload)?;
        if let Some(sets) = &self.sets {
            sets.started().await;
        }
        self.current(executor, workload)?;
        if let Some((_, pods)) = &self.of_owner {
            pods.started().await;
        }
        self.current(executor, workload)
    }

    fn replica_sets(
        &mut self,
        executor: &KubeExecutor,
        workload: &Value,
    ) -> Result<Vec<Arc<Value>>, ApiError> {
        if self.sets.is_none() {
            let resource = Arc::new(Resource::replica_sets()?);
            self.sets = Some(self.subscribe(executor, resource, &self.kind, workload));
        }
        let uid = text(workload, "/metadata/uid");
        Ok(self.sets.as_ref().map(|sets| sets.owned_by(uid)).unwrap_or_default())
    }

    fn owned(&mut self, executor: &KubeExecutor, kind: &str, owner: &Value) -> Vec<Arc<Value>> {
        let uid = text(owner, "/metadata/uid");
        match &self.of_owner {
            Some((known, pods)) if known == uid => pods.owned_by(uid),
            _ => {
                let pods = self.subscribe(executor, Arc::clone(&self.resource), kind, owner);
                let known = pods.owned_by(uid);
                self.of_owner = Some((uid.to_owned(), pods));
                known
            }
        }
    }

    fn subscribe(
        &self,
        executor: &KubeExecutor,
        resource: Arc<Resource>,
        kind: &str,
        owner: &Value,
    ) -> Subscription {
        let topic = Topic::Owner(text(owner, "/metadata/uid").to_owned());
        let owner = Some((kind, text(owner, "/metadata/name")));
        executor.live.subscribe(&self.collection(resource), Wanted { graph: &self.graph, topic, owner })
    }

    fn collection(&self, resource: Arc<Resource>) -> Collection {
        // Labels of eve are never on pod templates, so there is none to select by.
        Collection { resource, namespace: Some(self.namespace.clone()), label: None }
    }

    /// Returns when something about the pods has changed. Cancel safe.
    pub(super) async fn changed(&self) {
        let sets = async {
            match &self.sets {
                Some(sets) => sets.changed().await,
                None => std::future::pending().await,
            }
        };
        let pods = async {
            match &self.of_owner {
                Some((_, pods)) => pods.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = sets => {}, () = pods => {} }
    }

    /// Whether pods can be watched, so that one which is not seen is not there.
    pub(super) fn are_known(&self) -> bool {
        self.of_owner.as_ref().is_some_and(|(_, feed)| feed.phase() == Phase::Live)
    }
}

/// What shows what happened.
#[derive(Debug, Default)]
struct Evidence {
    events: Vec<String>,
    log: Vec<String>,
}

impl Evidence {
    fn added_to(self, failure: Failure) -> Failure {
        let failure = self.events.into_iter().fold(failure, Failure::with_note);
        self.log.into_iter().fold(failure, Failure::with_log)
    }
}

/// Where evidence is looked for.
#[derive(Default)]
struct Witness<'a> {
    /// The name of the pod; empty where no pod could be made.
    pod: &'a str,
    container: &'a str,
    /// Whether, and of which instance, the log tells anything.
    log: Option<Instance>,
}

impl KubeExecutor {
    /// The failure of a doomed workload, with the last events and log lines of the first pod that shows the cause.
    pub(super) async fn doomed(&self, place: &Location, workload: &Value, finding: &Finding) -> Failure {
        let failure = finding.failure();
        let text = format!("{place}: {}", failure.message);
        let failure = failure.with_message(text);
        let witness = Witness {
            pod: finding.pods.first().map_or("", String::as_str),
            container: &finding.container,
            log: match finding.trouble {
                Trouble::CrashLoop => Some(Instance::Previous),
                Trouble::NotReady if finding.is_running() => Some(Instance::Current),
                Trouble::BadConfig
                | Trouble::ImagePull
                | Trouble::ReplicaFailure
                | Trouble::Unschedulable
                | Trouble::NotReady => None,
            },
        };
        self.evidence(place, workload, &witness).await.added_to(failure)
    }

    /// A failed Job or other workload, with the ends, events and logs of the pods that ended badly.
    pub(super) async fn failed(
        &self,
        place: &Location,
        workload: &Value,
        pods: &[Arc<Value>],
        failure: Failure,
    ) -> Failure {
        let text = format!("{place}: {}", failure.message);
        let findings = self.findings(place, workload, pods).await;
        let ends = reasons::ends(pods.iter().map(AsRef::as_ref));
        // What has ended badly tells more than what is merely not ready.
        let worst = findings.first().filter(|worst| worst.trouble != Trouble::NotReady || ends.is_empty());
        if let Some(finding) = worst {
            let Failure { notes, log, hint, .. } = self.doomed(place, workload, finding).await;
            let hint = failure.hint.clone().or(hint);
            // What was told last may say so already, in fewer words.
            let text = match text.strip_suffix(&finding.cause().message) {
                Some(before) => format!("{before}{}", finding.text()),
                None => format!("{text}; {}", finding.text()),
            };
            return Failure { notes, log, hint, ..failure.with_message(text) };
        }
        let Some((pod, container, end)) = ends.last() else {
            let evidence = self.evidence(place, workload, &Witness::default()).await;
            return evidence.added_to(failure.with_message(text));
        };
        let text = format!("{text}; container `{container}` of pod {pod} ended with {end}");
        let failure = failure.with_message(text);
        let witness = Witness { pod, container, log: Some(Instance::Current) };
        self.evidence(place, workload, &witness).await.added_to(failure)
    }

    /// What is wrong with the pods, the worst first, those included that are refused.
    async fn findings(&self, place: &Location, workload: &Value, pods: &[Arc<Value>]) -> Vec<Finding> {
        let mut findings = reasons::findings(pods.iter().map(AsRef::as_ref));
        findings.extend(reasons::replica_failure(workload));
        if pods.len() < reasons::wanted(&place.resource.kind, workload) {
            let events = self.raw_events(place, text(workload, "/metadata/uid"));
            let events = tokio::time::timeout(EVIDENCE_TIMEOUT, events).await.unwrap_or_default();
            findings.extend(reasons::refusal(&events));
        }
        findings.sort_by_key(|finding| finding.trouble);
        findings
    }

    /// Lines that show what happened; as many as could be had in time. Best effort: no error comes out of here.
    async fn evidence(&self, place: &Location, workload: &Value, witness: &Witness<'_>) -> Evidence {
        let (Some(namespace), Ok(name), Ok(pods)) =
            (&place.namespace, PathSegment::name(witness.pod), Resource::core("pods", "Pod"))
        else {
            let events = self.events(place, text(workload, "/metadata/uid"));
            let events = tokio::time::timeout(EVIDENCE_TIMEOUT, events).await.unwrap_or_default();
            return Evidence { events, log: Vec::new() };
        };
        let pod = Location { resource: Arc::new(pods), namespace: Some(namespace.clone()), name };
        let gather = async {
            let about = self.client.get(&pod).await.unwrap_or_default();
            let events = self.events(place, text(&about, "/metadata/uid"));
            let lines = async {
                match witness.log {
                    None => Vec::new(),
                    Some(instance) => self.last_lines(&pod, witness.container, instance).await,
                }
            };
            let (events, log) = tokio::join!(events, lines);
            Evidence { events, log }
        };
        tokio::time::timeout(EVIDENCE_TIMEOUT, gather).await.unwrap_or_default()
    }

    /// The last events about the object of this uid, oldest first; those that say the same are one.
    pub(super) async fn events(&self, place: &Location, uid: &str) -> Vec<String> {
        let events = reasons::grouped(&self.raw_events(place, uid).await);
        let skip = events.len().saturating_sub(EVENTS_MAX);
        events.iter().skip(skip).map(|event| cut(&format!("event {event}"))).collect()
    }

    /// All events about the object of this uid, oldest first; none where they cannot be read.
    pub(super) async fn raw_events(&self, place: &Location, uid: &str) -> Vec<Value> {
        let Some(namespace) = place.namespace.as_ref().filter(|_| !uid.is_empty()) else { return Vec::new() };
        let Ok(mut list) = self.client.events(namespace, uid).await else { return Vec::new() };
        let mut events =
            list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        events.sort_by_cached_key(|event| {
            let times =
                ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"];
            times.iter().map(|time| text(event, time)).find(|time| !time.is_empty()).map(str::to_owned)
        });
        events
    }

    async fn last_lines(&self, pod: &Location, container: &str, instance: Instance) -> Vec<String> {
        let mut log = self.client.log(pod, container, instance, LINES_MAX).await;
        if log.is_err() && instance == Instance::Previous {
            log = self.client.log(pod, container, Instance::Current, LINES_MAX).await;
        }
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let skip = lines.len().saturating_sub(LINES_MAX);
        lines.iter().skip(skip).map(|line| cut(&format!("log {container}: {line}"))).collect()
    }
}

/// One line, without control characters, cut.
fn cut(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_CHARS_MAX).collect()
}
