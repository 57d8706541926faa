//! From a kubeconfig, or the pod that eve runs in, to a client: contexts, credentials, proxies, timeouts.
//!
//! The only file of this crate that reads the environment and the file system. Nothing here talks to the API server,
//! but an exec plugin of the kubeconfig may be run to get credentials.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eve_core::failure::{Failure, FailureClass};
use eve_core::few::few;
use eve_core::plan::graph::closest;
use kube::config::{AuthInfo, Cluster, ExecAuthCluster, Kubeconfig, KubeconfigError, NamedContext};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::account;
use crate::client::KubeClient;
use crate::proxy;

/// How long it may take to reach the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection without a byte for so long is given up. Longer than the time between two bookmarks of a watch (about a
/// minute) and than any timeout of a single call, so that it only ends connections that are dead.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(5);
/// How long a write to a connection may take.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long an exec plugin may take to log in; it may ask a person.
const LOGIN_TIMEOUT: Duration = Duration::from_mins(5);

/// How to reach a cluster; the default is what `kubectl` would take.
///
/// ```
/// use eve_k8s::KubeConfigOptions;
/// let options = KubeConfigOptions::default().with_context("prod".to_owned()).with_as_user(None);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct KubeConfigOptions {
    /// Empty: what the environment says.
    kubeconfigs: Vec<PathBuf>,
    context: Option<String>,
    as_user: Option<String>,
    as_groups: Vec<String>,
    request_timeout: Duration,
}

impl Default for KubeConfigOptions {
    /// `KUBECONFIG`, else `~/.kube/config`, else the pod's own account; the current context; 30 s for a request.
    fn default() -> Self {
        Self {
            kubeconfigs: Vec::new(),
            context: None,
            as_user: None,
            as_groups: Vec::new(),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl KubeConfigOptions {
    /// The one kubeconfig to read, in place of `KUBECONFIG` and `~/.kube/config`.
    #[must_use]
    pub fn with_kubeconfig(self, path: impl Into<Option<PathBuf>>) -> Self {
        self.with_kubeconfigs(path.into().into_iter().collect())
    }

    /// The kubeconfigs to read and merge, the first before the others; all must exist. None: as the environment says.
    #[must_use]
    pub fn with_kubeconfigs(mut self, paths: Vec<PathBuf>) -> Self {
        self.kubeconfigs = paths;
        self
    }

    /// The context to take, in place of the current one.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<Option<String>>) -> Self {
        self.context = context.into();
        self
    }

    /// The user to act as (impersonation).
    #[must_use]
    pub fn with_as_user(mut self, user: impl Into<Option<String>>) -> Self {
        self.as_user = user.into();
        self
    }

    /// The groups of the user to act as; needs a user.
    #[must_use]
    pub fn with_as_groups(mut self, groups: Vec<String>) -> Self {
        self.as_groups = groups;
        self
    }

    /// How long one request may take, its answer included; a watch only until its answer begins.
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }
}

/// No client could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no kubeconfig, and this is no pod.
    #[error("no kubeconfig found; looked for {}", list(.looked_for.iter().map(|path| path.display().to_string())))]
    NoKubeconfig {
        /// Where one was looked for.
        looked_for: Vec<PathBuf>,
    },
    /// A kubeconfig cannot be read.
    #[error("the kubeconfig {} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        #[source]
        source: std::io::Error,
    },
    /// A kubeconfig is not what it should be. The text is not quoted: it may hold a token.
    #[error("the kubeconfig {} is not valid{}", .path.display(), at(.line.as_ref()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where that is known.
        line: Option<u64>,
    },
    /// No context was asked for, and none is current.
    #[error("no current context in {}", paths(.files))]
    NoCurrentContext {
        /// The kubeconfig files.
        files: Vec<PathBuf>,
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// The context does not exist.
    #[error("no context `{context}` in {}", paths(.files))]
    UnknownContext {
        /// What was asked for.
        context: String,
        /// The kubeconfig files.
        files: Vec<PathBuf>,
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// A context names a cluster or a user that does not exist.
    #[error("context `{context}` names the {what} `{name}`, which is not in {}", paths(.files))]
    Dangling {
        /// The context.
        context: String,
        /// `cluster` or `user`.
        what: &'static str,
        /// The name.
        name: String,
        /// The kubeconfig files.
        files: Vec<PathBuf>,
    },
    /// The address of a cluster, or of the proxy to it, is no URL.
    #[error("the {what} `{url}` of cluster `{cluster}` is no URL")]
    BadUrl {
        /// `server` or `proxy`.
        what: &'static str,
        /// What stands there.
        url: String,
        /// The cluster.
        cluster: String,
    },
    /// The certificate authority of a cluster cannot be read.
    #[error("the certificate authority of cluster `{cluster}` cannot be read: {reason}")]
    BadAuthority {
        /// The cluster.
        cluster: String,
        /// What is wrong.
        reason: String,
    },
    /// The pod's account cannot be read.
    #[error("the service account of this pod cannot be used: {reason}")]
    InCluster {
        /// What is wrong.
        reason: String,
    },
    /// Credentials could not be had or cannot be used.
    #[error("no credentials for {server}: {reason}")]
    Credentials {
        /// The API server.
        server: String,
        /// What went wrong; no output of a plugin but its last line on stderr.
        reason: String,
    },
    /// Groups were given without the user to act as.
    #[error("`--as-group` needs `--as`")]
    GroupsWithoutUser,
}

impl ConnectError {
    /// What the retry rule reads.
    pub const fn class(&self) -> FailureClass {
        if matches!(self, Self::GroupsWithoutUser) { FailureClass::Misuse } else { FailureClass::Permanent }
    }

    /// A stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoKubeconfig { .. } => "k8s.config.none",
            Self::Unreadable { .. } => "k8s.config.unreadable",
            Self::Invalid { .. } => "k8s.config.invalid",
            Self::NoCurrentContext { .. } => "k8s.config.no-context",
            Self::UnknownContext { .. } => "k8s.config.unknown-context",
            Self::Dangling { .. } => "k8s.config.dangling",
            Self::BadUrl { .. } => "k8s.config.bad-url",
            Self::BadAuthority { .. } => "k8s.config.bad-authority",
            Self::InCluster { .. } => "k8s.config.in-cluster",
            Self::Credentials { .. } => "k8s.config.credentials",
            Self::GroupsWithoutUser => "k8s.config.groups-without-user",
        }
    }

    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoKubeconfig { .. } => {
                Some("name one with `--kubeconfig FILE` or in the variable KUBECONFIG".to_owned())
            }
            Self::NoCurrentContext { known, .. } => {
                Some(format!("choose one with `--context`: {}", names(known)))
            }
            Self::UnknownContext { context, known, .. } => {
                Some(match closest(context, known.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known contexts: {}", names(known)),
                })
            }
            Self::Credentials { .. } => Some("log in again, or check the user in the kubeconfig".to_owned()),
            Self::Unreadable { .. }
            | Self::Invalid { .. }
            | Self::Dangling { .. }
            | Self::BadUrl { .. }
            | Self::BadAuthority { .. }
            | Self::InCluster { .. }
            | Self::GroupsWithoutUser => None,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let failure = Self::new(error.class(), error.code(), error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// Installs ring as the cryptography of TLS for this process, unless the host has chosen one already. Called by
/// [`connect`]; an embedder that builds its own [`kube::Client`] calls it once before.
pub fn init() {
    // An error says that somebody was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for the cluster that `options` choose: the kubeconfig's, else that of the pod this runs in.
///
/// Makes no request. The client retries nothing. Must be called inside a tokio runtime.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(options: &KubeConfigOptions) -> Result<KubeClient, ConnectError> {
    init();
    if options.as_user.is_none() && !options.as_groups.is_empty() {
        return Err(ConnectError::GroupsWithoutUser);
    }
    let mut config = configuration(options)?;
    let server = config.cluster_url.to_string();
    let refused = |reason: String| ConnectError::Credentials { server: server.clone(), reason };
    if !fits_header(&config.auth_info) {
        return Err(refused(
            "the token has characters that no header can hold, such as a line break".to_owned(),
        ));
    }
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(SILENCE_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.reset_reader_on_write = true;
    if let Some(user) = &options.as_user {
        config.auth_info.impersonate = Some(user.clone());
        config.auth_info.impersonate_groups = Some(options.as_groups.clone());
    }
    let own = config.auth_info.impersonate.is_some().then(|| {
        let mut own = config.clone();
        (own.auth_info.impersonate, own.auth_info.impersonate_groups) = (None, None);
        own
    });
    // An exec plugin blocks while it runs.
    let built = tokio::task::spawn_blocking(move || {
        let own = own.map(Client::try_from).transpose()?;
        let client = KubeClient::new(Client::try_from(config)?);
        Ok::<_, kube::Error>(own.into_iter().fold(client, KubeClient::with_own))
    });
    let client = match tokio::time::timeout(LOGIN_TIMEOUT, built).await {
        Err(_) => Err(refused(format!("the login did not end within {} s", LOGIN_TIMEOUT.as_secs()))),
        Ok(Err(_)) => Err(refused("the login was broken off".to_owned())),
        Ok(Ok(Err(error))) => Err(refused(login_reason(&error))),
        Ok(Ok(Ok(client))) => Ok(client),
    }?;
    Ok(client.with_request_timeout(options.request_timeout).with_server(server))
}

/// Whether the token, if there is one, can be sent: the client panics over one that cannot.
fn fits_header(user: &AuthInfo) -> bool {
    let user = serde_json::to_value(user).unwrap_or_default();
    let token = user.get("token").and_then(serde_json::Value::as_str).unwrap_or_default();
    http::HeaderValue::from_str(token).is_ok()
}

/// The namespace of the context that `options` choose, or of the pod this runs in; `default` where none is stated.
///
/// Reads the kubeconfig; makes no request and runs no exec plugin.
///
/// # Errors
/// [`ConnectError`].
pub fn context_namespace(options: &KubeConfigOptions) -> Result<String, ConnectError> {
    Ok(configuration(options)?.default_namespace)
}

/// What `options` mean at this moment, so that another process can be told to take the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The files that were read, in order of precedence, as they were named. Empty in a pod.
    pub kubeconfigs: Vec<PathBuf>,
    /// The context. `None` in a pod.
    pub context: Option<String>,
}

/// Which files and which context `options` choose now. Makes no request and runs no exec plugin.
///
/// # Errors
/// [`ConnectError`].
pub fn chosen(options: &KubeConfigOptions) -> Result<Chosen, ConnectError> {
    let Some((kubeconfigs, kubeconfig)) = read(&options.kubeconfigs)? else { return Ok(Chosen::default()) };
    let context = options.context.clone().or(kubeconfig.current_context);
    Ok(Chosen { kubeconfigs, context })
}

/// Why a client could not be built, without the output of a plugin, which may hold a token, and without its command:
/// arguments and environment may hold secrets.
pub(crate) fn login_reason(error: &kube::Error) -> String {
    if let kube::Error::Auth(kube::client::AuthError::AuthExecRun { cmd: _, out }) = error {
        let last = String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or_default().trim().to_owned();
        return format!("the exec plugin failed ({}): {last}", out.status);
    }
    if let kube::Error::Auth(kube::client::AuthError::AuthExecParse(_)) = error {
        return "the answer of the exec plugin is no ExecCredential".to_owned();
    }
    let text = crate::error::innermost(error).to_string();
    text.split(' ').map(proxy::without_login).collect::<Vec<_>>().join(" ")
}

fn configuration(options: &KubeConfigOptions) -> Result<Config, ConnectError> {
    let environment = |name: &str| env::var(name).ok();
    if let Some((files, kubeconfig)) = read(&options.kubeconfigs)? {
        return from_kubeconfig(&kubeconfig, &files, options.context.as_deref(), &environment);
    }
    let looked_for = places(&options.kubeconfigs);
    if env::var_os(account::HOST).is_none() || options.context.is_some() {
        return Err(ConnectError::NoKubeconfig { looked_for });
    }
    let mut config = account::configuration(Path::new(account::FOLDER), &environment)
        .map_err(|reason| ConnectError::InCluster { reason })?;
    config.proxy_url = proxy::choose(None, &config.cluster_url, &environment)
        .map_err(|url| ConnectError::BadUrl { what: "proxy", url, cluster: "in-cluster".to_owned() })?;
    Ok(config)
}

/// The files to read, in order of precedence.
fn places(chosen: &[PathBuf]) -> Vec<PathBuf> {
    if !chosen.is_empty() {
        return chosen.to_vec();
    }
    let listed = env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> =
        env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if !listed.is_empty() {
        return listed;
    }
    env::home_dir().map(|home| home.join(".kube").join("config")).into_iter().collect()
}

/// Reads and merges the kubeconfig files that exist, as kubectl does: one that was chosen by name must exist.
fn read(chosen: &[PathBuf]) -> Result<Option<(Vec<PathBuf>, Kubeconfig)>, ConnectError> {
    let mut merged = Kubeconfig::default();
    let mut files = Vec::new();
    for path in places(chosen) {
        if chosen.is_empty() && !path.exists() {
            continue;
        }
        let read = Kubeconfig::read_from(&path).map_err(|error| unreadable(path.clone(), error))?;
        merged = merged.merge(read).map_err(|error| unreadable(path.clone(), error))?;
        files.push(path);
    }
    // A file without any cluster is what some tools leave behind; in a pod it must not hide the pod's own account.
    let empty = merged.clusters.is_empty() && merged.contexts.is_empty();
    let none = files.is_empty() || (empty && chosen.is_empty() && env::var_os(account::HOST).is_some());
    Ok((!none).then_some((files, merged)))
}

fn unreadable(path: PathBuf, error: KubeconfigError) -> ConnectError {
    if let KubeconfigError::ReadConfig(source, path) = error {
        return ConnectError::Unreadable { path, source };
    }
    let KubeconfigError::Parse(error) = error else { return ConnectError::Invalid { path, line: None } };
    let line = error.location().map(|location| location.line()).filter(|&line| line > 0);
    ConnectError::Invalid { path, line }
}

fn from_kubeconfig(
    kubeconfig: &Kubeconfig,
    files: &[PathBuf],
    context: Option<&str>,
    environment: proxy::Environment<'_>,
) -> Result<Config, ConnectError> {
    let known = || kubeconfig.contexts.iter().map(|context| context.name.clone()).collect::<Vec<_>>();
    let files = files.to_vec();
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let Some(name) = context.or(current) else {
        return Err(ConnectError::NoCurrentContext { files, known: known() });
    };
    let found = kubeconfig.contexts.iter().find(|context| context.name == name);
    let Some(NamedContext { context: Some(found), .. }) = found else {
        return Err(ConnectError::UnknownContext { context: name.to_owned(), files, known: known() });
    };
    let dangling = |what, missing: &str| ConnectError::Dangling {
        context: name.to_owned(),
        what,
        name: missing.to_owned(),
        files: files.clone(),
    };
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == found.cluster);
    let cluster = cluster.and_then(|named| named.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| dangling("cluster", &found.cluster))?;
    let user = match found.user.as_deref().filter(|user| !user.is_empty()) {
        None => AuthInfo::default(),
        Some(user) => {
            let named = kubeconfig.auth_infos.iter().find(|named| named.name == user);
            named.and_then(|named| named.auth_info.clone()).ok_or_else(|| dangling("user", user))?
        }
    };
    let mut config = with_cluster(cluster, &found.cluster, user, environment)?;
    if let Some(namespace) = found.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        namespace.clone_into(&mut config.default_namespace);
    }
    Ok(config)
}

fn with_cluster(
    cluster: &Cluster,
    name: &str,
    mut user: AuthInfo,
    environment: proxy::Environment<'_>,
) -> Result<Config, ConnectError> {
    let bad_url = |what, url: &str| ConnectError::BadUrl {
        what,
        url: proxy::without_password(url),
        cluster: name.to_owned(),
    };
    let bad_authority = |reason: String| ConnectError::BadAuthority { cluster: name.to_owned(), reason };
    let server = cluster.server.as_deref().unwrap_or_default();
    // User and password in it mean nothing to an API server, and would be in every message.
    let url: http::Uri = proxy::without_login(server).parse().map_err(|_| bad_url("server", server))?;
    if url.host().is_none() || url.scheme().is_none() {
        return Err(bad_url("server", server));
    }
    let auth_cluster = ExecAuthCluster::try_from(cluster).map_err(|error| {
        let file =
            cluster.certificate_authority.as_deref().filter(|_| cluster.certificate_authority_data.is_none());
        let file = file.map_or_else(String::new, |file| format!("{file}: "));
        bad_authority(format!("{file}{}", crate::error::innermost(&error)))
    })?;
    let mut config = Config::new(url);
    config.proxy_url = proxy::choose(cluster.proxy_url.as_deref(), &config.cluster_url, environment)
        .map_err(|url| bad_url("proxy", &url))?;
    if let Some(pem) = &auth_cluster.certificate_authority_data {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.map_err(|error| bad_authority(error.to_string()))?;
        if certificates.is_empty() {
            return Err(bad_authority("it holds no certificate".to_owned()));
        }
        config.root_cert = Some(certificates.iter().map(|certificate| certificate.to_vec()).collect());
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    if let Some(exec) = &mut user.exec
        && exec.provide_cluster_info
    {
        exec.cluster = Some(auth_cluster);
    }
    config.auth_info = user;
    Ok(config)
}

fn list(names: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = names.collect();
    if all.is_empty() { "nothing: there is no home directory".to_owned() } else { all.join(", ") }
}

fn paths(all: &[PathBuf]) -> String {
    list(all.iter().map(|path| path.display().to_string()))
}

/// A few names, each once, ordered.
fn names(known: &[String]) -> String {
    let ordered: BTreeSet<&String> = known.iter().collect();
    if ordered.is_empty() { "there is none".to_owned() } else { few(ordered) }
}

fn at(line: Option<&u64>) -> String {
    line.map(|line| format!(": line {line}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    const TWO: &str = r#"
apiVersion: v1
kind: Config
current-context: staging
clusters:
- { name: east, cluster: { server: "https://east.example.com:6443" } }
- { name: odd, cluster: { server: "not a url" } }
users:
- { name: me, user: { token: sesame } }
contexts:
- { name: staging, context: { cluster: east, user: me, namespace: shop } }
- { name: production, context: { cluster: east, user: me } }
- { name: no-user, context: { cluster: east, user: who } }
- { name: no-cluster, context: { cluster: west, user: me } }
- { name: odd, context: { cluster: odd, user: me } }
"#;

    fn load(text: &str, context: Option<&str>) -> Result<Config, ConnectError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let (files, kubeconfig) = read(&[file.path().to_owned()])?.unwrap();
        let environment = |name: &str| (name == "HTTPS_PROXY").then(|| "http://proxy:3128".to_owned());
        from_kubeconfig(&kubeconfig, &files, context, &environment)
    }

    #[test]
    fn a_context_gives_cluster_user_and_namespace() {
        let config = load(TWO, None).unwrap();
        assert_eq!(config.cluster_url, "https://east.example.com:6443/");
        assert_eq!(config.default_namespace, "shop");
        assert_eq!(config.proxy_url, Some("http://proxy:3128".parse().unwrap()));
        assert!(config.auth_info.token.is_some());
        assert_eq!(load(TWO, Some("production")).unwrap().default_namespace, "default");
    }

    #[test]
    fn what_is_wrong_with_a_kubeconfig_is_named() {
        for (text, context, code, part, hint) in [
            (
                TWO,
                Some("prodction"),
                "k8s.config.unknown-context",
                "no context `prodction`",
                "did you mean `production`?",
            ),
            (
                TWO,
                Some("x"),
                "k8s.config.unknown-context",
                "no context `x`",
                "no-cluster, no-user, odd, production, staging",
            ),
            (TWO, Some("no-user"), "k8s.config.dangling", "names the user `who`", ""),
            (TWO, Some("no-cluster"), "k8s.config.dangling", "names the cluster `west`", ""),
            (TWO, Some("odd"), "k8s.config.bad-url", "server `not a url` of cluster `odd`", ""),
            ("contexts: []", None, "k8s.config.no-context", "no current context", "there is none"),
            ("users:\n- name: me\n  user: { token: [sesame] }\n", None, "k8s.config.invalid", ": line ", ""),
        ] {
            let error = load(text, context).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
            let shown = format!("{} {:?}", error, crate::error::innermost(&error).to_string());
            assert!(!shown.contains("sesame"), "{shown}");
        }
    }

    #[test]
    fn a_login_in_an_address_is_nowhere_shown() {
        let login = |server: &str| TWO.replace("https://east.example.com:6443", server);
        let config = load(&login("https://user:hunter2@east.example.com:6443"), None).unwrap();
        assert_eq!(config.cluster_url, "https://east.example.com:6443/");
        let error = load(&login("https://user:hunter2@east example com"), None).unwrap_err().to_string();
        assert!(error.contains("east example com") && !error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn what_may_hold_a_secret_is_not_told_of_a_login_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let exec = |script: &str| {
            let interface = "client.authentication.k8s.io/v1";
            let env = [json!({ "name": "A", "value": "hunter2" })];
            json!({ "exec": { "apiVersion": interface, "command": "sh", "args": ["-c", script, "hunter2"], "env": env, "interactiveMode": "Never" } })
        };
        for (user, part) in [
            (json!({ "token": "hunter2\n" }), "no header can hold"),
            (exec("echo hunter2; echo no >&2; exit 3"), "the exec plugin failed (exit status: 3): no"),
        ] {
            let text = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
                "clusters": [{ "name": "c", "cluster": { "server": "https://127.0.0.1:1" } }],
                "users": [{ "name": "u", "user": user }],
            });
            std::fs::write(&path, text.to_string()).unwrap();
            let options = KubeConfigOptions::default().with_kubeconfig(path.clone());
            let error = connect(&options).await.unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_was_chosen_chooses_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        std::fs::write(&first, "apiVersion: v1\nkind: Config\ncurrent-context: production\n").unwrap();
        std::fs::write(&second, TWO).unwrap();
        let options = KubeConfigOptions::default().with_kubeconfigs(vec![first, second]);
        let first = chosen(&options).unwrap();
        assert_eq!(first.context.as_deref(), Some("production"), "the first file that says so");
        let again = KubeConfigOptions::default()
            .with_kubeconfigs(first.kubeconfigs.clone())
            .with_context(first.context.clone());
        assert_eq!(chosen(&again).unwrap(), first);
        assert_eq!(context_namespace(&again).unwrap(), context_namespace(&options).unwrap());
        let named = chosen(&options.with_context("staging".to_owned())).unwrap();
        assert_eq!(named.context.as_deref(), Some("staging"));
    }

    #[test]
    fn a_chosen_file_must_exist() {
        let error = read(&[PathBuf::from("/does/not/exist")]).unwrap_err();
        assert_eq!(error.to_string(), "the kubeconfig /does/not/exist cannot be read");
    }

    #[tokio::test]
    async fn groups_need_a_user() {
        let options = KubeConfigOptions::default().with_as_groups(vec!["a".to_owned()]);
        assert_eq!(connect(&options).await.unwrap_err().class(), FailureClass::Misuse);
    }
}
