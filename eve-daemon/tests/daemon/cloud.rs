//! AWS as moto plays it: queues, a bucket, and what becomes of them. Spoken to by hand, so that what is tested has no part in it.

use std::sync::atomic::{AtomicU32, Ordering};

use eve_core::digest::Digest;
use eve_testbed::Aws;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::sinks::Taken;

/// The name of the cluster in all messages.
pub(crate) const CLUSTER: &str = "east";
/// The role that the daemon takes on.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/eve";

/// A FIFO queue with its dead letters, a queue for answers, and a bucket.
pub(crate) struct Cloud {
    pub(crate) aws: &'static Aws,
    pub(crate) queue: String,
    pub(crate) dead: String,
    pub(crate) answers: String,
    pub(crate) bucket: String,
    taken: Taken,
    http: Client,
}

impl Cloud {
    pub(crate) async fn new(prefix: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // Whoever makes the first client of this process chooses who does its cryptography.
        eve_k8s::init();
        let mut cloud = Self {
            aws: Aws::shared().await,
            queue: String::new(),
            dead: String::new(),
            answers: String::new(),
            bucket: format!("plans-{name}"),
            taken: Taken::default(),
            http: Client::new(),
        };
        let fifo = json!({ "FifoQueue": "true", "VisibilityTimeout": "30" });
        cloud.dead = cloud.create(&format!("{name}-dead.fifo"), fifo.clone()).await;
        cloud.queue = cloud.create(&format!("{name}.fifo"), fifo).await;
        cloud.answers = cloud.create(&format!("{name}-answers"), json!({})).await;
        cloud.s3(Method::PUT, "", "").await;
        cloud
    }

    async fn create(&self, name: &str, attributes: Value) -> String {
        let answer = self.sqs("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        answer["QueueUrl"].as_str().unwrap().to_owned()
    }

    async fn sqs(&self, action: &str, body: Value) -> Value {
        let request = self.http.post(self.aws.url()).header("x-amz-target", format!("AmazonSQS.{action}"));
        let request = request.header("content-type", "application/x-amz-json-1.0");
        let request = request.header("authorization", signed("sqs")).body(body.to_string());
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{action}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn s3(&self, method: Method, key: &str, body: &str) {
        let request = self.http.request(method, format!("{}/{}{key}", self.aws.url(), self.bucket));
        let request = request.header("authorization", signed("s3")).body(body.to_owned());
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Gives a daemon the token that it comes with, which must then be in nothing that it leaves in a queue.
    pub(crate) fn admit(&self, desk: &Desk, token: &str) {
        desk.give("aws-token", token);
        desk.watch().queues(&self.taken);
    }

    /// Puts a plan into the bucket, and a message that says where it is into the queue.
    pub(crate) async fn send(&self, request: &str, namespace: &str, plan: &str) {
        self.put(request, plan).await;
        self.send_text(namespace, &self.message(request, Digest::of(plan.as_bytes()))).await;
    }

    /// Puts the plan of a request into the bucket.
    pub(crate) async fn put(&self, request: &str, plan: &str) {
        self.s3(Method::PUT, &format!("/plans/{request}.json"), plan).await;
    }

    /// The message that says where the plan of a request is, and that it has this digest.
    pub(crate) fn message(&self, request: &str, digest: Digest) -> String {
        json!({
            "version": 1, "requestId": request, "cluster": CLUSTER,
            "plan": { "bucket": self.bucket, "key": format!("plans/{request}.json"), "sha256": digest },
        })
        .to_string()
    }

    /// Puts a text into the queue, and returns the identifier of its message.
    pub(crate) async fn send_text(&self, group: &str, text: &str) -> String {
        self.send_to(&self.queue, group, text).await
    }

    /// The same into any queue; one that is not FIFO has no groups.
    pub(crate) async fn send_to(&self, queue: &str, group: &str, text: &str) -> String {
        let mut body = json!({ "QueueUrl": queue, "MessageBody": text });
        if queue.split('.').next_back() == Some("fifo") {
            body["MessageGroupId"] = json!(group);
            body["MessageDeduplicationId"] = json!(Digest::of(text.as_bytes()));
        }
        self.sqs("SendMessage", body).await["MessageId"].as_str().unwrap().to_owned()
    }

    /// How many messages of a queue wait or are held.
    pub(crate) async fn left(&self, queue: &str) -> u32 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({ "QueueUrl": queue, "AttributeNames": names });
        let attributes = self.sqs("GetQueueAttributes", asked).await["Attributes"].clone();
        names.iter().map(|name| attributes[name].as_str().unwrap().parse::<u32>().unwrap()).sum()
    }

    /// Takes everything that waits out of a queue.
    pub(crate) async fn take_all(&self, queue: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let asked =
                json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"] });
            let found = self.sqs("ReceiveMessage", asked).await;
            let Some(messages) = found["Messages"].as_array().filter(|found| !found.is_empty()) else {
                return all;
            };
            for message in messages {
                let handle = &message["ReceiptHandle"];
                self.sqs("DeleteMessage", json!({ "QueueUrl": queue, "ReceiptHandle": handle })).await;
            }
            let name = queue.rsplit('/').next().unwrap_or_default();
            let named = messages.iter().map(|message| (name.to_owned(), message.clone()));
            self.taken.lock().unwrap().extend(named);
            all.extend(messages.iter().cloned());
        }
    }

    /// The part of a configuration that says where plans come from, the token being in the file `aws-token`.
    pub(crate) fn source(&self) -> String {
        format!(
            "cluster: {CLUSTER}
source:
  sqs:
    queueUrl: {}
    deadLetterQueueUrl: {}
    outcomeQueueUrl: {}
    region: {}
    endpoint: {}
    visibilityTimeout: 30s
    wait: 1s
    buckets: [{{ name: {}, prefix: plans/ }}]
    credentials:
      webIdentity: {{ roleArn: '{ROLE}', tokenFile: aws-token }}
",
            self.queue,
            self.dead,
            self.answers,
            Aws::REGION,
            self.aws.url(),
            self.bucket
        )
    }
}

/// What moto takes for a signature.
fn signed(service: &str) -> String {
    let scope = format!("AKIAADMIN/20260101/{}/{service}/aws4_request", Aws::REGION);
    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
}
