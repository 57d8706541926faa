//! Vault as the testbed starts it: what works in it, what its audit log says, and what its faults look like.

use std::time::Duration;

use eve_testbed::{ControlPlane, KvVersion, Options, TestbedError, Vault, VaultEntry};
use serde_json::json;

/// Only to end a test that would hang.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn secrets_are_kept_in_both_versions_and_the_audit_log_tells_who_read_them() {
    let vault = Vault::shared().await;
    let (old, new) = (vault.kv("old", KvVersion::V1).await, vault.kv("new", KvVersion::V2).await);
    vault.write(&format!("{old}/a"), &json!({ "k": "v1" })).await.unwrap();
    vault.write(&format!("{new}/data/a"), &json!({ "data": { "k": "v2" } })).await.unwrap();
    let read = vault.read(&format!("{old}/a")).await.unwrap();
    assert_eq!(read.pointer("/data/k"), Some(&json!("v1")));
    let read = vault.read(&format!("{new}/data/a")).await.unwrap();
    assert_eq!(read.pointer("/data/data/k"), Some(&json!("v2")));
    assert_eq!(read.pointer("/data/metadata/version"), Some(&json!(1)));
    vault.read(&format!("{new}/data/b")).await.unwrap_err();
    let entry = |operation: &str, path: String| VaultEntry {
        operation: operation.to_owned(),
        path,
        who: "root".to_owned(),
        error: String::new(),
    };
    let entries: Vec<_> =
        vault.audit().into_iter().filter(|entry| entry.path.starts_with(&format!("{new}/data/"))).collect();
    let expected = [("create", "a"), ("read", "a"), ("read", "b")];
    assert_eq!(entries, expected.map(|(operation, name)| entry(operation, format!("{new}/data/{name}"))));
}

#[tokio::test]
async fn a_sealed_one_refuses_a_paused_one_is_silent_and_a_killed_one_comes_back_with_its_secrets() {
    let vault = Vault::start().await.unwrap();
    let mount = vault.kv("kept", KvVersion::V1).await;
    let path = format!("{mount}/a");
    vault.write(&path, &json!({ "k": "v" })).await.unwrap();

    vault.seal().await.unwrap();
    assert_eq!(vault.read("sys/seal-status").await.unwrap().get("sealed"), Some(&json!(true)));
    assert!(matches!(vault.read(&path).await, Err(TestbedError::Api { .. })));
    vault.unseal().await.unwrap();
    vault.read(&path).await.unwrap();

    vault.pause().unwrap();
    let mut asking = Box::pin(vault.read(&path));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut asking).await.is_err());
    vault.resume().unwrap();
    tokio::time::timeout(LIMIT, asking).await.unwrap().unwrap();

    vault.kill();
    assert_eq!(vault.process_id(), None);
    assert!(matches!(vault.read(&path).await, Err(TestbedError::Api { .. })));
    vault.revive().await.unwrap();
    vault.read(&path).await.unwrap();

    let folder = vault.folder().to_owned();
    vault.stop().await;
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[tokio::test]
async fn an_account_of_a_control_plane_logs_in_for_its_audience_and_another_does_not() {
    let control_plane = ControlPlane::start(Options::new().without_controllers()).await.unwrap();
    let vault = Vault::start().await.unwrap();
    vault.enable_kubernetes_auth(&control_plane).await.unwrap();
    let namespace = control_plane.namespace("login").await;
    let role = json!({
        "bound_service_account_names": ["eve"],
        "bound_service_account_namespaces": [namespace.name()],
        "audience": "vault",
        "token_policies": ["default"],
    });
    vault.write("auth/kubernetes/role/eve", &role).await.unwrap();
    for (account, audience, accepted) in
        [("eve", "vault", true), ("eve", "another", false), ("mallory", "vault", false)]
    {
        let jwt = control_plane.account_token(&namespace, account, audience).await.unwrap();
        let login = vault.write("auth/kubernetes/login", &json!({ "role": "eve", "jwt": jwt })).await;
        assert_eq!(login.is_ok(), accepted, "{account} for {audience}: {login:?}");
    }
}
