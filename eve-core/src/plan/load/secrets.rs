//! Secrets that cannot be had, said of the places of the plan that name them.

use super::loaded::Loaded;
use crate::plan::diagnostic::{Diagnostic, Diagnostics};
use crate::secret::BadSecret;

impl Loaded {
    /// What is wrong with the secrets of the plan, each with its place in the text.
    pub fn diagnose_secrets(&self, bad: &[BadSecret]) -> Diagnostics {
        self.diagnostics(bad.iter().map(|bad| self.diagnose_secret(bad)).collect())
    }

    fn diagnose_secret(&self, BadSecret { name, reference, failure }: &BadSecret) -> Diagnostic {
        let place = self.secret_place(name);
        let is_it = |problem: &&Diagnostic| place.is_some() && problem.place == place;
        if let Some(misplaced) = self.misplaced_secrets().iter().find(is_it) {
            return misplaced.clone();
        }
        let message = match reference.version {
            Some(version) => format!("secret `{name}` in version {version}: {}", failure.message),
            None => format!("secret `{name}`: {}", failure.message),
        };
        let diagnostic =
            Diagnostic::error(failure.code.clone(), message).at(place).with_hint(failure.hint.clone());
        failure.notes.iter().fold(diagnostic, Diagnostic::with_note)
    }
}
