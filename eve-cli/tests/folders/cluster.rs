//! What a test asks of the cluster itself, as the user `admin`.

use eve_testbed::ControlPlane;
use http::{Method, Request, StatusCode};
use kube::Client;
use serde_json::Value;

/// The cluster, as its administrator sees it.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
}

impl Cluster {
    pub(crate) async fn of(control_plane: &ControlPlane) -> Self {
        Self { client: control_plane.admin_client().await }
    }

    /// The answer, or the status with which it was refused.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Result<Value, (StatusCode, String)> {
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let request = request.body(body.as_bytes().to_vec()).unwrap();
        match self.client.request::<Value>(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => {
                Err((StatusCode::from_u16(status.code).unwrap(), status.message.clone()))
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// The object, if it is there.
    pub(crate) async fn find(&self, path: &str) -> Option<Value> {
        match self.ask(Method::GET, path, "application/json", "").await {
            Ok(object) => Some(object),
            Err((StatusCode::NOT_FOUND, _)) => None,
            Err((_, message)) => panic!("{path}: {message}"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.find(path).await.unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// Everything that carries this label, of whatever kind, as paths of collections with names.
    pub(crate) async fn labelled(&self, label: &str) -> Vec<String> {
        let mut found = Vec::new();
        for collection in self.collections().await {
            let path = format!("{collection}?labelSelector={label}");
            let list = match self.ask(Method::GET, &path, "application/json", "").await {
                Ok(list) => list,
                // A kind of another test, which came or went meanwhile.
                Err((status, _)) if [404, 429].contains(&status.as_u16()) => continue,
                Err((_, message)) => panic!("{path}: {message}"),
            };
            for item in list["items"].as_array().into_iter().flatten() {
                found.push(format!("{collection} {}", item["metadata"]["name"]));
            }
        }
        found
    }

    /// The paths of all collections that can be listed.
    async fn collections(&self) -> Vec<String> {
        let mut groups = vec!["/api/v1".to_owned()];
        for group in self.get("/apis").await["groups"].as_array().unwrap() {
            groups.push(format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
        }
        let mut collections = Vec::new();
        for group in groups {
            // One that another test has just removed is gone.
            let Some(served) = self.find(&group).await else { continue };
            for resource in served["resources"].as_array().unwrap() {
                let verbs = resource["verbs"].as_array().unwrap();
                if verbs.iter().any(|verb| verb == "list") {
                    collections.push(format!("{group}/{}", resource["name"].as_str().unwrap()));
                }
            }
        }
        collections
    }
}
