//! A queue that is told how requests ended.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use eve_core::failure::Failure;
use eve_core::ports::{Notice, Notifier, Receipt};
use serde::Serialize;

use super::message::MESSAGE_VERSION;
use super::{AwsAccess, MESSAGE_BYTES_MAX, failure};

/// Sends each [`Notice`] to a queue, as `{"version": 1, "cluster": "…", "notice": {…}}`. On a FIFO queue the group is the namespace
/// and the key of the notice is what repetitions are known by; on any other, receivers look at the key in the body.
pub struct SqsNotifier {
    client: Client,
    queue_url: String,
    cluster: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    version: u32,
    cluster: &'a str,
    notice: &'a Notice,
}

impl SqsNotifier {
    /// Tells this queue what becomes of the requests of this cluster.
    pub fn new(access: &AwsAccess, queue_url: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self {
            client: access.sqs(std::time::Duration::ZERO),
            queue_url: queue_url.into(),
            cluster: cluster.into(),
        }
    }
}

impl fmt::Debug for SqsNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsNotifier").field("queue_url", &self.queue_url).finish_non_exhaustive()
    }
}

#[async_trait]
impl Notifier for SqsNotifier {
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure> {
        let body = body(&self.cluster, notice)?;
        let ending =
            MessageAttributeValue::builder().data_type("String").string_value(notice.ending.as_str());
        let ending = ending.build().map_err(|error| {
            Failure::misuse("aws.request", format!("an attribute of the answer cannot be built: {error}"))
        })?;
        let mut request = self
            .client
            .send_message()
            .queue_url(&self.queue_url)
            .message_attributes("eve-ending", ending)
            .message_body(body);
        if is_fifo(&self.queue_url) {
            let group = if notice.namespace.is_empty() { "eve" } else { &notice.namespace };
            request = request.message_group_id(group).message_deduplication_id(&notice.key);
        }
        let sent = request.send().await;
        sent.map(|_| Receipt::default()).map_err(|error| failure::of(&error, "the answer queue"))
    }
}

/// The names of FIFO queues, and of no others, end so (SQS, `CreateQueue`).
fn is_fifo(queue_url: &str) -> bool {
    queue_url.strip_suffix(".fifo").is_some()
}

/// The body, with as much of the notice as fits: messages go first, then components, which are counted.
fn body(cluster: &str, notice: &Notice) -> Result<String, Failure> {
    let write = |notice: &Notice| {
        serde_json::to_string(&Answer { version: MESSAGE_VERSION, cluster, notice })
            .map_err(|error| Failure::misuse("aws.notice", format!("the notice is no JSON: {error}")))
    };
    let fits = |text: &String| text.len() <= MESSAGE_BYTES_MAX - 1024;
    let text = write(notice)?;
    if fits(&text) {
        return Ok(text);
    }
    let mut less = notice.clone().bounded();
    less.components.iter_mut().for_each(|component| component.messages.clear());
    let text = write(&less)?;
    if fits(&text) {
        return Ok(text);
    }
    let left_out = u64::try_from(less.components.len()).unwrap_or(u64::MAX);
    less.components_left_out = less.components_left_out.saturating_add(left_out);
    less.components.clear();
    write(&less)
}

#[cfg(test)]
mod tests {
    use eve_core::ports::{ComponentEnd, ComponentNotice, Ending};
    use eve_core::time::Timestamp;

    use super::*;

    #[test]
    fn an_answer_that_is_too_large_loses_its_messages_first() {
        let mut notice = Notice::new("k", Timestamp::EPOCH, Ending::Failed);
        let messages = vec!["\u{1}".repeat(Notice::TEXT_BYTES_MAX); Notice::MESSAGES_MAX];
        let component =
            ComponentNotice { name: "c".into(), state: ComponentEnd::Failed, failure: None, messages };
        notice.components = vec![component; Notice::COMPONENTS_MAX];
        let text = body("east", &notice).unwrap();
        assert!(text.len() < MESSAGE_BYTES_MAX);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["notice"]["components"].as_array().unwrap().len(), Notice::COMPONENTS_MAX);
        assert_eq!(answer["version"], 1);
    }
}
