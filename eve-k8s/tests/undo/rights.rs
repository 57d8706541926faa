//! Rights that are missing when a run is undone are told at once; those that an API server does not know yet are waited
//! for.

use std::sync::atomic::{AtomicUsize, Ordering};

use eve_core::failure::FailureClass;
use eve_k8s::KubeClient;
use http::Response;
use kube::client::Body;
use tower::BoxError;

use super::*;

async fn changed(place: &Place) -> Release {
    place.deploy("first", &[apply(config_map("x", json!({ "a": "1" })))]).await;
    place.deploy("second", &[apply(config_map("x", json!({ "a": "2" })))]).await
}

#[tokio::test]
async fn a_right_that_is_missing_is_told_at_once() {
    let place = Place::new("rights").await;
    let api = "rbac.authorization.k8s.io/v1";
    let rules =
        json!([{ "apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list"] }]);
    let role = object(api, "Role", "reader", json!({ "rules": rules }));
    let binding = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader" }],
    });
    place.deploy("rights", &[apply(role), apply(object(api, "RoleBinding", "reader", binding))]).await;
    let mut release = changed(&place).await;
    let options = KubeConfigOptions::default().with_kubeconfig(place.control_plane.kubeconfig_path());
    let client = connect(&options.with_as_user("reader".to_owned())).await.unwrap();
    release.executor = KubeExecutor::builder(client).build();
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.api.forbidden", FailureClass::Permanent),
        "{failure:?}"
    );
    assert!(failure.message.contains("patch"), "{failure:?}");
}

/// A release whose API server refuses so many requests of this kind, as one does that has just begun.
async fn bootstrapping(place: &Place, refuses: fn(&str) -> bool, times: usize) -> Release {
    let mut release = changed(place).await;
    let client = place.control_plane.eve_client().await;
    let count = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, count) = (client.clone(), Arc::clone(&count));
        async move {
            if refuses(request.uri().path()) && count.fetch_add(1, Ordering::SeqCst) < times {
                let status = json!({
                    "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403,
                    "message": "configmaps \"x\" is forbidden: User \"eve\" cannot get resource \"configmaps\"",
                });
                return Ok(Response::builder()
                    .status(403)
                    .body(Body::from(status.to_string().into_bytes()))?);
            }
            client.send(request).await.map_err(BoxError::from)
        }
    });
    let client = KubeClient::new(kube::Client::new(service, "default"));
    let kinds = KubeClient::new(place.control_plane.eve_client().await).discover().await.unwrap();
    release.executor = KubeExecutor::builder(client).with_kinds(kinds).build();
    release
}

#[tokio::test]
async fn an_api_server_that_knows_no_rights_yet_is_asked_again() {
    let place = Place::new("boots").await;
    let release = bootstrapping(&place, |_| true, usize::MAX).await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient, "{failure:?}");
    let failure = release.verify_undone(0).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient, "{failure:?}");
    // It knows those of everybody, and the rest a moment later.
    let place = Place::new("boots-on").await;
    let release = bootstrapping(&place, |path| path.contains("/configmaps/"), 1).await;
    assert_eq!(release.undo_all().await, [Change::Update]);
}
