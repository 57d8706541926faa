//! The secrets of a run: one login, one read for each path and version, however often the run is tried to be opened; every
//! bad reference told with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eve_core::driver::resolve_secrets;
use eve_core::failure::{Failure, FailureClass};
use eve_core::ids::RunId;
use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::load::Loaded;
use eve_core::ports::{BadReference, SecretResolver as _};
use eve_core::run::{RunOptions, RunStart};
use eve_core::secret::{PinnedSecrets, SecretRef, SecretRequest, SecretValue};
use eve_store::StoredKey;
pub use eve_vault::check_place;
use eve_vault::{Login, Vault, VaultConfig as VaultOptions, VaultConfigError, VaultResolver};

use crate::config::{VaultConfig, Wrong, bad_url};
use crate::credentials;
use crate::health::{Health, Part, Words};
use crate::problems;
use crate::start_error::{StartError, chain};
use crate::validate::Files;

/// An address that nothing is wrong with, for looking at everything else.
const ANY_ADDRESS: &str = "https://vault.invalid";

const NO_BACKEND: &str =
    "there is nobody here who knows secrets: the configuration of the daemon has no `vault`";

/// Fetches the secrets of plans.
pub struct Keeper {
    vault: Option<(Vault, Login)>,
    key: StoredKey,
    /// Those of runs that could not be opened yet, and of runs that have steps with keys in Vault: twice as many as may run at
    /// once, at most, since so many runs are opened or under way.
    runs: Mutex<BTreeMap<RunId, Arc<VaultResolver>>>,
}

/// What could not be had of Vault for a run.
#[derive(Debug)]
pub struct Unread {
    /// Each of it, with its place in the plan.
    pub problems: Vec<Diagnostic>,
    /// Whether all of it may be had when it is asked for again.
    pub may_pass: bool,
}

impl Unread {
    /// The same with what else could not be had.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.problems.extend(other.problems);
        Self { may_pass: self.may_pass && other.may_pass, ..self }
    }

    /// As the end of a try to open a run of this plan.
    pub fn failure(self, plan: &Loaded) -> Failure {
        let told = problems::failure(&plan.diagnostics(self.problems));
        let class = if self.may_pass { FailureClass::Transient } else { told.class };
        Failure { class, ..told }
    }
}

fn diagnostic(failure: &Failure) -> Diagnostic {
    Diagnostic::error(failure.code.clone(), failure.message.clone()).with_hint(failure.hint.clone())
}

async fn one_of(resolver: &VaultResolver, reference: &SecretRef) -> Result<SecretValue, Failure> {
    let found = resolver.resolve(std::slice::from_ref(reference)).await;
    let found = found.map_err(|bad| bad.into_iter().next().map(|bad| bad.failure));
    let value = found.map(|found| found.into_iter().next().map(|resolved| resolved.value));
    let broken = || Failure::misuse("secret.resolver-contract", "there is no value, and no reason for it");
    match value {
        Ok(value) => value.ok_or_else(broken),
        Err(failure) => Err(failure.unwrap_or_else(broken)),
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("has_vault", &self.vault.is_some()).finish_non_exhaustive()
    }
}

impl Keeper {
    /// The Vault of a configuration, or nobody; `key` is that of the hashes in the journal. No request is made.
    ///
    /// # Errors
    /// What cannot be used of the configuration.
    pub fn new(config: Option<&VaultConfig>, key: StoredKey) -> Result<Self, StartError> {
        let Some(config) = config else { return Ok(Self { vault: None, key, runs: Mutex::default() }) };
        let mut options = options(config);
        if let Some(file) = &config.ca_file {
            options = options.ca_file(file);
        }
        let vault = Vault::new(&options)?;
        let login = login(config)?;
        // A mount that is no path is told now, not with the first plan.
        vault.resolver(login.clone())?;
        Ok(Self { vault: Some((vault, login)), key, runs: Mutex::default() })
    }

    /// The secrets of a plan, each as a problem, where there is nobody to ask.
    pub fn nobody_knows(&self, plan: &Loaded) -> Vec<Diagnostic> {
        if self.vault.is_some() {
            return Vec::new();
        }
        let names = plan.secrets().keys();
        names
            .map(|name| Diagnostic::error("secret.no-backend", NO_BACKEND).at(plan.secret_place(name)))
            .collect()
    }

    /// Reports again and again whether Vault can be asked, without a login. Never returns.
    pub async fn watch_over(&self, health: &Health) {
        let Some((vault, _)) = &self.vault else { return std::future::pending().await };
        health.expects(Part::Vault);
        let words =
            Words { away: "Vault cannot be asked; plans with secrets wait", back: "Vault answers again" };
        health.watch_over(Part::Vault, &words, async || vault.health().await).await;
    }

    /// The values of all secrets of a plan: the newest versions, or those that were pinned when its run began. After an error
    /// what was read is kept for the next try. It ends with [`close`](Self::close) or [`let_go`](Self::let_go).
    ///
    /// # Errors
    /// Every secret that cannot be had, with its place in the plan; `Transient` where all of them may pass.
    pub async fn of_run(
        &self,
        run: &RunId,
        plan: &Loaded,
        begun: Option<&RunStart>,
    ) -> Result<PinnedSecrets, Unread> {
        if plan.secrets().is_empty() {
            return Ok(PinnedSecrets::default());
        }
        let resolver = match self.resolver(run) {
            Ok(resolver) => resolver,
            Err(failure) => return Err(Unread { problems: vec![diagnostic(&failure)], may_pass: false }),
        };
        let pinned = begun.map(|begun| begun.options.pins());
        let request = SecretRequest { declared: plan.secrets(), pinned, key: &self.key };
        let found = resolve_secrets(request, &*resolver, &RunOptions::default()).await;
        found.map_err(|bad| {
            let problems = plan.diagnose_secrets(&bad).list;
            Unread { problems, may_pass: bad.iter().all(|bad| credentials::may_pass(&bad.failure)) }
        })
    }

    /// Reads these for a run, which keeps them until it is [let go of](Self::let_go).
    ///
    /// # Errors
    /// Each that cannot be had.
    pub(crate) async fn read(&self, run: &RunId, references: &[SecretRef]) -> Result<(), Vec<BadReference>> {
        if references.is_empty() {
            return Ok(());
        }
        let resolver = self.resolver(run).map_err(|failure| {
            let bad = |reference: &SecretRef| BadReference {
                reference: reference.clone(),
                failure: failure.clone(),
            };
            references.iter().map(bad).collect::<Vec<_>>()
        })?;
        resolver.resolve(references).await.map(drop)
    }

    /// One value: for a run by its login, which is kept; for nobody's run by a login that ends at once.
    pub(crate) async fn key(
        &self,
        run: Option<&RunId>,
        reference: &SecretRef,
    ) -> Result<SecretValue, Failure> {
        let Some(run) = run else {
            let resolver = self.new_resolver()?;
            let value = one_of(&resolver, reference).await;
            resolver.close().await;
            return value;
        };
        one_of(&*self.resolver(run)?, reference).await
    }

    /// What was read for a run at the place of this reference is read anew when it is asked for next.
    pub(crate) fn forget(&self, run: Option<&RunId>, reference: &SecretRef) {
        if let Some(resolver) = run.and_then(|run| self.runs().get(run).cloned()) {
            resolver.forget(std::slice::from_ref(reference));
        }
    }

    /// The one of this run: whoever asks for it goes on with the login of the one before, and with what that has read.
    fn resolver(&self, run: &RunId) -> Result<Arc<VaultResolver>, Failure> {
        let mut runs = self.runs();
        if let Some(resolver) = runs.get(run) {
            return Ok(Arc::clone(resolver));
        }
        let resolver = Arc::new(self.new_resolver()?);
        runs.insert(run.clone(), Arc::clone(&resolver));
        Ok(resolver)
    }

    fn new_resolver(&self) -> Result<VaultResolver, Failure> {
        let (vault, login) =
            self.vault.as_ref().ok_or_else(|| Failure::permanent("secret.no-backend", NO_BACKEND))?;
        let resolver = vault.resolver(login.clone());
        resolver.map_err(|error| Failure::misuse("secret.login", error.to_string()))
    }

    /// The run has all that it needs: its login ends, and what was read for it is forgotten here.
    pub async fn close(&self, run: &RunId) {
        let resolver = self.runs().remove(run);
        if let Some(resolver) = resolver {
            resolver.close().await;
        }
    }

    /// The same in the background.
    pub fn let_go(&self, run: &RunId) {
        if let Some(resolver) = self.runs().remove(run) {
            tokio::spawn(async move { resolver.close().await });
        }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<VaultResolver>>> {
        // A panic while the lock is held leaves the map whole: every change is one call.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a configuration cannot be used.
pub fn problems(config: Option<&VaultConfig>, files: Files) -> Vec<Wrong> {
    let Some(config) = config else { return Vec::new() };
    let wrong =
        |pointer: &str, error: &VaultConfigError| Wrong::new(pointer, "config.bad-vault", chain(error));
    let mut found = Vec::new();
    // Each by itself, since the first thing that is wrong hides the others.
    let any = || VaultOptions::new(ANY_ADDRESS);
    if bad_url(&config.address).is_none() {
        let error = Vault::new(&VaultOptions::new(&config.address)).err();
        found.extend(error.map(|error| wrong("/vault/address", &error)));
    }
    if let Some(namespace) = &config.namespace {
        let error = Vault::new(&any().namespace(namespace)).err();
        found.extend(error.map(|error| wrong("/vault/namespace", &error)));
    }
    if let (Files::Here, Some(file)) = (files, &config.ca_file) {
        found.extend(Vault::new(&any().ca_file(file)).err().map(|error| wrong("/vault/caFile", &error)));
    }
    let method = if config.auth.kubernetes.is_some() { "kubernetes" } else { "appRole" };
    if let (Ok(vault), Ok(login)) = (Vault::new(&any()), login(config)) {
        let pointer = format!("/vault/auth/{method}/mount");
        found.extend(vault.resolver(login).err().map(|error| wrong(&pointer, &error)));
    }
    found
}

/// All but the file of the authority.
fn options(config: &VaultConfig) -> VaultOptions {
    let options = VaultOptions::new(&config.address);
    config.namespace.iter().fold(options, VaultOptions::namespace)
}

fn login(config: &VaultConfig) -> Result<Login, StartError> {
    let auth = &config.auth;
    if let Some(kubernetes) = &auth.kubernetes {
        let login = Login::kubernetes(&kubernetes.role);
        let login = kubernetes.mount.iter().fold(login, Login::mounted_at);
        let files = kubernetes.token_file.iter();
        return Ok(files.fold(login, Login::account_token_file));
    }
    if let Some(role) = &auth.app_role {
        let login = Login::app_role(&role.role_id, &role.secret_id_file);
        return Ok(role.mount.iter().fold(login, Login::mounted_at));
    }
    let file = auth.token_file.as_ref();
    file.map(Login::token_file).ok_or_else(|| StartError::new("`vault.auth` says nothing"))
}
