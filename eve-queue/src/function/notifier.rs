//! A function that is told how requests ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::{Notice, Notifier, Receipt};
use eve_core::secret::Mask;

use super::{FunctionCall, FunctionClient, FunctionKeys, KeyFor, LIMIT, keys};
use crate::address::{Address, AddressError};

/// Calls a function with the [`Notice`] as its body. What the function says is final, whatever it says: the notice has
/// arrived. The identity of the call is the key of the notice.
#[derive(Clone)]
pub struct FunctionNotifier {
    client: FunctionClient,
    url: String,
    address: Address,
    keys: Arc<dyn FunctionKeys>,
    limit: Duration,
}

impl FunctionNotifier {
    /// Tells the function at `url`, whose key is among `keys`; a call may take 5 min.
    ///
    /// # Errors
    /// [`AddressError`], if the address cannot be called.
    pub fn new(
        client: FunctionClient,
        url: impl Into<String>,
        keys: Arc<dyn FunctionKeys>,
    ) -> Result<Self, AddressError> {
        let url = url.into();
        let address = super::address(&url)?;
        Ok(Self { client, url, address, keys, limit: LIMIT })
    }

    /// The same with another time for a call.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl fmt::Debug for FunctionNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionNotifier").field("address", &self.address).finish_non_exhaustive()
    }
}

#[async_trait]
impl Notifier for FunctionNotifier {
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure> {
        let body = serde_json::to_value(notice)
            .map_err(|error| Failure::misuse("function.notice", format!("the notice is no JSON: {error}")))?;
        let call = FunctionCall {
            address: &self.address,
            key: None,
            identity: notice.key.clone(),
            headers: Vec::new(),
            body: &body,
            limit: self.limit,
            // A notice holds no secret.
            mask: &Mask::default(),
        };
        let wanted = KeyFor { url: &self.url, run: None };
        let answer = keys::call(&self.client, &*self.keys, wanted, call).await?;
        Ok(Receipt::new(Some(answer.verdict), answer.messages))
    }
}
