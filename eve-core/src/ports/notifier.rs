//! Who is told how a request ended.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, shortened};
use crate::ids::RunId;
use crate::run::Outcome;
use crate::time::Timestamp;

/// Delivers the outcome of a request to somebody outside.
///
/// - **At least once**: a notice is delivered again after a crash or a lost answer, always with the same
///   [`Notice::key`] and the same content; receivers drop what they know.
/// - **Who retries**: the core, from its outbox. A notifier makes each request once and classifies what went wrong.
/// - **Never holds a run**: the outcome is durable before it is delivered, and stays what it is.
/// - **Cancel safety**: a dropped delivery may or may not have arrived.
///
/// A [`Scheduler`](crate::scheduler::Scheduler) has an outbox; an embedder may also call it with the outcome that `drive` returns.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Returns once the receiver has taken the notice, with what it said to it.
    ///
    /// # Errors
    /// A classified [`Failure`]; `Transient` where it is not known whether the notice arrived, `Permanent` where somebody
    /// must change something before it can.
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure>;
}

/// What is told of the end of a request. Plain data without secrets, made to be stored: see [`Notice::bounded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notice {
    /// Stable over all deliveries of this notice; 1 to [`Notice::KEY_BYTES_MAX`] bytes of printable ASCII.
    pub key: String,
    /// When it was decided; the same in all deliveries. Written as [`Timestamp::to_rfc3339`] does; read also as microseconds,
    /// as earlier versions wrote it.
    #[serde(with = "written")]
    pub at: Timestamp,
    /// Counts the notices of a namespace: a receiver can tell an older one from a newer, since order is not promised. 0
    /// where nobody counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// The identifier that the sender of the plan gave to the request; empty where there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The run; `None` for a request that never had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The name of its plan; empty where it could not be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plan: String,
    /// The namespace of its plan; empty where it could not be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// How it ended.
    pub ending: Ending,
    /// Why, where it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Told>,
    /// The components that are worth a word, those that failed first, then those that had something to say, then those that
    /// were never started: see [`Notice::COMPONENTS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentNotice>,
    /// How many more were worth a word than `components` has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub components_left_out: u64,
}

/// Times in notices.
mod written {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Timestamp;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Micros(u64),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        let text = at.to_rfc3339().ok_or_else(|| S::Error::custom("the time is beyond the year 9999"))?;
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        match Written::deserialize(from)? {
            Written::Text(text) => {
                Timestamp::from_rfc3339(&text).ok_or_else(|| D::Error::custom("it is no time in UTC"))
            }
            Written::Micros(micros) => Ok(Timestamp::from_micros(micros)),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Notice {
    /// The most bytes of a key.
    pub const KEY_BYTES_MAX: usize = 128;
    /// The most components that are told of.
    pub const COMPONENTS_MAX: usize = 50;
    /// The most messages of one component, or of one receipt.
    pub const MESSAGES_MAX: usize = 20;
    /// The most bytes of one message of a component; what is longer ends after a whole word, with ` …`.
    pub const TEXT_BYTES_MAX: usize = 1024;
    /// The most bytes of one reason: as many as a [`Failure`] has.
    pub const REASON_BYTES_MAX: usize = Failure::MESSAGE_BYTES_MAX;

    /// A notice of this ending, with nothing else in it.
    pub fn new(key: impl Into<String>, at: Timestamp, ending: Ending) -> Self {
        Self {
            key: key.into(),
            at,
            sequence: 0,
            request: String::new(),
            run: None,
            plan: String::new(),
            namespace: String::new(),
            ending,
            failure: None,
            components: Vec::new(),
            components_left_out: 0,
        }
    }

    /// The same within all limits: texts cut, components and messages that are too many left out and counted. As JSON it
    /// then has less than 3 MiB, and much less where components have few messages.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let left_out = self.components.len().saturating_sub(Self::COMPONENTS_MAX);
        self.components.truncate(Self::COMPONENTS_MAX);
        self.components_left_out =
            self.components_left_out.saturating_add(u64::try_from(left_out).unwrap_or(u64::MAX));
        for component in &mut self.components {
            cut(&mut component.name);
            bound_messages(&mut component.messages);
            component.failure.iter_mut().for_each(Told::bound);
        }
        self.failure.iter_mut().for_each(Told::bound);
        for text in [&mut self.request, &mut self.plan, &mut self.namespace] {
            cut(text);
        }
        self
    }
}

/// How a request ended. Final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// Every component is ready.
    Succeeded,
    /// At least one component failed, or the run reached its deadline.
    Failed,
    /// Stopped on request, and nothing failed.
    Cancelled,
    /// Left for a newer plan, and nothing failed.
    Superseded,
    /// Everything that was changed is as it was before.
    RolledBack,
    /// Not everything that was changed is as it was before, or known to be.
    RollbackFailed,
    /// Never accepted; nothing was written.
    Refused,
    /// It asked to stop a request that is over, or that is not known: nothing was stopped. A request that comes later than its
    /// stop is not begun.
    NothingToStop,
}

impl Ending {
    /// The word that stands for it, the same as in stored data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled_back",
            Self::RollbackFailed => "rollback_failed",
            Self::Refused => "refused",
            Self::NothingToStop => "nothing_to_stop",
        }
    }
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Superseded => Self::Superseded,
            Outcome::RolledBack => Self::RolledBack,
            Outcome::RollbackFailed => Self::RollbackFailed,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Told {
    /// Stable, dotted, lower case; for programs.
    pub code: String,
    /// One line for people.
    pub message: String,
}

impl Told {
    fn bound(&mut self) {
        cut(&mut self.code);
        shorten(&mut self.message, Notice::REASON_BYTES_MAX);
    }
}

impl From<&Failure> for Told {
    /// Code and message; notes and log lines stay behind.
    fn from(failure: &Failure) -> Self {
        let mut told = Self { code: failure.code.clone().into_owned(), message: failure.message.clone() };
        told.bound();
        told
    }
}

/// What is told of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentNotice {
    /// Its name in the plan.
    pub name: String,
    /// What became of it.
    pub state: ComponentEnd,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Told>,
    /// What it had to say, in order: the messages of a function, the evidence of a failure. Where there is more than there is
    /// room for, the last one says how much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
}

/// What became of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ComponentEnd {
    /// It is ready.
    Succeeded,
    /// It failed.
    Failed,
    /// It was not brought to its end: it was never started, or its messages say that it may have been written.
    Skipped,
    /// It was changed, and is not as it was before: its undo failed, or it was left alone.
    NotUndone,
}

/// What a receiver said when it took a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// What the receiver made of it, where it says so. Final whatever it is: the notice has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What it had to say; at most [`Notice::MESSAGES_MAX`], each at most [`Notice::TEXT_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
}

impl Receipt {
    /// A receipt within its limits.
    pub fn new(verdict: Option<Verdict>, mut messages: Vec<String>) -> Self {
        bound_messages(&mut messages);
        Self { verdict, messages }
    }
}

/// What somebody who was called made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did what it does.
    Success,
    /// It tried, in vain.
    Failed,
    /// There was nothing to do.
    Noop,
}

impl Verdict {
    /// The word that stands for it, the same as in stored data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Noop => "noop",
        }
    }
}

fn bound_messages(messages: &mut Vec<String>) {
    messages.truncate(Notice::MESSAGES_MAX);
    messages.iter_mut().for_each(cut);
}

fn cut(text: &mut String) {
    shorten(text, Notice::TEXT_BYTES_MAX);
}

fn shorten(text: &mut String, bytes_max: usize) {
    *text = shortened(std::mem::take(text), bytes_max);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Notice {
        let long = "ä".repeat(Notice::REASON_BYTES_MAX);
        let told = || Told { code: long.clone(), message: long.clone() };
        let component = ComponentNotice {
            name: long.clone(),
            state: ComponentEnd::Failed,
            failure: Some(told()),
            messages: vec![long.clone(); Notice::MESSAGES_MAX + 1],
        };
        Notice {
            sequence: 7,
            request: long.clone(),
            run: Some(RunId::new("r")),
            plan: long.clone(),
            namespace: long.clone(),
            failure: Some(told()),
            components: vec![component; Notice::COMPONENTS_MAX + 3],
            ..Notice::new("key", Timestamp::from_micros(1), Ending::Failed)
        }
    }

    #[test]
    fn a_notice_within_its_limits_says_how_much_it_leaves_out() {
        let notice = full().bounded();
        assert_eq!(notice.components.len(), Notice::COMPONENTS_MAX);
        assert_eq!(notice.components_left_out, 3);
        let component = &notice.components[0];
        assert_eq!(component.messages.len(), Notice::MESSAGES_MAX);
        let cut = |bytes_max: usize| format!("{} …", "ä".repeat(bytes_max / 2 - 2));
        assert!(component.messages.iter().all(|text| *text == cut(Notice::TEXT_BYTES_MAX)));
        assert_eq!(component.failure.as_ref().unwrap().message, cut(Notice::REASON_BYTES_MAX));
        assert_eq!(notice.failure.as_ref().unwrap().code, cut(Notice::TEXT_BYTES_MAX));
        let bytes = serde_json::to_vec(&notice).unwrap().len();
        assert!(bytes < 3 << 20, "{bytes}");
        assert_eq!(notice.clone().bounded(), notice);
    }

    #[test]
    fn a_stored_notice_is_read_as_it_was_and_what_is_not_there_is_not_written() {
        let notice = full().bounded();
        let text = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice);
        let bare = Notice::new("k", Timestamp::from_micros(5), Ending::Refused);
        let text = r#"{"key":"k","at":"1970-01-01T00:00:00.000005Z","ending":"refused"}"#;
        assert_eq!(serde_json::to_string(&bare).unwrap(), text);
        let older = r#"{"key":"k","at":5,"ending":"refused"}"#;
        assert_eq!(serde_json::from_str::<Notice>(older).unwrap(), bare);
        for ending in
            [Ending::Succeeded, Ending::Failed, Ending::Superseded, Ending::Refused, Ending::NothingToStop]
        {
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.as_str());
        }
    }
}
