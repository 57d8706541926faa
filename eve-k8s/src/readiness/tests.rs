//! The readiness table: one line a rule.

#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

use serde_json::{Value, json};

use super::*;

/// `expected` is `ready`, `no status`, `…: message` of a cause, or `failed …: message`.
fn check(group: &str, kind: &str, object: &Value, expected: &str) {
    let said = match judge(group, kind, object) {
        Readiness::Ready => "ready".to_owned(),
        Readiness::NoStatus => "no status".to_owned(),
        Readiness::InProgress(cause) => format!("{}: {}", cause.code, cause.message),
        Readiness::Failed(failure) => format!("failed {}: {}", failure.code, failure.message),
    };
    assert_eq!(said, expected, "{kind} {object}");
}

/// An object of generation 2 with this spec and a status that has seen generation 2.
fn seen(spec: Value, status: Value) -> Value {
    let mut status = status;
    status["observedGeneration"] = json!(2);
    json!({ "metadata": { "generation": 2 }, "spec": spec, "status": status })
}

fn replicas(updated: i64, all: i64, available: i64) -> Value {
    json!({ "updatedReplicas": updated, "replicas": all, "availableReplicas": available, "readyReplicas": available })
}

fn conditions(entries: &[(&str, &str, &str, &str)]) -> Value {
    let entry = |(kind, status, reason, message): &(&str, &str, &str, &str)| json!({ "type": kind, "status": status, "reason": reason, "message": message });
    json!({ "conditions": entries.iter().map(entry).collect::<Vec<_>>() })
}

#[test]
fn deployments() {
    let three = || json!({ "replicas": 3 });
    let check = |spec: Value, status: Value, expected: &str| {
        check("apps", "Deployment", &seen(spec, status), expected);
    };
    check(three(), replicas(3, 3, 3), "ready");
    check(three(), replicas(1, 3, 3), "k8s.deployment.updating: 1 of 3 replicas are updated");
    check(three(), replicas(3, 4, 3), "k8s.deployment.old-replicas: 1 old replica still runs");
    check(three(), replicas(3, 5, 3), "k8s.deployment.old-replicas: 2 old replicas still run");
    check(three(), replicas(3, 3, 1), "k8s.deployment.unavailable: 1 of 3 replicas are available");
    check(json!({}), replicas(1, 1, 0), "k8s.deployment.unavailable: 0 of 1 replica is available");
    check(json!({ "replicas": 0 }), json!({}), "ready");
    check(json!({ "replicas": 3, "paused": true }), replicas(3, 3, 3), "ready");
    check(
        json!({ "replicas": 3, "paused": true }),
        replicas(0, 3, 3),
        "failed k8s.deployment.paused: the Deployment is paused: 0 of 3 replicas are updated",
    );
    let mut late = replicas(3, 3, 1);
    late["conditions"] =
        json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
    check(
        three(),
        late.clone(),
        "failed k8s.deployment.deadline: no progress within the Deployment's own deadline: 1 of 3 replicas are available",
    );
}

#[test]
fn a_status_of_an_older_generation_is_not_judged() {
    let unseen = "k8s.object.unseen: its controller has not seen this change yet";
    let mut late = replicas(3, 3, 3);
    late["observedGeneration"] = json!(6);
    late["conditions"] =
        json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
    let stale = json!({ "metadata": { "generation": 7 }, "spec": { "replicas": 3 }, "status": late });
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] {
        check("apps", kind, &stale, unseen);
        check("apps", kind, &json!({ "metadata": { "generation": 1 } }), unseen);
    }
    check("policy", "PodDisruptionBudget", &stale, unseen);
    check("policy", "PodDisruptionBudget", &seen(json!({}), json!({})), "ready");
    let mut custom = conditions(&[("Ready", "True", "", "")]);
    custom["observedGeneration"] = json!(1);
    check("x.dev", "Thing", &json!({ "metadata": { "generation": 2 }, "status": custom }), unseen);
}

#[test]
fn what_is_being_deleted_is_not_ready() {
    let mut object = seen(json!({ "replicas": 0 }), json!({}));
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check("apps", "Deployment", &object, "k8s.object.terminating: it is being deleted");
    object["metadata"]["finalizers"] = json!(["x.dev/keep"]);
    let blocked = "k8s.object.terminating: it is being deleted; blocked by the finalizers x.dev/keep";
    check("apps", "Deployment", &object, blocked);
    check("", "ConfigMap", &object, blocked);
}

#[test]
fn stateful_sets() {
    let check = |spec: Value, status: Value, expected: &str| {
        check("apps", "StatefulSet", &seen(spec, status), expected);
    };
    let three = || json!({ "replicas": 3 });
    check(three(), replicas(3, 3, 3), "ready");
    check(three(), replicas(1, 1, 1), "k8s.statefulset.creating: 1 of 3 replicas are created");
    check(three(), replicas(3, 4, 3), "k8s.statefulset.scaling: 1 replicas too many still run");
    check(three(), replicas(1, 3, 3), "k8s.statefulset.updating: 1 of 3 replicas are updated");
    check(three(), replicas(3, 3, 2), "k8s.statefulset.unavailable: 2 of 3 replicas are available");
    check(json!({ "replicas": 0 }), json!({}), "ready");
    let mut through = replicas(0, 3, 3);
    through["currentRevision"] = json!("web-1");
    through["updateRevision"] = json!("web-1");
    check(three(), through, "ready");
    let partition = || json!({ "replicas": 3, "updateStrategy": { "rollingUpdate": { "partition": 2 } } });
    check(partition(), replicas(1, 3, 3), "ready");
    check(partition(), replicas(0, 3, 3), "k8s.statefulset.updating: 0 of 1 replica is updated");
    let on_delete = || json!({ "replicas": 3, "updateStrategy": { "type": "OnDelete" } });
    check(on_delete(), replicas(0, 3, 3), "ready");
    check(on_delete(), replicas(0, 3, 2), "k8s.statefulset.unavailable: 2 of 3 replicas are available");
    check(three(), json!({ "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3 }), "ready");
}

#[test]
fn daemon_sets() {
    let status = |updated: i64, available: i64| json!({ "desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available });
    let check = |spec: Value, status: Value, expected: &str| {
        check("apps", "DaemonSet", &seen(spec, status), expected);
    };
    check(json!({}), status(2, 2), "ready");
    check(json!({}), status(1, 2), "k8s.daemonset.updating: 1 of 2 pods are updated");
    check(json!({}), status(2, 1), "k8s.daemonset.unavailable: 1 of 2 pods are available");
    check(json!({ "updateStrategy": { "type": "OnDelete" } }), status(0, 2), "ready");
    check(json!({}), json!({ "desiredNumberScheduled": 0 }), "ready");
}

#[test]
fn replica_sets() {
    let check = |status: Value, expected: &str| {
        check("apps", "ReplicaSet", &seen(json!({ "replicas": 2 }), status), expected);
    };
    check(replicas(0, 2, 2), "ready");
    check(replicas(0, 2, 1), "k8s.replicaset.unavailable: 1 of 2 replicas are available");
    check(replicas(0, 3, 2), "k8s.replicaset.scaling: 1 replicas too many still run");
}

#[test]
fn jobs() {
    let check = |spec: Value, status: Value, expected: &str| {
        check(
            "batch",
            "Job",
            &json!({ "metadata": { "generation": 1 }, "spec": spec, "status": status }),
            expected,
        );
    };
    check(
        json!({}),
        conditions(&[("SuccessCriteriaMet", "True", "", ""), ("Complete", "True", "", "")]),
        "ready",
    );
    check(
        json!({}),
        conditions(&[(
            "Failed",
            "True",
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )]),
        "failed k8s.job.failed: the job failed: BackoffLimitExceeded: Job has reached the specified backoff limit",
    );
    check(
        json!({}),
        conditions(&[("Complete", "False", "", "")]),
        "k8s.job.running: the job has not started",
    );
    check(json!({}), json!({ "active": 1 }), "k8s.job.running: the job is running");
    check(
        json!({ "completions": 5 }),
        json!({ "active": 2, "succeeded": 3 }),
        "k8s.job.running: 3 of 5 pods have succeeded",
    );
    check(
        json!({ "suspend": true }),
        conditions(&[("Suspended", "True", "", "")]),
        "k8s.job.suspended: the job is suspended",
    );
}

#[test]
fn pods() {
    let check = |status: Value, expected: &str| {
        check("", "Pod", &json!({ "metadata": {}, "status": status }), expected);
    };
    let ready = |phase: &str, status: &str, message: &str| {
        let mut all = conditions(&[("Ready", status, "ContainersNotReady", message)]);
        all["phase"] = json!(phase);
        all
    };
    check(json!({ "phase": "Succeeded" }), "ready");
    check(ready("Running", "True", ""), "ready");
    check(
        ready("Running", "False", "containers with unready status: [a]"),
        "k8s.pod.unready: containers with unready status: [a]",
    );
    check(json!({ "phase": "Pending" }), "k8s.pod.unready: the pod is pending");
    check(json!({}), "k8s.pod.unready: the pod has not started");
    check(
        json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" }),
        "failed k8s.pod.failed: the pod failed: Evicted: low on memory",
    );
    check(
        json!({ "phase": "Failed" }),
        "failed k8s.pod.failed: the pod failed: a container ended with an error",
    );
}

#[test]
fn services() {
    let balancer = |ingress: Value| json!({ "spec": { "type": "LoadBalancer" }, "status": { "loadBalancer": { "ingress": ingress } } });
    check("", "Service", &json!({ "spec": {} }), "ready");
    check("", "Service", &json!({ "spec": { "type": "ExternalName" } }), "ready");
    check("", "Service", &balancer(json!([{ "ip": "192.0.2.1" }])), "ready");
    check("", "Service", &balancer(json!([{ "hostname": "lb.example.com" }])), "ready");
    check("", "Service", &balancer(json!([{}])), "k8s.service.no-address: the load balancer has no address");
    check("", "Service", &balancer(json!(null)), "k8s.service.no-address: the load balancer has no address");
    for (object, expected) in
        [(balancer(json!([])), false), (json!({ "spec": { "type": "NodePort" } }), true), (json!({}), true)]
    {
        assert_eq!(is_ready_at_once("", "Service", &object), expected, "{object}");
    }
}

#[test]
fn storage_and_namespaces() {
    let phase = |phase: &str| json!({ "status": { "phase": phase } });
    check("", "PersistentVolumeClaim", &phase("Bound"), "ready");
    check(
        "",
        "PersistentVolumeClaim",
        &phase("Pending"),
        "k8s.claim.pending: the claim is not bound to a volume",
    );
    check("", "PersistentVolumeClaim", &json!({}), "k8s.claim.pending: the claim is not bound to a volume");
    check(
        "",
        "PersistentVolumeClaim",
        &phase("Lost"),
        "failed k8s.claim.lost: the volume of the claim is lost",
    );
    check("", "PersistentVolume", &phase("Available"), "ready");
    check("", "PersistentVolume", &phase("Pending"), "k8s.volume.pending: the volume is not available");
    check("", "Namespace", &phase("Active"), "ready");
    check("", "Namespace", &json!({}), "k8s.namespace.inactive: the namespace is not active");
}

#[test]
fn definitions_and_api_services() {
    let definition = |entries: &[(&str, &str, &str, &str)], expected: &str| {
        let object = json!({ "status": conditions(entries) });
        check("apiextensions.k8s.io", "CustomResourceDefinition", &object, expected);
    };
    definition(&[("NamesAccepted", "True", "", ""), ("Established", "True", "", "")], "ready");
    definition(&[], "k8s.definition.not-established: the definition is not established");
    definition(
        &[("NamesAccepted", "False", "PluralConflict", "\"things\" is already in use")],
        "failed k8s.definition.names: its names are taken: PluralConflict: \"things\" is already in use",
    );
    let api = |entries: &[(&str, &str, &str, &str)], expected: &str| {
        check("apiregistration.k8s.io", "APIService", &json!({ "status": conditions(entries) }), expected);
    };
    api(&[("Available", "True", "Passed", "")], "ready");
    api(
        &[("Available", "False", "MissingEndpoints", "no endpoints")],
        "k8s.apiservice.unavailable: it is not available: MissingEndpoints: no endpoints",
    );
    api(&[], "k8s.apiservice.unavailable: its availability is not known");
}

#[test]
fn replication_controllers() {
    let check = |status: Value, expected: &str| {
        check("", "ReplicationController", &seen(json!({ "replicas": 2 }), status), expected);
    };
    check(replicas(0, 2, 2), "ready");
    check(replicas(0, 2, 1), "k8s.replicaset.unavailable: 1 of 2 replicas are available");
}

#[test]
fn snapshots() {
    let check = |status: Value, expected: &str| {
        check("snapshot.storage.k8s.io", "VolumeSnapshot", &json!({ "status": status }), expected);
    };
    check(json!({ "readyToUse": true }), "ready");
    check(json!({ "readyToUse": false }), "k8s.snapshot.pending: the snapshot is not ready to use");
    check(
        json!({ "error": { "message": "no driver" } }),
        "k8s.snapshot.pending: the snapshot is not ready to use: no driver",
    );
    check(Value::Null, "k8s.snapshot.pending: the snapshot is not ready to use");
}

/// Conditions that speak of this generation.
fn of_generation(generation: i64, entries: &[(&str, &str, &str, &str)]) -> Value {
    let mut all = conditions(entries);
    for entry in all["conditions"].as_array_mut().unwrap() {
        entry["observedGeneration"] = json!(generation);
    }
    all
}

const UNSEEN_TEXT: &str = "k8s.object.unseen: its controller has not seen this change yet";

#[test]
fn gateways_and_their_classes() {
    let check = |kind: &str, status: Value, expected: &str| {
        let object = json!({ "metadata": { "generation": 2 }, "status": status });
        check("gateway.networking.k8s.io", kind, &object, expected);
    };
    let accepted = ("Accepted", "True", "Accepted", "");
    check("GatewayClass", of_generation(2, &[accepted]), "ready");
    check("GatewayClass", of_generation(1, &[accepted]), UNSEEN_TEXT);
    check(
        "GatewayClass",
        conditions(&[("Accepted", "Unknown", "Pending", "Waiting for controller")]),
        "k8s.gateway.unready: Accepted is Unknown: Pending: Waiting for controller",
    );
    check("Gateway", of_generation(2, &[accepted, ("Programmed", "True", "", "")]), "ready");
    check(
        "Gateway",
        of_generation(2, &[accepted, ("Programmed", "False", "AddressNotAssigned", "")]),
        "k8s.gateway.unready: Programmed is False: AddressNotAssigned",
    );
    check(
        "Gateway",
        of_generation(2, &[accepted]),
        "k8s.gateway.unready: no controller reports `Programmed`",
    );
    check("Gateway", Value::Null, "k8s.gateway.unready: no controller reports `Accepted`");
    check("ReferenceGrant", Value::Null, "ready");
    check("BackendTLSPolicy", Value::Null, "no status");
}

#[test]
fn routes_are_ready_when_each_parent_has_taken_them() {
    let route = |parents: Value, reports: Value| {
        json!({ "metadata": { "generation": 2, "namespace": "shop" }, "spec": { "parentRefs": parents },
                "status": { "parents": reports } })
    };
    let report = |parent: Value, status: Value| {
        let mut report = status;
        report["parentRef"] = parent;
        report
    };
    let good = || of_generation(2, &[("Accepted", "True", "", ""), ("ResolvedRefs", "True", "", "")]);
    let bad = || {
        of_generation(2, &[("Accepted", "True", "", ""), ("ResolvedRefs", "False", "BackendNotFound", "web")])
    };
    let a = || json!({ "name": "a" });
    let full_a = || json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop", "name": "a" });
    let b = || json!({ "name": "b", "namespace": "infra", "sectionName": "https" });
    let unattached = "k8s.route.unattached: no controller has attached it to Gateway b";
    for (object, expected) in [
        (route(json!([a()]), json!([report(full_a(), good())])), "ready"),
        (route(json!([]), Value::Null), "ready"),
        (route(json!([a(), b()]), json!([report(a(), good())])), unattached),
        (route(json!([b()]), json!([report(json!({ "name": "b" }), good())])), unattached),
        (route(json!([a(), b()]), json!([report(a(), good()), report(b(), good())])), "ready"),
        (
            route(json!([a()]), json!([report(a(), bad())])),
            "k8s.route.unready: Gateway a: ResolvedRefs is False: BackendNotFound: web",
        ),
        (route(json!([a()]), json!([report(a(), bad()), report(a(), good())])), "ready"),
        (
            route(json!([a()]), json!([report(a(), of_generation(1, &[("Accepted", "False", "", "")]))])),
            UNSEEN_TEXT,
        ),
    ] {
        for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"] {
            check("gateway.networking.k8s.io", kind, &object, expected);
        }
    }
    let at_once = |parents: Value| {
        is_ready_at_once(
            "gateway.networking.k8s.io",
            "HTTPRoute",
            &json!({ "spec": { "parentRefs": parents } }),
        )
    };
    assert!(at_once(json!([])) && !at_once(json!([a()])));
}

#[test]
fn custom_resources() {
    let check = |status: Value, expected: &str| {
        check("x.dev", "Thing", &json!({ "metadata": { "generation": 1 }, "status": status }), expected);
    };
    check(Value::Null, "no status");
    check(json!({}), "no status");
    check(json!({ "phase": "whatever" }), "ready");
    check(conditions(&[("Ready", "True", "", "")]), "ready");
    check(conditions(&[("Available", "True", "", "")]), "ready");
    check(
        conditions(&[("Ready", "False", "Syncing", "3 left")]),
        "k8s.resource.unready: Ready is False: Syncing: 3 left",
    );
    check(
        conditions(&[("Ready", "Unknown", "", "")]),
        "k8s.resource.unready: Ready is Unknown: no reason given",
    );
    check(
        conditions(&[("Available", "True", "", ""), ("Ready", "False", "Syncing", "")]),
        "k8s.resource.unready: Ready is False: Syncing",
    );
    check(
        conditions(&[("Ready", "True", "", ""), ("Reconciling", "True", "Working", "")]),
        "k8s.resource.reconciling: Working",
    );
    check(conditions(&[("Healthy", "True", "", "")]), "ready");
    check(conditions(&[("Healthy", "False", "Down", "")]), "k8s.resource.unready: Healthy is False: Down");
    check(
        conditions(&[("Synced", "False", "ReconcileError", "denied"), ("Ready", "True", "", "")]),
        "k8s.resource.unready: Synced is False: ReconcileError: denied",
    );
    check(conditions(&[("Synced", "True", "", ""), ("Ready", "True", "", "")]), "ready");
    for name in ["Succeeded", "Complete", "Completed"] {
        check(conditions(&[(name, "True", "", "")]), "ready");
        check(
            conditions(&[(name, "Unknown", "Running", "")]),
            &format!("k8s.resource.unready: {name} is Unknown: Running"),
        );
    }
    check(
        conditions(&[("Failed", "True", "OutOfLuck", "")]),
        "failed k8s.resource.failed: it failed: OutOfLuck",
    );
    check(
        conditions(&[("Ready", "False", "Retrying", ""), ("Failed", "True", "Once", "")]),
        "k8s.resource.unready: Ready is False: Retrying",
    );
    check(conditions(&[("Whatever", "False", "", "")]), "ready");
    for kind in ["Ready", "Stalled", "Failed", "Synced"] {
        check(of_generation(0, &[(kind, "True", "", "")]), UNSEEN_TEXT);
    }
    check(
        conditions(&[("Stalled", "True", "BadSpec", "no such size")]),
        "failed k8s.resource.stalled: its controller gave up: BadSpec: no such size",
    );
}

#[test]
fn kinds_that_only_hold_data_are_ready_at_once() {
    for (group, kind, expected) in [
        ("", "ConfigMap", true),
        ("", "Secret", true),
        ("", "ServiceAccount", true),
        ("rbac.authorization.k8s.io", "Role", true),
        ("", "ResourceQuota", true),
        ("", "LimitRange", true),
        ("networking.k8s.io", "Ingress", true),
        ("networking.k8s.io", "NetworkPolicy", true),
        ("autoscaling", "HorizontalPodAutoscaler", true),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", true),
        ("scheduling.k8s.io", "PriorityClass", true),
        ("storage.k8s.io", "StorageClass", true),
        ("node.k8s.io", "RuntimeClass", true),
        ("apps", "ControllerRevision", true),
        ("", "Node", false),
        ("policy", "PodDisruptionBudget", false),
        ("batch", "CronJob", true),
        ("batch", "Job", false),
        ("apps", "Deployment", false),
        ("", "PersistentVolumeClaim", false),
        ("x.dev", "ConfigMap", false),
    ] {
        assert_eq!(is_ready_at_once(group, kind, &json!({})), expected, "{group} {kind}");
    }
}
