//! Versions 1 to 3 of the stored form of a ledger: every name on disk. `convert.rs` is the way from and to the types of the
//! scheduler.
//!
//! Nothing here is ever changed, only added to under a new version: ledgers that were written must stay readable.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::JournalError;
use super::super::words::{OutcomeWord, PartWord, StopWord};
use super::{VERSION, malformed};
use crate::digest::Digest;
use crate::scheduler::LedgerRecord;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordForm {
    #[serde(rename = "v")]
    pub(super) version: u32,
    #[serde(rename = "n")]
    pub(super) seq: u64,
    #[serde(rename = "t")]
    pub(super) at: u64,
    #[serde(rename = "e")]
    pub(super) event: EventForm,
}

/// What every version begins with.
#[derive(Deserialize)]
struct AnyVersion {
    #[serde(rename = "v")]
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum EventForm {
    #[serde(rename = "take")]
    TakenOver,
    #[serde(rename = "accept")]
    Accepted(AcceptForm),
    #[serde(rename = "refuse")]
    Refused(RefuseForm),
    #[serde(rename = "stop")]
    StopAsked(StopForm),
    #[serde(rename = "open")]
    RunOpened(OpenForm),
    #[serde(rename = "yield")]
    Superseded(YieldForm),
    #[serde(rename = "close")]
    RunClosed(CloseForm),
    #[serde(rename = "sent")]
    NoticeSent(NoticeForm),
    #[serde(rename = "miss")]
    NoticeFailed(MissForm),
    #[serde(rename = "again")]
    NoticeRenewed(NoticeForm),
    #[serde(rename = "ack")]
    Acknowledged(u64),
    #[serde(rename = "forget")]
    Forgotten(Vec<u64>),
    #[serde(rename = "drop")]
    LogsDropped(Vec<Arc<str>>),
    #[serde(rename = "base")]
    Compacted(Box<BaseForm>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptForm {
    #[serde(rename = "id")]
    pub(super) id: Arc<str>,
    #[serde(rename = "sha")]
    pub(super) digest: Hex,
    #[serde(rename = "ns")]
    pub(super) namespace: Arc<str>,
    #[serde(rename = "plan")]
    pub(super) plan: Arc<str>,
    /// Since version 3.
    #[serde(rename = "num", default, skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefuseForm {
    #[serde(rename = "id")]
    pub(super) id: Arc<str>,
    #[serde(rename = "sha")]
    pub(super) digest: Hex,
    #[serde(rename = "of", default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<PlanForm>,
    #[serde(rename = "why")]
    pub(super) reason: ReasonForm,
    #[serde(rename = "to", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) receivers: Vec<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanForm {
    #[serde(rename = "ns")]
    pub(super) namespace: Arc<str>,
    #[serde(rename = "plan")]
    pub(super) plan: Arc<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopForm {
    #[serde(rename = "by", default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<KeyForm>,
    #[serde(rename = "of")]
    pub(super) target: Arc<str>,
    #[serde(rename = "mode")]
    pub(super) mode: StopWord,
    /// Since version 2.
    #[serde(rename = "why", default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<ReasonForm>,
    /// Since version 2.
    #[serde(rename = "to", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) receivers: Vec<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyForm {
    #[serde(rename = "id")]
    pub(super) id: Arc<str>,
    #[serde(rename = "sha")]
    pub(super) digest: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenForm {
    #[serde(rename = "k")]
    pub(super) ticket: u64,
    #[serde(rename = "run")]
    pub(super) run: Arc<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct YieldForm {
    #[serde(rename = "k")]
    pub(super) ticket: u64,
    #[serde(rename = "by")]
    pub(super) newer: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseForm {
    #[serde(rename = "k")]
    pub(super) ticket: u64,
    #[serde(rename = "as")]
    pub(super) outcome: OutcomeWord,
    #[serde(rename = "why", default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<ReasonForm>,
    /// Since version 2.
    #[serde(rename = "parts", default, skip_serializing_if = "ReportForm::is_empty")]
    pub(super) report: ReportForm,
    #[serde(rename = "to", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) receivers: Vec<Arc<str>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportForm {
    #[serde(rename = "of", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) components: Vec<PartForm>,
    #[serde(rename = "more", default, skip_serializing_if = "is_none")]
    pub(super) left_out: u64,
}

impl ReportForm {
    const fn is_empty(&self) -> bool {
        self.components.is_empty() && self.left_out == 0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartForm {
    #[serde(rename = "c")]
    pub(super) name: String,
    #[serde(rename = "is")]
    pub(super) state: PartWord,
    #[serde(rename = "why", default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<ToldForm>,
    #[serde(rename = "says", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) messages: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldForm {
    #[serde(rename = "code")]
    pub(super) code: String,
    #[serde(rename = "msg")]
    pub(super) message: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonForm {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(super) component: Option<Arc<str>>,
    #[serde(rename = "code")]
    pub(super) code: Arc<str>,
    #[serde(rename = "msg")]
    pub(super) message: Arc<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticeForm {
    #[serde(rename = "k")]
    pub(super) ticket: u64,
    #[serde(rename = "to")]
    pub(super) receiver: Arc<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MissForm {
    #[serde(rename = "k")]
    pub(super) ticket: u64,
    #[serde(rename = "to")]
    pub(super) receiver: Arc<str>,
    #[serde(rename = "why")]
    pub(super) reason: ReasonForm,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BaseForm {
    #[serde(rename = "all")]
    pub(super) entries: Vec<EntryForm>,
    #[serde(rename = "turns", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) turns: Vec<(u64, Arc<str>)>,
    #[serde(rename = "early", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) early: Vec<u64>,
    #[serde(rename = "logs", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) logs: Vec<Arc<str>>,
    /// Since version 3.
    #[serde(rename = "nums", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) newest: Vec<NumberForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberForm {
    #[serde(rename = "ns")]
    pub(super) namespace: Arc<str>,
    #[serde(rename = "plan")]
    pub(super) plan: Arc<str>,
    #[serde(rename = "num")]
    pub(super) sequence: u64,
    #[serde(rename = "id")]
    pub(super) request: Arc<str>,
    #[serde(rename = "n")]
    pub(super) place: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryForm {
    #[serde(rename = "k")]
    pub(super) ticket: u64,
    #[serde(rename = "id")]
    pub(super) id: Arc<str>,
    #[serde(rename = "sha")]
    pub(super) digest: Hex,
    #[serde(rename = "at")]
    pub(super) at: u64,
    #[serde(rename = "asks")]
    pub(super) asked: AskForm,
    #[serde(rename = "is")]
    pub(super) status: StatusForm,
    #[serde(rename = "stop", default, skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<StopWord>,
    #[serde(rename = "by", default, skip_serializing_if = "Option::is_none")]
    pub(super) superseded_by: Option<Arc<str>>,
    #[serde(rename = "out", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notices: Vec<OutForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum AskForm {
    #[serde(rename = "run")]
    Run(PlanForm),
    #[serde(rename = "stop")]
    Stop(TargetForm),
    #[serde(rename = "nothing")]
    Nothing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetForm {
    #[serde(rename = "of")]
    pub(super) target: Arc<str>,
    #[serde(rename = "mode")]
    pub(super) mode: StopWord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum StatusForm {
    #[serde(rename = "waits")]
    Waiting,
    #[serde(rename = "runs")]
    Live(Arc<str>),
    #[serde(rename = "over")]
    Closed(ClosedForm),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClosedForm {
    #[serde(rename = "n")]
    pub(super) place: u64,
    #[serde(rename = "at")]
    pub(super) at: u64,
    #[serde(rename = "run", default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Arc<str>>,
    #[serde(rename = "as")]
    pub(super) answer: AnswerForm,
    #[serde(rename = "why", default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<ReasonForm>,
    /// Since version 2.
    #[serde(rename = "parts", default, skip_serializing_if = "ReportForm::is_empty")]
    pub(super) report: ReportForm,
    #[serde(rename = "ack", default, skip_serializing_if = "is_false")]
    pub(super) acknowledged: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) enum AnswerForm {
    #[serde(rename = "end")]
    Ended(OutcomeWord),
    #[serde(rename = "refused")]
    Refused,
    #[serde(rename = "taken")]
    Taken,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutForm {
    #[serde(rename = "to")]
    pub(super) receiver: Arc<str>,
    #[serde(rename = "is")]
    pub(super) standing: StandForm,
    #[serde(rename = "a", default, skip_serializing_if = "is_zero")]
    pub(super) attempts: u32,
    #[serde(rename = "at")]
    pub(super) since: u64,
    #[serde(rename = "why", default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<ReasonForm>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum StandForm {
    #[serde(rename = "due")]
    Due(u64),
    #[serde(rename = "sent")]
    Sent,
    #[serde(rename = "kept")]
    Parked,
}

/// 64 hexadecimal digits, lower case.
#[derive(Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Hex(pub(super) [u8; 32]);

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        Digest::from_bytes(hex.0).to_string()
    }
}

impl TryFrom<String> for Hex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WANTED: &str = "a digest has 64 hexadecimal digits, lower case";
        let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if text.len() != 64 || !text.as_bytes().iter().all(is_digit) {
            return Err(WANTED);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WANTED)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WANTED)?;
        }
        Ok(Self(bytes))
    }
}

impl Clone for Hex {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl EventForm {
    /// The lowest version that can say this.
    pub(super) fn version(&self) -> u32 {
        let is_numbered = matches!(self, Self::Accepted(accept) if accept.sequence.is_some());
        if is_numbered || matches!(self, Self::Compacted(base) if !base.newest.is_empty()) {
            return 3;
        }
        let is_new = match self {
            Self::StopAsked(stop) => stop.reason.is_some() || !stop.receivers.is_empty(),
            Self::RunClosed(close) => !close.report.is_empty(),
            Self::Compacted(base) => base.entries.iter().any(|entry| match &entry.status {
                StatusForm::Closed(closed) => !closed.report.is_empty(),
                StatusForm::Waiting | StatusForm::Live(_) => false,
            }),
            Self::TakenOver
            | Self::Accepted(_)
            | Self::Refused(_)
            | Self::RunOpened(_)
            | Self::Superseded(_)
            | Self::NoticeSent(_)
            | Self::NoticeFailed(_)
            | Self::NoticeRenewed(_)
            | Self::Acknowledged(_)
            | Self::Forgotten(_)
            | Self::LogsDropped(_) => false,
        };
        if is_new { 2 } else { 1 }
    }
}

pub(super) fn write(record: &LedgerRecord) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "JSON has a form for all that stands here, and memory does not fail"
    )]
    serde_json::to_vec(&RecordForm::from(record)).expect("every record has a form")
}

pub(super) fn read(bytes: &[u8]) -> Result<LedgerRecord, JournalError> {
    let version = || serde_json::from_slice::<AnyVersion>(bytes).ok().map(|any| any.version);
    let refused = |reason: String| match version() {
        Some(found) if found > VERSION => JournalError::Newer { found },
        _ => malformed(reason),
    };
    let form: RecordForm = serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))?;
    if form.version == 0 || form.version > VERSION {
        return Err(refused(format!("there is no format {}", form.version)));
    }
    let version = form.event.version();
    if form.version != version {
        let reason = format!("what it says is of format {version}, and it names format {}", form.version);
        return Err(malformed(reason));
    }
    Ok(form.into())
}
