//! Every way in which a reference can be bad, on a real Vault, all of them in one answer.

use eve_core::failure::FailureClass;
use eve_core::ports::SecretResolver as _;
use eve_core::secret::SecretRef;
use eve_testbed::{KvVersion, Vault as Server};
use eve_vault::codes;
use serde_json::json;

use crate::support::{Watch, canary, count, hidden, put, reference, refused, role, values};

#[tokio::test]
async fn all_bad_references_are_told_at_once_each_with_its_code_and_none_with_a_value() {
    let server = Server::shared().await;
    let (old, new) = (server.kv("bad1", KvVersion::V1).await, server.kv("bad2", KvVersion::V2).await);
    let closed = server.kv("closed", KvVersion::V2).await;
    server.write(&format!("sys/mounts/transit-{new}"), &json!({ "type": "transit" })).await.unwrap();
    let secret = canary();
    let mut watch = Watch::over([secret.clone()]);
    let value = secret.value();
    server.write(&format!("{old}/a"), &json!({ "k": value })).await.unwrap();
    for path in ["a", "hidden/a", "deleted", "destroyed"] {
        put(server, &new, path, json!({ "k": value, "o": { "in": value }, "n": null })).await;
    }
    put(server, &new, "older", json!({ "k": value })).await;
    put(server, &new, "older", json!({ "k": value })).await;
    put(server, &closed, "a", json!({ "k": value })).await;
    for (verb, path) in [("delete", "deleted"), ("destroy", "destroyed"), ("delete", "older")] {
        server.write(&format!("{new}/{verb}/{path}"), &json!({ "versions": [1] })).await.unwrap();
    }
    let role = role(server, &[&old, &format!("{new}/data"), &format!("transit-{new}")], json!({})).await;
    let denied = format!("path \"{new}/data/hidden/*\" {{ capabilities = [\"deny\"] }}");
    let policy = server.read(&format!("sys/policies/acl/{}", role.mount)).await.unwrap();
    let policy = policy.pointer("/data/policy").unwrap().as_str().unwrap().to_owned() + &denied;
    server.write(&format!("sys/policies/acl/{}", role.mount), &json!({ "policy": policy })).await.unwrap();

    let cases = [
        (format!("{new}/a"), codes::BAD_REFERENCE),
        (format!("{new}/../sys/a#k"), codes::BAD_REFERENCE),
        (format!("{new}/hidden/a#k"), codes::DENIED),
        (format!("{closed}/a#k"), codes::DENIED),
        ("nothing-is-mounted-here/a#k".to_owned(), codes::DENIED),
        (format!("transit-{new}/keys/a#k"), codes::NOT_KV),
        ("sys/mounts#k".to_owned(), codes::NOT_KV),
        (format!("{old}/a#k@1"), codes::NO_VERSIONS),
        (format!("{old}/b#k"), codes::ABSENT_PATH),
        (format!("{new}/b#k"), codes::ABSENT_PATH),
        (format!("{new}/data/a#k"), codes::ABSENT_PATH),
        (format!("{new}/a#k@9"), codes::ABSENT_VERSION),
        (format!("{new}/a#other"), codes::ABSENT_KEY),
        (format!("{new}/deleted#k"), codes::DELETED_VERSION),
        (format!("{new}/older#k@1"), codes::DELETED_VERSION),
        (format!("{new}/destroyed#k"), codes::DESTROYED_VERSION),
        (format!("{new}/destroyed#k@1"), codes::DESTROYED_VERSION),
        (format!("{new}/a#o"), codes::NOT_TEXT),
        (format!("{new}/a#n"), codes::NOT_TEXT),
    ];
    let mut references: Vec<SecretRef> =
        cases.iter().map(|(place, _)| reference(&format!("vault:{place}"))).collect();
    references.push(SecretRef { backend: "file".into(), place: "a#k".into(), version: None });
    // Good ones among them make no difference.
    let good = [format!("{old}/a#k"), format!("{new}/older#k@2")];
    let mut asked = references.clone();
    asked.extend(good.iter().map(|place| reference(&format!("vault:{place}"))));

    let resolver = role.resolver(server);
    let end = resolver.resolve(&asked).await;
    watch.resolved(&end);
    let bad = end.unwrap_err();
    let told: Vec<(SecretRef, &str)> =
        bad.iter().map(|bad| (bad.reference.clone(), &*bad.failure.code)).collect();
    let codes = cases.iter().map(|(_, code)| *code).chain([codes::OTHER_BACKEND]);
    assert_eq!(told, references.into_iter().zip(codes).collect::<Vec<_>>());
    for bad in &bad {
        let misuse = bad.failure.code == codes::OTHER_BACKEND;
        let class = if misuse { FailureClass::Misuse } else { FailureClass::Permanent };
        assert_eq!(bad.failure.class, class, "{bad}");
    }
    assert_eq!(role.logins(server), 1, "what is denied is no reason to log in again");
    assert_eq!(
        count(server, &format!("{new}/data/a")),
        3,
        "the write, one read for all keys, one of version 9"
    );

    let texts = good.map(|place| format!("vault:{place}"));
    assert_eq!(values(&resolver, &texts).await, [(value.to_owned(), None), (value.to_owned(), Some(2))]);
    watch.assert_clean();
}

#[tokio::test]
async fn a_denial_and_an_absence_say_what_was_asked_and_what_helps() {
    let server = Server::shared().await;
    let mount = server.kv("words", KvVersion::V2).await;
    put(server, &mount, "shop/db", json!({ "k": hidden() })).await;
    let role = role(server, &[&format!("{mount}/data/other")], json!({})).await;
    let resolver = role.resolver(server);
    let bad = refused(&resolver, &[reference(&format!("vault:{mount}/shop/db#k"))]).await;
    assert_eq!(
        bad[0].to_string(),
        format!(
            "vault:{mount}/shop/db#k: Vault denies reading `{mount}/data/shop/db`, or nothing is mounted there"
        )
    );
    assert_eq!(
        bad[0].failure.hint.as_deref(),
        Some(format!("a policy of the role needs `read` on `{mount}/data/shop/db`").as_str())
    );
    let bad = refused(&resolver, &[reference(&format!("vault:{mount}/data/other/x#k"))]).await;
    assert_eq!(bad[0].failure.code, codes::DENIED);
}
