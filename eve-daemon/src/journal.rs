//! The journal of the daemon: one file; what the scheduler decides is counted and logged once it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use eve_core::ids::RunId;
use eve_core::ports::{Ledger, LedgerBatch, StoreError};
use eve_core::run::{Outcome, Record};
use eve_core::scheduler::{Awaited, LedgerEvent, LedgerRecord, Reason, SchedulerView, Stand, Ticket};
use eve_core::time::Timestamp;
use eve_store::{FileError, LedgerFile, StoredKey};

use crate::health::{Health, Part};
use crate::metrics::Metrics;
use crate::outages::Outages;
use crate::run_log::stop_name;
use crate::start_error::StartError;
use crate::undelivered::Undelivered;

/// The file within the folder of the state.
const FILE: &str = "journal.db";

/// The journal, held by this process.
#[derive(Debug)]
pub struct Journal {
    file: LedgerFile,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    undelivered: Arc<Undelivered>,
    outages: Arc<Outages>,
    news: Mutex<News>,
}

/// What was stored and is not told yet.
#[derive(Debug, Default)]
struct News {
    records: Vec<LedgerRecord>,
    runs: BTreeMap<Ticket, RunId>,
    /// The requests whose plan has to be delivered again.
    awaited: BTreeSet<Ticket>,
}

impl Journal {
    /// Takes the journal in a folder over; makes both where they are missing.
    ///
    /// # Errors
    /// Another process has it, or it cannot be used.
    pub fn open(folder: &Path, health: Arc<Health>, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let what = || format!("the folder of the state {}", folder.display());
        std::fs::create_dir_all(folder).map_err(|error| StartError::io(&what(), &error))?;
        let file = LedgerFile::open(folder.join(FILE))?;
        health.works(Part::Journal);
        let (undelivered, outages) = (Arc::default(), Arc::default());
        Ok(Self { file, health, metrics, undelivered, outages, news: Mutex::default() })
    }

    /// What no receiver has taken yet.
    pub fn undelivered(&self) -> Arc<Undelivered> {
        Arc::clone(&self.undelivered)
    }

    /// Which runs cannot be opened yet.
    pub fn outages(&self) -> Arc<Outages> {
        Arc::clone(&self.outages)
    }

    /// The key of the hashes by which a run knows its secrets again.
    ///
    /// # Errors
    /// Its file cannot be used.
    pub fn key(&self) -> Result<StoredKey, StartError> {
        Ok(self.file.key()?)
    }

    /// Holds the journal to the cluster of this identity, which answers at this address.
    ///
    /// # Errors
    /// It belongs to another one. Nothing is written.
    pub fn belongs_to(&self, identity: &str, server: &str) -> Result<(), StartError> {
        self.file.belongs_to(identity).map_err(|error| {
            let FileError::OtherCluster { path, known, found } = &error else { return StartError::from(error) };
            let message = format!(
                "the journal {} belongs to another cluster than the one that answers at {server}: the uid of its namespace \
                 `kube-system` is {known}, and here it is {found}",
                path.display()
            );
            StartError::new(message).with_hint(StartError::from(error).hint())
        })
    }

    /// Takes up what an earlier process left.
    pub fn recall(&self, view: SchedulerView<'_>) {
        self.undelivered.recall(view);
        self.metrics.undelivered_notices.set(count(self.undelivered.given_up()));
        let mut news = self.news();
        for request in view.requests() {
            if let Stand::Live(run) = request.stand() {
                self.outages.begins(
                    &run,
                    &request.key().id,
                    request.plan().map_or("", |(namespace, _)| namespace),
                );
                news.runs.insert(request.ticket(), run);
            }
        }
        for awaited in view.awaited() {
            let (request, namespace, until) = (&*awaited.request, &*awaited.namespace, time(awaited.until));
            if let Some(run) = awaited.run.as_ref().map(RunId::as_str) {
                let what = "a run of an earlier process waits for its plan to be delivered again; until then nothing else \
                            of its namespace runs";
                tracing::warn!(run, request, namespace, until, "{what}");
            } else {
                tracing::info!(request, namespace, until, "a plan that waits has to be delivered again");
            }
        }
        drop(news);
        self.await_plans(view);
    }

    /// Shows which plans have to be delivered again, and logs those that were.
    fn await_plans(&self, view: SchedulerView<'_>) {
        let before = std::mem::take(&mut self.news().awaited);
        let awaited: Vec<Awaited> = view.awaited().collect();
        let now: BTreeSet<Ticket> = awaited.iter().map(|awaited| awaited.ticket).collect();
        for ticket in before.difference(&now) {
            let Some(came) = view.by_ticket(*ticket) else { continue };
            if !matches!(came.stand(), Stand::Closed(_)) {
                let (request, namespace) = named(view, *ticket);
                tracing::info!(request, namespace, "the plan was delivered again");
            }
        }
        if before != now || !now.is_empty() {
            let line = |awaited: &Awaited| {
                let Awaited { request, namespace, until, .. } = awaited;
                format!("request {request} of namespace {namespace}, until {}", time(*until))
            };
            self.health.awaits(awaited.iter().map(line));
        }
        self.metrics.awaited_plans.set(count(now.len()));
        self.news().awaited = now;
    }

    /// Counts and logs what was stored since the last call.
    pub fn observe(&self, view: SchedulerView<'_>) {
        let records = std::mem::take(&mut self.news().records);
        for record in &records {
            self.tell(&record.event, Ticket::new(record.seq.get()), view);
            self.undelivered.follow(&record.event, view);
        }
        self.await_plans(view);
        self.metrics.live_runs.set(count(view.live()));
        self.metrics.waiting_plans.set(count(view.waiting()));
        self.metrics.undelivered_notices.set(count(self.undelivered.given_up()));
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are about notices, or housekeeping")]
    fn tell(&self, event: &LedgerEvent, place: Ticket, view: SchedulerView<'_>) {
        match event {
            LedgerEvent::Accepted { key, namespace, plan, sequence } => {
                self.metrics.delivered("accepted");
                let (request, namespace, plan) = (&*key.id, &**namespace, &**plan);
                tracing::info!(request, namespace, plan, sequence, "plan accepted");
            }
            LedgerEvent::Refused { key, asked, reason, .. } => {
                self.metrics.delivered("refused");
                let namespace = asked.as_ref().map(|(namespace, _)| &**namespace);
                let (code, why) = (&*reason.code, &*reason.message);
                tracing::warn!(request = &*key.id, namespace, code, reason = why, "request refused");
            }
            LedgerEvent::StopAsked { target, mode, reason, .. } => {
                self.metrics.delivered(if reason.is_some() { "stop_in_vain" } else { "stop" });
                let (request, mode) = (&**target, stop_name(*mode));
                match reason {
                    None => tracing::info!(request, mode, "stop asked for"),
                    Some(reason) => {
                        let (code, why) = (&*reason.code, &*reason.message);
                        tracing::warn!(
                            request,
                            mode,
                            code,
                            reason = why,
                            "stop asked for, and nothing stopped"
                        );
                    }
                }
            }
            LedgerEvent::RunOpened { ticket, run } => {
                self.news().runs.insert(*ticket, run.clone());
                let (request, namespace) = named(view, *ticket);
                self.outages.begins(run, request.unwrap_or_default(), namespace.unwrap_or_default());
                tracing::info!(run = run.as_str(), request, namespace, "run opened");
            }
            LedgerEvent::Superseded { ticket, by } => {
                let (request, namespace) = named(view, *ticket);
                let newer = named(view, *by).0;
                tracing::info!(request, namespace, newer, "a newer plan takes its place");
            }
            LedgerEvent::RunClosed { ticket, outcome, reason, .. } => {
                self.closed(*ticket, *outcome, reason.as_ref(), view);
            }
            _ => self.tell_notice(event, place, view),
        }
    }

    fn closed(&self, ticket: Ticket, outcome: Outcome, reason: Option<&Reason>, view: SchedulerView<'_>) {
        self.metrics.finished(outcome);
        let run = self.news().runs.remove(&ticket);
        if let Some(run) = &run {
            self.outages.ends(run);
        }
        let run = run.as_ref().map(RunId::as_str);
        let (request, namespace) = named(view, ticket);
        let outcome = eve_core::ports::Ending::from(outcome).as_str();
        match reason {
            None => tracing::info!(run, request, namespace, outcome, "request answered"),
            Some(reason) => {
                let (component, code, why) = (reason.component.as_deref(), &*reason.code, &*reason.message);
                tracing::warn!(
                    run,
                    request,
                    namespace,
                    outcome,
                    component,
                    code,
                    reason = why,
                    "request answered"
                );
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "housekeeping of the journal is nobody's news")]
    fn tell_notice(&self, event: &LedgerEvent, place: Ticket, view: SchedulerView<'_>) {
        match event {
            LedgerEvent::NoticeSent { ticket, receiver } => {
                self.metrics.told("sent");
                let (request, namespace) = named(view, *ticket);
                tracing::info!(request, namespace, receiver = &**receiver, "outcome told");
            }
            LedgerEvent::NoticeFailed { ticket, receiver, reason, retry_at } => {
                self.metrics.told(if retry_at.is_some() { "failed" } else { "given_up" });
                let (request, namespace) = named(view, *ticket);
                let (receiver, code, why) = (&**receiver, &*reason.code, &*reason.message);
                if retry_at.is_some() {
                    let what = "outcome not told yet; it is tried again";
                    tracing::warn!(request, namespace, receiver, code, reason = why, "{what}");
                } else {
                    let what = "outcome not told, and given up";
                    tracing::error!(request, namespace, receiver, code, reason = why, "{what}");
                }
            }
            _ => tracing::trace!(place = place.get(), "stored"),
        }
    }
}

/// Identifier and namespace of a request.
fn named(view: SchedulerView<'_>, ticket: Ticket) -> (Option<&str>, Option<&str>) {
    let request = view.by_ticket(ticket);
    let id = request.map(|request| &*request.key().id);
    (id, request.and_then(|request| request.plan()).map(|(namespace, _)| namespace))
}

/// A time as everything that eve writes for programs has it.
fn time(at: Timestamp) -> String {
    at.to_rfc3339().unwrap_or_else(|| "never".to_owned())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[async_trait]
impl Ledger for Journal {
    async fn append(&self, batch: LedgerBatch) -> Result<(), StoreError> {
        let records = batch.ledger.clone();
        let stored = batch.ledger.len() + batch.runs.iter().map(|run| run.records.len()).sum::<usize>();
        let result = self.file.append(batch).await;
        match &result {
            Ok(()) => {
                self.metrics.records.inc_by(u64::try_from(stored).unwrap_or(u64::MAX));
                self.news().records.extend(records);
            }
            Err(error) => self.health.fails(Part::Journal, error.to_string()),
        }
        result
    }

    async fn load(&self) -> Result<Vec<LedgerRecord>, StoreError> {
        self.file.load().await
    }

    async fn load_run(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        self.file.load_run(run).await
    }
}
