//! What keeps the daemon from starting, in words for people: what was wanted, what stands in the way, what to do.

use std::fmt::Write as _;
use std::io;

use eve_core::failure::Failure;
use eve_k8s::ConnectError;
use eve_store::FileError;
use eve_vault::VaultConfigError;

/// Why the daemon does not start. Holds no secret.
#[derive(Debug, thiserror::Error)]
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
        let hint = error.hint().to_owned();
        Self::new(chain(&error)).with_hint(hint)
    }
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> Self {
        let is_missing = matches!(error, ConnectError::NoKubeconfig { .. });
        let ours = "name one with `kubernetes.kubeconfig`, or in the variable KUBECONFIG";
        let hint = is_missing.then(|| ours.to_owned()).or_else(|| error.hint());
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
