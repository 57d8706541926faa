//! Whether the process lives, and whether it can do its work: facts that its parts report, answers for probes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eve_core::failure::Failure;

/// A part of the daemon's world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The journal.
    Journal,
    /// The API server of the cluster.
    Cluster,
    /// Where plans come from.
    Source,
    /// Where secrets come from. Plans are taken without it; those with secrets wait for it.
    Vault,
}

impl Part {
    /// Those without which no plan is taken.
    const NEEDED: [Self; 3] = [Self::Journal, Self::Cluster, Self::Source];

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Cluster => "cluster",
            Self::Source => "source",
            Self::Vault => "vault",
        }
    }
}

/// Why a part is not known to work that nobody asked yet.
const NOT_ASKED: &str = "not asked yet";
/// How many plans are named that are waited for.
const AWAITED_MAX: usize = 20;

/// How often a part is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// How it is told that a part is away, and that it is back.
pub(crate) struct Words {
    pub(crate) away: &'static str,
    pub(crate) back: &'static str,
}

/// What is known of the parts. Shared between tasks.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<Part, Result<(), String>>,
    awaited: Vec<String>,
    is_stopping: bool,
}

impl State {
    fn of(&self, part: Part) -> Result<(), &str> {
        match self.parts.get(&part) {
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(reason),
            None => Err(NOT_ASKED),
        }
    }

    fn is_ready(&self) -> bool {
        !self.is_stopping && Part::NEEDED.iter().all(|part| self.of(*part).is_ok())
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part belongs to this daemon, whether it works or not. Those without which no plan is taken always do.
    pub fn expects(&self, part: Part) {
        self.state().parts.entry(part).or_insert_with(|| Err(NOT_ASKED.to_owned()));
    }

    /// The part works.
    pub fn works(&self, part: Part) {
        self.state().parts.insert(part, Ok(()));
    }

    /// The part does not work; `reason` is for people and holds no secret.
    pub fn fails(&self, part: Part, reason: impl Into<String>) {
        self.state().parts.insert(part, Err(reason.into()));
    }

    /// Asks a part again and again whether it is there, and tells when that changes. Never returns.
    pub(crate) async fn watch_over(
        &self,
        part: Part,
        words: &Words,
        ask: impl AsyncFn() -> Result<(), Failure>,
    ) {
        let mut is_away = false;
        loop {
            match ask().await {
                Ok(()) => {
                    self.works(part);
                    if std::mem::take(&mut is_away) {
                        tracing::info!("{}", words.back);
                    }
                }
                Err(failure) => {
                    let (code, reason) = (&*failure.code, &*failure.message);
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(code, reason, "{}", words.away);
                    }
                    self.fails(part, reason);
                }
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    /// These plans have to be delivered again before anything else of their namespaces runs.
    pub fn awaits(&self, plans: impl IntoIterator<Item = String>) {
        self.state().awaited = plans.into_iter().take(AWAITED_MAX).collect();
    }

    /// No plan is taken any more.
    pub fn stops(&self) {
        self.state().is_stopping = true;
    }

    /// `Ok` where plans are taken; why not, one line for each part, otherwise.
    ///
    /// # Errors
    /// The reasons.
    pub fn readiness(&self) -> Result<(), String> {
        let state = self.state();
        let stopping = state.is_stopping.then(|| "stopping".to_owned());
        let failed = Part::NEEDED.into_iter().filter_map(|part| {
            let reason = state.of(part).err()?;
            Some(format!("{}: {reason}", part.name()))
        });
        let reasons: Vec<String> = stopping.into_iter().chain(failed).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }

    /// Everything that is known, one line for each part as Kubernetes writes it, and the plans that are waited for; and
    /// whether plans are taken.
    ///
    /// # Errors
    /// The same lines, where they are not.
    pub fn detail(&self) -> Result<String, String> {
        let state = self.state();
        let mut text = String::new();
        if state.is_stopping {
            text.push_str("[-]shutdown failed: stopping\n");
        }
        let others = state.parts.keys().copied().filter(|part| !Part::NEEDED.contains(part));
        for part in Part::NEEDED.into_iter().chain(others) {
            let (name, counts) = (part.name(), Part::NEEDED.contains(&part));
            // Writing into a text does not fail.
            let _ = match state.of(part) {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(reason) if counts => writeln!(text, "[-]{name} failed: {reason}"),
                Err(reason) => writeln!(text, "[-]{name} failed, and does not count: {reason}"),
            };
        }
        for plan in &state.awaited {
            let _ = writeln!(text, "[-]plan awaited, and does not count: {plan}");
        }
        if state.is_ready() {
            Ok(text + "readyz check passed\n")
        } else {
            Err(text + "readyz check failed\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_part_works_and_no_longer_when_stopping() {
        let health = Health::default();
        let reasons = "journal: not asked yet\ncluster: not asked yet\nsource: not asked yet";
        assert_eq!(health.readiness(), Err(reasons.to_owned()));
        for part in Part::NEEDED {
            health.works(part);
        }
        assert_eq!(health.readiness(), Ok(()));
        health.fails(Part::Source, "no such queue");
        assert_eq!(health.readiness(), Err("source: no such queue".to_owned()));
        health.works(Part::Source);
        health.stops();
        assert_eq!(health.readiness(), Err("stopping".to_owned()));
    }
    #[test]
    fn the_detail_names_every_part_and_a_vault_that_is_away_is_no_reason_to_take_no_plans() {
        let health = Health::default();
        assert_eq!(
            health.detail().unwrap_err(),
            "[-]journal failed: not asked yet\n[-]cluster failed: not asked yet\n[-]source failed: not asked yet\n\
             readyz check failed\n"
        );
        for part in Part::NEEDED {
            health.works(part);
        }
        let works = "[+]journal ok\n[+]cluster ok\n[+]source ok\n";
        assert_eq!(health.detail(), Ok(format!("{works}readyz check passed\n")), "no Vault is no line");
        health.expects(Part::Vault);
        health.fails(Part::Vault, "Vault is sealed");
        health.expects(Part::Vault);
        health.awaits(["request r-1 of namespace shop".to_owned()]);
        let lines = "[-]vault failed, and does not count: Vault is sealed\n\
            [-]plan awaited, and does not count: request r-1 of namespace shop\n";
        assert_eq!(health.detail(), Ok(format!("{works}{lines}readyz check passed\n")));
        assert_eq!(health.readiness(), Ok(()));
        health.works(Part::Vault);
        health.awaits([]);
        assert_eq!(health.detail(), Ok(format!("{works}[+]vault ok\nreadyz check passed\n")));
    }
}
