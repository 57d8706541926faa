//! Plans from an SQS FIFO queue: one message at a time, each settled for itself.
//!
//! Plans travel in the group of their namespace, requests to stop one in `cancel/NAMESPACE`: a FIFO queue hands out nothing of
//! a group while one of it is held. What can never be dealt with is delivered as such, so that somebody is told, and
//! goes to the dead-letter queue with its reason when it is rejected.
//!
//! Plans are read beside each other and beside the next message (`under_way`): one that is not there, or comes slowly, holds up
//! no other.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{Message as Sent, MessageAttributeValue, MessageSystemAttributeName};
use eve_core::digest::Digest;
use eve_core::failure::{Failure, FailureClass, shortened};
use eve_core::ports::{Content, Delivery, Named, PlanSource, STALE_HANDLE};
use eve_core::scheduler::RequestKey;

use super::message::{Asks, Message, right_digest};
use super::payload::{OF_ONE_PLAN, Payloads, PlanBucket};
use super::under_way::{Step, UnderWay};
use super::{AwsAccess, MESSAGE_BYTES_MAX, failure};

/// The longest that SQS keeps a message from others, in seconds (SQS, `ChangeMessageVisibility`).
const VISIBILITY_MAX_S: u64 = 43_200;

/// Which queue, for which cluster, and where its plans lie.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqsOptions {
    /// The URL of the FIFO queue.
    pub queue_url: String,
    /// The URL of the FIFO queue that takes what can never be dealt with.
    pub dead_letter_queue_url: String,
    /// Which cluster this is: messages for others are refused.
    pub cluster: String,
    /// Where plans may lie. Without any, only plans within messages are taken.
    pub buckets: Vec<PlanBucket>,
    /// How long `receive` waits for a message: at most 20 s, which is the default.
    pub wait: Duration,
    /// For how long a message is held when it is received. 5 min by default.
    pub visibility_timeout: Duration,
    /// The largest plan, in bytes. 16 MiB by default.
    pub plan_bytes_max: u64,
    /// How long a plan may take to be read. 1 min by default.
    pub payload_limit: Duration,
    /// How often a message is received before a plan that is not there, or may not be read, is given up: less than the queue's
    /// `maxReceiveCount`, or it is moved without a reason. 4 by default.
    pub payload_tries: u32,
    /// How long a message is left alone when its plan could not be read; doubled each time. 5 s by default.
    pub payload_pause: Duration,
    /// How many plans are read beside each other. While so many are read no further message is received. 4 by default.
    pub payloads_at_once: usize,
}

impl SqsOptions {
    /// The queues of this cluster.
    pub fn new(
        queue_url: impl Into<String>,
        dead_letter_queue_url: impl Into<String>,
        cluster: impl Into<String>,
    ) -> Self {
        Self {
            queue_url: queue_url.into(),
            dead_letter_queue_url: dead_letter_queue_url.into(),
            cluster: cluster.into(),
            buckets: Vec::new(),
            wait: Duration::from_secs(20),
            visibility_timeout: Duration::from_mins(5),
            plan_bytes_max: 16 << 20,
            payload_limit: Duration::from_mins(1),
            payload_tries: 4,
            payload_pause: Duration::from_secs(5),
            payloads_at_once: 4,
        }
    }
}

/// A message whose plan cannot be read yet; the queue delivers it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatePlan {
    /// The request.
    pub request: Arc<str>,
    /// Why.
    pub failure: Failure,
}

/// The most plans that are remembered as late.
const LATE_MAX: usize = 100;

/// A queue of plans.
pub struct SqsSource {
    queue: Arc<Queue>,
    held: Mutex<BTreeMap<Arc<str>, Held>>,
    under_way: tokio::sync::Mutex<UnderWay>,
    late: Mutex<Vec<LatePlan>>,
}

/// The queue and the buckets, for whoever asks them.
pub(super) struct Queue {
    options: SqsOptions,
    waiting: Client,
    client: Client,
    payloads: Payloads,
}

/// A message that was received, and what it asks for.
#[derive(Debug)]
pub(super) struct Read {
    handle: Arc<str>,
    name: String,
    group: Arc<str>,
    receive_count: u32,
    body: String,
    opened: Opened,
}

/// Why a message cannot be dealt with yet.
#[derive(Debug)]
pub(super) enum Unread {
    /// Something is wrong with us, or with the queue.
    Source(Failure),
    /// Something is wrong with this one.
    Late(LatePlan),
}

/// What is needed to move a message to the dead-letter queue.
#[derive(Debug)]
struct Held {
    message: String,
    group: Arc<str>,
    body: String,
}

impl SqsSource {
    /// The queue of these options. Nothing is called.
    ///
    /// # Errors
    /// `aws.s3` when a bucket cannot be used, `http.client`.
    pub fn new(access: &AwsAccess, options: SqsOptions) -> Result<Self, Failure> {
        let payloads =
            Payloads::new(access, options.buckets.clone(), options.payload_limit, options.plan_bytes_max)?;
        let queue = Queue {
            // An answer comes after the wait, of whole seconds, at the latest, and then takes as long as any other.
            waiting: access.sqs(options.wait.saturating_add(Duration::from_secs(1))),
            client: access.sqs(Duration::ZERO),
            options,
            payloads,
        };
        Ok(Self {
            queue: Arc::new(queue),
            held: Mutex::default(),
            under_way: tokio::sync::Mutex::default(),
            late: Mutex::default(),
        })
    }

    /// Plans that could not be read since this was asked last; at most 100.
    pub fn take_late(&self) -> Vec<LatePlan> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Held>> {
        // Every change is one insert or remove: a panic leaves the map whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, read: Read) -> Delivery {
        let Read { handle, name, group, receive_count, body, opened } = read;
        let Opened { request, digest, content } = opened;
        let mut held = self.held();
        // The same message under an older handle is not held any more.
        held.retain(|_, other| other.message != name);
        held.insert(Arc::clone(&handle), Held { message: name, group: Arc::clone(&group), body });
        Delivery { handle, request, named: Named::BySender, digest, group, receive_count, content }
    }

    /// Forgets what is no longer held under a handle.
    fn forget_stale(&self, handle: &str, result: Result<(), Failure>) -> Result<(), Failure> {
        if result.as_ref().map_or_else(|failure| failure.code == STALE_HANDLE, |()| true) {
            self.held().remove(handle);
        }
        result
    }

    async fn delete(&self, handle: &str) -> Result<(), Failure> {
        let deleted = self
            .queue
            .client
            .delete_message()
            .queue_url(&self.queue.options.queue_url)
            .receipt_handle(handle)
            .send()
            .await;
        self.forget_stale(handle, deleted.map(drop).map_err(|error| settled(&error)))
    }
}

impl Queue {
    pub(super) async fn next(&self) -> Result<Option<Sent>, Failure> {
        let answer = self
            .waiting
            .receive_message()
            .queue_url(&self.options.queue_url)
            .max_number_of_messages(1)
            .wait_time_seconds(whole_seconds(self.options.wait.min(Duration::from_secs(20))))
            .visibility_timeout(whole_seconds(self.options.visibility_timeout))
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| failure::of(&error, "SQS"))?;
        Ok(answer.messages.unwrap_or_default().into_iter().next())
    }

    /// What a message asks for, with its plan.
    async fn open(&self, body: &str, name: &str, receive_count: u32) -> Result<Opened, Unread> {
        let whole = Digest::of(body.as_bytes());
        let message = match Message::read(body, &self.options.cluster) {
            Ok(message) => message,
            Err(unusable) => {
                let request = unusable.request.unwrap_or_else(|| name.into());
                return Ok(Opened {
                    request,
                    digest: whole,
                    content: Content::Unusable { failure: unusable.failure },
                });
            }
        };
        let Message { request, asks, sequence } = message;
        let (digest, content) = match asks {
            Asks::Inline(body) => (Digest::of(&body), Content::Plan { body, sequence }),
            Asks::Stop(stop) => (whole, Content::Stop { mode: stop.mode(), request: stop.request_id.into() }),
            Asks::Fetch(location) => {
                let fetched = self.payloads.fetch(&location).await;
                match fetched.and_then(|body| right_digest(location.sha256, &body).map(|()| body)) {
                    Ok(body) => (location.sha256, Content::Plan { body, sequence }),
                    Err(failure) => {
                        let last = receive_count >= self.options.payload_tries;
                        // What is wrong with us, not with the plan, is no reason to give the plan up.
                        let of_plan = failure.code.starts_with(OF_ONE_PLAN);
                        if failure.class == FailureClass::Transient && !of_plan {
                            return Err(Unread::Source(failure));
                        }
                        if failure.class == FailureClass::Transient && !last {
                            return Err(Unread::Late(LatePlan { request, failure }));
                        }
                        let failure = Failure { class: FailureClass::Permanent, ..failure };
                        (location.sha256, Content::Unusable { failure })
                    }
                }
            }
        };
        Ok(Opened { request, digest, content })
    }

    /// Reads what was received. A message that cannot be dealt with yet is left alone for a while.
    pub(super) async fn read(&self, sent: Sent) -> Result<Read, Unread> {
        let attribute = |name| sent.attributes.as_ref().and_then(|all| all.get(&name)).cloned();
        let receive_count = attribute(MessageSystemAttributeName::ApproximateReceiveCount);
        let receive_count = receive_count.and_then(|count| count.parse().ok()).unwrap_or(1).max(1);
        let group = attribute(MessageSystemAttributeName::MessageGroupId).unwrap_or_default().into();
        let (Some(handle), Some(name)) = (sent.receipt_handle, sent.message_id) else {
            let message = "SQS hands out a message without a handle";
            return Err(Unread::Source(Failure::transient("aws.answer", message)));
        };
        let (handle, body): (Arc<str>, String) = (handle.into(), sent.body.unwrap_or_default());
        match self.open(&body, &name, receive_count).await {
            Ok(opened) => Ok(Read { handle, name, group, receive_count, body, opened }),
            Err(unread) => {
                let doublings = receive_count.saturating_sub(1).min(10);
                let pause = self.options.payload_pause.saturating_mul(1 << doublings);
                // If this fails it comes back all the same, only later.
                let _ = self.change_visibility(&handle, pause).await;
                Err(unread)
            }
        }
    }

    async fn change_visibility(&self, handle: &str, timeout: Duration) -> Result<(), Failure> {
        let changed = self
            .client
            .change_message_visibility()
            .queue_url(&self.options.queue_url)
            .receipt_handle(handle)
            .visibility_timeout(whole_seconds(timeout))
            .send()
            .await;
        changed.map(drop).map_err(|error| settled(&error))
    }
}

#[derive(Debug)]
struct Opened {
    request: Arc<str>,
    digest: Digest,
    content: Content,
}

impl fmt::Debug for SqsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsSource").field("options", &self.queue.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl PlanSource for SqsSource {
    /// Nobody can ask a queue what it still has.
    fn expect(&self, _: &[RequestKey]) {}

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        // What is dropped here is only the waiting: a step that is under way goes on, and is there for whoever comes next.
        let mut under_way = self.under_way.lock().await;
        loop {
            match under_way.next(&self.queue, self.queue.options.payloads_at_once).await? {
                Step::NoMessage => return Ok(None),
                Step::Reading => {}
                Step::Read(Ok(read)) => return Ok(Some(self.hand_out(read))),
                Step::Read(Err(Unread::Source(failure))) => return Err(failure),
                Step::Read(Err(Unread::Late(late))) => {
                    let mut all = self.late.lock().unwrap_or_else(PoisonError::into_inner);
                    if all.len() < LATE_MAX {
                        all.push(late);
                    }
                    // Whoever asks for it is to hear of it before the next wait.
                    return Ok(None);
                }
            }
        }
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        let result = self.queue.change_visibility(handle, visibility_timeout).await;
        if result.as_ref().is_err_and(|failure| failure.code == STALE_HANDLE) {
            self.held().remove(handle);
        }
        result
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.delete(handle).await
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        let letter = self.held().get(handle).map(|held| Letter::new(held, reason));
        let Some(letter) = letter else { return Err(stale()) };
        let text = |text: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(text).build().map_err(|error| {
                Failure::misuse(
                    "aws.request",
                    format!("an attribute of the dead letter cannot be built: {error}"),
                )
            })
        };
        let sent = self
            .queue
            .client
            .send_message()
            .queue_url(&self.queue.options.dead_letter_queue_url)
            .message_group_id(&letter.group)
            // Sent twice within five minutes, when the deletion below fails, it arrives once.
            .message_deduplication_id(&letter.message)
            .message_attributes("eve-reason", text(&letter.reason)?)
            .message_attributes("eve-message-id", text(&letter.message)?)
            .message_body(letter.body)
            .send()
            .await;
        sent.map_err(|error| failure::of(&error, "the dead-letter queue"))?;
        self.delete(handle).await
    }
}

/// A message as the dead-letter queue takes it.
struct Letter {
    message: String,
    group: String,
    reason: String,
    body: String,
}

impl Letter {
    fn new(held: &Held, reason: &str) -> Self {
        // Attributes hold what XML can hold, and must not be empty (SQS, `SendMessage`).
        let reason: String = reason
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .filter(|char| !matches!(char, '\u{fffe}' | '\u{ffff}'))
            .collect();
        let reason = shortened(reason, Failure::MESSAGE_BYTES_MAX);
        let reason = if reason.trim().is_empty() { "no reason was given".to_owned() } else { reason };
        let group = if held.group.is_empty() { "eve".to_owned() } else { held.group.to_string() };
        let room = MESSAGE_BYTES_MAX - Failure::MESSAGE_BYTES_MAX - 4096;
        let body = if held.body.is_empty() {
            "(the message was empty)".to_owned()
        } else if held.body.len() > room {
            let kept = held.body.get(..held.body.floor_char_boundary(1024)).unwrap_or_default();
            let (bytes, digest) = (held.body.len(), Digest::of(held.body.as_bytes()));
            format!("(the first 1024 of {bytes} bytes with the SHA-256 {digest})\n{kept}")
        } else {
            held.body.clone()
        };
        Self { message: held.message.clone(), group, reason, body }
    }
}

/// What an error about a held message means.
fn settled<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let found = error.as_service_error();
    let code = found.and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let message = found.and_then(ProvideErrorMetadata::message).unwrap_or_default();
    let is = |name: &str| code.rsplit(['.', '#']).next() == Some(name);
    if is("InvalidParameterValue") && (message.contains("maximum") || message.contains("43200")) {
        return Failure::permanent(
            "source.held-too-long",
            "SQS keeps a message from others for 12 hours at most",
        );
    }
    let gone = is("InvalidParameterValue")
        && (message.contains("does not exist") || message.contains("not available"));
    if gone || is("ReceiptHandleIsInvalid") || is("MessageNotInflight") {
        return stale();
    }
    failure::of(error, "SQS")
}

fn stale() -> Failure {
    Failure::permanent(STALE_HANDLE, "the message is no longer held under this handle")
}

fn whole_seconds(duration: Duration) -> i32 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(up.min(VISIBILITY_MAX_S)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(body: &str) -> Held {
        Held { message: "m".into(), group: "team".into(), body: body.into() }
    }

    #[test]
    fn a_dead_letter_is_whole_where_it_fits_and_says_so_where_it_does_not() {
        let letter = Letter::new(&held("body"), "no\nway");
        assert_eq!((letter.body.as_str(), letter.reason.as_str()), ("body", "no way"));
        let letter = Letter::new(&held(&"ä".repeat(MESSAGE_BYTES_MAX / 2)), &"ä".repeat(9999));
        assert!(letter.body.len() < 2048, "{}", letter.body.len());
        assert!(letter.reason.len() <= Failure::MESSAGE_BYTES_MAX && letter.reason.ends_with("ä …"));
        assert!(letter.body.starts_with("(the first 1024 of 1048576 bytes"), "{:.80}", letter.body);
        let letter = Letter::new(&Held { group: "".into(), ..held("") }, " ");
        assert!(!letter.body.is_empty() && !letter.reason.trim().is_empty() && !letter.group.is_empty());
    }

    #[test]
    fn times_are_rounded_up_to_seconds_that_sqs_takes() {
        for (millis, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (100_000_000, 43_200)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
