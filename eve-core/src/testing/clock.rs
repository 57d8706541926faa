//! Clocks that a test controls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ports::Clock;
use crate::time::Timestamp;

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now`.
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.as_micros()))
    }

    /// Moves the clock into the future.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A clock that follows tokio's, which a test may pause: an hour of waiting then takes no time.
#[cfg(feature = "driver")]
#[derive(Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
    wall: Timestamp,
}

#[cfg(feature = "driver")]
impl TokioClock {
    /// A clock that shows `wall` now.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { start: tokio::time::Instant::now(), wall }
    }
}

#[cfg(feature = "driver")]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.wall.plus(self.start.elapsed())
    }
}
