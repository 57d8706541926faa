//! From what a source delivers to a run: the text is read and checked, the cluster asked, the secrets fetched.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use eve_core::driver::{Executors, Intake, Opened, PlanName};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::kind::Kinds;
use eve_core::plan::Plan as _;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::{Glance, LoadOptions, Loaded, Source, glance, load};
use eve_core::run::{RunOptions, RunStart};
use eve_core::secret::PinnedSecrets;

use crate::cluster::{Cluster, refusal, refused};
use crate::credentials;
use crate::home::Home;
use crate::keys::StepKeys;
use crate::outages::Outages;
use crate::problems;
use crate::secrets::{Keeper, Unread};

/// What a plan is called where its text is spoken of.
const PLAN: &str = "plan";

/// Makes runs of plans for one cluster.
#[derive(Debug)]
pub struct PlanIntake {
    /// Who reads them.
    pub reader: Arc<PlanReader>,
    /// The options of every run but for its seed.
    pub options: RunOptions,
    /// Which of them cannot be opened yet.
    pub outages: Arc<Outages>,
    /// Whether the journal is of this cluster; none is opened before.
    pub home: Arc<Home>,
}

/// Reads plans for one cluster, without I/O.
pub struct PlanReader {
    /// The name of the cluster, if it has one.
    pub cluster_name: Option<String>,
    /// The kinds that plans may use.
    pub kinds: Kinds,
    /// Who carries them out.
    pub executors: Executors,
    /// Where they are carried out.
    pub cluster: Arc<Cluster>,
    /// Where secrets come from.
    pub secrets: Arc<Keeper>,
    /// Where the keys of functions come from.
    pub keys: Arc<StepKeys>,
}

impl fmt::Debug for PlanReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanReader").field("cluster_name", &self.cluster_name).finish_non_exhaustive()
    }
}

impl PlanReader {
    /// A plan and its graph.
    fn read(&self, body: &[u8]) -> Result<(Loaded, Graph), Failure> {
        let namespace = self.cluster.default_namespace().to_owned();
        let options = LoadOptions::new(&self.kinds)
            .with_default_namespace(Some(namespace))
            .with_secret_places(&crate::secrets::check_place);
        let source = Source::from_bytes(PLAN, body.to_vec());
        let plan = load(vec![source], &options).map_err(|found| problems::failure(&found))?;
        self.is_for_us(&plan)?;
        if plan.is_manifests() {
            return Err(manifests());
        }
        let graph = plan.graph().map_err(|found| problems::failure(&found))?;
        Ok((plan, graph))
    }

    /// A plan that is right as far as can be known without I/O, and its graph.
    fn checked(&self, body: &[u8]) -> Result<(Loaded, Graph), Failure> {
        let (plan, graph) = self.read(body)?;
        let problems = self.executors.check(&graph);
        let mut others = self.secrets.nobody_knows(&plan);
        if !problems.is_empty() {
            others.extend_from_slice(plan.misplaced_secrets());
        }
        refused(&plan, &problems, others)?;
        Ok((plan, graph))
    }

    fn is_for_us(&self, plan: &Loaded) -> Result<(), Failure> {
        let Some(wanted) = plan.cluster() else { return Ok(()) };
        let here = match self.cluster_name.as_deref() {
            Some(name) if name == wanted => return Ok(()),
            Some(name) => format!("this is `{name}`"),
            None => "this one has no name; `cluster` of the daemon's configuration gives it one".to_owned(),
        };
        Err(Failure::permanent(
            "plan.other-cluster",
            format!("the plan is for the cluster `{wanted}`, {here}"),
        ))
    }
}

/// Manifests would be a plan named after its namespace, in which each file takes away what the one before has made.
fn manifests() -> Failure {
    let message =
        "this is a manifest and no plan: it does not say which application of which namespace it is";
    Failure::permanent("plan.manifests", message)
        .with_hint("write it under `manifests` in a component of a plan, or use `eve apply`")
}

impl PlanIntake {
    async fn opened(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        self.home.is_here().await?;
        // A large plan takes a thread for seconds: one that nobody else waits for.
        let (reader, body) = (Arc::clone(&self.reader), body.to_vec());
        // What a run has begun it brings to its end: each component finds out for itself what stands in its way by now.
        let read = if begun.is_some() { PlanReader::read } else { PlanReader::checked };
        let checked = tokio::task::spawn_blocking(move || read(&reader, &body)).await;
        let (plan, graph) = checked.map_err(|error| {
            Failure::permanent("plan.panicked", format!("reading the plan did not come to its end: {error}"))
        })??;
        let graph = Arc::new(graph);
        let of_others = match begun {
            None => self.reader.cluster.admit(&plan, &graph).await?,
            Some(_) => Vec::new(),
        };
        let found = self.secrets(run, (&plan, &graph), begun).await;
        if !of_others.is_empty() {
            // What may pass is no problem of the plan.
            let bad = found.err().filter(|unread| !unread.may_pass);
            let bad = bad.map_or_else(Vec::new, |unread| unread.problems);
            return Err(refusal(&plan, &of_others, bad));
        }
        let secrets = found.map_err(|unread| unread.failure(&plan))?;
        if !self.reader.keys.may_ask(&graph) {
            self.reader.secrets.close(run).await;
        }
        let options = self.options.clone().with_seed(crate::wiring::random()).with_pins(secrets.pins);
        Ok(Opened { graph, options, secrets: secrets.values })
    }
}

impl PlanIntake {
    /// The secrets of a run; the keys of the functions that it calls are read as well. Whatever cannot be had is told at once.
    async fn secrets(
        &self,
        run: &RunId,
        (plan, graph): (&Loaded, &Graph),
        begun: Option<&RunStart>,
    ) -> Result<PinnedSecrets, Unread> {
        let PlanReader { secrets, keys, .. } = &*self.reader;
        let found = match secrets.of_run(run, plan, begun).await {
            Err(unread) if unread.may_pass => return Err(unread),
            found => found,
        };
        let keys = keys.read_for(run, plan, graph).await;
        match (found, keys) {
            // What a run has begun it goes on with until it meets a step whose key is still not there.
            (found, Err(_)) if begun.is_some() => found,
            (Err(unread), Err(other)) => Err(unread.and(other)),
            (Ok(_), Err(unread)) | (Err(unread), Ok(())) => Err(unread),
            (Ok(found), Ok(())) => Ok(found),
        }
    }
}

#[async_trait]
impl Intake for PlanIntake {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        let (plan, _) = self.reader.checked(body)?;
        let request = plan.request_id().map(Into::into);
        Ok(PlanName { namespace: plan.namespace().into(), plan: plan.name().into(), request })
    }

    fn glance(&self, body: &[u8]) -> Glance {
        glance(body)
    }

    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        let opened = self.opened(run, body, begun).await.map_err(credentials::may_come_back);
        self.outages.saw(run, opened.as_ref().err());
        opened
    }

    fn let_go(&self, run: &RunId) {
        self.reader.secrets.let_go(run);
    }
}
