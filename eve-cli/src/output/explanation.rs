//! What `eve explain` says: what is not up and why, what waits because of it, and the figures. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use eve_core::failure::Failure;
use eve_core::few::few;
use eve_core::ids::ComponentId;
use eve_core::plan::Until;
use eve_core::plan::graph::Graph;
use eve_k8s::Explanation;
use serde_json::{Value, json};

use super::style;
use super::text::{clean, count, is_join};

/// What was found of each component that is not a join.
pub(crate) type Findings = BTreeMap<ComponentId, Result<Explanation, Failure>>;

/// A graph, what was found of it, and what of it is asked for.
pub(crate) struct Explained<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) findings: &'a Findings,
    pub(crate) asked: &'a BTreeSet<ComponentId>,
}

/// How a component is, in one word for programs.
fn state(finding: &Result<Explanation, Failure>) -> &'static str {
    match finding {
        Ok(Explanation::Up) => "up",
        Ok(Explanation::Absent(_)) => "absent",
        Ok(Explanation::Waiting(_)) => "waiting",
        Ok(Explanation::Failed(_)) => "failed",
        // What this version does not know, and what cannot be read.
        Ok(_) | Err(_) => "unknown",
    }
}

fn reason(finding: &Result<Explanation, Failure>) -> Option<&Failure> {
    finding.as_ref().map_or_else(Some, Explanation::failure)
}

impl Explained<'_> {
    /// Whether everything that is asked for is up.
    pub(crate) fn is_up(&self) -> bool {
        self.asked.iter().all(|id| self.is(*id, "up"))
    }

    /// Whether something that is asked for could not be read for a reason that may pass.
    pub(crate) fn is_unreachable(&self) -> bool {
        let failures = self.asked.iter().filter_map(|id| self.findings.get(id)?.as_ref().err());
        failures.into_iter().any(|failure| failure.class == eve_core::failure::FailureClass::Transient)
    }

    fn is(&self, id: ComponentId, word: &str) -> bool {
        self.findings.get(&id).is_some_and(|finding| state(finding) == word)
    }

    fn name(&self, id: ComponentId) -> &str {
        self.graph.node(id).name()
    }

    /// The components that this one waits for and that are not as far as it needs them, in plan order. Joins are looked
    /// through.
    fn upstream(&self, id: ComponentId) -> Vec<ComponentId> {
        let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![id]);
        while let Some(next) = open.pop() {
            for edge in self.graph.dependencies(next) {
                if is_join(self.graph, edge.component) {
                    if seen.insert(edge.component) {
                        open.push(edge.component);
                    }
                    continue;
                }
                let there = !self.is(edge.component, "absent") && !self.is(edge.component, "unknown");
                let reached = self.is(edge.component, "up") || (edge.until == Until::Applied && there);
                if !reached {
                    found.insert(edge.component);
                }
            }
        }
        found.into_iter().collect()
    }

    /// Whether it is not there for no other reason than that what it waits for is not up.
    fn is_held_up(&self, id: ComponentId) -> bool {
        self.is(id, "absent") && !self.upstream(id).is_empty()
    }

    /// What has a reason of its own: all that is asked for and not up, and what holds it up; each with the components
    /// that are asked for and are not there because of it. In plan order.
    fn roots(&self) -> BTreeMap<ComponentId, BTreeSet<ComponentId>> {
        let mut roots: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
        for &id in self.asked.iter().filter(|id| !self.is(**id, "up")) {
            let (mut seen, mut open) = (BTreeSet::from([id]), vec![id]);
            while let Some(next) = open.pop() {
                if !self.is_held_up(next) {
                    let held = roots.entry(next).or_default();
                    held.extend(Some(id).filter(|id| *id != next));
                    continue;
                }
                open.extend(self.upstream(next).into_iter().filter(|id| seen.insert(*id)));
            }
        }
        roots
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (id, held) in self.roots() {
            self.root(id, &held, &mut text);
        }
        text.push_str(&self.figures());
        text
    }

    fn root(&self, id: ComponentId, held: &BTreeSet<ComponentId>, text: &mut String) {
        let Some(finding) = self.findings.get(&id) else { return };
        let Some(failure) = reason(finding) else { return };
        let what = match state(finding) {
            "failed" => style::error("has failed").to_string(),
            "absent" => style::error("is not there").to_string(),
            "unknown" => style::error("cannot be read").to_string(),
            _ => style::warning("is not up").to_string(),
        };
        let _ = writeln!(text, "{} {what}: {}", style::strong(self.name(id)), clean(&failure.message));
        for line in failure.lines().flat_map(str::lines) {
            let _ = writeln!(text, "    {}", clean(line));
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(text, "  {} {}", style::hint("hint:"), clean(hint));
        }
        let upstream: BTreeSet<ComponentId> = self.upstream(id).into_iter().collect();
        for (words, ids) in [("it needs what is not up:", &upstream), ("not there because of it:", held)] {
            if !ids.is_empty() {
                let _ = writeln!(text, "  {} {}", style::warning(words), self.names(ids));
            }
        }
    }

    fn names(&self, ids: &BTreeSet<ComponentId>) -> String {
        few(ids.iter().map(|id| self.name(*id)))
    }

    fn figures(&self) -> String {
        let number = |word: &str| self.asked.iter().filter(|id| self.is(**id, word)).count();
        let (all, up) = (count(self.asked.len(), "component"), number("up"));
        if self.is_up() {
            return format!("{} {all}", style::good("all up:"));
        }
        let parts = [
            ("waiting", "not up yet"),
            ("failed", "failed"),
            ("absent", "not there"),
            ("unknown", "not known"),
        ];
        let parts = parts.iter().filter(|(word, _)| number(word) > 0);
        let parts: Vec<String> = parts.map(|(word, what)| format!("{} {what}", number(word))).collect();
        format!("{up} of {all} up; {}", parts.join(", "))
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let component = |id: &ComponentId| {
            let finding = self.findings.get(id)?;
            let upstream = if state(finding) == "up" { Vec::new() } else { self.upstream(*id) };
            let upstream: Vec<&str> = upstream.into_iter().map(|id| self.name(id)).collect();
            Some(json!({
                "component": self.name(*id), "object": object(self.graph, *id), "state": state(finding),
                "reason": reason(finding), "upstream": upstream,
            }))
        };
        let components: Vec<Value> = self.asked.iter().filter_map(component).collect();
        let up = self.asked.iter().filter(|id| self.is(**id, "up")).count();
        json!({
            "type": "explanation", "plan": self.graph.name(), "namespace": self.graph.namespace(),
            "up": up, "notUp": self.asked.len() - up, "components": components,
        })
    }
}

/// `Deployment shop/web`.
pub(crate) fn object(graph: &Graph, id: ComponentId) -> String {
    let object = graph.node(id).spec().get("object");
    let part = |pointer: &str| object.and_then(|object| object.pointer(pointer)).and_then(Value::as_str);
    let namespace = part("/metadata/namespace").map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let (kind, name) = (part("/kind").unwrap_or("?"), part("/metadata/name").unwrap_or("?"));
    clean(&format!("{kind} {namespace}{name}")).into_owned()
}

#[cfg(test)]
mod tests {
    use eve_core::plan::Dependency;
    use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};

    use super::*;

    fn component(name: &str, after: &[(&str, Until)]) -> ComponentBuilder {
        let component = ComponentBuilder::new(name, "object").spec(json!({ "object": {
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name } } }));
        after.iter().fold(component, |component, (on, until)| {
            component.depends_on(Dependency { component: (*on).to_owned(), until: *until })
        })
    }

    /// db ← web ← shop ← front, db ← cron (needs db only to be applied), alone.
    fn graph() -> Graph {
        let ready = |name| [(name, Until::Ready)];
        let plan = PlanBuilder::new("shop", "shop").components([
            component("db", &[]),
            component("web", &ready("db")),
            component("shop", &ready("web")),
            component("front", &ready("shop")),
            component("cron", &[("db", Until::Applied)]),
            component("alone", &[]),
        ]);
        Graph::from_plan(&plan).unwrap()
    }

    /// The words are the states of the six components in order.
    fn shown(words: [&str; 6], asked: &[&str]) -> (String, Value) {
        let graph = graph();
        let failure =
            |id: ComponentId| Failure::permanent("k8s.test", format!("why {}", graph.node(id).name()));
        let finding = |(id, word): (ComponentId, &str)| {
            let explanation = match word {
                "up" => Explanation::Up,
                "absent" => Explanation::Absent(failure(id)),
                "waiting" => Explanation::Waiting(failure(id)),
                _ => Explanation::Failed(failure(id).with_note("event BackOff: again").with_hint("mend it")),
            };
            (id, Ok(explanation))
        };
        let findings: Findings = graph.ids().zip(words).map(finding).collect();
        let asked = graph.ids().filter(|id| asked.is_empty() || asked.contains(&graph.node(*id).name()));
        let asked = asked.collect();
        let explained = Explained { graph: &graph, findings: &findings, asked: &asked };
        let text = anstream::adapter::strip_str(&explained.text()).to_string();
        (text, explained.json())
    }

    #[test]
    fn everything_up_is_said_in_one_line() {
        assert_eq!(shown(["up"; 6], &[]).0, "all up: 6 components");
        assert_eq!(shown(["waiting", "up", "up", "up", "up", "up"], &["alone"]).0, "all up: 1 component");
    }

    #[test]
    fn what_is_not_there_because_of_something_else_is_named_there_and_not_again() {
        let (text, json) = shown(["failed", "absent", "absent", "absent", "absent", "up"], &[]);
        assert_eq!(
            text,
            "db has failed: why db\n    event BackOff: again\n  hint: mend it\n  \
             not there because of it: web, shop, front\n\
             cron is not there: why cron\n\
             1 of 6 components up; 1 failed, 4 not there"
        );
        let state = |index: usize, field: &str| json["components"][index][field].clone();
        assert_eq!((state(2, "state"), state(2, "upstream")), (json!("absent"), json!(["web"])));
        assert_eq!(state(4, "upstream"), json!([]), "that it is applied is enough for cron");
        assert_eq!((&json["up"], &json["notUp"]), (&json!(1), &json!(5)));
    }

    #[test]
    fn what_holds_up_what_is_asked_for_is_shown_too() {
        let (text, _) = shown(["waiting", "absent", "absent", "absent", "up", "waiting"], &["shop"]);
        assert_eq!(
            text,
            "db is not up: why db\n  not there because of it: shop\n0 of 1 component up; 1 not there"
        );
    }

    #[test]
    fn what_has_a_reason_of_its_own_names_what_it_needs_besides() {
        let (text, _) = shown(["waiting", "waiting", "up", "up", "up", "up"], &["web"]);
        assert_eq!(
            text,
            "web is not up: why web\n  it needs what is not up: db\n0 of 1 component up; 1 not up yet"
        );
    }
}
