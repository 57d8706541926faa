//! What holds for edges of all rules together: cycles, doubles, what is left out.

use std::fmt::Write as _;

use super::{check, edges, good, problems};

const DEPENDS: &str = "eve.dev/depends-on";

#[test]
fn a_written_edge_wins_over_an_inferred_one() {
    let objects = format!(
        "ConfigMap c | annotations: {{{DEPENDS}: pod/p}}\n\
         Pod p | | spec: {{containers: [{{name: c, envFrom: [{{configMapRef: {{name: c}}}}]}}]}}"
    );
    assert_eq!(
        problems(&objects),
        ["warning manifests.left-out: ConfigMap c is not put before Pod p (rule `configuration`): \
          it would close a cycle, for Pod p before ConfigMap c"]
    );
    let loaded = good(&objects);
    assert_eq!(edges(&loaded), [(DEPENDS, "pod/p < configmap/c".to_owned())]);
    assert!(loaded.graph().is_ok());
}

#[test]
fn written_edges_that_contradict_each_other_are_an_error() {
    let objects = format!(
        "ConfigMap a | annotations: {{{DEPENDS}: configmap/b}}\n\
         ConfigMap b | annotations: {{{DEPENDS}: configmap/c}}\n\
         ConfigMap c | annotations: {{{DEPENDS}: configmap/a}}"
    );
    assert_eq!(
        problems(&objects),
        ["error manifests.order: `eve.dev/depends-on` asks for ConfigMap a before ConfigMap c, \
          but other annotations ask for ConfigMap c before ConfigMap b before ConfigMap a"]
    );
}

#[test]
fn of_inferred_edges_in_a_cycle_the_weakest_is_left_out() {
    // A webhook that intercepts what another webhook needs, and the other way round.
    let hook = |name: &str| {
        format!(
            "Deployment {name} | labels: {{hook: {name}}} | spec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c}}]}}}}}}\n\
             Service {name} | | spec: {{selector: {{app: {name}}}}}\n"
        )
    };
    let configuration = |name: &str, other: &str| {
        format!(
            "ValidatingWebhookConfiguration {name} | | webhooks: [{{name: a, \
             objectSelector: {{matchLabels: {{hook: {other}}}}}, clientConfig: {{service: {{name: {name}, namespace: shop}}}}, \
             rules: [{{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}}]}}]\n"
        )
    };
    let objects = [hook("a"), hook("b"), configuration("a", "b"), configuration("b", "a")].concat();
    let problems = problems(&objects);
    assert_eq!(
        problems,
        ["warning manifests.left-out: Deployment b is not put before Deployment a (rule `intercepted`): \
          it would close a cycle, for Deployment a before Deployment b"]
    );
    assert!(good(&objects).graph().is_ok());
}

#[test]
fn several_reasons_for_an_edge_make_one_edge_as_far_as_the_furthest() {
    let objects = format!(
        "ConfigMap c\nPod p | annotations: {{{DEPENDS}: configmap/c}} | spec: {{containers: [{{name: c, \
         env: [{{name: A, valueFrom: {{configMapKeyRef: {{name: c, key: a}}}}}}, {{name: B, valueFrom: {{configMapKeyRef: {{name: c, key: b}}}}}}]}}]}}"
    );
    assert_eq!(edges(&good(&objects)), [(DEPENDS, "configmap/c < pod/p".to_owned())]);
}

#[test]
fn a_wave_before_what_the_object_needs_is_named() {
    let objects = "Pod p | annotations: {argocd.argoproj.io/sync-wave: '-1'} | spec: {containers: [{name: c, envFrom: [{configMapRef: {name: c}}]}]}\nConfigMap c";
    let found = problems(objects);
    assert!(
        matches!(found.as_slice(), [one] if one.contains("Pod p before all:sync-wave/-1 before ConfigMap c")),
        "{found:?}"
    );
}

#[test]
fn of_many_edges_that_are_left_out_a_few_are_named() {
    let mut objects = String::new();
    for index in 0..7 {
        let wave = "annotations: {argocd.argoproj.io/sync-wave: '-1'}";
        let spec =
            format!("spec: {{containers: [{{name: c, envFrom: [{{configMapRef: {{name: c{index}}}}}]}}]}}");
        let _ = writeln!(objects, "Pod p{index} | {wave} | {spec}\nConfigMap c{index}");
    }
    let diagnostics = good(&objects).warnings();
    let messages: Vec<&str> = diagnostics.list.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert!(
        messages.contains(&"4 further edges of rule `configuration` are left out: they would close cycles"),
        "{messages:?}"
    );
}

#[test]
fn objects_without_references_have_no_edges() {
    let loaded = good("ConfigMap a\nSecret b\nService c\nDeployment d\nRole e");
    assert_eq!(edges(&loaded), []);
}

#[test]
fn names_of_joins_are_distinct_and_valid() {
    let group = |name: &str, group: &str| {
        format!("ConfigMap {name} | annotations: {{kapp.k14s.io/change-group: '{group}'}}\n")
    };
    let after = |name: &str, group: &str| {
        format!("Pod {name} | annotations: {{kapp.k14s.io/change-rule: 'upsert after upserting {group}'}}\n")
    };
    let long = "x".repeat(300);
    let mut objects = String::new();
    for (index, name) in ["a//b", "a/b", "a+b", "a*b", long.as_str()].iter().enumerate() {
        for copy in ["x", "y"] {
            objects.push_str(&group(&format!("{copy}{index}"), name));
            objects.push_str(&after(&format!("{copy}{index}"), name));
        }
    }
    check("no-such-rule", &objects, &[]);
}
