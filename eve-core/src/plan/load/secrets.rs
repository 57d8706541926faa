//! Secrets that cannot be had, said of the places of the plan that name them.

use super::loaded::Loaded;
use crate::failure::{Failure, FailureClass};
use crate::plan::diagnostic::{Diagnostic, Diagnostics};
use crate::secret::BadSecret;

/// Several secrets are bad in several ways.
const UNRESOLVED: &str = "secret.unresolved";

impl Loaded {
    /// What is wrong with the secrets of the plan, each with its place in the text; for people at a terminal.
    pub fn diagnose_secrets(&self, bad: &[BadSecret]) -> Diagnostics {
        self.diagnostics(bad.iter().map(|bad| self.diagnose_secret(bad)).collect())
    }

    /// The same as one failure, for an outcome and for whoever tries again: of class `Transient` if all of it may pass. Its
    /// message names every secret and place, as far as it has room; at least one is bad.
    pub fn secrets_failure(&self, bad: &[BadSecret]) -> Failure {
        let class =
            if BadSecret::are_transient(bad) { FailureClass::Transient } else { FailureClass::Permanent };
        let said = self.diagnose_secrets(bad).to_string();
        match bad {
            [one] => {
                let failure = Failure::new(class, one.failure.code.clone(), said);
                one.failure.hint.iter().cloned().fold(failure, Failure::with_hint)
            }
            several => {
                let mut codes: Vec<_> = several.iter().map(|bad| &bad.failure.code).collect();
                codes.dedup();
                let code = match codes.as_slice() {
                    [code] => (*code).clone(),
                    _ => UNRESOLVED.into(),
                };
                let message = format!("{} secrets of the plan cannot be used: {said}", several.len());
                Failure::new(class, code, message)
            }
        }
    }

    fn diagnose_secret(&self, BadSecret { name, reference, failure }: &BadSecret) -> Diagnostic {
        let message = match reference.version {
            Some(version) => format!("secret `{name}` in version {version}: {}", failure.message),
            None => format!("secret `{name}`: {}", failure.message),
        };
        let diagnostic = Diagnostic::error(failure.code.clone(), message)
            .at(self.secret_place(name))
            .with_hint(failure.hint.clone());
        failure.notes.iter().fold(diagnostic, Diagnostic::with_note)
    }
}
