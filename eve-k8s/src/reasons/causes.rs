//! The table of causes that keep a workload down: what they are called, and where they stand. The reference is made
//! from it.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use super::graces::Grace;

/// What keeps the pods of a workload down, the worst first. Written as in the table of causes: `crash-loop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Trouble {
    /// A container ends with an error again and again.
    CrashLoop,
    /// A container cannot be made or started.
    BadConfig,
    /// An image cannot be pulled.
    ImagePull,
    /// Pods are refused.
    ReplicaFailure,
    /// No node takes the pod.
    Unschedulable,
    /// A container starts slowly, or fails its readiness probe.
    NotReady,
}

/// A text names no [`Trouble`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cause; there are {names}", names = names())]
pub struct UnknownTrouble(String);

fn names() -> String {
    ROWS.map(|row| format!("`{}`", row.trouble.name())).join(", ")
}

/// One row of the table.
pub(super) struct Row {
    pub(super) trouble: Trouble,
    pub(super) code: &'static str,
    means: &'static str,
    /// Reasons of waiting containers (kubelet, `pkg/kubelet/images` and `pkg/kubelet/kuberuntime`).
    reasons: &'static [&'static str],
    /// Where else it stands.
    stands: &'static str,
    /// When it ends the wait, unless that is said otherwise.
    pub(super) ends: Grace,
    /// After how long it is shown, unless that is said otherwise.
    pub(super) shown: Duration,
}

/// Registries have bad moments, and what is missing may be on its way.
const PASSING: Grace = Grace::After(Duration::from_mins(1));
/// Before that it is only slow.
const SLOW: Duration = Duration::from_secs(15);

const CRASH_LOOP: Row = Row {
    trouble: Trouble::CrashLoop,
    code: "k8s.pod.crash-loop",
    means: "A container ends with an error again and again. Not judged in the pods of a Job, which counts them itself.",
    reasons: &["CrashLoopBackOff"],
    stands: "",
    ends: Grace::Restarts(3),
    shown: Duration::ZERO,
};
const BAD_CONFIG: Row = Row {
    trouble: Trouble::BadConfig,
    code: "k8s.pod.bad-config",
    means: "A container cannot be made or started. The ConfigMap or Secret that it names may be on its way.",
    reasons: &[
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "InvalidImageName",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "SignatureValidationFailed",
    ],
    stands: "",
    ends: PASSING,
    shown: Duration::ZERO,
};
const IMAGE_PULL: Row = Row {
    trouble: Trouble::ImagePull,
    code: "k8s.pod.image-pull",
    means: "An image cannot be pulled. Registries have bad moments.",
    reasons: &[
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
    ],
    stands: "",
    ends: PASSING,
    shown: Duration::ZERO,
};
const REPLICA_FAILURE: Row = Row {
    trouble: Trouble::ReplicaFailure,
    code: "k8s.workload.replica-failure",
    means: "Pods are refused: by a quota, an admission webhook, a missing account.",
    reasons: &[],
    stands: "condition `ReplicaFailure`; events `FailedCreate` where a StatefulSet, DaemonSet or Job has no pod",
    ends: PASSING,
    shown: Duration::ZERO,
};
const UNSCHEDULABLE: Row = Row {
    trouble: Trouble::Unschedulable,
    code: "k8s.pod.unschedulable",
    means: "No node takes the pod. Nodes may come.",
    reasons: &[],
    stands: "condition `PodScheduled` of the pod, reason `Unschedulable`",
    ends: Grace::Never,
    shown: SLOW,
};
const NOT_READY: Row = Row {
    trouble: Trouble::NotReady,
    code: "k8s.pod.not-ready",
    means: "A container starts slowly, or runs and fails its readiness probe.",
    reasons: &["ContainerCreating", "PodInitializing"],
    stands: "a container that runs with `ready: false`",
    ends: Grace::Never,
    shown: SLOW,
};

/// All rows, the worst first.
pub(super) const ROWS: [&Row; 6] =
    [&CRASH_LOOP, &BAD_CONFIG, &IMAGE_PULL, &REPLICA_FAILURE, &UNSCHEDULABLE, &NOT_READY];

#[cfg(test)]
impl Row {
    pub(super) const fn reasons(&self) -> &'static [&'static str] {
        self.reasons
    }
}

impl Trouble {
    /// All of them, the worst first.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.into_iter().map(|row| row.trouble)
    }

    /// The last word of its code: `crash-loop`.
    pub fn name(self) -> &'static str {
        let code = self.row().code;
        code.rsplit_once('.').map_or(code, |(_, name)| name)
    }

    pub(super) const fn row(self) -> &'static Row {
        match self {
            Self::CrashLoop => &CRASH_LOOP,
            Self::BadConfig => &BAD_CONFIG,
            Self::ImagePull => &IMAGE_PULL,
            Self::ReplicaFailure => &REPLICA_FAILURE,
            Self::Unschedulable => &UNSCHEDULABLE,
            Self::NotReady => &NOT_READY,
        }
    }

    /// What the reason of a waiting container means.
    pub(super) fn of(reason: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.reasons.contains(&reason)).map(|row| row.trouble)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Trouble {
    type Err = UnknownTrouble;

    fn from_str(text: &str) -> Result<Self, UnknownTrouble> {
        Self::all().find(|trouble| trouble.name() == text).ok_or_else(|| UnknownTrouble(text.to_owned()))
    }
}

/// The rows as a table of the reference.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "| code | what it is | where it stands | shown after | ends the wait after |\n|---|---|---|---|---|\n",
    );
    for row in ROWS {
        let shown = match row.shown.as_secs() {
            0 => "at once".to_owned(),
            seconds => format!("{seconds} s"),
        };
        let ends = match row.ends {
            Grace::Restarts(restarts) => format!("{restarts} restarts"),
            Grace::After(after) => format!("{} s", after.as_secs()),
            Grace::Never => "never".to_owned(),
        };
        let mut stands: Vec<String> = row.reasons.iter().map(|reason| format!("`{reason}`")).collect();
        stands.extend(Some(row.stands.to_owned()).filter(|stands| !stands.is_empty()));
        let _ =
            writeln!(text, "| `{}` | {} | {} | {shown} | {ends} |", row.code, row.means, stands.join(", "));
    }
    text
}
