//! What cannot be is said before the first write: all of it, and where.

use eve_testbed::Vault;
use serde_json::{Value, json};

use super::desk::{Desk, canary};

/// A plan with these lines of `secrets` and this object.
fn plan(secrets: &str, object: &str) -> String {
    format!(
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: bad, namespace: NAMESPACE }}\nspec:\n  secrets:\n\
         {secrets}  components:\n    - name: first\n      manifests:\n        objects: [{{ apiVersion: v1, kind: ConfigMap, \
         metadata: {{ name: first }} }}]\n    - name: a\n      manifests:\n        objects:\n          - {object}\n"
    )
}

const SECRET: &str =
    "{ apiVersion: v1, kind: Secret, metadata: { name: a }, stringData: { k: '${{ secrets.good }}' } }";

#[tokio::test]
async fn four_references_that_are_wrong_in_four_ways_are_named_at_once_and_nothing_is_written() {
    let value = canary();
    let mut desk = Desk::new("four", std::slice::from_ref(&value)).await;
    desk.put("shop/db", &value).await;
    desk.put("office/db", &value).await;
    let secrets = "    good: vault:MOUNT/shop/db#password\n\
                   \x20   denied: vault:MOUNT/office/db#password\n\
                   \x20   absent: vault:MOUNT/shop/nothing#password\n\
                   \x20   key:    vault:MOUNT/shop/db#user\n\
                   \x20   gone: vault:MOUNT/shop/db#password@7\n";
    desk.write("plan.yaml", &plan(secrets, SECRET));
    desk.mark().await;
    let text = desk.eve(&["apply", "-f", "plan.yaml"]).await.with(5);
    for said in [
        "plan.yaml:7:13",
        "plan.yaml:8:13",
        "plan.yaml:9:13",
        "plan.yaml:10:11",
        "secret `denied`: Vault denies reading",
        "secret `absent`: Vault has nothing at",
        "secret `key`: the secret at",
        "secret `gone` in version 7: Vault has no version 7",
        "has no key `user`",
    ] {
        assert!(text.err.contains(said), "{said} is not in:\n{}", text.err);
    }
    assert!(!text.err.contains("`good`"), "{}", text.err);
    let json = desk.eve(&["apply", "-f", "plan.yaml", "-o", "json", "-vvv"]).await.with(5);
    let answer: Value = serde_json::from_str(json.out.trim()).unwrap();
    let problems: Vec<Value> = answer["problems"].as_array().unwrap().clone();
    let codes: Vec<(&Value, &Value, &Value)> =
        problems.iter().map(|one| (&one["code"], &one["place"]["line"], &one["place"]["column"])).collect();
    assert_eq!(
        codes,
        [
            (&json!("vault.denied"), &json!(7), &json!(13)),
            (&json!("vault.absent-path"), &json!(8), &json!(13)),
            (&json!("vault.absent-key"), &json!(9), &json!(13)),
            (&json!("vault.absent-version"), &json!(10), &json!(11)),
        ]
    );
    desk.eve(&["diff", "-f", "plan.yaml"]).await.with(5);
    assert_eq!(desk.writes().await.len(), 0, "{:?}", desk.writes().await);
    assert!(desk.eve(&["runs"]).await.with(0).out.trim().lines().count() <= 1, "no run was begun");
    desk.assert_clean().await;
}

#[tokio::test]
async fn an_object_of_another_plan_and_a_reference_that_leads_nowhere_are_named_at_once() {
    let value = canary();
    let mut desk = Desk::new("both", std::slice::from_ref(&value)).await;
    desk.put("shop/db", &value).await;
    let good = "    good: vault:MOUNT/shop/db#password\n";
    desk.write("one.yaml", &plan(good, SECRET));
    desk.eve(&["apply", "-f", "one.yaml"]).await.with(0);
    let absent = format!("{good}    absent: vault:MOUNT/shop/nothing#password\n");
    desk.write("two.yaml", &plan(&absent, SECRET).replace("name: bad", "name: two"));
    desk.mark().await;
    let json = desk.eve(&["apply", "-f", "two.yaml", "-o", "json"]).await.with(5);
    let answer: Value = serde_json::from_str(json.out.trim()).unwrap();
    let codes: Vec<&str> =
        answer["problems"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["vault.absent-path", "k8s.object.other-plan", "k8s.object.other-plan"], "{answer}");
    assert_eq!(desk.writes().await.len(), 0, "{:?}", desk.writes().await);
    desk.assert_clean().await;
}

#[tokio::test]
async fn a_value_that_would_stand_where_it_can_be_read_is_refused_before_vault_is_asked() {
    let value = canary();
    let mut desk = Desk::new("exposed", std::slice::from_ref(&value)).await;
    desk.put("shop/db", &value).await;
    let pod = |container: &str| {
        format!(
            "{{ apiVersion: v1, kind: Pod, metadata: {{ name: a }}, spec: {{ containers: [{{ name: c, image: i, {container} }}] }} }}"
        )
    };
    let objects = [
        "{ apiVersion: v1, kind: ConfigMap, metadata: { name: a }, data: { k: 'x ${{ secrets.good }}' } }"
            .to_owned(),
        "{ apiVersion: v1, kind: Secret, metadata: { name: a, annotations: { k: '${{ secrets.good }}' } } }"
            .to_owned(),
        "{ apiVersion: v1, kind: Secret, metadata: { name: a, labels: { k: '${{ secrets.good }}' } } }"
            .to_owned(),
        pod("command: [sh, -c, 'login ${{ secrets.good }}']"),
        pod("args: ['--password=${{ secrets.good }}']"),
        pod("env: [{ name: PASSWORD, value: '${{ secrets.good }}' }]"),
    ];
    for object in objects {
        desk.write("plan.yaml", &plan("    good: vault:MOUNT/shop/db#password\n", &object));
        for command in ["apply", "diff", "validate"] {
            let ended = desk.eve(&[command, "-f", "plan.yaml"]).await.with(5);
            assert!(ended.err.contains("a secret must not stand in"), "{object}\n{}", ended.err);
        }
    }
    assert_eq!(desk.asked(), []);
    assert_eq!(desk.writes().await.len(), 0);
    // So that there are journals to look through.
    desk.write("plan.yaml", &plan("    good: vault:MOUNT/shop/db#password\n", SECRET));
    desk.eve(&["apply", "-f", "plan.yaml"]).await.with(0);
    desk.assert_clean().await;
}

#[tokio::test]
async fn a_value_that_the_server_refuses_is_in_no_word_of_the_refusal() {
    let value = canary();
    let mut desk = Desk::new("repeats", std::slice::from_ref(&value)).await;
    desk.put("shop/db", &value).await;
    // A key that no Secret may have, beside a value that the server may repeat.
    let object = "{ apiVersion: v1, kind: Secret, metadata: { name: a }, type: kubernetes.io/dockerconfigjson, \
                  stringData: { .dockerconfigjson: 'x${{ secrets.good }}' } }";
    desk.write("plan.yaml", &plan("    good: vault:MOUNT/shop/db#password\n", object));
    desk.eve(&["diff", "-f", "plan.yaml", "-vvv"]).await.with(5);
    desk.eve(&["apply", "-f", "plan.yaml", "-o", "json", "-vvv"]).await.with(1);
    desk.assert_clean().await;
}

#[tokio::test]
async fn a_vault_that_cannot_be_asked_is_told_from_a_plan_that_is_wrong() {
    let value = canary();
    let mut desk = Desk::new("away", std::slice::from_ref(&value)).await;
    desk.put("shop/db", &value).await;
    desk.write("plan.yaml", &plan("    good: vault:MOUNT/shop/db#password\n", SECRET));
    let sealed = Vault::start().await.unwrap();
    sealed.seal().await.unwrap();
    for (address, code, said) in [
        ("http://127.0.0.1:1".to_owned(), "vault.unreachable", "Vault cannot be reached"),
        (sealed.address(), "vault.sealed", "Vault is sealed"),
    ] {
        let mut command = desk.command(&["apply", "-f", "plan.yaml", "-o", "json"]);
        command.env("VAULT_ADDR", address);
        let ended = desk.run(command).await.with(6);
        let answer: Value = serde_json::from_str(ended.out.trim()).unwrap();
        assert_eq!(answer["message"], "the secrets of the input cannot be asked for");
        assert_eq!(
            (&answer["problems"][0]["code"], &answer["problems"][0]["place"]["line"]),
            (&json!(code), &json!(6))
        );
        assert!(ended.err.contains(said) && ended.err.contains("plan.yaml:6:11"), "{}", ended.err);
    }
    let mut command = desk.command(&["apply", "-f", "plan.yaml"]);
    command.env("VAULT_TOKEN", "hvs.expired-or-never-given-out");
    let ended = desk.run(command).await.with(5);
    assert!(
        ended.err.contains("Vault does not know the token that it was given: it is expired"),
        "{}",
        ended.err
    );
    let mut command = desk.command(&["apply", "-f", "plan.yaml"]);
    command.env_remove("VAULT_ADDR");
    let ended = desk.run(command).await.with(6);
    assert!(
        ended.err.contains("nothing says where Vault is") && ended.err.contains("VAULT_ADDR"),
        "{}",
        ended.err
    );
    assert_eq!(desk.writes().await.len(), 0);
    desk.eve(&["apply", "-f", "plan.yaml"]).await.with(0);
    desk.assert_clean().await;
}
