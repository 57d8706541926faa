//! The controllers work: Deployments, Jobs, Services and claims get where they should.

use eve_testbed::{ControlPlane, DELAY, STAGE};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::follow::{LIMIT, condition, create_and_follow};

#[tokio::test]
async fn deployment_becomes_available_and_its_pods_go_with_it() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("deployment").await;
    let client = control_plane.eve_client().await;
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "nodeSelector": { "kubernetes.io/os": "linux" },
                    "containers": [{ "name": "web", "image": "example.com/web:1" }],
                },
            },
        },
    });
    let available = |object: &Value| {
        condition(object, "Available")["status"] == "True" && object["status"]["readyReplicas"] == 3
    };
    create_and_follow::<Deployment>(&client, &namespace, deployment, available).await;

    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let present = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(present.items.len(), 3);
    let from = present.metadata.resource_version.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client, &namespace);
    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    let gone = async {
        let mut stream = pods.watch(&WatchParams::default(), &from).await.unwrap().boxed();
        let mut left = 3;
        while left > 0 {
            if let WatchEvent::Deleted(_) = stream.try_next().await.unwrap().expect("the watch goes on") {
                left -= 1;
            }
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the pods go");
}

#[tokio::test]
async fn job_completes_by_default_and_fails_if_told_to() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("job").await;
    let client = control_plane.eve_client().await;
    for (name, annotations, end) in
        [("good", json!({}), "Complete"), ("bad", json!({ STAGE: "job-failed" }), "Failed")]
    {
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name },
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": { "annotations": annotations },
                    "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "example.com/main:1" }] },
                },
            },
        });
        let ended =
            |job: &Value| ["Complete", "Failed"].iter().any(|kind| condition(job, kind)["status"] == "True");
        let states = create_and_follow::<Job>(&client, &namespace, job, ended).await;
        assert_eq!(condition(states.last().unwrap(), end)["status"], "True", "{name}");
    }
}

#[tokio::test]
async fn load_balancer_gets_an_address() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("service").await;
    let client = control_plane.eve_client().await;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web", "annotations": { DELAY: "100ms" } },
        "spec": { "type": "LoadBalancer", "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    let address =
        |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
    let states =
        create_and_follow::<Service>(&client, &namespace, service, |service| address(service).is_some())
            .await;
    assert_eq!(address(states.first().unwrap()), None);
    assert!(address(states.last().unwrap()).unwrap().starts_with("198.18."));
}

#[tokio::test]
async fn claim_of_the_default_class_is_bound() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("claim").await;
    let client = control_plane.eve_client().await;
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    create_and_follow::<PersistentVolumeClaim>(&client, &namespace, claim, |claim| {
        claim["status"]["phase"] == "Bound"
    })
    .await;
}
