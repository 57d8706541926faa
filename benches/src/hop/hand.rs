//! What somebody would write by hand for just this: the yardstick. No retries, no checks, nothing but the requests.

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Client, Config, ResourceExt as _};
use serde_json::Value;

use super::objects::Workload;

/// Applies the first `count` objects of a workload to a namespace; where they have no order, `concurrency` at once.
///
/// # Errors
/// The first request that fails.
pub async fn run(
    workload: Workload,
    namespace: &str,
    count: usize,
    concurrency: usize,
) -> anyhow::Result<()> {
    let mut config = Config::infer().await?;
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let objects: Vec<(String, Value)> =
        (0..count).map(|index| (workload.name(index), workload.object(index))).collect();
    match workload {
        Workload::Deployments => deployments(Api::namespaced(client, namespace), &objects).await,
        Workload::Chain => {
            let maps = Api::namespaced(client, namespace);
            for object in &objects {
                patch(&maps, object).await?;
            }
            Ok(())
        }
        Workload::Fan => {
            let maps = Api::namespaced(client, namespace);
            let patches = stream::iter(&objects).map(|object| patch(&maps, object));
            patches.buffer_unordered(concurrency).try_collect().await
        }
    }
}

async fn patch(maps: &Api<ConfigMap>, (name, object): &(String, Value)) -> anyhow::Result<()> {
    maps.patch(name, &PatchParams::apply("hand"), &Patch::Apply(object)).await?;
    Ok(())
}

/// One watch for all; the event that says that one is available sends the next.
async fn deployments(api: Api<Deployment>, objects: &[(String, Value)]) -> anyhow::Result<()> {
    let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
    let apply = PatchParams::apply("hand");
    for (name, object) in objects {
        api.patch(name, &apply, &Patch::Apply(object)).await?;
        loop {
            let event = events.try_next().await?.context("the watch ended")?;
            match event {
                WatchEvent::Added(seen) | WatchEvent::Modified(seen) => {
                    if seen.name_any() == *name && is_available(&seen) {
                        break;
                    }
                }
                WatchEvent::Error(error) => bail!("the watch failed: {error}"),
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            }
        }
    }
    Ok(())
}

fn is_available(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    status.is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation && status.available_replicas == Some(1)
    })
}
