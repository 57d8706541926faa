//! One request and its answer: in its turn, in time, within its size, and with what a refusal means.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::KubeClient;
use super::request::{Parts, Refusal};
use crate::body::{self, BodyError};
use crate::error::{ApiError, ApiStatus};
use crate::pace::Load;

/// How much of an error answer is read.
const REFUSAL_BYTES_MAX: u64 = 1024 * 1024;

impl KubeClient {
    pub(super) async fn json(&self, parts: Parts) -> Result<Value, ApiError> {
        self.decoded(parts).await.map(|(_, value)| value)
    }

    pub(super) async fn decoded<T: DeserializeOwned>(
        &self,
        parts: Parts,
    ) -> Result<(StatusCode, T), ApiError> {
        let call = parts.call.clone();
        let (code, answer) = self.paced(&call, self.bytes(parts)).await?;
        let malformed = |error: serde_json::Error| ApiError::Malformed {
            call,
            reason: format!(
                "{:?} error at byte {} of line {}",
                error.classify(),
                error.column(),
                error.line()
            ),
        };
        serde_json::from_slice(&answer).map(|value| (code, value)).map_err(malformed)
    }

    /// Boxed, or every future around it would hold it, and more than once.
    pub(super) fn bytes(&self, parts: Parts) -> BoxFuture<'_, Result<(StatusCode, Bytes), ApiError>> {
        Box::pin(async move {
            let call = parts.call.clone();
            let answer = self.send(parts).await?;
            let code = answer.status();
            let read = body::collect(answer.into_body(), self.answer_bytes_max).await;
            read.map(|bytes| (code, bytes)).map_err(|error| lost(&call, error, self.answer_bytes_max))
        })
    }

    /// Sends, and turns an error status into an error.
    pub(super) async fn send(&self, parts: Parts) -> Result<Response<Body>, ApiError> {
        match sent(&self.inner, &parts).await {
            Err(error) if error.is_code(403) && parts.refusal == Refusal::Judged => self.judged(&parts).await,
            answer => answer,
        }
    }

    /// What is forbidden is asked for once more after the server has said that it is ready: it may have become so between
    /// the refusal and the question. A refusal has done nothing.
    async fn judged(&self, parts: &Parts) -> Result<Response<Body>, ApiError> {
        self.is_past_its_start(&parts.call).await?;
        sent(&self.inner, parts).await
    }

    /// An API server answers before it has read who may do what, and until then it refuses everything; `/readyz` says when
    /// it has. Where that is not served or not allowed, what everybody may ask tells.
    ///
    /// # Errors
    /// [`ApiError::Starting`].
    pub(super) async fn is_past_its_start(&self, call: &str) -> Result<(), ApiError> {
        for path in ["/readyz", "/api"] {
            let parts = Parts { accept: "*/*", ..Parts::discovery(path) };
            match self.in_time(call, sent(&self.own, &parts)).await {
                Ok(_) => return Ok(()),
                // It says so itself.
                Err(ApiError::Refused { status, .. }) if status.code >= 500 => break,
                Err(_) => {}
            }
        }
        Err(ApiError::Starting { call: call.to_owned() })
    }

    /// In time once its turn has come: all requests but watches, of which there are fewer while the server is overloaded.
    pub(super) async fn paced<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let slot = self.pace.slot().await;
        // Boxed, or every future around it would hold it twice.
        let answer = Box::pin(self.in_time(call, work)).await;
        slot.end(match &answer {
            Err(error) if error.is_code(429) || error.is_code(503) => Load::TooMuch,
            Err(error) if error.status().is_none() => Load::Unknown,
            Ok(_) | Err(_) => Load::Fine,
        });
        answer
    }

    pub(super) async fn in_time<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let after = self.request_timeout;
        let late = |_| ApiError::TimedOut { call: call.to_owned(), after };
        tokio::time::timeout(after, work).await.map_err(late)?
    }
}

/// The answer to one request, once. Boxed, or every future around it would hold it.
fn sent<'a>(client: &'a Client, parts: &'a Parts) -> BoxFuture<'a, Result<Response<Body>, ApiError>> {
    Box::pin(async move {
        let call = || parts.call.clone();
        let answer = client.send(parts.request()?).await.map_err(|error| unreachable(&call(), error))?;
        let code = answer.status();
        if code.is_success() {
            return Ok(answer);
        }
        let text = body::collect(answer.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
        Err(ApiError::Refused { call: call(), status: Box::new(status(code.as_u16(), &text)) })
    })
}

/// What an answer that is no success says. Proxies and unknown paths answer in plain text.
fn status(code: u16, text: &[u8]) -> ApiStatus {
    const TEXT_CHARS_MAX: usize = 300;
    let mut status: ApiStatus = serde_json::from_slice(text).unwrap_or_default();
    status.code = code;
    if status.message.is_empty() && status.reason.is_empty() {
        let text: String = String::from_utf8_lossy(text).trim().chars().take(TEXT_CHARS_MAX).collect();
        status.message = if text.is_empty() { format!("HTTP status {code}") } else { text };
    }
    status
}

fn lost(call: &str, error: BodyError, bytes_max: u64) -> ApiError {
    match error {
        BodyError::TooLarge => ApiError::TooLarge { call: call.to_owned(), bytes_max },
        BodyError::Lost(error) => unreachable(call, error),
    }
}

fn unreachable(call: &str, error: kube::Error) -> ApiError {
    let call = call.to_owned();
    if matches!(error, kube::Error::Auth(_)) {
        return ApiError::Credentials { call, reason: crate::config::login_reason(&error) };
    }
    if let Some(reason) = distrust(&error) {
        return ApiError::Untrusted { call, reason };
    }
    ApiError::Unreachable { call, source: Box::new(error) }
}

/// What is wrong with the certificate of the server, if that is what the error is about.
fn distrust(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(reason.to_string());
        }
        // An I/O error hides what it wraps: its source is that of the inner error.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| -> &(dyn std::error::Error + 'static) { inner }).or(error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_in_plain_text_is_kept_short() {
        let long = "x".repeat(1000);
        assert_eq!(status(404, b"404 page not found").message, "404 page not found");
        assert_eq!(status(502, long.as_bytes()).message.len(), 300);
        assert_eq!(status(502, b"").message, "HTTP status 502");
        assert!(status(404, b"404 page not found").is_unknown_resource());
    }
}
