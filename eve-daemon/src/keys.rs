//! The keys of functions, out of files or out of Vault. A file is read for each call. In Vault, a step of a plan has its key read
//! by the login of its run, once, when the run is opened; for whoever is told outcomes there is a login of its own, and what
//! it has read is kept for five minutes. A key that a function refuses is read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::kind::Kind as _;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::plan::problem::PlanProblem;
use eve_core::secret::{SecretRef, SecretRefError, SecretValue};
use eve_queue::{Address, Allowed, FunctionKeys, FunctionKind, KeyFor};
use eve_vault::check_place;
use tokio::sync::Mutex;

use crate::config::{FunctionConfig, Wrong};
use crate::credentials;
use crate::notifiers::unusable;
use crate::secrets::{Keeper, Unread};
use crate::start_error::StartError;

/// How long the key of somebody who is told outcomes is kept: so long that many outcomes at once cost one login.
const KEPT: Duration = Duration::from_mins(5);

/// Where the key of a function is.
#[derive(Clone, Debug)]
enum Source {
    Nowhere,
    File(PathBuf),
    Vault(Place),
}

/// Where in Vault: `vault:PATH#KEY`, or `vault:PATH`, where the key is named by the URL of the function.
#[derive(Clone, Debug)]
struct Place(SecretRef);

impl Place {
    fn read(text: &str) -> Result<Self, Failure> {
        let bad = |error: SecretRefError| Failure::permanent("vault.bad-reference", error.to_string());
        let place = Self(text.parse().map_err(bad)?);
        check_place(&place.of("https://any.invalid/"))?;
        Ok(place)
    }

    /// Of the function at this URL. Its query is no part of the name: it may hold what nobody should read.
    fn of(&self, url: &str) -> SecretRef {
        let Self(reference) = self;
        if reference.place.contains('#') {
            return reference.clone();
        }
        let name = url.split(['?', '#']).next().unwrap_or_default();
        SecretRef { place: format!("{}#{name}", reference.place), ..reference.clone() }
    }
}

impl Source {
    fn of(function: &FunctionConfig) -> Result<Self, StartError> {
        Ok(match (&function.key_file, &function.key) {
            (Some(file), _) => Self::File(file.clone()),
            (None, Some(text)) => Self::Vault(Place::read(text)?),
            (None, None) => Self::Nowhere,
        })
    }

    /// The key of the function at this URL, if it is in Vault.
    fn in_vault(&self, url: &str) -> Option<SecretRef> {
        match self {
            Self::Vault(place) => Some(place.of(url)),
            Self::Nowhere | Self::File(_) => None,
        }
    }
}

/// What is wrong with the place of a key, which this field names.
pub fn problem(function: &FunctionConfig, pointer: &str) -> Option<Wrong> {
    let failure = function.key.as_deref().map(Place::read)?.err()?;
    let message = format!("this is no place of a key: {}", failure.message);
    let hint =
        "write `vault:PATH#KEY`, or `vault:PATH` where the secret has the URLs of functions as its keys";
    Some(Wrong::new(format!("{pointer}/key"), "config.bad-key", message).with_hint(hint.to_owned()))
}

/// The keys of the functions that plans may call.
#[derive(Debug)]
pub struct StepKeys {
    known: Vec<Known>,
    keeper: Arc<Keeper>,
}

#[derive(Debug)]
struct Known {
    address: Address,
    below: Allowed,
    source: Source,
}

impl StepKeys {
    /// Those of a configuration.
    ///
    /// # Errors
    /// A URL that cannot be called, or a place that is none.
    pub fn new(functions: &[FunctionConfig], keeper: Arc<Keeper>) -> Result<Self, StartError> {
        let known = |function: &FunctionConfig| {
            let address = Address::parse(&function.url);
            let address = address.map_err(|error| unusable(&function.url, &error.to_string()))?;
            let below = Allowed::none().with(address.clone());
            Ok(Known { address, below, source: Source::of(function)? })
        };
        let known = functions.iter().map(known).collect::<Result<_, StartError>>()?;
        Ok(Self { known, keeper })
    }

    /// The functions that plans may call.
    pub fn allowed(&self) -> Allowed {
        self.known.iter().fold(Allowed::none(), |all, known| all.with(known.address.clone()))
    }

    /// Where the key of a function is: what is said of the longest address that leads to it.
    fn source(&self, url: &str) -> &Source {
        let Ok(wanted) = Address::parse(url) else { return &Source::Nowhere };
        let fitting = self.known.iter().filter(|known| known.below.allows(&wanted));
        let nearest = fitting.max_by_key(|known| known.address.as_shown().len());
        nearest.map_or(&Source::Nowhere, |known| &known.source)
    }

    /// Whether a step of this graph may ask Vault while its run is under way.
    pub fn may_ask(&self, graph: &Graph) -> bool {
        let in_vault = |source: &Source| matches!(source, Source::Vault(_));
        steps(graph).any(|(_, url)| match url {
            Some(url) => in_vault(self.source(url)),
            None => self.known.iter().any(|known| in_vault(&known.source)),
        })
    }

    /// Reads the keys of all steps of a run, for as long as it is under way.
    ///
    /// # Errors
    /// Every step whose key cannot be had, with its place in the plan.
    pub async fn read_for(&self, run: &RunId, plan: &Loaded, graph: &Graph) -> Result<(), Unread> {
        let wanted: Vec<(&str, &str, SecretRef)> = steps(graph)
            .filter_map(|(name, url)| Some((name, url?, self.source(url?).in_vault(url?)?)))
            .collect();
        let references: Vec<SecretRef> = wanted.iter().map(|(.., reference)| reference.clone()).collect();
        let Err(bad) = self.keeper.read(run, &references).await else { return Ok(()) };
        let told = |(name, url, reference): &(&str, &str, SecretRef)| {
            let failure = &bad.iter().find(|bad| bad.reference == *reference)?.failure;
            Some(plan.diagnose_executor(&PlanProblem {
                code: failure.code.clone(),
                component: Some((*name).to_owned()),
                pointer: "/url".to_owned(),
                message: of_function(url, failure).message,
                hint: failure.hint.clone(),
                cycle: Vec::new(),
            }))
        };
        let problems = wanted.iter().filter_map(told).collect();
        let may_pass = bad.iter().all(|bad| credentials::may_pass(&bad.failure));
        Err(Unread { problems, may_pass })
    }
}

/// The names of the steps that call functions, with the URLs as far as they are known before the run.
fn steps(graph: &Graph) -> impl Iterator<Item = (&str, Option<&str>)> {
    graph.ids().filter(|id| graph.kind(*id) == FunctionKind.name()).map(|id| {
        let node = graph.node(id);
        let url = node.spec().get("url").and_then(serde_json::Value::as_str);
        (node.name(), url.filter(|url| !url.contains("${{")))
    })
}

#[async_trait]
impl FunctionKeys for StepKeys {
    async fn key(&self, wanted: KeyFor<'_>) -> Result<Option<SecretValue>, Failure> {
        match self.source(wanted.url) {
            Source::Nowhere => Ok(None),
            Source::File(path) => in_file(path).await.map(Some),
            Source::Vault(place) => {
                let key = self.keeper.key(wanted.run, &place.of(wanted.url)).await;
                key.map(Some).map_err(|failure| of_function(wanted.url, &failure))
            }
        }
    }

    async fn key_after(
        &self,
        wanted: KeyFor<'_>,
        refused: &SecretValue,
    ) -> Result<Option<SecretValue>, Failure> {
        let known = self.key(wanted).await?;
        let Some(reference) = self.source(wanted.url).in_vault(wanted.url) else { return Ok(known) };
        // Another step has found it out before.
        if known.as_ref().is_some_and(|known| known.expose() != refused.expose()) {
            return Ok(known);
        }
        self.keeper.forget(wanted.run, &reference);
        self.key(wanted).await
    }
}

/// The key of one function that is told outcomes.
#[derive(Debug)]
pub struct ReceiverKey {
    source: Source,
    keeper: Arc<Keeper>,
    kept: Arc<Mutex<Option<SecretValue>>>,
}

impl ReceiverKey {
    /// That of a configuration.
    ///
    /// # Errors
    /// A place that is none.
    pub fn new(function: &FunctionConfig, keeper: Arc<Keeper>) -> Result<Self, StartError> {
        Ok(Self { source: Source::of(function)?, keeper, kept: Arc::default() })
    }

    /// What is kept, unless it is the one that was refused; or what is in Vault now.
    async fn in_vault(
        &self,
        reference: &SecretRef,
        refused: Option<&SecretValue>,
    ) -> Result<SecretValue, Failure> {
        // Whoever comes meanwhile waits for what this one gets.
        let mut kept = self.kept.lock().await;
        let good = |key: &&SecretValue| refused.is_none_or(|refused| refused.expose() != key.expose());
        if let Some(key) = kept.as_ref().filter(good) {
            return Ok(key.clone());
        }
        *kept = None;
        let key = self.keeper.key(None, reference).await?;
        *kept = Some(key.clone());
        drop(kept);
        let place = Arc::downgrade(&self.kept);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let Some(kept) = place.upgrade() {
                *kept.lock().await = None;
            }
        });
        Ok(key)
    }

    async fn read(&self, url: &str, refused: Option<&SecretValue>) -> Result<Option<SecretValue>, Failure> {
        match &self.source {
            Source::Nowhere => Ok(None),
            Source::File(path) => in_file(path).await.map(Some),
            Source::Vault(place) => {
                let key = self.in_vault(&place.of(url), refused).await;
                key.map(Some).map_err(|failure| of_function(url, &failure))
            }
        }
    }
}

#[async_trait]
impl FunctionKeys for ReceiverKey {
    async fn key(&self, wanted: KeyFor<'_>) -> Result<Option<SecretValue>, Failure> {
        self.read(wanted.url, None).await
    }

    async fn key_after(
        &self,
        wanted: KeyFor<'_>,
        refused: &SecretValue,
    ) -> Result<Option<SecretValue>, Failure> {
        self.read(wanted.url, Some(refused)).await
    }
}

/// The same failure, of the key of this function.
fn of_function(url: &str, failure: &Failure) -> Failure {
    let shown = Address::parse(url).map_or_else(|_| "?".to_owned(), |address| address.as_shown());
    failure.clone().with_message(format!("the key of function {shown}: {}", failure.message))
}

async fn in_file(path: &Path) -> Result<SecretValue, Failure> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| {
        Failure::transient("function.key", format!("the key file {} cannot be read: {error}", path.display()))
            .with_hint("put the key into the file, or name another one with `keyFile`")
    })?;
    let key = SecretValue::new(SecretValue::new(text).expose().trim());
    if key.expose().is_empty() {
        let message = format!("the key file {} is empty", path.display());
        return Err(Failure::transient("function.key", message).with_hint("put the key into the file"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_key_is_a_map_from_urls_to_keys() {
        let of = |place: &str, url: &str| Place::read(place).map(|place| place.of(url).to_string());
        let url = "https://fn.example/api/a?x=1#y";
        for (place, expected) in [
            ("vault:kv/fn_codes", "vault:kv/fn_codes#https://fn.example/api/a"),
            ("vault:kv/fn_codes@3", "vault:kv/fn_codes#https://fn.example/api/a@3"),
            ("vault:kv/fn#main", "vault:kv/fn#main"),
            ("vault:kv/fn#https://fn.example/api", "vault:kv/fn#https://fn.example/api"),
        ] {
            assert_eq!(of(place, url).unwrap(), expected);
        }
        for place in ["hunter2", "file:kv/a#b", "vault:kv", "vault:kv/a#", "vault:kv/a#b#c", "vault:"] {
            assert!(Place::read(place).is_err(), "{place}");
        }
    }
}
