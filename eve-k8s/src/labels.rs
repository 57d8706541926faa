//! Every label, annotation and field-manager name that eve writes or reads. No other file spells one out.

use eve_core::ports::Step;
use serde_json::{Map, Value};

use crate::object::at;

/// Who manages an object; written as `eve` unless the input says otherwise.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The plan that an object belongs to.
pub const PLAN: &str = "eve.dev/plan";
/// The namespace of the plan that an object belongs to, where the object does not lie in it: two plans of one name in
/// two namespaces must not take each other's cluster roles for their own.
pub const PLAN_NAMESPACE: &str = "eve.dev/plan-namespace";
/// The component that an object belongs to.
pub const COMPONENT: &str = "eve.dev/component";
/// Annotation: the digest of the input that was applied last; never on Secrets.
pub const DESIRED: &str = "eve.dev/desired";
/// Annotation, with the value `true`: the object was there before eve applied it for the first time.
pub const ADOPTED: &str = "eve.dev/adopted";
/// Annotation, with any value but `false`: eve never deletes the object.
pub const KEEP: &str = "eve.dev/keep";
/// Annotation, with the value `never`: a rollback leaves the object as the run made it, and what it depends on too. With
/// `allowed`, as without it, the object is put back.
pub const UNDO: &str = "eve.dev/undo";
/// Of a snapshot: the plan whose run may be undone with it. Not [`PLAN`], for a snapshot is no part of a plan.
pub const SNAPSHOT_OF: &str = "eve.dev/snapshot-of";
/// Of a snapshot: the run that may be undone with it.
pub const RUN: &str = "eve.dev/run";
/// Annotation of a snapshot: the object that it is of.
pub const OBJECT: &str = "eve.dev/object";
/// Annotation of a snapshot: when it may be removed, RFC 3339 in UTC.
pub const EXPIRES: &str = "eve.dev/expires";
/// Helm's annotation, with the value `keep`: nobody deletes the object.
pub(crate) const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
/// The name under which eve owns fields (server-side apply).
pub const FIELD_MANAGER: &str = "eve";

/// Of a pod: the revision of its `StatefulSet` or `DaemonSet`.
pub(crate) const CONTROLLER_REVISION_HASH: &str = "controller-revision-hash";
/// Of a pod: the generation of the pod template of its `DaemonSet`.
pub(crate) const POD_TEMPLATE_GENERATION: &str = "pod-template-generation";
/// Annotation of a `DaemonSet`: the generation of its pod template.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// Annotation of a Deployment and its replica sets: the revision.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";

/// The longest value of a label, in bytes (Kubernetes API conventions, "Labels and Selectors").
const VALUE_BYTES_MAX: usize = 63;
/// Hexadecimal digits of the hash that ends a shortened value.
const HASH_DIGITS: usize = 8;

/// `text` as the value of a label: itself where that is valid, else a readable part of it with a hash at its end, so
/// that two texts never share a value by being cut.
///
/// ```
/// use eve_k8s::labels::value;
/// assert_eq!(value("web"), "web");
/// assert_eq!(value("web/deployment/frontend").len(), "web_deployment_frontend-".len() + 8);
/// ```
pub fn value(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let valid = text.len() <= VALUE_BYTES_MAX
        && text.bytes().all(|byte| plain(byte) || b"-_.".contains(&byte))
        && text.bytes().next().is_none_or(plain)
        && text.bytes().last().is_none_or(plain);
    if valid {
        return text.to_owned();
    }
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let readable: String = text.chars().map(keep).take(VALUE_BYTES_MAX - HASH_DIGITS - 1).collect();
    let readable = readable.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let hash = format!("{:08x}", fnv(text) & 0xffff_ffff);
    if readable.is_empty() { hash } else { format!("{readable}-{hash}") }
}

/// FNV-1a, 64 bits: tells texts apart, nothing more.
pub(crate) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Says that eve manages the object, where the object says nothing. Not for objects that somebody else manages: the
/// label would be a conflict that nobody asked for.
pub(crate) fn claim(object: &mut Value) {
    if let Some(labels) = texts_of(object, "labels") {
        labels.entry(MANAGED_BY).or_insert_with(|| FIELD_MANAGER.into());
    }
}

/// Who manages an object, where it says so.
pub(crate) fn managed_by(object: &Value) -> Option<&str> {
    label(object, MANAGED_BY)
}

/// What tells a plan from all others of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlanName<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
}

impl<'a> PlanName<'a> {
    /// The plan of a step.
    pub(crate) fn of(step: &'a Step) -> Self {
        Self { name: step.plan(), namespace: step.namespace() }
    }

    /// Why an object is none of this plan's, for people; `None` if it is.
    pub(crate) fn disowns(self, live: &Value) -> Option<String> {
        let Some(plan) = label(live, PLAN) else {
            return Some("it does not belong to the plan: eve did not make it".to_owned());
        };
        let is_same = plan == value(self.name) && plan_namespace(live) == Some(self.namespace);
        if is_same { None } else { Some(format!("it {}", belongs(live, plan))) }
    }

    /// To which other plan an object belongs, for people; `None` if it belongs to this one or to none. Where no namespace
    /// is known, the name alone tells.
    pub(crate) fn other(self, live: &Value) -> Option<String> {
        let plan = label(live, PLAN)?;
        let is_same = plan == value(self.name)
            && plan_namespace(live).is_none_or(|namespace| namespace == self.namespace);
        if is_same { None } else { Some(belongs(live, plan)) }
    }
}

fn belongs(live: &Value, plan: &str) -> String {
    let of = plan_namespace(live).map(|namespace| format!(" of namespace `{namespace}`")).unwrap_or_default();
    format!("belongs to the plan `{plan}`{of}")
}

/// The namespace of the plan that an object of a plan belongs to.
pub(crate) fn plan_namespace(object: &Value) -> Option<&str> {
    label(object, PLAN_NAMESPACE).or_else(|| namespace(object))
}

/// Writes eve's labels and the component's own on an object (never on a pod template). The component's own are added
/// where the object says nothing; plan and component are always eve's to say.
pub(crate) fn stamp<'a>(
    object: &mut Value,
    plan: PlanName<'_>,
    component: &str,
    own: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let elsewhere = namespace(object) != Some(plan.namespace);
    let Some(labels) = texts_of(object, "labels") else { return };
    for (key, text) in own {
        labels.entry(key).or_insert_with(|| text.into());
    }
    labels.insert(PLAN.to_owned(), value(plan.name).into());
    labels.insert(COMPONENT.to_owned(), value(component).into());
    if elsewhere {
        labels.insert(PLAN_NAMESPACE.to_owned(), value(plan.namespace).into());
    }
}

fn namespace(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("namespace")?.as_str()
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// Writes an annotation on an object.
pub(crate) fn annotate(object: &mut Value, key: &str, text: &str) {
    if let Some(annotations) = texts_of(object, "annotations") {
        annotations.insert(key.to_owned(), text.into());
    }
}

/// An annotation of an object.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// The annotation by which an object says that it is never to be deleted, if it does.
pub(crate) fn keep(object: &Value) -> Option<&'static str> {
    // As Helm reads it.
    if annotation(object, RESOURCE_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep")) {
        return Some(RESOURCE_POLICY);
    }
    annotation(object, KEEP).filter(|keep| *keep != "false").map(|_| KEEP)
}

/// Whether the object says that it belongs to a plan.
pub(crate) fn has_plan(object: &Value) -> bool {
    at(object, "/metadata/labels").is_some_and(|labels| labels.get(PLAN).is_some())
}

/// The labels or annotations of an object, made where there are none; `None` where something else stands in their
/// place, which the API server then refuses by name.
fn texts_of<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let texts = metadata.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if texts.is_null() {
        *texts = Value::Object(Map::new());
    }
    texts.as_object_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_values_are_valid_and_distinct() {
        let long = "a".repeat(200);
        let longer = format!("{long}b");
        for text in
            ["web", "web/deployment/frontend", "-x-", "äöü", "///", "", long.as_str(), longer.as_str()]
        {
            let value = value(text);
            assert!(value.len() <= VALUE_BYTES_MAX, "{value}");
            assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{value}");
            let ends = value.bytes().next().zip(value.bytes().last());
            assert!(
                ends.is_none_or(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric()),
                "{value}"
            );
        }
        assert_ne!(value(&long), value(&longer));
        assert_ne!(value("a/b"), value("a:b"));
    }

    #[test]
    fn labels_of_the_input_stay_and_pod_templates_get_none() {
        let mut object = json!({
            "metadata": { "name": "web", "labels": { "app.kubernetes.io/managed-by": "Helm", "tier": "front" } },
            "spec": { "template": { "metadata": { "labels": { "app": "web" } } } },
        });
        let template = object.pointer("/spec/template").cloned();
        claim(&mut object);
        let plan = PlanName { name: "shop", namespace: "blue" };
        stamp(&mut object, plan, "web/deployment", [("tier", "x"), ("team", "a")].into_iter());
        let labels = object.pointer("/metadata/labels").unwrap();
        assert_eq!(
            labels,
            &json!({
                "app.kubernetes.io/managed-by": "Helm", "tier": "front", "team": "a",
                "eve.dev/plan": "shop", "eve.dev/component": value("web/deployment"),
                "eve.dev/plan-namespace": "blue",
            })
        );
        assert_eq!(object.pointer("/spec/template").cloned(), template);
    }

    #[test]
    fn plans_of_one_name_in_two_namespaces_own_different_objects() {
        let plan = |namespace| PlanName { name: "shop", namespace };
        for (namespace, is_marked) in [(None, true), (Some("green"), true), (Some("blue"), false)] {
            let mut object = json!({ "metadata": { "name": "x" } });
            if let Some(namespace) = namespace {
                object["metadata"]["namespace"] = namespace.into();
            }
            stamp(&mut object, plan("blue"), "x", std::iter::empty());
            assert_eq!(label(&object, PLAN_NAMESPACE).is_some(), is_marked, "{namespace:?}");
            assert_eq!(plan("blue").disowns(&object), None);
            assert_eq!(plan("blue").other(&object), None);
            let other = plan("green").disowns(&object).unwrap();
            assert_eq!(other, "it belongs to the plan `shop` of namespace `blue`");
            let told = plan("green").other(&object);
            assert_eq!(told.as_deref(), other.strip_prefix("it "));
        }
    }
}
