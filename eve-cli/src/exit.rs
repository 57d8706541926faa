//! The exit codes: one table, shown in the help and in `docs/reference/exit-codes.md`.

use std::fmt::Write as _;
use std::process::ExitCode;

use eve_core::run::Outcome;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Exit {
    /// Everything that was asked for is so.
    Succeeded,
    /// The run failed.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// The run failed, and what it had changed was put back.
    RolledBack,
    /// The run was stopped.
    Cancelled,
    /// The input was refused.
    Refused,
    /// The cluster, or Vault, cannot be used.
    Cluster,
    /// eve itself failed.
    Internal,
    /// The run failed, and not everything that it had changed was put back.
    RollbackFailed,
    /// Aborted by a second SIGINT.
    Interrupted,
    /// Aborted by a second SIGTERM.
    Terminated,
}

/// Code, name and meaning of every exit code, ordered by code; `None` for a code that is reserved.
pub const TABLE: &[(u8, Option<Exit>, &str, &str)] = &[
    (0, Some(Exit::Succeeded), "succeeded", "everything that was asked for is so"),
    (
        1,
        Some(Exit::Failed),
        "failed",
        "a component failed, or the run reached its deadline; `eve diff --exit-code`: something would change; \
         `eve explain`: something is not up",
    ),
    (2, Some(Exit::Usage), "usage", "the command line is wrong; nothing was done"),
    (
        3,
        Some(Exit::RolledBack),
        "rolled back",
        "the run failed or was stopped, and what it had changed was put back; `eve rollback` that does so exits with 0",
    ),
    (4, Some(Exit::Cancelled), "cancelled", "stopped by a signal, or superseded, and nothing failed"),
    (
        5,
        Some(Exit::Refused),
        "refused",
        "the plan or manifest is invalid or not allowed; nothing was written",
    ),
    (
        6,
        Some(Exit::Cluster),
        "cluster",
        "the cluster or Vault cannot be used: configuration, connection, credentials; nothing was written",
    ),
    (7, Some(Exit::Internal), "internal", "eve itself failed, or could not write its results; run it again"),
    (
        8,
        Some(Exit::RollbackFailed),
        "rollback failed",
        "what a run had changed was to be put back, and something is not; each such object was named",
    ),
    (
        130,
        Some(Exit::Interrupted),
        "interrupted",
        "aborted by a second Ctrl-C (SIGINT): calls in flight were dropped",
    ),
    (143, Some(Exit::Terminated), "terminated", "aborted by a second SIGTERM: calls in flight were dropped"),
];

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        let row = TABLE.iter().find(|(_, exit, _, _)| *exit == Some(self));
        row.map_or(u8::MAX, |(code, _, _, _)| *code)
    }
}

impl Exit {
    /// How the program ends after a run that was to undo another one.
    pub fn of_undoing(outcome: Outcome) -> Self {
        if outcome == Outcome::RolledBack { Self::Succeeded } else { Self::RollbackFailed }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Cancelled | Outcome::Superseded => Self::Cancelled,
            Outcome::RolledBack => Self::RolledBack,
            Outcome::RollbackFailed => Self::RollbackFailed,
            // An outcome that this version does not know is no success.
            Outcome::Failed | _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as plain text, for the end of a help page.
pub fn help() -> String {
    let row = |(code, _, name, meaning): &(u8, Option<Exit>, &str, &str)| {
        format!("  {code:>3}  {name:<12} {meaning}")
    };
    let rows: Vec<String> = TABLE.iter().map(row).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// The table as the document `docs/reference/exit-codes.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Exit codes of `eve`\n\nGenerated from `eve-cli/src/exit.rs`; do not edit.\n\n| code | name | meaning |\n|---:|---|---|\n",
    );
    for (code, _, name, meaning) in TABLE {
        let _ = writeln!(text, "| {code} | {name} | {meaning} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_has_one_code_and_codes_ascend() {
        let all = [
            (Exit::Succeeded, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::RolledBack, 3),
            (Exit::Cancelled, 4),
            (Exit::Refused, 5),
            (Exit::Cluster, 6),
            (Exit::Internal, 7),
            (Exit::RollbackFailed, 8),
            (Exit::Interrupted, 130),
            (Exit::Terminated, 143),
        ];
        for (exit, code) in all {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
        assert!(TABLE.is_sorted_by_key(|(code, ..)| *code));
    }

    #[test]
    fn only_success_exits_with_zero() {
        for outcome in [
            Outcome::Failed,
            Outcome::Cancelled,
            Outcome::Superseded,
            Outcome::RolledBack,
            Outcome::RollbackFailed,
        ] {
            assert_ne!(Exit::from(outcome).code(), 0, "{outcome:?}");
        }
        assert_eq!(Exit::from(Outcome::Succeeded).code(), 0);
        assert_eq!(Exit::of_undoing(Outcome::RolledBack).code(), 0);
        assert_eq!(Exit::of_undoing(Outcome::RollbackFailed).code(), 8);
    }
}
