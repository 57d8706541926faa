//! The webhook.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eve_core::failure::FailureClass;
use eve_core::ports::{Notifier as _, Receipt};
use eve_core::secret::SecretValue;
use eve_core::testing::ManualClock;
use eve_core::testing::canary::Canary;
use eve_core::time::Timestamp;
use eve_queue::{AddressError, WebhookNotifier, WebhookOptions};
use eve_testbed::{Received, Receiver, Reply};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{SHORT, assert_clean, assert_sent_clean, notice};

const KEYS: [[u8; 24]; 2] = [[7; 24], [9; 24]];
/// Only to end a test that would hang.
const PATIENCE: Duration = Duration::from_mins(2);

fn hidden() -> [Canary; 2] {
    KEYS.map(|key| Canary::of(STANDARD.encode(key)))
}

fn notifier(url: &str, now: u64) -> WebhookNotifier {
    within(PATIENCE, url, now)
}

/// One that waits so long for an answer.
fn within(limit: Duration, url: &str, now: u64) -> WebhookNotifier {
    let key = |key: &[u8]| SecretValue::new(format!("whsec_{}", STANDARD.encode(key)));
    let options = WebhookOptions::new(url, "/clusters/east").unwrap().with_limit(limit);
    let options = KEYS.iter().fold(options, |options, bytes| options.signed_with(key(bytes)));
    let clock = ManualClock::new(Timestamp::from_micros(now * 1_000_000));
    WebhookNotifier::new(options, Arc::new(clock)).unwrap()
}

/// What a receiver does that follows Standard Webhooks: with its key, without ours.
fn verifies(request: &Received, key: &[u8], now: u64) -> bool {
    let header = |name| request.header(name).unwrap_or_default();
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    let recent = seconds.parse::<u64>().is_ok_and(|seconds| seconds.abs_diff(now) <= 300);
    recent
        && header("webhook-signature").split(' ').any(|signature| {
            let Some(signature) = signature.strip_prefix("v1,") else { return false };
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(&request.body);
            STANDARD.decode(signature).is_ok_and(|signature| mac.verify_slice(&signature).is_ok())
        })
}

#[tokio::test]
async fn an_event_is_signed_with_both_keys_and_repeated_to_the_byte() {
    let receiver = Receiver::start().await;
    for now in [1_700_000_000, 1_700_090_000] {
        assert_eq!(notifier(&receiver.url("/hook"), now).notify(&notice()).await, Ok(Receipt::default()));
    }
    let requests = receiver.received();
    let [first, second] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(first.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!(first.json()["type"], "dev.eve.run.succeeded");
    assert_eq!(first.json()["data"], serde_json::to_value(notice()).unwrap());
    for key in KEYS {
        assert!(verifies(first, &key, 1_700_000_010), "{first:?}");
    }
    assert!(!verifies(first, &[8; 24], 1_700_000_010), "another key");
    assert!(!verifies(first, &KEYS[0], 1_700_090_000), "H8: replayed later");
    let mut forged = first.clone();
    forged.body.push(b' ');
    assert!(!verifies(&forged, &KEYS[0], 1_700_000_010), "H8: forged");
    assert!(verifies(second, &KEYS[1], 1_700_090_000), "sent again it is signed anew");
    assert_eq!(first.body, second.body, "H2");
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"), "H2");
    assert_sent_clean(hidden(), &requests);
}

#[tokio::test]
async fn each_status_has_its_class_and_is_asked_for_once() {
    use FailureClass::{Permanent, Transient};
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let token = Canary::plain(4);
    let url = receiver.url(&format!("/hook?token={}", token.value()));
    let (patient, short) = (notifier(&url, 1), within(SHORT, &url, 1));
    for (reply, class, code) in [
        (Reply::status(500), Transient, "webhook.status"),
        (Reply::status(429), Transient, "webhook.status"),
        (Reply::status(408), Transient, "webhook.status"),
        (Reply::status(400), Permanent, "webhook.status"),
        (Reply::status(401), Permanent, "webhook.denied"),
        (Reply::status(404), Permanent, "webhook.gone"),
        (Reply::status(410), Permanent, "webhook.gone"),
        (Reply::Redirect(elsewhere.url("/")), Permanent, "webhook.redirect"),
        (Reply::Redirect("http://169.254.169.254/".into()), Permanent, "webhook.redirect"),
        (Reply::Drop, Transient, "http.broken"),
        (Reply::Hang, Transient, "http.timeout"),
    ] {
        let before = receiver.received().len();
        receiver.then(reply.clone());
        let notifier = if code == "http.timeout" { &short } else { &patient };
        let failure = notifier.notify(&notice()).await.unwrap_err();
        assert_eq!((failure.class, &*failure.code), (class, code), "{reply:?}: {failure}");
        assert_clean(&token, &failure);
        for key in hidden() {
            assert_clean(&key, &failure);
        }
        assert_eq!(receiver.received().len(), before + 1, "{reply:?}");
    }
    assert_eq!(elsewhere.received(), []);
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let receiver = Receiver::start().await;
    let notifier = notifier(&receiver.url("/hook"), 1);
    for reply in [Reply::Trickle(Duration::from_secs(1)), Reply::Flood(1 << 30), Reply::CutShort("{}".into())]
    {
        receiver.then(reply.clone());
        assert_eq!(notifier.notify(&notice()).await, Ok(Receipt::default()), "{reply:?}");
    }
    assert_sent_clean(hidden(), &receiver.received());
}

#[tokio::test]
async fn an_address_that_must_not_be_called_is_refused_when_it_is_configured() {
    let refused = |url: &str| WebhookOptions::new(url, "/").map(drop);
    assert_eq!(refused("https://169.254.169.254/latest"), Err(AddressError::LinkLocal));
    assert_eq!(refused("http://hooks.example/"), Err(AddressError::Scheme));
    let options = WebhookOptions::new("https://h.example/", "/").unwrap();
    let key = Canary::plain(5);
    let options = options.signed_with(key.secret());
    let failure = WebhookNotifier::new(options, Arc::new(ManualClock::new(Timestamp::EPOCH))).unwrap_err();
    assert_eq!(failure.code, "webhook.key");
    assert_clean(&key, &failure);
}
