//! A run keeps to the versions that it began with, whoever goes on with it.

use serde_json::json;

use super::desk::{Desk, canary};

/// What somebody else makes comes first, then a Secret.
const PLAN: &str = "\
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: NAMESPACE }
spec:
  secrets: { db: vault:MOUNT/shop/db#password }
  components:
    - name: gate
      action: read
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: gate } }] }
    - name: access
      dependsOn: [gate]
      manifests:
        objects: [{ apiVersion: v1, kind: Secret, metadata: { name: access }, stringData: { k: \"${{ secrets.db }}\" } }]
";

const APPLY: [&str; 3] = ["apply", "-f", "plan.yaml"];

#[tokio::test]
async fn a_run_that_was_killed_goes_on_with_the_version_that_it_began_with() {
    let [old, new] = [canary(), canary()];
    let mut desk = Desk::new("pinned", &[old.clone(), new.clone()]).await;
    desk.put("shop/db", &old).await;
    desk.write("plan.yaml", PLAN);
    let run = desk.killed_at(("waiting", "gate"), &APPLY).await;
    desk.put("shop/db", &new).await;
    desk.make_settings("gate").await;
    desk.eve(&["resume", &run, "-vvv"]).await.with(0);
    assert_eq!(desk.value("access", "k").await, old.value());
    // A new run takes the newest.
    desk.eve(&APPLY).await.with(0);
    assert_eq!(desk.value("access", "k").await, new.value());
    desk.assert_clean().await;
}

#[tokio::test]
async fn a_pinned_version_that_is_gone_or_is_another_secret_now_is_refused_where_the_plan_names_it() {
    let [old, new] = [canary(), canary()];
    let mut desk = Desk::new("gone", &[old.clone(), new.clone()]).await;
    desk.put("shop/db", &old).await;
    desk.put("shop/mail", &new).await;
    desk.write("plan.yaml", PLAN);
    let run = desk.killed_at(("waiting", "gate"), &APPLY).await;
    desk.put("shop/db", &new).await;
    desk.make_settings("gate").await;
    desk.mark().await;
    desk.write("plan.yaml", &PLAN.replace("shop/db#", "shop/mail#"));
    let other = desk.eve(&["resume", &run]).await.with(5);
    assert!(other.err.contains("plan.yaml:5:18"), "{}", other.err);
    assert!(other.err.contains("/shop/db#password@1 and keeps to it"), "{}", other.err);
    desk.write("plan.yaml", PLAN);
    let destroy = format!("{}/destroy/shop/db", desk.mount);
    desk.vault.write(&destroy, &json!({ "versions": [1] })).await.unwrap();
    let gone = desk.eve(&["resume", &run]).await.with(5);
    for said in ["plan.yaml:5:18", "secret `db` in version 1", "is destroyed", "to its end"] {
        assert!(gone.err.contains(said), "{said} is not in:\n{}", gone.err);
    }
    // The same place written anew: the numbers begin again, and the value is another one.
    let metadata = format!("{}/metadata/shop/db", desk.mount);
    desk.vault.ask(http::Method::DELETE, &metadata, None).await.unwrap();
    desk.put("shop/db", &new).await;
    let changed = desk.eve(&["resume", &run, "-o", "json"]).await.with(5);
    assert!(changed.out.contains("secret.changed"), "{}", changed.out);
    assert_eq!(desk.writes().await.len(), 0);
    desk.assert_clean().await;
}
