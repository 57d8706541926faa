//! Reads the API server's audit log: who asked for what. It judges nothing and changes nothing in the cluster.
//!
//! The log is complete: every request of every user, reads and watches included, at level Metadata (no bodies). A
//! request is one [`Entry`], whatever the number of lines it left. Start reading at [`Audit::settle`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use kube::config::Kubeconfig;

use crate::api::{self, Asked};
use crate::error::{TestbedError, give_up};

mod entries;
mod line;
mod reader;

pub use entries::{Entries, Entry};
use reader::Reader;

/// How long [`Audit::settle`] waits for requests that are still being answered: far longer than any request takes, and a
/// webhook may hold one up for 30 s.
const SETTLE_LIMIT: Duration = Duration::from_mins(2);

/// A point in the log; see [`Audit::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// The audit log of a running control plane.
#[derive(Debug, Clone)]
pub struct Audit {
    log: PathBuf,
    admin: Kubeconfig,
    reader: Arc<Mutex<Reader>>,
}

impl Audit {
    pub(crate) fn new(log: PathBuf, admin: Kubeconfig) -> Self {
        Self { log, admin, reader: Arc::default() }
    }

    /// All requests of which the answer has reached its client before this call, and maybe some more.
    ///
    /// The server writes the line of a request about when it answers, maybe a little after. So this sends a request of
    /// its own (as `admin`, to `/version`) and waits for that line, and then for the end of every request of `eve` that
    /// began before; a watch counts as ended once it has begun to answer. Cancel safe.
    ///
    /// # Panics
    /// With the reason if the server does not answer, or a request of `eve` takes more than 2 min.
    pub async fn settle(&self) -> Entries {
        match self.try_settle().await {
            Ok(entries) => entries,
            Err(error) => give_up("the audit log does not settle", &error.chain()),
        }
    }

    /// The end of the log for now: [`Entries::since`] gives what comes after. Settles first.
    ///
    /// # Panics
    /// As [`Audit::settle`].
    pub async fn mark(&self) -> Mark {
        let entries = self.settle().await;
        Mark(entries.0.last().map_or(0, |entry| entry.position + 1))
    }

    /// The server that wrote the log is gone: nobody will write down how the requests ended that were under way. They stay
    /// entries without an answer, and nobody waits for them.
    pub(crate) fn give_up_open(&self) {
        let mut reader = self.reader();
        // Who reads on says what is wrong with the log.
        if reader.read_on(&self.log).is_ok() {
            reader.open.clear();
        }
    }

    async fn try_settle(&self) -> Result<Entries, TestbedError> {
        static MARKERS: AtomicU32 = AtomicU32::new(0);
        let marker =
            format!("eve-testbed-marker={}-{}", std::process::id(), MARKERS.fetch_add(1, Ordering::Relaxed));
        let client = api::client(self.admin.clone()).await?;
        api::text(&client, Method::GET, &format!("/version?{marker}"), None).await?;
        let mut before: Option<BTreeSet<String>> = None;
        api::until("the end of all requests of eve in the audit log", SETTLE_LIMIT, async || {
            let mut reader = self.reader();
            reader.read_on(&self.log)?;
            if before.is_none() && reader.entries.iter().rev().any(|entry| entry.uri.ends_with(&marker)) {
                before = Some(reader.open.clone());
            }
            let Some(before) = &before else {
                return Ok(Asked::NotYet("the marker is not there".to_owned()));
            };
            let open: Vec<_> = before
                .intersection(&reader.open)
                .filter_map(|id| reader.entry(id))
                .map(|entry| entry.uri.as_str())
                .collect();
            Ok(if open.is_empty() {
                Asked::Done(reader.entries())
            } else {
                Asked::NotYet(format!("no end of {open:?}"))
            })
        })
        .await
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        // A panic while reading leaves at worst a line unread twice, and the test has failed anyway.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_server_never_answered_is_an_entry_that_nobody_waits_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.log");
        let line = r#"{"auditID":"a","stage":"RequestReceived","verb":"patch","requestURI":"/x","user":{"username":"eve"},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z"}"#;
        std::fs::write(&log, format!("{line}\n")).unwrap();
        let audit = Audit::new(log, Kubeconfig::default());
        audit.give_up_open();
        let reader = audit.reader();
        assert!(reader.open.is_empty());
        assert_eq!(reader.entries().iter().map(|entry| entry.code).collect::<Vec<_>>(), [None]);
    }
}
