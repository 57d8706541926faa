//! Where the keys of functions come from: by the address of the function, as the plan or the configuration writes it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::secret::SecretValue;
use tokio::time::Instant;

use super::answer::{self, FunctionAnswer};
use super::{FunctionCall, FunctionClient};

/// Who is to be called, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct KeyFor<'a> {
    /// The address of the function, as the plan or the configuration writes it.
    pub url: &'a str,
    /// The run of which the call is a step; `None` where somebody is told an outcome.
    pub run: Option<&'a RunId>,
}

/// Knows the keys of functions.
///
/// - **Idempotent**; the futures may be dropped at any await. **Who retries**: the core.
#[async_trait]
pub trait FunctionKeys: Send + Sync {
    /// The key of this function; `None` if it needs none. It may be one that was read before.
    ///
    /// # Errors
    /// A classified [`Failure`] when it is not known whether there is one.
    async fn key(&self, wanted: KeyFor<'_>) -> Result<Option<SecretValue>, Failure>;

    /// The same after the function has refused this key: another one, if there is one by now, whatever was read before. By
    /// default what [`key`](Self::key) gives.
    ///
    /// # Errors
    /// As `key`.
    async fn key_after(
        &self,
        wanted: KeyFor<'_>,
        refused: &SecretValue,
    ) -> Result<Option<SecretValue>, Failure> {
        let _ = refused;
        self.key(wanted).await
    }
}

/// Keys in memory.
#[derive(Clone, Debug, Default)]
pub struct KeyMap(BTreeMap<String, SecretValue>);

impl KeyMap {
    /// None.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The same with the key of one more function.
    #[must_use]
    pub fn with(mut self, url: impl Into<String>, key: SecretValue) -> Self {
        self.0.insert(url.into(), key);
        self
    }
}

#[async_trait]
impl FunctionKeys for KeyMap {
    async fn key(&self, wanted: KeyFor<'_>) -> Result<Option<SecretValue>, Failure> {
        Ok(self.0.get(wanted.url).cloned())
    }
}

/// Calls a function with its key; with another one once more, at once and as the same call, if the function refuses the first
/// and there is another by now. Both calls together have the time of one, less what it took to get the keys.
pub(super) async fn call(
    client: &FunctionClient,
    keys: &dyn FunctionKeys,
    wanted: KeyFor<'_>,
    call: FunctionCall<'_>,
) -> Result<FunctionAnswer, Failure> {
    let (begun, limit) = (Instant::now(), call.limit);
    let left = || limit.saturating_sub(begun.elapsed());
    let first = keys.key(wanted).await.map_err(Failure::with_nothing_left)?;
    let Some(first) = first else { return client.call(call).await };
    let again =
        FunctionCall { key: None, headers: call.headers.clone(), identity: call.identity.clone(), ..call };
    let refused = match client.call(FunctionCall { key: Some(&first), limit: left(), ..call }).await {
        Err(failure) if failure.code == answer::REFUSED => failure,
        ended => return ended,
    };
    match keys.key_after(wanted, &first).await {
        Ok(Some(other)) if other.expose() != first.expose() => {
            let ended = client.call(FunctionCall { key: Some(&other), limit: left(), ..again }).await;
            ended.map(|said| said.without(&first))
        }
        Ok(_) => Err(refused),
        Err(unread) => Err(refused.with_note(format!("the key could not be read again: {unread}"))),
    }
}
