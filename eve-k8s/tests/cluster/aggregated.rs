//! API services, behind which another server stands.

use std::io::{Read as _, Write as _};
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
use crate::{client, deploy, meta, workload};

/// Answers every TLS connection on loopback as an aggregated API server answers when it is asked whether it is there;
/// gives back its port. Ends with the process.
fn responder() -> u16 {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
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

fn answer(config: Arc<rustls::ServerConfig>, mut socket: std::net::TcpStream) -> std::io::Result<()> {
    let mut session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let body =
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "answered.example.com/v1",
                       "resources": [] })
        .to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    stream.conn.send_close_notify();
    stream.flush()
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
            "service": { "namespace": namespace.name(), "name": "answering", "port": responder() },
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
