//! Functions: an HTTP endpoint that is called with JSON and a key, and whose answer says how it went.
//!
//! [`FunctionClient`] makes one call; [`FunctionExecutor`] makes it as a step of a plan, [`FunctionNotifier`] to tell how a
//! request ended. `keys` says where keys come from, `answer` which answers count.
//!
//! # The call
//! `POST URL?code=KEY` with a JSON body and `Idempotency-Key`, the same for every repetition of the same call: a function
//! is called **at least once**, with one identity, and drops what it knows.
//!
//! # The answer
//! `{"result": "success" | "failed" | "noop", "messages": ["…"]}`. Such an answer is final, whatever the status; everything else,
//! silence included, is transient. One of 401 or 403 that is none has the key read anew; if it is another one by then, the call
//! is made once more with it.

use std::fmt;
use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::secret::{Mask, SecretValue};
use serde_json::Value;

use crate::address::{Address, AddressError};
use crate::call::{Caller, Post};

mod answer;
mod executor;
mod keys;
mod kind;
mod notifier;

pub use answer::FunctionAnswer;
pub use executor::FunctionExecutor;
pub use keys::{FunctionKeys, KeyFor, KeyMap};
pub use kind::FunctionKind;
pub use notifier::FunctionNotifier;

/// How long a function may take. From the scheduler that eve replaces: functions migrate databases.
pub(crate) const LIMIT: Duration = Duration::from_mins(5);

/// The most bytes of an answer: 20 messages of 1 KiB are kept, each byte of which may be escaped to six.
const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// The parameter by which Azure Functions take their keys (function access keys, documentation of Azure Functions).
const KEY_PARAMETER: &str = "code";

/// Calls functions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FunctionClient {
    caller: Caller,
}

/// One call of a function.
pub struct FunctionCall<'a> {
    /// Whom.
    pub address: &'a Address,
    /// Its key, if it needs one.
    pub key: Option<&'a SecretValue>,
    /// What stays the same when the same call is made again; printable ASCII.
    pub identity: String,
    /// Further header lines.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body.
    pub body: &'a Value,
    /// How long it may take, until the answer is there whole.
    pub limit: Duration,
    /// Takes out of the answer what was sent in secret. The key is taken out anyway.
    pub mask: &'a Mask,
}

impl fmt::Debug for FunctionCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionCall")
            .field("address", self.address)
            .field("identity", &self.identity)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl FunctionClient {
    /// A client of its own.
    ///
    /// # Errors
    /// `http.client`, when the system has no certificates to trust, for example.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self { caller: Caller::new()? })
    }

    /// Makes the call, once. Cancel safe in so far as that a dropped call may have arrived.
    ///
    /// # Errors
    /// All but a valid answer: `http.…` when there is none, `function.key-refused`, `function.redirect`, `function.answer`
    /// and `function.answer-too-large` when it is another one. All transient. Nothing of the key is in them.
    pub async fn call(&self, call: FunctionCall<'_>) -> Result<FunctionAnswer, Failure> {
        let FunctionCall { address, key, identity, headers, body, limit, mask } = call;
        let mut headers = headers;
        headers.push(("idempotency-key", identity));
        headers.push(("accept", "application/json".to_owned()));
        let post = Post {
            url: address.to_url(key.map(|key| (KEY_PARAMETER, key.expose()))),
            content_type: "application/json",
            headers,
            body: body.to_string().into_bytes(),
            limit,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let reply = self.caller.post(post).await.map_err(|failure| {
            let message = format!("function {address}: {failure}");
            failure.with_message(message)
        })?;
        answer::read(address, &reply, (key, mask))
    }
}

/// Reads the address of a function; it must not have a key in it.
///
/// # Errors
/// [`AddressError`]; of a key [`AddressError::Key`].
pub fn address(text: &str) -> Result<Address, AddressError> {
    let address = Address::parse(text)?;
    if address.has_parameter(KEY_PARAMETER) { Err(AddressError::Key) } else { Ok(address) }
}
