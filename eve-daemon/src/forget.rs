//! What was kept so that a run can be undone is removed once the run is over: nobody undoes it afterwards, and it may hold
//! values of Secrets.

use std::sync::Arc;

use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::ports::Reporter;
use eve_core::run::{Event, Outcome, Record, RunView};
use eve_k8s::KubeExecutor;
use tokio::runtime::Handle;

/// Removes the snapshots of one run, in the background: a daemon that dies before leaves them to the runs after it, or to
/// their age.
#[derive(Debug)]
pub struct Forget {
    objects: Arc<KubeExecutor>,
    tasks: Handle,
    run: RunId,
    namespace: Arc<str>,
}

impl Forget {
    /// For the run of this graph; `None` if it keeps nothing.
    pub fn of(objects: &Arc<KubeExecutor>, tasks: &Handle, run: &RunId, graph: &Graph) -> Option<Self> {
        let (objects, tasks, run) = (Arc::clone(objects), tasks.clone(), run.clone());
        let namespace = graph.namespace().into();
        graph.may_be_rolled_back().then_some(Self { objects, tasks, run, namespace })
    }
}

impl Reporter for Forget {
    fn record(&self, record: &Record, _: &RunView<'_>) {
        // After a rollback that failed they are all that is left of what was there.
        if !matches!(record.event, Event::Finished { outcome } if outcome != Outcome::RollbackFailed) {
            return;
        }
        let (objects, run, namespace) =
            (Arc::clone(&self.objects), self.run.clone(), Arc::clone(&self.namespace));
        self.tasks.spawn(async move {
            if let Err(error) = objects.forget_run(&namespace, &run).await {
                let (run, reason) = (run.as_str(), error.to_string());
                tracing::warn!(
                    run,
                    namespace = &*namespace,
                    reason,
                    "what was kept to undo the run is still there"
                );
            }
        });
    }
}
