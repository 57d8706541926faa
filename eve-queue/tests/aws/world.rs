//! Queues and a bucket of a test's own on the shared moto.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use eve_core::digest::Digest;
use eve_core::driver::SystemClock;
use eve_core::failure::Failure;
use eve_core::ports::{Content, Delivery, PlanSource};
use eve_core::scheduler::RequestKey;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_queue::aws::{AwsAccess, AwsIdentity, LatePlan, PlanBucket, SqsOptions, SqsSource};
use eve_testbed::Aws;
use serde_json::{Value, json};

pub(crate) const CLUSTER: &str = "east";

pub(crate) struct World {
    pub(crate) aws: &'static Aws,
    pub(crate) admin: Client,
    pub(crate) queue: String,
    pub(crate) dead: String,
    pub(crate) bucket: String,
    http: reqwest::Client,
}

/// Moto takes any key.
pub(crate) fn key() -> Canary {
    Canary::plain(20)
}

pub(crate) fn keys() -> AwsIdentity {
    AwsIdentity::Keys {
        access_key_id: "AKIAEXAMPLE".into(),
        secret_access_key: key().secret(),
        session_token: None,
    }
}

/// A source that is looked through for these whatever it says.
#[derive(Debug)]
pub(crate) struct Watched {
    source: SqsSource,
    canaries: Vec<Canary>,
}

impl Watched {
    pub(crate) fn over(source: SqsSource, canaries: impl IntoIterator<Item = Canary>) -> Self {
        Self { source, canaries: canaries.into_iter().collect() }
    }

    pub(crate) fn take_late(&self) -> Vec<LatePlan> {
        self.source.take_late()
    }

    fn unseen<T: std::fmt::Debug>(&self, end: Result<T, Failure>) -> Result<T, Failure> {
        let mut scan = CanaryScan::new(self.canaries.clone());
        scan.sink("the source, and what it says", format!("{:?} {end:?}", self.source));
        scan.sink("what is stored of it", serde_json::to_vec(&end.as_ref().err()).unwrap());
        scan.assert_clean();
        end
    }
}

#[async_trait]
impl PlanSource for Watched {
    fn expect(&self, accepted: &[RequestKey]) {
        self.source.expect(accepted);
    }

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        self.unseen(self.source.receive().await)
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        self.unseen(self.source.extend(handle, visibility_timeout).await)
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.unseen(self.source.acknowledge(handle).await)
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        self.unseen(self.source.reject(handle, reason).await)
    }
}

pub(crate) fn access_to(endpoint: &str, identity: AwsIdentity) -> AwsAccess {
    let clock = Arc::new(SystemClock::new());
    AwsAccess::new(Aws::REGION, Some(endpoint.to_owned()), identity, clock).unwrap()
}

/// A client that arranges and looks, with no part in what is tested.
pub(crate) fn admin(endpoint: &str) -> Client {
    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(Aws::REGION))
        .endpoint_url(endpoint)
        .http_client(http.build_https())
        .credentials_provider(Credentials::new("admin", "admin", None, None, "test"))
        .build();
    Client::from_conf(config)
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
        let aws = Aws::shared().await;
        let admin = admin(&aws.url());
        let dead = create(&admin, &format!("{name}-dead.fifo"), None).await;
        let arn = format!("arn:aws:sqs:{}:123456789012:{name}-dead.fifo", Aws::REGION);
        let queue = create(&admin, &format!("{name}.fifo"), Some(&arn)).await;
        // The name of a bucket is the world's.
        let bucket = format!("plans-{name}");
        // The provider of TLS is there since the first client of the SDK was made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = Self { aws, admin, queue, dead, bucket, http: reqwest::Client::new() };
        world.s3("PUT", "", "").await;
        world
    }

    /// A request to S3 as somebody, whoever that is; what comes back must be a success.
    pub(crate) async fn s3(&self, method: &str, path: &str, body: &str) -> reqwest::Response {
        let url = format!("{}/{}{path}", self.aws.url(), self.bucket);
        let scope = "AKIAADMIN/20260101/us-east-1/s3/aws4_request";
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let request = self.http.request(method.parse().unwrap(), url).header("authorization", signed);
        let request = request.body(body.to_owned());
        request.send().await.unwrap().error_for_status().unwrap()
    }

    pub(crate) fn options(&self) -> SqsOptions {
        let mut options = SqsOptions::new(&self.queue, &self.dead, CLUSTER);
        options.buckets = vec![PlanBucket { bucket: self.bucket.clone(), prefix: "plans/".into() }];
        options.wait = Duration::from_secs(1);
        options.visibility_timeout = Duration::from_secs(30);
        options.payload_pause = Duration::ZERO;
        options
    }

    pub(crate) fn source(&self) -> Watched {
        self.source_with(self.options())
    }

    pub(crate) fn source_with(&self, options: SqsOptions) -> Watched {
        Watched::over(SqsSource::new(&access_to(&self.aws.url(), keys()), options).unwrap(), [key()])
    }

    pub(crate) async fn send_text(&self, group: &str, text: &str) {
        let id = Digest::of(format!("{group}{text}").as_bytes()).to_string();
        let message = self.admin.send_message().queue_url(&self.queue).message_body(text);
        message.message_group_id(group).message_deduplication_id(id).send().await.unwrap();
    }

    pub(crate) async fn send(&self, group: &str, request: &str, fields: Value) {
        let mut message = json!({ "version": 1, "requestId": request, "cluster": CLUSTER });
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.send_text(group, &message.to_string()).await;
    }

    pub(crate) fn at(&self, key: &str, text: &str) -> Value {
        json!({ "plan": { "bucket": self.bucket, "key": key, "sha256": Digest::of(text.as_bytes()) } })
    }

    /// How many messages wait in the queue, and how many are held.
    pub(crate) async fn counts(&self, queue: &str) -> (u32, u32) {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Waiting, ApproximateNumberOfMessagesNotVisible as Held,
        };
        let asked =
            self.admin.get_queue_attributes().queue_url(queue).attribute_names(Waiting).attribute_names(Held);
        let attributes = asked.send().await.unwrap().attributes.unwrap();
        let count = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap();
        (count(Waiting), count(Held))
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Message> {
        received(&self.admin, &self.dead).await
    }
}

/// Everything that waits in a queue; it is held from then on.
pub(crate) async fn received(admin: &Client, queue: &str) -> Vec<Message> {
    let mut all = Vec::new();
    loop {
        let asked = admin.receive_message().queue_url(queue).max_number_of_messages(10);
        let asked = asked.message_attribute_names("All").message_system_attribute_names("All".into());
        let mut found = asked.send().await.unwrap().messages.unwrap_or_default();
        if found.is_empty() {
            return all;
        }
        for message in &found {
            let delete = admin.delete_message().queue_url(queue);
            delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
        }
        all.append(&mut found);
    }
}

async fn create(admin: &Client, name: &str, dead: Option<&str>) -> String {
    let mut asked = admin
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::FifoQueue, "true")
        .attributes(QueueAttributeName::VisibilityTimeout, "30");
    if let Some(arn) = dead {
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 5 }).to_string();
        asked = asked.attributes(QueueAttributeName::RedrivePolicy, policy);
    }
    asked.send().await.unwrap().queue_url.unwrap()
}

/// How often a source may say that it has nothing before it has what was sent: it may have asked the queue before.
const TRIES: usize = 5;

/// Why a plan cannot be read, yet or because something is wrong with us.
pub(crate) async fn unread(source: &dyn PlanSource, late: impl Fn() -> Vec<LatePlan>) -> Failure {
    for _ in 0..TRIES {
        match (source.receive().await, &*late()) {
            (Err(failure), []) => return failure,
            (Ok(None), [one]) => return one.failure.clone(),
            (Ok(None), []) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("there is no message")
}

pub(crate) async fn next(source: &dyn PlanSource) -> Delivery {
    for _ in 0..TRIES {
        if let Some(delivery) = source.receive().await.unwrap() {
            return delivery;
        }
    }
    panic!("there is no message")
}

pub(crate) fn body(delivery: &Delivery) -> &[u8] {
    let Content::Plan { body, .. } = &delivery.content else { panic!("{delivery:?}") };
    body
}

/// The number of a plan.
pub(crate) fn sequence(delivery: &Delivery) -> Option<u64> {
    let Content::Plan { sequence, .. } = &delivery.content else { panic!("{delivery:?}") };
    *sequence
}

/// Why a delivery can never be dealt with.
pub(crate) fn unusable(delivery: &Delivery) -> &Failure {
    let Content::Unusable { failure } = &delivery.content else { panic!("{delivery:?}") };
    failure
}
