//! What moto never says: throttling, refusals, redirects, bodies that break off or never end.

use std::time::Duration;

use eve_core::digest::Digest;
use eve_core::failure::{Failure, FailureClass};
use eve_core::ports::{PlanSource as _, STALE_HANDLE};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_queue::aws::{PlanBucket, SqsOptions, SqsSource};
use eve_testbed::{Receiver, Reply};
use serde_json::{Value, json};

use crate::world::{CLUSTER, access_to, body, keys, next, unread, unusable};

const LIMIT: Duration = Duration::from_millis(600);

fn source(receiver: &Receiver) -> SqsSource {
    let access = access_to(&receiver.url(""), keys()).with_request_limit(LIMIT);
    let mut options = SqsOptions::new(receiver.url("/1/q.fifo"), receiver.url("/1/dead.fifo"), CLUSTER);
    options.wait = Duration::ZERO;
    options.plan_bytes_max = 100_000;
    options.payload_limit = LIMIT;
    options.payload_tries = 100;
    // Replies are given in the order in which they are prepared.
    options.payloads_at_once = 1;
    options.buckets = vec![PlanBucket { bucket: "plans".into(), prefix: String::new() }];
    SqsSource::new(&access, options).unwrap()
}

/// An answer of SQS with one message.
fn message(text: &str) -> Reply {
    Reply::json(
        200,
        &json!({ "Messages": [{
            "MessageId": "m-1", "ReceiptHandle": "h-1", "Body": text,
            "Attributes": { "ApproximateReceiveCount": "1", "MessageGroupId": "team" },
        }] }),
    )
}

fn plan(text: &str) -> Reply {
    let plan = json!({ "bucket": "plans", "key": "a", "sha256": Digest::of(text.as_bytes()) });
    message(&json!({ "version": 1, "requestId": "r-1", "cluster": CLUSTER, "plan": plan }).to_string())
}

fn error(status: u16, code: &str, text: &str) -> Reply {
    let body: Value = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": text });
    Reply::json(status, &body)
}

/// What a server says that nobody may repeat.
fn said() -> Canary {
    Canary::plain(6)
}

fn assert_clean(failure: &Failure) {
    let mut scan = CanaryScan::new([said()]);
    scan.sink("a failure", format!("{failure} {failure:?}"));
    scan.sink("a stored failure", serde_json::to_vec(failure).unwrap());
    scan.assert_clean();
}

fn s3_error(status: u16, code: &str) -> Reply {
    let text = said();
    let text = text.value();
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{text}</Message></Error>");
    Reply::Headers(status, vec![("x-amz-request-id".into(), "1".into())], text)
}

fn is(failure: &Failure, code: &str, class: FailureClass) {
    assert_eq!((&*failure.code, failure.class), (code, class), "{failure}");
    assert_clean(failure);
}

#[tokio::test]
async fn a17_a18_every_refusal_of_the_queue_has_its_class_and_is_asked_for_once() {
    use FailureClass::{Permanent, Transient};
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let source = source(&receiver);
    for (reply, code, class) in [
        (error(400, "RequestThrottled", said().value()), "aws.throttled", Transient),
        (error(400, "ThrottlingException", ""), "aws.throttled", Transient),
        (error(503, "ServiceUnavailable", ""), "aws.unavailable", Transient),
        (Reply::status(500), "aws.unavailable", Transient),
        (error(403, "AccessDeniedException", said().value()), "aws.denied", Permanent),
        (error(400, "QueueDoesNotExist", ""), "aws.queue", Permanent),
        (
            error(403, "InvalidSignatureException", &format!("the canonical request was {}", said().value())),
            "aws.signature",
            Permanent,
        ),
        (error(403, "RequestTimeTooSkewed", ""), "aws.signature", Permanent),
        (error(403, "ExpiredTokenException", ""), "aws.credentials", Transient),
        (error(403, "UnrecognizedClientException", ""), "aws.credentials", Permanent),
        (Reply::Redirect(elsewhere.url("/")), "aws.redirect", Permanent),
        (Reply::Text(200, format!("<html>{}", said().value())), "aws.answer", Transient),
        (Reply::Drop, "aws.connect", Transient),
        (Reply::Hang, "aws.timeout", Transient),
    ] {
        let before = receiver.received().len();
        receiver.then(reply.clone());
        is(&source.receive().await.unwrap_err(), code, class);
        assert_eq!(receiver.received().len(), before + 1, "{reply:?}");
    }
    assert_eq!(elsewhere.received(), []);
    receiver.then(Reply::json(200, &json!({})));
    assert_eq!(source.receive().await, Ok(None));
}

#[tokio::test]
async fn a4_a5_a6_what_is_held_is_known_to_be_lost_and_what_is_unknown_may_be_said_again() {
    let receiver = Receiver::start().await;
    let source = source(&receiver);
    receiver.then(message(r#"{"version":1,"requestId":"r-1","cluster":"east","inline":"x"}"#));
    let delivery = next(&source).await;
    let extend = async || source.extend(&delivery.handle, LIMIT).await.unwrap_err();
    receiver.then(error(400, "InvalidParameterValue", "Value h-1 for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change."));
    is(&extend().await, STALE_HANDLE, FailureClass::Permanent);
    receiver.then(error(
        400,
        "InvalidParameterValue",
        "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
    ));
    is(&extend().await, "source.held-too-long", FailureClass::Permanent);
    receiver.then(error(400, "MessageNotInflight", ""));
    is(&extend().await, STALE_HANDLE, FailureClass::Permanent);
    receiver.then(error(503, "ServiceUnavailable", ""));
    is(&extend().await, "aws.unavailable", FailureClass::Transient);

    receiver.then(Reply::Drop);
    is(&source.acknowledge(&delivery.handle).await.unwrap_err(), "aws.connect", FailureClass::Transient);
    receiver.then(error(400, "ReceiptHandleIsInvalid", ""));
    is(&source.acknowledge(&delivery.handle).await.unwrap_err(), STALE_HANDLE, FailureClass::Permanent);
    receiver.then(Reply::json(200, &json!({})));
    assert_eq!(source.acknowledge(&delivery.handle).await, Ok(()));
}

#[tokio::test]
async fn a_dead_letter_is_sent_before_the_message_is_deleted_and_known_when_it_is_sent_again() {
    let receiver = Receiver::start().await;
    let source = source(&receiver);
    receiver.then(message(said().value()));
    let delivery = next(&source).await;
    let sent = Reply::json(200, &json!({ "MessageId": "d-1" }));
    receiver.then(error(503, "ServiceUnavailable", ""));
    is(&source.reject(&delivery.handle, "no").await.unwrap_err(), "aws.unavailable", FailureClass::Transient);
    receiver.then(sent.clone()).then(Reply::Drop);
    is(&source.reject(&delivery.handle, "no").await.unwrap_err(), "aws.connect", FailureClass::Transient);
    receiver.then(sent).then(Reply::json(200, &json!({})));
    assert_eq!(source.reject(&delivery.handle, "no").await, Ok(()));
    let requests = receiver.received();
    let did: Vec<_> = requests.iter().filter_map(|request| request.header("x-amz-target")).collect();
    let did: Vec<_> = did.iter().map(|target| target.trim_start_matches("AmazonSQS.")).collect();
    assert_eq!(
        did,
        ["ReceiveMessage", "SendMessage", "SendMessage", "DeleteMessage", "SendMessage", "DeleteMessage"]
    );
    let again: Vec<_> =
        requests.iter().filter_map(|request| request.json().get("MessageDeduplicationId").cloned()).collect();
    assert_eq!(again, ["m-1", "m-1", "m-1"]);
}

#[tokio::test]
async fn a19_a21_every_way_in_which_a_plan_cannot_be_read_is_transient_and_the_message_comes_back() {
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let source = source(&receiver);
    // What the store insists on.
    let tags = || {
        [("etag", "\"1\""), ("last-modified", "Sat, 21 Nov 2026 05:00:00 GMT")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let tag = |reply: Reply| {
        let Reply::Text(status, text) = reply else { return reply };
        Reply::Headers(status, tags().to_vec(), text)
    };
    for (reply, code) in [
        (s3_error(404, "NoSuchKey"), "queue.payload.missing"),
        (s3_error(404, "NoSuchBucket"), "queue.payload.missing"),
        (s3_error(403, "AccessDenied"), "queue.payload.denied"),
        (s3_error(403, "RequestTimeTooSkewed"), "aws.signature"),
        (s3_error(403, "InvalidAccessKeyId"), "aws.credentials"),
        (s3_error(503, "SlowDown"), "aws.throttled"),
        (Reply::status(500), "aws.unavailable"),
        (Reply::Redirect(elsewhere.url("/")), "aws.redirect"),
        (Reply::Drop, "queue.payload.broken"),
        (Reply::Hang, "queue.payload.slow"),
        (Reply::Trickle(Duration::from_millis(50)), "queue.payload.broken"),
        (Reply::CutShort("name: shop".into()), "queue.payload.broken"),
    ] {
        receiver.then(plan("x")).then(tag(reply.clone())).then(Reply::json(200, &json!({})));
        let failure = unread(&source, || source.take_late()).await;
        assert_clean(&failure);
        assert_eq!(failure.class, FailureClass::Transient, "{reply:?}: {failure}");
        let both = [code, "queue.payload.slow", "queue.payload.broken"];
        // Which of several limits is met first by silence is no matter.
        let any = matches!(reply, Reply::Hang | Reply::Trickle(_) | Reply::CutShort(_));
        assert!(failure.code == code || (any && both.contains(&&*failure.code)), "{reply:?}: {failure:?}");
        let last = receiver.received().pop().unwrap();
        assert_eq!(last.header("x-amz-target"), Some("AmazonSQS.ChangeMessageVisibility"), "{reply:?}");
    }
    assert_eq!(elsewhere.received(), []);
    receiver.then(plan("x")).then(tag(Reply::Text(200, "x".into())));
    assert_eq!(body(&next(&source).await), b"x");
    receiver.then(plan("x")).then(tag(Reply::Text(200, "y".repeat(100_001))));
    assert_eq!(unusable(&next(&source).await).code, "queue.payload.too-large");
}
