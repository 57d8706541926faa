//! What can go wrong while servers are built, started or asked; texts say what to do about it.
//! This module holds no logic.

use std::path::PathBuf;
use std::time::Duration;

/// Why the testbed could not do what a test asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestbedError {
    /// The Go toolchain is missing, too old or does not start.
    #[error(
        "no usable Go toolchain: {found}; Go {wanted} or newer is needed to build the real servers that the tests run against. \
         Install it from https://go.dev/dl/ (one folder, no root needed) or the package manager and put `go` on PATH"
    )]
    Go {
        /// What was found instead.
        found: String,
        /// The oldest version that the server modules accept, such as `1.26.0`.
        wanted: String,
    },
    /// `go build` ended with an error.
    #[error(
        "go build of {servers} failed with {status}; its output is above. The first build needs the network (Go module proxy)"
    )]
    Build {
        /// Names of the servers, separated by commas.
        servers: String,
        /// The exit status in words.
        status: String,
    },
    /// Python is missing, too old or does not start.
    #[error(
        "no usable Python: {found}; Python {wanted} or newer with `venv` is needed to install moto, which plays AWS in the tests. \
         Install it from https://www.python.org/downloads or the package manager (Debian: python3-venv) and put `python3` on PATH"
    )]
    Python {
        /// What was found instead.
        found: String,
        /// The oldest version that the packages accept, such as `3.11`.
        wanted: String,
    },
    /// A step of installing Python packages ended with an error.
    #[error(
        "{what} failed with {status}; its output is above. The first installation needs the network (PyPI)"
    )]
    Install {
        /// The step.
        what: String,
        /// The exit status in words.
        status: String,
    },
    /// `KUBEBUILDER_ASSETS` names a folder that lacks a server.
    #[error(
        "KUBEBUILDER_ASSETS is {dir} but there is no file {dir}/{server}; put it there or unset the variable to have it built"
    )]
    Assets {
        /// The folder that the variable names.
        dir: PathBuf,
        /// The missing server.
        server: &'static str,
    },
    /// No folder for the built servers is known.
    #[error(
        "neither XDG_CACHE_HOME nor HOME is set to an absolute path, so there is no place to keep the built servers"
    )]
    NoCacheFolder,
    /// Reading or writing a file, starting a process, and the like.
    #[error("failed to {what}")]
    Io {
        /// The act, with the path or program.
        what: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A server ended although it should run.
    #[error("{server} ended early with {status}; the end of its log:\n{log}")]
    Died {
        /// Name of the server.
        server: &'static str,
        /// The exit status in words.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// A condition did not come true in time.
    #[error("waited {waited:?} in vain for {what}{log}")]
    TimedOut {
        /// What was waited for, and what was seen last.
        what: String,
        /// How long.
        waited: Duration,
        /// Empty, or the last lines of the log that may tell why.
        log: String,
    },
    /// The API server refused or did not answer a request of the testbed itself.
    #[error("failed to {what}")]
    Api {
        /// The act.
        what: String,
        /// The client's reason.
        #[source]
        source: Box<kube::Error>,
    },
    /// A certificate or key could not be made.
    #[error("failed to make certificates")]
    Certificates(#[from] rcgen::Error),
    /// The kubeconfig written by the testbed is not accepted.
    #[error("failed to read the kubeconfig of the testbed")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
}

impl TestbedError {
    /// Wraps an I/O error with the act that met it.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Wraps a client error with the act that met it.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// The error and everything below it in one line, for messages that end a test.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}

/// Ends the test with a reason.
#[expect(
    clippy::panic,
    reason = "a test that cannot have its servers must fail, and this is how a test fails"
)]
pub(crate) fn give_up(what: &str, why: &str) -> ! {
    panic!("{what}: {why}")
}
