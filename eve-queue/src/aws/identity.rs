//! Who we are for AWS, and how credentials are had for it. Fetches once; `credentials` decides when.

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_sqs::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_sts::error::ProvideErrorMetadata as _;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use eve_core::failure::{Failure, FailureClass};
use eve_core::secret::SecretValue;

use super::{REQUEST_LIMIT, failure, timeouts, token};

/// The most bytes of a token file: STS takes tokens of 20,000 characters (`AssumeRoleWithWebIdentity`, API reference).
const TOKEN_BYTES_MAX: u64 = 20_000;

/// Who we are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AwsIdentity {
    /// Whoever a token in a file says, in a role: the way for a cluster outside AWS. Nothing secret lies at rest.
    WebIdentity(WebIdentity),
    /// A user with keys that do not change.
    Keys {
        /// `AKIA…`.
        access_key_id: String,
        /// Its secret.
        secret_access_key: SecretValue,
        /// For temporary ones.
        session_token: Option<SecretValue>,
    },
    /// Whatever the SDK finds: environment, profiles (with `credential_process`, so IAM Roles Anywhere too), containers,
    /// machines.
    Chain,
}

/// A role that is assumed with a token from a file, such as a projected service account token.
#[derive(Clone, Debug)]
pub struct WebIdentity {
    /// `arn:aws:iam::…:role/…`.
    pub role_arn: String,
    /// Read again each time, since it is renewed by others.
    pub token_file: PathBuf,
    /// Stands in the logs of AWS: 2 to 64 letters, digits and `_=,.@-`.
    pub session_name: String,
    /// How long credentials are to last: 15 min to 12 h, as far as the role allows.
    pub lasts: Duration,
}

/// Where they are had.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) http: SharedHttpClient,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("region", &self.region).finish_non_exhaustive()
    }
}

impl AwsIdentity {
    /// Fetches credentials, once.
    pub(super) async fn fetch(&self, place: &Place) -> Result<Credentials, Failure> {
        match self {
            Self::WebIdentity(identity) => identity.fetch(place).await,
            Self::Keys { access_key_id, secret_access_key, session_token } => Ok(Credentials::new(
                access_key_id,
                secret_access_key.expose(),
                session_token.as_ref().map(|token| token.expose().to_owned()),
                None,
                "eve",
            )),
            Self::Chain => chain(place).await,
        }
    }
}

async fn chain(place: &Place) -> Result<Credentials, Failure> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(place.region.clone()))
        .http_client(place.http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(REQUEST_LIMIT));
    let loader = match &place.endpoint {
        Some(endpoint) => loader.endpoint_url(endpoint),
        None => loader,
    };
    let config = loader.load().await;
    let none = || {
        Failure::transient("aws.credentials", "the SDK's chain finds no credentials for AWS").with_hint(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with AWS_PROFILE, or configure a web identity",
        )
    };
    let provider = config.credentials_provider().ok_or_else(none)?;
    // What it says may repeat what it read.
    provider.provide_credentials().await.map_err(|_| none())
}

impl WebIdentity {
    async fn fetch(&self, place: &Place) -> Result<Credentials, Failure> {
        let token = self.read_token().await?;
        let mut config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(place.region.clone()))
            .http_client(place.http.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(REQUEST_LIMIT));
        config.set_endpoint_url(place.endpoint.clone());
        let seconds = i32::try_from(self.lasts.as_secs()).unwrap_or(i32::MAX);
        let answer = aws_sdk_sts::Client::from_conf(config.build())
            .assume_role_with_web_identity()
            .role_arn(&self.role_arn)
            .role_session_name(&self.session_name)
            .web_identity_token(token.expose())
            .duration_seconds(seconds)
            .send()
            .await
            .map_err(|error| self.refused(&error, &token))?;
        let credentials = answer
            .credentials
            .ok_or_else(|| Failure::transient("aws.sts", "STS answers without credentials"))?;
        let expiry = std::time::SystemTime::try_from(credentials.expiration).map_err(|_| {
            Failure::transient("aws.sts", "STS answers with credentials that end at no time of this calendar")
        })?;
        Ok(Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key,
            Some(credentials.session_token),
            Some(expiry),
            "eve",
        ))
    }

    /// The token as the file has it now. Whoever renews it may not have come to it yet, so that all of this may pass.
    async fn read_token(&self) -> Result<SecretValue, Failure> {
        let path = self.token_file.clone();
        let what = format!("the web identity token {} for the role {}", path.display(), self.role_arn);
        let unusable = |why: String| {
            Failure::transient("aws.token", format!("{what} cannot be used: {why}"))
                .with_hint("is the token projected into this pod, with the audience `sts.amazonaws.com`?")
        };
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            std::fs::File::open(path)?.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text).map(|_| text)
        });
        let text = read
            .await
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|error| unusable(error.to_string()))?;
        let token = text.trim();
        match token.len() {
            0 => Err(unusable("it is empty".to_owned())),
            length if u64::try_from(length).is_ok_and(|length| length > TOKEN_BYTES_MAX) => {
                Err(unusable(format!("it is longer than {TOKEN_BYTES_MAX} bytes")))
            }
            _ => Ok(SecretValue::new(token)),
        }
    }

    /// Says whose token it is, never the token.
    fn refused(
        &self,
        error: &aws_sdk_sts::error::SdkError<
            aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
        >,
        token: &SecretValue,
    ) -> Failure {
        let code = error.as_service_error().and_then(|error| error.code()).unwrap_or_default();
        let (class, why) = match code {
            "InvalidIdentityToken" => (FailureClass::Transient, "does not accept the token"),
            "IDPCommunicationError" => (FailureClass::Transient, "does not reach the issuer of the token"),
            "ExpiredTokenException" => (FailureClass::Transient, "says that the token has expired"),
            "IDPRejectedClaim" => (FailureClass::Permanent, "does not accept what the token claims"),
            "AccessDenied" => (FailureClass::Permanent, "does not let the token into the role"),
            _ => return failure::of(error, "STS"),
        };
        Failure::new(class, "aws.sts", format!("STS {why} ({code}): role {}", self.role_arn))
            .with_note(token::shown(token))
            .with_hint("compare issuer, subject and audience with the trust policy of the role")
    }
}
