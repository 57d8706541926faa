//! Which objects of an input are meant by `KIND/NAME`. Pure; asks no cluster, so plurals are guessed.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::object;

/// Short names of kinds, as `kubectl api-resources` lists them.
const SHORT: [(&str, &str); 22] = [
    ("cj", "cronjob"),
    ("cm", "configmap"),
    ("crd", "customresourcedefinition"),
    ("crds", "customresourcedefinition"),
    ("deploy", "deployment"),
    ("ds", "daemonset"),
    ("ep", "endpoints"),
    ("hpa", "horizontalpodautoscaler"),
    ("ing", "ingress"),
    ("limits", "limitrange"),
    ("netpol", "networkpolicy"),
    ("ns", "namespace"),
    ("pdb", "poddisruptionbudget"),
    ("po", "pod"),
    ("pv", "persistentvolume"),
    ("pvc", "persistentvolumeclaim"),
    ("quota", "resourcequota"),
    ("rc", "replicationcontroller"),
    ("rs", "replicaset"),
    ("sa", "serviceaccount"),
    ("sts", "statefulset"),
    ("svc", "service"),
];

/// Which objects of an input are meant: `KIND[.GROUP]/[NAMESPACE/]NAME`. The kind as `kubectl` takes it: in any case,
/// in the singular or plural, or short. Without group or namespace, any.
///
/// ```
/// use eve_k8s::ObjectPattern;
/// use serde_json::json;
///
/// let spec = json!({ "object": {
///     "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
/// } });
/// for text in ["Deployment/web", "deployments/web", "deploy/web", "deployment.apps/web", "deployment/shop/web"] {
///     assert!(text.parse::<ObjectPattern>().unwrap().matches(&spec, "shop"), "{text}");
/// }
/// assert!("Deployment".parse::<ObjectPattern>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPattern {
    kind: String,
    group: Option<String>,
    namespace: Option<String>,
    name: String,
}

/// A text is no [`ObjectPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no object; write KIND/NAME, KIND.GROUP/NAME or KIND/NAMESPACE/NAME")]
pub struct BadObjectPattern(String);

impl ObjectPattern {
    /// Whether the object in this spec of kind `object` is meant. One that states no namespace counts to `namespace`,
    /// and so does a cluster-scoped one, which nothing here can tell.
    pub fn matches(&self, spec: &Value, namespace: &str) -> bool {
        let Ok((_, identity)) = object::identify(spec) else { return false };
        let namespace = identity.namespace.unwrap_or(namespace);
        self.means((group_of(identity.api_version), identity.kind), (namespace, identity.name))
    }

    /// Whether the object of this group, kind, namespace and name is meant.
    pub(crate) fn means(&self, (group, kind): (&str, &str), (namespace, name): (&str, &str)) -> bool {
        self.name == name
            && self.is_kind(kind)
            && self.group.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(group))
            && self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
    }

    /// Any object of this kind and name.
    pub(crate) fn named(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), group: None, namespace: None, name: name.to_owned() }
    }

    /// How the object in this spec can be written as a pattern.
    pub fn of(spec: &Value) -> Option<Self> {
        let (_, identity) = object::identify(spec).ok()?;
        Some(Self {
            kind: identity.kind.to_owned(),
            group: None,
            namespace: None,
            name: identity.name.to_owned(),
        })
    }

    fn is_kind(&self, kind: &str) -> bool {
        let (asked, kind) = (self.kind.to_ascii_lowercase(), kind.to_ascii_lowercase());
        let short = || SHORT.iter().any(|(short, long)| *short == asked && *long == kind);
        asked == kind || asked == plural(&kind) || short()
    }
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The plural as Kubernetes builds it (`apimachinery`, `UnsafeGuessKindToResource`).
fn plural(kind: &str) -> String {
    match kind.as_bytes() {
        [.., b's' | b'x'] | [.., b'c' | b's', b'h'] => format!("{kind}es"),
        [.., b'a' | b'e' | b'i' | b'o' | b'u', b'y'] => format!("{kind}s"),
        [.., b'y'] => format!("{}ies", kind.strip_suffix('y').unwrap_or(kind)),
        _ => format!("{kind}s"),
    }
}

impl FromStr for ObjectPattern {
    type Err = BadObjectPattern;

    fn from_str(text: &str) -> Result<Self, BadObjectPattern> {
        let bad = || BadObjectPattern(text.to_owned());
        let (kind, name) = text.split_once('/').ok_or_else(bad)?;
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group)),
            None => (kind, None),
        };
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, name),
        };
        let plain = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let empty = |part: Option<&str>| part.is_some_and(str::is_empty);
        if !plain || empty(group) || empty(namespace) || name.is_empty() || name.contains('/') {
            return Err(bad());
        }
        Ok(Self {
            kind: kind.to_owned(),
            group: group.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.group.iter().try_for_each(|group| write!(f, ".{group}"))?;
        self.namespace.iter().try_for_each(|namespace| write!(f, "/{namespace}"))?;
        write!(f, "/{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(pattern: &str, (api_version, kind, name): (&str, &str, &str), expected: bool) {
        let spec =
            json!({ "object": { "apiVersion": api_version, "kind": kind, "metadata": { "name": name } } });
        let parsed: ObjectPattern = pattern.parse().unwrap();
        assert_eq!(parsed.matches(&spec, "shop"), expected, "{pattern} {kind} {name}");
        assert_eq!(parsed.to_string(), pattern);
    }

    #[test]
    fn an_object_is_meant_by_its_kind_as_kubectl_takes_it() {
        let api = ("apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io");
        check("APIService/v1beta1.metrics.k8s.io", api, true);
        check("apiservices/v1beta1.metrics.k8s.io", api, true);
        check("apiservice.apiregistration.k8s.io/v1beta1.metrics.k8s.io", api, true);
        check("apiservice.apps/v1beta1.metrics.k8s.io", api, false);
        check("APIService/v1.metrics.k8s.io", api, false);
        check("service/v1beta1.metrics.k8s.io", api, false);
        for (kind, plural) in [
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Gateway", "gateways"),
            ("Service", "services"),
            ("Endpoints", "endpoints"),
        ] {
            check(&format!("{plural}/a"), ("v1", kind, "a"), true);
        }
        check("service/shop/a", ("v1", "Service", "a"), true);
        check("service/other/a", ("v1", "Service", "a"), false);
        check("role/system:a", ("rbac.authorization.k8s.io/v1", "Role", "system:a"), true);
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for text in ["", "web", "Deployment", "/web", "Deployment/", "a.//b", "a/b/c/d", "a//b", "a b/c"] {
            assert!(text.parse::<ObjectPattern>().is_err(), "{text}");
        }
    }
}
