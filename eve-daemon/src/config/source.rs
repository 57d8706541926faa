//! Where plans come from: a directory, or a queue of SQS with S3 behind it.

use std::path::PathBuf;

use eve_core::plan::spec::DurationSpec;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where plans come from: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceConfig {
    /// A directory: files are plans, outcomes are written beside them.
    pub directory: Option<DirectoryConfig>,
    /// An SQS FIFO queue whose messages carry plans or say where in S3 they are.
    pub sqs: Option<SqsConfig>,
}

/// A directory as source of plans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The directory; relative to the configuration file. It is made if it is missing.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
}

/// An SQS FIFO queue as source of plans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SqsConfig {
    /// The URL of the FIFO queue.
    #[schemars(length(min = 1, max = 2048))]
    pub queue_url: String,
    /// The URL of the dead-letter queue, where plans that can never be run are put with the reason.
    #[schemars(length(min = 1, max = 2048))]
    pub dead_letter_queue_url: String,
    /// The URL of a queue that is told outcomes.
    #[schemars(length(min = 1, max = 2048))]
    pub outcome_queue_url: Option<String>,
    /// The region of the queues and of S3.
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// The endpoint of SQS, S3 and STS, where they are not AWS's own.
    #[schemars(length(min = 1, max = 2048))]
    pub endpoint: Option<String>,
    /// How the daemon shows who it is: by default what the AWS SDK finds.
    pub credentials: Option<CredentialsConfig>,
    /// The buckets of S3 that plans may lie in. Without any, only plans within messages are taken.
    #[serde(default)]
    pub buckets: Vec<BucketConfig>,
    /// For how long a message is kept from others, again and again while its plan is in hand; so long it takes until a plan
    /// goes on whose daemon died. By default 5 minutes.
    pub visibility_timeout: Option<DurationSpec>,
    /// How long one request waits for a message, at most 20 seconds, which is the default.
    pub wait: Option<DurationSpec>,
}

/// A bucket of S3 that plans may lie in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketConfig {
    /// Its name.
    #[schemars(length(min = 3, max = 63))]
    pub name: String,
    /// With what the keys of plans begin; by default anything.
    #[serde(default)]
    pub prefix: String,
}

/// How the daemon shows AWS who it is: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsConfig {
    /// A token of the cluster is exchanged for credentials of a role, from outside AWS as well.
    pub web_identity: Option<WebIdentityConfig>,
    /// A file with a key that does not change.
    pub key_file: Option<KeyFileConfig>,
}

/// A token of the cluster, exchanged for credentials of a role.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebIdentityConfig {
    /// The ARN of the role.
    #[schemars(length(min = 20, max = 2048))]
    pub role_arn: String,
    /// The file with the token, read again whenever it is needed.
    #[schemars(length(min = 1))]
    pub token_file: PathBuf,
}

/// A file with a key that does not change: its first line is the key's identifier, its second the key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyFileConfig {
    /// The file.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
}
