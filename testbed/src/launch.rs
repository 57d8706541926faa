//! The command lines of the servers and the small files that they read. It starts nothing and waits for nothing.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::error::TestbedError;
use crate::servers::Server;
use crate::stages;

/// Users that the API server knows by token. Everything but `eve` is in `system:masters`; `eve` is bound to
/// `cluster-admin`, so that it is judged by RBAC like any user.
pub(crate) const EVE: &str = "eve";
/// The user of the testbed itself and of test code that arranges things.
pub(crate) const ADMIN: &str = "admin";
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const KWOK: &str = "kwok";

const CERTIFICATE_KUBECONFIG: &str = "eve-certificate.kubeconfig";

/// What is recorded of a request: who, what, when, and no body, so that no Secret gets into the log. Requests of `eve`
/// are recorded at their start too, which is how a reader knows that none is still on its way to the log.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: Metadata
    users: ["eve"]
  - level: Metadata
    omitStages: ["RequestReceived"]
"#;

/// Everything the command lines need: ports, paths, tokens.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) folder: PathBuf,
    pub(crate) certificates: Certificates,
    etcd_port: u16,
    api_port: u16,
    pub(crate) kubelet_port: u16,
}

impl Layout {
    /// Finds ports and writes all files into `folder`.
    pub(crate) fn create(folder: &Path) -> Result<Self, TestbedError> {
        let [etcd_port, api_port, kubelet_port] = free_ports()?;
        let layout = Self {
            folder: folder.to_owned(),
            certificates: Certificates::create(folder)?,
            etcd_port,
            api_port,
            kubelet_port,
        };
        let mut tokens = String::new();
        for user in [ADMIN, EVE, CONTROLLER_MANAGER, SCHEDULER, KWOK] {
            let token = random_token()?;
            let groups = if user == EVE { "" } else { ",system:masters" };
            tokens = tokens + &token + "," + user + "," + user + groups + "\n";
            layout.write(
                &kubeconfig_name(user),
                &layout.kubeconfig(user, &json!({ "token": token })).to_string(),
            )?;
        }
        let (certificate, key) = (&layout.certificates.client, &layout.certificates.client_key);
        let shown = json!({ "client-certificate": certificate, "client-key": key });
        layout.write(CERTIFICATE_KUBECONFIG, &layout.kubeconfig(EVE, &shown).to_string())?;
        layout.write("tokens.csv", &tokens)?;
        layout.write("audit-policy.yaml", AUDIT_POLICY)?;
        layout.write("container.log", stages::CONTAINER_LOG)?;
        layout.write("previous.log", stages::PREVIOUS_LOG)?;
        layout.write("kwok.yaml", &stages::configuration(folder))?;
        Ok(layout)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), TestbedError> {
        let path = self.folder.join(name);
        fs::write(&path, content).map_err(TestbedError::io(format!("write {}", path.display())))
    }

    /// The kubeconfig of a user of [`Layout::create`].
    pub(crate) fn kubeconfig_path(&self, user: &str) -> PathBuf {
        self.folder.join(kubeconfig_name(user))
    }

    /// The kubeconfig by which `eve` shows a client certificate.
    pub(crate) fn certificate_kubeconfig_path(&self) -> PathBuf {
        self.folder.join(CERTIFICATE_KUBECONFIG)
    }

    /// The file that the API server writes one JSON line per event to.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// The base address of the API server.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// A kubeconfig of etcd, as if it were a cluster: it speaks JSON too, and trusts whoever reaches it.
    pub(crate) fn etcd_kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "etcd",
            "clusters": [{
                "name": "etcd",
                "cluster": { "server": format!("http://127.0.0.1:{}", self.etcd_port) },
            }],
            "users": [{ "name": "anybody", "user": {} }],
            "contexts": [{ "name": "etcd", "context": { "cluster": "etcd", "user": "anybody" } }],
        })
    }

    fn kubeconfig(&self, user: &str, credentials: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "testbed",
            "clusters": [{
                "name": "testbed",
                "cluster": { "server": self.url(), "certificate-authority": self.certificates.ca },
            }],
            "users": [{ "name": user, "user": credentials }],
            "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": user } }],
        })
    }

    /// The arguments of a server.
    pub(crate) fn args(&self, server: Server) -> Vec<String> {
        match server {
            Server::Etcd => self.etcd(),
            Server::KubeApiserver => self.api_server(),
            Server::KubeControllerManager => self.controller_manager(),
            Server::KubeScheduler => self.scheduler(),
            Server::Kwok => self.kwok(),
            // No part of a control plane.
            Server::Kubectl | Server::Moto | Server::Vault => Vec::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn etcd(&self) -> Vec<String> {
        let url = format!("http://127.0.0.1:{}", self.etcd_port);
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            // A single member talks to nobody, so any free port will do.
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=error".to_owned(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        let certificates = &self.certificates;
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.api_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--tls-cert-file={}", certificates.serving.display()),
            format!("--tls-private-key-file={}", certificates.serving_key.display()),
            format!("--client-ca-file={}", certificates.ca.display()),
            format!("--cert-dir={}", self.path("certs")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={}", certificates.account_key.display()),
            format!("--service-account-key-file={}", certificates.account_public.display()),
            "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            // Logs of pods come from kwok, which plays every kubelet on one port.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--kubelet-certificate-authority={}", certificates.ca.display()),
            format!("--audit-log-path={}", self.audit_log().display()),
            format!("--audit-policy-file={}", self.path("audit-policy.yaml")),
            // Blocking keeps the order of lines; the size (in MB) keeps the log in one file.
            "--audit-log-mode=blocking".to_owned(),
            "--audit-log-maxsize=100000".to_owned(),
        ]
    }

    /// What controller-manager and scheduler share. Their default rate limits (20 and 50 requests a second) would make
    /// the controllers the thing that a test measures.
    fn controller(&self, user: &str) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig_path(user).display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]
    }

    fn controller_manager(&self) -> Vec<String> {
        let mut args = self.controller(CONTROLLER_MANAGER);
        args.extend([
            format!("--service-account-private-key-file={}", self.certificates.account_key.display()),
            "--use-service-account-credentials=true".to_owned(),
            // While the API server is away nobody hears that the nodes live. Pods of a node that counts as lost are said not to
            // be ready; a kubelet says afterwards that they are, and kwok does not.
            "--node-monitor-grace-period=10m".to_owned(),
            format!("--root-ca-file={}", self.certificates.ca.display()),
        ]);
        args
    }

    fn scheduler(&self) -> Vec<String> {
        self.controller(SCHEDULER)
    }

    fn kwok(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig_path(KWOK).display()),
            format!("--config={}", self.path("kwok.yaml")),
            "--manage-all-nodes=true".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            // Away from the service range, and wide enough for every pod of a large test.
            "--cidr=10.64.0.1/10".to_owned(),
            "--node-ip=127.0.0.1".to_owned(),
            format!("--node-port={}", self.kubelet_port),
            format!("--server-address=127.0.0.1:{}", self.kubelet_port),
            format!("--tls-cert-file={}", self.certificates.serving.display()),
            format!("--tls-private-key-file={}", self.certificates.serving_key.display()),
        ]
    }
}

fn kubeconfig_name(user: &str) -> String {
    format!("{}.kubeconfig", user.replace(':', "-"))
}

/// Ports that were free a moment ago. They are held together, so that they differ; another process may still be
/// faster than the server, which the start then notices and repeats.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], TestbedError> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(TestbedError::io("find a free port on 127.0.0.1"))?;
        *port = listener.local_addr().map_err(TestbedError::io("read the address of a listener"))?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A bearer token that nobody guesses: 128 bits of the system's randomness, in hexadecimal.
fn random_token() -> Result<String, TestbedError> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(TestbedError::io("read /dev/urandom"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
