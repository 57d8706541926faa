//! Written edges: what annotations of eve, cli-utils, kapp, Argo CD and werf ask for.
//!
//! The rules are in the table of `rules`, each with the page that documents it.

use std::collections::BTreeMap;

use eve_core::plan::Until;
use eve_core::plan::graph::closest;
use eve_core::plan::problem::SpecProblem;

use super::builder::Builder;
use super::rules::{self, Rule};
use super::subject::Subject;
use super::{Edge, escaped, text};

const CHANGE_GROUP: &str = "kapp.k14s.io/change-group";
const BAD: &str = "object.bad-dependency";
const UNKNOWN: &str = "object.unknown-dependency";

pub(super) fn add(builder: &mut Builder<'_>) {
    let mut waves = Levels::new(&rules::SYNC_WAVE);
    let mut weights = Levels::new(&rules::WEIGHT);
    let mut groups = Groups::default();
    for node in 0..builder.subjects.len() {
        let Some(subject) = builder.subject(node) else { continue };
        let mut has_own_order = false;
        for (key, value) in subject.annotations() {
            let one = Annotation { node, key, value };
            match key {
                "eve.dev/depends-on" => own(builder, &one, &subject),
                "config.kubernetes.io/depends-on" => config(builder, &one),
                "argocd.argoproj.io/sync-wave" => waves.add(builder, &one),
                "werf.io/weight" => weights.add(builder, &one),
                key if key.starts_with("werf.io/deploy-dependency-") => {
                    has_own_order = true;
                    deploy_dependency(builder, &one);
                }
                key if is_or_has_suffix(key, CHANGE_GROUP) => groups.member(builder, &one, &subject),
                key if is_or_has_suffix(key, rules::CHANGE_RULE.name) => groups.rule(builder, &one, &subject),
                _ => {}
            }
        }
        if has_own_order {
            weights.without.insert(node);
        }
    }
    groups.close(builder);
    waves.close(builder);
    weights.close(builder);
}

/// `key` or `key.suffix`.
fn is_or_has_suffix(key: &str, base: &str) -> bool {
    key.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// An annotation of an object.
struct Annotation<'a> {
    node: usize,
    key: &'a str,
    value: &'a str,
}

impl Annotation<'_> {
    fn pointer(&self, builder: &Builder<'_>) -> String {
        builder.at(self.node, format_args!("/metadata/annotations/{}", escaped(self.key)))
    }

    fn bad(&self, builder: &mut Builder<'_>, message: &str, hint: &str) {
        let message = format!("`{}` {message}: `{}`", self.key.escape_debug(), cut(self.value));
        let problem = SpecProblem::new(BAD, self.pointer(builder), message).with_hint(hint);
        builder.problems.push(problem);
    }

    /// The object that it names is not in the input.
    fn unknown(&self, builder: &mut Builder<'_>, entry: &str) -> SpecProblem {
        let message =
            format!("`{}` names `{}`, which is not in the input", self.key.escape_debug(), cut(entry));
        SpecProblem::new(UNKNOWN, self.pointer(builder), message)
    }

    fn edge(&self, builder: &mut Builder<'_>, rule: &'static Rule, before: usize, until: Until) {
        if before == self.node {
            return self.bad(builder, "makes the object wait for itself", "remove the entry");
        }
        let pointer = self.pointer(builder);
        builder.push(Edge { before, after: self.node, until, rule, pointer });
    }
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

fn entries(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// `[applied=|ready=]KIND[.GROUP]/[NAMESPACE/]NAME`
fn own(builder: &mut Builder<'_>, one: &Annotation<'_>, subject: &Subject<'_>) {
    const HINT: &str = "write `KIND/NAME`, `KIND.GROUP/NAME` or `KIND/NAMESPACE/NAME`, separated by commas";
    for entry in entries(one.value) {
        let (until, rest) = match (entry.strip_prefix("applied="), entry.strip_prefix("ready=")) {
            (Some(rest), _) => (Until::Applied, rest),
            (None, Some(rest)) => (Until::Ready, rest),
            (None, None) => (Until::Ready, entry),
        };
        let fields: Vec<&str> = rest.split('/').collect();
        let (kind, namespace, name) = match fields.as_slice() {
            [kind, name] => (*kind, None, *name),
            [kind, namespace, name] => (*kind, Some(*namespace), *name),
            _ => return one.bad(builder, "does not name an object", HINT),
        };
        if kind.is_empty() || name.is_empty() {
            return one.bad(builder, "does not name an object", HINT);
        }
        let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
        let wanted_namespace = namespace.unwrap_or(subject.namespace);
        let is_meant = |node: &usize| {
            builder.subject(*node).is_some_and(|found| {
                found.kind.eq_ignore_ascii_case(kind)
                    && group.is_none_or(|group| group == found.group)
                    && (found.namespace == wanted_namespace
                        || (namespace.is_none() && builder.index.is_cluster_scoped(*node)))
            })
        };
        let found: Vec<usize> = builder.index.named(name).iter().copied().filter(is_meant).collect();
        match found.as_slice() {
            [] => {
                let hint = suggestion(builder, rest);
                let mut problem = one.unknown(builder, rest);
                problem.hint = hint;
                builder.problems.push(problem);
            }
            [before] => one.edge(builder, &rules::DEPENDS_ON, *before, until),
            _ => one.bad(builder, "names several objects", "add the group: `KIND.GROUP/NAME`"),
        }
    }
}

/// The closest object among the first thousand.
fn suggestion(builder: &Builder<'_>, wanted: &str) -> Option<String> {
    let name = |subject: &Subject<'_>| format!("{}/{}", subject.kind.to_lowercase(), subject.name);
    let names: Vec<String> = builder.subjects.iter().take(1000).map(name).collect();
    let found = closest(&wanted.to_lowercase(), names.iter().map(String::as_str));
    found.map(|found| format!("did you mean `{found}`?"))
}

/// `GROUP/namespaces/NAMESPACE/KIND/NAME` or `GROUP/KIND/NAME`
fn config(builder: &mut Builder<'_>, one: &Annotation<'_>) {
    const HINT: &str =
        "write `GROUP/namespaces/NAMESPACE/KIND/NAME`, or `GROUP/KIND/NAME` for a cluster-scoped object";
    for entry in entries(one.value) {
        let fields: Vec<&str> = entry.split('/').collect();
        let key = match fields.as_slice() {
            [group, kind, name] => (*group, *kind, "", *name),
            [group, "namespaces", namespace, kind, name] => (*group, *kind, *namespace, *name),
            _ => return one.bad(builder, "does not name an object", HINT),
        };
        if key.1.is_empty() || key.3.is_empty() {
            return one.bad(builder, "does not name an object", HINT);
        }
        if let Some(before) = builder.index.find(key) {
            one.edge(builder, &rules::CONFIG_DEPENDS_ON, before, Until::Ready);
        } else {
            let problem = one.unknown(builder, entry).as_warning().with_hint("eve does not wait for it");
            builder.problems.push(problem);
        }
    }
}

/// `state=ready|present[,name=][,namespace=][,kind=][,group=][,version=]`
fn deploy_dependency(builder: &mut Builder<'_>, one: &Annotation<'_>) {
    const HINT: &str =
        "write `state=ready,kind=KIND,name=NAME`; also `state=present`, `namespace`, `group`, `version`";
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in entries(one.value) {
        let known = ["state", "name", "namespace", "kind", "group", "version"];
        match entry.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if known.contains(&key) => drop(fields.insert(key, value)),
            _ => return one.bad(builder, "has a part that nobody knows", HINT),
        }
    }
    let until = match fields.remove("state") {
        Some("ready") => Until::Ready,
        Some("present") => Until::Applied,
        _ => return one.bad(builder, "needs `state=ready` or `state=present`", HINT),
    };
    if fields.is_empty() {
        return one.bad(builder, "does not say what it waits for", HINT);
    }
    let key = format!("{until:?} {fields:?}");
    let pointer = one.pointer(builder);
    if builder.gate(&rules::DEPLOY_DEPENDENCY, key.clone()).is_new() {
        let is_meant = |found: &Subject<'_>| {
            let same = |field: &str, value: &str| fields.get(field).is_none_or(|wanted| *wanted == value);
            same("name", found.name)
                && same("namespace", found.namespace)
                && fields.get("kind").is_none_or(|kind| kind.eq_ignore_ascii_case(found.kind))
                && same("group", found.group)
                && same("version", found.version)
        };
        let candidates: Vec<usize> = match fields.get("name") {
            Some(name) => builder.index.named(name).to_vec(),
            None => (0..builder.subjects.len()).collect(),
        };
        let meant = |node: &usize| builder.subject(*node).is_some_and(|found| is_meant(&found));
        let found: Vec<usize> = candidates.into_iter().filter(meant).collect();
        let gate = builder.gate(&rules::DEPLOY_DEPENDENCY, key.clone());
        for node in found {
            gate.member(node, until, "");
        }
    }
    let gate = builder.gate(&rules::DEPLOY_DEPENDENCY, key);
    let is_empty = !gate.has_members();
    gate.dependant(one.node, pointer);
    if is_empty {
        let problem = one.unknown(builder, one.value).as_warning().with_hint("eve does not wait for it");
        builder.problems.push(problem);
    }
}

/// kapp's groups and rules.
#[derive(Default)]
struct Groups {
    members: BTreeMap<String, Vec<(usize, String)>>,
    /// By group: who waits for it, and who comes before it.
    after: BTreeMap<String, Vec<(usize, String)>>,
    before: BTreeMap<String, Vec<(usize, String)>>,
}

impl Groups {
    fn member(&mut self, builder: &mut Builder<'_>, one: &Annotation<'_>, subject: &Subject<'_>) {
        if let Some(group) = group(builder, one, subject, one.value.trim()) {
            self.members.entry(group).or_default().push((one.node, one.pointer(builder)));
        }
    }

    fn rule(&mut self, builder: &mut Builder<'_>, one: &Annotation<'_>, subject: &Subject<'_>) {
        const HINT: &str = "write `upsert after upserting GROUP`";
        let words: Vec<&str> = one.value.split_whitespace().collect();
        let [
            action @ ("upsert" | "delete"),
            order @ ("after" | "before"),
            target @ ("upserting" | "deleting"),
            name,
        ] = words.as_slice()
        else {
            return one.bad(builder, "is no change rule", HINT);
        };
        let Some(group) = group(builder, one, subject, name) else { return };
        // Nothing is deleted here.
        if (*action, *target) == ("upsert", "upserting") {
            let rules = if *order == "after" { &mut self.after } else { &mut self.before };
            rules.entry(group).or_default().push((one.node, one.pointer(builder)));
        }
    }

    /// Objects that are in the group which they wait for come after the others of it.
    fn close(self, builder: &mut Builder<'_>) {
        let rule = &rules::CHANGE_RULE;
        for (first, rules, name) in [(false, self.after, "after"), (true, self.before, "before")] {
            for (group, owners) in rules {
                let Some(members) = self.members.get(&group) else { continue };
                let nodes: std::collections::BTreeSet<usize> = owners.iter().map(|(node, _)| *node).collect();
                let others = members.iter().filter(|(node, _)| !nodes.contains(node)).cloned();
                let gate = builder.gate(rule, format!("{name}/{group}"));
                let (firsts, lasts): (Vec<_>, Vec<_>) =
                    if first { (owners, others.collect()) } else { (others.collect(), owners) };
                for (node, pointer) in firsts {
                    gate.member(node, rule.until, if first { pointer } else { String::new() });
                }
                for (node, pointer) in lasts {
                    gate.dependant(node, if first { String::new() } else { pointer });
                }
            }
        }
    }
}

/// A group's name with its placeholders filled in.
fn group(
    builder: &mut Builder<'_>,
    one: &Annotation<'_>,
    subject: &Subject<'_>,
    name: &str,
) -> Option<String> {
    let namespace = if builder.index.is_cluster_scoped(one.node) { "" } else { subject.namespace };
    let is_definition = subject.kind == "CustomResourceDefinition";
    let of_definition =
        |pointer: &str| text(subject.object, pointer).filter(|_| is_definition).unwrap_or_default();
    let values = [
        ("{name}", subject.name),
        ("{namespace}", namespace),
        ("{kind}", subject.kind),
        ("{api-group}", subject.group),
        ("{crd-kind}", of_definition("/spec/names/kind")),
        ("{crd-group}", of_definition("/spec/group")),
    ];
    let mut group = name.to_owned();
    for (placeholder, value) in values {
        if group.contains(placeholder) && value.is_empty() {
            one.bad(
                builder,
                "has a placeholder that means nothing for this object",
                "write the group itself",
            );
            return None;
        }
        group = group.replace(placeholder, value);
    }
    if group.is_empty() || group.contains(['{', '}']) || group.contains(char::is_whitespace) {
        let hint = "write a name such as `apps.example.com/db`; placeholders are `{name}`, `{namespace}`, `{kind}`, \
                    `{api-group}`, `{crd-kind}` and `{crd-group}`";
        one.bad(builder, "is no name of a group", hint);
        return None;
    }
    Some(group)
}

/// Whole numbers: everything of one is ready before the next starts.
struct Levels {
    rule: &'static Rule,
    of: BTreeMap<usize, (i64, String)>,
    /// Objects that take no part.
    without: std::collections::BTreeSet<usize>,
}

impl Levels {
    fn new(rule: &'static Rule) -> Self {
        Self { rule, of: BTreeMap::new(), without: std::collections::BTreeSet::new() }
    }

    fn add(&mut self, builder: &mut Builder<'_>, one: &Annotation<'_>) {
        match one.value.trim().parse() {
            Ok(level) => drop(self.of.insert(one.node, (level, one.pointer(builder)))),
            Err(_) => {
                one.bad(builder, "is no whole number", "write a number in quotes, for example `\"-1\"`");
            }
        }
    }

    fn close(self, builder: &mut Builder<'_>) {
        if self.of.is_empty() {
            return;
        }
        let mut levels: BTreeMap<i64, Vec<(usize, String)>> = BTreeMap::new();
        for node in (0..builder.subjects.len()).filter(|node| !self.without.contains(node)) {
            let (level, pointer) = match self.of.get(&node) {
                Some((level, pointer)) => (*level, pointer.clone()),
                None => (0, builder.at(node, format_args!(""))),
            };
            levels.entry(level).or_default().push((node, pointer));
        }
        let last = levels.keys().next_back().copied();
        let mut before: Option<usize> = None;
        for (level, nodes) in levels {
            let join = (Some(level) != last).then(|| builder.join(self.rule, &level.to_string()));
            for (node, pointer) in nodes {
                let (rule, until) = (self.rule, self.rule.until);
                if let Some(before) = before {
                    builder.push(Edge { before, after: node, until, rule, pointer: pointer.clone() });
                }
                if let Some(join) = join {
                    builder.push(Edge { before: node, after: join, until, rule, pointer });
                }
            }
            before = join;
        }
    }
}
