//! Follows one object from its creation on, by a watch.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Only to end a test that would hang; nothing here takes more than seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Creates the object and follows it until `until` holds; returns every state that it was seen in, the last one included.
pub(crate) async fn create_and_follow<K>(
    client: &Client,
    namespace: &str,
    object: Value,
    until: impl Fn(&Value) -> bool,
) -> Vec<Value>
where
    K: Resource<Scope = NamespaceResourceScope>
        + Metadata<Ty = ObjectMeta>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let created = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let name = created.metadata().name.clone().unwrap();
    let fields = WatchParams::default().fields(&format!("metadata.name={name}"));
    // From its creation on, so that no state in between is missed.
    let from = created.metadata().resource_version.clone().unwrap();
    let mut seen = vec![serde_json::to_value(&created).unwrap()];
    let follow = async {
        let mut events = api.watch(&fields, &from).await.unwrap().boxed();
        while !until(seen.last().unwrap()) {
            match events.try_next().await.unwrap() {
                Some(WatchEvent::Modified(object)) => seen.push(serde_json::to_value(&object).unwrap()),
                Some(WatchEvent::Bookmark(_)) => {}
                other => panic!("{name} should change, not {other:?}"),
            }
        }
    };
    let in_time = tokio::time::timeout(LIMIT, follow).await.is_ok();
    assert!(
        in_time,
        "{name} never got there; it was seen as {:#?}",
        seen.iter().map(|state| &state["status"]).collect::<Vec<_>>()
    );
    seen
}

/// The condition of that type, or null.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}
