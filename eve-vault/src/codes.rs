//! What can go wrong, as stable codes for programs: the `code` of a [`Failure`](eve_core::failure::Failure). Data only.
//!
//! *T* marks class `Transient`: it may well work when asked again. Everything else is `Permanent`, but for
//! [`OTHER_BACKEND`], which is `Misuse`.

/// The reference is not `PATH#KEY`, or its path has parts that no path may have.
pub const BAD_REFERENCE: &str = "vault.bad-reference";
/// The reference is of another backend.
pub const OTHER_BACKEND: &str = "vault.other-backend";
/// The path is not below those that this run may read. Vault was not asked.
pub const OUTSIDE_SCOPE: &str = "vault.outside-scope";
/// The file with the token or secret to log in with cannot be read, or holds none.
pub const CREDENTIAL_FILE: &str = "vault.credential-file";
/// Vault refuses the login.
pub const LOGIN_REFUSED: &str = "vault.login-refused";
/// The token that was given, or that of the token file, is expired, revoked, or none of this Vault.
pub const TOKEN_INVALID: &str = "vault.token-invalid";
/// The token may not read the path, or nothing is mounted there; Vault does not tell which.
pub const DENIED: &str = "vault.denied";
/// Another engine than one for keys and values is mounted there.
pub const NOT_KV: &str = "vault.not-kv";
/// A version is wanted of an engine that keeps none.
pub const NO_VERSIONS: &str = "vault.no-versions";
/// There is nothing at the path, or it is hidden.
pub const ABSENT_PATH: &str = "vault.absent-path";
/// There is no such version at the path, or nothing at all.
pub const ABSENT_VERSION: &str = "vault.absent-version";
/// The secret has no such key.
pub const ABSENT_KEY: &str = "vault.absent-key";
/// The version is deleted; it can be undeleted.
pub const DELETED_VERSION: &str = "vault.deleted-version";
/// The version is destroyed for good.
pub const DESTROYED_VERSION: &str = "vault.destroyed-version";
/// The key holds an object, a list or null.
pub const NOT_TEXT: &str = "vault.not-text";
/// *T*: Vault is sealed.
pub const SEALED: &str = "vault.sealed";
/// Vault was never initialised.
pub const UNINITIALISED: &str = "vault.uninitialised";
/// *T*: the server that answered is a standby that does not forward.
pub const STANDBY: &str = "vault.standby";
/// The answer is a redirect, which is never followed. *T* if it is 307, by which a standby names the active server.
pub const REDIRECTED: &str = "vault.redirected";
/// *T*: too many requests, says a quota of Vault.
pub const RATE_LIMITED: &str = "vault.rate-limited";
/// *T*: an error of Vault, or of what stands before it: status 412 or 5xx.
pub const SERVER_ERROR: &str = "vault.server-error";
/// A status that has no meaning here.
pub const UNEXPECTED_ANSWER: &str = "vault.unexpected-answer";
/// *T*: no connection, or it broke.
pub const UNREACHABLE: &str = "vault.unreachable";
/// *T*: no complete answer in time.
pub const TIMED_OUT: &str = "vault.timed-out";
/// The server does not prove who it is.
pub const TLS: &str = "vault.tls";
/// The answer is not what Vault answers: no JSON, or other fields.
pub const NOT_JSON: &str = "vault.not-json";
/// The answer is larger than the limit.
pub const TOO_LARGE: &str = "vault.too-large";
