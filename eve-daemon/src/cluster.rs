//! The one cluster: what it serves, what of a plan it refuses before the first write, and who writes to it.

use std::sync::{Arc, PoisonError, RwLock};

use eve_core::failure::Failure;
use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::plan::problem::PlanProblem;
use eve_k8s::{
    ConnectError, Followed, KindPattern, Kinds, KubeClient, KubeConfigOptions, KubeExecutor, ScopePolicy,
};
use serde_json::Value;

use crate::config::{KubernetesConfig, Wrong};
use crate::health::{Health, Part, Words};
use crate::problems;
use crate::start_error::StartError;
use crate::validate::Files;

/// The code of objects whose kind nobody serves, as far as is known.
const UNKNOWN_KIND: &str = "k8s.kind.unknown";

/// A cluster that plans are deployed to.
#[derive(Debug)]
pub struct Cluster {
    client: KubeClient,
    policy: ScopePolicy,
    executor: Arc<KubeExecutor>,
    kinds: RwLock<Kinds>,
}

/// What of a configuration cannot be used. Who may log in is not looked at: a kubeconfig may name a program for that.
pub fn problems(config: &KubernetesConfig, files: Files) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (index, text) in config.allow_cluster_scoped.iter().enumerate() {
        if let Err(error) = text.parse::<KindPattern>() {
            let pointer = format!("/kubernetes/allowClusterScoped/{index}");
            found.push(Wrong::new(pointer, "config.bad-pattern", error.to_string()));
        }
    }
    found.extend(if files == Files::Here { unreachable_by(config) } else { None });
    found
}

/// Why nobody is reached by the kubeconfig, that of the environment included, or by the account of the pod. Only files are read.
fn unreachable_by(config: &KubernetesConfig) -> Option<Wrong> {
    let error = eve_k8s::context_namespace(&options(config)).err()?;
    let is_of_context =
        matches!(error, ConnectError::UnknownContext { .. } | ConnectError::NoCurrentContext { .. });
    let pointer = match config {
        KubernetesConfig { context: Some(_), .. } if is_of_context => Some("/kubernetes/context".to_owned()),
        KubernetesConfig { kubeconfig: Some(_), .. } => Some("/kubernetes/kubeconfig".to_owned()),
        KubernetesConfig { .. } => None,
    };
    let wrong = StartError::from(error).at("", "config.bad-kubeconfig");
    Some(Wrong { pointer, presumes: &["/kubernetes/kubeconfig", "/kubernetes/context"], ..wrong })
}

fn options(config: &KubernetesConfig) -> KubeConfigOptions {
    let options = KubeConfigOptions::default().with_kubeconfig(config.kubeconfig.clone());
    options.with_context(config.context.clone())
}

impl Cluster {
    /// The cluster of a configuration. No request is made.
    ///
    /// # Errors
    /// No client can be made, or a pattern cannot be read.
    pub async fn connect(config: &KubernetesConfig) -> Result<Self, StartError> {
        let client = eve_k8s::connect(&options(config)).await?;
        let mut policy = ScopePolicy::default();
        for namespace in &config.allow_namespaces {
            policy = policy.with_namespace(namespace);
        }
        for text in &config.allow_cluster_scoped {
            let pattern: KindPattern = text.parse().map_err(|error| {
                StartError::new(format!("`kubernetes.allowClusterScoped` has `{text}`: {error}"))
            })?;
            policy = policy.with_cluster_scoped(pattern);
        }
        let executor = KubeExecutor::builder(client.clone()).with_policy(policy.clone()).build();
        Ok(Self { client, policy, executor: Arc::new(executor), kinds: RwLock::default() })
    }

    /// Who makes objects, for all runs.
    pub fn executor(&self) -> Arc<KubeExecutor> {
        Arc::clone(&self.executor)
    }

    /// The address of the API server.
    pub fn server(&self) -> &str {
        self.client.server()
    }

    /// The namespace of plain manifests that state none: that of the context, or of the pod.
    pub fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Asks everything that can refuse a plan before its first write, all problems of a kind at once. Gives what belongs to
    /// other plans, for it to be told with whatever else is wrong. Reads only.
    ///
    /// # Errors
    /// What is refused, with its places in the plan, or why the cluster could not be asked.
    pub async fn admit(&self, plan: &Loaded, graph: &Arc<Graph>) -> Result<Vec<PlanProblem>, Failure> {
        refused(plan, &self.preflight(graph).await?, Vec::new())?;
        let namespace = graph.namespace();
        if !defines_namespace(graph, namespace) {
            let found = self.executor.has_namespace(graph).await.map_err(Failure::from)?;
            if found == Some(false) {
                let message = format!("the namespace `{namespace}` does not exist; create it first");
                return Err(Failure::permanent("k8s.namespace.missing", message));
            }
        }
        let others = self.executor.of_other_plans(graph).await;
        for cause in self.executor.leaving_namespaces(graph, Followed::ByRun).await? {
            tracing::warn!(plan = graph.name(), "{}", cause.message);
        }
        Ok(others)
    }

    /// What of a graph is not served here or may not be touched. The API server is asked again for what it did not serve.
    async fn preflight(&self, graph: &Graph) -> Result<Vec<PlanProblem>, Failure> {
        let problems = eve_k8s::preflight(graph, &self.kinds(), &self.policy);
        if !problems.iter().any(|problem| problem.code == UNKNOWN_KIND) {
            return Ok(problems);
        }
        let fresh = self.client.discover().await.map_err(Failure::from)?;
        let problems = eve_k8s::preflight(graph, &fresh, &self.policy);
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(problems)
    }

    fn kinds(&self) -> Kinds {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the cluster is known again by; `None` where that may not be read.
    ///
    /// # Errors
    /// Why the cluster could not be asked.
    pub async fn identity(&self) -> Result<Option<String>, Failure> {
        self.client.identity().await.map_err(Failure::from)
    }

    /// Reports again and again whether the API server answers. Never returns.
    pub async fn watch_over(&self, health: &Health) {
        let words = Words {
            away: "the API server cannot be asked; plans wait",
            back: "the API server answers again",
        };
        let ask = async || self.client.has_namespace("default").await.map(drop).map_err(Failure::from);
        health.watch_over(Part::Cluster, &words, ask).await;
    }
}

/// All problems of a plan as one failure, with others that were found of it; none where nothing was found.
pub(crate) fn refused(plan: &Loaded, found: &[PlanProblem], others: Vec<Diagnostic>) -> Result<(), Failure> {
    if found.is_empty() && others.is_empty() { Ok(()) } else { Err(refusal(plan, found, others)) }
}

/// The same where something was found.
pub(crate) fn refusal(plan: &Loaded, found: &[PlanProblem], others: Vec<Diagnostic>) -> Failure {
    let told = |problem: &PlanProblem| {
        let hint = hint(&problem.code).map(str::to_owned).or_else(|| problem.hint.clone());
        plan.diagnose_executor(&PlanProblem { hint, ..problem.clone() })
    };
    problems::failure(&plan.diagnostics(others.into_iter().chain(found.iter().map(told)).collect()))
}

/// What to do about problems for which a command line has flags and a daemon has none.
fn hint(code: &str) -> Option<&'static str> {
    match code {
        "k8s.scope.cluster" => {
            Some("whoever runs the daemon can allow it with `kubernetes.allowClusterScoped`")
        }
        "k8s.scope.namespace" => {
            Some("whoever runs the daemon can allow it with `kubernetes.allowNamespaces`")
        }
        "k8s.object.other-plan" => Some("take it out of one of the two plans"),
        _ => None,
    }
}

/// Whether a plan makes the namespace that it is for.
fn defines_namespace(graph: &Graph, namespace: &str) -> bool {
    graph.ids().filter_map(|id| graph.node(id).spec().get("object")).any(|object| {
        object.get("kind").and_then(Value::as_str) == Some("Namespace")
            && object.pointer("/metadata/name").and_then(Value::as_str) == Some(namespace)
    })
}
