//! What tests do to single servers of a running control plane: kill, revive, pause, make forget.

use http::Method;
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::ControlPlane;
use crate::api;
use crate::error::TestbedError;
use crate::servers::Server;
use crate::shepherd::{Process, Signal};

impl ControlPlane {
    /// The process id of a server, if it was started.
    pub fn process_id(&self, server: Server) -> Option<u32> {
        self.processes().get(&server).map(Process::id)
    }

    /// Kills a server with SIGKILL and returns when it is gone. Nothing happens if it does not run.
    pub fn kill(&self, server: Server) {
        let process = self.processes().remove(&server);
        if let Some(process) = process {
            process.kill();
        }
        if server == Server::KubeApiserver {
            self.audit().give_up_open();
        }
    }

    /// Starts a server that was killed, on its old port with its old data. Does not wait until it works.
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the program cannot be started.
    pub fn revive(&self, server: Server) -> Result<(), TestbedError> {
        self.kill(server);
        self.spawn(server)
    }

    /// Stops a server from running without ending it (SIGSTOP): its connections stay open and nobody answers.
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the signal cannot be sent.
    pub fn pause(&self, server: Server) -> Result<(), TestbedError> {
        self.processes().get(&server).map_or(Ok(()), |process| process.signal(Signal::Stop))
    }

    /// Lets a paused server go on (SIGCONT).
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the signal cannot be sent.
    pub fn resume(&self, server: Server) -> Result<(), TestbedError> {
        self.processes().get(&server).map_or(Ok(()), |process| process.signal(Signal::Continue))
    }

    /// Kills the API server, starts it again on the same port and waits until it is ready.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn restart_api_server(&self) -> Result<(), TestbedError> {
        self.revive(Server::KubeApiserver)?;
        self.api_server_ready().await
    }

    /// Makes etcd forget every revision but the current one: who still needs an older one is told that it is gone.
    ///
    /// # Errors
    /// [`TestbedError`] if etcd refuses, or cannot be asked.
    pub async fn compact_etcd(&self) -> Result<(), TestbedError> {
        let kubeconfig = Kubeconfig::from_yaml(&self.layout.etcd_kubeconfig().to_string())?;
        let client = api::client(kubeconfig).await?;
        // Of a range of nothing the answer still says the revision, as text. Keys are in base64.
        let range = json!({ "key": "AA==", "count_only": true });
        let answer = api::json(&client, Method::POST, "/v3/kv/range", Some(&range)).await?;
        let revision = answer.pointer("/header/revision").and_then(Value::as_str).unwrap_or_default();
        let compaction = json!({ "revision": revision, "physical": true });
        api::text(&client, Method::POST, "/v3/kv/compaction", Some(&compaction)).await.map(drop)
    }
}
