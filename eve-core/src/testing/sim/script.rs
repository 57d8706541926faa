//! What a component's executor is going to do: the script that the simulated cluster plays.

use std::time::Duration;

use crate::failure::FailureClass;
use crate::ids::Attempt;
use crate::run::Phase;

/// What the cluster holds of a component's object when the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No object; of a component that is deleted, an object that is to go.
    Absent,
    /// An object that differs from what is wanted.
    Outdated,
    /// An object just as it is wanted.
    UpToDate,
}

/// How a phase of one executor misbehaves, attempt after attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It reports a failure of this class.
    Fails(FailureClass),
    /// It reports a failure of this class, but its write has landed: the reply was lost on the way.
    Lies(FailureClass),
    /// It panics.
    Panics,
    /// It never ends, whatever its deadline.
    Hangs,
}

/// How one component behaves, whoever asks and how often: its phases take a while and end as written here.
///
/// ```
/// use std::time::Duration;
/// use eve_core::failure::FailureClass;
/// use eve_core::run::Phase;
/// use eve_core::testing::sim::{Misbehaviour, Script};
/// // Its first write is refused, the second is accepted, and 40 s later it is ready.
/// let script = Script::new()
///     .ready_after(Duration::from_secs(40))
///     .misbehaves(Phase::Apply, 1, Misbehaviour::Fails(FailureClass::Transient));
/// # let _ = script;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "traits, any of which it may have")]
pub struct Script {
    pub(super) found: Found,
    pub(super) tells_change: bool,
    pub(super) takes: Duration,
    pub(super) reads_at_once: bool,
    pub(super) ready_after: Option<Duration>,
    pub(super) news_every: Option<Duration>,
    pub(super) misbehaves: Option<(Phase, u32, Misbehaviour)>,
    pub(super) keeps_deadline: bool,
    pub(super) can_be_undone: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// An object that is not there, is created in 10 ms and is ready at once.
    pub const fn new() -> Self {
        Self {
            found: Found::Absent,
            tells_change: true,
            takes: Duration::from_millis(10),
            reads_at_once: false,
            ready_after: Some(Duration::ZERO),
            news_every: None,
            misbehaves: None,
            keeps_deadline: false,
            can_be_undone: true,
        }
    }

    /// What the cluster holds at the beginning.
    #[must_use]
    pub const fn found(mut self, found: Found) -> Self {
        self.found = found;
        self
    }

    /// `prepare` cannot tell what would change.
    #[must_use]
    pub const fn cannot_tell(mut self) -> Self {
        self.tells_change = false;
        self
    }

    /// How long each call takes at least.
    #[must_use]
    pub const fn takes(mut self, each: Duration) -> Self {
        self.takes = each;
        self
    }

    /// What is read is known already: `prepare` takes no time, nor does `wait` once the object is ready.
    #[must_use]
    pub const fn reads_at_once(mut self) -> Self {
        self.reads_at_once = true;
        self
    }

    /// How long after it was written the object is ready.
    #[must_use]
    pub const fn ready_after(mut self, duration: Duration) -> Self {
        self.ready_after = Some(duration);
        self
    }

    /// The object is never ready.
    #[must_use]
    pub const fn never_ready(mut self) -> Self {
        self.ready_after = None;
        self
    }

    /// While it is waited for, something new is told this often.
    #[must_use]
    pub const fn with_news_every(mut self, interval: Duration) -> Self {
        self.news_every = Some(interval);
        self
    }

    /// This phase misbehaves in the first `attempts` attempts.
    #[must_use]
    pub const fn misbehaves(mut self, phase: Phase, attempts: u32, how: Misbehaviour) -> Self {
        self.misbehaves = Some((phase, attempts, how));
        self
    }

    /// `wait` gives up by itself when its deadline is reached, and says so.
    #[must_use]
    pub const fn keeps_deadline(mut self) -> Self {
        self.keeps_deadline = true;
        self
    }

    /// `prepare` never says what would put it back.
    #[must_use]
    pub const fn cannot_be_undone(mut self) -> Self {
        self.can_be_undone = false;
        self
    }

    /// How this phase misbehaves in this attempt.
    pub(super) fn misbehaviour(&self, phase: Phase, attempt: Attempt) -> Option<Misbehaviour> {
        self.misbehaves
            .filter(|(failing, attempts, _)| *failing == phase && attempt.get() <= *attempts)
            .map(|(_, _, how)| how)
    }
}
