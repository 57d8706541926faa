//! What keeps the daemon from starting, in words for people: what was wanted, what stands in the way, what to do.

use std::fmt::Write as _;
use std::io;

use eve_core::failure::Failure;
use eve_core::few::few;
use eve_k8s::ConnectError;
use eve_store::FileError;
use eve_vault::VaultConfigError;

use crate::config::Wrong;

/// Why the daemon does not start. Holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    message: String,
    hint: Option<String>,
}

impl StartError {
    /// What stands in the way.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// A file or folder of this purpose cannot be used.
    pub fn io(what: &str, error: &io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }

    /// The same as a problem of this field of the configuration.
    pub(crate) fn at(self, pointer: impl Into<String>, code: &'static str) -> Wrong {
        Wrong::new(pointer, code, self.message).with_hint(self.hint)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// As lines for a terminal.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.message).with_hint(failure.hint)
    }
}

impl From<FileError> for StartError {
    fn from(error: FileError) -> Self {
        Self::new(chain(&error)).with_hint(file_hint(&error).to_owned())
    }
}

/// What to do about a file of the state. The words of `eve-store` are for somebody who has a command line.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is left is the same for everybody")]
fn file_hint(error: &FileError) -> &'static str {
    match error {
        FileError::Held { .. } => "end the other daemon first, or give this one a `state.folder` of its own",
        FileError::Busy { .. } => "end the process that holds it, then start again",
        FileError::ReadOnly { .. } => {
            "let the account of the daemon write there, or name another folder with `state.folder`"
        }
        FileError::Full { .. } => "make room, then start again; what was stored is kept",
        FileError::SyncFailed { .. } => {
            "check the disk, then start again: the daemon goes on from what the disk has in fact"
        }
        FileError::Newer { .. } => "use the eve-daemon that wrote it, or a newer one",
        FileError::Damaged { .. } => {
            "keep a copy of the file and check the disk; with another `state.folder` the daemon begins anew, and plans that \
             are delivered again run from what the cluster has"
        }
        FileError::LostKey { .. } => {
            "bring the file back from a copy of the folder; if it is gone for good, give another `state.folder`: the daemon \
             begins anew there, and plans that are delivered again run from what the cluster has"
        }
        FileError::BadKey { .. } => "bring the file back as it was",
        FileError::OtherKey { .. } => {
            "the journal and its key belong together: bring the key back from a copy of the folder; if it is gone for good, give \
             another `state.folder`: the daemon begins anew there, and plans that are delivered again run from what the cluster has"
        }
        FileError::OtherCluster { .. } => {
            "lead `kubernetes.kubeconfig` and `kubernetes.context` to the cluster of the journal, or give the daemon of this \
             cluster a `state.folder` of its own"
        }
        FileError::Missing { .. } | FileError::Io { .. } => "mend what is named, then start again",
        FileError::Poisoned(first) => file_hint(first),
        FileError::OutOfOrder { .. } | FileError::WriterGone { .. } => {
            "this is a bug of the program; start again: what was stored is kept"
        }
        other => other.hint(),
    }
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> Self {
        let hint = if let ConnectError::NoKubeconfig { .. } = error {
            Some("name one with `kubernetes.kubeconfig`, or in the variable KUBECONFIG".to_owned())
        } else if let ConnectError::NoCurrentContext { known, .. } = &error {
            Some(format!("choose one with `kubernetes.context`: {}", few(known)))
        } else {
            error.hint()
        };
        Self::new(chain(&error)).with_hint(hint)
    }
}

impl From<VaultConfigError> for StartError {
    fn from(error: VaultConfigError) -> Self {
        Self::new(chain(&error))
    }
}

/// An error with its sources, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A daemon has no flags, no runs that somebody resumes, and no folder of a user.
    #[test]
    fn hints_about_files_are_the_daemons_own() {
        let path = || PathBuf::from("/var/lib/eve/journal.db");
        let all = [
            FileError::Missing { path: path() },
            FileError::Newer { path: path(), found: 2, known: 1 },
            FileError::Damaged { path: path(), reason: String::new() },
            FileError::Full { path: path() },
            FileError::ReadOnly { path: path() },
            FileError::SyncFailed { path: path() },
            FileError::Busy { path: path() },
            FileError::Held { what: "the ledger".to_owned(), holder: None },
            FileError::BadKey { path: path(), reason: String::new() },
            FileError::LostKey { path: path() },
            FileError::Poisoned(Box::new(FileError::Full { path: path() })),
            FileError::WriterGone { path: path() },
            FileError::Io { doing: "open", path: path(), reason: String::new() },
        ];
        for error in all {
            let text = StartError::from(error).render();
            for foreign in ["XDG_STATE_HOME", "resume", "list of runs", "cancel it", "applying"] {
                assert!(!text.contains(foreign), "{foreign} in {text}");
            }
        }
    }
}
