//! The composition root: which kinds, executors and logs the command line works with. Nothing else in this crate
//! knows a backend.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::sync::Arc;

use eve_core::driver::Executors;
use eve_core::ids::RunId;
use eve_core::kind::Kinds;
use eve_core::plan::builder::PlanBuilder;
use eve_core::plan::graph::Graph;
use eve_core::plan::problem::PlanProblem;
use eve_core::time::Timestamp;
use eve_k8s::kinds::{HelmHooks, Manifests};
use eve_k8s::{
    Adopted, ApiError, Chosen, ConnectError, Ensured, Grace, Graces, Inventory, InventoryScope, KindPattern,
    KubeClient, KubeConfigOptions, KubeExecutor, OBJECT_KIND, ScopePolicy, TakeOver, Trouble,
};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::{Cluster, Global};
use crate::diagnose::Colour;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::Printer;

/// The environment variable that says what is logged, in the notation of `tracing_subscriber::EnvFilter`.
const LOG_VARIABLE: &str = "EVE_LOG";
pub(crate) use eve_k8s::LeftOver;

/// The output by which a component says why it stays, though it was to be removed.
pub(crate) const KEPT: &str = eve_k8s::KEPT;
/// The output by which a component says what it took over from `kubectl apply`.
pub(crate) const TAKEN_OVER: &str = eve_k8s::TAKEN_OVER;
/// The output by which a component says that nothing reports a status for it.
pub(crate) const NO_STATUS: &str = eve_k8s::NO_STATUS;
/// The namespace where nobody names one.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The kinds that a plan may use.
pub(crate) fn kinds(helm_hooks: HelmHooks) -> Kinds {
    Kinds::new().with_manifests(Manifests::default().with_helm_hooks(helm_hooks))
}

/// The namespace for inputs that state none, for commands that need no cluster and no valid kubeconfig.
pub(crate) fn offline_namespace() -> String {
    let namespace = eve_k8s::context_namespace(&KubeConfigOptions::default());
    namespace.unwrap_or_else(|_| DEFAULT_NAMESPACE.into())
}

/// The namespace for inputs that state none. No request is made.
pub(crate) fn namespace(flags: &Cluster) -> Result<String, Halt> {
    eve_k8s::context_namespace(&options(flags)).map_err(|error| unusable(&error))
}

/// Which kubeconfigs and which context the flags mean now. No request is made.
pub(crate) fn chosen(flags: &Cluster) -> Result<Chosen, Halt> {
    eve_k8s::chosen(&options(flags)).map_err(|error| unusable(&error))
}

fn options(flags: &Cluster) -> KubeConfigOptions {
    KubeConfigOptions::default()
        .with_kubeconfigs(flags.kubeconfig.clone())
        .with_context(flags.context.clone())
        .with_as_user(flags.as_user.clone())
        .with_as_groups(flags.as_groups.clone())
        .with_request_timeout(flags.request_timeout)
}

/// A cluster that answered, and what it serves.
#[derive(Debug)]
pub(crate) struct Connected {
    client: KubeClient,
    kinds: eve_k8s::Kinds,
    policy: ScopePolicy,
}

/// Connects and asks what the cluster serves. Reads only.
pub(crate) async fn connect(
    flags: &Cluster,
    allow_namespaces: &[String],
    allow_cluster_scoped: &[KindPattern],
) -> Result<Connected, Halt> {
    connect_telling(flags, allow_namespaces, allow_cluster_scoped, |_| {}).await
}

/// The same; tells the address of the API server before it asks.
pub(crate) async fn connect_telling(
    flags: &Cluster,
    allow_namespaces: &[String],
    allow_cluster_scoped: &[KindPattern],
    tell: impl FnOnce(&str),
) -> Result<Connected, Halt> {
    let client = eve_k8s::connect(&options(flags)).await.map_err(|error| unusable(&error))?;
    tracing::info!(server = client.server(), as_user = flags.as_user.as_deref(), "connected");
    tell(client.server());
    let kinds = client.discover().await.map_err(|error| unreachable(&client, &error))?;
    Ok(Connected { client, kinds, policy: policy(allow_namespaces, allow_cluster_scoped) })
}

fn policy(allow_namespaces: &[String], allow_cluster_scoped: &[KindPattern]) -> ScopePolicy {
    let policy = allow_namespaces.iter().fold(ScopePolicy::default(), ScopePolicy::with_namespace);
    allow_cluster_scoped.iter().cloned().fold(policy, ScopePolicy::with_cluster_scoped)
}

/// Everything in the plan that may not be touched, as far as that can be told without a cluster.
pub(crate) fn preflight_offline(
    graph: &Graph,
    allow_namespaces: &[String],
    allow_cluster_scoped: &[KindPattern],
) -> Vec<PlanProblem> {
    eve_k8s::preflight_offline(graph, &policy(allow_namespaces, allow_cluster_scoped))
}

/// What the cluster is known again by, asked for beside whatever else is.
#[derive(Debug)]
pub(crate) struct Identity(JoinHandle<Result<Option<String>, Halt>>);

impl Identity {
    /// Waits for it; `None` where it may not be read.
    pub(crate) async fn found(self) -> Result<Option<String>, Halt> {
        let broken =
            |error| Halt::error(Exit::Internal, format!("the cluster was not asked who it is: {error}"));
        self.0.await.map_err(broken)?
    }
}

impl Connected {
    /// Begins to ask what the cluster is known again by.
    pub(crate) fn identity(&self) -> Identity {
        let client = self.client.clone();
        Identity(tokio::spawn(async move {
            client.identity().await.map_err(|error| unreachable(&client, &error))
        }))
    }

    /// The address of its API server.
    pub(crate) fn server(&self) -> &str {
        self.client.server()
    }

    /// Everything in the plan that this cluster does not serve or that may not be touched.
    pub(crate) fn preflight(&self, graph: &Graph) -> Vec<PlanProblem> {
        eve_k8s::preflight(graph, &self.kinds, &self.policy)
    }

    /// Whether the plan's namespace is there; where that may not be asked, it is taken to be. What was read for it serves
    /// the run of the same graph by the same executor.
    pub(crate) async fn has_namespace(
        &self,
        executor: &KubeExecutor,
        graph: &Arc<Graph>,
    ) -> Result<bool, Halt> {
        let found = executor.has_namespace(graph).await;
        Ok(found.map_err(|error| unreachable(&self.client, &error))?.unwrap_or(true))
    }

    /// Makes the namespace if it is missing, and says whether it was. A write.
    pub(crate) async fn create_namespace(&self, name: &str) -> Result<bool, Halt> {
        let ensured = self.client.ensure_namespace(name).await;
        Ok(ensured.map_err(|error| unreachable(&self.client, &error))? == Ensured::Created)
    }

    /// What is installed of a plan, or of all plans.
    pub(crate) async fn inventory(
        &self,
        scope: InventoryScope<'_>,
        plan: Option<&str>,
    ) -> Result<Inventory, Halt> {
        let found = eve_k8s::inventory(&self.client, &self.kinds, scope, plan).await;
        found.map_err(|error| unreachable(&self.client, &error))
    }

    /// What is installed of a plan, wherever it may reach.
    pub(crate) async fn inventory_of(&self, namespace: &str, plan: &str) -> Result<Inventory, Halt> {
        self.inventory(InventoryScope::Reach(namespace, &self.policy), Some(plan)).await
    }

    /// A plan of what is installed.
    pub(crate) async fn plan_of(
        &self,
        inventory: &Inventory,
        plan: (&str, &str),
    ) -> Result<PlanBuilder, Halt> {
        let made = eve_k8s::plan_of(&self.client, &self.kinds, inventory, plan).await;
        made.map_err(|error| unreachable(&self.client, &error))
    }

    /// Who deletes, also objects that were there before eve where that is asked for.
    pub(crate) fn deleter(&self, adopted: Adopted) -> KubeExecutor {
        let executor = KubeExecutor::builder(self.client.clone()).with_kinds(self.kinds.clone());
        executor.with_policy(self.policy.clone()).with_adopted(adopted).build()
    }

    /// Who carries out components that are objects, where these causes are borne otherwise than by default, of one cause
    /// the last, and these objects are taken over from other plans.
    pub(crate) fn executor(&self, graces: &[(Trouble, Grace)], take_over: &[TakeOver]) -> KubeExecutor {
        let graces =
            graces.iter().fold(Graces::default(), |all, (trouble, grace)| all.with(*trouble, *grace));
        let executor = KubeExecutor::builder(self.client.clone()).with_kinds(self.kinds.clone());
        let executor = executor.with_policy(self.policy.clone()).with_take_over(take_over.to_vec());
        executor.with_graces(graces).build()
    }
}

/// Who carries out which kind.
pub(crate) fn executors(objects: Arc<KubeExecutor>) -> Executors {
    Executors::new().with(OBJECT_KIND, objects)
}

fn unusable(error: &ConnectError) -> Halt {
    Halt::error(Exit::Cluster, chain(error)).with_hint(error.hint())
}

fn unreachable(client: &KubeClient, error: &ApiError) -> Halt {
    let message = format!("the cluster at {} cannot be used: {error}", client.server());
    Halt::error(Exit::Cluster, message).with_hint(error.hint())
}

/// An error with its sources, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// A number that nobody can foresee; seeds jitter and names runs. Not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A run's name: unique, and in the order of time when sorted.
pub(crate) fn run_id(now: Timestamp) -> RunId {
    RunId::new(format!("{:013}-{:08x}", now.as_micros() / 1000, random() >> 32))
}

/// Sends logs to stderr, past a frame that stands there.
pub(crate) fn start_logging(flags: &Global, printer: &Arc<Printer>) -> Result<(), Halt> {
    let default = match flags.verbose {
        _ if flags.quiet => "off",
        // What the client says of a lost connection, eve says itself, and in its own form.
        0 => "warn,kube_client=off",
        1 => "info,kube_client=off",
        2 => "debug",
        _ => "trace",
    };
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Halt::error(Exit::Usage, format!("the variable {LOG_VARIABLE} cannot be understood: {error}"))
        })?,
        _ => EnvFilter::new(default),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(printer.colour() == Colour::Always)
        .with_writer(LogWriter(Arc::clone(printer)));
    // An error says that there is a subscriber already, as in a test that runs several commands.
    let _ = logs.try_init();
    Ok(())
}

/// Gives each line of the log to the printer.
#[derive(Clone)]
struct LogWriter(Arc<Printer>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.err(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_runs_have_two_names_that_sort_by_time() {
        let now = Timestamp::from_micros(1_763_596_800_000_000);
        assert_ne!(run_id(now), run_id(now));
        assert!(run_id(now) < run_id(now.plus(Duration::from_millis(1))));
    }
}
