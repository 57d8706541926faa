//! How long each cause is borne. Knows no clock: the wait counts.

use std::time::Duration;

use super::causes::Trouble;

/// How long each cause is borne before the wait ends. The defaults are those of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graces {
    crash_restarts: u32,
    image_pull: Duration,
    bad_config: Duration,
    replica_failure: Duration,
    unschedulable: Duration,
    not_ready: Duration,
}

impl Default for Graces {
    /// Crash loop after 3 restarts; image pull, bad configuration and refused pods 60 s; unschedulable and not ready are
    /// shown after 15 s and never end a wait.
    fn default() -> Self {
        let minute = Duration::from_mins(1);
        Self {
            crash_restarts: 3,
            image_pull: minute,
            bad_config: minute,
            replica_failure: minute,
            unschedulable: Duration::from_secs(15),
            not_ready: Duration::from_secs(15),
        }
    }
}

impl Graces {
    /// After how many restarts a container that crashes again is given up.
    #[must_use]
    pub const fn with_crash_restarts(mut self, restarts: u32) -> Self {
        self.crash_restarts = restarts;
        self
    }

    /// How long an image may fail to be pulled: registries have bad moments.
    #[must_use]
    pub const fn with_image_pull(mut self, grace: Duration) -> Self {
        self.image_pull = grace;
        self
    }

    /// How long a container may fail to be configured: the `ConfigMap` or `Secret` may be on its way.
    #[must_use]
    pub const fn with_bad_config(mut self, grace: Duration) -> Self {
        self.bad_config = grace;
        self
    }

    /// How long pods may be refused (quota, admission).
    #[must_use]
    pub const fn with_replica_failure(mut self, grace: Duration) -> Self {
        self.replica_failure = grace;
        self
    }

    /// How long no node may take a pod before that is shown; it ends no wait, since nodes may come.
    #[must_use]
    pub const fn with_unschedulable(mut self, grace: Duration) -> Self {
        self.unschedulable = grace;
        self
    }

    /// How long a container may take to get ready before that is shown; it ends no wait, since many are slow.
    #[must_use]
    pub const fn with_not_ready(mut self, grace: Duration) -> Self {
        self.not_ready = grace;
        self
    }

    pub(crate) const fn replica_failure(&self) -> Duration {
        self.replica_failure
    }

    /// What is done about a cause.
    pub(super) const fn of(&self, trouble: Trouble) -> Grace {
        match trouble {
            Trouble::CrashLoop => Grace::Restarts(self.crash_restarts),
            Trouble::ImagePull => Grace::Ends(self.image_pull),
            Trouble::BadConfig => Grace::Ends(self.bad_config),
            Trouble::ReplicaFailure => Grace::Ends(self.replica_failure),
            Trouble::Unschedulable => Grace::Shown(self.unschedulable),
            Trouble::NotReady => Grace::Shown(self.not_ready),
        }
    }
}

/// What is done about a cause, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grace {
    /// Shown at once; ends the wait after so many restarts.
    Restarts(u32),
    /// Shown at once; ends the wait after so long without a break.
    Ends(Duration),
    /// Shown after so long; never ends the wait.
    Shown(Duration),
}
