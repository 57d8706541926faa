//! Outcomes that a receiver could not be told: kept for whoever asks, until they have arrived.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eve_core::scheduler::{LedgerEvent, Reason, SchedulerView, Ticket};
use eve_core::time::Timestamp;
use serde::Serialize;

/// What has not arrived. Follows the journal; cheap to read from any task.
#[derive(Debug, Default)]
pub struct Undelivered {
    notices: Mutex<BTreeMap<(Ticket, Arc<str>), Notice>>,
}

/// A notice that a receiver did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The request whose outcome it tells.
    pub request: String,
    /// Who was to be told.
    pub receiver: String,
    /// How many times it was sent since it was last asked for: since the outcome, or since somebody had it sent again.
    pub attempts: u32,
    /// Why the last of them failed, for programs.
    pub code: String,
    /// The same for people.
    pub reason: String,
    /// When it is sent next, by itself; `null` if it was given up.
    pub retry_at: Option<String>,
}

impl Notice {
    fn failed(
        (request, receiver): (&str, &str),
        attempts: u32,
        reason: &Reason,
        retry_at: Option<Timestamp>,
    ) -> Self {
        Self {
            request: request.to_owned(),
            receiver: receiver.to_owned(),
            attempts,
            code: reason.code.to_string(),
            reason: reason.message.to_string(),
            retry_at: retry_at.and_then(Timestamp::to_rfc3339),
        }
    }
}

impl Undelivered {
    /// Takes up what an earlier process left.
    pub fn recall(&self, view: SchedulerView<'_>) {
        let mut notices = self.lock();
        for notice in view.undelivered() {
            let Some(reason) = &notice.reason else { continue };
            let to = (&*notice.request, &*notice.receiver);
            let found = Notice::failed(to, notice.attempts, reason, notice.retry_at);
            notices.insert((notice.ticket, notice.receiver), found);
        }
    }

    /// Takes in what was stored.
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is not about notices")]
    pub fn follow(&self, event: &LedgerEvent, view: SchedulerView<'_>) {
        match event {
            LedgerEvent::NoticeFailed { ticket, receiver, reason, retry_at } => {
                let Some(request) = view.by_ticket(*ticket) else { return };
                let mut notices = self.lock();
                let key = (*ticket, Arc::clone(receiver));
                let attempts = notices.get(&key).map_or(0, |notice| notice.attempts).saturating_add(1);
                let to = (&*request.key().id, &**receiver);
                notices.insert(key, Notice::failed(to, attempts, reason, *retry_at));
            }
            LedgerEvent::NoticeRenewed { ticket, receiver } => {
                if let Some(notice) = self.lock().get_mut(&(*ticket, Arc::clone(receiver))) {
                    notice.attempts = 0;
                }
            }
            LedgerEvent::NoticeSent { ticket, receiver } => {
                self.lock().remove(&(*ticket, Arc::clone(receiver)));
            }
            LedgerEvent::Forgotten { .. } => {
                self.lock().retain(|(ticket, _), _| view.by_ticket(*ticket).is_some());
            }
            _ => {}
        }
    }

    /// All of them, in the order of the requests.
    pub fn list(&self) -> Vec<Notice> {
        self.lock().values().cloned().collect()
    }

    /// How many were given up, and wait for somebody to send them again.
    pub fn given_up(&self) -> usize {
        self.lock().values().filter(|notice| notice.retry_at.is_none()).count()
    }

    /// Whether a receiver still has to be told the outcome of this request.
    pub fn is_of(&self, request: &str) -> bool {
        self.lock().values().any(|notice| notice.request == request)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Ticket, Arc<str>), Notice>> {
        // What a panicking holder left is whole: every change is one call.
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
