//! What was there before comes back, with its values, and Vault is not asked for it.

use super::desk::{Desk, canary};

/// A Secret, and then what MORE says.
const PLAN: &str = "\
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: NAMESPACE }
spec:
  onFailure: rollback
  secrets: { db: vault:MOUNT/shop/db#password }
  components:
    - name: access
      manifests:
        objects: [{ apiVersion: v1, kind: Secret, metadata: { name: access }, stringData: { k: \"${{ secrets.db }}\" } }]
";

/// Waits for what nobody makes.
const NEVER: &str = "    - name: never
      dependsOn: [access]
      action: read
      timeout: TIMEOUT
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: never } }] }
";

const APPLY: [&str; 3] = ["apply", "-f", "plan.yaml"];

#[tokio::test]
async fn a_failed_run_puts_the_old_value_back_and_so_does_eve_rollback_without_vault() {
    let [old, new] = [canary(), canary()];
    let mut desk = Desk::new("back", &[old.clone(), new.clone()]).await;
    desk.put("shop/db", &old).await;
    desk.write("plan.yaml", PLAN);
    desk.eve(&APPLY).await.with(0);
    desk.put("shop/db", &new).await;
    desk.write("plan.yaml", &(PLAN.to_owned() + &NEVER.replace("TIMEOUT", "2s")));
    desk.eve(&[&APPLY[..], &["-o", "json", "-vvv"]].concat()).await.with(3);
    assert_eq!(desk.value("access", "k").await, old.value());

    desk.write("plan.yaml", PLAN);
    desk.eve(&APPLY).await.with(0);
    assert_eq!(desk.value("access", "k").await, new.value());
    let asked = desk.asked().len();
    let listed: serde_json::Value =
        serde_json::from_str(&desk.eve(&["runs", "-o", "json"]).await.out).unwrap();
    let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    let mut command = desk.command(&["rollback", &run, "-vvv"]);
    command.env_remove("VAULT_ADDR").env_remove("VAULT_TOKEN");
    desk.run(command).await.with(0);
    assert_eq!(desk.value("access", "k").await, old.value());
    assert_eq!(desk.asked().len(), asked);
    desk.assert_clean().await;
}

#[tokio::test]
async fn a_rollback_that_was_killed_goes_on_without_the_version_that_is_gone() {
    let [old, new] = [canary(), canary()];
    let mut desk = Desk::new("undo", &[old.clone(), new.clone()]).await;
    desk.put("shop/db", &old).await;
    desk.write("plan.yaml", PLAN);
    desk.eve(&APPLY).await.with(0);
    desk.put("shop/db", &new).await;
    desk.write("plan.yaml", &(PLAN.to_owned() + &NEVER.replace("TIMEOUT", "2s")));
    let run = desk.killed_at(("undoStarted", "access"), &APPLY).await;
    let metadata = format!("{}/metadata/shop/db", desk.mount);
    desk.vault.ask(http::Method::DELETE, &metadata, None).await.unwrap();
    desk.eve(&["resume", &run, "-vvv"]).await.with(3);
    assert_eq!(desk.value("access", "k").await, old.value());
    desk.assert_clean().await;
}
