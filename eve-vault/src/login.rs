//! How a run shows Vault who it is. Credentials are read from their file at each login, since others rotate them.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eve_core::secret::SecretValue;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::answer::Answer;
use crate::client::{Client, Request, Token, refusal};
use crate::config::VaultConfigError;
use crate::error::VaultError;
use crate::place::VaultPath;

/// Where the kubelet puts the token of a pod's account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The most bytes of a file with a credential; tokens have a few thousand at most.
const CREDENTIAL_BYTES_MAX: usize = 64 * 1024;

/// How a run logs in. Names files and roles; holds no secret.
#[derive(Clone, Debug)]
pub struct Login {
    method: LoginMethod,
    mount: String,
}

#[derive(Clone, Debug)]
enum LoginMethod {
    Kubernetes { role: String, token_file: PathBuf },
    AppRole { role_id: String, secret_id_file: PathBuf },
    TokenFile(PathBuf),
    Token(SecretValue),
}

impl Login {
    /// With the token of the pod's account, as this role, at the mount `kubernetes`.
    pub fn kubernetes(role: impl Into<String>) -> Self {
        let method = LoginMethod::Kubernetes { role: role.into(), token_file: PathBuf::from(POD_TOKEN) };
        Self { method, mount: "kubernetes".to_owned() }
    }

    /// The same with the token in another file. Only for [`Login::kubernetes`]; others have no such file.
    #[must_use]
    pub fn account_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        if let LoginMethod::Kubernetes { token_file, .. } = &mut self.method {
            *token_file = path.into();
        }
        self
    }

    /// With the identifier of a role and the file with its secret, at the mount `approle`.
    pub fn app_role(role_id: impl Into<String>, secret_id_file: impl Into<PathBuf>) -> Self {
        let method = LoginMethod::AppRole { role_id: role_id.into(), secret_id_file: secret_id_file.into() };
        Self { method, mount: "approle".to_owned() }
    }

    /// With a token of Vault that somebody keeps in a file and keeps alive; read again for each resolution, never renewed
    /// or revoked here.
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        Self { method: LoginMethod::TokenFile(path.into()), mount: "token".to_owned() }
    }

    /// With a token of Vault that somebody holds and keeps alive; never renewed or revoked here.
    pub fn token(token: SecretValue) -> Self {
        Self { method: LoginMethod::Token(token), mount: "token".to_owned() }
    }

    /// The same with the method mounted elsewhere.
    #[must_use]
    pub fn mounted_at(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    pub(crate) fn checked(self) -> Result<Self, VaultConfigError> {
        let what = "the mount of the login";
        VaultPath::parse(&self.mount)
            .map_err(|error| VaultConfigError::Path { what, reason: error.to_string() })?;
        match &self.method {
            LoginMethod::Token(token) if Token::new(token.expose()).is_none() => Err(VaultConfigError::Token),
            LoginMethod::Token(_)
            | LoginMethod::TokenFile(_)
            | LoginMethod::Kubernetes { .. }
            | LoginMethod::AppRole { .. } => Ok(self),
        }
    }

    /// Where the token comes from, if it is not from a login.
    pub(crate) fn given_token(&self) -> Option<GivenToken> {
        match &self.method {
            LoginMethod::TokenFile(path) => Some(GivenToken::File(path.clone())),
            LoginMethod::Token(_) => Some(GivenToken::Value),
            LoginMethod::Kubernetes { .. } | LoginMethod::AppRole { .. } => None,
        }
    }

    /// Logs in, with one request at most.
    pub(crate) async fn perform(&self, client: &Client) -> Result<Grant, VaultError> {
        let body = match &self.method {
            LoginMethod::TokenFile(path) => {
                let text = Credential::Token.read(path).await?;
                let token = Token::new(&text)
                    .ok_or_else(|| Credential::Token.unusable(path, "what it holds is no token"))?;
                return Ok(Grant { token, life: None, renewable: false });
            }
            LoginMethod::Token(token) => {
                let token = Token::new(token.expose());
                let token = token.ok_or(VaultError::TokenInvalid { token: GivenToken::Value })?;
                return Ok(Grant { token, life: None, renewable: false });
            }
            LoginMethod::Kubernetes { role, token_file } => {
                let account = Credential::AccountToken { role: role.clone(), mount: self.mount.clone() };
                let jwt = account.read(token_file).await?;
                serde_json::to_vec(&KubernetesLogin { role, jwt: &jwt })
            }
            LoginMethod::AppRole { role_id, secret_id_file } => {
                let secret = Credential::RoleSecret { mount: self.mount.clone() };
                let secret_id = secret.read(secret_id_file).await?;
                serde_json::to_vec(&AppRoleLogin { role_id, secret_id: &secret_id })
            }
        };
        let body = body.map_err(|_| VaultError::NotJson { reason: "the login cannot be written" })?;
        let mount = VaultPath::parse(&self.mount).map_err(VaultError::BadReference)?;
        let path = format!("auth/{}/login", mount.encoded());
        let answer = client.ask(Request::post(path, None, body)).await?;
        match answer.status {
            200 => Grant::read(&answer),
            status @ (400 | 401 | 403 | 404) => {
                Err(VaultError::LoginRefused { mount: format!("auth/{}", self.mount), status })
            }
            status => Err(client.explained(refusal(status)).await),
        }
    }
}

/// Where a token comes from that somebody else got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenToken {
    File(PathBuf),
    Value,
}

impl fmt::Display for GivenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the token in {}", path.display()),
            Self::Value => f.write_str("the token that it was given"),
        }
    }
}

#[derive(Serialize)]
struct KubernetesLogin<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Serialize)]
struct AppRoleLogin<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

/// What a login or a renewal gave.
pub(crate) struct Grant {
    pub(crate) token: Token,
    /// How long the token lives from now; `None` if it does not end, or nobody said.
    pub(crate) life: Option<Duration>,
    pub(crate) renewable: bool,
}

#[derive(Deserialize)]
struct GrantAnswer<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    client_token: &'a str,
    lease_duration: u64,
    renewable: bool,
}

impl Grant {
    fn read(answer: &Answer) -> Result<Self, VaultError> {
        let GrantAnswer { auth } = answer.body.json()?;
        let token =
            Token::new(auth.client_token).ok_or(VaultError::NotJson { reason: "there is no token in it" })?;
        let life = (auth.lease_duration > 0).then(|| Duration::from_secs(auth.lease_duration));
        Ok(Self { token, life, renewable: auth.renewable })
    }

    /// Renews this token.
    pub(crate) async fn renewed(client: &Client, token: &Token) -> Result<Self, VaultError> {
        let path = "auth/token/renew-self".to_owned();
        let answer = client.ask(Request::post(path, Some(token), b"{}".to_vec())).await?;
        if answer.is_ok() { Self::read(&answer) } else { Err(refusal(answer.status)) }
    }
}

/// Whether Vault knows the token. Every token may ask that, unless its policies leave out `default`.
pub(crate) async fn is_known(client: &Client, token: &Token) -> Result<bool, VaultError> {
    let answer = client.ask(Request::get("auth/token/lookup-self".to_owned(), token)).await?;
    match answer.status {
        200 => Ok(true),
        403 => Ok(false),
        status => Err(client.explained(refusal(status)).await),
    }
}

/// Ends a token's life. That it fails is no harm: the token ends by itself.
pub(crate) async fn revoke(client: &Client, token: &Token) {
    let request = Request {
        method: Method::POST,
        path: "auth/token/revoke-self".to_owned(),
        token: Some(token),
        body: None,
    };
    let done = client.ask(request).await.is_ok_and(|answer| answer.is_ok());
    tracing::debug!(done, "gave the token of the run back to Vault");
}

/// What a login needs of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    AccountToken { role: String, mount: String },
    RoleSecret { mount: String },
    Token,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountToken { role, mount } => {
                write!(f, "the account's token for the login at `auth/{mount}` in Vault as role `{role}`")
            }
            Self::RoleSecret { mount } => {
                write!(f, "the secret of the role for the login at `auth/{mount}` in Vault")
            }
            Self::Token => f.write_str("the token for Vault"),
        }
    }
}

impl Credential {
    /// What to do where it cannot be read.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::AccountToken { .. } => {
                "let the token of the pod's account be projected there, or name the file that has it"
            }
            Self::RoleSecret { .. } => {
                "put the secret identifier of the role there, or name the file that has it"
            }
            Self::Token => "put a token there, as `vault login` does, or name the file that has it",
        }
    }

    fn unusable(&self, path: &Path, reason: impl Into<String>) -> VaultError {
        VaultError::CredentialFile { credential: self.clone(), path: path.to_owned(), reason: reason.into() }
    }

    /// The text in a file, without the white space around it.
    async fn read(&self, path: &Path) -> Result<Zeroizing<String>, VaultError> {
        let read = tokio::fs::read(path).await.map_err(|error| self.unusable(path, unread(error.kind())))?;
        let bytes = Zeroizing::new(read);
        if bytes.len() > CREDENTIAL_BYTES_MAX {
            return Err(self.unusable(path, format!("it has more than {CREDENTIAL_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| self.unusable(path, "it is no text"))?.trim();
        if text.is_empty() {
            return Err(self.unusable(path, "it is empty"));
        }
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// Why a file cannot be read, in words.
fn unread(kind: ErrorKind) -> String {
    if kind == ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if kind == ErrorKind::IsADirectory {
        "it is a folder".to_owned()
    } else if kind == ErrorKind::PermissionDenied {
        "this process may not read it".to_owned()
    } else {
        kind.to_string()
    }
}

#[cfg(test)]
mod tests {
    use eve_core::ports::SecretResolver as _;

    use super::*;
    use crate::{Vault, VaultConfig};

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_told_with_what_it_is_for_and_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("none");
        let at = absent.display();
        for (login, message, hint) in [
            (
                Login::kubernetes("eve").account_token_file(&absent).mounted_at("k8s/east"),
                format!(
                    "the account's token for the login at `auth/k8s/east` in Vault as role `eve` cannot be read from \
                     {at}: there is no such file"
                ),
                "projected",
            ),
            (
                Login::app_role("id", &absent),
                format!(
                    "the secret of the role for the login at `auth/approle` in Vault cannot be read from {at}: there \
                     is no such file"
                ),
                "secret identifier",
            ),
            (
                Login::token_file(&absent),
                format!("the token for Vault cannot be read from {at}: there is no such file"),
                "vault login",
            ),
            (
                Login::token_file(folder.path()),
                format!(
                    "the token for Vault cannot be read from {}: it is a folder",
                    folder.path().display()
                ),
                "name the file",
            ),
        ] {
            let vault = Vault::new(&VaultConfig::new("http://127.0.0.1:1")).unwrap();
            let resolver = vault.resolver(login).unwrap();
            let bad = resolver.resolve(&["vault:kv/a#k".parse().unwrap()]).await.unwrap_err();
            let failure = &bad.first().unwrap().failure;
            assert_eq!((&*failure.code, &failure.message), (crate::codes::CREDENTIAL_FILE, &message));
            assert!(failure.hint.as_ref().unwrap().contains(hint), "{failure:?}");
        }
    }
}
