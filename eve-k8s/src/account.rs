//! The account of the pod that this runs in: what the kubelet mounts into it and tells it, made into a configuration.
//!
//! As client-go does it. The token is read anew when it is used, for it is replaced every hour or so; the environment
//! comes in as a function, and the folder as a path.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use kube::Config;
use kube::config::AuthInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::proxy::Environment;

/// Where the kubelet mounts the account of a pod.
pub(crate) const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where the kubelet says that the API server is; without it this is no pod.
pub(crate) const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";

/// The configuration of the pod's account.
///
/// # Errors
/// What is missing or wrong, for people.
pub(crate) fn configuration(folder: &Path, environment: Environment<'_>) -> Result<Config, String> {
    let variable = |name: &str| environment(name).ok_or_else(|| format!("the variable {name} is not set"));
    let (host, port) = (variable(HOST)?, variable(PORT)?);
    let port: u16 = port.parse().map_err(|_| format!("{PORT} `{port}` is no port"))?;
    let url = url(&host, port).parse().map_err(|_| format!("{HOST} `{host}` is no host"))?;
    let path = |name: &str| folder.join(name);
    let unreadable =
        |name: &str, error: std::io::Error| format!("{} cannot be read: {error}", path(name).display());
    let namespace = fs::read_to_string(path("namespace")).map_err(|error| unreadable("namespace", error))?;
    let pem = fs::read(path("ca.crt")).map_err(|error| unreadable("ca.crt", error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| format!("{}: {error}", path("ca.crt").display()))?;
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate", path("ca.crt").display()));
    }
    // Without it every request would be refused, and nobody would say why.
    fs::read(path("token")).map_err(|error| unreadable("token", error))?;
    let mut config = Config::new(url);
    namespace.trim().clone_into(&mut config.default_namespace);
    config.root_cert = Some(certificates.iter().map(|certificate| certificate.to_vec()).collect());
    config.auth_info =
        AuthInfo { token_file: Some(path("token").display().to_string()), ..AuthInfo::default() };
    Ok(config)
}

fn url(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => format!("https://{}", SocketAddr::new(address, port)),
        Err(_) => format!("https://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The folder of an account as the kubelet mounts it.
    fn account() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap().cert.pem();
        for (name, text) in [("ca.crt", authority.as_str()), ("namespace", "shop\n"), ("token", "hunter2")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn told(folder: &Path, host: Option<&str>, port: Option<&str>) -> Result<Config, String> {
        let environment = |name: &str| match name {
            HOST => host.map(str::to_owned),
            PORT => port.map(str::to_owned),
            _ => None,
        };
        configuration(folder, &environment)
    }

    #[test]
    fn the_account_of_a_pod_gives_server_authority_namespace_and_a_token_that_is_read_anew() {
        let folder = account();
        for (host, url) in [
            ("10.0.0.1", "https://10.0.0.1:6443/"),
            ("fd00::1", "https://[fd00::1]:6443/"),
            ("kubernetes.default.svc", "https://kubernetes.default.svc:6443/"),
        ] {
            let config = told(folder.path(), Some(host), Some("6443")).unwrap();
            assert_eq!(config.cluster_url, url);
            assert_eq!(config.default_namespace, "shop");
            assert_eq!(config.root_cert.map(|certificates| certificates.len()), Some(1));
            assert!(config.auth_info.token.is_none());
            assert_eq!(config.auth_info.token_file.map(PathBuf::from), Some(folder.path().join("token")));
        }
    }

    #[test]
    fn what_is_wrong_with_the_account_of_a_pod_is_named() {
        let error = |folder: &Path, host, port| told(folder, host, port).unwrap_err();
        let folder = account();
        for (host, port, part) in [
            (None, Some("443"), "the variable KUBERNETES_SERVICE_HOST is not set"),
            (Some("10.0.0.1"), None, "the variable KUBERNETES_SERVICE_PORT is not set"),
            (Some("10.0.0.1"), Some("https"), "KUBERNETES_SERVICE_PORT `https` is no port"),
            (Some("not a host"), Some("443"), "KUBERNETES_SERVICE_HOST `not a host` is no host"),
        ] {
            assert_eq!(error(folder.path(), host, port), part);
        }
        for name in ["ca.crt", "namespace", "token"] {
            let folder = account();
            fs::remove_file(folder.path().join(name)).unwrap();
            let error = error(folder.path(), Some("10.0.0.1"), Some("443"));
            assert!(error.contains(&format!("{name} cannot be read: ")), "{error}");
        }
        fs::write(folder.path().join("ca.crt"), "").unwrap();
        assert!(error(folder.path(), Some("10.0.0.1"), Some("443")).ends_with("ca.crt holds no certificate"));
    }
}
