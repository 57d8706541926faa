//! An admission webhook on loopback that denies every pod of one namespace.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use super::{create, workload};

/// Makes the webhook, and returns once the API server asks it.
pub(super) async fn deny_pods(control_plane: &ControlPlane, namespace: &str) {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let port = serve(&key);
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": namespace },
        "webhooks": [{
            "name": "policy.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": { "url": format!("https://127.0.0.1:{port}/"), "caBundle": base64(key.cert.pem().as_bytes()) },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
        }],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    create(control_plane, path, &configuration).await;
    // The API server reads its webhooks from a watch.
    let client = control_plane.admin_client().await;
    let mut pod = workload("Deployment", "web", json!({}), json!({}))["spec"]["template"].take();
    pod["metadata"]["name"] = json!("trial");
    let body = serde_json::to_vec(&pod).unwrap();
    let trial = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    loop {
        let request = http::Request::post(&trial).header("content-type", "application/json");
        let answer = client.request::<Value>(request.body(body.clone()).unwrap()).await;
        match answer {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.to_string().contains("denied the request") => return,
            Err(error) => panic!("the webhook does not work: {error}"),
        }
    }
}

fn serve(key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let config = Arc::clone(&config);
            // What one caller does to its connection is nobody else's business.
            std::thread::spawn(move || answer(config, socket?));
        }
    });
    port
}

/// Denies one request, and closes.
fn answer(config: Arc<rustls::ServerConfig>, mut socket: TcpStream) -> std::io::Result<()> {
    let mut session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte.map(|byte| byte.to_ascii_lowercase()));
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body)?;
    let review: Value = serde_json::from_slice(&body)?;
    let denied = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": { "uid": review["request"]["uid"], "allowed": false,
                      "status": { "message": "images must be signed" } },
    });
    let denied = denied.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{denied}", denied.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digit = |index: usize| char::from(DIGITS[(bits >> (18 - 6 * index)) as usize & 63]);
        (0..4).map(|index| if index <= group.len() { digit(index) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
