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
use eve_core::plan::load::{LoadOptions, Loaded, Source, load};
use eve_core::run::{RunOptions, RunStart};

use crate::cluster::{Cluster, refused};
use crate::problems;
use crate::secrets::Keeper;

/// What a plan is called where its text is spoken of.
const PLAN: &str = "plan";

/// Reads plans for one cluster.
pub struct PlanIntake {
    /// The name of the cluster, if it has one.
    pub cluster_name: Option<String>,
    /// The kinds that plans may use.
    pub kinds: Kinds,
    /// Who carries them out.
    pub executors: Executors,
    /// Where they are carried out.
    pub cluster: Arc<Cluster>,
    /// Where secrets come from.
    pub secrets: Keeper,
    /// The options of every run but for its seed.
    pub options: RunOptions,
}

impl fmt::Debug for PlanIntake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanIntake").field("cluster_name", &self.cluster_name).finish_non_exhaustive()
    }
}

impl PlanIntake {
    /// A plan that is right as far as can be known without I/O, and its graph.
    fn checked(&self, body: &[u8]) -> Result<(Loaded, Graph), Failure> {
        let namespace = self.cluster.default_namespace().to_owned();
        let options = LoadOptions::new(&self.kinds)
            .with_default_namespace(Some(namespace))
            .with_secret_places(&crate::secrets::check_place);
        let source = Source::from_bytes(PLAN, body.to_vec());
        let plan = load(vec![source], &options).map_err(|found| problems::failure(&found))?;
        self.is_for_us(&plan)?;
        let unserved = self.secrets.unserved(&plan);
        let graph = plan.graph().map_err(|found| problems::failure(&found))?;
        refused(&plan, unserved, &self.executors.check(&graph))?;
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

#[async_trait]
impl Intake for PlanIntake {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        let (plan, _) = self.checked(body)?;
        Ok(PlanName { namespace: plan.namespace().into(), plan: plan.name().into() })
    }

    async fn open(&self, _: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        let (plan, graph) = self.checked(body)?;
        let graph = Arc::new(graph);
        // What a run has begun it brings to its end: each component finds out for itself what stands in its way by now.
        if begun.is_none() {
            self.cluster.admit(&plan, &graph).await?;
        }
        let secrets = self.secrets.of_run(&plan, begun).await?;
        let options = self.options.clone().with_seed(crate::wiring::random()).with_pins(secrets.pins);
        Ok(Opened { graph, options, secrets: secrets.values })
    }
}
