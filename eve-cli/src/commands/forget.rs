//! What was kept so that runs can be undone is removed as soon as none of them will be: it may hold values of Secrets.

use std::sync::Arc;

use eve_core::ids::RunId;
use eve_core::run::Outcome;
use eve_k8s::{KubeExecutor, labels};

use crate::output::{Printer, clean, style};
use crate::signals::Signals;

/// What a run is for, and so what is useless once it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Apply,
    Delete,
    /// This run is undone.
    Undo(RunId),
}

/// Whose snapshots nobody needs any more.
#[derive(Debug, PartialEq, Eq)]
enum Useless {
    Run(RunId),
    Plan,
}

impl Purpose {
    fn useless(self, run: &RunId, outcome: Outcome) -> Option<Useless> {
        match (self, outcome) {
            (Self::Undo(undone), Outcome::RolledBack) => Some(Useless::Run(undone)),
            (Self::Apply | Self::Delete, Outcome::RolledBack) => Some(Useless::Run(run.clone())),
            (Self::Delete, Outcome::Succeeded) => Some(Useless::Plan),
            _ => None,
        }
    }
}

/// Removes snapshots once a run is over.
#[derive(Debug)]
pub(super) struct Forgetter {
    pub(super) objects: Arc<KubeExecutor>,
    pub(super) purpose: Purpose,
    pub(super) namespace: String,
    pub(super) plan: String,
}

impl Forgetter {
    /// Removes what nobody needs after this end of the run. The first signal gives it up. What cannot be removed is a
    /// warning: the run is over and has ended as it has.
    pub(super) async fn forget(
        self,
        run: &RunId,
        outcome: Outcome,
        printer: &Printer,
        signals: &mut Signals,
    ) {
        let Self { objects, purpose, namespace, plan } = self;
        let Some(useless) = purpose.useless(run, outcome) else { return };
        let removing = async {
            match &useless {
                Useless::Run(run) => objects.forget_run(&namespace, run).await,
                Useless::Plan => objects.forget_plan(&namespace, &plan).await,
            }
        };
        let why = tokio::select! {
            removed = removing => removed.err().map(|error| error.to_string()),
            _ = signals.next() => Some("it was stopped".to_owned()),
        };
        if let Some(why) = why {
            printer.err(&warning(&useless, (&namespace, &plan), &why));
        }
    }
}

fn warning(useless: &Useless, (namespace, plan): (&str, &str), why: &str) -> String {
    let (of, label) = match useless {
        Useless::Run(run) => {
            (format!("run {run}"), format!("{}={}", labels::RUN, labels::value(run.as_str())))
        }
        Useless::Plan => {
            (format!("plan {}", clean(plan)), format!("{}={}", labels::SNAPSHOT_OF, labels::value(plan)))
        }
    };
    format!(
        "{}: what was kept to undo {of} is not needed any more and could not be removed: {}\n{}: `kubectl delete secrets \
         -n {} -l {label}`",
        style::warning("warning"),
        clean(why),
        style::hint("hint"),
        clean(namespace),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_run_will_be_undone_with_is_useless() {
        let (run, other) = (RunId::new("r"), RunId::new("other"));
        let undo = || Purpose::Undo(other.clone());
        for (purpose, outcome, useless) in [
            (Purpose::Apply, Outcome::RolledBack, Some(Useless::Run(run.clone()))),
            (Purpose::Delete, Outcome::RolledBack, Some(Useless::Run(run.clone()))),
            (undo(), Outcome::RolledBack, Some(Useless::Run(other.clone()))),
            (Purpose::Delete, Outcome::Succeeded, Some(Useless::Plan)),
            (Purpose::Apply, Outcome::Succeeded, None),
            (Purpose::Apply, Outcome::RollbackFailed, None),
            (Purpose::Delete, Outcome::Failed, None),
            (undo(), Outcome::RollbackFailed, None),
            (undo(), Outcome::Cancelled, None),
        ] {
            assert_eq!(purpose.clone().useless(&run, outcome), useless, "{purpose:?} {outcome:?}");
        }
    }
}
