//! How often, and after which pauses, something is tried again with a file. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::DirectoryOptions;

/// The longest pause between two tries, while there is hope.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pause after the last of them. What stands in the way may be the folder's, which no look at the file shows.
const PAUSE_HOPELESS: Duration = Duration::from_mins(5);

/// What could not be done with a file so far.
#[derive(Debug)]
pub(super) struct Trouble {
    reason: String,
    tries: u32,
    is_hopeless: bool,
    due: Instant,
}

impl Trouble {
    /// It has failed once more. The pauses double.
    pub(super) fn again(
        before: Option<Self>,
        reason: String,
        now: Instant,
        options: &DirectoryOptions,
    ) -> Self {
        let tries = before.map_or(0, |before| before.tries).saturating_add(1);
        let is_hopeless = tries >= options.tries_max;
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
        let pause = options.try_pause.saturating_mul(doubled).min(PAUSE_MAX);
        let due = now + if is_hopeless { PAUSE_HOPELESS } else { pause };
        Self { reason, tries, is_hopeless, due }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Whether it was tried as often as is sensible.
    pub(super) fn is_hopeless(&self) -> bool {
        self.is_hopeless
    }

    /// What happened at the last try; mostly the same at each, so that it need be told once.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}
