//! Label selectors, and workloads found by the labels of their pods without asking each.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{text, value_at};

/// Labels of an object that has none.
static NONE: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(Map::new()));

/// Workloads of an input by the labels of their pods.
#[derive(Debug, Default)]
pub(super) struct Labelled<'a> {
    labels: BTreeMap<usize, &'a Value>,
    in_namespace: BTreeMap<&'a str, Vec<usize>>,
    /// Which of the lists, by namespace, key and value.
    by_label: BTreeMap<(&'a str, &'a str, &'a str), usize>,
    lists: Vec<Vec<usize>>,
}

impl<'a> Labelled<'a> {
    pub(super) fn add(&mut self, node: usize, namespace: &'a str, labels: Option<&'a Value>) {
        let labels = labels.unwrap_or(&NONE);
        self.labels.insert(node, labels);
        self.in_namespace.entry(namespace).or_default().push(node);
        for (key, value) in labels.as_object().into_iter().flatten() {
            if let Some(value) = value.as_str() {
                let list = *self.by_label.entry((namespace, key, value)).or_insert(self.lists.len());
                match self.lists.get_mut(list) {
                    Some(list) => list.push(node),
                    None => self.lists.push(vec![node]),
                }
            }
        }
    }

    /// The workloads of a namespace whose pods a label selector selects; an empty one selects all.
    pub(super) fn selected(&self, namespace: &str, selector: &Value) -> Vec<usize> {
        let pairs = selector.get("matchLabels").and_then(Value::as_object);
        let few = self.fewest(namespace, pairs);
        few.iter()
            .copied()
            .filter(|node| self.labels.get(node).is_some_and(|labels| matches(selector, labels)))
            .collect()
    }

    /// The workloads of a namespace behind a Service; one without a selector has none.
    pub(super) fn behind(&self, namespace: &str, service: &Value) -> Vec<usize> {
        let Some(pairs) =
            value_at(service, "/spec/selector").and_then(Value::as_object).filter(|pairs| !pairs.is_empty())
        else {
            return Vec::new();
        };
        let all = |labels: &&Value| pairs.iter().all(|(key, value)| labels.get(key) == Some(value));
        let few = self.fewest(namespace, Some(pairs)).iter().copied();
        few.filter(|node| self.labels.get(node).is_some_and(all)).collect()
    }

    /// The shortest list that holds everything with these labels.
    fn fewest(&self, namespace: &str, pairs: Option<&Map<String, Value>>) -> &[usize] {
        let Some(pairs) = pairs.filter(|pairs| !pairs.is_empty()) else {
            return self.in_namespace.get(namespace).map_or(&[], Vec::as_slice);
        };
        let list = |(key, value): (&String, &Value)| {
            let list = value.as_str().and_then(|value| self.by_label.get(&(namespace, key.as_str(), value)));
            list.copied()
        };
        let lists: Option<Vec<usize>> = pairs.iter().map(list).collect();
        let lists = lists.unwrap_or_default().into_iter().filter_map(|list| self.lists.get(list));
        lists.min_by_key(|nodes| nodes.len()).map_or(&[], Vec::as_slice)
    }
}

/// Whether a label selector (`matchLabels`, `matchExpressions`) selects these labels. An operator that nobody knows
/// selects nothing.
pub(super) fn matches(selector: &Value, labels: &Value) -> bool {
    let pairs = selector.get("matchLabels").and_then(Value::as_object);
    let mut pairs = pairs.into_iter().flatten();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let mut expressions = expressions.into_iter().flatten();
    pairs.all(|(key, value)| labels.get(key) == Some(value)) && expressions.all(|one| holds(one, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let value = text(expression, "/key").and_then(|key| labels.get(key)).and_then(Value::as_str);
    let values = expression.get("values").and_then(Value::as_array);
    let is_in =
        || value.is_some_and(|value| values.into_iter().flatten().any(|one| one.as_str() == Some(value)));
    match text(expression, "/operator") {
        Some("In") => is_in(),
        Some("NotIn") => !is_in(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        _ => false,
    }
}

/// All label keys that a selector looks at.
pub(super) fn keys(selector: &Value) -> impl Iterator<Item = &str> {
    let pairs = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    pairs.map(|(key, _)| key.as_str()).chain(expressions.filter_map(|one| text(one, "/key")))
}
