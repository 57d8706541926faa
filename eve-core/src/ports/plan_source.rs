//! Where plans come from.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::digest::Digest;
use crate::failure::Failure;
use crate::run::StopMode;
use crate::scheduler::RequestKey;

/// Hands out what somebody sent, plans and requests to stop one, one delivery after the other.
///
/// - **At least once**: the same may be delivered again, at the same time or days later, under another
///   [`Delivery::handle`].
/// - **Ordering**: a source that knows groups hands out the next of a group when the one before was settled. Nothing is
///   promised between groups.
/// - **Held**: what was received is not handed out again for a time that the source was given; who works on it calls
///   `extend` after a third of it, again and again, until it is settled with `acknowledge` or `reject`.
/// - **Bounded**: bodies have a limit. What is above it is delivered as [`Content::Unusable`].
/// - **Who retries**: the core. A source makes each request once and classifies what went wrong.
/// - **Cancel safety**: a dropped `receive` loses nothing: what it had taken comes back after a while. Of the others
///   it is not known whether they took effect; they may be called again.
///
/// What is received is for a [`Scheduler`](crate::scheduler::Scheduler); the command line reads files.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait PlanSource: Send + Sync {
    /// The requests that an earlier process accepted and did not answer. Told once, before the first `receive`, and only
    /// where there is no other source that they may have come from.
    ///
    /// A source that knows that it cannot deliver one of them again, as it was, delivers it once more under the same digest
    /// as [`Content::Unusable`]: then it ends with that reason, and nobody waits for it. What a source does not know of comes
    /// from a source of an earlier configuration, and is left alone.
    fn expect(&self, accepted: &[RequestKey]);

    /// The next delivery; waits for one for as long as the source finds sensible, and then returns `None`.
    ///
    /// # Errors
    /// A classified [`Failure`]; nothing was taken, or it comes back. After a `Transient` one the next call may well get
    /// another delivery.
    async fn receive(&self) -> Result<Option<Delivery>, Failure>;

    /// Keeps a delivery from being handed out again for this long from now; zero lets it be handed out at once.
    ///
    /// # Errors
    /// A classified [`Failure`]; it may be delivered again. `Permanent` with the code [`STALE_HANDLE`] when it is no longer
    /// held under this handle: there is no use in trying again.
    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure>;

    /// The delivery has been dealt with, durably. Success does not prove that it never comes again.
    ///
    /// # Errors
    /// A classified [`Failure`]; it may be delivered again. With [`STALE_HANDLE`] it surely will.
    async fn acknowledge(&self, handle: &str) -> Result<(), Failure>;

    /// The delivery can never be dealt with; `reason` is for whoever looks at it, without secrets. It is kept, with its
    /// reason, where nobody receives from.
    ///
    /// # Errors
    /// A classified [`Failure`]; it may be delivered again. With [`STALE_HANDLE`] it surely will.
    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure>;
}

/// The code of the failure that says that a delivery is no longer held under its handle.
pub const STALE_HANDLE: &str = "source.stale-handle";

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What the source knows this delivery by; another one when the same is delivered again. At most
    /// [`Delivery::HANDLE_BYTES_MAX`].
    pub handle: Arc<str>,
    /// Which request it is; the same when it is delivered again. 1 to [`Delivery::REQUEST_BYTES_MAX`] bytes of printable
    /// ASCII. Where it cannot be read, what the source calls the message.
    pub request: Arc<str>,
    /// Who chose `request`.
    pub named: Named,
    /// Of the plan, or of the whole message where there is no plan: together with `request` it says whether this is what
    /// was delivered before.
    pub digest: Digest,
    /// What is handed out in order; empty where the source knows no groups. Plans travel in the group of their
    /// namespace, and requests to stop one in another, since nothing of a group is handed out while one of it is held.
    pub group: Arc<str>,
    /// How often it was handed out, this time included, as far as the source knows; counted from 1.
    pub receive_count: u32,
    /// What it asks for.
    pub content: Content,
}

impl Delivery {
    /// The most bytes of a handle: receipt handles of SQS have up to 1,024 characters (`DeleteMessage`, API reference).
    pub const HANDLE_BYTES_MAX: usize = 1024;
    /// The most bytes of the identifier of a request.
    pub const REQUEST_BYTES_MAX: usize = 256;

    /// Whether a text can be the identifier of a request.
    pub fn is_request(text: &str) -> bool {
        (1..=Self::REQUEST_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

/// Who chose the identifier of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Its sender. A plan that states another one itself contradicts it, and is refused.
    BySender,
    /// The source, since senders have no way to say one. What the plan itself states counts more.
    BySource,
}

/// What a delivery asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// To run a plan.
    Plan {
        /// Its text, as it was sent; what `digest` is of.
        body: Arc<[u8]>,
        /// Its number among the plans of its name in its namespace, where the sender counts them: a newer one has a higher
        /// one. One that comes after a newer one is not run.
        sequence: Option<u64>,
    },
    /// To stop what another request asked for.
    Stop {
        /// The other request.
        request: Arc<str>,
        /// How a run that is under way is to end.
        mode: StopMode,
    },
    /// Nothing that can ever be done: it cannot be read, is too large, is meant for somebody else, is not what its sender
    /// said it was, or was [expected](PlanSource::expect) and is not there as it was.
    Unusable {
        /// Why; `Permanent`.
        failure: Failure,
    },
}
