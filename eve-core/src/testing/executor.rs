//! Executors without a world behind them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::failure::{Cause, Failure};
use crate::plan::Until;
use crate::ports::{self, Context, Executor, Verify};
use crate::run::{Applied, Change, Outputs, Phase, Prepared, UndoReport, UndoToken};

/// Succeeds at once, whatever it is given, and changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopExecutor;

#[async_trait]
impl Executor for NoopExecutor {
    async fn apply(&self, _: &ports::Step, _: &Prepared, _: &Context) -> Result<Applied, Failure> {
        Ok(Applied::new(Change::Create))
    }
}

/// What a [`ScriptedExecutor`] does in one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Tells that it waits for this, then goes on with its script.
    Progress(Cause),
    /// Lets this much of tokio's time pass, then goes on with its script.
    Sleep(std::time::Duration),
    /// Ends the call with this failure.
    Fail(Failure),
    /// Never ends the call.
    Hang,
    /// Panics.
    Panic,
    /// Ends a `prepare` with this finding, an `apply` or `undo` with this change.
    Change(Change),
}

/// Follows a script for each component and phase; what the script does not name succeeds at once. Keeps a list of the
/// calls it was given.
#[derive(Debug, Default)]
pub struct ScriptedExecutor {
    scripts: BTreeMap<(String, Phase), Vec<Vec<Step>>>,
    calls: Mutex<Vec<(String, u32, Phase)>>,
}

impl ScriptedExecutor {
    /// An executor whose every call succeeds at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with what it does at the next call of this phase for the component that has no script yet. The last
    /// script of a component and phase holds for all further calls.
    #[must_use]
    pub fn with(mut self, component: &str, phase: Phase, script: Vec<Step>) -> Self {
        self.scripts.entry((component.to_owned(), phase)).or_default().push(script);
        self
    }

    /// The calls so far, in order: component, attempt, phase.
    pub fn calls(&self) -> Vec<(String, u32, Phase)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn script(&self, step: &ports::Step, phase: Phase) -> Vec<Step> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier =
            calls.iter().filter(|(name, _, called)| name == step.name() && *called == phase).count();
        calls.push((step.name().to_owned(), step.attempt().get(), phase));
        let scripts = self.scripts.get(&(step.name().to_owned(), phase));
        scripts.and_then(|scripts| scripts.get(earlier).or(scripts.last())).cloned().unwrap_or_default()
    }

    #[expect(clippy::panic, reason = "to panic is what the script asks for")]
    async fn follow(
        &self,
        step: &ports::Step,
        phase: Phase,
        cx: &Context,
    ) -> Result<Option<Change>, Failure> {
        let mut change = None;
        for action in self.script(step, phase) {
            match action {
                Step::Progress(cause) => cx.progress(cause),
                Step::Sleep(duration) => sleep(duration).await,
                Step::Fail(failure) => return Err(failure),
                Step::Hang => std::future::pending().await,
                Step::Panic => panic!("the script of {} says so", step.name()),
                Step::Change(found) => change = Some(found),
            }
        }
        Ok(change)
    }
}

#[cfg(feature = "driver")]
async fn sleep(duration: std::time::Duration) {
    tokio::time::sleep(duration).await;
}

#[cfg(not(feature = "driver"))]
async fn sleep(_: std::time::Duration) {
    std::future::pending().await
}

#[async_trait]
impl Executor for ScriptedExecutor {
    async fn prepare(&self, step: &ports::Step, cx: &Context) -> Result<Prepared, Failure> {
        let change = self.follow(step, Phase::Prepare, cx).await?;
        let undo = step.may_be_undone().then(|| UndoToken::new(step.name()));
        Ok(Prepared { undo, ..Prepared::new(change.unwrap_or(Change::Create)) })
    }

    async fn apply(&self, step: &ports::Step, _: &Prepared, cx: &Context) -> Result<Applied, Failure> {
        let change = self.follow(step, Phase::Apply, cx).await?;
        Ok(Applied::new(change.unwrap_or(Change::Create)))
    }

    async fn wait(
        &self,
        step: &ports::Step,
        _: &Applied,
        _: Until,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        self.follow(step, Phase::Wait, cx).await?;
        Ok(Outputs::NONE)
    }

    async fn undo<'a>(
        &self,
        step: &ports::Step,
        token: &UndoToken,
        _: Option<&'a Applied>,
        cx: &Context,
    ) -> Result<UndoReport, Failure> {
        let change = self.follow(step, Phase::Undo, cx).await?;
        if token.value() != step.name() {
            return Err(Failure::misuse("test.token", format!("{} was given another's token", step.name())));
        }
        Ok(UndoReport::new(change.unwrap_or(Change::Delete)))
    }

    async fn verify<'a>(&self, step: &ports::Step, _: Verify<'a>, cx: &Context) -> Result<(), Failure> {
        self.follow(step, Phase::Verify, cx).await.map(|_| ())
    }
}
