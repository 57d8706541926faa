//! SQS, S3 and STS: plans from a FIFO queue, answers to another queue, and credentials from outside AWS.
//!
//! ```text
//!   token file ──▶ STS ──▶ AwsCredentials ──▶ SqsSource ──▶ message ──▶ S3 (plan, digest checked)
//!                                        └──▶ SqsNotifier ──▶ answer queue
//! ```
//!
//! Start with [`AwsAccess`]: where AWS is and who we are there. [`SqsSource`] and [`SqsNotifier`] are the ports. `credentials`
//! keeps what it was given and renews it early, `payload` is S3, `failure` says what an error of AWS means.
//! The SDK's own retries are off, as everywhere in eve.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::{
    BehaviorVersion, IdentityCache, Region, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use eve_core::failure::Failure;
use eve_core::ports::Clock;

mod answer;
mod credentials;
mod failure;
mod identity;
mod message;
mod payload;
mod source;
mod token;
mod under_way;

pub use answer::SqsNotifier;
pub use credentials::AwsCredentials;
pub use identity::{AwsIdentity, WebIdentity};
pub use payload::PlanBucket;
pub use source::{LatePlan, SqsOptions, SqsSource};

/// How long a connection to AWS may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a request may take that is answered at once.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// The most bytes of a message, attributes included (SQS, quotas for messages, since August 2025).
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Where AWS is, and who we are there. Cheap to clone; clones share their credentials.
#[derive(Clone)]
pub struct AwsAccess {
    region: String,
    endpoint: Option<String>,
    http: SharedHttpClient,
    credentials: Arc<AwsCredentials>,
    request_limit: Duration,
}

impl AwsAccess {
    /// Access to the AWS of this region, or to one that speaks like it at `endpoint`, which then serves SQS, S3 and STS.
    ///
    /// Nothing is called: credentials are fetched when the first request needs them.
    ///
    /// # Errors
    /// `aws.endpoint`, if it is no address that may be called.
    pub fn new(
        region: impl Into<String>,
        endpoint: Option<String>,
        identity: AwsIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        if let Some(endpoint) = &endpoint {
            crate::address::Address::parse(endpoint).map_err(|error| {
                Failure::misuse("aws.endpoint", format!("the endpoint of AWS cannot be used: {error}"))
            })?;
        }
        let region = region.into();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let place =
            identity::Place { region: region.clone(), endpoint: endpoint.clone(), http: http.clone() };
        let credentials = Arc::new(AwsCredentials::new(identity, place, clock));
        Ok(Self { region, endpoint, http, credentials, request_limit: REQUEST_LIMIT })
    }

    /// The same with another time for requests of SQS that are answered at once; 15 s by default.
    #[must_use]
    pub fn with_request_limit(mut self, limit: Duration) -> Self {
        self.request_limit = limit;
        self
    }

    /// The credentials that all requests share.
    pub const fn credentials(&self) -> &Arc<AwsCredentials> {
        &self.credentials
    }

    /// A client for SQS whose answers may come this late, besides the usual time.
    fn sqs(&self, wait: Duration) -> aws_sdk_sqs::Client {
        let limit = self.request_limit.saturating_add(wait);
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .http_client(self.http.clone())
            .credentials_provider(credentials::Provider(Arc::clone(&self.credentials)))
            // Ours are renewed early, and kept when that fails.
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(limit));
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

impl fmt::Debug for AwsAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsAccess")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

fn timeouts(limit: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).operation_timeout(limit).build()
}
