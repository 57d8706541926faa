//! The function as a notifier.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::{Failure, FailureClass};
use eve_core::ports::{Notifier as _, Verdict};
use eve_core::secret::SecretValue;
use eve_core::testing::canary::Canary;
use eve_queue::{FunctionClient, FunctionKeys, FunctionNotifier, KeyFor, KeyMap};
use eve_testbed::{Receiver, Reply};
use serde_json::json;

use crate::{SHORT, assert_clean, assert_sent_clean, notice};

fn key() -> Canary {
    Canary::of(format!("k+/={}", Canary::plain(12).value()))
}

fn notifier(receiver: &Receiver) -> FunctionNotifier {
    let url = receiver.url("/api/done");
    let keys = KeyMap::new().with(&url, key().secret());
    FunctionNotifier::new(FunctionClient::new().unwrap(), url, Arc::new(keys)).unwrap()
}

#[tokio::test]
async fn a_function_is_told_with_its_key_and_one_identity() {
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::json(200, &json!({ "result": "success", "messages": ["thanks"] })));
    let notifier = notifier(&receiver);
    for _ in 0..2 {
        let receipt = notifier.notify(&notice()).await.unwrap();
        assert_eq!((receipt.verdict, receipt.messages), (Some(Verdict::Success), vec!["thanks".to_owned()]));
    }
    let requests = receiver.received();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        let target = format!("/api/done?code=k%2B%2F%3D{}", Canary::plain(12).value());
        assert_eq!((request.method.as_str(), &request.target), ("POST", &target));
        assert_eq!(request.header("idempotency-key"), Some("r-1.outcome"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.json(), serde_json::to_value(notice()).unwrap());
    }
    assert_eq!(requests[0].body, requests[1].body, "H2: the same bytes again");
    assert_sent_clean([key()], &requests);
}

#[tokio::test]
async fn a_valid_answer_is_final_whatever_the_status() {
    let receiver = Receiver::start().await;
    let notifier = notifier(&receiver);
    for (status, word, verdict) in
        [(500, "failed", Verdict::Failed), (404, "noop", Verdict::Noop), (202, "success", Verdict::Success)]
    {
        receiver.then(Reply::json(status, &json!({ "result": word })));
        assert_eq!(notifier.notify(&notice()).await.unwrap().verdict, Some(verdict));
    }
    assert_sent_clean([key()], &receiver.received());
}

#[tokio::test]
async fn whatever_is_no_answer_is_transient_and_is_asked_once() {
    let receiver = Receiver::start().await;
    let (patient, short) = (notifier(&receiver), notifier(&receiver).with_limit(SHORT));
    let elsewhere = Receiver::start().await;
    for (reply, code) in [
        (Reply::status(200), "function.answer"),
        (Reply::Text(200, "<html>".into()), "function.answer"),
        (Reply::status(401), "function.key-refused"),
        (Reply::status(403), "function.key-refused"),
        (Reply::status(503), "function.answer"),
        (Reply::Redirect(elsewhere.url("/")), "function.redirect"),
        (Reply::Drop, "http.broken"),
        (Reply::CutShort(r#"{"result":"success"}"#.into()), "http.broken"),
        (Reply::Hang, "http.timeout"),
        (Reply::Trickle(Duration::from_millis(20)), "http.timeout"),
        (Reply::Flood(1 << 30), "function.answer-too-large"),
        (Reply::After(SHORT * 4, Box::new(Reply::json(200, &json!({"result": "success"})))), "http.timeout"),
    ] {
        let before = receiver.received().len();
        receiver.then(reply.clone());
        let notifier = if code == "http.timeout" { &short } else { &patient };
        let failure = notifier.notify(&notice()).await.unwrap_err();
        assert_eq!((&*failure.code, failure.class), (code, FailureClass::Transient), "{reply:?}: {failure}");
        assert_clean(&key(), &failure);
        assert_eq!(receiver.received().len(), before + 1, "{reply:?}");
    }
    assert_eq!(elsewhere.received(), []);
}

/// A key that somebody has replaced since it was read first.
struct Rotated;

#[async_trait]
impl FunctionKeys for Rotated {
    async fn key(&self, wanted: KeyFor<'_>) -> Result<Option<SecretValue>, Failure> {
        assert!(wanted.run.is_none() && wanted.url.ends_with("/api/done"));
        Ok(Some(key().secret()))
    }

    async fn key_after(&self, _: KeyFor<'_>, refused: &SecretValue) -> Result<Option<SecretValue>, Failure> {
        assert_eq!(refused.expose(), key().value());
        Ok(Some(newer().secret()))
    }
}

fn newer() -> Canary {
    Canary::plain(13)
}

#[tokio::test]
async fn a_refused_key_is_read_again_once_and_the_same_call_made_with_the_newer_one() {
    let receiver = Receiver::start().await;
    let client = FunctionClient::new().unwrap();
    let notifier = FunctionNotifier::new(client, receiver.url("/api/done"), Arc::new(Rotated)).unwrap();
    let echo = [key(), newer()].map(|key| format!("not {}", key.value()));
    receiver.then(Reply::status(401)).then(Reply::json(200, &json!({ "result": "noop", "messages": echo })));
    let receipt = notifier.notify(&notice()).await.unwrap();
    assert_eq!(receipt.messages, ["not ***", "not ***"]);
    let requests = receiver.received();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].target.ends_with(&format!("?code={}", newer().value())), "{requests:?}");
    assert_eq!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));

    receiver.then(Reply::status(403)).then(Reply::status(401));
    let failure = notifier.notify(&notice()).await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("function.key-refused", FailureClass::Transient));
    assert_eq!(receiver.received().len(), 4, "no third time");
    for key in [key(), newer()] {
        assert_clean(&key, &failure);
    }
    // An answer is final, whatever its status.
    receiver.then(Reply::json(403, &json!({ "result": "failed" })));
    assert_eq!(notifier.notify(&notice()).await.unwrap().verdict, Some(Verdict::Failed));
    assert_eq!(receiver.received().len(), 5);
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_transient() {
    let gone = Receiver::start().await;
    let notifier = notifier(&gone);
    drop(gone);
    let failure = notifier.notify(&notice()).await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("http.connect", FailureClass::Transient), "{failure}");
    assert_clean(&key(), &failure);
    let nowhere = FunctionNotifier::new(
        FunctionClient::new().unwrap(),
        "https://no-such-host.invalid/api",
        Arc::new(KeyMap::new()),
    );
    let failure = nowhere.unwrap().with_limit(Duration::from_secs(20)).notify(&notice()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient, "{failure}");
}

#[tokio::test]
async fn a_receiver_without_tls_is_transient() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/api").replace("http:", "https:");
    let client = FunctionClient::new().unwrap();
    let notifier = FunctionNotifier::new(client, url, Arc::new(KeyMap::new())).unwrap().with_limit(SHORT);
    let failure = notifier.notify(&notice()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient, "{failure}");
}
