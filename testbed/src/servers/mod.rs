//! Builds the real servers from their Go modules (one is installed from Python packages), once per user, and says where the
//! programs are.
//! It must not start any of them; `launch` does. Start reading at [`ensure`].
//!
//! The modules (`servers/*/go.{mod,sum}`) are compiled into this crate, so that a program built from it needs no
//! source tree. Built servers live in `$XDG_CACHE_HOME/eve-testbed/<hash>/bin` (`~/.cache` by default), where the hash
//! covers `go.mod`, `go.sum`, the linker flags and the Go version: a fresh clone costs nothing, and an upgrade never
//! meets an old program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::TestbedError;

mod build;
mod module;
mod python;

use module::{ETCD, KUBERNETES, KWOK, Module, VAULT};

/// A server program that the testbed can build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Server {
    /// The database of the control plane.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The built-in controllers: Deployments, Jobs, service accounts, …
    KubeControllerManager,
    /// Binds pods to nodes.
    KubeScheduler,
    /// The command-line client; not started by the testbed, handy beside `up`.
    Kubectl,
    /// Plays the kubelets: fake nodes and pods.
    Kwok,
    /// Plays AWS: SQS, S3, STS, IAM. Its program is the Python interpreter that has it, for `-m moto.server`.
    Moto,
    /// Vault: secrets.
    Vault,
}

impl Server {
    /// Every server, in the order of the declaration.
    pub const ALL: [Self; 8] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Moto,
        Self::Vault,
    ];

    /// What a control plane with nodes consists of.
    pub const CONTROL_PLANE: [Self; 5] =
        [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::KubeScheduler, Self::Kwok];

    /// What the tests of the workspace use.
    pub const TESTS: [Self; 7] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kwok,
        Self::Moto,
        Self::Vault,
    ];

    /// The program's file name, such as `kube-apiserver`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Moto => "moto",
            Self::Vault => "vault",
        }
    }

    /// The Go module that has it; `None` for what is no Go program.
    const fn module(self) -> Option<&'static Module> {
        Some(match self {
            Self::Etcd => &ETCD,
            Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler | Self::Kubectl => {
                &KUBERNETES
            }
            Self::Kwok => &KWOK,
            Self::Vault => &VAULT,
            Self::Moto => return None,
        })
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::Moto => "moto",
            Self::Vault => "github.com/hashicorp/vault",
        }
    }

    /// The three programs that other Kubernetes test kits take from `KUBEBUILDER_ASSETS`.
    const fn in_kubebuilder_assets(self) -> bool {
        matches!(self, Self::Etcd | Self::KubeApiserver | Self::Kubectl)
    }
}

/// Where the programs of the servers are; made by [`ensure`].
#[derive(Debug, Clone, Default)]
pub struct Programs(BTreeMap<Server, PathBuf>);

impl Programs {
    /// The program of a server, or its bare name (looked up on `PATH`) when it was not asked for.
    pub fn path(&self, server: Server) -> PathBuf {
        self.0.get(&server).cloned().unwrap_or_else(|| PathBuf::from(server.name()))
    }

    /// Every program with its server, in the order of [`Server::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Server, &Path)> {
        self.0.iter().map(|(server, path)| (*server, path.as_path()))
    }
}

/// Makes sure that the programs of `servers` exist, and builds those that do not.
///
/// `KUBEBUILDER_ASSETS`, when set and not empty, is a folder from which etcd, kube-apiserver and kubectl are taken as they are.
/// One builder works at a time over all processes of the user; the others wait and then find the result. Blocks for
/// minutes in the worst case: call it from a thread that may.
///
/// # Errors
/// [`TestbedError::Go`] without a usable toolchain, [`TestbedError::Build`] when `go build` fails,
/// [`TestbedError::Python`] and [`TestbedError::Install`] for moto, [`TestbedError::Assets`] for an incomplete `KUBEBUILDER_ASSETS`, [`TestbedError::NoCacheFolder`], [`TestbedError::Io`].
pub fn ensure(servers: &[Server]) -> Result<Programs, TestbedError> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let mut programs = Programs::default();
    let mut by_module: BTreeMap<&str, (&Module, Vec<Server>)> = BTreeMap::new();
    for &server in servers {
        match &assets {
            Some(dir) if server.in_kubebuilder_assets() => {
                let path = dir.join(server.name());
                if !path.is_file() {
                    return Err(TestbedError::Assets { dir: dir.clone(), server: server.name() });
                }
                programs.0.insert(server, path);
            }
            _ => match server.module() {
                Some(module) => by_module.entry(module.name).or_insert((module, Vec::new())).1.push(server),
                None => {
                    programs.0.insert(server, python::ensure_moto(&cache_folder()?)?);
                }
            },
        }
    }
    if !by_module.is_empty() {
        let cache = cache_folder()?;
        for (module, servers) in by_module.into_values() {
            for (server, path) in build::ensure_module(&cache, module, &servers)? {
                programs.0.insert(server, path);
            }
        }
    }
    Ok(programs)
}

/// `$XDG_CACHE_HOME/eve-testbed`, or the same below `~/.cache` (XDG base directory specification).
fn cache_folder() -> Result<PathBuf, TestbedError> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("eve-testbed"))
        .ok_or(TestbedError::NoCacheFolder)
}
