//! Options of a scheduler: limits, times, policies. Every number has a unit, a default and a bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// What becomes of a plan when a newer one of its name comes for its namespace. Plans of other names are never touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Newer {
    /// All are run, in the order in which they were accepted.
    #[default]
    Queue,
    /// Those that wait are superseded; one that runs is treated so.
    Supersede(Running),
}

/// What becomes of a plan that runs when a newer one supersedes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It comes to its end.
    Finish,
    /// It starts nothing new, and what runs comes to its end.
    Drain,
    /// It starts nothing new, and waits are given up.
    Cancel,
}

/// When a delivery is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcknowledgeAfter {
    /// When the outcome and its notices are durable.
    #[default]
    Stored,
    /// When besides each notice has arrived, or was given up. A dead receiver then holds the delivery, never the plan; with
    /// a queue that blocks a namespace until it is acknowledged, it holds the next plan, too.
    Told,
}

/// How notices are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoticeOptions {
    /// How long one delivery may take.
    pub timeout: Duration,
    /// The pause after the first failure of class `Transient`; it doubles from there.
    pub pause: Duration,
    /// The longest pause, and the only one after failures of other classes.
    pub pause_max: Duration,
    /// How many deliveries are tried.
    pub attempts_max: u32,
    /// How long after the outcome a notice is given up.
    pub deadline: Duration,
    /// How many deliveries to one receiver may be under way.
    pub parallel: u32,
}

impl Default for NoticeOptions {
    /// 10 s; 1 s doubling to 1 h; 400 attempts within 14 days; 4 at a time (faults H1, H3, H4 of the fault catalogue).
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_hours(1),
            attempts_max: 400,
            deadline: 14 * DAY,
            parallel: 4,
        }
    }
}

/// Limits, times and policies of a scheduler. Not stored: each process may have its own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SchedulerOptions {
    /// What the names of runs begin with; different for each ledger, so that no two runs have one name.
    pub run_prefix: Arc<str>,
    /// How many runs may be under way, each in a namespace of its own. At least 1.
    pub parallel: u32,
    /// What becomes of older plans in namespaces that `newer_in` does not name.
    pub newer: Newer,
    /// The same, by namespace.
    pub newer_in: BTreeMap<String, Newer>,
    /// Who is told each outcome, by the name that the driver knows.
    pub receivers: Vec<Arc<str>>,
    /// How they are told.
    pub notices: NoticeOptions,
    /// When a delivery is acknowledged.
    pub acknowledge: AcknowledgeAfter,
    /// The visibility timeout of each source; extended after a third of it. 5 min for a source beyond the list.
    pub visibility: Vec<Duration>,
    /// How many plans may wait before no more should be received.
    pub waiting_max: usize,
    /// How many bytes the plans may have together that wait in memory before no more should be received. A plan more than
    /// fits may be in hand.
    pub waiting_bytes_max: usize,
    /// How long a process waits for the delivery of a plan that an earlier process accepted.
    pub return_timeout: Duration,
    /// How many answered requests are remembered, besides those with a notice that is still to be sent.
    pub remember_max: usize,
    /// How many bytes the reasons and reports of remembered requests may have together; the oldest are forgotten first.
    pub remember_bytes_max: usize,
    /// For how long they are remembered.
    pub remember_for: Duration,
    /// Of how many plans the highest number is remembered, without an end; those that were accepted longest ago are forgotten
    /// first, when the ledger is compacted.
    pub numbers_max: usize,
    /// The records of how many finished runs are kept.
    pub logs_max: usize,
    /// How many records a ledger may have before it is compacted, besides four for each request that is known.
    pub records_free: usize,
    /// The seed of the jitter of pauses.
    pub seed: u64,
}

impl Default for SchedulerOptions {
    /// 16 runs at once; plans queue; nobody is told; 10,000 wait, or 256 MiB; 1 h until a plan is given up that does not come back;
    /// 50,000 requests are remembered for 15 days, a day more than a queue keeps a message, and 128 MiB of what was told of
    /// them; the numbers of 10,000 plans; 1,000 logs.
    fn default() -> Self {
        Self {
            run_prefix: "run".into(),
            parallel: 16,
            newer: Newer::Queue,
            newer_in: BTreeMap::new(),
            receivers: Vec::new(),
            notices: NoticeOptions::default(),
            acknowledge: AcknowledgeAfter::Stored,
            visibility: Vec::new(),
            waiting_max: 10_000,
            waiting_bytes_max: 256 << 20,
            return_timeout: Duration::from_hours(1),
            remember_max: 50_000,
            remember_bytes_max: 128 << 20,
            remember_for: 15 * DAY,
            numbers_max: 10_000,
            logs_max: 1_000,
            records_free: 1_000,
            seed: 0,
        }
    }
}

impl SchedulerOptions {
    /// What becomes of older plans in this namespace.
    pub fn newer(&self, namespace: &str) -> Newer {
        self.newer_in.get(namespace).copied().unwrap_or(self.newer)
    }

    /// The visibility timeout of this source.
    pub(super) fn visibility(&self, source: u32) -> Duration {
        let source = usize::try_from(source).ok();
        let visibility = source.and_then(|source| self.visibility.get(source)).copied();
        visibility.unwrap_or(Duration::from_mins(5))
    }

    /// After this long every source has handed out again what nobody holds.
    pub(super) fn longest_visibility(&self) -> Duration {
        self.visibility.iter().copied().max().unwrap_or(Duration::from_mins(5))
    }
}
