//! The secrets of a run: one login, one read for each path and version, however often the run is tried to be opened; every
//! bad reference told with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eve_core::driver::resolve_secrets;
use eve_core::failure::{Failure, FailureClass};
use eve_core::ids::RunId;
use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::load::Loaded;
use eve_core::run::{RunOptions, RunStart};
use eve_core::secret::{BadSecret, PinnedSecrets, SecretRequest};
use eve_store::StoredKey;
pub use eve_vault::check_place;
use eve_vault::{Login, Vault, VaultConfig as VaultOptions, VaultConfigError, VaultResolver};

use crate::config::{VaultConfig, Wrong, bad_url};
use crate::health::{Health, Part};
use crate::problems;
use crate::start_error::{StartError, chain};
use crate::validate::Files;

/// An address that nothing is wrong with, for looking at everything else.
const ANY_ADDRESS: &str = "https://vault.invalid";

/// How often Vault is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Fetches the secrets of plans. Once a run is open it holds none of them.
pub struct Keeper {
    vault: Option<(Vault, Login)>,
    key: StoredKey,
    /// Runs that could not be opened yet: twice as many as may run at once, at most, since so many are opened at once.
    opening: Mutex<BTreeMap<RunId, Arc<VaultResolver>>>,
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
        let Some(config) = config else { return Ok(Self { vault: None, key, opening: Mutex::default() }) };
        let mut options = options(config);
        if let Some(file) = &config.ca_file {
            options = options.ca_file(file);
        }
        let vault = Vault::new(&options)?;
        let login = login(config)?;
        // A mount that is no path is told now, not with the first plan.
        vault.resolver(login.clone())?;
        Ok(Self { vault: Some((vault, login)), key, opening: Mutex::default() })
    }

    /// The secrets of a plan, each as a problem, where there is nobody to ask.
    pub fn nobody_knows(&self, plan: &Loaded) -> Vec<Diagnostic> {
        if self.vault.is_some() {
            return Vec::new();
        }
        let message =
            "there is nobody here who knows secrets: the configuration of the daemon has no `vault`";
        let names = plan.secrets().keys();
        names
            .map(|name| Diagnostic::error("secret.no-backend", message).at(plan.secret_place(name)))
            .collect()
    }

    /// Reports again and again whether Vault can be asked, without a login. Never returns.
    pub async fn watch_over(&self, health: &Health) {
        let Some((vault, _)) = &self.vault else { return std::future::pending().await };
        health.expects(Part::Vault);
        let mut is_away = false;
        loop {
            match vault.health().await {
                Ok(()) => {
                    health.works(Part::Vault);
                    if std::mem::take(&mut is_away) {
                        tracing::info!("Vault answers again");
                    }
                }
                Err(failure) => {
                    let (code, reason) = (&*failure.code, &*failure.message);
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(code, reason, "Vault cannot be asked; plans with secrets wait");
                    }
                    health.fails(Part::Vault, reason);
                }
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    /// The values of all secrets of a plan: the newest versions, or those that were pinned when its run began. After an error
    /// what was read is kept for the next try, until there is one that gets everything, or [`let_go`](Self::let_go).
    ///
    /// # Errors
    /// Every secret that cannot be had, with its place in the plan; `Transient` where all of them may pass.
    pub async fn of_run(
        &self,
        run: &RunId,
        plan: &Loaded,
        begun: Option<&RunStart>,
    ) -> Result<PinnedSecrets, Failure> {
        let Some((vault, login)) = self.vault.as_ref().filter(|_| !plan.secrets().is_empty()) else {
            return Ok(PinnedSecrets::default());
        };
        let resolver = self.resolver(run, vault, login)?;
        let pinned = begun.map(|begun| begun.options.pins());
        let request = SecretRequest { declared: plan.secrets(), pinned, key: &self.key };
        let found = resolve_secrets(request, &*resolver, &RunOptions::default()).await.map_err(|bad| {
            let told = problems::failure(&plan.diagnose_secrets(&bad));
            let class = if BadSecret::are_transient(&bad) { FailureClass::Transient } else { told.class };
            Failure { class, ..told }
        })?;
        self.opening().remove(run);
        resolver.close().await;
        Ok(found)
    }

    /// The one of this run: a try to open it goes on with the login of the one before, and with what that has read.
    fn resolver(&self, run: &RunId, vault: &Vault, login: &Login) -> Result<Arc<VaultResolver>, Failure> {
        let mut opening = self.opening();
        if let Some(resolver) = opening.get(run) {
            return Ok(Arc::clone(resolver));
        }
        let resolver = vault.resolver(login.clone());
        let resolver = resolver.map_err(|error| Failure::misuse("secret.login", error.to_string()))?;
        Ok(Arc::clone(opening.entry(run.clone()).or_insert(Arc::new(resolver))))
    }

    /// The run is not going to be opened: what was read for it is forgotten, and its login ended, in the background.
    pub fn let_go(&self, run: &RunId) {
        if let Some(resolver) = self.opening().remove(run) {
            tokio::spawn(async move { resolver.close().await });
        }
    }

    /// For how many runs something is kept.
    pub fn held(&self) -> usize {
        self.opening().len()
    }

    fn opening(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<VaultResolver>>> {
        // A panic while the lock is held leaves the map whole: every change is one call.
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a configuration cannot be used.
pub fn problems(config: Option<&VaultConfig>, files: Files) -> Vec<Wrong> {
    let Some(config) = config else { return Vec::new() };
    let wrong =
        |pointer: &str, error: &VaultConfigError| Wrong::new(pointer, "config.bad-vault", chain(error));
    let mut found = Vec::new();
    if bad_url(&config.address).is_none()
        && let Err(error) = Vault::new(&options(config))
    {
        let is_path = matches!(error, VaultConfigError::Path { .. });
        found.push(wrong(if is_path { "/vault/namespace" } else { "/vault/address" }, &error));
    }
    // Each by itself, since the first thing that is wrong hides the others.
    let any = || VaultOptions::new(ANY_ADDRESS);
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
