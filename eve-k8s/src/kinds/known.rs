//! Kinds that every cluster has, for advice: which group they are in, how they are spelled, how they are named.
//!
//! Advice only: what a cluster really has is told by its discovery.

use crate::discovery::Scope;

/// Kinds of Kubernetes 1.33 and their `apiVersion`, from its API reference.
const KINDS: [(&str, &str); 39] = [
    ("APIService", "apiregistration.k8s.io/v1"),
    ("CSIDriver", "storage.k8s.io/v1"),
    ("ClusterRole", "rbac.authorization.k8s.io/v1"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1"),
    ("ConfigMap", "v1"),
    ("CronJob", "batch/v1"),
    ("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
    ("DaemonSet", "apps/v1"),
    ("Deployment", "apps/v1"),
    ("EndpointSlice", "discovery.k8s.io/v1"),
    ("Endpoints", "v1"),
    ("HorizontalPodAutoscaler", "autoscaling/v2"),
    ("Ingress", "networking.k8s.io/v1"),
    ("IngressClass", "networking.k8s.io/v1"),
    ("Job", "batch/v1"),
    ("Lease", "coordination.k8s.io/v1"),
    ("LimitRange", "v1"),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
    ("Namespace", "v1"),
    ("NetworkPolicy", "networking.k8s.io/v1"),
    ("PersistentVolume", "v1"),
    ("PersistentVolumeClaim", "v1"),
    ("Pod", "v1"),
    ("PodDisruptionBudget", "policy/v1"),
    ("PodTemplate", "v1"),
    ("PriorityClass", "scheduling.k8s.io/v1"),
    ("ReplicaSet", "apps/v1"),
    ("ReplicationController", "v1"),
    ("ResourceQuota", "v1"),
    ("Role", "rbac.authorization.k8s.io/v1"),
    ("RoleBinding", "rbac.authorization.k8s.io/v1"),
    ("RuntimeClass", "node.k8s.io/v1"),
    ("Secret", "v1"),
    ("Service", "v1"),
    ("ServiceAccount", "v1"),
    ("StatefulSet", "apps/v1"),
    ("StorageClass", "storage.k8s.io/v1"),
    ("ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1"),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
];

/// Those of them that are in no namespace.
const OF_THE_CLUSTER: [&str; 14] = [
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
];

/// The scope of a known kind, in whatever version.
pub(crate) fn scope(api_version: &str, kind: &str) -> Option<Scope> {
    let known = self::api_version(kind).filter(|known| group(known) == group(api_version));
    known.map(|_| if OF_THE_CLUSTER.contains(&kind) { Scope::Cluster } else { Scope::Namespaced })
}

/// The names of all known kinds.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// The `apiVersion` of a known kind.
pub(super) fn api_version(kind: &str) -> Option<&'static str> {
    KINDS
        .binary_search_by(|(known, _)| (*known).cmp(kind))
        .ok()
        .and_then(|at| KINDS.get(at))
        .map(|(_, version)| *version)
}

/// The group of an `apiVersion`; empty for the core group.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The version of an `apiVersion`.
pub(super) fn version(api_version: &str) -> &str {
    api_version.split_once('/').map_or(api_version, |(_, version)| version)
}

/// Whether a group belongs to Kubernetes itself, so that nobody else can have put kinds into it.
pub(super) fn is_own_group(group: &str) -> bool {
    matches!(group, "" | "apps" | "batch" | "autoscaling" | "policy" | "extensions")
        || KINDS.iter().any(|(_, version)| self::group(version) == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_sorted_so_that_they_are_found() {
        assert!(KINDS.is_sorted());
        assert_eq!(api_version("Deployment"), Some("apps/v1"));
        assert_eq!(api_version("deployment"), None);
    }

    #[test]
    fn a_scope_is_known_of_kubernetes_own_kinds_only() {
        for (api_version, kind, known) in [
            ("v1", "Namespace", Some(Scope::Cluster)),
            ("v1", "Secret", Some(Scope::Namespaced)),
            ("autoscaling/v1", "HorizontalPodAutoscaler", Some(Scope::Namespaced)),
            ("management.cattle.io/v3", "ClusterRole", None),
            ("x.dev/v1", "Thing", None),
        ] {
            assert_eq!(scope(api_version, kind), known, "{api_version} {kind}");
        }
        assert!(OF_THE_CLUSTER.iter().all(|kind| api_version(kind).is_some()));
    }
}
