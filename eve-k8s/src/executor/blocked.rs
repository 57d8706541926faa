//! What holds a deletion up, and who can end it: finalizers, objects that it owns, what a namespace reports.
//!
//! Pure but for [`KubeExecutor::blocked`], which looks for owned objects with one list a kind, at most once in ten
//! seconds for a namespace. Nothing is ever changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eve_core::few::few;
use futures::StreamExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::KubeExecutor;
use super::terminating::Left;
use crate::client::{Collection, Detail, Labelled, Location};
use crate::discovery::{Resource, Scope};
use crate::path::PathSegment;
use crate::readiness::text;

/// Set by the server while objects that block the deletion are still there.
const FOREGROUND: &str = "foregroundDeletion";
/// How old a census may be.
const CENSUS_AGE: Duration = Duration::from_secs(10);
/// How long a census may take: the wait for which it is made ends in time.
const CENSUS_TIMEOUT: Duration = Duration::from_secs(4);
/// How many lists of a census are under way at once.
pub(super) const LISTS_MAX: usize = 16;

/// Well-known finalizers, with who takes them away or when.
const OWNERS: [(&str, &str); 10] = [
    ("kubernetes.io/pvc-protection", "which stays while a pod uses the claim"),
    ("kubernetes.io/pv-protection", "which stays while a claim is bound to the volume"),
    ("orphan", "which the garbage collector removes"),
    ("service.kubernetes.io/load-balancer-cleanup", "which the cloud's service controller removes"),
    ("batch.kubernetes.io/job-tracking", "which the job controller removes"),
    (
        "customresourcecleanup.apiextensions.k8s.io",
        "which the API server removes once all its custom resources are gone",
    ),
    ("external-attacher/", "which the CSI attacher of the storage driver removes"),
    ("resources-finalizer.argocd.argoproj.io", "which Argo CD's application controller removes"),
    ("finalizers.fluxcd.io", "which the Flux controller of its kind removes"),
    ("helm.toolkit.fluxcd.io", "which Flux's helm-controller removes"),
];

/// Conditions by which a namespace tells what keeps it.
const NAMESPACE_CONDITIONS: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
];

/// What holds a deletion up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocked {
    /// Lowercase fragments, the most telling first.
    reasons: Vec<String>,
    /// Further lines.
    pub(super) notes: Vec<String>,
    /// Whether a finalizer that nobody may come for is among them.
    has_finalizer: bool,
}

impl Blocked {
    /// In one line.
    pub(super) fn text(&self) -> String {
        self.known().unwrap_or_else(|| "it is being deleted".to_owned())
    }

    /// The same, where anything is known.
    pub(super) fn known(&self) -> Option<String> {
        if self.reasons.is_empty() { None } else { Some(self.reasons.join("; ")) }
    }

    pub(super) fn hint(&self) -> Option<String> {
        self.has_finalizer.then(|| {
            "eve removes no finalizer: see that its controller runs; where it is gone for good, clean up what it kept, \
             then remove the finalizer by hand"
                .to_owned()
        })
    }

    /// What the object itself tells. `owned` are the objects that keep it, where that was looked for.
    fn of(place: &Location, object: &Value, owned: &[String]) -> Self {
        let mut blocked = Self::default();
        let is_namespace = is_namespace(place);
        for condition in conditions(object) {
            let (kind, message) = (text(condition, "/type"), text(condition, "/message"));
            let is_true = text(condition, "/status") == "True";
            if is_namespace && is_true && NAMESPACE_CONDITIONS.contains(&kind) {
                blocked.reasons.push(message.trim_end_matches('.').to_owned());
                blocked.notes.push(format!("{kind}: {message}"));
            } else if kind == "Terminating" && !message.is_empty() {
                blocked.reasons.push(message.trim_end_matches('.').to_owned());
            }
        }
        let finalizers = finalizers(object);
        for finalizer in finalizers.iter().filter(|finalizer| **finalizer != FOREGROUND) {
            blocked.has_finalizer = true;
            let set_by = setter(object, finalizer).map(|by| format!(", set by `{by}`")).unwrap_or_default();
            blocked.reasons.push(format!("finalizer `{finalizer}`, {}{set_by}", remover(finalizer)));
        }
        if !owned.is_empty() {
            blocked.reasons.push(format!("objects that it owns are still there: {}", few(owned)));
        } else if blocked.reasons.is_empty() && finalizers.contains(&FOREGROUND) {
            blocked.reasons.push("the garbage collector has not let it go yet".to_owned());
        }
        if blocked.reasons.is_empty()
            && let Some(seconds) =
                object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64)
            && seconds > 0
        {
            blocked.reasons.push(format!("it has {seconds} s to end by itself"));
        }
        blocked
    }

    /// With what was seen in a namespace, in the place of what its conditions say of that; they stay as notes.
    fn explained(mut self, object: &Value, left: Left) -> Self {
        let said: Vec<&str> =
            conditions(object).map(|condition| text(condition, "/message").trim_end_matches('.')).collect();
        if left.unanswered.is_empty() && left.objects.is_empty() {
            return self;
        }
        self.reasons.retain(|reason| !said.contains(&reason.as_str()));
        let mut reasons = left.unanswered;
        if !left.objects.is_empty() {
            reasons.push(format!("still in it: {}", few(&left.objects)));
        }
        self.reasons.splice(0..0, reasons);
        self.has_finalizer |= left.has_finalizer;
        self
    }
}

pub(super) fn is_namespace(place: &Location) -> bool {
    place.resource.group.is_none() && *place.resource.kind == *"Namespace"
}

/// Why an `APIService` is not available, if it is not.
pub(super) fn unavailable(service: &Value) -> Option<String> {
    let available = conditions(service).find(|condition| text(condition, "/type") == "Available")?;
    if text(available, "/status") == "True" {
        return None;
    }
    Some(format!("{}: {}", text(available, "/reason"), text(available, "/message")))
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

/// Those of the metadata, and of a namespace also those of its spec that are not the namespace controller's own.
pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let of = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let own = of("/spec/finalizers").filter_map(Value::as_str).filter(|finalizer| *finalizer != "kubernetes");
    of("/metadata/finalizers").filter_map(Value::as_str).chain(own).collect()
}

/// Who is likely to take a finalizer away.
fn remover(finalizer: &str) -> String {
    let known = OWNERS
        .iter()
        .find(|(name, _)| finalizer == *name || (name.ends_with('/') && finalizer.starts_with(name)));
    match (known, finalizer.split_once('/')) {
        (Some((_, who)), _) => (*who).to_owned(),
        (None, Some((domain, _))) => format!("which the controller of `{domain}` has to remove"),
        (None, None) => "which whoever set it has to remove".to_owned(),
    }
}

/// The field manager that owns a finalizer.
fn setter<'a>(object: &'a Value, finalizer: &str) -> Option<&'a str> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let key = format!("v:\"{finalizer}\"");
    let owner = entries.iter().find(|entry| {
        let set = entry.pointer("/fieldsV1/f:metadata/f:finalizers");
        set.is_some_and(|set| set.get(&key).is_some())
    });
    owner?.get("manager")?.as_str()
}

/// Objects by the uid of the owner whose deletion they block.
type Owned = BTreeMap<String, Vec<Dependant>>;

#[derive(Clone, Debug)]
struct Dependant {
    uid: String,
    /// `Pod web-1`, with its own finalizers.
    words: String,
}

/// Who owns what, by namespace; `None` is the cluster.
#[derive(Default)]
pub(super) struct Census(tokio::sync::Mutex<BTreeMap<Option<PathSegment>, Counted>>);

/// When it was counted, and what.
type Counted = (Instant, Arc<Owned>);

impl KubeExecutor {
    /// What holds the deletion of this object up. Cancel safe.
    pub(super) async fn blocked(&self, place: &Location, object: &Value) -> Blocked {
        if is_namespace(place) {
            return Blocked::of(place, object, &[]).explained(object, self.left_in(&place.name).await);
        }
        if !finalizers(object).contains(&FOREGROUND) {
            return Blocked::of(place, object, &[]);
        }
        let counted = tokio::time::timeout(CENSUS_TIMEOUT, self.owned(place.namespace.as_ref())).await;
        let owned = counted.map(|owned| leaves(&owned, text(object, "/metadata/uid"))).unwrap_or_default();
        Blocked::of(place, object, &owned)
    }

    async fn owned(&self, namespace: Option<&PathSegment>) -> Arc<Owned> {
        let mut known = self.census.0.lock().await;
        if let Some((at, owned)) = known.get(&namespace.cloned())
            && at.elapsed() < CENSUS_AGE
        {
            return Arc::clone(owned);
        }
        let scope = if namespace.is_some() { Scope::Namespaced } else { Scope::Cluster };
        let mut kinds = self.kinds().listable();
        kinds.retain(|kind| kind.scope == scope && *kind.kind != *"Event");
        let lists =
            futures::stream::iter(kinds).map(|resource| self.dependants(resource, namespace.cloned()));
        let lists: Vec<_> = lists.buffer_unordered(LISTS_MAX).collect().await;
        let mut owned = Owned::new();
        for (owner, dependant) in lists.into_iter().flatten() {
            owned.entry(owner).or_default().push(dependant);
        }
        for dependants in owned.values_mut() {
            dependants.sort_by(|a, b| a.words.cmp(&b.words));
        }
        let owned = Arc::new(owned);
        known.insert(namespace.cloned(), (Instant::now(), Arc::clone(&owned)));
        owned
    }

    /// The objects of one kind that block the deletion of their owner; of very many only the first page is looked at.
    async fn dependants(
        &self,
        resource: Arc<Resource>,
        namespace: Option<PathSegment>,
    ) -> Vec<(String, Dependant)> {
        let kind = resource.kind.clone();
        let collection = Collection { resource, namespace, label: None };
        let page = self.client.list_labelled(&collection, Labelled::Any, Detail::Metadata, None).await;
        let page = page.unwrap_or_default();
        let items = page.get("items").and_then(Value::as_array).into_iter().flatten();
        items.flat_map(|item| dependant(&kind, item)).collect()
    }
}

fn dependant(kind: &str, item: &Value) -> Vec<(String, Dependant)> {
    let own: Vec<&str> = finalizers(item).into_iter().filter(|finalizer| *finalizer != FOREGROUND).collect();
    let own = if own.is_empty() { String::new() } else { format!(" (finalizer `{}`)", own.join("`, `")) };
    let words = format!("{kind} {}{own}", text(item, "/metadata/name"));
    let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let blocks = |owner: &&Value| owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true);
    let dependant = Dependant { uid: text(item, "/metadata/uid").to_owned(), words };
    owners.filter(blocks).map(|owner| (text(owner, "/uid").to_owned(), dependant.clone())).collect()
}

/// The objects that own nothing more, below this owner: those that must go first. Each object is visited once.
fn leaves(owned: &Owned, uid: &str) -> Vec<String> {
    let mut left = vec![uid.to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    while let Some(owner) = left.pop() {
        for dependant in owned.get(&owner).into_iter().flatten() {
            if !seen.insert(dependant.uid.clone()) {
                continue;
            }
            if owned.contains_key(&dependant.uid) {
                left.push(dependant.uid.clone());
            } else {
                found.push(dependant.words.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(kind: &str) -> Location {
        let resource = match kind {
            "Namespace" => Resource::namespaces(),
            kind => Resource::core("things", kind),
        };
        let name = PathSegment::name("a").unwrap();
        Location { resource: Arc::new(resource.unwrap()), namespace: None, name }
    }

    fn text_of(kind: &str, object: &Value, owned: &[String]) -> String {
        Blocked::of(&place(kind), object, owned).text()
    }

    #[test]
    fn a_finalizer_is_named_with_who_set_it_and_who_removes_it() {
        let object = json!({ "metadata": {
            "finalizers": ["example.com/hold", "foregroundDeletion"],
            "managedFields": [{ "manager": "operator", "fieldsV1": {
                "f:metadata": { "f:finalizers": { ".": {}, "v:\"example.com/hold\"": {} } } } }],
        } });
        assert_eq!(
            text_of("ConfigMap", &object, &[]),
            "finalizer `example.com/hold`, which the controller of `example.com` has to remove, set by `operator`"
        );
        assert!(Blocked::of(&place("ConfigMap"), &object, &[]).hint().is_some());
    }

    #[test]
    fn finalizers_of_kubernetes_say_what_they_wait_for() {
        for (finalizer, said) in [
            ("kubernetes.io/pvc-protection", "while a pod uses the claim"),
            ("external-attacher/disk-csi", "CSI attacher"),
            ("service.kubernetes.io/load-balancer-cleanup", "cloud's service controller"),
            ("hold", "whoever set it"),
        ] {
            let text = text_of("Thing", &json!({ "metadata": { "finalizers": [finalizer] } }), &[]);
            assert!(text.contains(finalizer) && text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_namespace_tells_what_remains_in_it_and_which_api_is_away() {
        let condition = |kind: &str, status: &str, message: &str| json!({ "type": kind, "status": status, "message": message });
        let object = json!({ "metadata": {}, "spec": { "finalizers": ["kubernetes"] }, "status": { "conditions": [
            condition("NamespaceDeletionDiscoveryFailure", "True", "Discovery failed: metrics.k8s.io/v1beta1: stale"),
            condition("NamespaceDeletionContentFailure", "False", "all content deleted"),
            condition("NamespaceContentRemaining", "True", "Some resources are remaining: things. has 1 resource instances"),
        ] } });
        assert_eq!(
            text_of("Namespace", &object, &[]),
            "Discovery failed: metrics.k8s.io/v1beta1: stale; Some resources are remaining: things. has 1 resource instances"
        );
        assert_eq!(text_of("Thing", &object, &[]), "it is being deleted", "of a namespace only");
    }

    #[test]
    fn what_was_seen_in_a_namespace_says_more_than_its_conditions() {
        let said = "Some resources are remaining: things. has 1 resource instances";
        let object = json!({ "status": { "conditions": [
            { "type": "NamespaceContentRemaining", "status": "True", "message": said } ] } });
        let blocked = || Blocked::of(&place("Namespace"), &object, &[]);
        assert_eq!(blocked().explained(&object, Left::default()).text(), said);
        let left = Left {
            unanswered: vec!["APIService `a` is not available: x".to_owned()],
            objects: vec!["Thing t (finalizer `a/b`)".to_owned()],
            has_finalizer: true,
        };
        let explained = blocked().explained(&object, left);
        let wanted = "APIService `a` is not available: x; still in it: Thing t (finalizer `a/b`)";
        assert_eq!(explained.text(), wanted);
        assert_eq!(explained.notes, [format!("NamespaceContentRemaining: {said}")]);
        assert!(explained.hint().is_some());
    }

    #[test]
    fn owned_objects_are_named_where_they_end() {
        let of = |owner: &str, uid: &str, words: &str| {
            (owner.to_owned(), vec![Dependant { uid: uid.to_owned(), words: words.to_owned() }])
        };
        let owned: Owned = [of("d", "r", "ReplicaSet web-1"), of("r", "p", "Pod web-1-x")].into();
        assert_eq!(leaves(&owned, "d"), ["Pod web-1-x"]);
        let object = json!({ "metadata": { "finalizers": ["foregroundDeletion"] } });
        assert_eq!(
            text_of("Thing", &object, &leaves(&owned, "d")),
            "objects that it owns are still there: Pod web-1-x"
        );
        assert!(text_of("Thing", &object, &[]).contains("garbage collector"));
        let round: Owned = [of("a", "b", "B"), of("b", "a", "A")].into();
        assert!(leaves(&round, "a").is_empty(), "owners in a circle end");
    }

    #[test]
    fn only_references_that_block_count() {
        let item = |blocks: bool| {
            json!({ "metadata": { "name": "x", "uid": "u", "finalizers": ["a/b"], "ownerReferences": [
            { "uid": "o", "blockOwnerDeletion": blocks }] } })
        };
        assert!(dependant("Pod", &item(false)).is_empty());
        assert_eq!(dependant("Pod", &item(true))[0].1.words, "Pod x (finalizer `a/b`)");
    }
}
