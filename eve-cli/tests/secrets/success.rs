//! A value gets where the plan names it, once, and is asked for only where it is needed.

use super::desk::{Desk, canary};

/// One Secret with two values, one of them in a text, and a Deployment that waits for it.
const PLAN: &str = "\
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: NAMESPACE }
spec:
  secrets:
    db: vault:MOUNT/shop/db#password
    mail: vault:MOUNT/shop/mail#password
  components:
    - name: access
      manifests:
        objects:
          - apiVersion: v1
            kind: Secret
            metadata: { name: access }
            stringData: { password: \"${{ secrets.db }}\", url: \"mail://shop:${{ secrets.mail }}@host\" }
    - name: settings
      dependsOn: [access]
      manifests:
        objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: settings }, data: { secret: access } }]
";

const APPLY: [&str; 4] = ["apply", "-f", "plan.yaml", "-vvv"];

#[tokio::test]
async fn a_secret_gets_its_values_and_a_second_apply_writes_nothing() {
    let [db, mail, newer] = [canary(), canary(), canary()];
    let mut desk = Desk::new("values", &[db.clone(), mail.clone(), newer.clone()]).await;
    desk.put("shop/db", &db).await;
    desk.put("shop/mail", &mail).await;
    desk.write("plan.yaml", PLAN);
    let diff = desk.eve(&["diff", "-f", "plan.yaml"]).await.with(0);
    assert!(diff.out.contains("2 to create"), "{}", diff.out);
    assert_eq!(desk.writes().await.len(), 0, "a comparison writes nothing");

    let first = desk.eve(&[&APPLY[..], &["-o", "json"]].concat()).await.with(0);
    assert!(first.out.contains(&format!("vault:{}/shop/db#password@1", desk.mount)), "{}", first.out);
    assert_eq!(desk.value("access", "password").await, db.value());
    assert_eq!(desk.value("access", "url").await, format!("mail://shop:{}@host", mail.value()));
    assert_eq!(desk.writes().await.len(), 2);

    desk.mark().await;
    desk.eve(&APPLY).await.with(0);
    assert_eq!(desk.writes().await.len(), 0, "{:?}", desk.writes().await);

    desk.put("shop/db", &newer).await;
    let diff = desk.eve(&["diff", "-f", "plan.yaml"]).await.with(0);
    assert!(diff.out.contains("1 to change, 1 unchanged"), "{}", diff.out);
    assert!(diff.out.contains("data.password: changed") && !diff.out.contains("url"), "{}", diff.out);
    let diff = desk.eve(&["diff", "-f", "plan.yaml", "-o", "json", "-vvv"]).await.with(0);
    assert!(diff.out.contains("password"), "{}", diff.out);
    assert_eq!(desk.writes().await.len(), 0);
    desk.eve(&APPLY).await.with(0);
    assert_eq!(desk.value("access", "password").await, newer.value());
    assert_eq!(desk.writes().await.len(), 1);

    let run = desk.eve(&["status"]).await.with(0);
    assert!(run.out.contains("shop"), "{}", run.out);
    for shown in [&["timeline"][..], &["runs"], &["get", "components"], &["explain", "-f", "plan.yaml"]] {
        desk.eve(shown).await.with(0);
    }
    // Two reads a command that needs values: two comparisons in text, one in JSON, three runs.
    assert_eq!(desk.asked().len(), 12, "{:?}", desk.asked());
    desk.eve(&["delete", "-f", "plan.yaml"]).await.with(0);
    assert_eq!(desk.asked().len(), 12, "what is removed needs no values");
    desk.assert_clean().await;
}

#[tokio::test]
async fn a_plan_without_secrets_asks_nothing_of_vault() {
    let mut desk = Desk::new("none", &[]).await;
    desk.write(
        "plan.yaml",
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: { name: none, namespace: NAMESPACE }\nspec:\n  components:\n  \
         - { name: a, manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }] } }\n",
    );
    for args in
        [&["diff", "-f", "plan.yaml"][..], &["apply", "-f", "plan.yaml"], &["delete", "-f", "plan.yaml"]]
    {
        let mut command = desk.command(args);
        // Nobody listens there, and what cannot be used is not looked at.
        command
            .env("VAULT_ADDR", "http://127.0.0.1:1")
            .env("VAULT_CACERT", "/nowhere")
            .env_remove("VAULT_TOKEN");
        desk.run(command).await.with(0);
    }
    desk.assert_clean().await;
}
