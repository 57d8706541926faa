//! What can go wrong with one request to the API server, and its class.
//!
//! These errors may quote what the server said. What is stored of them is a [`Failure`](eve_core::failure::Failure),
//! made in `executor::failure`, which knows when a text could hold a secret.

use std::error::Error as StdError;
use std::time::Duration;

use eve_core::failure::{Failure, FailureClass};
use serde::Deserialize;

use crate::path::PathError;

/// A request to the API server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server answered with an error status.
    #[error("{call}: {status}")]
    Refused {
        /// The request: verb, kind, namespace and name.
        call: String,
        /// What the server said.
        status: Box<ApiStatus>,
    },
    /// The server refuses, and is not ready: it does not know yet who may do what.
    #[error("{call}: the API server is still starting")]
    Starting {
        /// The request.
        call: String,
    },
    /// No answer in time. It is not known whether a write took effect.
    #[error("{call}: no answer within {}", seconds(*.after))]
    TimedOut {
        /// The request.
        call: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The server cannot be reached, or the connection was lost. It is not known whether a write took effect.
    #[error("{call}: {}", innermost(.source.as_ref()))]
    Unreachable {
        /// The request.
        call: String,
        /// What the connection says.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server cannot prove who it is.
    #[error("{call}: the certificate of the API server is not trusted: {reason}")]
    Untrusted {
        /// The request.
        call: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// No credentials could be had: an exec plugin failed, a token file is not readable.
    #[error("{call}: no credentials: {reason}")]
    Credentials {
        /// The request.
        call: String,
        /// What went wrong, without output that may hold a token.
        reason: String,
    },
    /// The answer is larger than allowed.
    #[error("{call}: the answer is larger than {bytes_max} bytes")]
    TooLarge {
        /// The request.
        call: String,
        /// The limit.
        bytes_max: u64,
    },
    /// The answer is no JSON of the expected shape.
    #[error("{call}: the answer cannot be read: {reason}")]
    Malformed {
        /// The request.
        call: String,
        /// What is wrong with it, without the answer itself.
        reason: String,
    },
    /// A name, namespace or kind may not stand in a request.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// An error status as the API server sends it (`metav1.Status`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", default)]
#[error("{}", if self.message.is_empty() { &self.reason } else { &self.message })]
pub struct ApiStatus {
    /// The HTTP status code.
    pub code: u16,
    /// For programs: `Conflict`, `Forbidden`; may be empty.
    pub reason: String,
    /// For people. May quote values of the object that was sent.
    pub message: String,
    /// More about the reason.
    pub details: StatusDetails,
}

/// The details of an [`ApiStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    /// The name of the object that the reason is about.
    pub name: String,
    /// Its resource (plural), against what the field is called.
    pub kind: String,
    /// One entry for each field or manager that is concerned.
    pub causes: Vec<StatusCause>,
}

/// One cause of an [`ApiStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusCause {
    /// For programs: `FieldManagerConflict`, `FieldValueInvalid`, `NamespaceTerminating`.
    pub reason: String,
    /// For people. May quote values.
    pub message: String,
    /// The field, as a path: `.spec.replicas`.
    pub field: String,
}

impl ApiError {
    /// What the retry rule reads.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Starting { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Malformed { .. } => FailureClass::Transient,
            Self::Refused { status, .. } => status.class(),
            Self::Untrusted { .. } | Self::Credentials { .. } | Self::TooLarge { .. } | Self::Path(_) => {
                FailureClass::Permanent
            }
        }
    }

    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Untrusted { .. } => {
                Some("check `certificate-authority-data` of the cluster in the kubeconfig".to_owned())
            }
            Self::Credentials { .. } => {
                Some("log in again, or check the `exec` section of the user".to_owned())
            }
            Self::Unreachable { .. } => Some(
                "check the address of the cluster in the kubeconfig, and HTTPS_PROXY and NO_PROXY".to_owned(),
            ),
            Self::Refused { status, .. } if status.code == 401 => {
                Some("the credentials are not accepted: log in again, or choose another context".to_owned())
            }
            Self::Starting { .. } => Some(
                "try again in a moment; who may read neither /readyz nor /api needs the role \
                 `system:discovery`"
                    .to_owned(),
            ),
            Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Path(_) => None,
        }
    }

    /// The error status, if the server answered with one.
    pub fn status(&self) -> Option<&ApiStatus> {
        match self {
            Self::Refused { status, .. } => Some(status),
            Self::Starting { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Credentials { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Path(_) => None,
        }
    }

    /// Whether the server answered with this HTTP status code.
    pub(crate) fn is_code(&self, code: u16) -> bool {
        self.status().is_some_and(|status| status.code == code)
    }
}

impl From<ApiError> for Failure {
    /// For requests that carry no object: the whole text is kept.
    fn from(error: ApiError) -> Self {
        let failure = Self::new(error.class(), error.code(), error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl ApiError {
    /// A stable code for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused { status, .. } => match status.code {
                401 => "k8s.api.unauthorized",
                403 => "k8s.api.forbidden",
                404 => "k8s.api.not-found",
                409 => "k8s.api.conflict",
                429 => "k8s.api.throttled",
                500.. => "k8s.api.unavailable",
                _ => "k8s.api.refused",
            },
            Self::Starting { .. } => "k8s.api.starting",
            Self::TimedOut { .. } => "k8s.api.timeout",
            Self::Unreachable { .. } => "k8s.api.unreachable",
            Self::Untrusted { .. } => "k8s.api.untrusted",
            Self::Credentials { .. } => "k8s.api.credentials",
            Self::TooLarge { .. } => "k8s.api.too-large",
            Self::Malformed { .. } => "k8s.api.malformed",
            Self::Path(_) => "k8s.object.bad-name",
        }
    }
}

impl ApiStatus {
    /// Overload and faults of the server may pass; everything else is an answer. A conflict is judged where the write is
    /// known.
    pub fn class(&self) -> FailureClass {
        // The API server answers 500 for an unreachable webhook and for etcd trouble alike: both may pass.
        if matches!(self.code, 408 | 429 | 500..=599) {
            FailureClass::Transient
        } else {
            FailureClass::Permanent
        }
    }

    /// Whether the resource itself is not served, as opposed to an object that does not exist.
    pub(crate) fn is_unknown_resource(&self) -> bool {
        // For a path that no resource is served under, the server answers in plain text, or without a name.
        self.code == 404 && (self.reason != "NotFound" || self.details.name.is_empty())
    }

    /// The namespace that is missing, where that is what the server complains of.
    pub(crate) fn missing_namespace(&self) -> Option<&str> {
        let is_namespace = self.code == 404 && self.details.kind == "namespaces";
        is_namespace.then_some(self.details.name.as_str())
    }
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 && duration.as_secs() > 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

/// The last error of the chain, which is the one that says what happened: outer ones say that something did.
pub(crate) fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error: &'a (dyn StdError + 'static) = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
