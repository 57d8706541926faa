//! Versions 1 to 3 of the stored form: every name on disk. `convert.rs` is the way from and to the types of the engine.
//!
//! Nothing here is ever changed, only added to under a new version: logs that were written must stay readable.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::words::{ChangeWord, ClassWord, OutcomeWord, PhaseWord, StopWord};
use super::{JournalError, VERSION};
use crate::ids::{Attempt, Seq};
use crate::run::Record;
use crate::secret::{KeyedHash, SecretRef};
use crate::time::Timestamp;

mod convert;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm<'a> {
    #[serde(rename = "v")]
    version: u32,
    #[serde(rename = "n")]
    seq: u64,
    #[serde(rename = "t")]
    at: u64,
    #[serde(rename = "e")]
    event: EventForm<'a>,
}

/// What every version begins with.
#[derive(Deserialize)]
struct AnyVersion {
    #[serde(rename = "v")]
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum EventForm<'a> {
    #[serde(rename = "begin")]
    RunStarted(Box<StartForm<'a>>),
    #[serde(rename = "resume")]
    Resumed,
    #[serde(rename = "prep")]
    Prepared(FoundForm<'a>),
    #[serde(rename = "next")]
    Announced(NextForm),
    #[serde(rename = "start")]
    Started(TryForm),
    #[serde(rename = "apply")]
    Applied(DoneForm<'a>),
    #[serde(rename = "wait")]
    Waiting(CauseForm<'a>),
    #[serde(rename = "ready")]
    Ready(OutputsForm<'a>),
    #[serde(rename = "fail")]
    AttemptFailed(Box<FailForm<'a>>),
    #[serde(rename = "break")]
    Interrupted(TryForm),
    #[serde(rename = "skip")]
    Skipped(SkipForm),
    #[serde(rename = "stop")]
    Stopping(StopForm),
    #[serde(rename = "end")]
    Finished(OutcomeWord),
    #[serde(rename = "verify")]
    Verifying,
    #[serde(rename = "back")]
    RollingBack,
    #[serde(rename = "inherit")]
    Inherited(InheritForm<'a>),
    #[serde(rename = "undo")]
    UndoStarted(TryForm),
    #[serde(rename = "undone")]
    Undone(ReportForm<'a>),
    #[serde(rename = "undofail")]
    UndoFailed(Box<FailForm<'a>>),
    #[serde(rename = "keep")]
    Kept(KeepForm),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartForm<'a> {
    #[serde(rename = "run")]
    id: Cow<'a, str>,
    #[serde(rename = "plan")]
    plan: Cow<'a, str>,
    #[serde(rename = "ns")]
    namespace: Cow<'a, str>,
    #[serde(rename = "size")]
    components: u32,
    #[serde(rename = "opts")]
    options: OptionsForm,
    /// Since version 2.
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    undoes: Option<Cow<'a, str>>,
    /// Since version 3. In the order of their names.
    #[serde(rename = "pins", default, skip_serializing_if = "Vec::is_empty")]
    pins: Vec<PinForm<'a>>,
}

/// Which secret a run uses, in which version.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinForm<'a> {
    #[serde(rename = "n")]
    name: Cow<'a, str>,
    /// `BACKEND:PLACE` or `BACKEND:PLACE@VERSION`.
    #[serde(rename = "r")]
    reference: Cow<'a, SecretRef>,
    /// Hexadecimal digits.
    #[serde(rename = "h")]
    hash: Cow<'a, KeyedHash>,
}

/// All of them are written: a default that changes must not change what an old run was told.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsForm {
    #[serde(rename = "api")]
    api_limit: u32,
    #[serde(rename = "waits")]
    wait_limit: u32,
    #[serde(rename = "component")]
    component_timeout: Length,
    #[serde(rename = "run")]
    run_timeout: Length,
    #[serde(rename = "still")]
    no_progress_timeout: Length,
    #[serde(rename = "every")]
    waiting_interval: Length,
    #[serde(rename = "tries")]
    attempts: u32,
    #[serde(rename = "pause")]
    backoff: Length,
    #[serde(rename = "most")]
    max_backoff: Length,
    #[serde(rename = "seed")]
    seed: u64,
}

/// Whole seconds and the nanoseconds beyond them, fewer than 10⁹.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(into = "(u64, u32)", try_from = "(u64, u32)")]
struct Length(Duration);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TryForm {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "a", default = "first", skip_serializing_if = "is_first")]
    attempt: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FoundForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "w", default = "none", skip_serializing_if = "is_none")]
    change: ChangeWord,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    desired: Option<Cow<'a, str>>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    token: Option<Cow<'a, Value>>,
    /// Since version 2.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    undo: Option<Cow<'a, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "a", default = "first", skip_serializing_if = "is_first")]
    attempt: u32,
    #[serde(rename = "w", default = "none", skip_serializing_if = "is_none")]
    change: ChangeWord,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    token: Option<Cow<'a, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CauseForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "code")]
    code: Cow<'a, str>,
    #[serde(rename = "msg")]
    message: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputsForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "o", default, skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<Cow<'a, str>, Cow<'a, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "a", default = "first", skip_serializing_if = "is_first")]
    attempt: u32,
    #[serde(rename = "p")]
    phase: PhaseWord,
    #[serde(rename = "code")]
    code: Cow<'a, str>,
    #[serde(rename = "class")]
    class: ClassWord,
    #[serde(rename = "msg")]
    message: Cow<'a, str>,
    #[serde(rename = "notes", default, skip_serializing_if = "<[String]>::is_empty")]
    notes: Cow<'a, [String]>,
    #[serde(rename = "hint", default, skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'a, str>>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    retry_at: Option<u64>,
    /// Since version 4.
    #[serde(rename = "void", default, skip_serializing_if = "std::ops::Not::not")]
    left_nothing: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InheritForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    undo: Option<Cow<'a, Value>>,
    #[serde(rename = "done", default, skip_serializing_if = "Option::is_none")]
    applied: Option<AppliedForm<'a>>,
}

/// What an `apply` did, without its component.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppliedForm<'a> {
    #[serde(rename = "w", default = "none", skip_serializing_if = "is_none")]
    change: ChangeWord,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    token: Option<Cow<'a, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportForm<'a> {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "w", default = "none", skip_serializing_if = "is_none")]
    change: ChangeWord,
    #[serde(rename = "notes", default, skip_serializing_if = "<[String]>::is_empty")]
    notes: Cow<'a, [String]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextForm {
    #[serde(rename = "c")]
    component: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepForm {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "by")]
    because: KeepWord,
}

#[derive(Serialize, Deserialize)]
enum KeepWord {
    #[serde(rename = "rule")]
    Rule,
    #[serde(rename = "dependant")]
    Dependant(u32),
    #[serde(rename = "token")]
    NoToken,
    #[serde(rename = "stopping")]
    Stopping,
    #[serde(rename = "deadline")]
    Deadline,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipForm {
    #[serde(rename = "c")]
    component: u32,
    #[serde(rename = "by")]
    because: SkipWord,
}

#[derive(Serialize, Deserialize)]
enum SkipWord {
    #[serde(rename = "dependency")]
    Dependency(u32),
    #[serde(rename = "stopping")]
    Stopping,
}

#[derive(Serialize, Deserialize)]
enum StopForm {
    #[serde(rename = "failure")]
    Failure(u32),
    #[serde(rename = "asked")]
    Asked(StopWord),
    #[serde(rename = "deadline")]
    Deadline,
}

const fn first() -> u32 {
    Attempt::FIRST.get()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(attempt: &u32) -> bool {
    *attempt == first()
}

const fn none() -> ChangeWord {
    ChangeWord::None
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(change: &ChangeWord) -> bool {
    *change == none()
}

/// A field that is there has a value, also when that is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'static, Value>>, D::Error> {
    Value::deserialize(deserializer).map(|value| Some(Cow::Owned(value)))
}

impl From<Length> for (u64, u32) {
    fn from(length: Length) -> Self {
        (length.0.as_secs(), length.0.subsec_nanos())
    }
}

impl TryFrom<(u64, u32)> for Length {
    type Error = &'static str;

    fn try_from((secs, nanos): (u64, u32)) -> Result<Self, Self::Error> {
        let length = Duration::from_secs(secs).checked_add(Duration::from_nanos(nanos.into()));
        let length = length.filter(|_| nanos < 1_000_000_000);
        length.map(Self).ok_or("a second has 1,000,000,000 nanoseconds")
    }
}

impl EventForm<'_> {
    /// The lowest version that can say this.
    fn version(&self) -> u32 {
        if matches!(self, Self::Announced(_)) {
            return 5;
        }
        if matches!(self, Self::AttemptFailed(form) | Self::UndoFailed(form) if form.left_nothing) {
            return 4;
        }
        if matches!(self, Self::RunStarted(form) if !form.pins.is_empty()) {
            return 3;
        }
        if self.is_of_undo() { 2 } else { 1 }
    }

    /// Whether it says something of undoing or of the fresh look, which came with version 2.
    fn is_of_undo(&self) -> bool {
        match self {
            Self::RunStarted(form) => form.undoes.is_some(),
            Self::Prepared(form) => form.undo.is_some(),
            Self::AttemptFailed(form) => form.phase >= PhaseWord::Verify,
            Self::Stopping(StopForm::Asked(mode)) => *mode >= StopWord::Rollback,
            Self::Finished(outcome) => *outcome >= OutcomeWord::RolledBack,
            Self::Verifying
            | Self::RollingBack
            | Self::Inherited(_)
            | Self::UndoStarted(_)
            | Self::Undone(_)
            | Self::UndoFailed(_)
            | Self::Kept(_) => true,
            Self::Resumed
            | Self::Announced(_)
            | Self::Started(_)
            | Self::Applied(_)
            | Self::Waiting(_)
            | Self::Ready(_)
            | Self::Interrupted(_)
            | Self::Skipped(_)
            | Self::Stopping(StopForm::Failure(_) | StopForm::Deadline) => false,
        }
    }
}

pub(super) fn write(record: &Record) -> Vec<u8> {
    let Record { seq, at, event } = record;
    let event = EventForm::from(event);
    let form = RecordForm { version: event.version(), seq: seq.get(), at: at.as_micros(), event };
    #[expect(
        clippy::expect_used,
        reason = "JSON has a form for all that stands here, and memory does not fail"
    )]
    serde_json::to_vec(&form).expect("every record has a form")
}

pub(super) fn read(bytes: &[u8]) -> Result<Record, JournalError> {
    let version = || serde_json::from_slice::<AnyVersion>(bytes).ok().map(|any| any.version);
    let malformed = |reason: String| match version() {
        Some(found) if found > VERSION => JournalError::Newer { found },
        _ => JournalError::Malformed { reason },
    };
    let form: RecordForm<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    let version = form.event.version();
    if form.version == 0 || form.version > VERSION {
        return Err(malformed(format!("there is no format {}", form.version)));
    }
    if form.version != version {
        let reason = format!("what it says is of format {version}, and it names format {}", form.version);
        return Err(malformed(reason));
    }
    let RecordForm { version: _, seq, at, event } = form;
    Ok(Record { seq: Seq::new(seq), at: Timestamp::from_micros(at), event: event.into() })
}
