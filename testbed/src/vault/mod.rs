//! Starts one Vault, initialises and unseals it, and gives tests what an operator has. Start reading at [`Vault::start`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::{self, Asked};
use crate::certificates::Certificates;
use crate::error::{TestbedError, give_up};
use crate::launch::free_ports;
use crate::servers::{self, Server};
use crate::shepherd::{Process, Shepherd, Signal, tail};

mod audit;
mod kubernetes;

pub use audit::VaultEntry;

/// Far more than the 3 s of a start on two idle cores: builds may run beside it.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How often a start is tried when a port was taken by somebody else between the search and the use.
const START_TRIES: u32 = 3;

/// The versions of Vault's engine for keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvVersion {
    /// Keeps only what was written last.
    V1,
    /// Keeps versions.
    V2,
}

/// A running Vault of its own, unsealed, on plain HTTP and on HTTPS, with file storage and one audit log.
///
/// All of it listens on 127.0.0.1 and lives in a temporary folder. When the value is dropped, or the process ends in
/// whatever way, the server is killed and the folder is removed.
#[derive(Debug)]
pub struct Vault {
    // Fields are dropped in this order: the shepherd kills the process, then it is reaped.
    shepherd: Shepherd,
    process: Mutex<Option<Process>>,
    folder: PathBuf,
    program: PathBuf,
    ports: [u16; 2],
    certificates: Certificates,
    keys: Keys,
    mounts: AtomicU32,
}

/// What `sys/init` gave out.
#[derive(Debug, Default)]
struct Keys {
    root_token: String,
    unseal_key: String,
}

impl Vault {
    /// The one Vault of this process, started by the first caller; use a [`Vault::kv`] per test.
    ///
    /// Who seals, pauses or kills it disturbs others: [`Vault::start`] one for that. Cancel safe, as
    /// [`ControlPlane::shared`](crate::ControlPlane::shared).
    ///
    /// # Panics
    /// With the reason, for every caller, if it does not start: a test must fail then, never be skipped.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<Vault, String>> = OnceCell::const_new();
        match SHARED.get_or_init(|| async { Self::start().await.map_err(|error| error.chain()) }).await {
            Ok(vault) => vault,
            Err(reason) => give_up("the shared Vault did not start", reason),
        }
    }

    /// Builds it if it is missing, starts it, initialises and unseals it, and switches its audit log on.
    ///
    /// There are no mounts for secrets yet. Cancel safe: dropping the future ends what was started.
    ///
    /// # Errors
    /// The errors of [`servers::ensure`]; [`TestbedError::Died`] and [`TestbedError::TimedOut`] with the end of the
    /// server's log when it does not come up.
    pub async fn start() -> Result<Self, TestbedError> {
        let programs = tokio::task::spawn_blocking(|| servers::ensure(&[Server::Vault]))
            .await
            .map_err(|error| TestbedError::io("build Vault")(std::io::Error::other(error)))??;
        let program = programs.path(Server::Vault);
        let mut tries = 1;
        loop {
            match Self::start_once(&program).await {
                Err(TestbedError::Died { log, .. })
                    if tries < START_TRIES && log.contains("address already in use") =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_once(program: &Path) -> Result<Self, TestbedError> {
        let folder = tempfile::Builder::new()
            .prefix("eve-testbed-")
            .tempdir()
            .map_err(TestbedError::io("create a temporary folder"))?;
        let shepherd = Shepherd::start(folder.path())?;
        // From here on it is the shepherd's to remove, since it must go even when this process is killed.
        let folder = folder.keep();
        let mut vault = Self {
            shepherd,
            process: Mutex::default(),
            certificates: Certificates::create(&folder)?,
            folder,
            program: program.to_owned(),
            ports: free_ports()?,
            keys: Keys::default(),
            mounts: AtomicU32::new(0),
        };
        let path = vault.folder.join("vault.json");
        fs::write(&path, vault.configuration().to_string())
            .map_err(TestbedError::io(format!("write {}", path.display())))?;
        vault.spawn()?;
        vault.until("answer", |state| state.get("sealed").is_some()).await?;
        vault.keys = vault.initialise().await?;
        vault.unseal().await?;
        let audit = json!({ "type": "file", "options": { "file_path": vault.audit_log_path() } });
        vault.write("sys/audit/file", &audit).await?;
        Ok(vault)
    }

    fn configuration(&self) -> Value {
        let [plain, tls] = self.ports.map(|port| format!("127.0.0.1:{port}"));
        json!({
            // On disk, so that a killed one finds its secrets again.
            "storage": { "file": { "path": self.folder.join("vault") } },
            "listener": [
                { "tcp": { "address": plain, "tls_disable": true } },
                { "tcp": {
                    "address": tls,
                    "tls_cert_file": self.certificates.serving,
                    "tls_key_file": self.certificates.serving_key,
                } },
            ],
            "api_addr": self.address(),
            // Locking memory takes a privilege, and there are no secrets but those of tests.
            "disable_mlock": true,
            "log_level": "warn",
        })
    }

    fn spawn(&self) -> Result<(), TestbedError> {
        let args = ["server".to_owned(), format!("-config={}", self.folder.join("vault.json").display())];
        *self.process() = Some(self.shepherd.spawn(Server::Vault, &self.program, &args)?);
        Ok(())
    }

    async fn initialise(&self) -> Result<Keys, TestbedError> {
        let answer = self.write("sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 })).await?;
        let text = |pointer| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Keys { root_token: text("/root_token"), unseal_key: text("/keys_base64/0") })
    }

    /// Waits until the answer of `sys/seal-status`, which needs no token, is as wished.
    async fn until(&self, what: &str, wished: impl Fn(&Value) -> bool) -> Result<(), TestbedError> {
        let result = api::until(&format!("Vault to {what}"), START_LIMIT, async || {
            let death = self.process().as_mut().and_then(Process::death);
            if let Some(death) = death {
                return Err(death);
            }
            match self.read("sys/seal-status").await {
                Ok(state) if wished(&state) => Ok(Asked::Done(())),
                Ok(state) => Ok(Asked::NotYet(state.to_string())),
                Err(TestbedError::Api { source, .. }) => Ok(Asked::NotYet(source.to_string())),
                Err(error) => Err(error),
            }
        })
        .await;
        match result {
            Err(TestbedError::TimedOut { what, waited, .. }) => {
                let log = format!("; the end of its log:\n{}", tail(&self.log_path()));
                Err(TestbedError::TimedOut { what, waited, log })
            }
            other => other,
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic while the lock is held leaves it whole: every change is one assignment.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks as root. `path` is without `v1/`; the answer is `null` where Vault has nothing to say.
    ///
    /// # Errors
    /// [`TestbedError::Api`] if Vault refuses or does not answer.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, TestbedError> {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig().to_string())?;
        let client = api::client(kubeconfig).await?;
        let answer = api::text(&client, method.clone(), &format!("/v1/{path}"), body).await?;
        if answer.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&answer)
            .map_err(|error| TestbedError::api(format!("{method} {path}"))(kube::Error::SerdeError(error)))
    }

    /// Writes as root.
    ///
    /// # Errors
    /// As [`Vault::ask`].
    pub async fn write(&self, path: &str, body: &Value) -> Result<Value, TestbedError> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Reads as root.
    ///
    /// # Errors
    /// As [`Vault::ask`].
    pub async fn read(&self, path: &str) -> Result<Value, TestbedError> {
        self.ask(Method::GET, path, None).await
    }

    /// Vault as if it were a cluster: it too takes its token as bearer token, and JSON.
    fn kubeconfig(&self) -> Value {
        let user = match self.keys.root_token.as_str() {
            "" => json!({}),
            token => json!({ "token": token }),
        };
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "vault",
            "clusters": [{ "name": "vault", "cluster": { "server": self.address() } }],
            "users": [{ "name": "root", "user": user }],
            "contexts": [{ "name": "vault", "context": { "cluster": "vault", "user": "root" } }],
        })
    }

    /// Mounts a fresh engine for keys and values at `<prefix>-<number>`, and returns that path.
    ///
    /// # Panics
    /// With the reason if Vault refuses.
    pub async fn kv(&self, prefix: &str, version: KvVersion) -> String {
        let path = format!("{prefix}-{}", self.mounts.fetch_add(1, Ordering::Relaxed));
        if let Err(error) = self.try_kv(&path, version).await {
            give_up(&format!("no secrets at {path}"), &error.chain());
        }
        path
    }

    async fn try_kv(&self, path: &str, version: KvVersion) -> Result<(), TestbedError> {
        let number = match version {
            KvVersion::V1 => "1",
            KvVersion::V2 => "2",
        };
        let mount = json!({ "type": "kv", "options": { "version": number } });
        self.write(&format!("sys/mounts/{path}"), &mount).await?;
        // A new mount of version 2 is upgraded in the background and refuses everything until then.
        let listed = match version {
            KvVersion::V1 => return Ok(()),
            KvVersion::V2 => format!("{path}/config"),
        };
        api::until(&format!("the mount {path}"), START_LIMIT, async || match self.read(&listed).await {
            Ok(_) => Ok(Asked::Done(())),
            Err(TestbedError::Api { source, .. }) => Ok(Asked::NotYet(source.to_string())),
            Err(error) => Err(error),
        })
        .await
    }

    /// Seals it: it keeps running and refuses everything with status 503.
    ///
    /// # Errors
    /// As [`Vault::ask`].
    pub async fn seal(&self) -> Result<(), TestbedError> {
        self.write("sys/seal", &json!({})).await?;
        self.until("be sealed", |state| state.get("sealed") == Some(&json!(true))).await
    }

    /// Unseals it and waits until it works.
    ///
    /// # Errors
    /// As [`Vault::ask`].
    pub async fn unseal(&self) -> Result<(), TestbedError> {
        self.write("sys/unseal", &json!({ "key": self.keys.unseal_key })).await?;
        self.until("be unsealed", |state| state.get("sealed") == Some(&json!(false))).await?;
        // Unsealed is not yet active: until then it answers that there is no active node.
        api::until("Vault to be active", START_LIMIT, async || match self.read("sys/health").await {
            Ok(_) => Ok(Asked::Done(())),
            Err(TestbedError::Api { source, .. }) => Ok(Asked::NotYet(source.to_string())),
            Err(error) => Err(error),
        })
        .await
    }

    /// Stops it from running without ending it (SIGSTOP): its connections stay open and nobody answers.
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the signal cannot be sent.
    pub fn pause(&self) -> Result<(), TestbedError> {
        self.process().as_ref().map_or(Ok(()), |process| process.signal(Signal::Stop))
    }

    /// Lets a paused one go on (SIGCONT).
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the signal cannot be sent.
    pub fn resume(&self) -> Result<(), TestbedError> {
        self.process().as_ref().map_or(Ok(()), |process| process.signal(Signal::Continue))
    }

    /// Kills it with SIGKILL and returns when it is gone. Nothing happens if it does not run.
    pub fn kill(&self) {
        let process = self.process().take();
        if let Some(process) = process {
            process.kill();
        }
    }

    /// Starts a killed one again on its old ports with its old data, and unseals it.
    ///
    /// # Errors
    /// As [`Vault::start`].
    pub async fn revive(&self) -> Result<(), TestbedError> {
        self.kill();
        self.spawn()?;
        self.until("answer", |state| state.get("sealed").is_some()).await?;
        self.unseal().await
    }

    /// The process id, if it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// Its address on plain HTTP, such as `http://127.0.0.1:40123`.
    pub fn address(&self) -> String {
        let [plain, _] = self.ports;
        format!("http://127.0.0.1:{plain}")
    }

    /// Its address on HTTPS; the certificate is for `127.0.0.1` and `localhost`, signed by [`Vault::ca_path`].
    pub fn tls_address(&self) -> String {
        let [_, tls] = self.ports;
        format!("https://127.0.0.1:{tls}")
    }

    /// The certificate, in PEM, of the authority that signed the one on HTTPS.
    pub fn ca_path(&self) -> PathBuf {
        self.certificates.ca.clone()
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.keys.root_token
    }

    /// The file into which Vault writes its audit events, one JSON object per line.
    pub fn audit_log_path(&self) -> PathBuf {
        self.folder.join("vault-audit.log")
    }

    /// The log of the server.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("logs").join("vault.log")
    }

    /// The folder with everything of it. It goes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it and removes the folder; the same as dropping it, without blocking the runtime.
    pub async fn stop(self) {
        // The only error is a runtime that shuts down, and then the value is dropped all the same.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}
