//! Makes the keys and certificates of one control plane in its folder: a certificate authority, one serving certificate
//! for everything that listens on loopback, a client certificate, and the key that signs service-account tokens. Nothing here leaves the folder.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::TestbedError;
use crate::launch::EVE;

/// Paths of the PEM files; all are in one folder.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// Certificate of the authority that signed everything else.
    pub(crate) ca: PathBuf,
    /// Serving certificate for 127.0.0.1, localhost and the API server's names inside a cluster.
    pub(crate) serving: PathBuf,
    /// Its private key.
    pub(crate) serving_key: PathBuf,
    /// Client certificate of the user `eve`.
    pub(crate) client: PathBuf,
    /// Its private key.
    pub(crate) client_key: PathBuf,
    /// Signs service-account tokens (P-256).
    pub(crate) account_key: PathBuf,
    /// Verifies them.
    pub(crate) account_public: PathBuf,
}

impl Certificates {
    /// Writes a fresh set into `folder`, which must exist and be private to the user.
    pub(crate) fn create(folder: &Path) -> Result<Self, TestbedError> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "eve-testbed");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        // 10.0.0.1 is the first address of the service range: what pods would know the API server by.
        let names = [
            "127.0.0.1",
            "localhost",
            "10.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ];
        let mut serving = CertificateParams::new(names.map(str::to_owned).to_vec())?;
        serving.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let serving_key = KeyPair::generate()?;
        let serving = serving.signed_by(&serving_key, &issuer)?.pem();

        let mut client = CertificateParams::new(Vec::new())?;
        client.distinguished_name.push(DnType::CommonName, EVE);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client_key = KeyPair::generate()?;
        let client = client.signed_by(&client_key, &issuer)?.pem();

        let account = KeyPair::generate()?;
        let write = |name: &str, pem: String| {
            let path = folder.join(name);
            fs::write(&path, pem).map_err(TestbedError::io(format!("write {}", path.display())))?;
            Ok::<_, TestbedError>(path)
        };
        Ok(Self {
            ca: write("ca.crt", ca)?,
            serving: write("serving.crt", serving)?,
            serving_key: write("serving.key", serving_key.serialize_pem())?,
            client: write("client.crt", client)?,
            client_key: write("client.key", client_key.serialize_pem())?,
            account_key: write("account.key", account.serialize_pem())?,
            account_public: write("account.pub", account.public_key_pem())?,
        })
    }
}
