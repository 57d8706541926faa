//! Why a Namespace or a definition stays: what it holds would go with it, and is to stay or is not the plan's. Reads only.
//!
//! What controllers of Kubernetes make by themselves does not count, nor what goes with an owner that goes.

use std::collections::{BTreeMap, BTreeSet};

use eve_core::failure::Failure;
use eve_core::few::few_within;
use eve_core::plan::Action;
use eve_core::ports::Step;
use eve_core::run::Change;
use serde_json::Value;

use super::delete::Fate;
use super::inside::{self, Container};
use super::leaving::is_leaving;
use super::{Adopted, KubeExecutor, Located, Missing, failure};
use crate::client::{Collection, Location};
use crate::discovery::Scope;
use crate::labels::PlanName;
use crate::object;
use crate::owned;
use crate::path::PathSegment;
use crate::readiness::text;

/// How many bytes the names of objects may take, and those of kinds: the reason stands in a token.
const NAMES_BYTES_MAX: usize = 250;
/// How many owners are looked at.
const OWNERS_MAX: usize = 50;

impl KubeExecutor {
    /// Why the object of a component that is to be deleted will stay all the same, for what it holds and the run does not
    /// remove; `None` where it goes, is not there, or stays for another reason. Writes nothing.
    ///
    /// # Errors
    /// It cannot be told at the moment.
    pub async fn stays_occupied(&self, step: &Step) -> Result<Option<String>, Failure> {
        let Located::Known(target) = self.locate(step, Missing::Accept).await? else { return Ok(None) };
        let is_container = inside::container(&target.place, target.object).is_some();
        if !is_container || self.look_before_delete(step).await?.change == Change::None {
            return Ok(None);
        }
        let live = match self.client.get(&target.place).await {
            Ok(live) if !is_leaving(&live) => live,
            Ok(_) => return Ok(None),
            Err(error) if error.is_code(404) => return Ok(None),
            Err(error) => return Err(failure::of_read(&target.place, error)),
        };
        self.occupied(step, &target.place, &live).await
    }

    /// Why this object stays because of what it holds at this moment; `None` where it may go.
    ///
    /// # Errors
    /// It cannot be told at the moment.
    pub(super) async fn occupied(
        &self,
        step: &Step,
        place: &Location,
        live: &Value,
    ) -> Result<Option<String>, Failure> {
        let Some(container) = inside::container(place, live) else { return Ok(None) };
        let going = Going::of(step, self.adopted);
        let mut held = Held::default();
        let mut owners_left = OWNERS_MAX;
        for (collection, listed) in self.contents(container, place, live).await? {
            let kind = &*collection.resource.kind;
            let items = match listed {
                Ok(items) => items,
                Err(error) if error.is_code(404) || error.is_code(405) => continue,
                Err(error) if error.is_code(403) => {
                    held.unseen.insert(words(&collection));
                    continue;
                }
                Err(error) => return Err(inside::unseen(place, error)),
            };
            for item in items.iter().filter(|item| going.leaves(container, kind, item)) {
                let goes = container == Container::Definition
                    && self.goes_with_owners(&going, item, &mut owners_left).await;
                if !goes {
                    held.found.insert(told(container, kind, item));
                }
            }
        }
        Ok(held.words(container))
    }

    /// Whether an object has owners and each of them is gone or goes.
    async fn goes_with_owners(&self, going: &Going<'_>, item: &Value, left: &mut usize) -> bool {
        let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let Some(owners) = owners.filter(|owners| !owners.is_empty()) else { return false };
        for owner in owners {
            let Some(next) = left.checked_sub(1) else { return false };
            *left = next;
            if !self.goes_or_is_gone(going, owner, text(item, "/metadata/namespace")).await {
                return false;
            }
        }
        true
    }

    async fn goes_or_is_gone(&self, going: &Going<'_>, owner: &Value, namespace: &str) -> bool {
        let (api_version, kind) = (text(owner, "/apiVersion"), text(owner, "/kind"));
        let Ok(resource) = self.kinds().find(api_version, kind) else { return false };
        let namespace = match resource.scope {
            Scope::Cluster => None,
            Scope::Namespaced => PathSegment::namespace(namespace).ok(),
        };
        let Ok(name) = PathSegment::name(text(owner, "/name")) else { return false };
        let place = Location { resource, namespace, name };
        match self.client.get(&place).await {
            Ok(live) => text(&live, "/metadata/uid") != text(owner, "/uid") || going.has(kind, &live),
            Err(error) => error.is_code(404),
        }
    }
}

/// What goes with the run: by kind, namespace and name, with what the plan says of it.
struct Going<'a> {
    plan: PlanName<'a>,
    adopted: Adopted,
    inputs: BTreeMap<(&'a str, &'a str, &'a str), &'a Value>,
}

impl<'a> Going<'a> {
    fn of(step: &'a Step, adopted: Adopted) -> Self {
        let plan = PlanName::of(step);
        let graph = step.graph();
        let removed = graph.ids().map(|id| graph.node(id)).filter(|node| node.action() == Action::Delete);
        let inputs = removed.filter_map(|node| {
            let (object, identity) = object::identify(node.spec()).ok()?;
            let namespace = identity.namespace.unwrap_or(plan.namespace);
            Some(((identity.kind, namespace, identity.name), object))
        });
        Self { plan, adopted, inputs: inputs.collect() }
    }

    /// Whether the object goes, or is about to.
    fn has(&self, kind: &str, item: &Value) -> bool {
        if item.pointer("/metadata/deletionTimestamp").is_some() {
            return true;
        }
        let namespace = Some(text(item, "/metadata/namespace")).filter(|namespace| !namespace.is_empty());
        let key = (kind, namespace.unwrap_or(self.plan.namespace), text(item, "/metadata/name"));
        let input = self.inputs.get(&key);
        input.is_some_and(|input| Fate::of(item, input, self.plan, self.adopted) == Fate::Goes)
            && owned::is_applied(item)
    }

    /// Whether an object is left once everything else of the run is gone.
    fn leaves(&self, container: Container, kind: &str, item: &Value) -> bool {
        let is_nobodys = container == Container::Namespace
            && (inside::is_made_for_others(item) || inside::is_furniture(kind, item));
        !(is_nobodys || inside::is_snapshot_of(self.plan, item) || self.has(kind, item))
    }
}

/// What keeps an object.
#[derive(Default)]
struct Held {
    found: BTreeSet<String>,
    /// Kinds that may not be listed.
    unseen: BTreeSet<String>,
}

impl Held {
    fn words(&self, container: Container) -> Option<String> {
        let mut reasons = Vec::new();
        if !self.found.is_empty() {
            let what = match (container, self.found.len()) {
                (Container::Namespace, 1) => "it holds an object that stays or is not the plan's".to_owned(),
                (Container::Namespace, count) => {
                    format!("it holds {count} objects that stay or are not the plan's")
                }
                (Container::Definition, 1) => "an object of its kind stays or is not the plan's".to_owned(),
                (Container::Definition, count) => {
                    format!("{count} objects of its kind stay or are not the plan's")
                }
            };
            reasons.push(format!("{what}: {}", few_within(&self.found, NAMES_BYTES_MAX)));
        }
        if !self.unseen.is_empty() {
            let what = match container {
                Container::Namespace if self.found.is_empty() => "whether it holds anything of others",
                Container::Namespace => "whether it holds anything else of others",
                Container::Definition => "whether others have objects of its kind",
            };
            let kinds = few_within(&self.unseen, NAMES_BYTES_MAX);
            reasons.push(format!("{what} cannot be told: {kinds} may not be listed"));
        }
        if reasons.is_empty() { None } else { Some(reasons.join("; ")) }
    }
}

fn told(container: Container, kind: &str, item: &Value) -> String {
    match container {
        Container::Namespace => format!("{kind} {}", text(item, "/metadata/name")),
        Container::Definition => inside::named(kind, item),
    }
}

/// As rights name a kind: `deployments.apps`.
fn words(collection: &Collection) -> String {
    let resource = &collection.resource;
    match resource.group() {
        "" => resource.plural.to_string(),
        group => format!("{}.{group}", resource.plural),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_what_could_not_be_seen_keeps_too() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let held = |found: &[&str], unseen: &[&str]| Held { found: names(found), unseen: names(unseen) };
        for (held, container, expected) in [
            (held(&[], &[]), Container::Namespace, None),
            (
                held(&["Pod a"], &[]),
                Container::Namespace,
                Some("it holds an object that stays or is not the plan's: Pod a"),
            ),
            (
                held(&["a", "b"], &[]),
                Container::Definition,
                Some("2 objects of its kind stay or are not the plan's: a, b"),
            ),
            (
                held(&[], &["secrets"]),
                Container::Namespace,
                Some("whether it holds anything of others cannot be told: secrets may not be listed"),
            ),
            (
                held(&["Pod a"], &["secrets"]),
                Container::Namespace,
                Some(
                    "it holds an object that stays or is not the plan's: Pod a; whether it holds anything else of others \
                     cannot be told: secrets may not be listed",
                ),
            ),
        ] {
            assert_eq!(held.words(container).as_deref(), expected);
        }
    }

    #[test]
    fn long_names_leave_room_in_a_token() {
        let names: BTreeSet<String> = (0..100).map(|at| format!("{at}{}", "x".repeat(253))).collect();
        let held = Held { found: names.clone(), unseen: names };
        let words = held.words(Container::Namespace).unwrap();
        assert!(words.len() < 2 * NAMES_BYTES_MAX + 200, "{words}");
        assert_eq!(words.matches(" …, and 99 more").count(), 2, "{words}");
    }
}
