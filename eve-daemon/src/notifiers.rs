//! Who is told outcomes, and who calls the functions of plans, as the configuration says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::SystemClock;
use eve_core::ports::{Clock, Notifier};
use eve_core::secret::SecretValue;
use eve_queue::aws::{AwsAccess, SqsNotifier};
use eve_queue::{
    Address, AddressError, DirectoryNotifier, FunctionClient, FunctionExecutor, FunctionNotifier,
    WebhookNotifier, WebhookOptions, function_address,
};

use crate::config::{self, Config, WebhookConfig, Wrong};
use crate::keys::{self, ReceiverKey, StepKeys};
use crate::secrets::Keeper;
use crate::start_error::StartError;
use crate::validate::Files;

/// What the journal knows the outcome files of a directory by.
const DIRECTORY: &str = "directory";
/// What the journal knows the queue of outcomes by.
const OUTCOME_QUEUE: &str = "outcome-queue";
/// How long a function may take that is told an outcome. Shorter than what a step of a plan may take: it is only told.
const FUNCTION_LIMIT: Duration = Duration::from_secs(30);
/// A URL that nothing is wrong with, for looking at everything else.
const ANY_URL: &str = "https://hook.invalid";
/// What a call may take at most, whoever is called.
pub const CALL_LIMIT: Duration = Duration::from_secs(35);

/// Receivers by the names that the journal knows them by.
pub type Receivers = BTreeMap<Arc<str>, Arc<dyn Notifier>>;

/// The receivers of a configuration; `server` is the address of the API server, `keeper` knows keys in Vault. Nobody is called.
///
/// # Errors
/// One of them cannot be used.
pub fn receivers(
    config: &Config,
    aws: Option<&AwsAccess>,
    clock: &Arc<dyn Clock>,
    (server, keeper): (&str, &Arc<Keeper>),
) -> Result<Receivers, StartError> {
    let mut all = Receivers::new();
    if let Some(directory) = &config.source.directory {
        all.insert(DIRECTORY.into(), Arc::new(DirectoryNotifier::new(&directory.path)));
    }
    let cluster = config.cluster.as_deref().unwrap_or_default();
    let queue = config.source.sqs.as_ref().and_then(|sqs| sqs.outcome_queue_url.as_ref());
    if let (Some(queue), Some(access)) = (queue, aws) {
        all.insert(OUTCOME_QUEUE.into(), Arc::new(SqsNotifier::new(access, queue, cluster)));
    }
    for notify in &config.notify {
        let name: Arc<str> = config::receiver_name(notify).into();
        if let Some(function) = &notify.function {
            let key = Arc::new(ReceiverKey::new(function, Arc::clone(keeper))?);
            let told = FunctionNotifier::new(FunctionClient::new()?, &function.url, key);
            let told = told.map_err(|error| unusable(&function.url, &error.to_string()))?;
            all.insert(Arc::clone(&name), Arc::new(told.with_limit(FUNCTION_LIMIT)));
        }
        if let Some(hook) = &notify.webhook {
            all.insert(
                name,
                Arc::new(webhook(hook, event_source(config.cluster.as_deref(), server), clock)?),
            );
        }
    }
    Ok(all)
}

/// Who speaks, as a URI reference: the cluster by its name; one without a name by the address of its API server.
fn event_source(cluster: Option<&str>, server: &str) -> String {
    cluster.map_or_else(|| server.to_owned(), |name| format!("/clusters/{name}"))
}

/// What of a configuration cannot be used. Keys of functions are read for each call, and may come later.
pub fn problems(config: &Config, files: Files) -> Vec<Wrong> {
    let mut found = Vec::new();
    let mut judge = |pointer: String, url: &str, error: Option<AddressError>| {
        // What is no URL at all is told already.
        if let Some(error) = error.filter(|_| config::bad_url(url).is_none()) {
            let message = format!("this URL cannot be called: {error}");
            found.push(Wrong::new(pointer, "config.bad-url", message));
        }
    };
    for (index, function) in config.functions.iter().enumerate() {
        judge(format!("/functions/{index}/url"), &function.url, function_address(&function.url).err());
    }
    for (index, notify) in config.notify.iter().enumerate() {
        if let Some(function) = &notify.function {
            let error = function_address(&function.url).err();
            judge(format!("/notify/{index}/function/url"), &function.url, error);
        }
        if let Some(hook) = &notify.webhook {
            judge(format!("/notify/{index}/webhook/url"), &hook.url, Address::parse(&hook.url).err());
        }
    }
    found.extend(
        config
            .functions
            .iter()
            .enumerate()
            .filter_map(|(index, function)| keys::problem(function, &format!("/functions/{index}"))),
    );
    found.extend(config.notify.iter().enumerate().filter_map(|(index, notify)| {
        keys::problem(notify.function.as_ref()?, &format!("/notify/{index}/function"))
    }));
    let hooks = config.notify.iter().enumerate().filter(|_| files == Files::Here);
    for (index, hook) in hooks.filter_map(|(index, notify)| Some((index, notify.webhook.as_ref()?))) {
        if let Err(error) = signing_key(hook).and_then(|key| usable(hook, key)) {
            let pointer = format!("/notify/{index}/webhook/secretFile");
            found.push(error.at(pointer, "config.bad-file"));
        }
    }
    found
}

/// Whether a webhook could be signed with this key, wherever it is.
fn usable(config: &WebhookConfig, key: SecretValue) -> Result<(), StartError> {
    let options = WebhookOptions::new(&config.url, "/").or_else(|_| WebhookOptions::new(ANY_URL, "/"));
    let options = options.map_err(|error| unusable(&config.url, &error.to_string()))?;
    WebhookNotifier::new(options.signed_with(key), Arc::new(SystemClock::new()))?;
    Ok(())
}

fn signing_key(config: &WebhookConfig) -> Result<SecretValue, StartError> {
    let path = &config.secret_file;
    let text = std::fs::read_to_string(path).map_err(|error| {
        StartError::io(&format!("the secret file {} cannot be read", path.display()), &error)
    })?;
    Ok(SecretValue::new(SecretValue::new(text).expose().trim()))
}

fn webhook(
    config: &WebhookConfig,
    source: String,
    clock: &Arc<dyn Clock>,
) -> Result<WebhookNotifier, StartError> {
    let options = WebhookOptions::new(&config.url, source)
        .map_err(|error| unusable(&config.url, &error.to_string()))?;
    Ok(WebhookNotifier::new(options.signed_with(signing_key(config)?), Arc::clone(clock))?)
}

/// Who calls the functions that plans may call, with these keys.
///
/// # Errors
/// There is no HTTP client.
pub fn functions(keys: &Arc<StepKeys>) -> Result<FunctionExecutor, StartError> {
    Ok(FunctionExecutor::new(FunctionClient::new()?, Arc::clone(keys) as _, keys.allowed()))
}

/// Without its query, which may hold what nobody should read.
pub(crate) fn unusable(url: &str, why: &str) -> StartError {
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    StartError::new(format!("{shown} cannot be called: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_a_cluster_without_a_name_say_where_it_is() {
        assert_eq!(event_source(Some("east"), "https://10.0.0.1:6443"), "/clusters/east");
        assert_eq!(event_source(None, "https://10.0.0.1:6443"), "https://10.0.0.1:6443");
    }
}
