//! Whose fault a refusal is: credentials that the daemon lost say nothing about the plan that is refused for want of them.

use eve_core::failure::{Failure, FailureClass};

/// What the API server and Vault say to somebody whose credentials they do not take, and what a credential is told as that cannot
/// be read.
const OURS: [&str; 4] =
    ["k8s.api.unauthorized", "vault.credential-file", "vault.login-refused", "vault.token-invalid"];

/// Whether asking again may help: the failure may pass by itself, or is of the credentials of the daemon.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    failure.class == FailureClass::Transient || OURS.contains(&&*failure.code)
}

/// A plan that is refused for want of credentials of the daemon waits for them, as in any other outage.
pub(crate) fn may_come_back(failure: Failure) -> Failure {
    if may_pass(&failure) { Failure { class: FailureClass::Transient, ..failure } } else { failure }
}
