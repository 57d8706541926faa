//! A real Vault that is sealed, paused, gone, or has had enough: what the run is told, and that it goes on afterwards.

use std::time::Duration;

use eve_core::failure::FailureClass;
use eve_testbed::{KvVersion, Vault as Server};
use eve_vault::{Vault, VaultConfig, VaultResolver, codes};
use http::Method;
use serde_json::json;

use crate::support::{LIMIT, count, hidden, put, references, refused, role, values};

/// The one code of all bad references, which are of class `Transient`.
async fn trouble(resolver: &VaultResolver, texts: &[String]) -> String {
    let bad = tokio::time::timeout(LIMIT, refused(resolver, &references(texts))).await.expect("it ends");
    assert_eq!(bad.len(), texts.len());
    assert!(bad.iter().all(|bad| bad.failure.class == FailureClass::Transient), "{bad:#?}");
    assert!(bad.iter().all(|other| other.failure.code == bad[0].failure.code), "{bad:#?}");
    bad[0].failure.code.clone().into_owned()
}

#[tokio::test]
async fn a_run_survives_a_vault_that_is_sealed_paused_and_killed() {
    let server = Server::start().await.unwrap();
    let mount = server.kv("away", KvVersion::V2).await;
    let secrets = ["a", "b", "c", "d"].map(|name| (name, hidden()));
    for (name, value) in &secrets {
        put(&server, &mount, name, json!({ "k": value })).await;
    }
    let role = role(&server, &[&mount], json!({})).await;
    let config = VaultConfig::new(server.address()).request_timeout(Duration::from_millis(1500));
    let vault = Vault::new(&config).unwrap();
    let run = vault.resolver(role.login.clone()).unwrap();
    let text = |name: &str| format!("vault:{mount}/{name}#k");
    assert_eq!(values(&run, &[text("a")]).await.len(), 1);
    let wanted = [text("b"), text("c"), text("d")];

    server.seal().await.unwrap();
    assert_eq!(trouble(&run, &wanted).await, codes::SEALED);
    let newcomer = vault.resolver(role.login.clone()).unwrap();
    assert_eq!(trouble(&newcomer, &wanted).await, codes::SEALED, "also while it logs in");
    server.unseal().await.unwrap();

    server.pause().unwrap();
    assert_eq!(trouble(&run, &wanted).await, codes::TIMED_OUT);
    server.resume().unwrap();

    server.kill();
    assert_eq!(trouble(&run, &wanted).await, codes::UNREACHABLE);
    assert_eq!(trouble(&newcomer, &wanted).await, codes::UNREACHABLE);
    server.revive().await.unwrap();

    let found = values(&run, &[text("a"), text("b"), text("c"), text("d")]).await;
    assert!(found.iter().map(|(value, _)| value).eq(secrets.iter().map(|(_, value)| value)));
    assert_eq!(role.logins(&server), 1, "the token of the run outlives all that");
}

#[tokio::test]
async fn a_quota_is_told_and_what_was_read_is_not_read_again() {
    let server = Server::shared().await;
    let mount = server.kv("quota", KvVersion::V1).await;
    let names: Vec<String> = (0..6).map(|number| format!("s{number}")).collect();
    let secrets: Vec<String> = names.iter().map(|_| hidden()).collect();
    for (name, value) in names.iter().zip(&secrets) {
        server.write(&format!("{mount}/{name}"), &json!({ "k": value })).await.unwrap();
    }
    let role = role(server, &[&mount], json!({})).await;
    let quota = format!("sys/quotas/rate-limit/{mount}");
    server.write(&quota, &json!({ "path": mount, "rate": 2, "interval": "1h" })).await.unwrap();
    let texts: Vec<String> = names.iter().map(|name| format!("vault:{mount}/{name}#k")).collect();
    let config = VaultConfig::new(server.address()).reads_max(1);
    let run = Vault::new(&config).unwrap().resolver(role.login.clone()).unwrap();
    let bad = refused(&run, &references(&texts)).await;
    assert_eq!(bad.len(), 4);
    for bad in &bad {
        assert_eq!((&*bad.failure.code, bad.failure.class), (codes::RATE_LIMITED, FailureClass::Transient));
    }
    server.ask(Method::DELETE, &quota, None).await.unwrap();
    let found = values(&run, &texts).await;
    assert!(found.iter().map(|(value, _)| value).eq(&secrets));
    for name in &names[..2] {
        assert_eq!(count(server, &format!("{mount}/{name}")), 2, "one write, one read");
    }
}
