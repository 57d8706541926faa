//! Where plans come from, as the configuration says; what goes wrong there is logged and shows in the health.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eve_core::ports::{Clock, PlanSource};
use eve_core::secret::SecretValue;
use eve_queue::aws::{AwsAccess, AwsIdentity, PlanBucket, SqsOptions, SqsSource, WebIdentity};
use eve_queue::{Address, DirectoryOptions, DirectorySource};

use crate::config::{Config, CredentialsConfig, SqsConfig, Wrong, bad_url};
use crate::folder::Folder;
use crate::health::{Health, Part};
use crate::queue;
use crate::start_error::StartError;
use crate::validate::Files;
use crate::watched::Watched;

/// What AWS's logs know the daemon by.
const SESSION_NAME: &str = "eve-daemon";
/// How long credentials of a role are to last: what STS gives by default (`AssumeRoleWithWebIdentity`, API reference).
const CREDENTIALS_LAST: Duration = Duration::from_hours(1);

/// A source of plans, and what belongs to it.
#[expect(missing_debug_implementations, reason = "a port is opaque")]
pub struct Opened {
    /// Where plans come from.
    pub source: Arc<dyn PlanSource>,
    /// How long what was received is kept from others.
    pub visibility: Duration,
    /// AWS, where it is a queue.
    pub aws: Option<AwsAccess>,
    /// What it is, for logs.
    pub what: String,
}

/// The source of a configuration. A directory is taken over; no queue is called.
///
/// # Errors
/// It cannot be used.
pub fn open(config: &Config, clock: &Arc<dyn Clock>, health: &Arc<Health>) -> Result<Opened, StartError> {
    if let Some(directory) = &config.source.directory {
        let mut options = DirectoryOptions::default();
        options.wait = DIRECTORY_WAIT;
        options.held_for = DIRECTORY_VISIBILITY;
        let (source, folder) = (DirectorySource::open(&directory.path, options)?, Folder::default());
        health.works(Part::Source);
        let (what, health) = (format!("directory {}", directory.path.display()), Arc::clone(health));
        let source = Arc::new(Watched::new(source, health, move |source| folder.tell(source)));
        return Ok(Opened { source, visibility: DIRECTORY_VISIBILITY, aws: None, what });
    }
    let (Some(sqs), Some(cluster)) = (&config.source.sqs, &config.cluster) else {
        return Err(StartError::new("`source` says nothing"));
    };
    let access = access(sqs, Arc::clone(clock))?;
    let mut options = SqsOptions::new(&sqs.queue_url, &sqs.dead_letter_queue_url, cluster);
    options.visibility_timeout = sqs.visibility_timeout.map_or(options.visibility_timeout, |time| time.0);
    options.wait = sqs.wait.map_or(options.wait, |time| time.0);
    let buckets = sqs.buckets.iter();
    options.buckets = buckets
        .map(|bucket| PlanBucket { bucket: bucket.name.clone(), prefix: bucket.prefix.clone() })
        .collect();
    let visibility = options.visibility_timeout;
    let source = SqsSource::new(&access, options)?;
    let (what, health) = (format!("queue {}", sqs.queue_url), Arc::clone(health));
    Ok(Opened {
        source: Arc::new(Watched::new(source, health, queue::tell)),
        visibility,
        aws: Some(access),
        what,
    })
}

/// What of a configuration cannot be used.
pub fn problems(config: &Config, files: Files) -> Vec<Wrong> {
    let mut found = Vec::new();
    if let (Files::Here, Some(directory)) = (files, &config.source.directory) {
        found.extend(no_folder(&directory.path, "/source/directory/path"));
    }
    let Some(sqs) = &config.source.sqs else { return found };
    if let Some(endpoint) = sqs.endpoint.as_deref().filter(|url| bad_url(url).is_none())
        && let Err(error) = Address::parse(endpoint)
    {
        let message = format!("this URL cannot be called: {error}");
        found.push(Wrong::new("/source/sqs/endpoint", "config.bad-url", message));
    }
    let key = || identity(sqs.credentials.as_ref()).err();
    let unread = if files == Files::Here { key() } else { None };
    let pointer = "/source/sqs/credentials/keyFile/path";
    found.extend(unread.map(|error| error.at(pointer, "config.bad-file")));
    found
}

/// Why a path cannot be the folder that it is to be; one that is not there will be made.
pub(crate) fn no_folder(path: &Path, pointer: &str) -> Option<Wrong> {
    let shown = path.display();
    let message = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => format!("{shown} is a file, and a folder is wanted"),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => format!("the folder {shown} cannot be used: {error}"),
    };
    let hint = "name a folder, or a place where one can be made".to_owned();
    Some(Wrong::new(pointer, "config.bad-folder", message).with_hint(hint))
}

/// After so long without a plan what lies in a directory and is no plan is told.
const DIRECTORY_WAIT: Duration = Duration::from_secs(2);
/// How long a directory holds what was taken, unless it is extended.
const DIRECTORY_VISIBILITY: Duration = Duration::from_hours(1);

fn access(sqs: &SqsConfig, clock: Arc<dyn Clock>) -> Result<AwsAccess, StartError> {
    let identity = identity(sqs.credentials.as_ref())?;
    Ok(AwsAccess::new(&sqs.region, sqs.endpoint.clone(), identity, clock)?)
}

fn identity(config: Option<&CredentialsConfig>) -> Result<AwsIdentity, StartError> {
    let Some(config) = config else { return Ok(AwsIdentity::Chain) };
    if let Some(role) = &config.web_identity {
        return Ok(AwsIdentity::WebIdentity(WebIdentity {
            role_arn: role.role_arn.clone(),
            token_file: role.token_file.clone(),
            session_name: SESSION_NAME.to_owned(),
            lasts: CREDENTIALS_LAST,
        }));
    }
    let Some(key) = &config.key_file else { return Ok(AwsIdentity::Chain) };
    let path = &key.path;
    let text = std::fs::read_to_string(path).map_err(|error| {
        StartError::io(&format!("the key file {} cannot be read", path.display()), &error)
    })?;
    let text = SecretValue::new(text);
    let mut lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next(), lines.next()) {
        (Some(id), Some(secret), None) => Ok(AwsIdentity::Keys {
            access_key_id: id.to_owned(),
            secret_access_key: SecretValue::new(secret),
            session_token: None,
        }),
        _ => Err(StartError::new(format!("the key file {} does not have two lines", path.display()))
            .with_hint("its first line is the identifier of the key, its second the key".to_owned())),
    }
}
