//! The servers themselves: who may talk to them, and what happens when one is restarted or paused.

use std::path::Path;
use std::time::Duration;

use eve_testbed::{ControlPlane, Options, Server};
use http::Request;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};

use crate::follow::LIMIT;

/// The API server's answer: an object with `username` and `groups`.
async fn who_am_i(client: &Client) -> Value {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .unwrap();
    let answer: Value = client.request(request).await.unwrap();
    answer["status"]["userInfo"].clone()
}

#[tokio::test]
async fn eve_is_judged_by_rbac_and_may_do_everything() {
    let control_plane = ControlPlane::shared().await;
    let client = control_plane.eve_client().await;
    let user = who_am_i(&client).await;
    assert_eq!(user["username"], "eve");
    assert!(!user["groups"].as_array().unwrap().contains(&json!("system:masters")));
    let nodes: Api<Node> = Api::all(client);
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    assert_eq!(nodes.items.len(), 3);
    assert!(nodes.items.iter().all(|node| node.labels()["kubernetes.io/os"] == "linux"));
}

#[tokio::test]
async fn restarted_api_server_keeps_its_objects_and_a_paused_one_answers_later() {
    let control_plane = ControlPlane::start(Options::new().nodes(1).without_kwok()).await.unwrap();
    assert_eq!(control_plane.process_id(Server::Kwok), None);
    let namespace = control_plane.namespace("kept").await;
    let first = control_plane.process_id(Server::KubeApiserver);
    control_plane.restart_api_server().await.unwrap();
    assert_ne!(control_plane.process_id(Server::KubeApiserver), first);
    let accounts: Api<ServiceAccount> = Api::namespaced(control_plane.eve_client().await, &namespace);
    accounts.get("default").await.unwrap();

    control_plane.pause(Server::KubeApiserver).unwrap();
    let mut asking = Box::pin(accounts.get("default"));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut asking).await.is_err(),
        "a paused server does not answer"
    );
    control_plane.resume(Server::KubeApiserver).unwrap();
    tokio::time::timeout(LIMIT, asking).await.expect("it answers").unwrap();

    let folder = control_plane.folder().to_owned();
    control_plane.stop().await;
    assert!(!Path::exists(&folder), "{} is left", folder.display());
}

#[tokio::test]
async fn client_certificate_is_eve_too() {
    let control_plane = ControlPlane::shared().await;
    let kubeconfig = Kubeconfig::read_from(control_plane.certificate_kubeconfig_path()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    assert_eq!(who_am_i(&Client::try_from(config).unwrap()).await["username"], "eve");
}

#[tokio::test]
async fn without_controllers_nobody_but_clients_writes() {
    let control_plane = ControlPlane::start(Options::new().without_controllers()).await.unwrap();
    let running: Vec<_> =
        Server::ALL.into_iter().filter(|server| control_plane.process_id(*server).is_some()).collect();
    assert_eq!(running, [Server::Etcd, Server::KubeApiserver]);
    let namespace = control_plane.namespace("alone").await;
    let client = control_plane.eve_client().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, &namespace);
    assert!(accounts.get_opt("default").await.unwrap().is_none());
    let entries = control_plane.audit().settle().await;
    let strangers = entries.writes().filter(|entry| {
        entry.user.starts_with("system:") && !entry.user_agent.starts_with("kube-apiserver/")
    });
    assert!(strangers.is_empty(), "{strangers:?}");
}
