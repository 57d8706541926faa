//! What is read, how often, and that it stays the same for a run.

use eve_core::ports::SecretResolver as _;
use eve_core::testing::canary::Canary;
use eve_testbed::{KvVersion, Vault as Server};
use eve_vault::{Vault, VaultConfig};
use serde_json::json;

use crate::support::{Watch, canary, count, hidden, hide, put, reference, references, refused, role, values};

#[tokio::test]
async fn both_versions_of_the_engine_are_read() {
    let server = Server::shared().await;
    let (old, new) = (server.kv("old", KvVersion::V1).await, server.kv("new", KvVersion::V2).await);
    let canaries = [canary(), canary(), canary()];
    let mut watch = Watch::over(canaries.clone());
    let [a, b, c] = canaries.map(|canary| canary.value().to_owned());
    server.write(&format!("{old}/shop/db"), &json!({ "password": a, "port": 5432 })).await.unwrap();
    put(server, &new, "shop/db", json!({ "password": b })).await;
    put(server, &new, "with%20space/%C3%A4.b+c&d=e", json!({ "pass word": c })).await;
    let role = role(server, &[&old, &new], json!({})).await;
    let resolver = role.resolver(server);
    let texts = [
        format!("vault:{old}/shop/db#password"),
        format!("vault:{new}/shop/db#password"),
        format!("vault:{old}/shop/db#port"),
        format!("vault:{new}/with space/ä.b+c&d=e#pass word"),
        format!("vault:{new}/shop/db#password"),
    ];
    let expected = [(a, None), (b.clone(), Some(1)), ("5432".to_owned(), None), (c, Some(1)), (b, Some(1))];
    assert_eq!(values(&resolver, &texts).await, expected);
    watch.resolved(&resolver.resolve(&references(&texts)).await);
    watch.debug(&resolver);
    watch.assert_clean();
}

#[tokio::test]
async fn a_run_logs_in_once_looks_at_each_mount_once_and_reads_each_path_once() {
    let server = Server::start().await.unwrap();
    let (old, new) = (server.kv("old", KvVersion::V1).await, server.kv("new", KvVersion::V2).await);
    let secrets: [String; 6] = std::array::from_fn(|_| hidden());
    server.write(&format!("{old}/a"), &json!({ "x": secrets[0], "y": secrets[1] })).await.unwrap();
    put(&server, &new, "a", json!({ "x": secrets[2], "y": secrets[3] })).await;
    put(&server, &new, "b/c", json!({ "x": secrets[4], "y": secrets[5] })).await;
    let role = role(&server, &[&old, &new], json!({})).await;
    let before = server.audit().len();
    let resolver = role.resolver(&server);
    let texts: Vec<String> = [format!("{old}/a"), format!("{new}/a"), format!("{new}/b/c")]
        .iter()
        .flat_map(|path| [format!("vault:{path}#x"), format!("vault:{path}#y")])
        .collect();
    let first = values(&resolver, &texts).await;
    assert!(first.iter().map(|(value, _)| value).eq(&secrets));
    assert!(values(&resolver, &texts).await == first, "a second call asks nothing");

    let audit = server.audit().split_off(before);
    let asked = |word: &str| audit.iter().filter(|entry| entry.path.contains(word)).count();
    assert_eq!(role.logins(&server), 1);
    assert_eq!(asked("sys/internal/ui/mounts/"), 2);
    for path in [format!("{old}/a"), format!("{new}/data/a"), format!("{new}/data/b/c")] {
        assert_eq!(count(&server, &path), 2, "{path} is written once and read once");
    }
    assert_eq!(audit.len(), 1 + 2 + 3, "{audit:#?}");

    resolver.close().await;
    assert_eq!(count(&server, "auth/token/revoke-self"), 1);
    let last = server.audit().pop().unwrap();
    assert_eq!((last.path.as_str(), last.error.as_str()), ("auth/token/revoke-self", ""));
}

#[tokio::test]
async fn what_a_run_has_read_stays_when_the_secret_is_rotated_and_a_new_run_pins_the_old_version() {
    let server = Server::shared().await;
    let mount = server.kv("rotated", KvVersion::V2).await;
    let (old, new) = (hidden(), hidden());
    put(server, &mount, "db", json!({ "k": old })).await;
    let role = role(server, &[&mount], json!({})).await;
    let newest = format!("vault:{mount}/db#k");
    let run = role.resolver(server);
    assert_eq!(values(&run, std::slice::from_ref(&newest)).await, [(old.clone(), Some(1))]);
    put(server, &mount, "db", json!({ "k": new })).await;
    let pinned = format!("{newest}@1");
    assert_eq!(
        values(&run, &[newest.clone(), pinned.clone()]).await,
        [(old.clone(), Some(1)), (old.clone(), Some(1))]
    );
    let resumed = role.resolver(server);
    assert_eq!(values(&resumed, &[pinned, newest]).await, [(old.clone(), Some(1)), (new, Some(2))]);
}

#[tokio::test]
async fn tls_is_spoken_with_the_given_authority_and_refused_without() {
    let server = Server::shared().await;
    let mount = server.kv("tls", KvVersion::V2).await;
    let value = hidden();
    put(server, &mount, "db", json!({ "k": value })).await;
    let role = role(server, &[&mount], json!({})).await;
    let text = format!("vault:{mount}/db#k");
    let config = VaultConfig::new(server.tls_address());
    let trusted = Vault::new(&config.clone().ca_file(server.ca_path())).unwrap();
    let resolver = trusted.resolver(role.login.clone()).unwrap();
    assert_eq!(values(&resolver, std::slice::from_ref(&text)).await, [(value, Some(1))]);

    let stranger = Vault::new(&config).unwrap().resolver(role.login.clone()).unwrap();
    let bad = refused(&stranger, &[reference(&text)]).await;
    assert_eq!(bad[0].failure.code, eve_vault::codes::TLS, "{bad:?}");
    // A server that speaks no TLS at all.
    let plain = VaultConfig::new(server.address().replace("http:", "https:")).ca_file(server.ca_path());
    let plain = Vault::new(&plain).unwrap().resolver(role.login.clone()).unwrap();
    let bad = refused(&plain, &[reference(&text)]).await;
    assert_eq!(bad[0].failure.code, eve_vault::codes::TLS, "{bad:?}");
}

#[tokio::test]
async fn a_value_of_a_mebibyte_and_one_of_odd_characters_come_whole() {
    let server = Server::shared().await;
    let mount = server.kv("large", KvVersion::V1).await;
    let canary = Canary::of(format!("\0\u{1}\"\\<>&\u{2028}😀{}", canary().value()));
    let large = "x".repeat(1024 * 1024);
    let data = json!({ "odd": hide(&canary), "large": large, "empty": "" });
    server.write(&format!("{mount}/a"), &data).await.unwrap();
    let role = role(server, &[&mount], json!({})).await;
    let texts = ["odd", "large", "empty"].map(|key| format!("vault:{mount}/a#{key}"));
    let found = values(&role.resolver(server), &texts).await;
    assert!(found[0].0 == canary.value() && found[1].0 == large && found[2].0.is_empty());
}

#[tokio::test]
async fn nothing_outside_the_scope_is_asked_for() {
    let server = Server::shared().await;
    let mount = server.kv("scope", KvVersion::V2).await;
    for path in ["shop/db", "shopping/db"] {
        put(server, &mount, path, json!({ "k": hidden() })).await;
    }
    let role = role(server, &[&mount], json!({})).await;
    let config = VaultConfig::new(server.address()).only_below(format!("{mount}/shop"));
    let resolver = Vault::new(&config).unwrap().resolver(role.login.clone()).unwrap();
    assert_eq!(values(&resolver, &[format!("vault:{mount}/shop/db#k")]).await.len(), 1);
    let bad = refused(&resolver, &[reference(&format!("vault:{mount}/shopping/db#k"))]).await;
    assert_eq!(bad[0].failure.code, eve_vault::codes::OUTSIDE_SCOPE);
    assert_eq!(count(server, &format!("{mount}/data/shopping/db")), 1, "only the write");
}
