//! The composition root: from a configuration to the ports that a scheduler is joined to. Nothing else in this crate, but for
//! `cluster`, `secrets`, `keys`, `sources`, `notifiers` and `journal`, knows a backend.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::{Executors, ServePorts, SystemClock};
use eve_core::ids::RunId;
use eve_core::kind::{Kind as _, Kinds};
use eve_core::plan::RetryPolicy;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock, Ledger as _, Reporter};
use eve_core::run::RunOptions;
use eve_core::scheduler::{Newer, Running, Scheduler, SchedulerOptions};
use eve_k8s::kinds::Manifests;
use eve_k8s::{KubeExecutor, OBJECT_KIND};
use eve_queue::FunctionKind;
use tokio::runtime::Handle;

use crate::cluster::Cluster;
use crate::config::{Config, NewerPlan};
use crate::forget::Forget;
use crate::health::Health;
use crate::home::Home;
use crate::intake::{PlanIntake, PlanReader};
use crate::journal::Journal;
use crate::keys::StepKeys;
use crate::metrics::Metrics;
use crate::notifiers::{self, Receivers};
use crate::run_log::RunLog;
use crate::secrets::Keeper;
use crate::sources;
use crate::start_error::{StartError, chain};
use crate::undelivered::Undelivered;

/// In how many namespaces plans run at once by default.
const NAMESPACES_AT_ONCE: u32 = 8;

/// What a component does about failures that may pass, unless it says otherwise. A daemon lives through an API server that
/// is away for half a minute and takes as long again until it is ready, and so do its runs: between eight attempts there
/// are pauses of 1, 2, 4, 8, 16, 30 and 30 s, in all 91 s, or 45 s where the jitter halves every one of them. Between three,
/// which is what somebody who waits at a terminal gets, there are 3 s; between six 31 s, or 15 s.
const RETRY: RetryPolicy =
    RetryPolicy { attempts: 8, backoff: Duration::from_secs(1), max_backoff: Duration::from_secs(30) };

/// A daemon that is about to serve.
pub struct Daemon {
    /// What decides.
    pub scheduler: Scheduler,
    /// What it is joined to.
    pub ports: ServePorts,
    /// The cluster, to be watched over.
    pub cluster: Arc<Cluster>,
    /// Whether the journal is of that cluster.
    pub home: Arc<Home>,
    /// Where secrets come from, to be watched over.
    pub secrets: Arc<Keeper>,
    /// What no receiver has taken yet.
    pub undelivered: Arc<Undelivered>,
    /// Where plans come from, for logs.
    pub source: String,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Wires everything that the configuration names. Takes the journal and, where it is one, the directory over; no server is
/// called.
///
/// # Errors
/// What cannot be used.
pub async fn wire(
    config: &Config,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
) -> Result<Daemon, StartError> {
    eve_k8s::init();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let cluster = Arc::new(Cluster::connect(&config.kubernetes).await?);
    let folder = config.state.folder.as_deref().unwrap_or_else(|| Path::new("eve-daemon-state"));
    let journal = Arc::new(Journal::open(folder, Arc::clone(health), Arc::clone(metrics))?);
    let secrets = Arc::new(Keeper::new(config.vault.as_ref(), journal.key()?)?);
    let keys = Arc::new(StepKeys::new(&config.functions, Arc::clone(&secrets))?);
    let executors = Executors::new()
        .with(OBJECT_KIND, cluster.executor())
        .with(FunctionKind.name(), Arc::new(notifiers::functions(&keys)?));
    let opened = sources::open(config, &clock, health)?;
    let receivers = notifiers::receivers(config, opened.aws.as_ref(), &clock, (cluster.server(), &secrets))?;
    let options = options(config, &receivers, opened.visibility, clock.as_ref());
    let records = journal.load().await.map_err(|error| StartError::new(chain(&error)))?;
    let scheduler = Scheduler::resume(options, &records, clock.now())
        .map_err(|error| StartError::new(format!("the journal cannot be gone on with: {}", chain(&error))))?;
    journal.recall(scheduler.view());
    let reader = PlanReader {
        cluster_name: config.cluster.clone(),
        kinds: Kinds::new().with_manifests(Manifests::default()).with(FunctionKind),
        executors: executors.clone(),
        cluster: Arc::clone(&cluster),
        secrets: Arc::clone(&secrets),
        keys,
    };
    let (reader, options) = (Arc::new(reader), run_options(config));
    let home = Arc::new(Home::new(Arc::clone(&cluster), Arc::clone(&journal)));
    let intake = PlanIntake { reader, options, outages: journal.outages(), home: Arc::clone(&home) };
    let undelivered = journal.undelivered();
    let (observed, objects) = (Arc::clone(&journal), cluster.executor());
    let ports = ServePorts {
        sources: vec![opened.source],
        intake: Arc::new(intake),
        executors,
        ledger: journal,
        notifiers: receivers,
        reporters: Arc::new(move |run, graph| reporters(&objects, run, graph)),
        observer: Arc::new(move |view| observed.observe(view)),
        clock,
    };
    Ok(Daemon { scheduler, ports, cluster, home, secrets, undelivered, source: opened.what })
}

/// Who is shown a run: the log, and who tidies up after it.
fn reporters(objects: &Arc<KubeExecutor>, run: &RunId, graph: &Graph) -> Vec<Arc<dyn Reporter>> {
    let forget = Forget::of(objects, &Handle::current(), run, graph);
    let forget = forget.into_iter().map(|forget| Arc::new(forget) as Arc<dyn Reporter>);
    std::iter::once(Arc::new(RunLog::new(run, graph)) as Arc<dyn Reporter>).chain(forget).collect()
}

fn run_options(config: &Config) -> RunOptions {
    let options = RunOptions::default().with_retry(RETRY);
    config.scheduler.run_timeout.iter().fold(options, |options, timeout| options.with_run_timeout(timeout.0))
}

fn options(
    config: &Config,
    receivers: &Receivers,
    visibility: Duration,
    clock: &dyn Clock,
) -> SchedulerOptions {
    let mut options = SchedulerOptions::default();
    let number = random();
    options.run_prefix = format!("{:013}-{:08x}", clock.now().as_micros() / 1000, number >> 32).into();
    options.parallel = config.scheduler.namespaces_at_once.unwrap_or(NAMESPACES_AT_ONCE);
    options.newer = config.scheduler.newer_plan.map_or(Newer::Queue, newer);
    let namespaces = config.scheduler.namespaces.iter();
    options.newer_in = namespaces.map(|one| (one.name.clone(), newer(one.newer_plan))).collect();
    options.receivers = receivers.keys().cloned().collect();
    options.notices.timeout = notifiers::CALL_LIMIT;
    options.visibility = vec![visibility];
    options.seed = number;
    options
}

fn newer(plan: NewerPlan) -> Newer {
    match plan {
        NewerPlan::Queue => Newer::Queue,
        NewerPlan::SupersedeWaiting => Newer::Supersede(Running::Finish),
        NewerPlan::SupersedeRunning => Newer::Supersede(Running::Drain),
        NewerPlan::CancelRunning => Newer::Supersede(Running::Cancel),
    }
}

/// A number that nobody can foresee; seeds jitter and names runs. Not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use eve_core::plan::diagnostic::Source;

    use super::*;
    use crate::config::{Variables, read};

    #[test]
    fn every_namespace_has_the_rule_that_the_configuration_gives_it() {
        let text = "
source: { directory: { path: plans } }
scheduler:
  newerPlan: supersedeWaiting
  namespaces:
    - { name: shop, newerPlan: cancelRunning }
    - { name: office, newerPlan: supersedeRunning }
    - { name: bank, newerPlan: queue }
";
        let config = read(Source::new("x", text), Path::new("/"), &Variables::default(), &|_| Vec::new());
        let options =
            options(&config.unwrap(), &Receivers::new(), Duration::from_secs(1), &SystemClock::new());
        for (namespace, rule) in [
            ("shop", Newer::Supersede(Running::Cancel)),
            ("office", Newer::Supersede(Running::Drain)),
            ("bank", Newer::Queue),
            ("any", Newer::Supersede(Running::Finish)),
        ] {
            assert_eq!(options.newer(namespace), rule, "{namespace}");
        }
    }
}
