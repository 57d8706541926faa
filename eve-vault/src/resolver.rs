//! The order of things: which references need asking, one login, one question for each mount, one read for each path and
//! version, and every reference that has no value, at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use eve_core::ports::{BadReference, Resolved, SecretResolver};
use eve_core::secret::{SecretRef, SecretVersion};
use futures::StreamExt as _;

use crate::client::{Client, Token};
use crate::error::VaultError;
use crate::kv::{self, Secret};
use crate::login::Login;
use crate::mounts::Mounts;
use crate::place::{Place, VaultPath};
use crate::session::Session;

/// What is read with one request.
type Wanted = (VaultPath, Option<SecretVersion>);

/// Resolves references for one run; made by [`Vault::resolver`](crate::Vault::resolver).
///
/// What was read is kept until it is dropped, so that the same reference gives the same value for the whole run and a call
/// after a `Transient` failure asks only for what is missing. [`close`](Self::close) gives the token back at the end.
pub struct VaultResolver {
    client: Arc<Client>,
    session: Arc<Session>,
    mounts: Mounts,
    secrets: Mutex<BTreeMap<Wanted, Arc<Secret>>>,
}

impl fmt::Debug for VaultResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultResolver").field("client", &self.client).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretResolver for VaultResolver {
    async fn resolve(&self, references: &[SecretRef]) -> Result<Vec<Resolved>, Vec<BadReference>> {
        let places: Vec<Result<Place, VaultError>> =
            references.iter().map(|reference| self.place(reference)).collect();
        let places_known = places.iter().flatten().map(|place| (place.path.clone(), place.version));
        let wanted: BTreeSet<Wanted> = places_known.filter(|wanted| self.known(wanted).is_none()).collect();
        let failed = self.fetch(wanted).await;

        let mut found = Vec::with_capacity(references.len());
        let mut bad = Vec::new();
        for (reference, place) in references.iter().zip(places) {
            match place.and_then(|place| self.value(place, &failed)) {
                Ok(resolved) => found.push(resolved),
                Err(error) => {
                    let failure = error.failure(reference);
                    bad.push(BadReference { reference: reference.clone(), failure });
                }
            }
        }
        if bad.is_empty() { Ok(found) } else { Err(bad) }
    }
}

impl VaultResolver {
    pub(crate) fn new(client: Arc<Client>, login: Login) -> Self {
        let session = Session::new(Arc::clone(&client), login);
        Self { client, session, mounts: Mounts::default(), secrets: Mutex::default() }
    }

    /// Ends the run's use of Vault: the token of its login is revoked, one request, and renewed no more. A token from a file
    /// stays as it is. What was read is overwritten. A later call would log in again.
    ///
    /// Cancel safe; without it the token ends by itself.
    pub async fn close(&self) {
        self.secrets().clear();
        self.session.close().await;
    }

    /// Forgets what was read at the places of these references, with all their keys: the next call reads them anew.
    pub fn forget(&self, references: &[SecretRef]) {
        let mut secrets = self.secrets();
        for place in references.iter().filter_map(|reference| Place::parse(reference).ok()) {
            secrets.remove(&(place.path, place.version));
        }
    }

    fn place(&self, reference: &SecretRef) -> Result<Place, VaultError> {
        let place = Place::parse(reference)?;
        let scope = &self.client.scope;
        let allowed = scope.is_empty()
            || scope.iter().any(|scope| place.path == *scope || place.path.below(scope).is_some());
        if allowed {
            Ok(place)
        } else {
            Err(VaultError::OutsideScope { path: place.path.as_str().to_owned() })
        }
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<Wanted, Arc<Secret>>> {
        // A panic while the lock is held leaves the map whole: every change is one insert.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read for this, be it as the newest version that happened to be the wanted one.
    fn known(&self, wanted: &Wanted) -> Option<Arc<Secret>> {
        let secrets = self.secrets();
        let newest = || {
            let newest = secrets.get(&(wanted.0.clone(), None))?;
            (wanted.1.is_some() && newest.version == wanted.1).then_some(newest)
        };
        secrets.get(wanted).or_else(newest).cloned()
    }

    fn value(&self, place: Place, failed: &BTreeMap<Wanted, VaultError>) -> Result<Resolved, VaultError> {
        let wanted = (place.path, place.version);
        let Some(secret) = self.known(&wanted) else {
            let error = failed.get(&wanted).cloned();
            return Err(error.unwrap_or(VaultError::AbsentPath { path: wanted.0.as_str().to_owned() }));
        };
        Ok(Resolved { value: secret.value(&place.key)?, version: secret.version })
    }

    /// Reads everything that is wanted, and says what could not be read.
    async fn fetch(&self, wanted: BTreeSet<Wanted>) -> BTreeMap<Wanted, VaultError> {
        if wanted.is_empty() {
            return BTreeMap::new();
        }
        let all = |error: VaultError| -> BTreeMap<Wanted, VaultError> {
            wanted.iter().map(|wanted| (wanted.clone(), error.clone())).collect()
        };
        let (held, fresh) = match self.session.token().await {
            Ok(held) => held,
            Err(error) => return all(error),
        };
        let mut failed = self.round(&held.token, wanted.clone()).await;
        let denied: BTreeSet<Wanted> = failed
            .iter()
            .filter(|(_, error)| matches!(error, VaultError::Denied { .. }))
            .map(|(wanted, _)| wanted.clone())
            .collect();
        // Vault denies alike what a token may not read and what an ended token asks for.
        if !denied.is_empty() && !fresh {
            match self.session.replacement(&held).await {
                Ok(None) => {}
                Ok(Some(held)) => {
                    failed.retain(|wanted, _| !denied.contains(wanted));
                    failed.extend(self.round(&held.token, denied).await);
                }
                Err(error) => failed.extend(denied.into_iter().map(|wanted| (wanted, error.clone()))),
            }
        }
        failed
    }

    /// Asks once for everything, with one token.
    async fn round(&self, token: &Token, wanted: BTreeSet<Wanted>) -> BTreeMap<Wanted, VaultError> {
        let lost = OnceLock::new();
        let paths: BTreeSet<&VaultPath> = wanted.iter().map(|(path, _)| path).collect();
        let mut failed_paths = self.learn_mounts(token, paths, &lost).await;
        let mut failed = BTreeMap::new();
        let mut reads = Vec::new();
        for wanted in wanted {
            match failed_paths.get_mut(&wanted.0) {
                Some(error) => drop(failed.insert(wanted, error.clone())),
                None => reads.push(self.read(token, wanted, &lost)),
            }
        }
        let reads = futures::stream::iter(reads).buffer_unordered(self.client.reads_max);
        let ends: Vec<(Wanted, Result<(), VaultError>)> = reads.collect().await;
        failed.extend(ends.into_iter().filter_map(|(wanted, end)| end.err().map(|error| (wanted, error))));
        self.explain(&mut failed).await;
        failed
    }

    /// Finds out the mounts of all paths. Paths with the same beginning are asked for one after the other, because the answer
    /// for one is mostly the answer for all.
    async fn learn_mounts(
        &self,
        token: &Token,
        paths: BTreeSet<&VaultPath>,
        lost: &OnceLock<VaultError>,
    ) -> BTreeMap<VaultPath, VaultError> {
        let mut groups: BTreeMap<&str, Vec<&VaultPath>> = BTreeMap::new();
        for path in paths {
            groups.entry(path.first()).or_default().push(path);
        }
        let groups: Vec<_> = groups.into_values().map(|group| self.learn_group(token, group, lost)).collect();
        let ends: Vec<Vec<(VaultPath, VaultError)>> =
            futures::stream::iter(groups).buffer_unordered(self.client.reads_max).collect().await;
        ends.into_iter().flatten().collect()
    }

    async fn learn_group(
        &self,
        token: &Token,
        group: Vec<&VaultPath>,
        lost: &OnceLock<VaultError>,
    ) -> Vec<(VaultPath, VaultError)> {
        let mut failed = Vec::new();
        for path in group {
            let end = match lost.get() {
                Some(error) => Err(error.clone()),
                None => self.mounts.learn(&self.client, token, path).await,
            };
            if let Err(error) = end {
                note_loss(lost, &error);
                failed.push((path.clone(), error));
            }
        }
        failed
    }

    async fn read(
        &self,
        token: &Token,
        wanted: Wanted,
        lost: &OnceLock<VaultError>,
    ) -> (Wanted, Result<(), VaultError>) {
        let denied = || VaultError::Denied { path: wanted.0.as_str().to_owned() };
        let end = match (lost.get(), self.mounts.of(&wanted.0)) {
            (Some(error), _) => Err(error.clone()),
            (None, None) => Err(denied()),
            (None, Some(mount)) => kv::read(&self.client, token, &mount, &wanted.0, wanted.1).await,
        };
        let end = end.map(|secret| {
            let (path, version) = (wanted.0.as_str(), secret.version.map(SecretVersion::get));
            tracing::debug!(path, version, "read a secret");
            self.secrets().insert(wanted.clone(), Arc::new(secret));
        });
        if let Err(error) = &end {
            note_loss(lost, error);
        }
        (wanted, end)
    }

    /// Asks for the server's health once where that can say more than a status.
    async fn explain(&self, failed: &mut BTreeMap<Wanted, VaultError>) {
        let vague = |error: &VaultError| {
            matches!(error, VaultError::ServerError { .. } | VaultError::Redirected { .. })
        };
        let Some(first) = failed.values().find(|error| vague(error)).cloned() else { return };
        let explained = self.client.explained(first.clone()).await;
        if explained != first {
            failed.values_mut().filter(|error| vague(error)).for_each(|error| *error = explained.clone());
        }
    }
}

/// Keeps an error that all other questions would meet as well, so that a Vault that does not answer is not waited for again
/// and again.
fn note_loss(lost: &OnceLock<VaultError>, error: &VaultError) {
    if error.is_about_vault() {
        // Whoever was first has said it.
        let _ = lost.set(error.clone());
    }
}
