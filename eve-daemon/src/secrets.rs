//! The secrets of a run: one login, one read for each path and version, every bad reference told with its place.

use std::fmt;

use eve_core::driver::resolve_secrets;
use eve_core::failure::{Failure, FailureClass};
use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::load::Loaded;
use eve_core::run::{RunOptions, RunStart};
use eve_core::secret::{BadSecret, PinnedSecrets, SecretRequest};
use eve_store::StoredKey;
pub use eve_vault::check_place;
use eve_vault::{Login, Vault, VaultConfig as VaultOptions};

use crate::config::VaultConfig;
use crate::problems;
use crate::start_error::StartError;

/// Fetches the secrets of plans. Holds none.
pub struct Keeper {
    vault: Option<(Vault, Login)>,
    key: StoredKey,
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
        let Some(config) = config else { return Ok(Self { vault: None, key }) };
        let mut options = VaultOptions::new(&config.address);
        if let Some(namespace) = &config.namespace {
            options = options.namespace(namespace);
        }
        if let Some(file) = &config.ca_file {
            options = options.ca_file(file);
        }
        let vault = Vault::new(&options)?;
        let login = login(config)?;
        // A mount that is no path is told now, not with the first plan.
        vault.resolver(login.clone())?;
        Ok(Self { vault: Some((vault, login)), key })
    }

    /// The secrets of a plan that nobody here could know.
    pub fn unserved(&self, plan: &Loaded) -> Vec<Diagnostic> {
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

    /// The values of all secrets of a plan: the newest versions, or those that were pinned when its run began.
    ///
    /// # Errors
    /// Every secret that cannot be had, with its place in the plan; `Transient` where all of them may pass.
    pub async fn of_run(&self, plan: &Loaded, begun: Option<&RunStart>) -> Result<PinnedSecrets, Failure> {
        let Some((vault, login)) = self.vault.as_ref().filter(|_| !plan.secrets().is_empty()) else {
            return Ok(PinnedSecrets::default());
        };
        let resolver = vault
            .resolver(login.clone())
            .map_err(|error| Failure::misuse("secret.login", error.to_string()))?;
        let pinned = begun.map(|begun| begun.options.pins());
        let request = SecretRequest { declared: plan.secrets(), pinned, key: &self.key };
        let asked = resolve_secrets(request, &resolver, &RunOptions::default()).await;
        resolver.close().await;
        asked.map_err(|bad| {
            let told = problems::failure(&plan.diagnose_secrets(&bad));
            let class = if BadSecret::are_transient(&bad) { FailureClass::Transient } else { told.class };
            Failure { class, ..told }
        })
    }
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
