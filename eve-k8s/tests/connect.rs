//! Ways to a real API server: exec plugins, proxies, certificates.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use eve_core::failure::FailureClass;
use eve_k8s::{ApiError, KubeConfigOptions, connect};
use eve_testbed::ControlPlane;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The kubeconfig of the testbed with another user in it, in a folder of its own.
fn kubeconfig_with(control_plane: &ControlPlane, folder: &Path, exec: &str) -> PathBuf {
    let text = fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let mut config: Value = kube_value(&text);
    let user = config["users"][0]["user"].take();
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {
            "token": user.get("token"),
            "clientCertificateData": pem(&user, "client-certificate-data"),
            "clientKeyData": pem(&user, "client-key-data"),
        },
    });
    fs::write(folder.join("credential.json"), credential.to_string()).unwrap();
    config["users"][0]["user"] = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": exec,
        "args": [folder.join("credential.json")], "interactiveMode": "Never",
    } });
    let path = folder.join("config");
    fs::write(&path, config.to_string()).unwrap();
    path
}

fn kube_value(text: &str) -> Value {
    serde_json::to_value(kube::config::Kubeconfig::from_yaml(text).unwrap()).unwrap()
}

fn pem(user: &Value, field: &str) -> Option<String> {
    let data = user.get(field)?.as_str()?;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).unwrap()).ok()
}

#[tokio::test]
async fn an_exec_plugin_gives_the_credentials() {
    let control_plane = ControlPlane::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let path = kubeconfig_with(control_plane, folder.path(), "cat");
    let client = connect(&KubeConfigOptions::default().with_kubeconfig(path)).await.unwrap();
    client.discover().await.unwrap();

    let path = kubeconfig_with(control_plane, folder.path(), "/does/not/exist");
    let error = connect(&KubeConfigOptions::default().with_kubeconfig(path)).await.unwrap_err();
    assert_eq!(error.code(), "k8s.config.credentials", "{error}");
}

#[tokio::test]
async fn a_server_with_a_foreign_certificate_is_not_trusted() {
    let control_plane = ControlPlane::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let mut config = kube_value(&text);
    // Without an authority those of the machine count, and none of them has signed this.
    let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
    cluster.retain(|key, _| !key.starts_with("certificate-authority"));
    let path = folder.path().join("config");
    fs::write(&path, config.to_string()).unwrap();
    let client = connect(&KubeConfigOptions::default().with_kubeconfig(path)).await.unwrap();
    let error = client.discover().await.unwrap_err();
    assert!(matches!(error, ApiError::Untrusted { .. }), "{error:?}");
    assert_eq!(error.class(), FailureClass::Permanent);
}

/// Forwards what comes by `CONNECT`, and counts it.
async fn proxy(listener: TcpListener, asked: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(stream.read_line(&mut head).await.unwrap() > 0, "{head}");
            }
            let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
            let mut server = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
        });
    }
}

#[tokio::test]
async fn requests_go_through_the_proxy_of_the_kubeconfig() {
    let control_plane = ControlPlane::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let mut config = kube_value(&text);
    config["clusters"][0]["cluster"]["proxy-url"] =
        json!(format!("http://{}", listener.local_addr().unwrap()));
    let path = folder.path().join("config");
    fs::write(&path, config.to_string()).unwrap();
    let asked: Arc<AtomicUsize> = Arc::default();
    let serving = tokio::spawn(proxy(listener, Arc::clone(&asked)));
    let client = connect(&KubeConfigOptions::default().with_kubeconfig(path)).await.unwrap();
    client.discover().await.unwrap();
    assert!(asked.load(Ordering::SeqCst) > 0);
    serving.abort();
}
