//! What inference costs: edges in the number of objects, and no work beyond that.

use std::fmt::Write as _;

use super::good;

/// Half of them in a group, the other half waiting for it.
#[test]
fn two_groups_of_many_objects_have_linear_edges() {
    let mut objects = String::new();
    for index in 0..1500 {
        let _ = writeln!(objects, "ConfigMap c{index} | annotations: {{kapp.k14s.io/change-group: x.io/a}}");
        let _ = writeln!(
            objects,
            "Secret s{index} | annotations: {{kapp.k14s.io/change-rule: upsert after upserting x.io/a}}"
        );
    }
    assert_eq!(good(&objects).edges().count(), 3000);
}

#[test]
fn policies_waves_webhooks_and_budgets_have_linear_edges() {
    let mut objects = String::from(
        "Deployment hook | | spec: {template: {metadata: {labels: {app: hook}}, spec: {containers: [{name: c}]}}}\n\
         Service hook | | spec: {selector: {app: hook}}\n\
         ValidatingWebhookConfiguration v | | webhooks: [{name: a, clientConfig: {service: {name: hook, namespace: shop}}, \
         rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]}]\n",
    );
    for index in 0..300 {
        let wave = index % 3;
        let _ = writeln!(objects, "NetworkPolicy n{index}");
        let _ = writeln!(
            objects,
            "Pod p{index} | labels: {{app: a}}, annotations: {{argocd.argoproj.io/sync-wave: '{wave}'}} | spec: {{containers: [{{name: c}}]}}"
        );
        let _ = writeln!(
            objects,
            "PodDisruptionBudget b{index} | | spec: {{selector: {{matchLabels: {{app: a}}}}}}"
        );
        let _ =
            writeln!(objects, "RoleBinding r{index} | | subjects: [{{kind: ServiceAccount, name: default}}]");
    }
    let count = good(&objects).edges().count();
    assert!(count < 10 * 1200, "{count} edges");
}

#[test]
fn operators_and_their_resources_have_linear_edges() {
    let mut objects = String::new();
    for index in 0..300 {
        let _ = writeln!(
            objects,
            "CustomResourceDefinition d{index} | | spec: {{group: x.io, names: {{kind: Widget{index}, plural: w{index}}}}}\n\
             Widget{index}:x.io/v1 w\n\
             Deployment p{index} | | spec: {{template: {{spec: {{containers: [{{name: c}}]}}}}}}\n\
             ClusterRole r{index} | | rules: [{{apiGroups: ['*'], resources: ['*'], verbs: ['*']}}]\n\
             ClusterRoleBinding r{index} | | roleRef: {{kind: ClusterRole, name: r{index}}}, \
                 subjects: [{{kind: ServiceAccount, name: default, namespace: shop}}]"
        );
    }
    let count = good(&objects).edges().count();
    assert!(count < 10 * 1500, "{count} edges");
}
