//! Where the values of secrets come from: Vault, as the flags and the environment say, which are those that Vault's own
//! command line has. With `wiring.rs` the only module that knows a backend. Nothing is asked for a plan without secrets.

use std::env;
use std::path::PathBuf;

use eve_core::driver::resolve_secrets;
use eve_core::plan::load::Loaded;
use eve_core::run::RunOptions;
use eve_core::secret::{BadSecret, HashKey, PinnedSecrets, SecretPins, SecretRequest, SecretValue};
use eve_vault::{Login, Vault, VaultConfig, VaultConfigError, VaultResolver};

use crate::cli;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::wiring;

/// The file in the home folder where `vault login` leaves the token.
const TOKEN_FILE: &str = ".vault-token";

/// The secrets that a run needs, in the versions that it began with where it has begun.
///
/// # Errors
/// Every secret that cannot be had, with its place; or why Vault cannot be asked at all.
pub(crate) async fn secrets(
    flags: &cli::Vault,
    plan: &Loaded,
    pinned: Option<&SecretPins>,
    key: &HashKey,
) -> Result<PinnedSecrets, Halt> {
    if plan.secrets().is_empty() {
        return Ok(PinnedSecrets::default());
    }
    let resolver = resolver(flags, &|name| env::var(name).ok())?;
    let request = SecretRequest { declared: plan.secrets(), pinned, key };
    let asked = resolve_secrets(request, &resolver, &RunOptions::default()).await;
    resolver.close().await;
    asked.map_err(|bad| {
        let said = plan.diagnose_secrets(&bad);
        if BadSecret::are_transient(&bad) { Halt::unreachable(said) } else { Halt::problems(said) }
    })
}

/// Connections are prepared and files of certificates are read; nobody is asked yet.
fn resolver(flags: &cli::Vault, variable: &dyn Fn(&str) -> Option<String>) -> Result<VaultResolver, Halt> {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let Some(address) = flags.vault_addr.clone().or_else(|| variable("VAULT_ADDR")) else {
        let message = "the plan names secrets, and nothing says where Vault is";
        let hint = "set VAULT_ADDR, or use `--vault-addr`".to_owned();
        return Err(Halt::error(Exit::Cluster, message).with_hint(hint));
    };
    let mut config = VaultConfig::new(address);
    if let Some(namespace) = flags.vault_namespace.clone().or_else(|| variable("VAULT_NAMESPACE")) {
        config = config.namespace(namespace);
    }
    if let Some(file) = flags.vault_ca_file.clone().or_else(|| variable("VAULT_CACERT").map(PathBuf::from)) {
        config = config.ca_file(file);
    }
    if flags.vault_plain_http {
        config = config.allow_plain_http();
    }
    let login = login(flags, &variable)?;
    Vault::new(&config).and_then(|vault| vault.resolver(login)).map_err(|error| unusable(&error))
}

fn login(flags: &cli::Vault, variable: &dyn Fn(&'static str) -> Option<String>) -> Result<Login, Halt> {
    if let Some(role) = &flags.vault_role {
        return Ok(Login::kubernetes(role).mounted_at(&flags.vault_mount));
    }
    if let Some(file) = &flags.vault_token_file {
        return Ok(Login::token_file(file));
    }
    if let Some(token) = variable("VAULT_TOKEN") {
        return Ok(Login::token(SecretValue::new(token.trim())));
    }
    let home =
        || variable("HOME").map(|home| PathBuf::from(home).join(TOKEN_FILE)).filter(|file| file.exists());
    if let Some(file) = variable("VAULT_TOKEN_FILE").map(PathBuf::from).or_else(home) {
        return Ok(Login::token_file(file));
    }
    let message = "the plan names secrets, and there is no token for Vault";
    let hint = "set VAULT_TOKEN, or log in with `vault login`; in a pod use `--vault-role`".to_owned();
    Err(Halt::error(Exit::Cluster, message).with_hint(hint))
}

fn unusable(error: &VaultConfigError) -> Halt {
    let hint = "use `https://`; `--vault-plain-http` is for networks that encrypt".to_owned();
    let hint = matches!(error, VaultConfigError::PlainHttp).then_some(hint);
    Halt::error(Exit::Cluster, wiring::chain(error)).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser as _;
    use eve_core::testing::canary::{Canary, CanaryScan};

    use super::*;

    fn flags(arguments: &[&str]) -> cli::Vault {
        let all = ["eve", "diff", "-f", "x"].iter().chain(arguments);
        let cli::Command::Diff(diff) = cli::Cli::parse_from(all).command else { unreachable!() };
        diff.vault
    }

    fn configured(arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let login = login(&flags(arguments), &|name| variable(name)).map(|login| format!("{login:?}"));
        let made = resolver(&flags(arguments), &variable);
        made.and(login).map_err(|halt| halt.to_string())
    }

    #[test]
    fn the_flags_count_before_the_environment_and_both_before_the_home_folder() {
        let home = tempfile::tempdir().unwrap();
        let home_text = home.path().to_str().unwrap();
        let canary = Canary::plain(1);
        let full = [
            ("VAULT_ADDR", "http://127.0.0.1:8200"),
            ("VAULT_TOKEN", canary.value()),
            ("VAULT_TOKEN_FILE", "/from/variable"),
            ("HOME", home_text),
        ];
        let without = |name: &str| full.into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
        let login =
            |arguments: &[&str], variables: &[(&str, &str)]| configured(arguments, variables).unwrap();
        assert!(login(&["--vault-role", "eve"], &full).contains("role: \"eve\""));
        assert!(login(&["--vault-token-file", "/from/flag"], &full).contains("/from/flag"));
        assert!(login(&[], &full).contains("Token(SecretValue(***))"));
        assert!(login(&[], &without("VAULT_TOKEN")).contains("/from/variable"));
        let only_home = [full[0], full[3]];
        let error = configured(&[], &only_home).unwrap_err();
        assert!(error.contains("there is no token for Vault") && error.contains("vault login"), "{error}");
        std::fs::write(home.path().join(TOKEN_FILE), "x").unwrap();
        assert!(login(&[], &only_home).contains(TOKEN_FILE));
        let error = configured(&[], &without("VAULT_ADDR")).unwrap_err();
        assert!(error.contains("set VAULT_ADDR"), "{error}");
        let mut scan = CanaryScan::new([canary.clone()]);
        scan.sink("debug of a login", login(&[], &full));
        scan.assert_clean();
    }

    #[test]
    fn what_cannot_be_used_is_said_without_a_request() {
        let token = ("VAULT_TOKEN", "t");
        for (address, more, said) in [
            ("vault:8200", vec![], "no URL"),
            ("http://vault.example.com:8200", vec![], "plain HTTP"),
            ("https://vault:8200", vec![("VAULT_CACERT", "/nowhere.pem")], "/nowhere.pem"),
            ("https://vault:8200", vec![("VAULT_NAMESPACE", "a b/../c")], "no path in Vault"),
        ] {
            let variables: Vec<_> = more.into_iter().chain([("VAULT_ADDR", address), token]).collect();
            let error = configured(&[], &variables).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let plain = [("VAULT_ADDR", "http://vault.example.com:8200"), token];
        configured(&["--vault-plain-http"], &plain).unwrap();
        let bad = configured(&[], &[("VAULT_ADDR", "https://v"), ("VAULT_TOKEN", "two words")]).unwrap_err();
        assert!(bad.contains("the token of Vault is none") && !bad.contains("two words"), "{bad}");
    }
}
