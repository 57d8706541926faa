//! Plays the Deployment controller: says of each Deployment, a little after it was made, that it is available.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

/// Sets the status of the first `count` Deployments of a namespace, each `delay` after it was seen. Cancel safe.
///
/// # Errors
/// The first request that fails.
pub async fn play(client: Client, namespace: &str, count: usize, delay: Duration) -> anyhow::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client, namespace);
    let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
    let mut reports = FuturesUnordered::new();
    let mut reported = 0;
    while reported < count {
        tokio::select! {
            event = events.try_next() => match event?.context("the watch ended")? {
                WatchEvent::Added(made) => reports.push(report(&api, made, delay)),
                WatchEvent::Error(error) => bail!("the watch failed: {error}"),
                WatchEvent::Modified(_) | WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            },
            Some(report) = reports.next() => {
                report?;
                reported += 1;
            }
        }
    }
    Ok(())
}

async fn report(api: &Api<Deployment>, made: Deployment, delay: Duration) -> anyhow::Result<()> {
    tokio::time::sleep(delay).await;
    let status = json!({ "status": {
        "observedGeneration": made.metadata.generation,
        "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "conditions": [
            { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable" },
            { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" },
        ],
    } });
    let name = made.name_any();
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}
