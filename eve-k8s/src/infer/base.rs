//! What objects live in and are allowed by: namespaces, definitions, roles, bindings, tokens.

use serde_json::Value;

use super::builder::Builder;
use super::{items, rules, text};

const RBAC: &str = "rbac.authorization.k8s.io";
const ACCOUNT_USER: &str = "system:serviceaccount:";
const ACCOUNT_GROUP: &str = "system:serviceaccounts:";

pub(super) fn add(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    if !builder.index.is_cluster_scoped(node) {
        let key = ("", "Namespace", "", subject.namespace);
        match text(subject.object, "/metadata/namespace") {
            Some(_) => builder.needs(&rules::NAMESPACE, node, key, format_args!("/metadata/namespace")),
            None => builder.needs(&rules::NAMESPACE, node, key, format_args!("")),
        }
    }
    if let Some(definition) = builder.index.definition(&subject) {
        builder.edge(&rules::DEFINITION, definition, node, format_args!("/kind"));
    }
    match (subject.group, subject.kind) {
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => binding(builder, node),
        ("", "Secret") => token(builder, node),
        ("", "ServiceAccount") => {
            for (index, secret) in items(subject.object, "/imagePullSecrets") {
                if let Some(name) = text(secret, "/name") {
                    let key = ("", "Secret", subject.namespace, name);
                    builder.needs(&rules::SECRET, node, key, format_args!("/imagePullSecrets/{index}/name"));
                }
            }
        }
        _ => {}
    }
}

fn binding(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    let role = text(subject.object, "/roleRef/kind").zip(text(subject.object, "/roleRef/name"));
    if let Some((kind @ ("Role" | "ClusterRole"), name)) = role {
        builder.needs(
            &rules::ROLE,
            node,
            (RBAC, kind, subject.namespace, name),
            format_args!("/roleRef/name"),
        );
    }
    for (index, of) in items(subject.object, "/subjects") {
        let Some(name) = text(of, "/name") else { continue };
        let account = match text(of, "/kind") {
            Some("ServiceAccount") => Some((text(of, "/namespace").unwrap_or(subject.namespace), Some(name))),
            Some("User") => name
                .strip_prefix(ACCOUNT_USER)
                .and_then(|account| account.split_once(':'))
                .map(|(namespace, name)| (namespace, Some(name))),
            Some("Group") => name.strip_prefix(ACCOUNT_GROUP).map(|namespace| (namespace, None)),
            _ => None,
        };
        if let Some((namespace, name)) = account {
            let pointer = format!("{}/subjects/{index}/name", subject.pointer);
            builder.bindings(namespace, name).member(node, rules::BINDING.until, pointer);
        }
    }
}

fn token(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    if text(subject.object, "/type") != Some("kubernetes.io/service-account-token") {
        return;
    }
    let annotation = subject.object.pointer("/metadata/annotations/kubernetes.io~1service-account.name");
    if let Some(name) = annotation.and_then(Value::as_str) {
        let key = ("", "ServiceAccount", subject.namespace, name);
        let at = format_args!("/metadata/annotations/kubernetes.io~1service-account.name");
        builder.needs(&rules::TOKEN, node, key, at);
    }
}
