//! Plans that lie in S3: only where the operator says, bounded in size and time, checked against their digest by who asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Failure, FailureClass};
use futures::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore as _, RetryConfig};

use super::message::Location;
use super::{AwsAccess, credentials, failure};
use crate::call::client_builder;

/// With what the codes begin of what is wrong with one plan, and not with S3 or with us.
pub(super) const OF_ONE_PLAN: &str = "queue.payload.";

/// How long nothing may come while a plan is read.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// A bucket that plans may lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanBucket {
    /// Its name.
    pub bucket: String,
    /// With what their keys begin; empty for all of the bucket. `plans/` is not `plans`.
    pub prefix: String,
}

/// Fetches plans.
#[derive(Debug)]
pub(super) struct Payloads {
    buckets: Vec<PlanBucket>,
    stores: BTreeMap<String, AmazonS3>,
    limit: Duration,
    stall_limit: Duration,
    bytes_max: u64,
}

/// Gives every store the one client that follows no redirect.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl Payloads {
    pub(super) fn new(
        access: &AwsAccess,
        buckets: Vec<PlanBucket>,
        limit: Duration,
        bytes_max: u64,
    ) -> Result<Self, Failure> {
        let unusable = |why: String| Failure::misuse("aws.s3", format!("S3 cannot be used: {why}"));
        let stall_limit = STALL_LIMIT.min(limit);
        let client = client_builder().read_timeout(stall_limit).build();
        let client = client.map_err(|error| unusable(error.to_string()))?;
        let mut stores = BTreeMap::new();
        for PlanBucket { bucket, .. } in &buckets {
            let builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region(&access.region)
                .with_credentials(Arc::new(credentials::Provider(Arc::clone(&access.credentials))))
                .with_http_connector(Connector(client.clone()))
                .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
            let builder = match &access.endpoint {
                // Whether it may be http was asked when the access was made.
                Some(endpoint) => builder.with_endpoint(endpoint).with_allow_http(true),
                None => builder,
            };
            stores.insert(bucket.clone(), builder.build().map_err(|error| unusable(error.to_string()))?);
        }
        Ok(Self { buckets, stores, limit, stall_limit, bytes_max })
    }

    /// The bytes that lie there.
    ///
    /// # Errors
    /// Permanent: `queue.payload.location` where plans may not lie, `queue.payload.too-large`. All others may pass: what is sent before it is
    /// stored, what is not allowed yet.
    pub(super) async fn fetch(&self, location: &Location) -> Result<Arc<[u8]>, Failure> {
        let Location { bucket, key, .. } = location;
        let allowed =
            self.buckets.iter().any(|place| place.bucket == *bucket && key.starts_with(&place.prefix));
        let path = Path::parse(key).ok().filter(|path| path.as_ref() == key);
        let (true, Some(store), Some(path)) = (allowed, self.stores.get(bucket), path) else {
            return Err(Failure::permanent(
                "queue.payload.location",
                format!("plans may not lie in {}", shown(location)),
            )
            .with_hint("whoever runs eve says which buckets and prefixes may have plans"));
        };
        tokio::time::timeout(self.limit, self.read(store, &path, location)).await.unwrap_or_else(|_| {
            Err(Failure::transient(
                "queue.payload.slow",
                format!("{} was not there whole within {:?}", shown(location), self.limit),
            ))
        })
    }

    async fn read(&self, store: &AmazonS3, path: &Path, location: &Location) -> Result<Arc<[u8]>, Failure> {
        let too_large = || {
            let message =
                format!("{} is larger than {} bytes, the most that is read", shown(location), self.bytes_max);
            Failure::permanent("queue.payload.too-large", message)
        };
        let options = GetOptions { version: location.version_id.clone(), ..GetOptions::default() };
        let failed = |error: object_store::Error| self.failure(&error, location);
        let found = store.get_opts(path, options).await.map_err(failed)?;
        if found.meta.size > self.bytes_max {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.map_err(failed)?);
            if u64::try_from(bytes.len()).is_ok_and(|length| length > self.bytes_max) {
                return Err(too_large());
            }
        }
        Ok(bytes.into())
    }

    /// What an error of the store means. Its texts hold the answer of S3, of which the code alone is taken.
    fn failure(&self, error: &object_store::Error, location: &Location) -> Failure {
        if let Some(failure) = failure::ours(error) {
            return failure;
        }
        let (text, at) = (error.to_string(), shown(location));
        let code = code(&text);
        match (error, code) {
            (_, "NoSuchBucket") => missing(format!("there is no bucket {}", location.bucket)),
            (_, "NoSuchVersion") => missing(format!("there is no such version of {at}")),
            (object_store::Error::NotFound { .. }, _) => missing(format!("there is no object {at}")),
            (
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. },
                "" | "AccessDenied" | "AllAccessDisabled",
            ) => Failure::transient("queue.payload.denied", format!("{at} may not be read")).with_hint(
                "allow `s3:GetObject` and `s3:GetObjectVersion` on it, and decrypting with its key",
            ),
            _ => match status(&text) {
                Some(status) => {
                    Failure { class: FailureClass::Transient, ..failure::refused("S3", code, status) }
                }
                None => Failure::transient(
                    "queue.payload.broken",
                    format!("{at} cannot be read: {}", self.cause(error)),
                ),
            },
        }
    }

    fn cause(&self, error: &object_store::Error) -> String {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = next {
            if cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
                return format!("S3 did not go on within {:?}", self.stall_limit);
            }
            next = cause.source();
        }
        failure::below(error)
    }
}

fn missing(message: String) -> Failure {
    Failure::transient("queue.payload.missing", message)
}

/// The `Code` of an error document of S3 within a text.
fn code(text: &str) -> &str {
    let after = text.split_once("<Code>").map(|(_, after)| after);
    let code = after.and_then(|after| after.split_once("</Code>")).map_or("", |(code, _)| code);
    if code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) { code } else { "" }
}

/// The status in a text of the store, such as `non-2xx status code: 503 Service Unavailable`.
fn status(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

/// Bucket and key, cut, for people. Keys are no secret.
fn shown(location: &Location) -> String {
    let cut = |text: &str| text.get(..text.floor_char_boundary(200)).unwrap_or_default().to_owned();
    format!("{:?} in bucket {:?}", cut(&location.key), cut(&location.bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_and_the_status_of_an_answer_are_found_in_what_the_store_says() {
        let text = "Generic S3 error: Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code></Error>";
        assert_eq!((code(text), status(text)), ("SlowDown", Some(503)));
        for (none, is) in [("", None), ("<Code>", None), ("<Code>a b</Code>", None), ("status code: x", None)]
        {
            assert_eq!((code(none), status(none)), ("", is), "{none}");
        }
    }
}
