//! Credentials that are renewed early, and kept while they last when that fails.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use eve_core::digest::Digest;
use eve_core::failure::Failure;
use eve_core::ports::Clock;
use eve_core::time::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use super::identity::{AwsIdentity, Place};

/// How long after a renewal that failed the next one is tried, while the old credentials last.
const PAUSE: Duration = Duration::from_secs(30);

/// Credentials are not used any more so shortly before their end: requests and clocks differ.
const MARGIN: Duration = Duration::from_mins(1);

/// The credentials of one identity, shared by all clients.
///
/// They are renewed when about half of their life is over (between 50 % and 60 %, so that processes that began together part).
/// When that fails they are used on until a minute before their end, and renewing is tried every 30 s: an STS that is away for less than
/// that is not noticed.
pub struct AwsCredentials {
    identity: AwsIdentity,
    place: Place,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    failed: Option<(Timestamp, Failure)>,
}

struct Kept {
    credentials: Credentials,
    renew_at: Timestamp,
    until: Timestamp,
}

/// What is to be done about credentials.
enum Standing {
    /// They are good.
    Good(Credentials),
    /// They are good, and it is time for new ones.
    Aging(Credentials),
    /// There are none that can be used.
    Absent,
}

impl AwsCredentials {
    pub(super) fn new(identity: AwsIdentity, place: Place, clock: Arc<dyn Clock>) -> Self {
        Self { identity, place, clock, state: Mutex::default(), renewing: tokio::sync::Mutex::new(()) }
    }

    /// Why the last attempt to renew them failed; `None` since one succeeded. For whoever watches over the process.
    pub fn last_failure(&self) -> Option<Failure> {
        self.state().failed.as_ref().map(|(_, failure)| failure.clone())
    }

    /// The credentials of now, renewed if it is time.
    pub(super) async fn current(&self) -> Result<Credentials, Failure> {
        match self.standing() {
            Standing::Good(credentials) => Ok(credentials),
            Standing::Aging(credentials) => {
                // Whoever comes while somebody else is at it takes what there is.
                let Ok(_guard) = self.renewing.try_lock() else { return Ok(credentials) };
                Ok(self.renew().await.unwrap_or(credentials))
            }
            Standing::Absent => {
                let _guard = self.renewing.lock().await;
                match self.standing() {
                    Standing::Good(credentials) | Standing::Aging(credentials) => Ok(credentials),
                    Standing::Absent => self.renew().await,
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> Standing {
        let (state, now) = (self.state(), self.clock.now());
        let Some(kept) = state.kept.as_ref().filter(|kept| now < kept.until) else { return Standing::Absent };
        let pausing = state.failed.as_ref().is_some_and(|(at, _)| now < at.plus(PAUSE));
        if now < kept.renew_at || pausing {
            Standing::Good(kept.credentials.clone())
        } else {
            Standing::Aging(kept.credentials.clone())
        }
    }

    async fn renew(&self) -> Result<Credentials, Failure> {
        let fetched = self.identity.fetch(&self.place).await;
        let now = self.clock.now();
        let mut state = self.state();
        match fetched {
            Ok(credentials) => {
                state.kept = Some(Kept::new(credentials.clone(), now));
                state.failed = None;
                Ok(credentials)
            }
            Err(failure) => {
                state.failed = Some((now, failure.clone()));
                Err(failure)
            }
        }
    }
}

impl Kept {
    fn new(credentials: Credentials, now: Timestamp) -> Self {
        let Some(expiry) = credentials.expiry() else {
            return Self { credentials, renew_at: Timestamp::MAX, until: Timestamp::MAX };
        };
        let since_epoch = expiry.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expiry = Timestamp::EPOCH.plus(since_epoch);
        let life = expiry.since(now);
        // Of the key's own randomness, a tenth of the life at most.
        let [byte, ..] = *Digest::of(credentials.access_key_id().as_bytes()).as_bytes();
        let renew_at = now.plus(life / 2).plus(life / 10 * u32::from(byte) / 256);
        Self { credentials, renew_at, until: expiry.minus(MARGIN) }
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The same for the SDK.
#[derive(Clone, Debug)]
pub(super) struct Provider(pub(super) Arc<AwsCredentials>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.0.current().await.map_err(CredentialsError::provider_error)
        })
    }
}

#[async_trait]
impl CredentialProvider for Provider {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials = self
            .0
            .current()
            .await
            .map_err(|failure| object_store::Error::Generic { store: "S3", source: Box::new(failure) })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
