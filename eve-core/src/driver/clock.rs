//! The clock of a process: wall time at its start, monotonic from there.

use crate::ports::Clock;
use crate::time::Timestamp;

/// Wall time at the start plus what the monotonic clock measured since: never goes back, whatever happens to the wall
/// clock meanwhile. The one place of this crate that reads a clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
    wall: Timestamp,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_types, reason = "a driver is where the time comes from; the engine is told")]
    pub fn new() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let wall = Timestamp::EPOCH.plus(since_epoch.unwrap_or_default());
        Self { start: tokio::time::Instant::now(), wall }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall.plus(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let clock = SystemClock::new();
        let times: Vec<Timestamp> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.is_sorted());
        assert!(times[0] > Timestamp::from_micros(1_700_000_000_000_000), "{}", times[0]);
    }
}
