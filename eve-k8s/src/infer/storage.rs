//! What storage, quotas and scaling need.

use serde_json::Value;

use super::builder::Builder;
use super::{items, rules, text, value_at};

const STORAGE: &str = "storage.k8s.io";

pub(super) fn add(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    match (subject.group, subject.kind) {
        ("", "PersistentVolumeClaim") => claim(builder, node),
        ("apps", "StatefulSet") => {
            for (index, claim) in items(subject.object, "/spec/volumeClaimTemplates") {
                class(builder, node, claim, &format!("/spec/volumeClaimTemplates/{index}"));
            }
        }
        ("", "ResourceQuota" | "LimitRange") | ("networking.k8s.io", "NetworkPolicy") => {
            let until = rules::POLICIES.until;
            builder.gate(&rules::POLICIES, subject.namespace).member(node, until, subject.pointer);
        }
        ("autoscaling", "HorizontalPodAutoscaler") => scaler(builder, node),
        ("policy", "PodDisruptionBudget") => budget(builder, node),
        _ => {}
    }
}

fn claim(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    class(builder, node, subject.object, "");
    if let Some(volume) = text(subject.object, "/spec/volumeName") {
        let key = ("", "PersistentVolume", "", volume);
        builder.needs(&rules::VOLUME, node, key, format_args!("/spec/volumeName"));
    }
}

/// The class of a claim, which an old annotation can name too.
fn class(builder: &mut Builder<'_>, node: usize, claim: &Value, at: &str) {
    let fields = ["/spec/storageClassName", "/metadata/annotations/volume.beta.kubernetes.io~1storage-class"];
    for field in fields {
        if let Some(name) = text(claim, field) {
            let key = (STORAGE, "StorageClass", "", name);
            builder.needs(&rules::STORAGE_CLASS, node, key, format_args!("{at}{field}"));
        }
    }
}

fn scaler(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    let target = "/spec/scaleTargetRef";
    let Some(reference) = value_at(subject.object, target) else { return };
    let version = text(reference, "/apiVersion").unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if let Some((kind, name)) = text(reference, "/kind").zip(text(reference, "/name")) {
        let key = (group, kind, subject.namespace, name);
        builder.needs(&rules::SCALE_TARGET, node, key, format_args!("{target}/name"));
    }
}

/// Budgets with the same selector share a gate, so that edges stay linear.
fn budget(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    let Some(selector) = value_at(subject.object, "/spec/selector").filter(|selector| !selector.is_null())
    else {
        return;
    };
    let name = format!("{}/{selector}", subject.namespace);
    let pointer = builder.at(node, format_args!("/spec/selector"));
    if builder.gate(&rules::DISRUPTION, name.clone()).is_new() {
        let selected = builder.workloads.selected(subject.namespace, selector);
        let gate = builder.gate(&rules::DISRUPTION, name.clone());
        for workload in selected {
            gate.member(workload, rules::DISRUPTION.until, "");
        }
    }
    builder.gate(&rules::DISRUPTION, name).dependant(node, pointer);
}
