//! Those who report about custom resources, as operators do: conditions of the current generation, and finalizers.

use std::time::Duration;

use eve_testbed::ControlPlane;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::row::{Operator, Report};

/// How often an operator looks: none of the steps waits for that long.
const PERIOD: Duration = Duration::from_millis(100);
const TIME: &str = "2026-01-01T00:00:00Z";

/// Operators that work until they are stopped.
pub(crate) struct Operators(Vec<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Operators {
    /// Lets them come to their end, so that one that failed makes the test fail.
    pub(crate) async fn stop(self) {
        for (stop, working) in self.0 {
            drop(stop);
            working.await.unwrap();
        }
    }
}

pub(crate) async fn start(operators: &'static [Operator]) -> Operators {
    let mut started = Vec::new();
    for operator in operators {
        let cluster = Cluster::of(ControlPlane::shared().await).await;
        let (stop, mut stopped) = oneshot::channel();
        let work = async move {
            while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                round(&cluster, operator).await;
                tokio::time::sleep(PERIOD).await;
            }
        };
        started.push((stop, tokio::spawn(work)));
    }
    Operators(started)
}

/// Looks at every resource once. What is not served yet, or changes under its hands, it meets again.
async fn round(cluster: &Cluster, operator: &Operator) {
    let (group, plural) = operator.collection.rsplit_once('/').unwrap();
    let collection = format!("/apis/{group}/{plural}");
    let list = match cluster.ask(Method::GET, &collection, "application/json", "").await {
        Ok(list) => list,
        Err((status, _)) if [404, 429].contains(&status.as_u16()) => return,
        Err((_, message)) => panic!("{collection}: {message}"),
    };
    for object in list["items"].as_array().unwrap() {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("/apis/{group}/namespaces/{namespace}/{plural}/{name}"),
            None => format!("/apis/{group}/{plural}/{name}"),
        };
        hold(cluster, operator, &path, object).await;
        report(cluster, operator, &path, object).await;
    }
}

async fn hold(cluster: &Cluster, operator: &Operator, path: &str, object: &Value) {
    let Some(finalizer) = operator.finalizer else { return };
    let held = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    let others: Vec<&Value> = held.filter(|held| *held != finalizer).collect();
    let is_held = object["metadata"]["finalizers"].to_string().contains(finalizer);
    let wanted = match (object["metadata"]["deletionTimestamp"].is_string(), is_held) {
        (true, true) => json!(others),
        (false, false) => json!([others, vec![&json!(finalizer)]].concat()),
        _ => return,
    };
    let version = &object["metadata"]["resourceVersion"];
    let change = json!({ "metadata": { "finalizers": wanted, "resourceVersion": version } });
    merge(cluster, path, &change).await;
}

async fn report(cluster: &Cluster, operator: &Operator, path: &str, object: &Value) {
    let generation = &object["metadata"]["generation"];
    if object["status"]["observedGeneration"] == *generation {
        return;
    }
    let condition = |kind: &str| {
        json!({ "type": kind, "status": "True", "reason": "Reconciled", "message": "",
            "observedGeneration": generation, "lastTransitionTime": TIME })
    };
    let status = match operator.report {
        Report::Conditions(kinds) => {
            json!({ "conditions": kinds.iter().map(|kind| condition(kind)).collect::<Vec<_>>() })
        }
        Report::Parents => {
            let parents = object["spec"]["parentRefs"].as_array().into_iter().flatten();
            let conditions = [condition("Accepted"), condition("ResolvedRefs")];
            let of = |parent: &Value| json!({ "parentRef": parent, "controllerName": "example.dev/c", "conditions": conditions });
            json!({ "parents": parents.map(of).collect::<Vec<_>>() })
        }
    };
    let mut change = json!({ "status": status });
    change["status"]["observedGeneration"] = generation.clone();
    merge(cluster, &format!("{path}/status"), &change).await;
}

async fn merge(cluster: &Cluster, path: &str, change: &Value) {
    let path = format!("{path}?fieldManager=operator");
    let answer = cluster.ask(Method::PATCH, &path, "application/merge-patch+json", &change.to_string()).await;
    if let Err((status, message)) = answer {
        assert!([404, 409].contains(&status.as_u16()), "{path}: {message}");
    }
}
