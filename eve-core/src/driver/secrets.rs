//! Asks for the secrets of a run, and again where that may help.

use tokio::time::sleep;

use crate::failure::FailureClass;
use crate::ids::{Attempt, ComponentId};
use crate::ports::SecretResolver;
use crate::run::{RunOptions, pause};
use crate::secret::{BadSecret, PinnedSecrets, SecretRequest};

/// The secrets of a run, by as many attempts and with the pauses that the options of the run say, as long as everything
/// that is bad may come back.
///
/// # Errors
/// Every secret that cannot be had, as the last attempt left them.
///
/// # Cancel safety
/// That of the resolver: it only reads.
pub async fn resolve_secrets(
    request: SecretRequest<'_>,
    resolver: &dyn SecretResolver,
    options: &RunOptions,
) -> Result<PinnedSecrets, Vec<BadSecret>> {
    let mut attempt = Attempt::FIRST;
    loop {
        let asked = request.ask(resolver).await;
        let pause = match &asked {
            Err(bad) if BadSecret::are_transient(bad) => {
                pause(options, None, (ComponentId::new(0), attempt), FailureClass::Transient)
            }
            _ => None,
        };
        let Some(pause) = pause else { return asked };
        sleep(pause).await;
        attempt = attempt.next();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::failure::Failure;
    use crate::ports::{BadReference, Resolved};
    use crate::secret::{HashKey, SecretRef, SecretValue};

    /// Fails so often, with this, and answers then.
    struct Flaky(u32, Failure, AtomicU32);

    #[async_trait]
    impl SecretResolver for Flaky {
        async fn resolve(&self, references: &[SecretRef]) -> Result<Vec<Resolved>, Vec<BadReference>> {
            if self.2.fetch_add(1, Ordering::Relaxed) >= self.0 {
                return Ok(vec![Resolved { value: SecretValue::new("v"), version: None }]);
            }
            Err(vec![BadReference { reference: references[0].clone(), failure: self.1.clone() }])
        }
    }

    async fn asked(times: u32, failure: Failure) -> (bool, u32) {
        let resolver = Flaky(times, failure, AtomicU32::new(0));
        let declared = BTreeMap::from([("key".to_owned(), "test:x".parse().unwrap())]);
        let key = HashKey::new(&[7; HashKey::BYTES]);
        let request = SecretRequest { declared: &declared, pinned: None, key: &key };
        let answer = resolve_secrets(request, &resolver, &RunOptions::default()).await;
        (answer.is_ok(), resolver.2.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_for_again_within_the_attempts_of_the_run() {
        let lost = || Failure::transient("test.lost", "the connection was lost");
        assert_eq!(asked(2, lost()).await, (true, 3));
        assert_eq!(asked(3, lost()).await, (false, 3));
        assert_eq!(asked(1, Failure::permanent("test.denied", "denied")).await, (false, 1));
    }
}
