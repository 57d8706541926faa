//! The secrets of one run: asked for all at once, and pinned. Who resumes the run gets the same values or is told why not,
//! never newer ones.

use std::collections::BTreeMap;

use super::{HashKey, SecretPin, SecretPins, SecretRef, Secrets};
use crate::failure::{Failure, FailureClass};
use crate::ports::{BadReference, Resolved, SecretResolver};

/// Which secrets a run needs, and in which versions.
#[derive(Clone, Copy, Debug)]
pub struct SecretRequest<'a> {
    /// What its plan declares, by the names there.
    pub declared: &'a BTreeMap<String, SecretRef>,
    /// What was recorded when the run began; `None` for a run that begins now.
    pub pinned: Option<&'a SecretPins>,
    /// The key of the hashes; for a run that goes on, the one that it began with.
    pub key: &'a HashKey,
}

/// The secrets of a run: values for those who drive it, pins for its first record.
#[derive(Clone, Debug, Default)]
pub struct PinnedSecrets {
    /// The values, for memory alone.
    pub values: Secrets,
    /// What is recorded of them.
    pub pins: SecretPins,
}

/// A secret of a plan that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret `{name}` ({reference}): {failure}")]
pub struct BadSecret {
    /// The name that the plan gives it.
    pub name: String,
    /// What was asked for.
    pub reference: SecretRef,
    /// Why there is no value that may be used.
    pub failure: Failure,
}

/// What the journal of the run does not say.
const NOT_PINNED: &str = "secret.not-pinned";
/// The plan names another secret than the run began with.
const OTHER_REFERENCE: &str = "secret.other-reference";
/// The resolver gave another version than the pinned one.
const OTHER_VERSION: &str = "secret.other-version";
/// The pinned version has another value than when the run began.
const CHANGED: &str = "secret.changed";
/// The resolver broke its contract.
const CONTRACT: &str = "secret.resolver-contract";
const ANEW: &str = "bring it back as it was, or start a new run";

impl SecretRequest<'_> {
    /// Asks for all of them at once. Without declared secrets nobody is asked.
    ///
    /// # Errors
    /// Every secret that cannot be had, in the order of their names. To ask again is worth it if [all of them may come
    /// back](BadSecret::are_transient).
    ///
    /// # Cancel safety
    /// That of the resolver: it only reads.
    pub async fn ask(&self, resolver: &dyn SecretResolver) -> Result<PinnedSecrets, Vec<BadSecret>> {
        if self.declared.is_empty() {
            return Ok(PinnedSecrets::default());
        }
        let wanted = self.wanted()?;
        let references: Vec<SecretRef> = wanted.iter().map(|(_, reference)| reference.clone()).collect();
        match resolver.resolve(&references).await {
            Ok(found) if found.len() == wanted.len() => self.pinned(wanted, found),
            Ok(_) => {
                Err(broken(wanted, "whoever resolves secrets gave more or fewer values than were asked for"))
            }
            Err(bad) => {
                let named = self.named(&wanted, &bad);
                let unasked = "whoever resolves secrets says that others are bad than were asked for";
                Err(if named.is_empty() { broken(wanted, unasked) } else { named })
            }
        }
    }

    /// What to ask for, by name.
    fn wanted(&self) -> Result<Vec<(String, SecretRef)>, Vec<BadSecret>> {
        let (mut wanted, mut wrong) = (Vec::new(), Vec::new());
        for (name, declared) in self.declared {
            match self.pinned.map(|pins| pins.get(name)) {
                None => wanted.push((name.clone(), declared.clone())),
                Some(Some(pin)) if is_of(&pin.reference, declared) => {
                    wanted.push((name.clone(), pin.reference.clone()));
                }
                Some(Some(pin)) => {
                    let message = format!("the run began with {} and keeps to it", pin.reference);
                    let failure = Failure::permanent(OTHER_REFERENCE, message).with_hint(ANEW);
                    wrong.push(bad(name.clone(), declared.clone(), failure));
                }
                Some(None) => {
                    let message = "the run began without a record of the version that it uses";
                    let failure = Failure::permanent(NOT_PINNED, message).with_hint("start a new run");
                    wrong.push(bad(name.clone(), declared.clone(), failure));
                }
            }
        }
        if wrong.is_empty() { Ok(wanted) } else { Err(wrong) }
    }

    fn pinned(
        &self,
        wanted: Vec<(String, SecretRef)>,
        found: Vec<Resolved>,
    ) -> Result<PinnedSecrets, Vec<BadSecret>> {
        let (mut values, mut pins, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for ((name, reference), Resolved { value, version }) in wanted.into_iter().zip(found) {
            if reference.version.is_some() && version != reference.version {
                let message = "whoever resolves secrets gave another version than it was asked for";
                wrong.push(bad(name, reference, Failure::misuse(OTHER_VERSION, message)));
                continue;
            }
            let hash = self.key.hash_of_secret(&reference, &value);
            let recorded = self.pinned.and_then(|pins| pins.get(&name));
            if recorded.is_some_and(|recorded| recorded.hash != hash) {
                let message = "its value is another one than when the run began";
                wrong.push(bad(name, reference, Failure::permanent(CHANGED, message).with_hint(ANEW)));
                continue;
            }
            let reference = SecretRef { version: version.or(reference.version), ..reference };
            pins.push((name.clone(), SecretPin { reference, hash }));
            values.push((name, value));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(PinnedSecrets { values: values.into_iter().collect(), pins: pins.into_iter().collect() })
    }

    /// The bad references by the names that the plan gives them; one reference may have several names.
    fn named(&self, wanted: &[(String, SecretRef)], found: &[BadReference]) -> Vec<BadSecret> {
        let mut named = Vec::new();
        for (name, reference) in wanted {
            let Some(found) = found.iter().find(|found| found.reference == *reference) else { continue };
            let mut failure = found.failure.clone();
            if self.pinned.is_some() && failure.class == FailureClass::Permanent {
                failure = failure.with_note("a run uses the versions that it began with, to its end");
                failure.hint.get_or_insert_with(|| ANEW.to_owned());
            }
            named.push(bad(name.clone(), reference.clone(), failure));
        }
        named
    }
}

/// Whether a pin is one of what the plan declares: the same place, and the version that the plan states, if it does.
fn is_of(pin: &SecretRef, declared: &SecretRef) -> bool {
    pin.backend == declared.backend
        && pin.place == declared.place
        && (declared.version.is_none() || declared.version == pin.version)
}

const fn bad(name: String, reference: SecretRef, failure: Failure) -> BadSecret {
    BadSecret { name, reference, failure }
}

/// All of them are bad, because the resolver broke its contract.
fn broken(wanted: Vec<(String, SecretRef)>, message: &str) -> Vec<BadSecret> {
    let failure = Failure::misuse(CONTRACT, message);
    wanted.into_iter().map(|(name, reference)| bad(name, reference, failure.clone())).collect()
}

impl BadSecret {
    /// Whether all of them may well be had when they are asked for again.
    pub fn are_transient(bad: &[Self]) -> bool {
        !bad.is_empty() && bad.iter().all(|bad| bad.failure.class == FailureClass::Transient)
    }
}
