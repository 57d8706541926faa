//! Calls of executors: what is under way, what of it may be dropped, and what has ended and was not taken in yet.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt as _, TryFutureExt as _};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::{Executors, render};
use crate::failure::Cause;
use crate::ids::{Attempt, ComponentId};
use crate::ports::{Clock, Context, Executor, Step, Verify};
use crate::run::{Applied, Change, Command, Input, Phase, PhaseEnd, Prepared, Run, UndoStatus, UndoToken};
use crate::secret::Secrets;

/// The last cause of each wait.
type Causes = BTreeMap<ComponentId, (Attempt, Cause)>;

/// What calls are made with.
pub(super) type Means<'a> = (&'a Executors, &'a Arc<dyn Clock>);

/// Calls in flight.
pub(super) struct Calls {
    tasks: JoinSet<Input>,
    /// Those that may be dropped.
    reads: BTreeMap<(ComponentId, Attempt), AbortHandle>,
    /// Ends that were not taken in yet.
    ended: Vec<Input>,
    /// What waits tell, and was not taken in yet.
    causes: Arc<Mutex<Causes>>,
    bell: mpsc::Sender<()>,
    /// The values of the secrets of the run.
    secrets: Secrets,
}

impl Calls {
    /// None yet, of a run with these secrets; and what rings when a wait has told something.
    pub(super) fn new(secrets: Secrets) -> (Self, mpsc::Receiver<()>) {
        let (bell, told) = mpsc::channel(1);
        let (tasks, reads, ended, causes) = (JoinSet::new(), BTreeMap::new(), Vec::new(), Arc::default());
        (Self { tasks, reads, ended, causes, bell, secrets }, told)
    }

    /// Whether there are ends to take in.
    pub(super) const fn have_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The ends that were not taken in yet.
    pub(super) fn ended(&mut self) -> Vec<Input> {
        let ended = std::mem::take(&mut self.ended);
        for input in &ended {
            if let Input::Ended { component, attempt, .. } = input {
                self.reads.remove(&(*component, *attempt));
            }
        }
        ended
    }

    /// What waits have told since it was asked last.
    pub(super) fn news(&self) -> Causes {
        std::mem::take(&mut *self.causes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a call has ended; for ever if none is under way. Dropping the future loses nothing.
    pub(super) async fn join_next(&mut self) {
        match self.tasks.join_next().await {
            // A task that was aborted has nothing to tell; one that panicked has caught it itself.
            Some(ended) => self.ended.extend(ended),
            None => std::future::pending().await,
        }
    }

    /// Takes over every call that has ended, without waiting.
    pub(super) fn join_all_that_have_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended.extend(ended);
        }
    }

    /// Begins a call, or gives one up. A read is tried at once; its end may be there when this returns.
    pub(super) fn carry_out(&mut self, run: &Run, command: &Command, (executors, clock): Means<'_>) {
        let (component, attempt, phase, deadline) = match *command {
            Command::Call { component, attempt, phase, deadline } => (component, attempt, phase, deadline),
            Command::Abort { component, attempt } => {
                return self.reads.remove(&(component, attempt)).iter().for_each(AbortHandle::abort);
            }
        };
        let kind = run.graph().kind(component);
        let Some(executor) = executors.get(kind).cloned() else { return };
        let (causes, bell) = (Arc::clone(&self.causes), self.bell.clone());
        let tell = move |cause| {
            causes.lock().unwrap_or_else(PoisonError::into_inner).insert(component, (attempt, cause));
            // A full channel has rung already.
            let _ = bell.try_send(());
        };
        let cx = Context::new(deadline, Arc::clone(clock), Arc::new(tell))
            .with_no_progress_timeout(run.options().no_progress_timeout);
        let step = Step::new(run.id().clone(), Arc::clone(run.graph()), component, attempt);
        let step = match render::rendered(step, phase, &run.view(), &self.secrets) {
            Ok(step) => step,
            Err(end) => return self.ended.push(Input::Ended { component, attempt, end }),
        };
        let call = call(executor, step, phase, Known::of(run, component, phase), cx);
        let end = AssertUnwindSafe(call).catch_unwind().unwrap_or_else(move |_| PhaseEnd::panicked(phase));
        let mut ended = end.map(move |end| Input::Ended { component, attempt, end }).boxed();
        if phase.writes() {
            self.tasks.spawn(ended);
        } else if let Some(end) = ended.as_mut().now_or_never() {
            self.ended.push(end);
        } else {
            self.reads.insert((component, attempt), self.tasks.spawn(ended));
        }
    }

    /// Drops the reads that are under way, and lets writes go on.
    pub(super) fn let_go(mut self) {
        self.reads.values().for_each(AbortHandle::abort);
        self.tasks.detach_all();
    }
}

/// The work of one phase, with what the run knows for it.
async fn call(executor: Arc<dyn Executor>, step: Step, phase: Phase, known: Known, cx: Context) -> PhaseEnd {
    let Known { prepared, applied, last_applied, token, is_undone } = known;
    match phase {
        Phase::Prepare => PhaseEnd::Prepare(executor.prepare(&step, &cx).await),
        Phase::Apply => PhaseEnd::Apply(executor.apply(&step, &prepared, &cx).await),
        Phase::Wait => {
            // Where nothing had to be written, the wait is for what `prepare` found.
            let applied = applied.unwrap_or(Applied { change: Change::None, token: prepared.token });
            PhaseEnd::Wait(executor.wait(&step, &applied, step.until(), &cx).await)
        }
        Phase::Verify => {
            let of = match &token {
                Some(token) if is_undone => Verify::Undone(token),
                _ => Verify::Applied(applied.as_ref(), step.until()),
            };
            PhaseEnd::Verify(executor.verify(&step, of, &cx).await)
        }
        Phase::Undo => {
            let token = token.unwrap_or(UndoToken::new(serde_json::Value::Null));
            PhaseEnd::Undo(executor.undo(&step, &token, last_applied.as_ref(), &cx).await)
        }
    }
}

/// What a run knows of a component, as far as a phase needs it.
struct Known {
    prepared: Prepared,
    applied: Option<Applied>,
    last_applied: Option<Applied>,
    token: Option<UndoToken>,
    is_undone: bool,
}

impl Known {
    fn of(run: &Run, component: ComponentId, phase: Phase) -> Self {
        let (is_apply, undoes) = (phase == Phase::Apply, phase == Phase::Undo);
        let (waits, verifies) = (phase == Phase::Wait, phase == Phase::Verify);
        let applied = if waits || verifies { run.applied(component) } else { None };
        let is_unchanged = waits && applied.is_none();
        let prepared = if is_apply || is_unchanged { run.prepared(component) } else { None };
        let last_applied = if undoes { run.last_applied(component) } else { None };
        let token = if verifies || undoes { run.undo_token(component) } else { None };
        Self {
            prepared: prepared.unwrap_or(Prepared::new(Change::Unknown)),
            applied: applied.cloned(),
            last_applied: last_applied.cloned(),
            token: token.cloned(),
            is_undone: run.view().undo_status(component) == UndoStatus::Undone,
        }
    }
}
