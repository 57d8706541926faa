//! Where Vault is and how long it may take. Pure, but for the file with certificates, which [`crate::Vault::new`] reads.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::place::VaultPath;

/// How to reach a Vault. Holds no secret.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    pub(crate) address: String,
    pub(crate) namespace: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reads_max: usize,
    pub(crate) scope: Vec<String>,
    pub(crate) plain_http: bool,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultConfigError {
    /// The address is no URL of the form `https://HOST[:PORT][/PREFIX]`.
    #[error(
        "the address of Vault is no URL such as `https://vault.example.com:8200`, without user, query and fragment"
    )]
    Address,
    /// The address is plain HTTP to another machine.
    #[error(
        "the address of Vault is plain HTTP to another machine, over which tokens and secrets could be read"
    )]
    PlainHttp,
    /// The namespace, or a path of the scope, is no path in Vault.
    #[error("{what} is no path in Vault: {reason}")]
    Path {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The token is empty, or no header can carry it.
    #[error(
        "the token of Vault is none: it is empty, or has spaces, line breaks or other characters that no token has"
    )]
    Token,
    /// A timeout or the number of reads is zero.
    #[error("timeouts and the number of reads at once are more than zero")]
    Zero,
    /// The file with certificates cannot be read.
    #[error("failed to read the certificates in {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file with certificates holds none that can be used.
    #[error("{} holds no certificate in PEM that can be used", path.display())]
    CaContent {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up, for example because the machine knows no certificate authority.
    #[error("failed to set up TLS: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
}

impl VaultConfig {
    /// How long a request may take in whole by default.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a connection may take by default.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How many reads of a run are under way at once by default.
    pub const READS_MAX: usize = 8;
    /// The most bytes of an answer. Vault's storage takes values of up to 1 MiB (with Raft), which as JSON may be six times
    /// as much.
    pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

    /// Vault at this address, `https://HOST[:PORT][/PREFIX]`. The environment is not read, and no proxy is used.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            namespace: None,
            ca_file: None,
            request_timeout: Self::REQUEST_TIMEOUT,
            connect_timeout: Self::CONNECT_TIMEOUT,
            reads_max: Self::READS_MAX,
            scope: Vec::new(),
            plain_http: false,
        }
    }

    /// The namespace that all requests are for (Vault Enterprise, HCP, `OpenBao`).
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Trusts the certificates in this PEM file, and no others, instead of those that the machine trusts.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// How long one request may take, from the connection to the last byte.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long one connection may take, TLS included.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many reads of a run are under way at once.
    #[must_use]
    pub fn reads_max(mut self, reads: usize) -> Self {
        self.reads_max = reads;
        self
    }

    /// Only what is below one of these paths is read; other references are refused without asking Vault. Each call adds one.
    #[must_use]
    pub fn only_below(mut self, path: impl Into<String>) -> Self {
        self.scope.push(path.into());
        self
    }

    /// Lets tokens and secrets go over plain HTTP to other machines: for networks that encrypt by themselves.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// The address, checked; its path ends with `/`.
    pub(crate) fn url(&self) -> Result<Url, VaultConfigError> {
        let mut url = Url::parse(&self.address).map_err(|_| VaultConfigError::Address)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let clean = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !host.is_empty();
        if !clean || !matches!(url.scheme(), "http" | "https") {
            return Err(VaultConfigError::Address);
        }
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if url.scheme() == "http" && !loopback && !self.plain_http {
            return Err(VaultConfigError::PlainHttp);
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }

    /// The paths of the scope, checked.
    pub(crate) fn scope(&self) -> Result<Vec<VaultPath>, VaultConfigError> {
        self.scope.iter().map(|path| checked("a path that may be read", path)).collect()
    }

    /// The namespace, checked; the slash at its end that Vault shows may be there.
    pub(crate) fn namespace_path(&self) -> Result<Option<VaultPath>, VaultConfigError> {
        let parse = |namespace: &String| checked("the namespace", namespace.trim_end_matches('/'));
        self.namespace.as_ref().map(parse).transpose()
    }
}

fn checked(what: &'static str, path: &str) -> Result<VaultPath, VaultConfigError> {
    VaultPath::parse(path).map_err(|error| VaultConfigError::Path { what, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_with_nothing_in_it_but_host_port_and_prefix() {
        let url = |address: &str| VaultConfig::new(address).url();
        for (address, expected) in [
            ("https://vault.example.com", "https://vault.example.com/"),
            ("https://vault.example.com:8200/", "https://vault.example.com:8200/"),
            ("https://gate.example.com/vault", "https://gate.example.com/vault/"),
            ("http://127.0.0.1:8200", "http://127.0.0.1:8200/"),
            ("http://[::1]:8200", "http://[::1]:8200/"),
            ("http://localhost:8200", "http://localhost:8200/"),
        ] {
            assert_eq!(url(address).unwrap().as_str(), expected);
        }
        for address in [
            "vault.example.com:8200",
            "ftp://vault.example.com",
            "https://kim:hunter2@vault.example.com",
            "https://vault.example.com/?token=hunter2",
            "https://vault.example.com/#hunter2",
            "",
        ] {
            let error = url(address).unwrap_err();
            assert!(matches!(error, VaultConfigError::Address), "{address}: {error}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert!(matches!(url("http://vault.example.com").unwrap_err(), VaultConfigError::PlainHttp));
        VaultConfig::new("http://vault.example.com").allow_plain_http().url().unwrap();
    }

    #[test]
    fn namespace_and_scope_are_paths() {
        let config = VaultConfig::new("https://v").namespace("admin/team/").only_below("kv/shop");
        assert_eq!(config.namespace_path().unwrap().unwrap().as_str(), "admin/team");
        assert_eq!(config.scope().unwrap().len(), 1);
        assert!(VaultConfig::new("https://v").namespace("a\nb").namespace_path().is_err());
        assert!(VaultConfig::new("https://v").only_below("../x").scope().is_err());
    }
}
