//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::Metrics;

/// How long an open request may keep the process from ending.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// What is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// For `/readyz`.
    pub health: Arc<Health>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
}

/// Serves until `stop`; answers that were begun are finished, within two seconds.
pub async fn serve(listener: TcpListener, served: Served, stop: CancellationToken) {
    let answering =
        axum::serve(listener, routes(served)).with_graceful_shutdown(stop.clone().cancelled_owned());
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
        .with_state(served)
}

async fn readyz(State(served): State<Served>) -> Response {
    match served.health.readiness() {
        Ok(()) => "ok\n".into_response(),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons + "\n").into_response(),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.metrics.text()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::health::Part;

    async fn get(served: &Served, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = routes(served.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_are_answered() {
        let served = Served { health: Arc::default(), metrics: Arc::default() };
        assert_eq!(get(&served, "/livez").await, (200, "ok\n".into()));
        assert_eq!(get(&served, "/readyz").await.0, 503);
        for part in [Part::Journal, Part::Cluster, Part::Source] {
            served.health.works(part);
        }
        assert_eq!(get(&served, "/readyz").await, (200, "ok\n".into()));
        let (status, text) = get(&served, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("# TYPE eve_runs_live gauge") && text.ends_with("# EOF\n"), "{text}");
        assert_eq!(get(&served, "/").await.0, 404);
    }
}
