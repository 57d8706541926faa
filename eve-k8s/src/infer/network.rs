//! What routes traffic needs what it routes to: Ingress, Gateway API, governing services, admission policies.

use serde_json::Value;

use super::builder::Builder;
use super::subject::Subject;
use super::{items, rules, text, value_at};

const GATEWAY: &str = "gateway.networking.k8s.io";

pub(super) fn add(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    match (subject.group, subject.kind) {
        ("apps", "StatefulSet") => {
            if let Some(name) = text(subject.object, "/spec/serviceName") {
                let key = ("", "Service", subject.namespace, name);
                builder.needs(&rules::HEADLESS, node, key, format_args!("/spec/serviceName"));
            }
        }
        ("networking.k8s.io" | "extensions", "Ingress") => ingress(builder, node, &subject),
        (GATEWAY, "Gateway") => gateway(builder, node, &subject),
        (GATEWAY, kind) if kind.ends_with("Route") => route(builder, node, &subject),
        (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding",
        ) => {
            let kind = subject.kind.strip_suffix("Binding").unwrap_or_default();
            if let Some(name) = text(subject.object, "/spec/policyName") {
                let key = (subject.group, kind, "", name);
                builder.needs(&rules::ADMISSION_POLICY, node, key, format_args!("/spec/policyName"));
            }
        }
        _ => {}
    }
}

fn ingress(builder: &mut Builder<'_>, node: usize, subject: &Subject<'_>) {
    let old_class = "/metadata/annotations/kubernetes.io~1ingress.class";
    for field in ["/spec/ingressClassName", old_class] {
        if let Some(name) = text(subject.object, field) {
            let key = ("networking.k8s.io", "IngressClass", "", name);
            builder.needs(&rules::INGRESS_CLASS, node, key, format_args!("{field}"));
        }
    }
    for (index, tls) in items(subject.object, "/spec/tls") {
        if let Some(name) = text(tls, "/secretName") {
            let key = ("", "Secret", subject.namespace, name);
            builder.needs(&rules::SECRET, node, key, format_args!("/spec/tls/{index}/secretName"));
        }
    }
    // `backend` and `serviceName` are those of the beta versions.
    for field in ["/spec/defaultBackend", "/spec/backend"] {
        if let Some(found) = value_at(subject.object, field) {
            backend(builder, node, found, field);
        }
    }
    for (rule, of) in items(subject.object, "/spec/rules") {
        for (path, of) in items(of, "/http/paths") {
            if let Some(found) = of.get("backend") {
                backend(builder, node, found, &format!("/spec/rules/{rule}/http/paths/{path}/backend"));
            }
        }
    }
}

fn backend(builder: &mut Builder<'_>, node: usize, backend: &Value, at: &str) {
    let namespace = builder.subject(node).map_or("", |subject| subject.namespace);
    for field in ["/service/name", "/serviceName"] {
        if let Some(name) = text(backend, field) {
            let key = ("", "Service", namespace, name);
            builder.needs(&rules::BACKEND, node, key, format_args!("{at}{field}"));
        }
    }
    if let Some((kind, name)) = text(backend, "/resource/kind").zip(text(backend, "/resource/name")) {
        let group = text(backend, "/resource/apiGroup").unwrap_or_default();
        builder.needs(
            &rules::BACKEND,
            node,
            (group, kind, namespace, name),
            format_args!("{at}/resource/name"),
        );
    }
}

fn gateway(builder: &mut Builder<'_>, node: usize, subject: &Subject<'_>) {
    if let Some(name) = text(subject.object, "/spec/gatewayClassName") {
        let key = (GATEWAY, "GatewayClass", "", name);
        builder.needs(&rules::GATEWAY_CLASS, node, key, format_args!("/spec/gatewayClassName"));
    }
    for (index, listener) in items(subject.object, "/spec/listeners") {
        for (place, certificate) in items(listener, "/tls/certificateRefs") {
            let at = format!("/spec/listeners/{index}/tls/certificateRefs/{place}");
            refers(builder, node, &rules::SECRET, certificate, (("", "Secret"), &at));
        }
    }
}

/// The routes of all protocols have the same shape.
fn route(builder: &mut Builder<'_>, node: usize, subject: &Subject<'_>) {
    for (index, parent) in items(subject.object, "/spec/parentRefs") {
        let at = format!("/spec/parentRefs/{index}");
        refers(builder, node, &rules::PARENT, parent, ((GATEWAY, "Gateway"), &at));
    }
    for (index, rule) in items(subject.object, "/spec/rules") {
        for (place, backend) in items(rule, "/backendRefs") {
            let at = format!("/spec/rules/{index}/backendRefs/{place}");
            refers(builder, node, &rules::BACKEND, backend, (("", "Service"), &at));
        }
        for (place, filter) in items(rule, "/filters") {
            if let Some(backend) = value_at(filter, "/requestMirror/backendRef") {
                let at = format!("/spec/rules/{index}/filters/{place}/requestMirror/backendRef");
                refers(builder, node, &rules::BACKEND, backend, (("", "Service"), &at));
            }
        }
    }
}

/// A reference of the Gateway API: group and kind have defaults, the namespace is that of the object.
fn refers(
    builder: &mut Builder<'_>,
    node: usize,
    rule: &'static rules::Rule,
    reference: &Value,
    ((group, kind), at): ((&str, &str), &str),
) {
    let Some((name, subject)) = text(reference, "/name").zip(builder.subject(node)) else { return };
    // The empty group is written for the core group.
    let group = reference.get("group").and_then(Value::as_str).unwrap_or(group);
    let kind = text(reference, "/kind").unwrap_or(kind);
    let namespace = text(reference, "/namespace").unwrap_or(subject.namespace);
    builder.needs(rule, node, (group, kind, namespace, name), format_args!("{at}/name"));
}
