//! `/livez`, `/readyz`, `/metrics`, and what was not delivered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use eve_core::driver::Order;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::Metrics;
use crate::undelivered::Undelivered;

/// How long an open request may keep the process from ending.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// For `/readyz`.
    pub health: Arc<Health>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/undelivered`.
    pub undelivered: Arc<Undelivered>,
    /// Takes the order to send something again.
    pub orders: mpsc::Sender<Order>,
}

/// Serves until `stop`; answers that were begun are finished, within two seconds.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) {
    let answering = axum::serve(listener, routes(served).into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWER).await;
    };
    tokio::select! {
        ended = answering => {
            if let Err(error) = ended {
                tracing::error!(%error, "health and metrics are no longer served");
            }
        }
        () = too_late => {}
    }
}

fn routes(served: Served) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/undelivered", get(undelivered))
        .route("/undelivered/{request}", post(send_again))
        .with_state(served)
}

/// In one word, or with `?verbose` each part on a line, as Kubernetes answers.
async fn readyz(State(served): State<Served>, RawQuery(query): RawQuery) -> Response {
    let wanted = |name: &str| name.split('=').next() == Some("verbose");
    if query.is_some_and(|query| query.split('&').any(wanted)) {
        return match served.health.detail() {
            Ok(text) => text.into_response(),
            Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
        };
    }
    match served.health.readiness() {
        Ok(()) => "ok\n".into_response(),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons + "\n").into_response(),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.metrics.text()).into_response()
}

async fn undelivered(State(served): State<Served>) -> Response {
    match serde_json::to_string(&served.undelivered.list()) {
        Ok(list) => ([(header::CONTENT_TYPE, "application/json")], list).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// For who is on this machine, `kubectl port-forward` among them: probes are often open to a whole network.
async fn send_again(
    State(served): State<Served>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(request): Path<String>,
) -> (StatusCode, &'static str) {
    if !from.ip().is_loopback() {
        return (StatusCode::FORBIDDEN, "only from the machine of the daemon; use `kubectl port-forward`\n");
    }
    if !served.undelivered.is_of(&request) {
        return (
            StatusCode::NOT_FOUND,
            "every receiver was told the outcome of this request, or it is not known\n",
        );
    }
    match served.orders.try_send(Order::SendAgain { request: request.into() }) {
        Ok(()) => (StatusCode::ACCEPTED, "it is sent again\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment\n"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::http::request::Builder;
    use tower::ServiceExt as _;

    use super::*;
    use crate::health::Part;

    async fn get(served: &Served, path: &str) -> (u16, String) {
        ask(served, Request::get(path), "127.0.0.1:1").await
    }

    async fn ask(served: &Served, request: Builder, from: &str) -> (u16, String) {
        let from: SocketAddr = from.parse().unwrap();
        let request = request.extension(ConnectInfo(from)).body(Body::empty()).unwrap();
        let answer = routes(served.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn served() -> (Served, mpsc::Receiver<Order>) {
        let (orders, taken) = mpsc::channel(1);
        let (health, metrics, undelivered) = (Arc::default(), Arc::default(), Arc::default());
        (Served { health, metrics, undelivered, orders }, taken)
    }

    #[tokio::test]
    async fn probes_are_answered() {
        let (served, _orders) = served();
        assert_eq!(get(&served, "/livez").await, (200, "ok\n".into()));
        assert_eq!(get(&served, "/readyz").await.0, 503);
        for part in [Part::Journal, Part::Cluster, Part::Source] {
            served.health.works(part);
        }
        assert_eq!(get(&served, "/readyz").await, (200, "ok\n".into()));
        let detail = "[+]journal ok\n[+]cluster ok\n[+]source ok\nreadyz check passed\n";
        assert_eq!(get(&served, "/readyz?verbose").await, (200, detail.into()));
        served.health.fails(Part::Cluster, "away");
        let (status, text) = get(&served, "/readyz?verbose=1").await;
        assert!(status == 503 && text.contains("[-]cluster failed: away\n"), "{text}");
        let (status, text) = get(&served, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("# TYPE eve_runs_live gauge") && text.ends_with("# EOF\n"), "{text}");
        assert_eq!(get(&served, "/").await.0, 404);
    }

    #[tokio::test]
    async fn nothing_is_sent_again_for_strangers_or_where_nothing_is_left() {
        let (served, mut orders) = served();
        let again = || Request::post("/undelivered/r-1");
        assert_eq!(ask(&served, again(), "10.0.0.7:1").await.0, 403);
        assert_eq!(ask(&served, again(), "127.0.0.1:1").await.0, 404);
        assert_eq!(ask(&served, Request::get("/undelivered/r-1"), "127.0.0.1:1").await.0, 405);
        assert_eq!(get(&served, "/undelivered").await, (200, "[]".into()));
        assert!(orders.try_recv().is_err());
    }
}
