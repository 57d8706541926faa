//! Webhooks: a receiver that is told how requests ended, with a CloudEvent that is signed.
//!
//! The body is a CloudEvent 1.0 in structured mode (`event`), the signature that of Standard Webhooks (`signature`):
//! `webhook-id` is the key of the notice, the same in every delivery, and so is the body to the byte; `webhook-timestamp` is the
//! time of the delivery. The answer is not read: its status says it all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::{Failure, FailureClass};
use eve_core::ports::{Clock, Notice, Notifier, Receipt};
use eve_core::secret::SecretValue;

use crate::address::{Address, AddressError};
use crate::call::{Caller, Post};

mod event;
mod signature;

/// How long a delivery may take: within the 15 to 30 s that Standard Webhooks recommends at most.
const LIMIT: Duration = Duration::from_secs(10);

/// Where a webhook goes, and how.
#[derive(Clone)]
pub struct WebhookOptions {
    address: Address,
    keys: Vec<SecretValue>,
    source: String,
    limit: Duration,
}

impl WebhookOptions {
    /// A receiver at `url`. `source` says who speaks, as a URI reference: `/clusters/east`. Not signed; 10 s for a delivery.
    ///
    /// # Errors
    /// [`AddressError`], if the address cannot be called.
    pub fn new(url: &str, source: impl Into<String>) -> Result<Self, AddressError> {
        let (address, source) = (Address::parse(url)?, source.into());
        Ok(Self { address, keys: Vec::new(), source, limit: LIMIT })
    }

    /// The same, signed also with this key: `whsec_` and base64, as Standard Webhooks writes it. With two, receivers can go from
    /// one to the other at their own time.
    #[must_use]
    pub fn signed_with(mut self, key: SecretValue) -> Self {
        self.keys.push(key);
        self
    }

    /// The same with another time for a delivery.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions")
            .field("address", &self.address)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// Tells a receiver how requests ended.
#[derive(Clone)]
pub struct WebhookNotifier {
    caller: Caller,
    clock: Arc<dyn Clock>,
    options: WebhookOptions,
    keys: Vec<signature::Key>,
}

impl WebhookNotifier {
    /// A notifier; `clock` gives the time of deliveries, which must be that of the wall.
    ///
    /// # Errors
    /// `webhook.key`, if a key is not one; `http.client`.
    pub fn new(options: WebhookOptions, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let keys = options.keys.iter().map(signature::Key::read).collect::<Option<Vec<_>>>();
        let keys = keys.ok_or_else(|| {
            Failure::misuse("webhook.key", format!("a key for webhook {} cannot be read", options.address))
                .with_hint("a key is `whsec_` and 24 to 64 bytes in base64")
        })?;
        Ok(Self { caller: Caller::new()?, clock, options, keys })
    }
}

impl fmt::Debug for WebhookNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookNotifier").field("options", &self.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Notifier for WebhookNotifier {
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure> {
        let body = event::of(notice, &self.options.source)?;
        let seconds = self.clock.now().as_micros() / 1_000_000;
        let mut headers =
            vec![("webhook-id", notice.key.clone()), ("webhook-timestamp", seconds.to_string())];
        if !self.keys.is_empty() {
            let signed = signature::header(&self.keys, &notice.key, seconds, &body);
            headers.push(("webhook-signature", signed));
        }
        let post = Post {
            url: self.options.address.to_url(None),
            content_type: "application/cloudevents+json; charset=utf-8",
            headers,
            body,
            limit: self.options.limit,
            answer_bytes_max: 0,
        };
        let address = &self.options.address;
        let reply = self.caller.post(post).await.map_err(|failure| {
            let message = format!("webhook {address}: {failure}");
            failure.with_message(message)
        })?;
        judge(address, reply.status)
    }
}

/// What follows from a status: what may pass by itself is transient, what somebody must change is permanent.
fn judge(address: &Address, status: u16) -> Result<Receipt, Failure> {
    let (class, code, hint) = match status {
        200..=299 => return Ok(Receipt::default()),
        408 | 425 | 429 | 500.. => (FailureClass::Transient, "webhook.status", None),
        300..=399 => (
            FailureClass::Permanent,
            "webhook.redirect",
            Some("redirects are not followed: configure the address that it leads to"),
        ),
        401 | 403 => {
            (FailureClass::Permanent, "webhook.denied", Some("look at the key, here and at the receiver"))
        }
        404 | 410 => (FailureClass::Permanent, "webhook.gone", Some("look at the address")),
        _ => (FailureClass::Permanent, "webhook.status", None),
    };
    let failure = Failure::new(class, code, format!("webhook {address} answers {status}"));
    Err(match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_transient_and_what_somebody_must_change_is_permanent() {
        let address = Address::parse("https://h.example/x").unwrap();
        for status in [200, 202, 204] {
            assert_eq!(judge(&address, status), Ok(Receipt::default()));
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(judge(&address, status).unwrap_err().class, FailureClass::Transient, "{status}");
        }
        for status in [301, 307, 400, 401, 403, 404, 410, 413] {
            assert_eq!(judge(&address, status).unwrap_err().class, FailureClass::Permanent, "{status}");
        }
    }
}
