//! A list of which only the states of its objects are kept: most of what a page says, the managed fields above all, is read
//! over and never becomes a value.

use serde::Deserialize;
use serde_json::{Value, json};

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct StateList {
    /// Of the page: where the next one begins.
    #[serde(default)]
    metadata: Value,
    /// `null` where there is none.
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(default)]
    metadata: State,
}

/// What tells one state of an object from another.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct State {
    name: String,
    uid: String,
    resource_version: String,
}

impl From<StateList> for Value {
    /// The list as if the API server had said no more.
    fn from(list: StateList) -> Self {
        let StateList { metadata, items } = list;
        let items: Vec<Self> = items
            .unwrap_or_default()
            .into_iter()
            .map(|Item { metadata: State { name, uid, resource_version } }| {
                json!({ "metadata": { "name": name, "uid": uid, "resourceVersion": resource_version } })
            })
            .collect();
        json!({ "metadata": metadata, "items": items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nothing_is_read() {
        for items in [json!(null), json!([])] {
            let list: StateList = serde_json::from_value(json!({ "metadata": {}, "items": items })).unwrap();
            assert_eq!(Value::from(list), json!({ "metadata": {}, "items": [] }));
        }
    }

    #[test]
    fn of_each_object_its_state_is_kept_and_of_the_page_all() {
        let answer = json!({
            "kind": "PartialObjectMetadataList", "metadata": { "resourceVersion": "9", "continue": "next" },
            "items": [
                { "metadata": {
                    "name": "a", "uid": "u", "resourceVersion": "7", "labels": { "x": "y" },
                    "managedFields": [{ "manager": "eve", "fieldsV1": { "f:data": {} } }],
                } },
                { "metadata": { "name": "b" }, "data": { "of a server": "that knows no cut" } },
            ],
        });
        let list: StateList = serde_json::from_value(answer).unwrap();
        assert_eq!(
            Value::from(list),
            json!({
                "metadata": { "resourceVersion": "9", "continue": "next" },
                "items": [
                    { "metadata": { "name": "a", "uid": "u", "resourceVersion": "7" } },
                    { "metadata": { "name": "b", "uid": "", "resourceVersion": "" } },
                ],
            })
        );
    }
}
