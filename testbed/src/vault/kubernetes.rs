//! Lets accounts of a control plane log in at a Vault: the tokens that the API server gives out, and Vault's Kubernetes
//! auth method, which asks the API server about them.

use std::fs;

use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::Vault;
use super::audit::text_at;
use crate::api;
use crate::control_plane::ControlPlane;
use crate::error::TestbedError;

/// The account that Vault asks the API server with, in the namespace `kube-system`.
const REVIEWER: &str = "vault-reviewer";

impl ControlPlane {
    /// A token of a service account, as the kubelet would give it to a pod: for one audience, for one hour. The account is
    /// made if it is missing.
    ///
    /// # Errors
    /// [`TestbedError::Api`] if the API server refuses.
    pub async fn account_token(
        &self,
        namespace: &str,
        account: &str,
        audience: &str,
    ) -> Result<String, TestbedError> {
        let client = self.admin_client().await;
        token(&client, namespace, account, json!([audience])).await
    }
}

async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audiences: Value,
) -> Result<String, TestbedError> {
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    create(client, &accounts, &json!({ "metadata": { "name": account } })).await?;
    let path = format!("{accounts}/{account}/token");
    let request = json!({ "spec": { "audiences": audiences, "expirationSeconds": 3600 } });
    let answer = api::json(client, Method::POST, &path, Some(&request)).await?;
    Ok(text_at(&answer, "/status/token"))
}

/// Creates an object, and is content if it is there.
async fn create(client: &Client, path: &str, object: &Value) -> Result<(), TestbedError> {
    match api::text(client, Method::POST, path, Some(object)).await {
        Err(TestbedError::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_already_exists()) => {
            Ok(())
        }
        other => other.map(drop),
    }
}

impl Vault {
    /// Enables the auth method `kubernetes` at its usual path, for accounts of this control plane. Roles are the test's to
    /// write, at `auth/kubernetes/role/NAME`.
    ///
    /// # Errors
    /// [`TestbedError::Api`] if Vault or the API server refuses.
    pub async fn enable_kubernetes_auth(&self, control_plane: &ControlPlane) -> Result<(), TestbedError> {
        let client = control_plane.admin_client().await;
        let binding = json!({
            "metadata": { "name": REVIEWER },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:auth-delegator",
            },
            "subjects": [{ "kind": "ServiceAccount", "name": REVIEWER, "namespace": "kube-system" }],
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        create(&client, bindings, &binding).await?;
        // No audience of its own: the API server's.
        let reviewer = token(&client, "kube-system", REVIEWER, json!([])).await?;
        let ca_path = control_plane.ca_path();
        let ca =
            fs::read_to_string(&ca_path).map_err(TestbedError::io(format!("read {}", ca_path.display())))?;
        self.write("sys/auth/kubernetes", &json!({ "type": "kubernetes" })).await?;
        let config = json!({
            "kubernetes_host": control_plane.url(),
            "kubernetes_ca_cert": ca,
            "token_reviewer_jwt": reviewer,
            "disable_local_ca_jwt": true,
        });
        self.write("auth/kubernetes/config", &config).await.map(drop)
    }
}
