//! `eve explain`: what of an input, or of what is there of a plan, is not up, and why. Reads only, and waits for nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use eve_core::failure::Failure;
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::Action;
use eve_core::plan::graph::{Graph, closest};
use eve_core::ports::Step;
use eve_k8s::{Explanation, KubeExecutor, ObjectPattern};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::admit::admit;
use super::{drive, or_json, unseen, warn};
use crate::cli::{Explain, ExplainOutput, Input};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::inputs::{self, Checked, Overrides};
use crate::output::{Explained, Findings, Printer};
use crate::wiring::{self, Connected, DEFAULT_NAMESPACE};

pub(super) fn run(args: &Explain, printer: &Printer) -> Result<Exit, Halt> {
    let result = match &args.plan {
        Some(plan) => by_labels(args, plan, printer),
        None => by_files(args, printer),
    };
    or_json(result, (args.output, ExplainOutput::Json), printer)
}

fn by_files(args: &Explain, printer: &Printer) -> Result<Exit, Halt> {
    let namespace = wiring::namespace(&args.cluster);
    let default = namespace.as_ref().map_or_else(|_| DEFAULT_NAMESPACE.to_owned(), Clone::clone);
    let input = Input {
        filenames: args.filenames.clone(),
        recursive: args.recursive,
        helm_hooks: args.helm_hooks,
        namespace: args.namespace.clone(),
        name: args.name.clone(),
        values: args.values.clone(),
    };
    let overrides = Overrides { waived: args.waived.clone(), ..Overrides::default() };
    let checked = inputs::check(&input, default, &overrides)?;
    namespace?;
    warn(&checked.plan, printer);
    let asked = asked(&checked.graph, &args.what)?;
    drive::block_on(async {
        let connected = preflight(args, &checked).await?;
        look(args, connected, checked.graph, &asked, printer).await
    })
}

fn by_labels(args: &Explain, plan: &str, printer: &Printer) -> Result<Exit, Halt> {
    let namespace = match &args.namespace {
        Some(namespace) => namespace.clone(),
        None => wiring::namespace(&args.cluster)?,
    };
    drive::block_on(async {
        let connected = connect(args).await?;
        let inventory = connected.inventory_of(&namespace, plan).await?;
        for line in unseen(&inventory).filter(|_| !printer.is_quiet()) {
            printer.err(&line);
        }
        if inventory.objects.is_empty() {
            let message = format!("nothing of the plan `{plan}` is installed in the namespace `{namespace}`");
            let hint = "`eve get plans -A` shows what is installed".to_owned();
            return Err(Halt::error(Exit::Refused, message).with_hint(hint));
        }
        let installed = connected.plan_of(&inventory, (plan, &namespace)).await?;
        let graph = Graph::from_plan(&installed).map_err(|problems| {
            let problems = problems.into_iter().map(|problem| problem.message).collect();
            Halt::error(Exit::Refused, "what is installed makes no plan").with_notes(problems)
        })?;
        let asked = asked(&graph, &args.what)?;
        look(args, connected, Arc::new(graph), &asked, printer).await
    })
}

async fn connect(args: &Explain) -> Result<Connected, Halt> {
    wiring::connect(&args.cluster, &args.allow_namespaces, &args.allow_cluster_scoped).await
}

async fn preflight(args: &Explain, checked: &Checked) -> Result<Connected, Halt> {
    let connected = connect(args).await?;
    admit(connected, checked, &checked.graph)
}

/// The components that are meant; all but joins where none is named.
fn asked(graph: &Graph, what: &[String]) -> Result<BTreeSet<ComponentId>, Halt> {
    let all = || graph.ids().filter(|id| graph.node(*id).action() != Action::None);
    if what.is_empty() {
        return Ok(all().collect());
    }
    let mut asked = BTreeSet::new();
    for word in what {
        let pattern: Option<ObjectPattern> = word.parse().ok();
        let before = asked.len();
        asked.extend(all().filter(|id| is_meant(graph, *id, word, pattern.as_ref())));
        if asked.len() == before && !all().any(|id| is_meant(graph, id, word, pattern.as_ref())) {
            let known = all().map(|id| graph.node(id).name());
            let hint = closest(word, known).map(|meant| format!("did you mean `{meant}`?"));
            let message = format!("there is no component or object `{word}`");
            return Err(Halt::error(Exit::Refused, message).with_hint(hint));
        }
    }
    Ok(asked)
}

/// Whether the word is the component's name, that of what it is a part of, or its object.
fn is_meant(graph: &Graph, id: ComponentId, word: &str, pattern: Option<&ObjectPattern>) -> bool {
    let node = graph.node(id);
    let rest = node.name().strip_prefix(word);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || pattern.is_some_and(|pattern| pattern.matches(node.spec(), graph.namespace()))
}

async fn look(
    args: &Explain,
    connected: Connected,
    graph: Arc<Graph>,
    asked: &BTreeSet<ComponentId>,
    printer: &Printer,
) -> Result<Exit, Halt> {
    let findings = findings(Arc::new(connected.executor(&[], &[])), &graph, args.concurrency).await?;
    let explained = Explained { graph: &graph, findings: &findings, asked };
    match args.output {
        ExplainOutput::Text => printer.out(&explained.text()),
        ExplainOutput::Json => printer.out(&explained.json().to_string()),
    }
    Ok(if explained.is_unreachable() {
        Exit::Cluster
    } else if explained.is_up() {
        Exit::Succeeded
    } else {
        Exit::Failed
    })
}

/// Looks at all components, so many at once.
async fn findings(
    executor: Arc<KubeExecutor>,
    graph: &Arc<Graph>,
    concurrency: u32,
) -> Result<Findings, Halt> {
    let slots = Arc::new(Semaphore::new(concurrency as usize));
    let mut tasks: JoinSet<(ComponentId, Result<Explanation, Failure>)> = JoinSet::new();
    for id in graph.ids().filter(|id| graph.node(*id).action() != Action::None) {
        let step = Step::new(RunId::new("explain"), Arc::clone(graph), id, Attempt::FIRST);
        let (executor, slots) = (Arc::clone(&executor), Arc::clone(&slots));
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await;
            (id, executor.explain(&step).await)
        });
    }
    let mut findings = Findings::new();
    while let Some(ended) = tasks.join_next().await {
        let (id, finding) = ended.map_err(|error| Halt::error(Exit::Internal, wiring::chain(&error)))?;
        findings.insert(id, finding);
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
    use serde_json::json;

    use super::*;

    #[test]
    fn components_are_named_whole_by_their_first_part_or_by_their_object() {
        let component = |name: &str, object: &str| {
            ComponentBuilder::new(name, "object").spec(json!({ "object": {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": object } } }))
        };
        let plan = PlanBuilder::new("shop", "shop").components([
            component("web/deployment/web", "web"),
            component("web/deployment/cache", "cache"),
            component("website", "site"),
        ]);
        let graph = Graph::from_plan(&plan).unwrap();
        for (what, expected) in [
            (vec![], Some(vec![0, 1, 2])),
            (vec!["web"], Some(vec![0, 1])),
            (vec!["web/deployment/web"], Some(vec![0])),
            (vec!["deploy/cache"], Some(vec![1])),
            (vec!["deployment/shop/site", "web/deployment/web"], Some(vec![0, 2])),
            (vec!["web", "deploy/web"], Some(vec![0, 1])),
            (vec!["webs"], None),
            (vec!["web", "service/web"], None),
        ] {
            let words: Vec<String> = what.iter().map(|word| (*word).to_owned()).collect();
            let found = asked(&graph, &words).ok();
            let found = found.map(|ids| ids.iter().map(|id| id.index()).collect::<Vec<_>>());
            assert_eq!(found, expected, "{what:?}");
        }
    }
}
