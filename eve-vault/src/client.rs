//! The one place that talks to Vault: one request, one answer, within a time and a size. Follows no redirect, tries
//! nothing again, and lets nothing of an answer into an error.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::Failure;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::answer::{Answer, Body};
use crate::config::{VaultConfig, VaultConfigError};
use crate::error::VaultError;
use crate::login::Login;
use crate::place::VaultPath;
use crate::resolver::VaultResolver;

/// How many causes of an error are looked at; far more than there are layers in the client.
const CAUSES_MAX: usize = 16;

/// A Vault that can be asked: connections, TLS, limits. Cheap to clone; holds no token.
#[derive(Clone, Debug)]
pub struct Vault(Arc<Client>);

impl Vault {
    /// Prepares connections; none is opened yet. Reads the file with certificates, once.
    ///
    /// # Errors
    /// A [`VaultConfigError`] for what cannot be used.
    pub fn new(config: &VaultConfig) -> Result<Self, VaultConfigError> {
        Client::new(config).map(|client| Self(Arc::new(client)))
    }

    /// A resolver for one run, which logs in with `login` when it first has to.
    ///
    /// # Errors
    /// [`VaultConfigError::Path`] for a mount of the login that is no path, [`VaultConfigError::Token`] for a token that is
    /// none.
    pub fn resolver(&self, login: Login) -> Result<VaultResolver, VaultConfigError> {
        Ok(VaultResolver::new(Arc::clone(&self.0), login.checked()?))
    }

    /// Whether secrets can be asked for: one request for the health of the server, without a token. A standby is healthy.
    ///
    /// # Errors
    /// A classified [`Failure`]: nobody answers, or Vault is sealed or was never initialised.
    pub async fn health(&self) -> Result<(), Failure> {
        let told = |error: VaultError| Failure::new(error.class(), error.code(), error.to_string());
        let request = Request { method: Method::GET, path: "sys/health".to_owned(), token: None, body: None };
        let answer = self.0.ask(request).await.map_err(told)?;
        match answer.body.json::<Health>().ok().map(|health| health.error()) {
            Some(None | Some(VaultError::Standby)) => Ok(()),
            Some(Some(error)) => Err(told(error)),
            // Whoever refuses to tell the health is there; who fails to is not.
            None if answer.status < 500 => Ok(()),
            None => Err(told(refusal(answer.status))),
        }
    }
}

/// A token of Vault; overwritten when it is dropped.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// `None` for what cannot be a token: nothing, or what no header can carry.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// One question.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Without `v1/`; escaped.
    pub(crate) path: String,
    pub(crate) token: Option<&'a Token>,
    pub(crate) body: Option<Vec<u8>>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: String, token: &'a Token) -> Self {
        Self { method: Method::GET, path, token: Some(token), body: None }
    }

    pub(crate) fn post(path: String, token: Option<&'a Token>, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, token, body: Some(body) }
    }
}

pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    namespace: Option<HeaderValue>,
    timeout: Duration,
    pub(crate) reads_max: usize,
    pub(crate) scope: Vec<VaultPath>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    fn new(config: &VaultConfig) -> Result<Self, VaultConfigError> {
        let base = config.url()?;
        if config.request_timeout.is_zero() || config.connect_timeout.is_zero() || config.reads_max == 0 {
            return Err(VaultConfigError::Zero);
        }
        let tls = if base.scheme() == "https" { tls(config)? } else { no_tls()? };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .timeout(config.request_timeout)
            .connect_timeout(config.connect_timeout)
            .user_agent(concat!("eve/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| VaultConfigError::Tls { reason: "the client refuses these settings".to_owned() })?;
        let header = |path: VaultPath| HeaderValue::from_bytes(path.as_str().as_bytes());
        let namespace = config.namespace_path()?.map(header).transpose().map_err(|_| {
            VaultConfigError::Path { what: "the namespace", reason: "no header can carry it".to_owned() }
        })?;
        Ok(Self {
            http,
            base,
            namespace,
            timeout: config.request_timeout,
            reads_max: config.reads_max,
            scope: config.scope()?,
        })
    }

    /// Asks once. Whatever the status, it is an answer.
    pub(crate) async fn ask(&self, request: Request<'_>) -> Result<Answer, VaultError> {
        let unusable =
            || VaultError::Unreachable { reason: "the address cannot be joined with a path".to_owned() };
        let url = self.base.join(&format!("v1/{}", request.path)).map_err(|_| unusable())?;
        let mut call = self
            .http
            .request(request.method, url)
            // Agents that stand before Vault refuse requests without it, when so configured: a defence against others
            // who make this process ask for them.
            .header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            call = call.header("X-Vault-Namespace", namespace.clone());
        }
        if let Some(token) = request.token {
            let mut value = HeaderValue::from_str(&token.0).map_err(|_| unusable())?;
            value.set_sensitive(true);
            call = call.header(HeaderName::from_static("x-vault-token"), value);
        }
        if let Some(body) = request.body {
            call = call.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = call.send().await.map_err(|error| self.broken(&error))?;
        let limit_bytes = VaultConfig::ANSWER_BYTES_MAX;
        let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let mut body = Body::with_capacity(announced.min(limit_bytes));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > limit_bytes {
                return Err(VaultError::TooLarge { limit_bytes });
            }
            body.push(&chunk);
        }
        Ok(Answer { status: response.status().as_u16(), body })
    }

    /// An error of the client in our words; its own would name URLs and whatever a server made it say.
    fn broken(&self, error: &reqwest::Error) -> VaultError {
        let causes = causes(error);
        if let Some(reason) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return VaultError::Tls { reason: reason.to_string() };
        }
        if error.is_timeout() {
            return VaultError::TimedOut { after: self.timeout };
        }
        let kind =
            causes.iter().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
        let reason = match kind {
            Some(kind) if kind != std::io::ErrorKind::Other => kind.to_string(),
            _ if error.is_connect() => "no connection; does its name stand for an address?".to_owned(),
            _ => "the connection broke, or the answer is no HTTP".to_owned(),
        };
        VaultError::Unreachable { reason }
    }

    /// The same error, or what the health of the server says about it: sealed, standby, never initialised.
    ///
    /// Statuses alone do not tell: 503 is also what a proxy says. `sys/health` needs no token and is served in every state.
    pub(crate) async fn explained(&self, error: VaultError) -> VaultError {
        if !matches!(error, VaultError::ServerError { .. } | VaultError::Redirected { .. }) {
            return error;
        }
        let request = Request { method: Method::GET, path: "sys/health".to_owned(), token: None, body: None };
        let Ok(answer) = self.ask(request).await else { return error };
        answer.body.json::<Health>().ok().and_then(|health| health.error()).unwrap_or(error)
    }
}

/// What a status means wherever it has no meaning of its own.
pub(crate) fn refusal(status: u16) -> VaultError {
    match status {
        300..400 => VaultError::Redirected { status },
        // A server that has not yet seen what another wrote; asked again it has.
        412 | 500..600 => VaultError::ServerError { status },
        429 => VaultError::RateLimited,
        // Of secondaries and performance standbys, as their health has it.
        472 | 473 => VaultError::Standby,
        _ => VaultError::Unexpected { status },
    }
}

/// The answer of `sys/health`, whose status says the same: 429, 472 and 473 of standbys, 501, 503.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are Vault's")]
struct Health {
    initialized: bool,
    sealed: bool,
    standby: bool,
    #[serde(default)]
    performance_standby: bool,
    #[serde(default)]
    replication_dr_mode: String,
}

impl Health {
    fn error(&self) -> Option<VaultError> {
        let secondary = self.replication_dr_mode == "secondary";
        match self {
            Self { initialized: false, .. } => Some(VaultError::Uninitialised),
            Self { sealed: true, .. } => Some(VaultError::Sealed),
            Self { standby, performance_standby, .. } if *standby || *performance_standby || secondary => {
                Some(VaultError::Standby)
            }
            Self { .. } => None,
        }
    }
}

/// The error and everything below it. What an I/O error wraps is not among its sources, so it is asked for it.
fn causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> Vec<&'a (dyn std::error::Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next.filter(|_| causes.len() < CAUSES_MAX) {
        causes.push(cause);
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    causes
}

/// TLS with ring, whatever provider the host program has installed, and the authorities that the configuration names.
fn tls(config: &VaultConfig) -> Result<rustls::ClientConfig, VaultConfigError> {
    let failed = |error: rustls::Error| VaultConfigError::Tls { reason: error.to_string() };
    let builder = builder()?;
    let Some(path) = &config.ca_file else {
        return Ok(builder.with_platform_verifier().map_err(failed)?.with_no_client_auth());
    };
    let pem =
        std::fs::read(path).map_err(|source| VaultConfigError::CaFile { path: path.clone(), source })?;
    let unusable = || VaultConfigError::CaContent { path: path.clone() };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
    }
    if roots.is_empty() {
        return Err(unusable());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// For plain HTTP, where nothing asks for it: trusts nobody.
fn no_tls() -> Result<rustls::ClientConfig, VaultConfigError> {
    Ok(builder()?.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, VaultConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| VaultConfigError::Tls { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_a_header_can_carry() {
        assert!(Token::new("hvs.CAESIJ").is_some());
        for text in ["", "a b", "a\nb", "ä"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn health_tells_sealed_from_standby_from_a_server_that_works() {
        let error = |json: &str| Body::from(json).json::<Health>().unwrap().error();
        let cases = [
            (r#"{"initialized":true,"sealed":false,"standby":false}"#, None),
            (r#"{"initialized":true,"sealed":false,"standby":true}"#, Some(VaultError::Standby)),
            (
                r#"{"initialized":true,"sealed":false,"standby":false,"performance_standby":true}"#,
                Some(VaultError::Standby),
            ),
            (
                r#"{"initialized":true,"sealed":false,"standby":false,"replication_dr_mode":"secondary"}"#,
                Some(VaultError::Standby),
            ),
            (r#"{"initialized":true,"sealed":true,"standby":true}"#, Some(VaultError::Sealed)),
            (r#"{"initialized":false,"sealed":true,"standby":true}"#, Some(VaultError::Uninitialised)),
        ];
        for (json, expected) in cases {
            assert_eq!(error(json), expected, "{json}");
        }
    }
}
