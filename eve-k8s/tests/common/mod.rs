//! What both test programs need: a plan of objects, and the phases of one component driven by hand.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eve_core::failure::{Cause, Failure};
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Component, Dependency, FailurePolicy, Plan, Settings};
use eve_core::ports::{Context, Executor, Step};
use eve_core::run::{Applied, Prepared};
use eve_core::testing::TokioClock;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use eve_k8s::KubeExecutor;
use serde_json::{Value, json};

/// The namespace and the specs of a plan named `shop`.
pub(crate) struct Objects {
    namespace: String,
    specs: Vec<Arc<Value>>,
}

struct Object(String, Arc<Value>);

impl Plan for Objects {
    fn name(&self) -> &'static str {
        "shop"
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn on_failure(&self) -> FailurePolicy {
        FailurePolicy::Drain
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component)) {
        for (index, spec) in self.specs.iter().enumerate() {
            visit(&Object(format!("component-{index}"), Arc::clone(spec)));
        }
    }
}

impl Component for Object {
    fn name(&self) -> &str {
        &self.0
    }

    fn kind(&self) -> &str {
        eve_k8s::OBJECT_KIND
    }

    fn spec(&self) -> Arc<Value> {
        Arc::clone(&self.1)
    }

    fn dependencies(&self) -> Vec<Dependency> {
        Vec::new()
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }
}

/// A plan with one component for each object.
pub(crate) fn graph(namespace: &str, objects: impl IntoIterator<Item = Value>) -> Arc<Graph> {
    graph_of(namespace, objects.into_iter().map(|object| json!({ "object": object })))
}

/// A plan with one component for each spec.
pub(crate) fn graph_of(namespace: &str, specs: impl IntoIterator<Item = Value>) -> Arc<Graph> {
    let specs = specs.into_iter().map(Arc::new).collect();
    Arc::new(Graph::from_plan(&Objects { namespace: namespace.to_owned(), specs }).unwrap())
}

/// The step of one component of a graph.
pub(crate) fn step(graph: &Arc<Graph>, index: u32) -> Step {
    Step::new(RunId::new("run"), Arc::clone(graph), ComponentId::new(index), Attempt::FIRST)
}

/// A component with a spec of its own.
pub(crate) fn step_of(namespace: &str, spec: Value) -> Step {
    step(&graph_of(namespace, [spec]), 0)
}

/// A context that remembers what was told.
pub(crate) struct Told(Arc<Mutex<Vec<Cause>>>);

impl Told {
    pub(crate) fn context() -> (Context, Self) {
        let told: Arc<Mutex<Vec<Cause>>> = Arc::default();
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1_800_000_000_000_000)));
        let deadline = eve_core::ports::Clock::now(clock.as_ref()).plus(Duration::from_mins(10));
        let sink = Arc::clone(&told);
        let progress = Arc::new(move |cause| sink.lock().unwrap().push(cause));
        (Context::new(deadline, clock, progress), Self(told))
    }

    pub(crate) fn texts(&self) -> String {
        self.0
            .lock()
            .unwrap()
            .iter()
            .fold(String::new(), |text, cause| text + &format!("{}: {}\n", cause.code, cause.message))
    }
}

/// `prepare` and `apply`.
pub(crate) async fn write(executor: &KubeExecutor, step: &Step) -> Result<(Prepared, Applied), Failure> {
    let (cx, _) = Told::context();
    let prepared = executor.prepare(step, &cx).await?;
    let applied = executor.apply(step, &prepared, &cx).await?;
    Ok((prepared, applied))
}

/// What every value of a Secret has in it, so that one canary stands for all of them.
fn canary() -> Canary {
    Canary::plain(20)
}

/// A value that must come out nowhere; another one for each word.
pub(crate) fn value(word: &str) -> String {
    format!("{}{word}", canary().value())
}

/// The same, after it was looked for in what came out.
pub(crate) fn unseen<T: Debug>(sink: &str, what: T) -> T {
    let mut scan = CanaryScan::new([canary()]);
    scan.sink(sink, format!("{what:?}"));
    scan.assert_clean();
    what
}
