//! The table of causes that keep a workload down: what they are called, and where they stand. The reference is made
//! from it.

use std::fmt::Write as _;

use super::graces::{Grace, Graces};

/// What keeps a pod down, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    CrashLoop,
    BadConfig,
    ImagePull,
    ReplicaFailure,
    Unschedulable,
    NotReady,
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
}

const CRASH_LOOP: Row = Row {
    trouble: Trouble::CrashLoop,
    code: "k8s.pod.crash-loop",
    means: "A container ends with an error again and again. Not judged in the pods of a Job, which counts them itself.",
    reasons: &["CrashLoopBackOff"],
    stands: "",
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
};
const REPLICA_FAILURE: Row = Row {
    trouble: Trouble::ReplicaFailure,
    code: "k8s.workload.replica-failure",
    means: "Pods are refused: by a quota, an admission webhook, a missing account.",
    reasons: &[],
    stands: "condition `ReplicaFailure`; events `FailedCreate` where a StatefulSet, DaemonSet or Job has no pod",
};
const UNSCHEDULABLE: Row = Row {
    trouble: Trouble::Unschedulable,
    code: "k8s.pod.unschedulable",
    means: "No node takes the pod. Nodes may come.",
    reasons: &[],
    stands: "condition `PodScheduled` of the pod, reason `Unschedulable`",
};
const NOT_READY: Row = Row {
    trouble: Trouble::NotReady,
    code: "k8s.pod.not-ready",
    means: "A container starts slowly, or runs and fails its readiness probe.",
    reasons: &["ContainerCreating", "PodInitializing"],
    stands: "a container that runs with `ready: false`",
};

/// All rows, the worst first.
pub(super) const ROWS: [&Row; 6] =
    [&CRASH_LOOP, &BAD_CONFIG, &IMAGE_PULL, &REPLICA_FAILURE, &UNSCHEDULABLE, &NOT_READY];

impl Trouble {
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

/// The rows as a table of the reference.
pub(crate) fn markdown() -> String {
    let graces = Graces::default();
    let mut text = String::from(
        "| code | what it is | where it stands | shown after | ends the wait after |\n|---|---|---|---|---|\n",
    );
    for row in ROWS {
        let (shown, ends) = match graces.of(row.trouble) {
            Grace::Restarts(restarts) => ("at once".to_owned(), format!("{restarts} restarts")),
            Grace::Ends(after) => ("at once".to_owned(), format!("{} s", after.as_secs())),
            Grace::Shown(after) => (format!("{} s", after.as_secs()), "never".to_owned()),
        };
        let mut stands: Vec<String> = row.reasons.iter().map(|reason| format!("`{reason}`")).collect();
        stands.extend(Some(row.stands.to_owned()).filter(|stands| !stands.is_empty()));
        let _ =
            writeln!(text, "| `{}` | {} | {} | {shown} | {ends} |", row.code, row.means, stands.join(", "));
    }
    text
}
