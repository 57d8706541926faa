//! Kind `manifests`: Kubernetes objects as they stand in a manifest, one primitive component each.
//!
//! Lists are taken apart, equal copies dropped, and the order of the rest found (`infer`). What an object must look like
//! is the business of `object`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eve_core::kind::{EdgeReason, EdgeSource, Expansion, FileList, Kind, Part, PartEdge, PartOrigin, Scope};
use eve_core::plan::Action;
use eve_core::plan::problem::SpecProblem;
use serde_json::{Map, Value, json};

use super::object::{self, Found, Identity, Inherited};
use super::{known, metadata, outputs};
use crate::infer::{self, Inferred, Subject};
use crate::object::{
    FORCE_CONFLICTS, OBJECT, OBJECT_KIND, OUTPUTS, REPLACE, REPLACE_IF_NEEDED, REPLACE_NEVER,
};

/// The kind `manifests`. Each object becomes a part of kind `object` with the spec
/// `{"object": {…}, "forceConflicts": bool}`, named `deployment/web`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manifests {
    helm_hooks: HelmHooks,
}

/// What is done about objects that Helm runs at certain moments (`helm.sh/hook`) instead of keeping them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HelmHooks {
    /// They are problems: nothing is applied.
    #[default]
    Refuse,
    /// They are left out, with a warning each.
    Skip,
}

impl Manifests {
    /// What is done about Helm's hooks. By default they are refused.
    #[must_use]
    pub const fn with_helm_hooks(mut self, helm_hooks: HelmHooks) -> Self {
        self.helm_hooks = helm_hooks;
        self
    }

    fn leaves_out(self, one: &Found<'_>) -> bool {
        self.helm_hooks == HelmHooks::Skip && metadata::helm_hook(one).is_some()
    }

    /// All objects that are not left out, those within lists included, in order.
    fn objects(self, spec: &Value) -> Vec<Found<'_>> {
        let mut found = object::all(spec.get("objects"));
        found.retain(|one| !self.leaves_out(one));
        found
    }

    fn shape(self, spec: &Value, scope: &Scope<'_>) -> Shape {
        let found = self.objects(spec);
        let kept = kept(&found, scope.namespace);
        let names = names(&kept, scope.namespace);
        let (mut parts, mut rests) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        let (mut outputs, _) = outputs::of(spec, &kept, scope.namespace);
        for (index, ((identity, one), name)) in kept.iter().zip(names).enumerate() {
            let outputs = outputs.remove(&index);
            parts.push(Part {
                name,
                kind: OBJECT_KIND.to_owned(),
                action: Action::Apply,
                spec: Arc::default(),
                dependencies: Vec::new(),
                undo: metadata::undo_rule(one),
                labels: BTreeMap::new(),
                identity: Some(identity.words(scope.namespace)),
                origin: Some(PartOrigin { part: "/object", spec: one.pointer.clone() }),
                outputs: Some(outputs::names(identity.kind, outputs.as_ref())),
                expressions: None,
            });
            rests.push(Rest { pointer: one.pointer.clone(), inherited: one.inherited(), outputs });
        }
        Shape { parts, rests, order: order(&kept, scope.namespace) }
    }
}

impl Kind for Manifests {
    fn name(&self) -> &'static str {
        "manifests"
    }

    fn schema(&self) -> Value {
        json!({
            "description": "Kubernetes objects as they are, inline or from files.",
            "type": "object",
            "properties": {
                "objects": {
                    "description": "Kubernetes objects.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "apiVersion": { "type": "string" },
                            "kind": { "type": "string" },
                            "metadata": { "type": "object" }
                        },
                        "required": ["apiVersion", "kind"]
                    }
                },
                "files": {
                    "description": "Manifest files or folders, relative to the plan's file. The command line reads them.",
                    "type": "array",
                    "items": { "type": "string", "minLength": 1 }
                },
                "outputs": {
                    "description": "What other components may use as `components.NAME.OUTPUT`: expressions on the live object, `self`.",
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [
                            { "type": "string", "minLength": 1 },
                            {
                                "type": "object",
                                "properties": {
                                    "object": {
                                        "description": "Which object, as KIND/NAME.",
                                        "type": "string",
                                        "minLength": 1
                                    },
                                    "value": {
                                        "description": "The expression.",
                                        "type": "string",
                                        "minLength": 1
                                    }
                                },
                                "required": ["object", "value"],
                                "additionalProperties": false
                            }
                        ]
                    }
                },
                "forceConflicts": {
                    "description": "Take fields over from other field managers. By default such conflicts are failures.",
                    "type": "boolean"
                },
                "replace": {
                    "description": "Whether an object that cannot be changed in place is deleted and made anew. By default only Jobs are. Namespaces, definitions, claims and volumes never are.",
                    "enum": [REPLACE_NEVER, REPLACE_IF_NEEDED]
                }
            },
            "additionalProperties": false
        })
    }

    fn check(&self, spec: &Value, scope: &Scope<'_>) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        let mut found = object::all(spec.get("objects"));
        if found.is_empty()
            && spec.get("objects").is_none_or(|objects| objects.is_array() || objects.is_null())
        {
            let has_lists = spec.get("objects").and_then(Value::as_array).is_some_and(|one| !one.is_empty());
            let hint = if has_lists {
                "every list in it is empty"
            } else {
                "list objects under `objects`, or files under `files`"
            };
            problems
                .push(SpecProblem::new("manifests.empty", "", "there is no object in it").with_hint(hint));
        }
        let hooks = found.extract_if(.., |one| self.leaves_out(one));
        problems.extend(hooks.filter_map(|hook| metadata::skipped_hook(&hook)));
        let mut seen: BTreeMap<Identity<'_>, &Found<'_>> = BTreeMap::new();
        for one in &found {
            object::check(one, &mut problems);
            let Some(identity) = object::identity(one, scope.namespace) else { continue };
            let Some(first) = seen.get(&identity) else {
                seen.insert(identity, one);
                continue;
            };
            let words = identity.words(scope.namespace);
            let problem = if first.object == one.object {
                SpecProblem::new(
                    "object.repeated",
                    &one.pointer,
                    format!("{words} stands here twice, word for word"),
                )
                .as_warning()
                .with_hint("the copy is left out")
            } else {
                let message = format!("{words} stands here twice, with different contents");
                SpecProblem::new("object.duplicate", &one.pointer, message).with_hint("keep one of the two")
            };
            problems.push(problem.with_related(&first.pointer, "the first one"));
        }
        let kept = kept(&found, scope.namespace);
        problems.extend(outputs::of(spec, &kept, scope.namespace).1);
        problems.extend(order(&kept, scope.namespace).problems);
        problems
    }

    fn expand(&self, mut spec: Value, scope: &Scope<'_>) -> Expansion {
        let Shape { mut parts, rests, order } = self.shape(&spec, scope);
        let all = Common {
            force: spec.get(FORCE_CONFLICTS).and_then(Value::as_bool).unwrap_or_default(),
            replace: spec.get(REPLACE).filter(|rule| rule.is_string()).cloned(),
        };
        for (part, rest) in parts.iter_mut().zip(rests) {
            let place = spec.pointer_mut(&rest.pointer);
            debug_assert!(place.is_some(), "`{}` was found in it", rest.pointer);
            let object = place.map(Value::take).unwrap_or_default();
            part.spec = Arc::new(part_spec(object, rest, &all));
        }
        connect(&mut parts, order);
        Expansion { parts }
    }

    fn files(&self) -> Option<FileList> {
        Some(FileList { paths: "files", into: "objects" })
    }
}

/// The parts, still without their objects.
struct Shape {
    parts: Vec<Part>,
    /// The same number of these.
    rests: Vec<Rest>,
    order: Inferred,
}

/// What belongs into the spec of one part.
struct Rest {
    /// Where its object stands.
    pointer: String,
    inherited: Option<Inherited>,
    outputs: Option<Map<String, Value>>,
}

/// What the specs of all parts say.
struct Common {
    force: bool,
    replace: Option<Value>,
}

/// The first of each object.
fn kept<'a>(found: &'a [Found<'a>], namespace: &'a str) -> Vec<(Identity<'a>, &'a Found<'a>)> {
    let mut seen = BTreeSet::new();
    let identified = found.iter().filter_map(|one| Some((object::identity(one, namespace)?, one)));
    identified.filter(|(identity, _)| seen.insert(*identity)).collect()
}

fn order(kept: &[(Identity<'_>, &Found<'_>)], namespace: &str) -> Inferred {
    let words: Vec<String> = kept.iter().map(|(identity, _)| identity.words(namespace)).collect();
    let mut subjects = Vec::with_capacity(kept.len());
    for ((identity, one), words) in kept.iter().zip(&words) {
        subjects.push(Subject {
            group: identity.group,
            version: known::version(one.api_version().unwrap_or_default()),
            kind: identity.kind,
            namespace: identity.namespace,
            name: identity.name,
            object: one.object,
            pointer: &one.pointer,
            words,
        });
    }
    infer::infer(&subjects)
}

fn part_spec(object: Value, rest: Rest, all: &Common) -> Value {
    let mut spec = Map::new();
    spec.insert(OBJECT.into(), object::normalised(object, rest.inherited.as_ref()));
    spec.insert(FORCE_CONFLICTS.into(), Value::Bool(all.force));
    if let Some(replace) = &all.replace {
        spec.insert(REPLACE.into(), replace.clone());
    }
    if let Some(outputs) = rest.outputs {
        spec.insert(OUTPUTS.into(), Value::Object(outputs));
    }
    Value::Object(spec)
}

/// TYPE/NAME as kubectl writes it, with the group or the namespace only where two would be the same.
fn names(kept: &[(Identity<'_>, &Found<'_>)], namespace: &str) -> Vec<String> {
    let short = |identity: &Identity<'_>| (identity.kind.to_lowercase(), plain(identity.name));
    let mut counts: BTreeMap<(String, String), (usize, &str, bool)> = BTreeMap::new();
    for (identity, _) in kept {
        let entry = counts.entry(short(identity)).or_insert((0, identity.group, false));
        entry.0 += 1;
        entry.2 |= entry.1 != identity.group;
    }
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let name = |(identity, _): &(Identity<'_>, &Found<'_>)| {
        let (kind, name) = short(identity);
        let (count, _, groups_differ) =
            counts.get(&(kind.clone(), name.clone())).copied().unwrap_or((1, "", false));
        let mut full = kind;
        if groups_differ && !identity.group.is_empty() {
            full = format!("{full}.{}", identity.group);
        }
        if count > 1 && identity.namespace != namespace && !identity.namespace.is_empty() {
            full = format!("{full}/{}", plain(identity.namespace));
        }
        full = format!("{full}/{name}");
        let times = used.entry(full.clone()).or_default();
        *times += 1;
        if *times > 1 { format!("{full}:{times}") } else { full }
    };
    kept.iter().map(name).collect()
}

/// Names of RBAC objects are free; names of components are not.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._:".contains(c) { c } else { '-' }).collect()
}

/// Puts the edges, and the joins between them, among the parts.
fn connect(parts: &mut Vec<Part>, inferred: Inferred) {
    parts.extend(inferred.joins.into_iter().map(Part::join));
    let mut edges: Vec<(usize, PartEdge)> = Vec::with_capacity(inferred.edges.len());
    for edge in inferred.edges {
        let source = if edge.rule.is_written { EdgeSource::Written } else { EdgeSource::Inferred };
        let reason = EdgeReason { source, rule: edge.rule.name, spec: edge.pointer };
        let before = parts.get(edge.before).map(|part| part.name.clone()).unwrap_or_default();
        edges.push((edge.after, PartEdge { part: before, until: edge.until, reason: Some(reason) }));
    }
    for (after, edge) in edges {
        if let Some(part) = parts.get_mut(after) {
            part.dependencies.push(edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> Value {
        json!({"apiVersion": known::api_version(kind).unwrap_or("x.io/v1"), "kind": kind, "metadata": {"name": name}})
    }

    fn expand(objects: &[Value]) -> Vec<String> {
        let scope = Scope { namespace: "shop", component: "web" };
        let spec = json!({ "objects": objects });
        let errors = Manifests::default().check(&spec, &scope);
        assert!(
            errors.iter().all(|problem| problem.severity == eve_core::plan::diagnostic::Severity::Warning),
            "{errors:?}"
        );
        let line = |part: &Part| {
            let after: Vec<&str> = part.dependencies.iter().map(|edge| edge.part.as_str()).collect();
            format!("{} <- {}", part.name, after.join(", "))
        };
        Manifests::default().expand(spec, &scope).parts.iter().map(line).collect()
    }

    #[test]
    fn parts_stay_in_the_order_of_the_input_with_joins_behind_them() {
        let pod = |name: &str| {
            let mut pod = object("Pod", name);
            pod["spec"] = json!({"containers": [{"name": "c"}]});
            pod
        };
        let all = expand(&[pod("p"), object("LimitRange", "l"), pod("q"), object("ResourceQuota", "r")]);
        assert_eq!(
            all,
            [
                "pod/p <- all:policies/shop",
                "limitrange/l <- ",
                "pod/q <- all:policies/shop",
                "resourcequota/r <- ",
                "all:policies/shop <- limitrange/l, resourcequota/r",
            ]
        );
    }

    #[test]
    fn hooks_of_helm_are_left_out_where_that_is_wanted_and_refused_elsewhere() {
        let mut hook = object("Job", "migrate");
        hook["metadata"]["annotations"] = json!({ "helm.sh/hook": "pre-install" });
        let spec = json!({ "objects": [hook, object("ConfigMap", "c")] });
        let scope = Scope { namespace: "shop", component: "web" };
        let check = |helm_hooks, expected: (bool, &[&str])| {
            let kind = Manifests::default().with_helm_hooks(helm_hooks);
            let problems = kind.check(&spec, &scope);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].code, "object.helm-hook");
            let is_warning = problems[0].severity == eve_core::plan::diagnostic::Severity::Warning;
            let parts = kind.expand(spec.clone(), &scope).parts;
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            assert_eq!((is_warning, names.as_slice()), expected);
        };
        check(HelmHooks::Refuse, (false, &["job/migrate", "configmap/c"]));
        check(HelmHooks::Skip, (true, &["configmap/c"]));
    }

    #[test]
    fn what_is_no_object_for_eve_is_told_plainly() {
        let mut hook = object("Job", "migrate");
        hook["metadata"]["annotations"] = json!({ "argocd.argoproj.io/hook": "PreSync" });
        let with_version =
            json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization" });
        for (one, expected, told) in [
            (hook, &["object.argo-hook"][..], "hook of Argo CD (`PreSync`)"),
            (with_version, &["object.kustomization"], "kustomize"),
            (json!({ "resources": ["a.yaml"] }), &["object.kustomization"], "kustomize"),
            (json!({ "apiVersion": "v1", "kind": "List", "items": [] }), &["manifests.empty"], "no object"),
        ] {
            let spec = json!({ "objects": [one] });
            let problems = Manifests::default().check(&spec, &Scope { namespace: "shop", component: "web" });
            let codes: Vec<&str> = problems.iter().map(|problem| &*problem.code).collect();
            assert_eq!(codes, expected, "{problems:?}");
            assert!(problems[0].message.contains(told), "{problems:?}");
        }
    }

    #[test]
    fn an_edge_says_by_what_rule_and_from_which_field_it_comes() {
        let objects = json!({"objects": [object("Namespace", "shop"), object("ConfigMap", "c")]});
        let scope = Scope { namespace: "shop", component: "web" };
        let parts = Manifests::default().expand(objects, &scope).parts;
        let reason = parts[1].dependencies[0].reason.clone().unwrap();
        assert_eq!(
            (reason.source, reason.rule, reason.spec.as_str()),
            (EdgeSource::Inferred, "namespace", "/objects/1")
        );
    }

    #[test]
    fn group_and_namespace_are_in_a_name_only_where_they_must_be() {
        let mut other = object("Deployment", "a");
        other["metadata"]["namespace"] = json!("other");
        let foreign = json!({"apiVersion": "x.io/v1", "kind": "Ingress", "metadata": {"name": "i"}});
        let all = expand(&[object("Deployment", "a"), other, foreign, object("Ingress", "i")]);
        assert_eq!(
            all,
            [
                "deployment/a <- ",
                "deployment/other/a <- ",
                "ingress.x.io/i <- ",
                "ingress.networking.k8s.io/i <- "
            ]
        );
    }

    #[test]
    fn lists_are_taken_apart_and_equal_copies_are_left_out() {
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": [object("Pod", "a"), object("Pod", "b")]});
        let typed = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"metadata": {"name": "d"}}]});
        assert_eq!(
            expand(&[list, object("Pod", "a"), typed]),
            ["pod/a <- ", "pod/b <- ", "deployment/d <- "]
        );
    }

    #[test]
    fn what_the_server_sets_and_nulls_are_left_out() {
        let spec = json!({"forceConflicts": true, "objects": [{
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "uid": "1", "labels": null, "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "keep": "1"}},
            "spec": {"x": null, "list": [null, {"y": null}]},
            "status": {"phase": "Running"}}]});
        let scope = Scope { namespace: "shop", component: "web" };
        let warnings = Manifests::default().check(&spec, &scope);
        assert_eq!(warnings.len(), 1);
        let parts = Manifests::default().expand(spec, &scope).parts;
        assert_eq!(
            *parts[0].spec,
            json!({"forceConflicts": true, "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "a", "annotations": {"keep": "1"}},
                "spec": {"list": [null, {}]}}})
        );
    }
}
