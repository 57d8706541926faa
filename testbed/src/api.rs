//! A thin way to ask the API server with plain JSON, and the one way to wait for something. It knows no kinds.

use std::time::{Duration, Instant};

use http::{Method, Request, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use crate::error::TestbedError;

/// How long a poll pauses; short, because the whole start takes seconds.
const POLL: Duration = Duration::from_millis(50);

/// A client for the kubeconfig in the calling runtime, with the retries of `kube` off.
pub(crate) async fn client(kubeconfig: Kubeconfig) -> Result<Client, TestbedError> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Client::try_from(config).map_err(TestbedError::api("make a client"))
}

/// Sends a request with an optional JSON body; returns the body of the answer as text.
pub(crate) async fn text(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<String, TestbedError> {
    let act = format!("{method} {path}");
    let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(bytes)
        .map_err(|error| TestbedError::api(act.clone())(kube::Error::HttpError(error)))?;
    client.request_text(request).await.map_err(TestbedError::api(act))
}

/// Like [`text`], for an answer in JSON.
pub(crate) async fn json(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, TestbedError> {
    let answer = text(client, method.clone(), path, body).await?;
    serde_json::from_str(&answer)
        .map_err(|error| TestbedError::api(format!("{method} {path}"))(kube::Error::SerdeError(error)))
}

/// Asks again and again until `ask` gives something.
///
/// # Errors
/// What `ask` ends with, or [`TestbedError::TimedOut`] with what it saw last.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Asked<T>, TestbedError>,
) -> Result<T, TestbedError> {
    let begun = Instant::now();
    loop {
        let seen = match ask().await? {
            Asked::Done(value) => return Ok(value),
            Asked::NotYet(seen) => seen,
        };
        if begun.elapsed() >= limit {
            return Err(TestbedError::TimedOut {
                what: format!("{what}; last seen: {seen}"),
                waited: limit,
                log: String::new(),
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The answer of one poll of [`until`].
#[derive(Debug)]
pub(crate) enum Asked<T> {
    /// It is so; the wait ends.
    Done(T),
    /// Not yet; what was seen instead, for the message when time is up.
    NotYet(String),
}
