//! The table of readiness: which rule judges which kind. The reference is made from the same rows.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Readiness, daemonset, deployment, gateway, generic, job, network, pod, replicaset, statefulset, storage,
};
use crate::reasons::causes;

/// From an object to its readiness; where the kind states the generation that its status speaks of, that is the current
/// one.
type Judge = fn(&Value) -> Readiness;

/// How objects of a kind are judged.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Written is all they can be.
    AtOnce,
    /// Controllers of the kind always state the generation that the status speaks of; without it nothing has been
    /// reported.
    Observed(Judge),
    /// The generation counts where it is stated.
    Judged(Judge),
    /// As `Judged`, but for objects of which this says by their spec alone that written is all they can be.
    Unless(fn(&Value) -> bool, Judge),
}

/// One row of the table.
pub(super) struct Row {
    /// The API group, empty for the core group.
    group: &'static str,
    /// The kinds; without any, all of the group that no row before names.
    kinds: &'static [&'static str],
    pub(super) rule: Rule,
    ready: &'static str,
    failed: &'static str,
    /// Why so, where kstatus or others do it differently.
    why: &'static str,
}

/// What a row says where it says less than others.
const PLAIN: Row = Row { group: "", kinds: &[], rule: Rule::AtOnce, ready: "written", failed: "", why: "" };

/// All kinds that have a rule of their own; the first row that names a kind counts.
const ROWS: &[Row] = &[
    Row {
        group: "apps",
        kinds: &["Deployment"],
        rule: Rule::Observed(deployment::judge),
        ready: "all replicas are of the current template and available, and none of an old one is left",
        failed: "`ProgressDeadlineExceeded`, unless it said so before the run came to it; paused before it is through",
        ..PLAIN
    },
    Row {
        group: "apps",
        kinds: &["StatefulSet"],
        rule: Rule::Observed(statefulset::judge),
        ready: "all replicas are available, those above the partition updated (`OnDelete`: not asked for)",
        ..PLAIN
    },
    Row {
        group: "apps",
        kinds: &["DaemonSet"],
        rule: Rule::Observed(daemonset::judge),
        ready: "every wanted node runs an available, updated pod (`OnDelete`: not asked for)",
        ..PLAIN
    },
    Row {
        group: "apps",
        kinds: &["ReplicaSet"],
        rule: Rule::Observed(replicaset::judge),
        ready: "all replicas are available, and none is too many",
        ..PLAIN
    },
    Row {
        kinds: &["ReplicationController"],
        rule: Rule::Observed(replicaset::judge),
        ready: "all replicas are available, and none is too many",
        ..PLAIN
    },
    Row {
        group: "batch",
        kinds: &["Job"],
        rule: Rule::Judged(job::judge),
        ready: "complete",
        failed: "condition `Failed`",
        why: "kstatus: already when it runs. Whoever waits for a Job waits for its work. A suspended one is not ready.",
    },
    Row {
        group: "batch",
        kinds: &["CronJob"],
        why: "Its Jobs come by its schedule, not by the run.",
        ..PLAIN
    },
    Row {
        kinds: &["Pod"],
        rule: Rule::Judged(pod::judge),
        ready: "running and ready, or succeeded",
        failed: "phase `Failed`",
        why: "kstatus: a failed pod is current.",
        ..PLAIN
    },
    Row {
        kinds: &["Service"],
        rule: Rule::Unless(network::is_no_balancer, network::service),
        ready: "at once; type `LoadBalancer`: it has an address",
        why: "kstatus: a cluster address is enough. A balancer without an outer address serves nobody.",
        ..PLAIN
    },
    Row {
        group: "networking.k8s.io",
        kinds: &["Ingress"],
        why: "As kstatus. Many controllers never write an address, and none says that a rule is served.",
        ..PLAIN
    },
    Row {
        group: "gateway.networking.k8s.io",
        kinds: &["GatewayClass"],
        rule: Rule::Judged(gateway::class),
        ready: "`Accepted` is true",
        ..PLAIN
    },
    Row {
        group: "gateway.networking.k8s.io",
        kinds: &["Gateway"],
        rule: Rule::Judged(gateway::gateway),
        ready: "`Accepted` and `Programmed` are true",
        why: "Its listeners are judged by the routes that use them.",
        ..PLAIN
    },
    Row {
        group: "gateway.networking.k8s.io",
        kinds: &["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"],
        rule: Rule::Unless(gateway::is_unattached, gateway::route),
        ready: "each of its parents reports `Accepted` and `ResolvedRefs` as true; without parents at once",
        ..PLAIN
    },
    Row { group: "gateway.networking.k8s.io", kinds: &["ReferenceGrant"], ..PLAIN },
    Row {
        kinds: &["PersistentVolumeClaim"],
        rule: Rule::Judged(storage::claim),
        ready: "bound, or waiting for its first consumer",
        failed: "phase `Lost`",
        why: "kstatus: bound only. A claim whose class waits for a pod would be waited for in vain before that pod.",
        ..PLAIN
    },
    Row {
        kinds: &["PersistentVolume"],
        rule: Rule::Judged(storage::volume),
        ready: "available or bound",
        failed: "phase `Failed`",
        ..PLAIN
    },
    Row {
        group: "snapshot.storage.k8s.io",
        kinds: &["VolumeSnapshot"],
        rule: Rule::Judged(storage::snapshot),
        ready: "`readyToUse`",
        why: "It has no conditions. Its controller goes on trying after an error.",
        ..PLAIN
    },
    Row { kinds: &["Namespace"], rule: Rule::Judged(generic::namespace), ready: "active", ..PLAIN },
    Row {
        group: "apiextensions.k8s.io",
        kinds: &["CustomResourceDefinition"],
        rule: Rule::Judged(generic::definition),
        ready: "established",
        failed: "`NamesAccepted` is false",
        ..PLAIN
    },
    Row {
        group: "apiregistration.k8s.io",
        kinds: &["APIService"],
        rule: Rule::Judged(network::api_service),
        ready: "available",
        why: "kstatus: at once. While it is not available its kinds are not served, and namespaces cannot be deleted.",
        ..PLAIN
    },
    Row {
        group: "policy",
        kinds: &["PodDisruptionBudget"],
        rule: Rule::Observed(|_| Readiness::Ready),
        ready: "its controller has seen the generation",
        why: "Whether a disruption is allowed now is the business of its workload.",
        ..PLAIN
    },
    Row {
        group: "autoscaling",
        kinds: &["HorizontalPodAutoscaler"],
        why: "As kstatus. Metrics come minutes after the pods, or never where nobody serves them; the workload's own \
              readiness tells more.",
        ..PLAIN
    },
    Row {
        kinds: &[
            "ConfigMap",
            "Secret",
            "ServiceAccount",
            "LimitRange",
            "ResourceQuota",
            "Endpoints",
            "PodTemplate",
            "Event",
        ],
        ..PLAIN
    },
    Row { group: "apps", kinds: &["ControllerRevision"], ..PLAIN },
    Row { group: "admissionregistration.k8s.io", ..PLAIN },
    Row { group: "authentication.k8s.io", ..PLAIN },
    Row { group: "autoscaling", ..PLAIN },
    Row { group: "certificates.k8s.io", why: "Requests are approved by others.", ..PLAIN },
    Row { group: "coordination.k8s.io", ..PLAIN },
    Row { group: "discovery.k8s.io", ..PLAIN },
    Row { group: "events.k8s.io", ..PLAIN },
    Row { group: "flowcontrol.apiserver.k8s.io", ..PLAIN },
    Row { group: "networking.k8s.io", ..PLAIN },
    Row { group: "node.k8s.io", ..PLAIN },
    Row { group: "rbac.authorization.k8s.io", ..PLAIN },
    Row { group: "resource.k8s.io", why: "Claims of devices are allocated once a pod uses them.", ..PLAIN },
    Row { group: "scheduling.k8s.io", ..PLAIN },
    Row { group: "storage.k8s.io", ..PLAIN },
];

/// Any other kind: custom resources, and what newer clusters have.
const OTHER: Row = Row {
    rule: Rule::Judged(generic::judge),
    ready: "`Stalled` and `Reconciling` are not true, `Synced` is true where it is reported, and the first that is \
            reported of `Ready`, `Available`, `Healthy`, `Succeeded`, `Complete`, `Completed` is true; where none of \
            them is, as soon as there is a status; without any status at once, shown as “applied, no status reported”",
    failed: "`Stalled` is true; `Failed` is true and none of `Ready`, `Available`, `Healthy` is reported",
    why: "kstatus knows `Stalled`, `Reconciling` and `Ready` only.",
    ..PLAIN
};

/// The row of a kind.
pub(super) fn row(group: &str, kind: &str) -> &'static Row {
    let names = |row: &&Row| row.group == group && (row.kinds.is_empty() || row.kinds.contains(&kind));
    ROWS.iter().find(names).unwrap_or(&OTHER)
}

/// The reference of readiness and of causes, as it stands in `docs/reference/readiness.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Readiness\n\nGenerated from `eve-k8s/src/readiness/table.rs` and `eve-k8s/src/reasons/causes.rs`; do not edit.\n\n\
         What eve waits for after it applied an object, before it applies what depends on it. The rules are those of \
         [kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md) but where the last \
         column says otherwise. For all kinds:\n\n\
         - A status or condition with an `observedGeneration` older than the object's `generation` is never judged. \
         Workloads and budgets are not ready before they state theirs.\n\
         - What is being deleted is not ready; its finalizers are named.\n\
         - Nothing can be made in a namespace that is being deleted. One that the plan makes is waited for, until the \
         deadline, and made anew with what the plan has in it. Any other is refused before the first write \
         (`k8s.namespace.terminating`), with what holds it and with its conditions (`NamespaceDeletionContentFailure`, \
         `NamespaceContentRemaining`, `NamespaceFinalizersRemaining`).\n\
         - `until: applied` on a component, or `--until applied=KIND/NAME` on the command line, waives the readiness of \
         an object: it is ready once it is written.\n\n\
         | API group | kinds | ready when | fails when | why so |\n|---|---|---|---|---|\n",
    );
    for row in ROWS {
        let group = if row.group.is_empty() { "core" } else { row.group };
        let kinds: Vec<String> = row.kinds.iter().map(|kind| format!("`{kind}`")).collect();
        let is_alone = ROWS.iter().filter(|other| other.group == row.group).count() == 1;
        let kinds = match kinds.as_slice() {
            [] if is_alone => "all".to_owned(),
            [] => "all others".to_owned(),
            kinds => kinds.join(", "),
        };
        let _ = writeln!(text, "| {group} | {kinds} | {} | {} | {} |", row.ready, row.failed, row.why);
    }
    let _ = writeln!(text, "| any other | all | {} | {} | {} |", OTHER.ready, OTHER.failed, OTHER.why);
    text.push_str(
        "\n## Causes\n\nWhat keeps the pods of a workload down, and how long it is borne. Only pods of the current revision \
         are judged; a grace counts from when the cause was first seen without a break. Many pods with one cause are \
         one finding. A wait that ends tells pod, container, reason, the last events, and the last lines of the log. \
         `--grace CAUSE=…` on the command line says otherwise what ends a wait: CAUSE is the last word of the code.\n\n",
    );
    text.push_str(&causes::markdown());
    text.push_str(
        "\nA failure of the first table ends the wait at once. Everything else ends it at the deadline, with the last \
         cause that was seen.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::readiness::judge;

    /// For each row that judges: an object that is ready, one that is not yet, and, where the row says so, one that has
    /// failed. Each has the generation 1, and its status speaks of it.
    fn cases() -> Vec<(&'static str, &'static str, [Value; 3])> {
        let status = |status: Value| json!({ "status": status });
        let condition = |kind: &str, status: &str| json!({ "status": { "conditions": [{ "type": kind, "status": status }] } });
        let phase = |phase: &str| json!({ "status": { "phase": phase } });
        let none = || Value::Null;
        let accepted = |status: &str| condition("Accepted", status);
        let programmed = json!({ "status": { "conditions": [
            { "type": "Accepted", "status": "True" }, { "type": "Programmed", "status": "True" }] } });
        let route = |status: &str| {
            json!({ "spec": { "parentRefs": [{ "name": "g" }] }, "status": { "parents": [
                { "parentRef": { "name": "g" }, "controllerName": "x", "conditions": [
                    { "type": "Accepted", "status": status }, { "type": "ResolvedRefs", "status": "True" }] }] } })
        };
        let balancer = |ingress: Value| json!({ "spec": { "type": "LoadBalancer" }, "status": { "loadBalancer": { "ingress": ingress } } });
        let up = || status(json!({ "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 }));
        let late = status(
            json!({ "conditions": [{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }] }),
        );
        let scheduled = |available: u32| {
            status(
                json!({ "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": available }),
            )
        };
        let running = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        let names = |status: &str| condition("NamesAccepted", status);
        let mut cases = vec![
            ("apps", "Deployment", [up(), status(json!({})), late]),
            ("apps", "StatefulSet", [up(), status(json!({})), none()]),
            ("apps", "DaemonSet", [scheduled(1), scheduled(0), none()]),
            ("apps", "ReplicaSet", [up(), status(json!({})), none()]),
            ("", "ReplicationController", [up(), status(json!({})), none()]),
            ("batch", "Job", [condition("Complete", "True"), none(), condition("Failed", "True")]),
            ("", "Pod", [running, phase("Pending"), phase("Failed")]),
            ("", "Service", [balancer(json!([{ "ip": "192.0.2.1" }])), balancer(json!([])), none()]),
            ("gateway.networking.k8s.io", "GatewayClass", [accepted("True"), accepted("False"), none()]),
            ("gateway.networking.k8s.io", "Gateway", [programmed, accepted("True"), none()]),
            ("", "PersistentVolumeClaim", [phase("Bound"), phase("Pending"), phase("Lost")]),
            ("", "PersistentVolume", [phase("Bound"), phase("Pending"), phase("Failed")]),
            (
                "snapshot.storage.k8s.io",
                "VolumeSnapshot",
                [status(json!({ "readyToUse": true })), none(), none()],
            ),
            ("", "Namespace", [phase("Active"), none(), none()]),
            (
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                [condition("Established", "True"), none(), names("False")],
            ),
            ("apiregistration.k8s.io", "APIService", [condition("Available", "True"), none(), none()]),
            ("policy", "PodDisruptionBudget", [status(json!({})), none(), none()]),
            (
                "x.dev",
                "Thing",
                [condition("Ready", "True"), condition("Ready", "False"), condition("Stalled", "True")],
            ),
        ];
        for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"] {
            cases.push(("gateway.networking.k8s.io", kind, [route("True"), route("False"), none()]));
        }
        cases
    }

    #[test]
    fn every_row_judges_as_it_says() {
        let cases = cases();
        for (group, kind, objects) in &cases {
            let [ready, waits, failed] = objects.each_ref().map(|object| seen(group, kind, object));
            assert_eq!(ready, Readiness::Ready, "{kind}");
            assert!(matches!(waits, Readiness::InProgress(_)), "{kind}: {waits:?}");
            let may_fail = !row(group, kind).failed.is_empty();
            assert_eq!(matches!(failed, Readiness::Failed(_)), may_fail, "{kind}: {failed:?}");
        }
        for row in ROWS {
            let kinds = if row.kinds.is_empty() { &["Anything"] } else { row.kinds };
            for kind in kinds {
                if matches!(row.rule, Rule::AtOnce) {
                    assert_eq!(judge(row.group, kind, &json!({})), Readiness::Ready, "{kind}");
                } else {
                    let is_tested = cases.iter().any(|case| (case.0, case.1) == (row.group, *kind));
                    assert!(is_tested, "{kind} has no case");
                }
            }
        }
    }

    /// Judges an object of generation 1 whose status, if there is one, speaks of that generation.
    fn seen(group: &str, kind: &str, object: &Value) -> Readiness {
        let mut object = object.clone();
        object["metadata"] = json!({ "generation": 1 });
        if object["status"].is_object() {
            object["status"]["observedGeneration"] = json!(1);
        }
        judge(group, kind, &object)
    }

    #[test]
    fn every_row_is_reached_and_none_names_a_kind_twice() {
        let mut named = BTreeSet::new();
        for row in ROWS {
            assert!(
                !named.contains(&(row.group, "")),
                "a row of {} is behind the one for all of it",
                row.group
            );
            assert!(!row.kinds.is_empty() || !row.group.is_empty(), "kinds of the core group are listed");
            let kinds = if row.kinds.is_empty() { &[""] } else { row.kinds };
            for kind in kinds {
                assert!(named.insert((row.group, *kind)), "{} {kind}", row.group);
            }
        }
    }

    #[test]
    fn cells_hold_no_bar() {
        for row in ROWS.iter().chain([&OTHER]) {
            let cells = [row.ready, row.failed, row.why];
            assert!(cells.iter().all(|cell| !cell.contains('|')), "{}", row.ready);
        }
    }
}
