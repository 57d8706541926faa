//! What objects live in and are allowed by: namespaces, definitions, roles, bindings, tokens.

use serde_json::Value;

use super::builder::Builder;
use super::{items, rules, selector, text, value_at};

pub(super) const RBAC: &str = "rbac.authorization.k8s.io";
/// Where a `ClusterRole` says which others it is a sum of.
pub(super) const SUMS: &str = "/aggregationRule/clusterRoleSelectors";
const ACCOUNT_USER: &str = "system:serviceaccount:";
const ACCOUNT_GROUP: &str = "system:serviceaccounts:";
/// Groups that every account is in.
const ALL_ACCOUNTS: [&str; 2] = ["system:serviceaccounts", "system:authenticated"];

/// Which accounts a subject of a binding stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who<'a> {
    /// One, by namespace and name.
    One(&'a str, &'a str),
    /// All of a namespace.
    Of(&'a str),
    All,
}

impl Who<'_> {
    /// Unique among them.
    pub(super) fn name(self) -> String {
        match self {
            Self::One(namespace, account) => format!("{namespace}/{account}"),
            Self::Of(namespace) => namespace.to_owned(),
            Self::All => "system:serviceaccounts".to_owned(),
        }
    }
}

/// The accounts that a subject of a binding in this namespace stands for.
pub(super) fn who<'a>(subject: &'a Value, namespace: &'a str) -> Option<Who<'a>> {
    let name = text(subject, "/name")?;
    match text(subject, "/kind")? {
        "ServiceAccount" => Some(Who::One(text(subject, "/namespace").unwrap_or(namespace), name)),
        "User" => {
            let (namespace, name) = name.strip_prefix(ACCOUNT_USER)?.split_once(':')?;
            Some(Who::One(namespace, name))
        }
        "Group" if ALL_ACCOUNTS.contains(&name) => Some(Who::All),
        "Group" => name.strip_prefix(ACCOUNT_GROUP).map(Who::Of),
        _ => None,
    }
}

/// The roles that one with this selector is a sum of.
pub(super) fn summands(builder: &Builder<'_>, selector: &Value) -> Vec<usize> {
    let nothing = Value::Object(serde_json::Map::new());
    let is_one = |node: &usize| {
        let role = builder.subject(*node);
        let labels = role.and_then(|role| value_at(role.object, "/metadata/labels")).unwrap_or(&nothing);
        selector::matches(selector, labels)
    };
    builder.index.of_kind(RBAC, "ClusterRole").iter().copied().filter(is_one).collect()
}

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
        (RBAC, "ClusterRole") => sum(builder, node),
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
        if let Some(who) = who(of, subject.namespace) {
            let pointer = format!("{}/subjects/{index}/name", subject.pointer);
            builder.bindings(who).member(node, rules::BINDING.until, pointer);
        }
    }
}

/// All roles of one selector come before all that are a sum of them.
fn sum(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    for (index, selector) in items(subject.object, SUMS) {
        let name = selector.to_string();
        if builder.gate(&rules::SUM, name.clone()).is_new() {
            for summand in summands(builder, selector) {
                builder.gate(&rules::SUM, name.clone()).member(summand, rules::SUM.until, "");
            }
        }
        let pointer = builder.at(node, format_args!("{SUMS}/{index}"));
        builder.gate(&rules::SUM, name).dependant(node, pointer);
    }
}

fn token(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    if text(subject.object, "/type") != Some("kubernetes.io/service-account-token") {
        return;
    }
    let annotation = value_at(subject.object, "/metadata/annotations/kubernetes.io~1service-account.name");
    if let Some(name) = annotation.and_then(Value::as_str) {
        let key = ("", "ServiceAccount", subject.namespace, name);
        let at = format_args!("/metadata/annotations/kubernetes.io~1service-account.name");
        builder.needs(&rules::TOKEN, node, key, at);
    }
}
