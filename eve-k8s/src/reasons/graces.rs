//! How long each cause is borne. Knows no clock: the wait counts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::causes::Trouble;

/// How long each cause is borne before the wait ends, and before it is shown. The defaults are those of the table of
/// causes in `docs/reference/readiness.md`.
///
/// ```
/// use std::time::Duration;
/// use eve_k8s::{Grace, Graces, Trouble};
///
/// let patient = Graces::default().with(Trouble::ImagePull, Grace::After(Duration::from_secs(300)));
/// assert_eq!(patient.of(Trouble::ImagePull), Grace::After(Duration::from_secs(300)));
/// assert_eq!(patient.of(Trouble::CrashLoop), Grace::Restarts(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graces {
    ends: BTreeMap<Trouble, Grace>,
    shown: BTreeMap<Trouble, Duration>,
}

/// When a cause ends the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// After so many restarts of one container.
    Restarts(u32),
    /// After so long without a break.
    After(Duration),
    /// Never: the deadline does.
    Never,
}

impl Graces {
    /// The same, but this cause ends a wait so.
    #[must_use]
    pub fn with(mut self, trouble: Trouble, grace: Grace) -> Self {
        self.ends.insert(trouble, grace);
        self
    }

    /// The same, but this cause is shown after so long.
    #[must_use]
    pub fn shown_after(mut self, trouble: Trouble, after: Duration) -> Self {
        self.shown.insert(trouble, after);
        self
    }

    /// When this cause ends a wait.
    pub fn of(&self, trouble: Trouble) -> Grace {
        self.ends.get(&trouble).copied().unwrap_or(trouble.row().ends)
    }

    /// After how long this cause is shown.
    pub(super) fn shown(&self, trouble: Trouble) -> Duration {
        self.shown.get(&trouble).copied().unwrap_or(trouble.row().shown)
    }

    /// After how long this cause ends a wait; `None` where time alone does not.
    pub(crate) fn length(&self, trouble: Trouble) -> Option<Duration> {
        match self.of(trouble) {
            Grace::After(after) => Some(after),
            Grace::Restarts(_) | Grace::Never => None,
        }
    }
}
