//! What a real Vault cannot be made to do on demand: standbys, redirects, answers that are none. Each fake has the shape of
//! the real thing, which the first test sees to.

use std::collections::BTreeSet;
use std::time::Duration;

use eve_core::failure::FailureClass;
use eve_core::ports::{BadReference, SecretResolver as _};
use eve_core::testing::canary::Canary;
use eve_testbed::{KvVersion, Vault as Server};
use eve_vault::{Vault, VaultConfig, VaultResolver, codes};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::fake::{Asked, Fake, Reply, errors, health, login, mount, secret};
use crate::support::{Lookout, Watch, canary, hidden, put, reference, refused, role, until, values};

/// What a fake gives whoever logs in.
fn token() -> Canary {
    Canary::plain(700)
}

/// What somebody logs in with who has no secret of his own.
fn secret_id() -> Canary {
    Canary::plain(701)
}

/// A login with a secret of its own.
pub(crate) struct FakeLogin {
    pub login: eve_vault::Login,
    _file: NamedTempFile,
    _lookout: Lookout,
}

pub(crate) fn fake_login(secret_id: &Canary) -> FakeLogin {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret_id.value()).unwrap();
    let lookout = Lookout::over([secret_id.clone(), token()]);
    FakeLogin { login: eve_vault::Login::app_role("role", file.path()), _file: file, _lookout: lookout }
}

/// A resolver on a fake, with a short patience.
pub(crate) fn resolver(fake: &Fake, login: &FakeLogin) -> VaultResolver {
    let config = VaultConfig::new(&fake.address).request_timeout(Duration::from_secs(3));
    Vault::new(&config).unwrap().resolver(login.login.clone()).unwrap()
}

/// A fake that works but for reads of secrets, which `read` answers, and `sys/health`, which says active.
pub(crate) async fn fake(read: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Fake {
    Fake::start(move |asked| match asked.line.as_str() {
        "POST auth/approle/login" => Reply::json(200, &login(token().value())),
        "GET auth/token/lookup-self" => Reply::json(200, &json!({ "data": {} })),
        line if line.starts_with("GET sys/internal/ui/mounts/kv/") => Reply::json(200, &mount("kv")),
        "GET sys/health" => {
            let answer = read(asked);
            if matches!(answer, Reply::Whole(404, ..)) { Reply::json(200, &health("")) } else { answer }
        }
        _ => read(asked),
    })
    .await
}

async fn bad(fake: &Fake) -> BadReference {
    let login = fake_login(&secret_id());
    let mut bad = refused(&resolver(fake, &login), &[reference("vault:kv/a#k")]).await;
    assert_eq!(bad.len(), 1);
    bad.remove(0)
}

/// Every field of `fake`, where it is and of what type.
fn shape(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| shape(value, &format!("{at}/{name}"), into));
            "object"
        }
    };
    into.insert(format!("{at} {kind}"));
}

#[track_caller]
fn assert_has_shape(real: &Value, fake: &Value) {
    let (mut of_real, mut of_fake) = (BTreeSet::new(), BTreeSet::new());
    shape(real, "", &mut of_real);
    shape(fake, "", &mut of_fake);
    let unlike: Vec<_> = of_fake.difference(&of_real).collect();
    assert!(unlike.is_empty(), "the real answer has no {unlike:?}: {real}");
}

#[tokio::test]
async fn the_fakes_have_the_shape_of_a_real_vault() {
    let server = Server::shared().await;
    let kv = server.kv("shape", KvVersion::V2).await;
    put(server, &kv, "a", json!({ "k": hidden() })).await;
    let real = server.read(&format!("{kv}/data/a")).await.unwrap();
    assert_has_shape(&real, &secret(&json!({ "k": "v" })));
    let real = server.read(&format!("sys/internal/ui/mounts/{kv}/a")).await.unwrap();
    assert_has_shape(&real, &mount(&kv));
    let real = server.read("sys/health").await.unwrap();
    // Of a server that is no performance standby the free Vault says nothing.
    let mut active = health("");
    let of_enterprise = ["performance_standby", "replication_dr_mode", "replication_performance_mode"];
    for field in of_enterprise {
        if real.get(field).is_none() {
            active.as_object_mut().unwrap().remove(field);
        }
    }
    assert!(real.get("replication_dr_mode").is_some(), "{real}");
    assert_has_shape(&real, &active);
    let role = role(server, &[&kv], json!({})).await;
    let path = format!("auth/{}/role/run/role-id", role.mount);
    let role_id = server.read(&path).await.unwrap().pointer("/data/role_id").unwrap().clone();
    let body = json!({ "role_id": role_id, "secret_id": role.secret_id.value() });
    let real = server.write(&format!("auth/{}/login", role.mount), &body).await.unwrap();
    assert_has_shape(&real, &login("token"));
    // The fake in its normal state gives what a real one gives.
    let value = hidden();
    let answer = secret(&json!({ "k": value }));
    let fake = fake(move |_| Reply::json(200, &answer)).await;
    let login = fake_login(&secret_id());
    assert_eq!(values(&resolver(&fake, &login), &["vault:kv/a#k".to_owned()]).await, [(value, Some(1))]);
}

#[tokio::test]
async fn a_redirect_is_told_and_neither_followed_nor_given_the_token() {
    for (status, class) in
        [(307, FailureClass::Transient), (302, FailureClass::Permanent), (301, FailureClass::Permanent)]
    {
        let answer = secret(&json!({ "k": hidden() }));
        let other = Fake::start(move |_| Reply::json(200, &answer)).await;
        let target = format!("{}/v1/kv/data/a", other.address);
        // As http/handler.go of Vault does: a location and no body.
        let fake = fake(move |asked| match asked.line.as_str() {
            "GET sys/health" => Reply::json(404, &errors(&[])),
            _ => Reply::Whole(status, vec![("location", target.clone())], String::new()),
        })
        .await;
        let bad = bad(&fake).await;
        assert_eq!((&*bad.failure.code, bad.failure.class), (codes::REDIRECTED, class), "{bad}");
        assert!(other.asked().is_empty(), "{:?}", other.asked());
    }
}

#[tokio::test]
async fn a_standby_is_told_from_its_health_or_its_status() {
    for (status, state, of_health) in
        [(503, "standby", 429), (307, "standby", 429), (503, "performance", 473), (500, "dr", 472)]
    {
        let fake = fake(move |asked| match asked.line.as_str() {
            "GET sys/health" => Reply::json(of_health, &health(state)),
            _ => Reply::json(status, &errors(&["no active Vault instance found"])),
        })
        .await;
        let bad = bad(&fake).await;
        assert_eq!(
            (&*bad.failure.code, bad.failure.class),
            (codes::STANDBY, FailureClass::Transient),
            "{bad}"
        );
        let asked = fake.asked();
        let health = asked.iter().filter(|asked| asked.line == "GET sys/health");
        assert_eq!(health.clone().count(), 1);
        assert!(
            health
                .clone()
                .all(|asked| asked.headers.iter().all(|header| !header.starts_with("x-vault-token"))),
            "health is asked without a token"
        );
    }
    for status in [472, 473] {
        let fake = fake(move |_| Reply::json(status, &errors(&[]))).await;
        assert_eq!(bad(&fake).await.failure.code, codes::STANDBY);
    }
}

#[tokio::test]
async fn errors_of_the_server_and_answers_that_are_none_are_told_by_class() {
    let said = hidden();
    let html = || format!("<html>{said}</html>");
    let transient = FailureClass::Transient;
    let permanent = FailureClass::Permanent;
    let cases: [(Reply, &str, FailureClass); 12] = [
        (Reply::Whole(500, Vec::new(), html()), codes::SERVER_ERROR, transient),
        (Reply::Whole(502, Vec::new(), html()), codes::SERVER_ERROR, transient),
        (Reply::Whole(503, Vec::new(), html()), codes::SERVER_ERROR, transient),
        (Reply::json(412, &errors(&["required index state not present"])), codes::SERVER_ERROR, transient),
        (Reply::json(429, &errors(&[&said])), codes::RATE_LIMITED, transient),
        (Reply::json(400, &errors(&[&said])), codes::UNEXPECTED_ANSWER, permanent),
        (Reply::Whole(200, Vec::new(), html()), codes::NOT_JSON, permanent),
        (Reply::json(200, &json!({ "data": [said] })), codes::NOT_JSON, permanent),
        (Reply::Endless(vec![b' '; 1024 * 1024], 9), codes::TOO_LARGE, permanent),
        (Reply::Stalled, codes::TIMED_OUT, transient),
        (Reply::Cut, codes::UNREACHABLE, transient),
        (Reply::Babble, codes::UNREACHABLE, transient),
    ];
    for (reply, code, class) in cases {
        let what = code;
        let fake = fake(move |asked| match asked.line.as_str() {
            "GET sys/health" => Reply::json(404, &errors(&[])),
            _ => reply.clone(),
        })
        .await;
        let bad = bad(&fake).await;
        assert_eq!((&*bad.failure.code, bad.failure.class), (code, class), "{what}: {bad}");
        let reads = fake.asked().iter().filter(|asked| asked.line == "GET kv/data/a").count();
        assert_eq!(reads, 1, "{what} is asked for once: nothing is tried again");
    }
}

#[tokio::test]
async fn once_vault_does_not_answer_it_is_asked_for_nothing_more() {
    let fake = fake(|asked| match asked.line.as_str() {
        "GET sys/health" => Reply::json(404, &errors(&[])),
        _ => Reply::json(500, &errors(&[])),
    })
    .await;
    let config = VaultConfig::new(&fake.address).reads_max(2);
    let login = fake_login(&secret_id());
    let run = Vault::new(&config).unwrap().resolver(login.login.clone()).unwrap();
    let wanted: Vec<_> = (0..50).map(|number| reference(&format!("vault:kv/{number}#k"))).collect();
    let bad = refused(&run, &wanted).await;
    assert_eq!(bad.len(), 50);
    assert!(bad.iter().all(|bad| bad.failure.code == codes::SERVER_ERROR));
    let reads = fake.asked().iter().filter(|asked| asked.line.starts_with("GET kv/data/")).count();
    assert!(reads <= 2, "{reads} reads");
}

#[tokio::test]
async fn reads_are_under_way_beside_each_other_up_to_the_bound() {
    // No read is ever answered, so those that were asked are under way.
    let fake = fake(|_| Reply::Stalled).await;
    let login = fake_login(&secret_id());
    let wanted: Vec<_> = (0..9).map(|number| reference(&format!("vault:kv/{number}#k"))).collect();
    let config = VaultConfig::new(&fake.address).reads_max(3);
    let run = Vault::new(&config).unwrap().resolver(login.login.clone()).unwrap();
    let reads = || fake.asked().iter().filter(|asked| asked.line.starts_with("GET kv/data/")).count();
    tokio::select! {
        end = run.resolve(&wanted) => panic!("nothing was answered, and yet: {end:?}"),
        () = async {
            until("three reads", async || reads() >= 3).await;
            // A grace for a fourth, which must not come.
            tokio::time::sleep(Duration::from_millis(200)).await;
        } => assert_eq!(reads(), 3),
    }
}

#[tokio::test]
async fn namespace_and_the_header_against_confused_deputies_go_with_every_request() {
    let answer = secret(&json!({ "k": hidden() }));
    let fake = fake(move |_| Reply::json(200, &answer)).await;
    let config = VaultConfig::new(&fake.address).namespace("admin/team/");
    let login = fake_login(&secret_id());
    let run = Vault::new(&config).unwrap().resolver(login.login.clone()).unwrap();
    assert_eq!(values(&run, &["vault:kv/a#k".to_owned()]).await.len(), 1);
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].body, json!({ "role_id": "role", "secret_id": secret_id().value() }).to_string());
    for asked in asked {
        for header in ["x-vault-namespace: admin/team", "x-vault-request: true"] {
            assert!(asked.headers.iter().any(|sent| sent == header), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_echoes_everything_makes_nothing_leak() {
    let canaries = [canary(), canary()];
    let token = Canary::plain(u64::from(std::process::id()));
    let secret_id = Canary::plain(u64::from(std::process::id()) + 1);
    let mut watch = Watch::over(canaries.iter().cloned().chain([token.clone(), secret_id.clone()]));
    for status in [200, 301, 307, 400, 403, 404, 412, 429, 472, 500, 503] {
        for broken in ["login", "mounts", "data", "health"] {
            let (token, value) = (token.value().to_owned(), canaries[0].value().to_owned());
            let fake = Fake::start(move |asked| {
                let echo = format!("{asked:?} {value}");
                let location = vec![("location", format!("http://127.0.0.1:9/{token}"))];
                let body = if asked.line.contains("sys/") { echo } else { errors(&[&echo]).to_string() };
                let echoed = Reply::Whole(status, location, body);
                match asked.line.as_str() {
                    line if line.contains(broken) => echoed,
                    "POST auth/approle/login" => Reply::json(200, &login(&token)),
                    "GET auth/token/lookup-self" => Reply::json(200, &json!({ "data": {} })),
                    line if line.starts_with("GET sys/internal") => Reply::json(200, &mount("kv")),
                    "GET sys/health" => Reply::json(200, &health("")),
                    _ if broken == "health" => Reply::json(503, &errors(&[&echo_of(&value)])),
                    _ => Reply::json(200, &secret(&json!({ "k": value }))),
                }
            })
            .await;
            let login = fake_login(&secret_id);
            let run = resolver(&fake, &login);
            let end = run.resolve(&[reference("vault:kv/a#k"), reference("vault:kv/b#x")]).await;
            assert!(end.is_err());
            watch.resolved(&end);
            watch.debug(&run);
            run.close().await;
        }
    }
    watch.assert_clean();
}

fn echo_of(value: &str) -> String {
    format!("cannot serve {value}")
}

#[tokio::test]
async fn the_health_is_asked_once_without_a_token_and_a_standby_is_healthy() {
    let sealed = || json!({ "initialized": true, "sealed": true, "standby": true });
    let never = || json!({ "initialized": false, "sealed": true, "standby": true });
    for (reply, code) in [
        (Reply::json(200, &health("")), None),
        (Reply::json(429, &health("standby")), None),
        (Reply::json(473, &health("performance")), None),
        (Reply::json(403, &errors(&["not for this namespace"])), None),
        (Reply::json(503, &sealed()), Some(codes::SEALED)),
        (Reply::json(501, &never()), Some(codes::UNINITIALISED)),
        (Reply::json(502, &errors(&["bad gateway"])), Some(codes::SERVER_ERROR)),
        (Reply::Babble, Some(codes::UNREACHABLE)),
    ] {
        let fake = Fake::start(move |_| reply.clone()).await;
        let config = VaultConfig::new(&fake.address).request_timeout(Duration::from_secs(3));
        let found = Vault::new(&config).unwrap().health().await;
        assert_eq!(found.err().map(|failure| failure.code.into_owned()), code.map(str::to_owned));
        let asked = fake.asked();
        assert_eq!(asked.iter().map(|asked| asked.line.as_str()).collect::<Vec<_>>(), ["GET sys/health"]);
        assert!(asked[0].headers.iter().all(|header| !header.starts_with("x-vault-token")));
    }
}
