//! Why a workload does not get up: from the state of its pods to findings, and from findings to a verdict. Pure.
//!
//! A finding is one cause in one container, however many pods show it. Each cause has a grace, counted from when it was
//! first seen without a break; the time comes in as data.

use std::collections::BTreeMap;
use std::time::Duration;

use eve_core::failure::{Cause, Failure};
use eve_core::time::Timestamp;
use serde_json::Value;

use crate::labels;
use crate::readiness::{condition, integer, text};

pub(crate) mod causes;
mod events;
mod graces;
mod missing;

pub use causes::{Trouble, UnknownTrouble};
pub(crate) use events::grouped;
pub use graces::{Grace, Graces};
pub(crate) use missing::missing;

/// The reason of a container that runs: Kubernetes gives none.
const RUNNING: &str = "Running";

/// One cause, with all the pods that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) trouble: Trouble,
    /// Empty where the trouble is not that of a container.
    pub(crate) container: String,
    /// What Kubernetes calls it.
    pub(crate) reason: String,
    /// What Kubernetes says about it, of the first pod.
    pub(crate) message: String,
    /// Names of pods, in order of names; empty where there are none.
    pub(crate) pods: Vec<String>,
    /// The most restarts of the container in one pod.
    pub(crate) restarts: u32,
}

impl Finding {
    /// No pod can be made, and why.
    pub(crate) fn refused(reason: &str, message: &str) -> Self {
        Self {
            trouble: Trouble::ReplicaFailure,
            container: String::new(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            pods: Vec::new(),
            restarts: 0,
        }
    }

    /// Whether its container runs, so that it has a log.
    pub(crate) fn is_running(&self) -> bool {
        self.reason == RUNNING
    }

    fn code(&self) -> &'static str {
        self.trouble.row().code
    }

    /// One line for people: where, what, why.
    pub(crate) fn text(&self) -> String {
        let first = self.pods.first().map_or("", String::as_str);
        let pods = match self.pods.len() {
            1 => format!("pod {first}"),
            count => format!("{count} pods (first {first})"),
        };
        let container = &self.container;
        let why = match self.message.as_str() {
            "" => self.reason.clone(),
            message => format!("{}: {message}", self.reason),
        };
        match self.trouble {
            Trouble::CrashLoop => {
                let times = if self.restarts == 1 { "once" } else { &format!("{} times", self.restarts) };
                format!("container `{container}` of {pods} crashed and was restarted {times}: {why}")
            }
            Trouble::BadConfig => format!("container `{container}` of {pods} cannot start: {why}"),
            Trouble::ImagePull => format!("container `{container}` of {pods} cannot pull its image: {why}"),
            Trouble::ReplicaFailure => format!("its pods are refused: {why}"),
            Trouble::Unschedulable => format!("{pods} cannot be scheduled: {}", self.message),
            Trouble::NotReady if self.reason == RUNNING => {
                format!("container `{container}` of {pods} runs but is not ready")
            }
            Trouble::NotReady => format!("container `{container}` of {pods} has not started: {why}"),
        }
    }

    /// What is shown while it is borne. Without counters, which would make each restart look like progress.
    pub(crate) fn cause(&self) -> Cause {
        match self.trouble {
            Trouble::CrashLoop => {
                let first = self.pods.first().map_or("", String::as_str);
                Cause::new(self.code(), format!("container `{}` of pod {first} crashes", self.container))
            }
            Trouble::BadConfig
            | Trouble::ImagePull
            | Trouble::ReplicaFailure
            | Trouble::Unschedulable
            | Trouble::NotReady => Cause::new(self.code(), self.text()),
        }
    }

    /// What ends the wait.
    pub(crate) fn failure(&self) -> Failure {
        let failure = Failure::permanent(self.code(), self.text());
        if self.message.contains("exceeded quota") {
            return failure.with_hint("raise the quota of the namespace, or ask for less");
        }
        failure
    }
}

/// What is wrong with these pods, grouped, the worst first. Pods on their way out say nothing.
pub(crate) fn findings<'a>(pods: impl IntoIterator<Item = &'a Value>) -> Vec<Finding> {
    let mut grouped: BTreeMap<(Trouble, String, String), Finding> = BTreeMap::new();
    for pod in pods {
        if !text(pod, "/metadata/deletionTimestamp").is_empty() {
            continue;
        }
        for found in of_pod(pod) {
            let key = (found.trouble, found.container.clone(), family(&found.reason).to_owned());
            let group = grouped.entry(key).or_insert_with(|| Finding { pods: Vec::new(), ..found.clone() });
            group.restarts = group.restarts.max(found.restarts);
            group.pods.extend(found.pods);
        }
    }
    grouped.into_values().collect()
}

/// Whether the pod is one of these names, and stays, and is not ready.
pub(crate) fn is_down(pod: &Value, names: &[String]) -> bool {
    names.iter().any(|name| name == text(pod, "/metadata/name"))
        && text(pod, "/metadata/deletionTimestamp").is_empty()
        && condition(pod, "Ready").is_none_or(|ready| ready.status != "True")
}

/// Reasons that alternate while one cause lasts.
fn family(reason: &str) -> &str {
    match reason {
        "ImagePullBackOff" => "ErrImagePull",
        other => other,
    }
}

fn of_pod(pod: &Value) -> Vec<Finding> {
    let name = text(pod, "/metadata/name");
    let mut found = Vec::new();
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in pod.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            found.extend(of_container(name, status));
        }
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && (scheduled.status, scheduled.reason) == ("False", "Unschedulable")
    {
        found.push(Finding {
            trouble: Trouble::Unschedulable,
            container: String::new(),
            reason: scheduled.reason.to_owned(),
            message: scheduled.message.to_owned(),
            pods: vec![name.to_owned()],
            restarts: 0,
        });
    }
    found
}

fn of_container(pod: &str, status: &Value) -> Option<Finding> {
    let (reason, message) = (text(status, "/state/waiting/reason"), text(status, "/state/waiting/message"));
    let restarts =
        integer(status, "/restartCount").and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    let crashed =
        |state: &str| integer(status, &format!("/{state}/terminated/exitCode")).is_some_and(|code| code != 0);
    let (trouble, reason, message) = match Trouble::of(reason) {
        Some(Trouble::CrashLoop) => (Trouble::CrashLoop, reason, last_end(status, "lastState")),
        Some(trouble) => (trouble, reason, message.to_owned()),
        // Between a crash and the next start there is a moment without a reason.
        None if crashed("state") && restarts > 0 => {
            (Trouble::CrashLoop, "CrashLoopBackOff", last_end(status, "state"))
        }
        None if status.pointer("/state/running").is_some()
            && status.get("ready") == Some(&Value::Bool(false)) =>
        {
            (Trouble::NotReady, RUNNING, String::new())
        }
        None => return None,
    };
    Some(Finding {
        trouble,
        container: text(status, "/name").to_owned(),
        reason: reason.to_owned(),
        message,
        pods: vec![pod.to_owned()],
        restarts,
    })
}

/// How a container ended: `Error, exit code 1`, `OOMKilled, exit code 137`.
fn last_end(status: &Value, state: &str) -> String {
    let reason = text(status, &format!("/{state}/terminated/reason"));
    let message = text(status, &format!("/{state}/terminated/message")).trim();
    let code = integer(status, &format!("/{state}/terminated/exitCode"));
    let code = code.map(|code| format!("exit code {code}")).unwrap_or_default();
    [reason, &code, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The containers of failed pods that ended with an error, as findings of crashes: why a Job failed.
pub(crate) fn ends<'a>(pods: impl IntoIterator<Item = &'a Value>) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for pod in pods {
        for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
            for status in pod.pointer(list).and_then(Value::as_array).into_iter().flatten() {
                if integer(status, "/state/terminated/exitCode").is_some_and(|code| code != 0) {
                    let name = |pointer: &str, of: &Value| text(of, pointer).to_owned();
                    let end = last_end(status, "state");
                    found.push((name("/metadata/name", pod), name("/name", status), end));
                }
            }
        }
    }
    found
}

/// The refusal of pods that a Deployment or replica set reports.
pub(crate) fn replica_failure(workload: &Value) -> Option<Finding> {
    let failure = condition(workload, "ReplicaFailure").filter(|failure| failure.status == "True")?;
    Some(Finding::refused(failure.reason, failure.message))
}

/// How many pods a workload that reports refusals by events only should have now; 0 for all others.
pub(crate) fn wanted(kind: &str, workload: &Value) -> usize {
    let wanted = match kind {
        "StatefulSet" => integer(workload, "/spec/replicas").unwrap_or(1),
        "DaemonSet" => integer(workload, "/status/desiredNumberScheduled").unwrap_or(1),
        // Pods that have ended may be gone.
        "Job" => 1,
        _ => 0,
    };
    usize::try_from(wanted).unwrap_or_default()
}

/// The refusal that the newest of a workload's events, which are ordered by time, tells of its pods.
pub(crate) fn refusal(events: &[Value]) -> Option<Finding> {
    let of_pods = |event: &&Value| matches!(text(event, "/reason"), "FailedCreate" | "SuccessfulCreate");
    let newest = events.iter().rfind(of_pods).filter(|event| text(event, "/reason") == "FailedCreate")?;
    Some(Finding::refused("FailedCreate", events::message(newest)))
}

/// Remembers since when each cause is there.
pub(crate) struct Patience {
    graces: Graces,
    since: BTreeMap<(Trouble, String), Timestamp>,
}

/// What follows from findings now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The worst cause that is past its grace: waiting is in vain.
    pub(crate) doomed: Option<Finding>,
    /// The worst cause to be shown.
    pub(crate) shown: Option<Finding>,
    /// When the verdict may change by time alone.
    pub(crate) check_at: Option<Timestamp>,
}

impl Patience {
    pub(crate) fn new(graces: Graces) -> Self {
        Self { graces, since: BTreeMap::new() }
    }

    /// Judges what is wrong now; what is no longer in `findings` is forgotten.
    pub(crate) fn judge(&mut self, findings: &[Finding], now: Timestamp) -> Verdict {
        let key = |finding: &Finding| (finding.trouble, finding.container.clone());
        self.since.retain(|known, _| findings.iter().any(|finding| key(finding) == *known));
        let mut verdict = Verdict::default();
        for finding in findings {
            let since = *self.since.entry(key(finding)).or_insert(now);
            let (doomed_after, shown_after) = self.graces_of(finding);
            for after in [doomed_after, Some(shown_after)].into_iter().flatten() {
                let at = since.plus(after);
                if at > now {
                    verdict.check_at = Some(verdict.check_at.map_or(at, |known| known.min(at)));
                }
            }
            if doomed_after.is_some_and(|after| since.plus(after) <= now) && verdict.doomed.is_none() {
                verdict.doomed = Some(finding.clone());
            }
            if since.plus(shown_after) <= now && verdict.shown.is_none() {
                verdict.shown = Some(finding.clone());
            }
        }
        verdict
    }

    /// After how long a finding ends the wait, if it does, and after how long it is shown.
    fn graces_of(&self, finding: &Finding) -> (Option<Duration>, Duration) {
        let ends = match self.graces.of(finding.trouble) {
            Grace::Restarts(limit) => (finding.restarts >= limit).then_some(Duration::ZERO),
            Grace::After(after) => Some(after),
            Grace::Never => None,
        };
        (ends, self.graces.shown(finding.trouble))
    }
}

/// The replica set that a Deployment rolls out now, of all that it owns: the one of its revision.
pub(crate) fn current_set<'a>(
    deployment: &Value,
    sets: impl IntoIterator<Item = &'a Value>,
) -> Option<&'a Value> {
    let wanted = revision(deployment);
    let newest = sets.into_iter().max_by_key(|set| revision(set))?;
    // Older sets are never judged: theirs may be the very trouble that this change repairs.
    (wanted.is_none() || revision(newest) == wanted).then_some(newest)
}

fn revision(object: &Value) -> Option<u64> {
    annotation(object, labels::REVISION)?.parse().ok()
}

/// Whether a pod is of the revision that its `StatefulSet` or `DaemonSet` rolls out now. Other owners have one revision.
pub(crate) fn is_current(kind: &str, workload: &Value, pod: &Value) -> bool {
    let label = |key: &str| pod.get("metadata")?.get("labels")?.get(key)?.as_str();
    if text(workload, "/spec/updateStrategy/type") == "OnDelete" {
        return true;
    }
    match kind {
        "StatefulSet" => {
            let update = text(workload, "/status/updateRevision");
            update.is_empty() || label(labels::CONTROLLER_REVISION_HASH).is_none_or(|hash| hash == update)
        }
        "DaemonSet" => {
            let generation = annotation(workload, labels::TEMPLATE_GENERATION);
            let of_pod = label(labels::POD_TEMPLATE_GENERATION);
            generation.zip(of_pod).is_none_or(|(generation, of_pod)| generation == of_pod)
        }
        _ => true,
    }
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

#[cfg(test)]
mod tests;
