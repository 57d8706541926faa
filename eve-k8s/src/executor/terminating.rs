//! What keeps a namespace that is being deleted: API servers that do not answer, and what is still in it. Reads only.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;

use super::KubeExecutor;
use super::blocked::{LISTS_MAX, finalizers};
use super::inside;
use crate::client::{Collection, Detail, Labelled};
use crate::path::PathSegment;
use crate::readiness::text;

/// How long looking may take: the wait for which it is done ends in time.
const TIMEOUT: Duration = Duration::from_secs(4);

/// What keeps a namespace.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// `APIService`s that are not available, each with the reason.
    pub(super) unanswered: Vec<String>,
    /// Objects that are still in it: those with finalizers first, of each kind at most a page.
    pub(super) objects: Vec<String>,
    pub(super) has_finalizer: bool,
}

impl KubeExecutor {
    /// What keeps this namespace, as far as that can be seen in a few seconds. Cancel safe.
    pub(super) async fn left_in(&self, namespace: &PathSegment) -> Left {
        tokio::time::timeout(TIMEOUT, self.look_into(namespace)).await.unwrap_or_default()
    }

    async fn look_into(&self, namespace: &PathSegment) -> Left {
        let Ok(kinds) = self.client.discover().await else { return Left::default() };
        let mut left = Left::default();
        for version in kinds.away() {
            left.unanswered.push(self.away(version).await);
        }
        let pages =
            futures::stream::iter(inside::of_namespace(&kinds, namespace)).map(|collection| async move {
                let page =
                    self.client.list_labelled(&collection, Labelled::Any, Detail::Metadata, None).await;
                (collection, page.unwrap_or_default())
            });
        let pages: Vec<(Collection, Value)> = pages.buffer_unordered(LISTS_MAX).collect().await;
        let mut found = Vec::new();
        for (collection, page) in &pages {
            let items = page.get("items").and_then(Value::as_array).into_iter().flatten();
            found.extend(items.map(|item| words(&collection.resource.kind, item)));
        }
        found.sort();
        left.has_finalizer = found.first().is_some_and(|(is_free, _)| !is_free);
        left.objects = found.into_iter().map(|(_, words)| words).collect();
        left
    }
}

/// Whether nothing keeps the object itself, and what it is called, with what keeps it.
fn words(kind: &str, item: &Value) -> (bool, String) {
    let name = text(item, "/metadata/name");
    match finalizers(item).as_slice() {
        [] => (true, format!("{kind} {name}")),
        kept => (false, format!("{kind} {name} (finalizer `{}`)", kept.join("`, `"))),
    }
}
