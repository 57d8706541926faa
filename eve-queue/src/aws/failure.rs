//! What an error of AWS means, in own words: class, code, advice. Pure.
//!
//! The texts of AWS are left out: those about signatures repeat the request with its headers.

use std::error::Error;

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use eve_core::failure::{Failure, FailureClass};

/// What a failed request to this service means.
pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, service: &str) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    if let Some(failure) = ours(error) {
        return failure;
    }
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            // The SDK takes an answer that it cannot read for a refusal.
            if context.raw().status().is_success() {
                unreadable(service, status)
            } else {
                refused(service, context.err().code().unwrap_or_default(), status)
            }
        }
        SdkError::TimeoutError(_) => {
            Failure::transient("aws.timeout", format!("{service} did not answer in time"))
        }
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => {
            Failure::transient("aws.timeout", format!("there was no connection to {service} in time"))
        }
        SdkError::ResponseError(context) => unreadable(service, context.raw().status().as_u16()),
        SdkError::ConstructionFailure(_) => {
            Failure::misuse("aws.request", format!("the request to {service} cannot be built"))
        }
        SdkError::DispatchFailure(_) | _ => Failure::transient(
            "aws.connect",
            format!("there is no connection to {service}: {}", below(error)),
        ),
    }
}

fn unreadable(service: &str, status: u16) -> Failure {
    Failure::transient("aws.answer", format!("{service} answers {status} with something that cannot be read"))
}

/// What a refusal means: by its code first, by its status where the code is unknown.
pub(super) fn refused(service: &str, code: &str, status: u16) -> Failure {
    let named = if code.is_empty() { format!("status {status}") } else { format!("{code}, status {status}") };
    let failure = |class, ours: &'static str, what: &str| {
        Failure::new(class, ours, format!("{service} {what} ({named})"))
    };
    let last = code.rsplit(['.', '#']).next().unwrap_or(code);
    match last {
        "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" | "KmsAccessDenied" => {
            failure(FailureClass::Permanent, "aws.denied", "does not allow it").with_hint(
                "look at the permissions of the role, and at the policies of the queue and the bucket",
            )
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            failure(FailureClass::Transient, "aws.credentials", "says that the credentials have expired")
        }
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "MissingAuthenticationToken"
        | "InvalidSecurity" => {
            failure(FailureClass::Permanent, "aws.credentials", "does not know the credentials")
        }
        "RequestTimeTooSkewed" | "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            failure(FailureClass::Permanent, "aws.signature", "does not accept the signature")
                .with_hint("compare the clock of this machine with the world's: 5 minutes are too much")
        }
        "QueueDoesNotExist" | "NonExistentQueue" => {
            failure(FailureClass::Permanent, "aws.queue", "has no such queue")
                .with_hint("look at its URL and at the region")
        }
        "RequestThrottled"
        | "ThrottlingException"
        | "Throttling"
        | "OverLimit"
        | "KmsThrottled"
        | "SlowDown"
        | "TooManyRequestsException"
        | "RequestLimitExceeded" => failure(FailureClass::Transient, "aws.throttled", "is asked too often"),
        _ if status >= 500 || status == 429 || status == 408 => {
            failure(FailureClass::Transient, "aws.unavailable", "cannot answer now")
        }
        _ if (300..400).contains(&status) => {
            failure(FailureClass::Permanent, "aws.redirect", "redirects, which is not followed")
                .with_hint("look at the region")
        }
        _ => failure(FailureClass::Permanent, "aws.refused", "refuses"),
    }
}

/// A failure of ours that an error carries: credentials that could not be had.
pub(super) fn ours(error: &(dyn Error + 'static)) -> Option<Failure> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure.clone());
        }
        next = error.source();
    }
    None
}

/// The last cause, which is the system's and repeats nothing of the request.
pub(super) fn below(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_transient_and_what_somebody_must_change_is_not() {
        use FailureClass::{Permanent, Transient};
        for (code, status, class, ours) in [
            ("AccessDeniedException", 400, Permanent, "aws.denied"),
            ("AccessDenied", 403, Permanent, "aws.denied"),
            ("ExpiredToken", 400, Transient, "aws.credentials"),
            ("InvalidClientTokenId", 403, Permanent, "aws.credentials"),
            ("RequestTimeTooSkewed", 403, Permanent, "aws.signature"),
            ("AWS.SimpleQueueService.NonExistentQueue", 400, Permanent, "aws.queue"),
            ("com.amazonaws.sqs#QueueDoesNotExist", 400, Permanent, "aws.queue"),
            ("RequestThrottled", 400, Transient, "aws.throttled"),
            ("SlowDown", 503, Transient, "aws.throttled"),
            ("", 503, Transient, "aws.unavailable"),
            ("InternalError", 500, Transient, "aws.unavailable"),
            ("PermanentRedirect", 301, Permanent, "aws.redirect"),
            ("SomethingNew", 400, Permanent, "aws.refused"),
        ] {
            let failure = refused("SQS", code, status);
            assert_eq!((failure.class, &*failure.code), (class, ours), "{code} {status}");
        }
    }
}
