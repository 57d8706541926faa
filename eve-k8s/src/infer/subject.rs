//! The objects of an input as inference sees them, and how one is found by what others call it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{text, value_at};

/// One object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// API group, empty for the core group.
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    /// As written; the input's where nothing is written. Without meaning for cluster-scoped objects.
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) object: &'a Value,
    /// Where it stands, as a JSON Pointer into the spec.
    pub(crate) pointer: &'a str,
    /// What messages call it: `ConfigMap web`.
    pub(crate) words: &'a str,
}

impl<'a> Subject<'a> {
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.kind == kind && self.group == group
    }

    pub(super) fn annotations(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let annotations = value_at(self.object, "/metadata/annotations").and_then(Value::as_object);
        annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
}

/// What names an object: group, kind, namespace (empty for cluster-scoped objects), name.
pub(super) type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Objects by what they are called.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    /// With the name first: what differs soonest is compared fastest.
    by_key: BTreeMap<[&'a str; 4], usize>,
    by_name: BTreeMap<&'a str, Vec<usize>>,
    /// Which of the lists, by group and kind.
    by_kind: BTreeMap<(&'a str, &'a str), usize>,
    kinds: Vec<Vec<usize>>,
    /// Of the definitions of the input, by the group and kind they define.
    definitions: BTreeMap<(&'a str, &'a str), usize>,
    is_cluster_scoped: Vec<bool>,
}

/// Kinds of Kubernetes 1.33 without a namespace, from its API reference, and those of the Gateway API.
const CLUSTER_SCOPED: [(&str, &[&str]); 14] = [
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("gateway.networking.k8s.io", &["GatewayClass"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("snapshot.storage.k8s.io", &["VolumeSnapshotClass", "VolumeSnapshotContent"]),
    (
        "storage.k8s.io",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
];

const DEFINITION: (&str, &str) = ("apiextensions.k8s.io", "CustomResourceDefinition");

impl<'a> Index<'a> {
    pub(super) fn of(subjects: &[Subject<'a>]) -> Self {
        let mut index = Self::default();
        for (node, subject) in
            subjects.iter().enumerate().filter(|(_, subject)| subject.is(DEFINITION.0, DEFINITION.1))
        {
            let names = text(subject.object, "/spec/group").zip(text(subject.object, "/spec/names/kind"));
            index.definitions.extend(names.map(|names| (names, node)));
        }
        for (node, subject) in subjects.iter().enumerate() {
            let is_cluster_scoped = index.scope_of(subjects, subject);
            index.is_cluster_scoped.push(is_cluster_scoped);
            let namespace = if is_cluster_scoped { "" } else { subject.namespace };
            index.by_key.entry([subject.name, namespace, subject.kind, subject.group]).or_insert(node);
            index.by_name.entry(subject.name).or_default().push(node);
            let list = *index.by_kind.entry((subject.group, subject.kind)).or_insert(index.kinds.len());
            match index.kinds.get_mut(list) {
                Some(list) => list.push(node),
                None => index.kinds.push(vec![node]),
            }
        }
        index
    }

    fn scope_of(&self, subjects: &[Subject<'a>], subject: &Subject<'a>) -> bool {
        if let Some(definition) = self.definition(subject).and_then(|node| subjects.get(node)) {
            return text(definition.object, "/spec/scope") == Some("Cluster");
        }
        let kinds = CLUSTER_SCOPED.iter().find(|(group, _)| *group == subject.group);
        kinds.is_some_and(|(_, kinds)| kinds.contains(&subject.kind))
    }

    /// The object of this name; the namespace counts only where the kind has one.
    pub(super) fn find(&self, (group, kind, namespace, name): Key<'_>) -> Option<usize> {
        let of = |namespace| self.by_key.get(&[name, namespace, kind, group]).copied();
        of(namespace).or_else(|| of(""))
    }

    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn of_kind(&self, group: &str, kind: &str) -> &[usize] {
        let list = self.by_kind.get(&(group, kind)).copied();
        list.and_then(|list| self.kinds.get(list)).map_or(&[], Vec::as_slice)
    }

    /// All objects of a group.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = usize> {
        let kinds = self.by_kind.iter().filter(move |((of, _), _)| *of == group);
        kinds.filter_map(|(_, list)| self.kinds.get(*list)).flatten().copied()
    }

    /// The definition of its kind, if that is in the input.
    pub(super) fn definition(&self, subject: &Subject<'_>) -> Option<usize> {
        self.definitions.get(&(subject.group, subject.kind)).copied()
    }

    pub(super) fn is_cluster_scoped(&self, node: usize) -> bool {
        self.is_cluster_scoped.get(node).copied().unwrap_or_default()
    }
}
