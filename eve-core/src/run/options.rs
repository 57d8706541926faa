//! Options of a run: limits, timeouts, retries, and which versions of secrets it uses. Every number has a unit, a default
//! and a bound.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::RetryPolicy;
use crate::secret::SecretPins;

/// Limits, timeouts and retries of a run, and the versions of its secrets; stored with it, so that a resumed run keeps them.
///
/// ```
/// use std::time::Duration;
/// use eve_core::run::RunOptions;
/// let options = RunOptions::default().with_run_timeout(Duration::from_secs(600)).with_api_limit(8);
/// assert_eq!(options.api_limit(), 8);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RunOptions {
    pub(crate) api_limit: u32,
    pub(crate) wait_limit: u32,
    pub(crate) component_timeout: Duration,
    pub(crate) run_timeout: Duration,
    pub(crate) no_progress_timeout: Duration,
    pub(crate) waiting_interval: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) seed: u64,
    #[serde(default, skip_serializing_if = "SecretPins::is_empty")]
    pub(crate) pins: SecretPins,
}

impl Default for RunOptions {
    /// 32 calls at once, waits without bound; a component 10 min, a run 1 h, no progress 5 min; 3 attempts, 1 s
    /// doubling to 30 s; seed 0; no secrets.
    fn default() -> Self {
        Self {
            api_limit: 32,
            wait_limit: u32::MAX,
            component_timeout: Duration::from_mins(10),
            run_timeout: Duration::from_hours(1),
            no_progress_timeout: Duration::from_mins(5),
            waiting_interval: Duration::from_secs(5),
            retry: RetryPolicy {
                attempts: 3,
                backoff: Duration::from_secs(1),
                max_backoff: Duration::from_secs(30),
            },
            seed: 0,
            pins: SecretPins::default(),
        }
    }
}

impl RunOptions {
    /// How many `Prepare` and `Apply` calls may be in flight together.
    pub const fn api_limit(&self) -> u32 {
        self.api_limit
    }

    /// How many `Wait` calls may be in flight.
    pub const fn wait_limit(&self) -> u32 {
        self.wait_limit
    }

    /// How long the whole run may take.
    pub const fn run_timeout(&self) -> Duration {
        self.run_timeout
    }

    /// How long a component may take from its start, unless it says otherwise.
    pub const fn component_timeout(&self) -> Duration {
        self.component_timeout
    }

    /// Which secrets the run uses, in which versions.
    pub const fn pins(&self) -> &SecretPins {
        &self.pins
    }

    /// Which secrets the run uses, in which versions: those whose values its driver has.
    #[must_use]
    pub fn with_pins(mut self, pins: SecretPins) -> Self {
        self.pins = pins;
        self
    }

    /// `Prepare` and `Apply` calls in flight together; at least 1, which 0 is taken as.
    #[must_use]
    pub const fn with_api_limit(mut self, calls: u32) -> Self {
        self.api_limit = if calls == 0 { 1 } else { calls };
        self
    }

    /// `Wait` calls in flight together; at least 1, which 0 is taken as.
    #[must_use]
    pub const fn with_wait_limit(mut self, calls: u32) -> Self {
        self.wait_limit = if calls == 0 { 1 } else { calls };
        self
    }

    /// The deadline of the run, from its start.
    #[must_use]
    pub const fn with_run_timeout(mut self, timeout: Duration) -> Self {
        self.run_timeout = timeout;
        self
    }

    /// The deadline of a component that states none, from its start over all attempts.
    #[must_use]
    pub const fn with_component_timeout(mut self, timeout: Duration) -> Self {
        self.component_timeout = timeout;
        self
    }

    /// How long the cause of a wait, or of an undo that is under way, may stay the same.
    #[must_use]
    pub const fn with_no_progress_timeout(mut self, timeout: Duration) -> Self {
        self.no_progress_timeout = timeout;
        self
    }

    /// Retries of components that state none; they cover the class `Transient` only.
    #[must_use]
    pub const fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The seed of the jitter of retries.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
