//! What went wrong with one reference, in words of our own: nothing of what Vault answered is in here, and no token.

use std::path::PathBuf;
use std::time::Duration;

use eve_core::failure::{Failure, FailureClass};
use eve_core::secret::{SecretRef, SecretVersion};

use crate::codes;
use crate::login::{Credential, GivenToken};
use crate::place::PlaceError;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("{0}")]
    BadReference(PlaceError),
    #[error("this is a reference to another backend than vault")]
    OtherBackend,
    #[error("`{path}` is not below the paths that this run may read")]
    OutsideScope { path: String },
    #[error("{credential} cannot be read from {}: {reason}", path.display())]
    CredentialFile { credential: Credential, path: PathBuf, reason: String },
    #[error("Vault refuses the login at `{mount}` (status {status})")]
    LoginRefused { mount: String, status: u16 },
    #[error("Vault does not know {token}: it is expired, revoked, or of another Vault")]
    TokenInvalid { token: GivenToken },
    #[error("Vault denies reading `{path}`, or nothing is mounted there")]
    Denied { path: String },
    #[error("`{mount}` in Vault is no engine for keys and values")]
    NotKv { mount: String },
    #[error("`{mount}` in Vault keeps no versions, so version {version} cannot be asked for")]
    NoVersions { mount: String, version: SecretVersion },
    #[error("Vault has nothing at `{path}`, or hides it")]
    AbsentPath { path: String },
    #[error("Vault has no version {version} at `{path}`, or hides it")]
    AbsentVersion { path: String, version: SecretVersion },
    #[error("the secret at `{path}` has no key `{key}`")]
    AbsentKey { path: String, key: String },
    #[error("version {version} at `{path}` is deleted")]
    Deleted { path: String, version: SecretVersion },
    #[error("version {version} at `{path}` is destroyed")]
    Destroyed { path: String, version: SecretVersion },
    #[error("`{key}` at `{path}` holds {holds}, and only texts, numbers and booleans can be used")]
    NotText { path: String, key: String, holds: &'static str },
    #[error("Vault is sealed")]
    Sealed,
    #[error("this Vault was never initialised")]
    Uninitialised,
    #[error("the Vault server that answers is a standby and does not forward requests")]
    Standby,
    #[error("Vault answers with a redirect (status {status}), which is never followed")]
    Redirected { status: u16 },
    #[error("Vault has had too many requests for now")]
    RateLimited,
    #[error("Vault, or what stands before it, answers with an error (status {status})")]
    ServerError { status: u16 },
    #[error("Vault answers with status {status}, which means nothing here")]
    Unexpected { status: u16 },
    #[error("Vault cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("Vault gave no complete answer within {} s", after.as_secs_f32())]
    TimedOut { after: Duration },
    #[error("the server at Vault's address does not prove that it is Vault: {reason}")]
    Tls { reason: String },
    #[error("the answer is not one of Vault: {reason}")]
    NotJson { reason: &'static str },
    #[error("the answer has more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
}

impl VaultError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::BadReference(_) => codes::BAD_REFERENCE,
            Self::OtherBackend => codes::OTHER_BACKEND,
            Self::OutsideScope { .. } => codes::OUTSIDE_SCOPE,
            Self::CredentialFile { .. } => codes::CREDENTIAL_FILE,
            Self::LoginRefused { .. } => codes::LOGIN_REFUSED,
            Self::TokenInvalid { .. } => codes::TOKEN_INVALID,
            Self::Denied { .. } => codes::DENIED,
            Self::NotKv { .. } => codes::NOT_KV,
            Self::NoVersions { .. } => codes::NO_VERSIONS,
            Self::AbsentPath { .. } => codes::ABSENT_PATH,
            Self::AbsentVersion { .. } => codes::ABSENT_VERSION,
            Self::AbsentKey { .. } => codes::ABSENT_KEY,
            Self::Deleted { .. } => codes::DELETED_VERSION,
            Self::Destroyed { .. } => codes::DESTROYED_VERSION,
            Self::NotText { .. } => codes::NOT_TEXT,
            Self::Sealed => codes::SEALED,
            Self::Uninitialised => codes::UNINITIALISED,
            Self::Standby => codes::STANDBY,
            Self::Redirected { .. } => codes::REDIRECTED,
            Self::RateLimited => codes::RATE_LIMITED,
            Self::ServerError { .. } => codes::SERVER_ERROR,
            Self::Unexpected { .. } => codes::UNEXPECTED_ANSWER,
            Self::Unreachable { .. } => codes::UNREACHABLE,
            Self::TimedOut { .. } => codes::TIMED_OUT,
            Self::Tls { .. } => codes::TLS,
            Self::NotJson { .. } => codes::NOT_JSON,
            Self::TooLarge { .. } => codes::TOO_LARGE,
        }
    }

    pub(crate) fn class(&self) -> FailureClass {
        match self {
            Self::Sealed
            | Self::Standby
            | Self::Redirected { status: 307 }
            | Self::RateLimited
            | Self::ServerError { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. } => FailureClass::Transient,
            Self::OtherBackend => FailureClass::Misuse,
            Self::BadReference(_)
            | Self::OutsideScope { .. }
            | Self::CredentialFile { .. }
            | Self::LoginRefused { .. }
            | Self::TokenInvalid { .. }
            | Self::Denied { .. }
            | Self::NotKv { .. }
            | Self::NoVersions { .. }
            | Self::AbsentPath { .. }
            | Self::AbsentVersion { .. }
            | Self::AbsentKey { .. }
            | Self::Deleted { .. }
            | Self::Destroyed { .. }
            | Self::NotText { .. }
            | Self::Uninitialised
            | Self::Redirected { .. }
            | Self::Unexpected { .. }
            | Self::Tls { .. }
            | Self::NotJson { .. }
            | Self::TooLarge { .. } => FailureClass::Permanent,
        }
    }

    /// Whether it concerns Vault as a whole: then every other question has the same answer, and need not be asked.
    pub(crate) fn is_about_vault(&self) -> bool {
        matches!(
            self,
            Self::Sealed
                | Self::Uninitialised
                | Self::Standby
                | Self::Redirected { .. }
                | Self::RateLimited
                | Self::ServerError { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Tls { .. }
        )
    }

    fn hint(&self, reference: &SecretRef) -> Option<String> {
        Some(match self {
            Self::BadReference(_) | Self::OtherBackend => {
                "write `vault:PATH#KEY`, for example `vault:kv/shop/db#password`".to_owned()
            }
            Self::Denied { path } => format!("a policy of the role needs `read` on `{path}`"),
            Self::AbsentPath { .. } | Self::AbsentVersion { .. } if names_the_api(&reference.place) => {
                "leave out `data/`: the path is that of `vault kv get`".to_owned()
            }
            Self::LoginRefused { .. } => {
                "check the role, what it is bound to, and where the method is mounted".to_owned()
            }
            Self::TokenInvalid { token: GivenToken::File(_) } => {
                "put a token that works into the file".to_owned()
            }
            Self::TokenInvalid { token: GivenToken::Value } => "give one that works".to_owned(),
            Self::CredentialFile { credential, .. } => credential.hint().to_owned(),
            Self::Deleted { version, .. } => {
                format!("undelete version {version}, or write the secret again")
            }
            Self::Sealed => "unseal it".to_owned(),
            Self::Standby => "use an address that leads to the active server".to_owned(),
            Self::Redirected { .. } => {
                "use the address that it redirects to; the token goes nowhere else".to_owned()
            }
            Self::Tls { .. } => {
                "check the address, and the file with the certificates of its authority".to_owned()
            }
            Self::NotJson { .. } | Self::Unexpected { .. } => {
                "check that the address is that of Vault".to_owned()
            }
            Self::OutsideScope { .. }
            | Self::NotKv { .. }
            | Self::NoVersions { .. }
            | Self::AbsentPath { .. }
            | Self::AbsentVersion { .. }
            | Self::AbsentKey { .. }
            | Self::Destroyed { .. }
            | Self::NotText { .. }
            | Self::Uninitialised
            | Self::RateLimited
            | Self::ServerError { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. } => return None,
        })
    }

    /// The same as what is stored and shown.
    pub(crate) fn failure(&self, reference: &SecretRef) -> Failure {
        let failure = Failure::new(self.class(), self.code(), self.to_string());
        match self.hint(reference) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// Whether the second part of the path is the `data` of the API, which who copies a URL leaves in.
fn names_the_api(place: &str) -> bool {
    place.split('/').nth(1) == Some("data")
}
