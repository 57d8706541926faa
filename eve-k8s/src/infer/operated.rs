//! Custom resources and the programs that look after them: who may write them, by roles and bindings of the input.
//!
//! Workload, account, role, what the role is about, resource: what is between the first and the last of this chain, and
//! joins no two of one side with two of the other, is taken out again, so that edges stay linear in what is written.
//! Looks at the edges so far: what such a workload itself needs does not wait for it. So this comes last.

use std::collections::{BTreeMap, BTreeSet};

use eve_core::plan::Until;
use serde_json::Value;

use super::base::{self, RBAC, Who};
use super::builder::Builder;
use super::subject::Subject;
use super::{Edge, items, pods, rules, text};

/// Kinds whose pods go on running.
const LASTING: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];
/// Who may do one of these can take a finalizer away.
const VERBS: [&str; 3] = ["*", "update", "patch"];

/// Kinds by group and plural; `None` stands for all.
type About<'a> = (Option<&'a str>, Option<&'a str>);

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Link<'a> {
    Workload(usize),
    Account(Who<'a>),
    Role(usize),
    /// Roles that a role is a sum of.
    Sum(String),
    /// The rules of one role.
    Rules(usize),
    About(About<'a>),
    Resource(usize),
}

pub(super) fn add(builder: &mut Builder<'_>) {
    let world = World::of(builder);
    if world.resources.is_empty() {
        return;
    }
    let mut chain = Chain::default();
    workloads(builder, &mut chain);
    world.accounts(builder, &mut chain);
    world.roles(builder, &mut chain);
    world.resources(&mut chain);
    chain.cut();
    let workload = |link: &Link<'_>| if let Link::Workload(node) = link { Some(*node) } else { None };
    let first: Vec<usize> = chain.after.keys().filter_map(workload).collect();
    builder.close_gates();
    let foundations = builder.foundations(&first);
    for &node in world.resources.keys().filter(|node| foundations.get(**node) != Some(&false)) {
        chain.remove(&Link::Resource(node));
    }
    chain.cut();
    chain.contract();
    chain.put(builder, &world);
}

/// The accounts that workloads run as.
fn workloads<'a>(builder: &Builder<'a>, chain: &mut Chain<'a>) {
    for (node, subject) in builder.subjects.iter().enumerate() {
        if subject.group != "apps" || !LASTING.contains(&subject.kind) {
            continue;
        }
        let Some((_, template)) = pods::template(subject) else { continue };
        let named = ["/spec/serviceAccountName", "/spec/serviceAccount"];
        let account = named.iter().find_map(|at| text(template, at)).unwrap_or("default");
        for who in [Who::One(subject.namespace, account), Who::Of(subject.namespace), Who::All] {
            chain.link(Link::Workload(node), Link::Account(who));
        }
    }
}

/// What the input says of custom resources and rights.
struct World<'a> {
    /// Group and plural of each custom resource whose definition is in the input.
    resources: BTreeMap<usize, (&'a str, &'a str)>,
    groups: BTreeSet<&'a str>,
    plurals: BTreeSet<&'a str>,
    roles: Vec<(usize, Subject<'a>)>,
    bindings: Vec<Subject<'a>>,
    /// Where the first rule stands that is about these kinds.
    grants: BTreeMap<About<'a>, String>,
}

impl<'a> World<'a> {
    fn of(builder: &Builder<'a>) -> Self {
        let of = |group, kinds: [&str; 2]| {
            let nodes: Vec<usize> =
                kinds.iter().flat_map(|kind| builder.index.of_kind(group, kind)).copied().collect();
            nodes.into_iter().filter_map(|node| Some((node, builder.subject(node)?)))
        };
        let resource = |(node, subject): (usize, &Subject<'a>)| {
            let definition = builder.index.definition(subject).and_then(|node| builder.subject(node))?;
            Some((node, (subject.group, text(definition.object, "/spec/names/plural")?)))
        };
        let resources: BTreeMap<_, _> = builder.subjects.iter().enumerate().filter_map(resource).collect();
        let mut world = Self {
            groups: resources.values().map(|(group, _)| *group).collect(),
            plurals: resources.values().map(|(_, plural)| *plural).collect(),
            resources,
            roles: of(RBAC, ["ClusterRole", "Role"]).collect(),
            bindings: of(RBAC, ["ClusterRoleBinding", "RoleBinding"]).map(|(_, subject)| subject).collect(),
            grants: BTreeMap::new(),
        };
        world.grants = world.grants();
        world
    }

    fn grants(&self) -> BTreeMap<About<'a>, String> {
        let mut grants = BTreeMap::new();
        for (_, role) in &self.roles {
            for (about, index) in self.abouts(role) {
                grants.entry(about).or_insert_with(|| format!("{}/rules/{index}/resources", role.pointer));
            }
        }
        grants
    }

    /// The kinds that a role lets write, with the rule that does.
    fn abouts(&self, role: &Subject<'a>) -> BTreeMap<About<'a>, usize> {
        let mut found = BTreeMap::new();
        for (index, rule) in items(role.object, "/rules") {
            let texts =
                |at: &str| items(rule, at).filter_map(|(_, one)| one.as_str()).collect::<Vec<&'a str>>();
            if !texts("/verbs").iter().any(|verb| VERBS.contains(verb)) {
                continue;
            }
            let known = |one: &'a str, among: &BTreeSet<&'a str>| match one {
                "*" => Some(None),
                one => among.get(one).map(|one| Some(*one)),
            };
            let plural = |one: &'a str| one.strip_suffix("/finalizers").unwrap_or(one);
            let groups: BTreeSet<_> =
                texts("/apiGroups").into_iter().filter_map(|one| known(one, &self.groups)).collect();
            let plurals: BTreeSet<_> =
                texts("/resources").into_iter().filter_map(|one| known(plural(one), &self.plurals)).collect();
            for group in &groups {
                for plural in &plurals {
                    found.entry((*group, *plural)).or_insert(index);
                }
            }
        }
        found
    }

    /// Where a rule stands that is about this resource; of a join that of any.
    fn place(&self, link: &Link<'a>) -> String {
        let resource = if let Link::Resource(node) = link { self.resources.get(node) } else { None };
        let own = resource.and_then(|&(group, plural)| {
            let abouts =
                [(Some(group), Some(plural)), (Some(group), None), (None, Some(plural)), (None, None)];
            abouts.iter().find_map(|about| self.grants.get(about))
        });
        own.or_else(|| self.grants.values().next()).cloned().unwrap_or_default()
    }

    fn accounts(&self, builder: &Builder<'a>, chain: &mut Chain<'a>) {
        for binding in &self.bindings {
            let role = text(binding.object, "/roleRef/kind").zip(text(binding.object, "/roleRef/name"));
            let role =
                role.and_then(|(kind, name)| builder.index.find((RBAC, kind, binding.namespace, name)));
            let Some(role) = role else { continue };
            for (_, of) in items(binding.object, "/subjects") {
                if let Some(who) = base::who(of, binding.namespace) {
                    chain.link(Link::Account(who), Link::Role(role));
                }
            }
        }
    }

    fn roles(&self, builder: &Builder<'a>, chain: &mut Chain<'a>) {
        let mut sums: BTreeMap<String, &Value> = BTreeMap::new();
        for (node, role) in &self.roles {
            chain.link(Link::Role(*node), Link::Rules(*node));
            for about in self.abouts(role).into_keys() {
                chain.link(Link::Rules(*node), Link::About(about));
            }
            for (_, selector) in items(role.object, base::SUMS) {
                let sum = selector.to_string();
                chain.link(Link::Role(*node), Link::Sum(sum.clone()));
                sums.insert(sum, selector);
            }
        }
        for (sum, selector) in sums {
            for node in base::summands(builder, selector) {
                chain.link(Link::Sum(sum.clone()), Link::Rules(node));
            }
        }
    }

    fn resources(&self, chain: &mut Chain<'a>) {
        for (&node, &(group, plural)) in &self.resources {
            for group in [Some(group), None] {
                for plural in [Some(plural), None] {
                    chain.link(Link::About((group, plural)), Link::Resource(node));
                }
            }
        }
    }
}

/// Links, and which comes before which. Never a circle: each link is of a later sort than those before it.
#[derive(Default)]
struct Chain<'a> {
    before: BTreeMap<Link<'a>, BTreeSet<Link<'a>>>,
    after: BTreeMap<Link<'a>, BTreeSet<Link<'a>>>,
}

impl<'a> Chain<'a> {
    fn link(&mut self, before: Link<'a>, after: Link<'a>) {
        self.before.entry(after.clone()).or_default().insert(before.clone());
        self.after.entry(before).or_default().insert(after);
    }

    fn remove(&mut self, link: &Link<'a>) {
        for before in self.before.remove(link).unwrap_or_default() {
            if let Some(after) = self.after.get_mut(&before) {
                after.remove(link);
            }
        }
        for after in self.after.remove(link).unwrap_or_default() {
            if let Some(before) = self.before.get_mut(&after) {
                before.remove(link);
            }
        }
    }

    /// Takes out what leads nowhere.
    fn cut(&mut self) {
        let is_loose = |of: &BTreeMap<Link<'a>, BTreeSet<Link<'a>>>, link: &Link<'a>| {
            of.get(link).is_none_or(BTreeSet::is_empty)
        };
        let mut open: Vec<Link<'a>> = self.after.keys().chain(self.before.keys()).cloned().collect();
        while let Some(link) = open.pop() {
            let lacks_first = !matches!(link, Link::Workload(_)) && is_loose(&self.before, &link);
            let lacks_last = !matches!(link, Link::Resource(_)) && is_loose(&self.after, &link);
            if lacks_first || lacks_last {
                let around = [self.before.get(&link), self.after.get(&link)].into_iter().flatten().flatten();
                open.extend(around.cloned().collect::<Vec<_>>());
                self.remove(&link);
            }
        }
    }

    fn between(&self) -> Vec<Link<'a>> {
        self.before.keys().filter(|link| self.after.contains_key(*link)).cloned().collect()
    }

    /// Takes out what only stands between: then nothing is multiplied.
    fn contract(&mut self) {
        // Once for each sort of link that may stand between two others.
        for link in [self.between(), self.between(), self.between()].concat() {
            let (Some(before), Some(after)) = (self.before.get(&link), self.after.get(&link)) else {
                continue;
            };
            if before.len() > 1 && after.len() > 1 {
                continue;
            }
            let (before, after) = (before.clone(), after.clone());
            self.remove(&link);
            for one in &before {
                for other in &after {
                    self.link(one.clone(), other.clone());
                }
            }
        }
    }

    /// What is left between becomes joins.
    fn put(&self, builder: &mut Builder<'a>, world: &World<'a>) {
        let mut joins: BTreeMap<Link<'a>, usize> = BTreeMap::new();
        for link in self.between() {
            let name = link.name(builder);
            joins.insert(link, builder.join(&rules::OPERATED, &name));
        }
        for (first, lasts) in &self.after {
            for last in lasts {
                let node = |link: &Link<'a>| {
                    let own = if let Link::Workload(node) | Link::Resource(node) = link {
                        Some(*node)
                    } else {
                        None
                    };
                    own.or_else(|| joins.get(link).copied())
                };
                let Some((before, after)) = node(first).zip(node(last)) else { continue };
                let until =
                    if matches!(first, Link::Workload(_)) { rules::OPERATED.until } else { Until::Ready };
                let pointer = world.place(last);
                builder.push(Edge { before, after, until, rule: &rules::OPERATED, pointer });
            }
        }
    }
}

impl<'a> Link<'a> {
    /// What a join in its place is called.
    fn name(&self, builder: &Builder<'a>) -> String {
        let of = |node: usize| builder.subject(node).map_or("", |subject| subject.name).to_owned();
        match self {
            Self::Workload(node) | Self::Role(node) | Self::Rules(node) | Self::Resource(node) => of(*node),
            Self::Account(who) => who.name(),
            Self::Sum(selector) => selector.clone(),
            Self::About((group, plural)) => {
                format!("{}.{}", plural.unwrap_or("all"), group.unwrap_or("all"))
            }
        }
    }
}
