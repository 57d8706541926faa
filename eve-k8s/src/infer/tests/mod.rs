//! Tables of the rules: objects in, edges out. Each rule has cases with an edge and cases without.

use eve_core::kind::{EdgeSource, Kinds};
use eve_core::plan::Until;
use eve_core::plan::diagnostic::{Diagnostics, Severity};
use eve_core::plan::load::{LoadOptions, Loaded, Source, load};

use super::rules;
use crate::kinds::Manifests;

mod graph;
mod references;
mod serving;
mod sizes;
mod written;

/// Objects as YAML. One a line: `KIND[:APIVERSION] [NAMESPACE/]NAME | fields of metadata | other fields`.
fn yaml(objects: &str) -> String {
    let line = |line: &str| {
        let mut columns = line.split('|').map(str::trim);
        let head = columns.next().unwrap();
        let (kind, name) = head.split_once(' ').unwrap();
        let (kind, version) = kind.split_once(':').unwrap_or((kind, api_version(kind)));
        let (namespace, name) =
            name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name));
        let mut metadata = format!("name: '{name}'");
        metadata.extend(namespace.map(|namespace| format!(", namespace: {namespace}")));
        metadata.extend(columns.next().filter(|more| !more.is_empty()).map(|more| format!(", {more}")));
        let rest = columns.next().map(|rest| format!(", {rest}")).unwrap_or_default();
        format!("---\n{{apiVersion: {version}, kind: {kind}, metadata: {{{metadata}}}{rest}}}\n")
    };
    objects.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect()
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => "rbac.authorization.k8s.io/v1",
        "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
        "APIService" => "apiregistration.k8s.io/v1",
        "StorageClass" => "storage.k8s.io/v1",
        "PriorityClass" => "scheduling.k8s.io/v1",
        "RuntimeClass" => "node.k8s.io/v1",
        "Ingress" | "IngressClass" | "NetworkPolicy" => "networking.k8s.io/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "PodDisruptionBudget" => "policy/v1",
        "ResourceClaim" | "ResourceClaimTemplate" => "resource.k8s.io/v1",
        "SecretProviderClass" => "secrets-store.csi.x-k8s.io/v1",
        "GatewayClass" | "Gateway" | "HTTPRoute" | "GRPCRoute" | "TLSRoute" => "gateway.networking.k8s.io/v1",
        kind if kind.contains("Webhook") || kind.contains("Admission") => "admissionregistration.k8s.io/v1",
        "Widget" => "x.io/v1",
        _ => "v1",
    }
}

fn loaded(objects: &str) -> Result<Loaded, Diagnostics> {
    let kinds = Kinds::new().with_manifests(Manifests::default());
    let options = LoadOptions::new(&kinds).with_namespace(Some("shop".into()));
    load(vec![Source::new("in.yaml", yaml(objects))], &options)
}

#[track_caller]
fn good(objects: &str) -> Loaded {
    loaded(objects).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// All edges: the rule, then `before < after`, with `(applied)` behind `before` where that is enough.
fn edges(loaded: &Loaded) -> Vec<(&'static str, String)> {
    let one = |edge: eve_core::plan::load::LoadedEdge<'_>| {
        let until = if edge.dependency().until == Until::Applied { " (applied)" } else { "" };
        assert_ne!(edge.source(), EdgeSource::Structure);
        assert!(edge.place().is_some(), "{} has no place", edge.component());
        (edge.rule().unwrap(), format!("{}{until} < {}", edge.dependency().component, edge.component()))
    };
    let mut edges: Vec<_> = loaded.edges().map(one).collect();
    edges.sort();
    edges
}

/// These objects have exactly these edges by this rule, in the order of their text, and make a graph.
#[track_caller]
fn check(rule: &str, objects: &str, wanted: &[&str]) {
    let loaded = good(objects);
    let warnings = loaded.warnings();
    assert!(warnings.is_empty(), "{warnings}");
    assert!(loaded.graph().is_ok());
    let edges = edges(&loaded);
    let found: Vec<&str> =
        edges.iter().filter(|(of, _)| *of == rule).map(|(_, edge)| edge.as_str()).collect();
    assert_eq!(found, wanted, "rule {rule} for:\n{objects}");
}

/// Rule and text from which the edges of a rule come, line numbers counted as the objects are.
#[track_caller]
fn check_place(rule: &str, objects: &str, wanted: &str) {
    let loaded = good(objects);
    let edge = loaded.edges().find(|edge| edge.rule() == Some(rule)).unwrap();
    let place = edge.place().unwrap();
    assert_eq!(loaded.sources()[0].text().get(place.span).unwrap(), wanted);
}

/// Code, severity, message of every problem.
fn problems(objects: &str) -> Vec<String> {
    let diagnostics = loaded(objects).map_or_else(|diagnostics| diagnostics, |loaded| loaded.warnings());
    let line = |one: &eve_core::plan::diagnostic::Diagnostic| {
        let severity = if one.severity == Severity::Error { "error" } else { "warning" };
        assert!(one.place.is_some(), "{} has no place", one.message);
        format!("{severity} {}: {}", one.code, one.message)
    };
    diagnostics.list.iter().map(line).collect()
}

#[test]
fn every_rule_has_its_cases() {
    let tests = [include_str!("references.rs"), include_str!("serving.rs"), include_str!("written.rs")];
    let is_named = |name: &str| tests.iter().any(|text| text.contains(&format!("\"{name}\"")));
    let bare: Vec<&str> = rules::RULES.iter().map(|rule| rule.name).filter(|name| !is_named(name)).collect();
    assert!(bare.is_empty(), "rules without a case: {bare:?}");
}
