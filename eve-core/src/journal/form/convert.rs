//! From the types of the engine to their stored form and back. What is added there does not compile here until it has one.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    AppliedForm, CauseForm, DoneForm, EventForm, FailForm, FoundForm, InheritForm, KeepForm, KeepWord,
    Length, NextForm, OptionsForm, OutputsForm, PinForm, ReportForm, SkipForm, SkipWord, StartForm, StopForm,
    TryForm,
};
use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId, RunId};
use crate::plan::RetryPolicy;
use crate::run::{
    Applied, Event, KeepReason, Outputs, Phase, Prepared, RunOptions, RunStart, SkipReason, StopReason,
    UndoReport, UndoToken,
};
use crate::secret::{SecretPin, SecretPins};
use crate::time::Timestamp;

impl<'a> From<&'a Event> for EventForm<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::RunStarted { run } => Self::RunStarted(Box::new(StartForm::from(&**run))),
            Event::Resumed => Self::Resumed,
            Event::Prepared { component, prepared: Prepared { change, desired, token, undo } } => {
                Self::Prepared(FoundForm {
                    component: component.get(),
                    change: (*change).into(),
                    desired: desired.as_deref().map(Cow::Borrowed),
                    token: token.as_deref().map(Cow::Borrowed),
                    undo: borrowed(undo.as_ref()),
                })
            }
            Event::Announced { component } => Self::Announced(NextForm { component: component.get() }),
            Event::Started { component, attempt } => Self::Started(TryForm::new(*component, *attempt)),
            Event::Applied { component, attempt, applied: Applied { change, token } } => {
                Self::Applied(DoneForm {
                    component: component.get(),
                    attempt: attempt.get(),
                    change: (*change).into(),
                    token: token.as_deref().map(Cow::Borrowed),
                })
            }
            Event::Waiting { component, cause } => {
                let Cause { code, message } = &**cause;
                Self::Waiting(CauseForm {
                    component: component.get(),
                    code: code.as_ref().into(),
                    message: message.into(),
                })
            }
            Event::Ready { component, outputs } => Self::Ready(OutputsForm {
                component: component.get(),
                outputs: outputs.iter().map(|(name, value)| (name.into(), Cow::Borrowed(value))).collect(),
            }),
            Event::AttemptFailed { component, attempt, phase, failure, retry_at } => {
                let form = FailForm::new((*component, *attempt), *phase, failure, *retry_at);
                Self::AttemptFailed(Box::new(form))
            }
            Event::Interrupted { component, attempt } => {
                Self::Interrupted(TryForm::new(*component, *attempt))
            }
            Event::Skipped { component, because } => {
                Self::Skipped(SkipForm { component: component.get(), because: SkipWord::from(*because) })
            }
            Event::Stopping { reason } => Self::Stopping(StopForm::from(*reason)),
            Event::Finished { outcome } => Self::Finished((*outcome).into()),
            Event::Verifying => Self::Verifying,
            Event::RollingBack => Self::RollingBack,
            Event::Inherited { component, token, applied } => Self::Inherited(InheritForm {
                component: component.get(),
                undo: borrowed(token.as_ref()),
                applied: applied.as_ref().map(|Applied { change, token }| AppliedForm {
                    change: (*change).into(),
                    token: token.as_deref().map(Cow::Borrowed),
                }),
            }),
            Event::UndoStarted { component, attempt } => {
                Self::UndoStarted(TryForm::new(*component, *attempt))
            }
            Event::Undone { component, report } => {
                let UndoReport { change, notes } = &**report;
                let (component, change) = (component.get(), (*change).into());
                Self::Undone(ReportForm { component, change, notes: notes.into() })
            }
            Event::UndoFailed { component, attempt, phase, failure, retry_at } => {
                let form = FailForm::new((*component, *attempt), *phase, failure, *retry_at);
                Self::UndoFailed(Box::new(form))
            }
            Event::Kept { component, because } => Self::Kept(KeepForm::new(*component, *because)),
        }
    }
}

impl From<EventForm<'_>> for Event {
    #[expect(clippy::too_many_lines, reason = "one arm an event")]
    fn from(form: EventForm<'_>) -> Self {
        match form {
            EventForm::RunStarted(form) => Self::RunStarted { run: Box::new((*form).into()) },
            EventForm::Resumed => Self::Resumed,
            EventForm::Prepared(FoundForm { component, change, desired, token, undo }) => Self::Prepared {
                component: ComponentId::new(component),
                prepared: Prepared {
                    change: change.into(),
                    desired: desired.map(|desired| desired.into_owned().into()),
                    token: owned(token),
                    undo: owned(undo).map(UndoToken),
                },
            },
            EventForm::Announced(NextForm { component }) => {
                Self::Announced { component: ComponentId::new(component) }
            }
            EventForm::Started(form) => {
                let (component, attempt) = form.into();
                Self::Started { component, attempt }
            }
            EventForm::Applied(DoneForm { component, attempt, change, token }) => Self::Applied {
                component: ComponentId::new(component),
                attempt: Attempt::new(attempt),
                applied: Applied { change: change.into(), token: owned(token) },
            },
            EventForm::Waiting(CauseForm { component, code, message }) => Self::Waiting {
                component: ComponentId::new(component),
                cause: Box::new(Cause { code: code.into_owned().into(), message: message.into_owned() }),
            },
            EventForm::Ready(OutputsForm { component, outputs }) => Self::Ready {
                component: ComponentId::new(component),
                outputs: outputs
                    .into_iter()
                    .fold(Outputs::NONE, |outputs, (name, value)| outputs.with(name, value.into_owned())),
            },
            EventForm::AttemptFailed(form) => {
                let (component, attempt, phase, failure, retry_at) = (*form).into();
                Self::AttemptFailed { component, attempt, phase, failure, retry_at }
            }
            EventForm::Interrupted(form) => {
                let (component, attempt) = form.into();
                Self::Interrupted { component, attempt }
            }
            EventForm::Skipped(SkipForm { component, because }) => {
                Self::Skipped { component: ComponentId::new(component), because: because.into() }
            }
            EventForm::Stopping(reason) => Self::Stopping { reason: reason.into() },
            EventForm::Finished(outcome) => Self::Finished { outcome: outcome.into() },
            EventForm::Verifying => Self::Verifying,
            EventForm::RollingBack => Self::RollingBack,
            EventForm::Inherited(InheritForm { component, undo, applied }) => Self::Inherited {
                component: ComponentId::new(component),
                token: owned(undo).map(UndoToken),
                applied: applied.map(|AppliedForm { change, token }| Applied {
                    change: change.into(),
                    token: owned(token),
                }),
            },
            EventForm::UndoStarted(form) => {
                let (component, attempt) = form.into();
                Self::UndoStarted { component, attempt }
            }
            EventForm::Undone(ReportForm { component, change, notes }) => Self::Undone {
                component: ComponentId::new(component),
                report: Box::new(UndoReport { change: change.into(), notes: notes.into_owned() }),
            },
            EventForm::UndoFailed(form) => {
                let (component, attempt, phase, failure, retry_at) = (*form).into();
                Self::UndoFailed { component, attempt, phase, failure, retry_at }
            }
            EventForm::Kept(KeepForm { component, because }) => {
                Self::Kept { component: ComponentId::new(component), because: because.into() }
            }
        }
    }
}

fn owned(token: Option<Cow<'_, Value>>) -> Option<Box<Value>> {
    token.map(|token| Box::new(token.into_owned()))
}

fn borrowed(token: Option<&UndoToken>) -> Option<Cow<'_, Value>> {
    token.map(|token| Cow::Borrowed(token.value()))
}

impl KeepForm {
    fn new(component: ComponentId, because: KeepReason) -> Self {
        Self { component: component.get(), because: KeepWord::from(because) }
    }
}

impl TryForm {
    const fn new(component: ComponentId, attempt: Attempt) -> Self {
        Self { component: component.get(), attempt: attempt.get() }
    }
}

impl From<TryForm> for (ComponentId, Attempt) {
    fn from(form: TryForm) -> Self {
        (ComponentId::new(form.component), Attempt::new(form.attempt))
    }
}

impl<'a> FailForm<'a> {
    fn new(
        (component, attempt): (ComponentId, Attempt),
        phase: Phase,
        failure: &'a Failure,
        retry_at: Option<Timestamp>,
    ) -> Self {
        // What workloads wrote is not stored: it may hold what nobody may keep.
        let Failure { code, class, message, notes, log: _, hint, left_nothing } = failure;
        Self {
            component: component.get(),
            attempt: attempt.get(),
            phase: phase.into(),
            code: code.as_ref().into(),
            class: (*class).into(),
            message: message.into(),
            notes: notes.into(),
            hint: hint.as_ref().map(Cow::from),
            retry_at: retry_at.map(Timestamp::as_micros),
            left_nothing: *left_nothing,
        }
    }
}

/// A failed attempt: of what, in which phase, why, and when the next may begin.
type Failed = (ComponentId, Attempt, Phase, Box<Failure>, Option<Timestamp>);

impl From<FailForm<'_>> for Failed {
    fn from(form: FailForm<'_>) -> Self {
        let FailForm { component, attempt, phase, code, class, message, notes, hint, retry_at, left_nothing } =
            form;
        let failure = Failure {
            code: code.into_owned().into(),
            class: class.into(),
            message: message.into_owned(),
            notes: notes.into_owned(),
            log: Box::default(),
            hint: hint.map(Cow::into_owned),
            left_nothing,
        };
        let retry_at = retry_at.map(Timestamp::from_micros);
        (ComponentId::new(component), Attempt::new(attempt), phase.into(), Box::new(failure), retry_at)
    }
}

impl<'a> From<&'a RunStart> for StartForm<'a> {
    fn from(run: &'a RunStart) -> Self {
        let RunStart { id, plan, namespace, components, options, undoes } = run;
        Self {
            id: id.as_str().into(),
            plan: plan.into(),
            namespace: namespace.into(),
            components: *components,
            options: options.into(),
            undoes: undoes.as_ref().map(|run| run.as_str().into()),
            pins: options.pins.iter().map(PinForm::from).collect(),
        }
    }
}

impl From<StartForm<'_>> for RunStart {
    fn from(form: StartForm<'_>) -> Self {
        let StartForm { id, plan, namespace, components, options, undoes, pins } = form;
        let pins = pins.into_iter().map(PinForm::into_owned).collect();
        Self {
            id: RunId::new(&*id),
            plan: plan.into_owned(),
            namespace: namespace.into_owned(),
            components,
            options: RunOptions::from(options).with_pins(pins),
            undoes: undoes.map(|run| RunId::new(&*run)),
        }
    }
}

impl From<&RunOptions> for OptionsForm {
    fn from(options: &RunOptions) -> Self {
        let RunOptions {
            api_limit,
            wait_limit,
            component_timeout,
            run_timeout,
            no_progress_timeout,
            waiting_interval,
            retry: RetryPolicy { attempts, backoff, max_backoff },
            seed,
            // They stand beside the options.
            pins: _,
        } = options;
        Self {
            api_limit: *api_limit,
            wait_limit: *wait_limit,
            component_timeout: Length(*component_timeout),
            run_timeout: Length(*run_timeout),
            no_progress_timeout: Length(*no_progress_timeout),
            waiting_interval: Length(*waiting_interval),
            attempts: *attempts,
            backoff: Length(*backoff),
            max_backoff: Length(*max_backoff),
            seed: *seed,
        }
    }
}

impl From<OptionsForm> for RunOptions {
    fn from(form: OptionsForm) -> Self {
        Self {
            api_limit: form.api_limit,
            wait_limit: form.wait_limit,
            component_timeout: form.component_timeout.0,
            run_timeout: form.run_timeout.0,
            no_progress_timeout: form.no_progress_timeout.0,
            waiting_interval: form.waiting_interval.0,
            retry: RetryPolicy {
                attempts: form.attempts,
                backoff: form.backoff.0,
                max_backoff: form.max_backoff.0,
            },
            seed: form.seed,
            pins: SecretPins::default(),
        }
    }
}

impl<'a> From<(&'a str, &'a SecretPin)> for PinForm<'a> {
    fn from((name, SecretPin { reference, hash }): (&'a str, &'a SecretPin)) -> Self {
        Self { name: name.into(), reference: Cow::Borrowed(reference), hash: Cow::Borrowed(hash) }
    }
}

impl PinForm<'_> {
    fn into_owned(self) -> (String, SecretPin) {
        let pin = SecretPin { reference: self.reference.into_owned(), hash: self.hash.into_owned() };
        (self.name.into_owned(), pin)
    }
}

impl From<SkipReason> for SkipWord {
    fn from(reason: SkipReason) -> Self {
        match reason {
            SkipReason::Dependency { component } => Self::Dependency(component.get()),
            SkipReason::Stopping => Self::Stopping,
        }
    }
}

impl From<SkipWord> for SkipReason {
    fn from(word: SkipWord) -> Self {
        match word {
            SkipWord::Dependency(component) => Self::Dependency { component: ComponentId::new(component) },
            SkipWord::Stopping => Self::Stopping,
        }
    }
}

impl From<KeepReason> for KeepWord {
    fn from(reason: KeepReason) -> Self {
        match reason {
            KeepReason::Rule => Self::Rule,
            KeepReason::Dependant { component } => Self::Dependant(component.get()),
            KeepReason::NoToken => Self::NoToken,
            KeepReason::Stopping => Self::Stopping,
            KeepReason::Deadline => Self::Deadline,
        }
    }
}

impl From<KeepWord> for KeepReason {
    fn from(word: KeepWord) -> Self {
        match word {
            KeepWord::Rule => Self::Rule,
            KeepWord::Dependant(component) => Self::Dependant { component: ComponentId::new(component) },
            KeepWord::NoToken => Self::NoToken,
            KeepWord::Stopping => Self::Stopping,
            KeepWord::Deadline => Self::Deadline,
        }
    }
}

impl From<StopReason> for StopForm {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Failure { component } => Self::Failure(component.get()),
            StopReason::Asked { mode } => Self::Asked(mode.into()),
            StopReason::Deadline => Self::Deadline,
        }
    }
}

impl From<StopForm> for StopReason {
    fn from(form: StopForm) -> Self {
        match form {
            StopForm::Failure(component) => Self::Failure { component: ComponentId::new(component) },
            StopForm::Asked(mode) => Self::Asked { mode: mode.into() },
            StopForm::Deadline => Self::Deadline,
        }
    }
}
