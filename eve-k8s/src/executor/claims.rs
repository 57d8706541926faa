//! Claims that wait for their first consumer: whether one does stands in no claim. Reads only.

use serde_json::Value;

use super::KubeExecutor;
use crate::client::Location;
use crate::path::PathSegment;
use crate::readiness::text;

impl KubeExecutor {
    /// Whether the class of a claim binds it only once a pod uses it; `None` where the class cannot be read.
    pub(super) async fn binds_late(&self, claim: &Value) -> Option<bool> {
        let name = PathSegment::name(text(claim, "/spec/storageClassName")).ok()?;
        let class = self.client.storage_class(name).await.ok()?;
        Some(text(&class, "/volumeBindingMode") == "WaitForFirstConsumer")
    }

    /// Whether an event says that the claim waits for its first consumer.
    pub(super) async fn is_said_to_wait(&self, place: &Location, claim: &Value) -> bool {
        let events = self.raw_events(place, text(claim, "/metadata/uid")).await;
        events.iter().any(|event| text(event, "/reason") == "WaitForFirstConsumer")
    }
}
