//! What tells one graph from another: everything that decides what a run does. Pure.

use serde_json::{Value, json};

use super::Graph;
use crate::ids::ComponentId;
use crate::plan::UndoRule;
use crate::plan::expressions::Constants;

impl Graph {
    /// Gives everything that decides what a run of this graph does to `sink`, piece by piece: for a digest. Equal graphs
    /// give equal pieces, in every release that reads the same journals; graphs that differ, different ones.
    ///
    /// **The bytes hold the specs, secrets included.** A digest that is kept needs a key, or whoever reads it can try
    /// out passwords.
    pub fn identity(&self, sink: &mut dyn FnMut(&[u8])) {
        let mut text = Vec::new();
        let mut line = |value: &Value| {
            text.clear();
            // What is in memory can be written to memory.
            let _ = serde_json::to_writer(&mut text, value);
            sink(&text);
            // No JSON text holds a line break, so that no two sequences of lines have the same bytes.
            sink(b"\n");
        };
        line(&json!({ "plan": self.name(), "namespace": self.namespace(), "onFailure": self.on_failure() }));
        for class in self.classes() {
            line(&json!({ "class": class.name, "limit": class.limit }));
        }
        for id in self.ids() {
            line(&self.settings_of(id));
            line(self.node(id).spec());
            // What is not there is not told: the digests of graphs without it are in journals.
            let dynamic = self.dynamic_of(id);
            if !dynamic.is_null() {
                line(&dynamic);
            }
        }
    }

    /// What expressions are rendered from, and where they stand: their text is part of the spec.
    fn dynamic_of(&self, id: ComponentId) -> Value {
        let node = self.node(id);
        let (expressions, ready_when) = (node.expressions(), node.ready_when());
        let constants = expressions.map(|all| all.constants()).or(ready_when.map(|one| one.constants()));
        let Some(Constants { inputs, cluster, .. }) = constants else { return Value::Null };
        json!({
            "inputs": inputs, "cluster": cluster, "expressions": expressions.map(|all| all.pointers()),
            "readyWhen": ready_when.map(|one| one.text()),
        })
    }

    fn settings_of(&self, id: ComponentId) -> Value {
        let node = self.node(id);
        let edges = self.dependencies(id).iter();
        let kind = if node.action().is_join() { "" } else { self.kind(id) };
        let mut settings = json!({
            "name": node.name(), "kind": kind, "class": node.class_index(), "action": node.action(),
            "until": node.until(), "onFailure": node.on_failure(), "timeout": node.timeout(),
            "retry": node.retry(), "labels": node.labels().collect::<Vec<_>>(),
            "after": edges.map(|edge| (edge.component, edge.until)).collect::<Vec<_>>(),
        });
        // What is not written must not be told: the digests of graphs without it are in journals.
        if let (UndoRule::Never, Some(fields)) = (node.undo(), settings.as_object_mut()) {
            fields.insert("undo".into(), json!(node.undo()));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::builder::{ComponentBuilder, PlanBuilder};
    use crate::plan::{Action, Dependency, FailurePolicy, RetryPolicy, Until};

    fn bytes(plan: &PlanBuilder) -> String {
        let mut bytes = Vec::new();
        Graph::from_plan(plan).unwrap().identity(&mut |piece| bytes.extend_from_slice(piece));
        String::from_utf8(bytes).unwrap()
    }

    fn base() -> ComponentBuilder {
        ComponentBuilder::new("web", "http").spec(json!({ "b": 1, "a": [true] })).after("db")
    }

    fn plan(web: ComponentBuilder) -> PlanBuilder {
        PlanBuilder::new("shop", "blue").component(ComponentBuilder::new("db", "sql")).component(web)
    }

    #[test]
    fn everything_that_a_run_depends_on_is_told_apart() {
        let retry = RetryPolicy { attempts: 2, backoff: Duration::ZERO, max_backoff: Duration::ZERO };
        let other_edge = ComponentBuilder::new("web", "http")
            .spec(json!({ "b": 1, "a": [true] }))
            .depends_on(Dependency::applied("db"));
        let plans = [
            plan(base()),
            plan(base().spec(json!({ "b": 1, "a": [false] }))),
            plan(base().action(Action::Delete)),
            plan(base().until(Until::Applied)),
            plan(base().timeout(Duration::from_secs(1))),
            plan(base().retry(retry)),
            plan(base().on_failure(FailurePolicy::Continue)),
            plan(base().class("one", 1)),
            plan(base().class("one", 2)),
            plan(base().label("team", "a")),
            plan(other_edge),
            plan(base()).on_failure(FailurePolicy::Continue),
            plan(ComponentBuilder::new("web", "grpc").spec(json!({ "b": 1, "a": [true] })).after("db")),
        ];
        let mut seen: Vec<String> = plans.iter().map(bytes).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), plans.len());
    }

    #[test]
    fn where_a_piece_ends_is_part_of_the_digests_in_journals() {
        let mut pieces = Vec::new();
        let graph = Graph::from_plan(&plan(base())).unwrap();
        graph.identity(&mut |piece| pieces.push(String::from_utf8(piece.to_vec()).unwrap()));
        let (lines, ends): (Vec<_>, Vec<_>) = pieces.chunks(2).map(|pair| (&pair[0], &pair[1])).unzip();
        assert!(lines.iter().all(|line| !line.contains('\n')), "{pieces:?}");
        assert!(ends.iter().all(|end| *end == "\n"), "{pieces:?}");
    }

    #[test]
    fn equal_plans_have_the_bytes_that_old_journals_were_made_with() {
        assert_eq!(
            bytes(&plan(base())),
            concat!(
                r#"{"namespace":"blue","onFailure":"drain","plan":"shop"}"#,
                "\n",
                r#"{"action":"apply","after":[],"class":null,"kind":"sql","labels":[],"name":"db","#,
                r#""onFailure":null,"retry":null,"timeout":null,"until":"ready"}"#,
                "\nnull\n",
                r#"{"action":"apply","after":[[0,"ready"]],"class":null,"kind":"http","labels":[],"name":"web","#,
                r#""onFailure":null,"retry":null,"timeout":null,"until":"ready"}"#,
                "\n",
                r#"{"a":[true],"b":1}"#,
                "\n",
            )
        );
    }
}
