//! API services, behind which another server stands.

use std::sync::Arc;
use std::time::Duration;

use eve_core::plan::Until;
use eve_core::ports::{Context, Executor};
use eve_core::run::Change;
use eve_core::time::Timestamp;
use eve_k8s::{KubeExecutor, ScopePolicy};
use eve_testbed::ControlPlane;
use serde_json::json;

use crate::common::{graph, step, write};
use crate::responder::serve;
use crate::{client, deploy, meta, workload};

/// What an aggregated API server answers when it is asked whether it is there.
fn answer(_: &str) -> String {
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "answered.example.com/v1", "resources": [] })
        .to_string()
}

#[tokio::test]
async fn an_api_service_is_ready_once_its_server_answers_and_says_until_then_why_not() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("aggregated").await;
    let name = "v1.answered.example.com";
    let api_service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta(name),
        "spec": {
            "group": "answered.example.com", "version": "v1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 1000, "versionPriority": 10,
            "service": { "namespace": namespace.name(), "name": "answering", "port": serve(answer).port },
        },
    });
    // The API server takes no loopback address for an endpoint, but a name that leads there.
    let spec = json!({ "type": "ExternalName", "externalName": "localhost" });
    let service = workload("v1", "Service", "answering", spec);
    let graph = graph(namespace.name(), [api_service, service]);
    let policy = ScopePolicy::default().with_cluster_scoped("APIService".parse().unwrap());
    let executor = KubeExecutor::builder(client(control_plane).await).with_policy(policy).build();

    let (_, applied) = write(&executor, &step(&graph, 0)).await.unwrap();
    let clock = Arc::new(eve_core::testing::TokioClock::starting_at(Timestamp::EPOCH));
    let soon = Context::new(Timestamp::EPOCH.plus(Duration::from_secs(3)), clock, Arc::new(|_| {}));
    let failure = executor.wait(&step(&graph, 0), &applied, Until::Ready, &soon).await.unwrap_err();
    assert_eq!(failure.code, "k8s.wait.deadline");
    for text in [name, "it is not available: ServiceNotFound: ", "answering"] {
        assert!(failure.message.contains(text), "{failure}");
    }
    assert_eq!(
        failure.hint.as_deref(),
        Some("to count it as ready once it is applied: `--until applied=APIService/v1.answered.example.com`")
    );

    deploy(&executor, &step(&graph, 1)).await.unwrap();
    let done = deploy(&executor, &step(&graph, 0)).await.unwrap();
    assert_eq!(done.change, Change::None);

    // An API service whose server is gone would keep the namespaces of other tests from being deleted.
    let resource = kube::api::GroupVersionKind::gvk("apiregistration.k8s.io", "v1", "APIService");
    let resource = kube::api::ApiResource::from_gvk(&resource);
    let api = kube::Api::<kube::api::DynamicObject>::all_with(control_plane.admin_client().await, &resource);
    api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
}
