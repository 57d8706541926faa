//! The configuration: one YAML file, typed. Doc comments of the types are the descriptions of the published JSON Schema.
//!
//! [`read`] tells every problem at once, those among them that `validate` finds.

use std::path::{Path, PathBuf};

use eve_core::plan::diagnostic::{Diagnostic, Diagnostics, Source};
use eve_core::plan::limits::Limits;
use eve_core::plan::load::{DocumentOptions, document};
use eve_core::plan::spec::DurationSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

mod check;
mod environment;
mod reference;
mod source;

pub use check::{OFF as HTTP_OFF, Wrong, bad_url, receiver_name};
pub use environment::Variables;
pub use reference::markdown;
pub use source::{
    BucketConfig, CredentialsConfig, DirectoryConfig, KeyFileConfig, SourceConfig, SqsConfig,
    WebIdentityConfig,
};

/// The most bytes of a configuration: far more than any needs, far less than what hurts.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// The configuration of the daemon of one cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "eve-daemon")]
pub struct Config {
    /// The name of the cluster. Plans for another cluster are refused; without a name only plans that state none are taken.
    #[schemars(length(min = 1, max = 253))]
    pub cluster: Option<String>,
    /// Where plans come from.
    pub source: SourceConfig,
    /// The cluster that plans are deployed to: by default the account of the pod, or else the current kubeconfig.
    #[serde(default)]
    pub kubernetes: KubernetesConfig,
    /// Where secrets come from. Without it, plans that name secrets are refused.
    pub vault: Option<VaultConfig>,
    /// Functions that plans may call. Without any, plans with steps of the kind `function` are refused.
    #[serde(default)]
    pub functions: Vec<FunctionConfig>,
    /// Who is told how a plan ended, besides its source.
    #[serde(default)]
    pub notify: Vec<NotifyConfig>,
    /// How many plans and requests are under way at once.
    #[serde(default)]
    pub scheduler: SchedulerConfig,
    /// What is kept on disk.
    #[serde(default)]
    pub state: StateConfig,
    /// Health and metrics.
    #[serde(default)]
    pub http: HttpConfig,
    /// What happens on SIGTERM.
    #[serde(default)]
    pub shutdown: ShutdownConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
}

/// The cluster that plans are deployed to, and what they may touch in it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesConfig {
    /// A kubeconfig instead of the account of the pod, or of what `KUBECONFIG` names.
    #[schemars(length(min = 1))]
    pub kubeconfig: Option<PathBuf>,
    /// Its context, if not the current one.
    #[schemars(length(min = 1, max = 253))]
    pub context: Option<String>,
    /// Namespaces, besides their own, in which plans may have objects.
    #[serde(default)]
    pub allow_namespaces: Vec<String>,
    /// Cluster-scoped objects that plans may have, as `KIND/NAME`; `*` stands for any text.
    #[serde(default)]
    pub allow_cluster_scoped: Vec<String>,
}

/// Where secrets come from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultConfig {
    /// Its address: `https://vault.example.com:8200`.
    #[schemars(length(min = 1, max = 2048))]
    pub address: String,
    /// Its namespace, where it has some.
    #[schemars(length(min = 1, max = 253))]
    pub namespace: Option<String>,
    /// A file with the certificates of its authority, if the system does not know it.
    #[schemars(length(min = 1))]
    pub ca_file: Option<PathBuf>,
    /// How the daemon logs in.
    pub auth: VaultAuthConfig,
}

/// How the daemon logs in at Vault: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultAuthConfig {
    /// By a token of the cluster.
    pub kubernetes: Option<VaultKubernetesConfig>,
    /// By a role and its secret.
    pub app_role: Option<VaultAppRoleConfig>,
    /// By a token of Vault itself, in a file that is read again whenever it is needed.
    #[schemars(length(min = 1))]
    pub token_file: Option<PathBuf>,
}

/// Login by a token of the cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultKubernetesConfig {
    /// The role of Vault.
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
    /// Where the method is mounted; `kubernetes` by default.
    #[schemars(length(min = 1, max = 253))]
    pub mount: Option<String>,
    /// The file with the token; that of the pod's account by default.
    #[schemars(length(min = 1))]
    pub token_file: Option<PathBuf>,
}

/// Login by a role and its secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultAppRoleConfig {
    /// The identifier of the role.
    #[schemars(length(min = 1, max = 253))]
    pub role_id: String,
    /// The file with the secret of the role.
    #[schemars(length(min = 1))]
    pub secret_id_file: PathBuf,
    /// Where the method is mounted; `approle` by default.
    #[schemars(length(min = 1, max = 253))]
    pub mount: Option<String>,
}

/// Somebody who is told how a plan ended: exactly one of `function` and `webhook`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotifyConfig {
    /// What the journal knows it by; its URL by default. Whoever has another name is somebody else, who is not told what
    /// was not told before.
    #[schemars(length(min = 1, max = 200))]
    pub name: Option<String>,
    /// A function that is called with the outcome.
    pub function: Option<FunctionConfig>,
    /// A web hook that gets the outcome as a `CloudEvent`.
    pub webhook: Option<WebhookConfig>,
}

/// A function: one that plans may call, or one that is called with the outcome.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FunctionConfig {
    /// Its URL, without key. Plans may call what lies below it as well, which has the same key.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// The file with its key, if it needs one; read again for each call. This or `key`.
    #[schemars(length(min = 1))]
    pub key_file: Option<PathBuf>,
    /// Where in Vault its key is: `vault:PATH#KEY`; or `vault:PATH`, where the secret has the key under the URL that is called,
    /// without its query. A step has it read when its run is opened; what the function refuses is read again.
    #[schemars(length(min = 1, max = 1024))]
    pub key: Option<String>,
}

/// A web hook that gets the outcome as a `CloudEvent`, signed as Standard Webhooks say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its URL.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// The file with the secret that signs: `whsec_` and base64.
    #[schemars(length(min = 1))]
    pub secret_file: PathBuf,
}

/// How many plans and requests are under way at once.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SchedulerConfig {
    /// In how many namespaces plans run at once. By default 8.
    #[schemars(range(min = 1, max = 1000))]
    pub namespaces_at_once: Option<u32>,
    /// What a newer plan does to an older one of the same name in its namespace. By default `queue`.
    pub newer_plan: Option<NewerPlan>,
    /// Namespaces in which a newer plan does something else.
    #[serde(default)]
    pub namespaces: Vec<NamespaceConfig>,
    /// How long a run may take. By default 1 hour.
    pub run_timeout: Option<DurationSpec>,
}

/// What is different in one namespace.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceConfig {
    /// The namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What a newer plan does to an older one of the same name in it.
    pub newer_plan: NewerPlan,
}

/// What a newer plan does to an older one of the same name in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NewerPlan {
    /// It waits until the older one has ended.
    Queue,
    /// It takes the place of one that waits; one that runs comes to its end.
    SupersedeWaiting,
    /// It takes the place of one that waits; one that runs starts nothing new, and what runs of it comes to its end.
    SupersedeRunning,
    /// It takes the place of one that waits; one that runs starts nothing new and waits for nothing any more.
    CancelRunning,
}

/// What is kept on disk.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateConfig {
    /// The directory of the journal; relative to the configuration file. By default `eve-daemon-state` beside it.
    #[schemars(length(min = 1))]
    pub folder: Option<PathBuf>,
}

/// Health and metrics.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpConfig {
    /// The address that `/livez`, `/readyz`, `/metrics` and `/undelivered` are served at. By default `127.0.0.1:8081`; `off` for none.
    #[schemars(length(min = 1, max = 253))]
    pub listen: Option<String>,
}

/// What happens on SIGTERM.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long writes in flight may take to end. What is unfinished then is gone on with by the next process. By default
    /// 25 seconds, which is less than the 30 that Kubernetes gives a pod.
    pub grace: Option<DurationSpec>,
}

/// What is logged.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged, in the notation of `tracing_subscriber::EnvFilter`. By default `info,kube_client=off,eve_k8s=warn`.
    #[schemars(length(min = 1, max = 1024))]
    pub filter: Option<String>,
}

/// Reads a configuration; paths in it become relative to `folder`, the one that its file is in. `judge` says what of it cannot
/// be used, though it has the right form; it is given what has, also where other fields have not.
///
/// # Errors
/// Every problem, with its place.
pub fn read(
    source: Source,
    folder: &Path,
    variables: &Variables,
    judge: &dyn Fn(&Config) -> Vec<Wrong>,
) -> Result<Config, Diagnostics> {
    let mut limits = Limits::default();
    limits.input_bytes_max = CONFIG_BYTES_MAX;
    let overlay = |schema: &Value, value: &mut Value| variables.lay_over(schema, value);
    let options = DocumentOptions { whole: "the configuration", codes: "config", overlay: &overlay, limits };
    let document = document::<Config>(source, &options)?;
    let mut config = document.value.clone();
    config.resolve(folder);
    let mut problems = check::choices(&document);
    // What stands in for a field is nothing to be judged: what is wrong with the field is told already.
    let is_written =
        |wrong: &Wrong| wrong.pointer.as_ref().is_none_or(|pointer| document.is_written(pointer));
    let judged = check::problems(&document).into_iter().chain(judge(&config));
    let judged = judged.filter(is_written);
    let judged = judged.filter(|wrong| wrong.presumes.iter().all(|field| document.is_right(field)));
    problems.extend(judged.map(|Wrong { pointer, code, message, hint, .. }| {
        let problem = match pointer {
            Some(pointer) => document.problem(code, &pointer, message),
            None => Diagnostic::error(code, message),
        };
        problem.with_hint(hint)
    }));
    document.judged(problems).map(|()| config)
}

/// The JSON Schema (2020-12) of a configuration.
pub fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// The schema that a reference means; of one that may be null, the other branch.
fn resolved<'a>(root: &'a Value, field: &'a Value) -> &'a Value {
    let branches = field["anyOf"].as_array().into_iter().flatten();
    let branch = branches.clone().find(|branch| branch["type"] != "null").unwrap_or(field);
    let pointer = branch["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(branch)
}

impl Config {
    /// Makes paths relative to the folder of the file instead of the folder of the process.
    fn resolve(&mut self, folder: &Path) {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        paths.extend(self.source.directory.as_mut().map(|directory| &mut directory.path));
        if let Some(credentials) = self.source.sqs.as_mut().and_then(|sqs| sqs.credentials.as_mut()) {
            paths.extend(credentials.web_identity.as_mut().map(|identity| &mut identity.token_file));
            paths.extend(credentials.key_file.as_mut().map(|key| &mut key.path));
        }
        paths.extend(&mut self.kubernetes.kubeconfig);
        if let Some(vault) = &mut self.vault {
            paths.extend(&mut vault.ca_file);
            paths.extend(&mut vault.auth.token_file);
            paths.extend(vault.auth.kubernetes.as_mut().and_then(|login| login.token_file.as_mut()));
            paths.extend(vault.auth.app_role.as_mut().map(|login| &mut login.secret_id_file));
        }
        paths.extend(self.functions.iter_mut().filter_map(|function| function.key_file.as_mut()));
        for notify in &mut self.notify {
            paths.extend(notify.function.as_mut().and_then(|function| function.key_file.as_mut()));
            paths.extend(notify.webhook.as_mut().map(|webhook| &mut webhook.secret_file));
        }
        paths.push(self.state.folder.get_or_insert_with(|| PathBuf::from("eve-daemon-state")));
        for path in paths {
            *path = folder.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests;
