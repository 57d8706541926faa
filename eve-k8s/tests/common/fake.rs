//! A scripted service that stands in for the API server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eve_k8s::{KubeClient, KubeExecutor};
use futures::stream::{self, StreamExt};
use http::{Request, Response};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

/// What the server does with a request.
pub(crate) enum Answer {
    Json(u16, Value),
    Text(u16, &'static str),
    /// The lines of a watch, each after a pause.
    Lines(Vec<(u64, Line)>),
    /// Never answers.
    Silence,
    /// Breaks the connection.
    Break,
}

pub(crate) enum Line {
    Event(&'static str, Value),
    Break,
    /// Leaves the connection open and says nothing more.
    Silence,
}

/// `verb path`, and how often it was asked before. The verb of a watch is `watch`.
type Script = dyn Fn(&str, usize, &str) -> Answer + Send + Sync;
pub(crate) type Log = Arc<Mutex<Vec<(String, String)>>>;

pub(crate) struct FakeApi {
    pub(crate) client: KubeClient,
    pub(crate) log: Log,
    pub(crate) open: Arc<AtomicUsize>,
}

/// Counts the watches that are open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

impl FakeApi {
    /// What the server serves it says itself.
    pub(crate) fn new(script: impl Fn(&str, usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        Self::bare(move |asked, before, query| {
            let path = asked.split_once(' ').map_or("", |(_, path)| path);
            discovery(path).unwrap_or_else(|| script(asked, before, query))
        })
    }

    /// Every answer is the script's.
    pub(crate) fn bare(script: impl Fn(&str, usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let (log, open): (Log, Arc<AtomicUsize>) = Default::default();
        let script: Arc<Script> = Arc::new(script);
        let (service_log, service_open) = (Arc::clone(&log), Arc::clone(&open));
        let service = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path().to_owned();
            let query = request.uri().query().unwrap_or_default().to_owned();
            let verb = if query.contains("watch=true") {
                "watch".to_owned()
            } else {
                request.method().as_str().to_lowercase()
            };
            let asked = format!("{verb} {path}");
            let before = {
                let mut log = service_log.lock().unwrap();
                log.push((asked.clone(), query.clone()));
                log.iter().filter(|(known, _)| *known == asked).count() - 1
            };
            let answer = script(&asked, before, &query);
            let open = Arc::clone(&service_open);
            async move { respond(answer, open).await }
        });
        let client = KubeClient::new(kube::Client::new(service, "default"));
        Self { client, log, open }
    }

    pub(crate) fn executor(&self) -> KubeExecutor {
        KubeExecutor::builder(self.client.clone()).build()
    }

    pub(crate) fn asked(&self, verb: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(asked, _)| asked.starts_with(verb)).map(|(_, query)| query.clone()).collect()
    }
}

async fn respond(answer: Answer, open: Arc<AtomicUsize>) -> Result<Response<AnswerBody>, BoxError> {
    let whole = |code: u16, text: String| {
        let frame = Ok(http_body::Frame::data(Bytes::from(text)));
        let body = AnswerBody::new(StreamBody::new(stream::iter([frame])));
        Ok(Response::builder().status(code).header("retry-after", "1000000000").body(body).unwrap())
    };
    match answer {
        Answer::Json(code, value) => whole(code, value.to_string()),
        Answer::Text(code, text) => whole(code, text.to_owned()),
        Answer::Silence => std::future::pending().await,
        Answer::Break => Err("connection reset by peer".into()),
        Answer::Lines(lines) => {
            open.fetch_add(1, Ordering::SeqCst);
            let guard = Open(open);
            let frames = stream::iter(lines).then(move |(pause, line)| {
                let _open = &guard;
                let line = line_of(pause, line);
                async move { line.await.map(|text| http_body::Frame::data(Bytes::from(text))) }
            });
            Ok(Response::new(AnswerBody::new(StreamBody::new(frames))))
        }
    }
}

async fn line_of(pause: u64, line: Line) -> Result<String, BoxError> {
    tokio::time::sleep(Duration::from_secs(pause)).await;
    match line {
        Line::Event(kind, object) => Ok(format!("{}\n", json!({ "type": kind, "object": object }))),
        Line::Break => Err("connection reset by peer".into()),
        Line::Silence => std::future::pending().await,
    }
}

/// What a server that has only these kinds says that it serves.
pub(crate) fn discovery(path: &str) -> Option<Answer> {
    let resource = |kind: &str, plural: &str| {
        json!({ "resource": plural, "responseKind": { "kind": kind }, "scope": "Namespaced",
                "verbs": ["get", "list", "watch", "patch"] })
    };
    let (group, resources) = match path {
        "/api" => ("", vec![resource("ConfigMap", "configmaps"), resource("Secret", "secrets")]),
        "/apis" => {
            ("apps", vec![resource("Deployment", "deployments"), resource("StatefulSet", "statefulsets")])
        }
        _ => return None,
    };
    let versions = json!([{ "version": "v1", "resources": resources }]);
    Some(Answer::Json(200, json!({ "items": [{ "metadata": { "name": group }, "versions": versions }] })))
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({ "kind": "Status", "code": code, "reason": reason, "message": message,
                       "details": { "name": "x", "kind": "configmaps", "retryAfterSeconds": 1_000_000 } });
    Answer::Json(code, body)
}

pub(crate) fn not_found() -> Answer {
    status(404, "NotFound", "not found")
}

/// A Deployment of one replica as the server tells it.
pub(crate) fn deployment(version: u64, available: u64) -> Value {
    json!({
        "metadata": { "name": "web", "uid": "u", "resourceVersion": version.to_string(), "generation": 2 },
        "spec": { "replicas": 1 },
        "status": { "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available },
    })
}

pub(crate) fn list(version: u64, items: &[Value]) -> Answer {
    Answer::Json(200, json!({ "metadata": { "resourceVersion": version.to_string() }, "items": items }))
}

pub(crate) const COLLECTION: &str = "/apis/apps/v1/namespaces/shop/deployments";

/// Answers for Deployments by `script`; of pods and replica sets there are none.
pub(crate) fn deployments(script: impl Fn(&str, usize, &str) -> Answer + Send + Sync + 'static) -> FakeApi {
    FakeApi::new(move |asked, before, query| {
        let (verb, path) = asked.split_once(' ').unwrap();
        match (verb, path.starts_with(COLLECTION)) {
            ("get", true) if path == COLLECTION => script("list", before, query),
            (verb, true) => script(verb, before, query),
            ("watch", false) => Answer::Lines(vec![(0, Line::Silence)]),
            (_, false) => list(1, &[]),
        }
    })
}
