//! What the API server asks others about: aggregated APIs, admission webhooks, conversion webhooks.
//!
//! Looks at the edges so far: what a webhook itself needs does not wait for it. So this comes last.

use std::collections::{BTreeMap, BTreeSet};

use eve_core::plan::Until;
use serde_json::{Map, Value};

use super::builder::Builder;
use super::subject::Subject;
use super::{items, pods, rules, selector, text, value_at};

const ADMISSION: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";
/// A label that the API server puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

pub(super) fn add(builder: &mut Builder<'_>) {
    let nodes = |group, kind| builder.index.of_kind(group, kind).to_vec();
    let services = nodes("apiregistration.k8s.io", "APIService");
    let definitions = nodes("apiextensions.k8s.io", "CustomResourceDefinition");
    let mut configurations = nodes(ADMISSION, MUTATING);
    configurations.extend(nodes(ADMISSION, VALIDATING));
    for node in services {
        served(builder, node);
    }
    for node in definitions {
        converted(builder, node);
    }
    builder.close_gates();
    intercepted(builder, &configurations);
}

/// The Service that the API server is told to ask, if it is in the input, with the workloads behind it.
fn service(builder: &Builder<'_>, reference: Option<&Value>) -> Option<(usize, Vec<usize>)> {
    let reference = reference?;
    let (namespace, name) = text(reference, "/namespace").zip(text(reference, "/name"))?;
    let service = builder.index.find(("", "Service", namespace, name))?;
    let behind = builder.subject(service).map(|found| builder.workloads.behind(namespace, found.object));
    Some((service, behind.unwrap_or_default()))
}

fn served(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    let Some(reference) = value_at(subject.object, "/spec/service").filter(|service| service.is_object())
    else {
        return;
    };
    let found = service(builder, Some(reference));
    if let Some((service, _)) = found {
        builder.edge(&rules::BACKEND, service, node, format_args!("/spec/service/name"));
    }
    let Some((group, version)) =
        text(subject.object, "/spec/group").zip(text(subject.object, "/spec/version"))
    else {
        return;
    };
    let is_served = |node: &usize| builder.subject(*node).is_some_and(|one| one.version == version);
    let nodes: Vec<usize> = builder.index.of_group(group).filter(is_served).collect();
    let mut first = vec![node];
    first.extend(found.into_iter().flat_map(|(_, workloads)| workloads));
    wait(builder, &rules::SERVED, subject.name, (&first, "/spec/service"), &nodes);
}

fn converted(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    let at = "/spec/conversion/webhook/clientConfig/service";
    let Some((_, workloads)) = service(builder, value_at(subject.object, at)) else { return };
    let names = text(subject.object, "/spec/group").zip(text(subject.object, "/spec/names/kind"));
    let Some((group, kind)) = names else { return };
    let stored = items(subject.object, "/spec/versions")
        .find(|(_, version)| version.get("storage").and_then(Value::as_bool) == Some(true))
        .and_then(|(_, version)| text(version, "/name"));
    let nodes = builder.index.of_kind(group, kind).iter().copied();
    let is_other = |node: &usize| builder.subject(*node).is_some_and(|one| Some(one.version) != stored);
    let nodes: Vec<usize> = nodes.filter(is_other).collect();
    let pointer = builder.at(node, format_args!("{at}"));
    let apart = builder.foundations(&workloads);
    let gate = builder.gate(&rules::CONVERTED, subject.name);
    for workload in workloads {
        gate.member(workload, Until::Ready, pointer.clone());
    }
    for node in nodes {
        if apart.get(node) == Some(&false) {
            gate.dependant(node, "");
        }
    }
}

/// `first` all ready before `nodes`, but for those that they need themselves. The field `at` of the first says so.
fn wait(
    builder: &mut Builder<'_>,
    rule: &'static rules::Rule,
    name: &str,
    (first, at): (&[usize], &str),
    nodes: &[usize],
) {
    let Some(pointer) = first.first().map(|node| builder.at(*node, format_args!("{at}"))) else { return };
    let apart = builder.foundations(first);
    let gate = builder.gate(rule, name);
    for node in first {
        gate.member(*node, Until::Ready, pointer.clone());
    }
    for node in nodes {
        if apart.get(*node) == Some(&false) {
            gate.dependant(*node, "");
        }
    }
}

/// What stands behind one Service that webhooks name.
#[derive(Default)]
struct Behind<'a> {
    workloads: Vec<usize>,
    /// Each webhook: its configuration, where it stands in it, and what it says.
    webhooks: Vec<(usize, String, &'a Value)>,
}

fn intercepted(builder: &mut Builder<'_>, configurations: &[usize]) {
    let mut behind: BTreeMap<usize, Behind<'_>> = BTreeMap::new();
    for &node in configurations {
        let Some(subject) = builder.subject(node) else { continue };
        for (index, webhook) in items(subject.object, "/webhooks") {
            let Some((service, workloads)) = service(builder, value_at(webhook, "/clientConfig/service"))
            else {
                continue;
            };
            let at = format!("/webhooks/{index}");
            builder.edge(&rules::BACKEND, service, node, format_args!("{at}/clientConfig/service/name"));
            let only_refuses = subject.kind == VALIDATING;
            if only_refuses && is_ignored(webhook) || items(webhook, "/rules").next().is_none() {
                continue;
            }
            let entry = behind.entry(service).or_default();
            entry.workloads = workloads;
            entry.webhooks.push((node, at, webhook));
        }
    }
    let world = World::of(builder);
    for (service, Behind { workloads, webhooks }) in behind {
        // Without a workload in the input nobody can say when the webhook answers.
        if !workloads.is_empty() {
            intercept(builder, &world, (service, &workloads), &webhooks);
        }
    }
}

/// One gate for all webhooks of a Service, so that edges stay linear.
fn intercept(
    builder: &mut Builder<'_>,
    world: &World<'_>,
    (service, workloads): (usize, &[usize]),
    webhooks: &[(usize, String, &Value)],
) {
    let configurations: BTreeSet<usize> = webhooks.iter().map(|(node, _, _)| *node).collect();
    let first: Vec<usize> = workloads.iter().chain(&configurations).copied().collect();
    let apart = builder.foundations(&first);
    let nodes: Vec<usize> = (0..builder.subjects.len())
        .filter(|node| apart.get(*node) == Some(&false))
        .filter(|node| builder.subject(*node).is_some_and(|one| world.is_asked(&one, *node, webhooks)))
        .collect();
    let name =
        builder.subject(service).map(|one| format!("{}/{}", one.namespace, one.name)).unwrap_or_default();
    let Some((node, at, _)) = webhooks.first() else { return };
    let behind = builder.at(*node, format_args!("{at}/clientConfig/service"));
    let mut members: Vec<(usize, Until, String)> =
        workloads.iter().map(|workload| (*workload, Until::Ready, behind.clone())).collect();
    for configuration in configurations {
        let at = webhooks.iter().find(|(node, _, _)| *node == configuration).map(|(_, at, _)| at.as_str());
        let pointer = builder.at(configuration, format_args!("{}/rules", at.unwrap_or_default()));
        members.push((configuration, Until::Applied, pointer));
    }
    let gate = builder.gate(&rules::INTERCEPTED, name);
    for (node, until, pointer) in members {
        gate.member(node, until, pointer);
    }
    for node in nodes {
        gate.dependant(node, "");
    }
}

/// What a webhook's rules are held against.
struct World<'a> {
    /// Labels of the namespaces of the input.
    namespaces: BTreeMap<&'a str, Option<&'a Value>>,
    /// Plurals that definitions of the input state, by group and kind.
    plurals: BTreeMap<(&'a str, &'a str), &'a str>,
    is_cluster_scoped: Vec<bool>,
}

/// A resource as a rule of a webhook sees it.
struct Resource<'a> {
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    is_cluster_scoped: bool,
    labels: Option<&'a Value>,
}

impl<'a> World<'a> {
    fn of(builder: &Builder<'a>) -> Self {
        let of =
            |group, kind| builder.index.of_kind(group, kind).iter().filter_map(|node| builder.subject(*node));
        let namespaces = of("", "Namespace").map(|one| (one.name, value_at(one.object, "/metadata/labels")));
        let plurals = of("apiextensions.k8s.io", "CustomResourceDefinition").filter_map(|one| {
            let names = text(one.object, "/spec/group").zip(text(one.object, "/spec/names/kind"));
            Some((names?, text(one.object, "/spec/names/plural")?))
        });
        let is_cluster_scoped = (0..builder.subjects.len()).map(|node| builder.index.is_cluster_scoped(node));
        Self {
            namespaces: namespaces.collect(),
            plurals: plurals.collect(),
            is_cluster_scoped: is_cluster_scoped.collect(),
        }
    }

    /// Whether one of these webhooks is asked about the object, or about pods that it makes.
    fn is_asked(&self, subject: &Subject<'_>, node: usize, webhooks: &[(usize, String, &Value)]) -> bool {
        // The API server never asks webhooks about webhooks.
        if subject.group == ADMISSION && subject.kind.ends_with("WebhookConfiguration") {
            return false;
        }
        let plural = self.plural(subject);
        let own = Resource {
            group: subject.group,
            version: subject.version,
            plural: &plural,
            is_cluster_scoped: self.is_cluster_scoped.get(node).copied().unwrap_or_default(),
            labels: value_at(subject.object, "/metadata/labels"),
        };
        let pods = pods::template(subject).map(|(_, template)| Resource {
            group: "",
            version: "v1",
            plural: "pods",
            is_cluster_scoped: false,
            labels: value_at(template, "/metadata/labels"),
        });
        let nothing = Value::Object(Map::new());
        let is_definition = subject.is("apiextensions.k8s.io", "CustomResourceDefinition");
        webhooks.iter().any(|(_, _, webhook)| {
            // A definition is none the worse for not having been changed, and programs wait for those that they watch.
            let may_pass = is_definition && is_ignored(webhook);
            !may_pass
                && [Some(&own), pods.as_ref()].into_iter().flatten().any(|resource| {
                    items(webhook, "/rules").any(|(_, rule)| resource.is_in(rule, webhook))
                        && matches_labels(webhook, "/objectSelector", resource.labels.unwrap_or(&nothing))
                        && self.is_in_namespace(webhook, subject, resource.is_cluster_scoped)
                })
        })
    }

    fn plural(&self, subject: &Subject<'_>) -> String {
        if let Some(plural) = self.plurals.get(&(subject.group, subject.kind)) {
            return (*plural).to_owned();
        }
        // The rule of the API machinery for kinds that state none.
        let kind = subject.kind.to_lowercase();
        match kind.as_str() {
            "endpoints" => kind,
            kind if kind.ends_with('s') || kind.ends_with('x') || kind.ends_with("ch") => format!("{kind}es"),
            kind => match kind.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
                Some(stem) => format!("{stem}ies"),
                None => format!("{kind}s"),
            },
        }
    }

    fn is_in_namespace(&self, webhook: &Value, subject: &Subject<'_>, is_cluster_scoped: bool) -> bool {
        let Some(wanted) = webhook.get("namespaceSelector") else { return true };
        let is_namespace = subject.is("", "Namespace");
        if is_cluster_scoped && !is_namespace {
            return true;
        }
        let name = if is_namespace { subject.name } else { subject.namespace };
        let known = self.namespaces.get(name);
        if known.is_none() && selector::keys(wanted).any(|key| key != NAMESPACE_NAME) {
            return true;
        }
        let labels = known.copied().flatten().and_then(Value::as_object);
        let mut labels = labels.cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME.to_owned(), name.into());
        selector::matches(wanted, &Value::Object(labels))
    }
}

impl Resource<'_> {
    fn is_in(&self, rule: &Value, webhook: &Value) -> bool {
        let has = |field: &str, wanted: &[&str]| {
            items(rule, field).any(|(_, one)| one.as_str().is_some_and(|one| wanted.contains(&one)))
        };
        // Other versions are converted before the webhook sees them, unless it forbids that.
        let any_version = text(webhook, "/matchPolicy") != Some("Exact");
        let scope = match text(rule, "/scope") {
            Some("Cluster") => self.is_cluster_scoped,
            Some("Namespaced") => !self.is_cluster_scoped,
            _ => true,
        };
        scope
            && has("/operations", &["*", "CREATE", "UPDATE"])
            && has("/apiGroups", &["*", self.group])
            && (any_version || has("/apiVersions", &["*", self.version]))
            && has("/resources", &["*", "*/*", self.plural])
    }
}

/// Whether requests go on without an answer of the webhook.
fn is_ignored(webhook: &Value) -> bool {
    text(webhook, "/failurePolicy") == Some("Ignore")
}

fn matches_labels(webhook: &Value, field: &str, labels: &Value) -> bool {
    value_at(webhook, field).is_none_or(|wanted| selector::matches(wanted, labels))
}
