//! What is refused, and what is told of it: plans that can never be run, secrets that nobody has.

use eve_core::testing::canary::Canary;
use eve_testbed::{ControlPlane, KvVersion, Vault};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::desk::{Desk, plan};

#[tokio::test]
async fn four_references_wrong_in_four_ways_are_told_in_one_answer_with_their_places_and_nothing_is_written()
{
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("refused").await;
    let vault = Vault::shared().await;
    let mount = vault.kv("shop", KvVersion::V2).await;
    let canary = Canary::new(300);
    vault
        .write(&format!("{mount}/data/db"), &json!({ "data": { "password": canary.value() } }))
        .await
        .unwrap();
    vault
        .write(&format!("{mount}/data/hidden"), &json!({ "data": { "password": canary.value() } }))
        .await
        .unwrap();
    let rules = format!(
        "path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}\npath \"{mount}/data/hidden\" {{ capabilities = [\"deny\"] }}"
    );
    vault.write("sys/policies/acl/refused", &json!({ "policy": rules })).await.unwrap();
    let token = vault.write("auth/token/create", &json!({ "policies": ["refused"] })).await.unwrap();
    let config = format!(
        "source: {{ directory: {{ path: plans }} }}\nvault: {{ address: {}, auth: {{ tokenFile: token }} }}\n",
        vault.address()
    );
    let desk = Desk::new(&config, &control_plane.kubeconfig_path());
    let client_token = token["auth"]["client_token"].as_str().unwrap();
    desk.give("token", client_token);
    desk.watch().over(canary, None);
    let text = format!(
        "apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: {{ name: shop, namespace: {} }}
spec:
  secrets:
    good: vault:{mount}/db#password
    noKey: vault:{mount}/db#pasword
    noPath: vault:{mount}/cache#password
    noPlace: vault:{mount}/db
    noRight: vault:{mount}/hidden#password
  components:
    - name: login
      manifests:
        objects:
          - apiVersion: v1
            kind: Secret
            metadata: {{ name: login }}
            stringData: {{ password: '${{{{ secrets.good }}}}' }}
",
        &*namespace
    );
    let _daemon = desk.start();
    desk.send("shop.yaml", &text);
    let outcome = desk.outcome("shop.yaml").await;
    assert_eq!(outcome["ending"], "failed", "{outcome}");
    let message = outcome["failure"]["message"].as_str().unwrap();
    for (place, name) in [("7:12", "noKey"), ("8:13", "noPath"), ("9:14", "noPlace"), ("10:14", "noRight")] {
        let told = format!("{place}: secret `{name}`: ");
        assert!(message.contains(&told), "{told} in {message}");
    }
    assert!(!message.contains("`good`"), "{message}");
    let audit = control_plane.audit().settle().await;
    assert!(audit.by_user("eve").in_namespace(&namespace).writes().is_empty());
}

#[tokio::test]
async fn an_object_of_another_plan_and_a_reference_that_leads_nowhere_are_told_in_one_answer() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("refused").await;
    let vault = Vault::shared().await;
    let mount = vault.kv("both", KvVersion::V2).await;
    let rules = format!("path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}");
    vault.write("sys/policies/acl/refused-both", &json!({ "policy": rules })).await.unwrap();
    let token = vault.write("auth/token/create", &json!({ "policies": ["refused-both"] })).await.unwrap();
    let config = format!(
        "source: {{ directory: {{ path: plans }} }}\nvault: {{ address: {}, auth: {{ tokenFile: token }} }}\n",
        vault.address()
    );
    let desk = Desk::new(&config, &control_plane.kubeconfig_path());
    desk.give("token", token["auth"]["client_token"].as_str().unwrap());
    let _daemon = desk.start();
    desk.send("one.yaml", &plan("one", &namespace, json!({})));
    assert_eq!(desk.outcome("one.yaml").await["ending"], "succeeded");
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "one" } });
    let text = json!({
        "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
        "metadata": { "name": "two", "namespace": *namespace },
        "spec": {
            "secrets": { "lost": format!("vault:{mount}/nothing#password") },
            "components": [{ "name": "settings", "manifests": { "objects": [object] } }],
        },
    });
    desk.send("two.yaml", &text.to_string());
    let outcome = desk.outcome("two.yaml").await;
    assert_eq!(outcome["ending"], "failed", "{outcome}");
    let message = outcome["failure"]["message"].as_str().unwrap();
    for part in ["secret `lost`: ", "belongs to the plan `one`", "take it out of one of the two plans"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[tokio::test]
async fn what_can_never_be_run_goes_to_the_dead_letters_and_is_told() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("refused").await;
    let cloud = Cloud::new("refused").await;
    let desk = Desk::new(&cloud.source(), &control_plane.kubeconfig_path());
    let token = control_plane.account_token(&namespace, "eve", "sts.amazonaws.com").await.unwrap();
    cloud.admit(&desk, &token);
    let daemon = desk.start();
    cloud.send_text(&namespace, "no message").await;
    cloud.send("unread", &namespace, "kind: Plan\n").await;
    cloud.send("bare", &namespace, "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: bare }\n").await;
    let elsewhere =
        plan("shop", &namespace, json!({})).replace("\"spec\":{", "\"spec\":{\"cluster\":\"west\",");
    cloud.send("elsewhere", &namespace, &elsewhere).await;
    let mut other: Value = serde_json::from_str(&plan("shop", &namespace, json!({}))).unwrap();
    other["spec"]["requestId"] = json!("another");
    cloud.send("contradicts", &namespace, &other.to_string()).await;
    let stop = json!({ "version": 1, "requestId": "stop", "cluster": "north", "stop": { "requestId": "x", "mode": "now" } });
    cloud.send_text("cancel", &stop.to_string()).await;
    cloud.send("good", &namespace, &plan("shop", &namespace, json!({}))).await;
    daemon.says("outcome told", json!({ "request": "good" })).await;
    let mut endings = Vec::new();
    while endings.len() < 7 {
        for answer in cloud.take_all(&cloud.answers).await {
            let answer: Value = serde_json::from_str(answer["Body"].as_str().unwrap()).unwrap();
            let notice = &answer["notice"];
            endings.push((notice["ending"].clone(), notice["failure"]["code"].clone()));
        }
    }
    let expected = [
        ("refused", json!("plan.manifests")),
        ("refused", json!("plan.other-cluster")),
        ("refused", json!("plan.other-request")),
        ("refused", json!("plan.problems")),
        ("refused", json!("queue.message.cluster")),
        ("refused", json!("queue.message.unreadable")),
        ("succeeded", Value::Null),
    ];
    for (ending, code) in &expected {
        assert!(endings.contains(&(json!(ending), code.clone())), "{ending} {code}: {endings:?}");
    }
    while cloud.left(&cloud.queue).await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let dead = cloud.take_all(&cloud.dead).await;
    assert_eq!(dead.len(), 6, "{dead:?}");
    assert!(dead.iter().all(|letter| letter["MessageAttributes"].to_string().contains("eason")), "{dead:?}");
}
