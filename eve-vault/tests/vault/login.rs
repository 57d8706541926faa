//! Logins on a real Vault: Kubernetes with a real control plane, `AppRole`, token files; how tokens are renewed and replaced.

use std::collections::BTreeSet;
use std::fs;

use eve_core::ports::SecretResolver as _;
use eve_core::secret::SecretValue;
use eve_core::testing::canary::Canary;
use eve_testbed::{ControlPlane, KvVersion, Options, Vault as Server};
use eve_vault::{Login, VaultConfigError, codes};
use serde_json::{Value, json};

use crate::support::{Watch, client, codes, count, hidden, put, reference, references, role, until, values};

#[tokio::test]
async fn a_pods_account_logs_in_and_its_token_is_read_anew_for_each_login() {
    let control_plane = ControlPlane::start(Options::new().without_controllers()).await.unwrap();
    let namespace = control_plane.namespace("eve").await;
    let server = Server::start().await.unwrap();
    server.enable_kubernetes_auth(&control_plane).await.unwrap();
    let mount = server.kv("k8s", KvVersion::V2).await;
    put(&server, &mount, "a", json!({ "k": "1" })).await;
    put(&server, &mount, "b", json!({ "k": "2" })).await;
    let policy = json!({ "policy": format!("path \"{mount}/*\" {{ capabilities = [\"read\"] }}") });
    server.write("sys/policies/acl/eve", &policy).await.unwrap();
    let settings = json!({
        "bound_service_account_names": ["eve"],
        "bound_service_account_namespaces": [namespace.name()],
        "audience": "vault",
        "token_policies": ["eve"],
    });
    server.write("auth/kubernetes/role/eve", &settings).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let first = control_plane.account_token(&namespace, "eve", "vault").await.unwrap();
    let stranger = control_plane.account_token(&namespace, "mallory", "vault").await.unwrap();
    let mut watch = Watch::over([Canary::of(first.clone()), Canary::of(stranger.clone())]);
    fs::write(&file, &first).unwrap();
    let login = Login::kubernetes("eve").account_token_file(&file);
    watch.debug(&login);
    let run = client(&server).resolver(login.clone()).unwrap();
    assert_eq!(values(&run, &[format!("vault:{mount}/a#k")]).await, [("1".to_owned(), Some(1))]);

    // The kubelet has put another token there, and Vault has forgotten the one of the run.
    fs::write(&file, control_plane.account_token(&namespace, "eve", "vault").await.unwrap()).unwrap();
    server.write("sys/leases/revoke-prefix/auth/kubernetes/login", &json!({})).await.unwrap();
    assert_eq!(values(&run, &[format!("vault:{mount}/b#k")]).await, [("2".to_owned(), Some(1))]);
    assert_eq!(count(&server, "auth/kubernetes/login"), 2);

    let texts = [format!("vault:{mount}/a#k"), format!("vault:{mount}/b#k")];
    fs::write(&file, stranger).unwrap();
    for refused in [login.clone(), Login::kubernetes("nobody").account_token_file(&file)] {
        let run = client(&server).resolver(refused).unwrap();
        let end = run.resolve(&references(&texts)).await;
        watch.resolved(&end);
        let bad = end.unwrap_err();
        assert_eq!(bad.len(), 2);
        assert!(bad.iter().all(|bad| bad.failure.code == codes::LOGIN_REFUSED), "{bad:#?}");
    }
    let elsewhere = client(&server).resolver(login.mounted_at("k8s/other")).unwrap();
    assert_eq!(codes(&elsewhere, &texts).await, [codes::LOGIN_REFUSED; 2]);
    watch.assert_clean();
}

#[tokio::test]
async fn a_role_with_the_wrong_secret_or_none_is_refused_for_all_references_at_once() {
    let server = Server::shared().await;
    let role = role(server, &["x"], json!({})).await;
    let mut watch = Watch::over([role.secret_id.clone()]);
    let texts = ["vault:x/a#k".to_owned(), "vault:x/b#k".to_owned()];
    let wrong = role.secret_id.value().replace(|digit: char| digit.is_ascii_digit(), "0");
    fs::write(&role.secret_id_file, wrong).unwrap();
    let end = role.resolver(server).resolve(&references(&texts)).await;
    watch.resolved(&end);
    let bad = end.unwrap_err();
    assert!(bad.iter().all(|bad| bad.failure.code == codes::LOGIN_REFUSED), "{bad:#?}");
    assert_eq!(role.logins(server), 1);
    for content in ["", " \n"] {
        fs::write(&role.secret_id_file, content).unwrap();
        assert_eq!(codes(&role.resolver(server), &texts).await, [codes::CREDENTIAL_FILE; 2]);
    }
    fs::remove_file(&role.secret_id_file).unwrap();
    let bad = role.resolver(server).resolve(&[reference(&texts[0])]).await.unwrap_err();
    let message = &bad[0].failure.message;
    assert!(
        message.contains("cannot be read from") && message.ends_with("there is no such file"),
        "{message}"
    );
    watch.assert_clean();
}

#[tokio::test]
async fn a_token_file_is_read_for_each_resolution_and_an_ended_token_is_told() {
    let server = Server::shared().await;
    let mount = server.kv("file", KvVersion::V2).await;
    put(server, &mount, "a", json!({ "k": "1" })).await;
    put(server, &mount, "b", json!({ "k": "2" })).await;
    let policy = json!({ "policy": format!("path \"{mount}/*\" {{ capabilities = [\"read\"] }}") });
    server.write(&format!("sys/policies/acl/{mount}"), &policy).await.unwrap();
    let token = async || {
        let made = server.write("auth/token/create", &json!({ "policies": [mount] })).await.unwrap();
        made.pointer("/auth/client_token").unwrap().as_str().unwrap().to_owned()
    };
    let (first, second) = (token().await, token().await);
    let mut watch = Watch::over([&first, &second].map(|token| Canary::of(token.clone())));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{first}\n")).unwrap();
    let run = client(server).resolver(Login::token_file(&file)).unwrap();
    watch.debug(&run);
    assert_eq!(values(&run, &[format!("vault:{mount}/a#k")]).await, [("1".to_owned(), Some(1))]);

    server.write("auth/token/revoke", &json!({ "token": first })).await.unwrap();
    let text = format!("vault:{mount}/b#k");
    let end = run.resolve(&[reference(&text)]).await;
    watch.resolved(&end);
    assert_eq!(end.unwrap_err()[0].failure.code, codes::TOKEN_INVALID);
    fs::write(&file, &second).unwrap();
    assert_eq!(values(&run, &[text]).await, [("2".to_owned(), Some(1))]);
    run.close().await;
    server.write("auth/token/lookup", &json!({ "token": second })).await.expect("it was not revoked");

    let text = format!("vault:{mount}/b#k");
    let given = |token: &str| client(server).resolver(Login::token(SecretValue::new(token)));
    let run = given(&second).unwrap();
    watch.debug(&run);
    assert_eq!(values(&run, std::slice::from_ref(&text)).await, [("2".to_owned(), Some(1))]);
    run.close().await;
    server.write("auth/token/lookup", &json!({ "token": second })).await.expect("it was not revoked");
    let end = given(&first).unwrap().resolve(&[reference(&text)]).await;
    watch.resolved(&end);
    let failure = &end.unwrap_err()[0].failure;
    assert_eq!(failure.code, codes::TOKEN_INVALID);
    assert!(failure.message.contains("the token that it was given: it is expired"), "{failure}");
    for none in ["", "two words", "line\nbreak"] {
        assert!(matches!(given(none), Err(VaultConfigError::Token)), "{none:?}");
    }
    watch.assert_clean();
}

/// The audit entries of requests for this path by tokens of a login, refused or not.
fn asked(server: &Server, path: &str) -> Vec<String> {
    let entries = server.audit().into_iter().filter(|entry| entry.path == path);
    entries.map(|entry| entry.error).collect()
}

#[tokio::test]
async fn a_token_is_renewed_before_its_life_is_over_and_a_run_that_outlives_it_logs_in_again() {
    let server = Server::start().await.unwrap();
    let mount = server.kv("life", KvVersion::V2).await;
    put(&server, &mount, "a", json!({ "k": hidden() })).await;
    let settings = |max: u32| json!({ "token_ttl": "3s", "token_max_ttl": format!("{max}s") });
    let text = |name: String| format!("vault:{mount}/{name}#k");

    let long = role(&server, &[&mount], settings(0)).await;
    let run = long.resolver(&server);
    assert_eq!(values(&run, &[text("a".to_owned())]).await.len(), 1);
    until("two renewals", async || asked(&server, "auth/token/renew-self").len() >= 2).await;
    assert_eq!(asked(&server, "auth/token/renew-self"), ["", ""], "no renewal was refused");
    put(&server, &mount, "b", json!({ "k": hidden() })).await;
    assert_eq!(values(&run, &[text("b".to_owned())]).await.len(), 1);
    assert_eq!(long.logins(&server), 1, "the renewed token has outlived its first life");
    run.close().await;

    let short = role(&server, &[&mount], settings(4)).await;
    let run = short.resolver(&server);
    let mut number = 0;
    until("another login, without a failure", async || {
        number += 1;
        let name = format!("n{number}");
        put(&server, &mount, &name, json!({ "k": hidden() })).await;
        assert_eq!(values(&run, &[text(name)]).await.len(), 1);
        short.logins(&server) == 2
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_dropped_or_closed_renews_nothing_more() {
    let server = Server::start().await.unwrap();
    let mount = server.kv("end", KvVersion::V2).await;
    put(&server, &mount, "a", json!({ "k": hidden() })).await;
    let role = role(&server, &[&mount], json!({ "token_ttl": "2s" })).await;
    let text = [format!("vault:{mount}/a#k")];
    let dropped = role.resolver(&server);
    assert_eq!(values(&dropped, &text).await.len(), 1);
    drop(dropped);
    let closed = role.resolver(&server);
    assert_eq!(values(&closed, &text).await.len(), 1);
    closed.close().await;
    // Another run lives twice as long as those would have waited with their renewal.
    let other = role.resolver(&server);
    assert_eq!(values(&other, &text).await.len(), 1);
    until("renewals of another run", async || asked(&server, "auth/token/renew-self").len() >= 2).await;
    assert_eq!(renewed_tokens(&server).len(), 1, "one token is renewed");
}

/// The accessors of the tokens that were renewed, hashed as they stand in the audit log.
fn renewed_tokens(server: &Server) -> BTreeSet<String> {
    let log = fs::read_to_string(server.audit_log_path()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let renewals =
        lines.filter(|line| line.pointer("/request/path") == Some(&json!("auth/token/renew-self")));
    renewals.map(|line| line.pointer("/auth/accessor").unwrap().to_string()).collect()
}
