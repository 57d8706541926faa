//! Starts, restarts and stops one control plane. Command lines are in `launch`, processes in `shepherd`; here is only
//! the order of things and what "ready" means. Start reading at [`ControlPlane::start`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use kube::Client;
use kube::config::Kubeconfig;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::api::{self, Asked};
use crate::audit::Audit;
use crate::error::{TestbedError, give_up};
use crate::launch::{ADMIN, EVE, Layout};
use crate::objects;
use crate::servers::{self, Programs, Server};
use crate::shepherd::{Process, Shepherd, tail};

mod faults;
mod namespace;
mod options;

pub use namespace::TestNamespace;
pub use options::Options;

/// Far more than the 5 s that a start takes on two idle cores: builds of several crates may run beside it.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How often a start is tried when a port was taken by somebody else between the search and the use.
const START_TRIES: u32 = 3;

/// A running control plane of its own: etcd, kube-apiserver, controllers, scheduler, and kwok playing the nodes.
///
/// All of it listens on 127.0.0.1 and lives in a temporary folder. When the value is dropped, or the process ends in
/// whatever way, the servers are killed and the folder is removed.
#[derive(Debug)]
pub struct ControlPlane {
    // Fields are dropped in this order: the shepherd kills the processes, then they are reaped.
    shepherd: Shepherd,
    processes: Mutex<BTreeMap<Server, Process>>,
    layout: Layout,
    programs: Programs,
    admin: Kubeconfig,
    eve: Kubeconfig,
    audit: Audit,
    namespaces: AtomicU32,
    has_controllers: bool,
}

impl ControlPlane {
    /// The one control plane of this process, started by the first caller; use a [`ControlPlane::namespace`] per test.
    ///
    /// It belongs to no runtime, so every `#[tokio::test]` may use it. Cancel safe: a start that is dropped half-way is
    /// cleaned up, and the next caller starts anew.
    ///
    /// # Panics
    /// With the reason, for every caller, if it does not start: a test must fail then, never be skipped.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        let started = SHARED
            .get_or_init(|| async { Self::start(Options::default()).await.map_err(|error| error.chain()) });
        match started.await {
            Ok(control_plane) => control_plane,
            Err(reason) => give_up("the shared control plane did not start", reason),
        }
    }

    /// Builds what is missing, starts a control plane and waits until `/readyz` says ok, every node is ready and
    /// untainted, and the namespace `default` has its default service account (where there are controllers).
    ///
    /// Cancel safe: dropping the future ends what was started.
    ///
    /// # Errors
    /// The errors of [`servers::ensure`]; [`TestbedError::Died`] and [`TestbedError::TimedOut`] with the end of the
    /// server's log when a server does not come up.
    pub async fn start(options: Options) -> Result<Self, TestbedError> {
        let wanted: Vec<_> = options.servers().collect();
        let programs = tokio::task::spawn_blocking(move || servers::ensure(&wanted))
            .await
            .map_err(|error| TestbedError::io("build the servers")(std::io::Error::other(error)))??;
        let mut tries = 1;
        loop {
            match Self::start_once(&options, &programs).await {
                Err(TestbedError::Died { log, .. })
                    if tries < START_TRIES && log.contains("address already in use") =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_once(options: &Options, programs: &Programs) -> Result<Self, TestbedError> {
        let folder = tempfile::Builder::new()
            .prefix("eve-testbed-")
            .tempdir()
            .map_err(TestbedError::io("create a temporary folder"))?;
        let shepherd = Shepherd::start(folder.path())?;
        // From here on it is the shepherd's to remove, since it must go even when this process is killed.
        let folder = folder.keep();
        let layout = Layout::create(&folder)?;
        let read = |user| Kubeconfig::read_from(layout.kubeconfig_path(user));
        let admin = read(ADMIN)?;
        let control_plane = Self {
            audit: Audit::new(layout.audit_log(), admin.clone()),
            admin,
            eve: read(EVE)?,
            shepherd,
            processes: Mutex::default(),
            programs: programs.clone(),
            layout,
            namespaces: AtomicU32::new(0),
            has_controllers: options.has_controllers(),
        };
        for server in [Server::Etcd, Server::KubeApiserver] {
            control_plane.spawn(server)?;
        }
        control_plane.api_server_ready().await?;
        for server in
            options.servers().filter(|server| !matches!(server, Server::Etcd | Server::KubeApiserver))
        {
            control_plane.spawn(server)?;
        }
        control_plane.furnish(options).await?;
        Ok(control_plane)
    }

    /// Creates what a cluster has before anybody uses it, and waits until the controllers have seen it.
    async fn furnish(&self, options: &Options) -> Result<(), TestbedError> {
        let client = api::client(self.admin.clone()).await?;
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        api::text(&client, Method::POST, path, Some(&objects::eve_binding())).await?;
        for class in objects::storage_classes() {
            api::text(&client, Method::POST, "/apis/storage.k8s.io/v1/storageclasses", Some(&class)).await?;
        }
        for index in 0..options.nodes {
            let node = objects::node(index, self.layout.kubelet_port);
            api::text(&client, Method::POST, "/api/v1/nodes", Some(&node)).await?;
        }
        self.until("usable nodes", async || {
            let list = api::json(&client, Method::GET, "/api/v1/nodes", None).await?;
            let items = list.get("items").and_then(|items| items.as_array()).map_or(&[][..], Vec::as_slice);
            let usable = items.iter().filter(|node| objects::is_usable(node)).count();
            Ok(if usable == usize::from(options.nodes) {
                Asked::Done(())
            } else {
                Asked::NotYet(format!("{usable} of {}", options.nodes))
            })
        })
        .await?;
        if self.has_controllers {
            self.default_account(&client, "default").await?;
        }
        Ok(())
    }

    async fn default_account(&self, client: &Client, namespace: &str) -> Result<(), TestbedError> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        let what = format!("the default service account of namespace {namespace}");
        self.until(&what, async || match api::text(client, Method::GET, &path, None).await {
            Ok(_) => Ok(Asked::Done(())),
            Err(TestbedError::Api { source, .. }) => Ok(Asked::NotYet(source.to_string())),
            Err(error) => Err(error),
        })
        .await
    }

    /// Waits until the API server says that it is ready.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn api_server_ready(&self) -> Result<(), TestbedError> {
        let client = api::client(self.admin.clone()).await?;
        self.until("/readyz of the API server", async || {
            match api::text(&client, Method::GET, "/readyz", None).await {
                Ok(answer) if answer.trim() == "ok" => Ok(Asked::Done(())),
                Ok(answer) => Ok(Asked::NotYet(answer)),
                Err(TestbedError::Api { source, .. }) => Ok(Asked::NotYet(source.to_string())),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Waits, but not for the dead: the end of a server ends the wait with its log.
    async fn until<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> Result<Asked<T>, TestbedError>,
    ) -> Result<T, TestbedError> {
        let result = api::until(what, START_LIMIT, async || {
            // Bound to a name so that the lock is free again before the await.
            let death = self.processes().values_mut().find_map(Process::death);
            match death {
                Some(death) => Err(death),
                None => ask().await,
            }
        })
        .await;
        match result {
            Err(TestbedError::TimedOut { what, waited, .. }) => {
                let log =
                    format!("; the end of the API server's log:\n{}", tail(&self.log(Server::KubeApiserver)));
                Err(TestbedError::TimedOut { what, waited, log })
            }
            other => other,
        }
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<Server, Process>> {
        // A panic while the lock is held leaves the map whole: every change is one insert or remove.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, server: Server) -> Result<(), TestbedError> {
        let process = self.shepherd.spawn(server, &self.programs.path(server), &self.layout.args(server))?;
        self.processes().insert(server, process);
        Ok(())
    }

    /// Makes a fresh namespace named `<prefix>-<number>` and waits until pods can be created in it, where there are controllers.
    ///
    /// # Panics
    /// With the reason if the API server refuses, or the controllers do not react.
    pub async fn namespace(&self, prefix: &str) -> TestNamespace {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{number}");
        match self.try_namespace(&name).await {
            Ok(()) => TestNamespace { name },
            Err(error) => give_up(&format!("namespace {name} cannot be used"), &error.chain()),
        }
    }

    async fn try_namespace(&self, name: &str) -> Result<(), TestbedError> {
        let client = api::client(self.admin.clone()).await?;
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        api::text(&client, Method::POST, "/api/v1/namespaces", Some(&namespace)).await?;
        if self.has_controllers {
            self.default_account(&client, name).await?;
        }
        Ok(())
    }

    /// The kubeconfig of the user `eve`, a cluster administrator through RBAC: the identity of the program under test.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.layout.kubeconfig_path(EVE)
    }

    /// The kubeconfig of the user `admin` (`system:masters`): for what a test arranges, so that the audit log can tell.
    pub fn admin_kubeconfig_path(&self) -> PathBuf {
        self.layout.kubeconfig_path(ADMIN)
    }

    /// A kubeconfig by which `eve` shows a client certificate instead of a token.
    pub fn certificate_kubeconfig_path(&self) -> PathBuf {
        self.layout.certificate_kubeconfig_path()
    }

    /// The base address of the API server, such as `https://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        self.layout.url()
    }

    /// The certificate, in PEM, of the authority that signed the API server's.
    pub fn ca_path(&self) -> PathBuf {
        self.layout.certificates.ca.clone()
    }

    /// The file into which the API server writes its audit events, one JSON object per line.
    pub fn audit_log_path(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// The audit log: who asked the API server for what.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The folder with everything of this control plane, among it `logs/<server>.log`. It goes with the control plane.
    pub fn folder(&self) -> &Path {
        &self.layout.folder
    }

    /// A new client as the user `admin`, for the calling runtime; no retries.
    ///
    /// # Panics
    /// If the kubeconfig that the testbed wrote is unusable.
    pub async fn admin_client(&self) -> Client {
        client_or_give_up(&self.admin).await
    }

    /// A new client as the user `eve`, for the calling runtime; no retries.
    ///
    /// # Panics
    /// If the kubeconfig that the testbed wrote is unusable.
    pub async fn eve_client(&self) -> Client {
        client_or_give_up(&self.eve).await
    }

    /// The log of a server.
    pub fn log(&self, server: Server) -> PathBuf {
        self.layout.folder.join("logs").join(format!("{}.log", server.name()))
    }

    /// Ends all servers and removes the folder; the same as dropping it, without blocking the runtime.
    pub async fn stop(self) {
        // The only error is a runtime that shuts down, and then the value is dropped all the same.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

async fn client_or_give_up(kubeconfig: &Kubeconfig) -> Client {
    match api::client(kubeconfig.clone()).await {
        Ok(client) => client,
        Err(error) => give_up("no client for the control plane", &error.chain()),
    }
}
