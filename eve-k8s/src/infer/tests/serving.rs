//! Rules about what the API server asks others.

use super::{check, check_place};

/// A program behind a Service, and what makes the API server ask it.
const BACKEND: &str =
    "Deployment hook | | spec: {template: {metadata: {labels: {app: hook}}, spec: {containers: [{name: c}]}}}
Service hook | | spec: {selector: {app: hook}}";

fn webhook(fields: &str) -> String {
    format!(
        "{BACKEND}\nValidatingWebhookConfiguration v | | \
         webhooks: [{{name: a, clientConfig: {{service: {{name: hook, namespace: shop}}}}, {fields}}}]"
    )
}

const WIDGETS: &str =
    "rules: [{operations: [CREATE], apiGroups: [x.io], apiVersions: [v1], resources: [widgets]}]";

const GATED: [&str; 2] =
    ["deployment/hook < widget/w", "validatingwebhookconfiguration/v (applied) < widget/w"];

#[test]
fn what_a_webhook_intercepts_waits_for_its_workload() {
    let rule = "intercepted";
    let widget = "Widget w | labels: {team: a}";
    let asked = |fields: &str| format!("{}\n{widget}", webhook(fields));
    check(rule, &asked(WIDGETS), &GATED);
    for rules in [
        "rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: [widgets]}]",
        "rules: [{operations: [UPDATE], apiGroups: [x.io], apiVersions: [v1], resources: ['*/*'], scope: Namespaced}]",
        "rules: [{operations: [DELETE]}, {operations: [UPDATE], apiGroups: [x.io], apiVersions: [v1], resources: [widgets]}]",
        // Versions are converted.
        "rules: [{operations: [CREATE], apiGroups: [x.io], apiVersions: [v2], resources: [widgets]}]",
    ] {
        check(rule, &asked(rules), &GATED);
    }
    for rules in [
        "rules: [{operations: [DELETE], apiGroups: [x.io], apiVersions: [v1], resources: [widgets]}]",
        "rules: [{operations: [CREATE], apiGroups: [y.io], apiVersions: [v1], resources: [widgets]}]",
        "rules: [{operations: [CREATE], apiGroups: [x.io], apiVersions: [v1], resources: [widgets/status]}]",
        "rules: [{operations: [CREATE], apiGroups: [x.io], apiVersions: [v1], resources: [widgets], scope: Cluster}]",
        "matchPolicy: Exact, rules: [{operations: [CREATE], apiGroups: [x.io], apiVersions: [v2], resources: [widgets]}]",
    ] {
        check(rule, &asked(rules), &[]);
    }
    // Without a workload nobody knows when it answers.
    let outside = asked(WIDGETS).replace("selector: {app: hook}", "externalName: x");
    check(rule, &outside, &[]);
    check_place(rule, &asked(WIDGETS), "service");
}

#[test]
fn what_goes_on_without_an_answer_waits_only_where_it_may_be_changed() {
    let rule = "intercepted";
    let all = "rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]";
    let ignored = webhook(&format!("failurePolicy: Ignore, {all}"));
    let definition =
        "CustomResourceDefinition d | | spec: {group: y.io, names: {kind: Gadget, plural: gadgets}}";
    let asked = |webhook: &str| format!("{webhook}\n{definition}\nWidget w");
    check(rule, &asked(&ignored), &[]);
    let mutating = ignored.replace("Validating", "Mutating");
    let wanted = GATED.map(|edge| edge.replace("validating", "mutating"));
    check(rule, &asked(&mutating), &wanted.each_ref().map(String::as_str));
    // Without rules nothing is asked.
    check(rule, &asked(&webhook("sideEffects: None")), &[]);
}

#[test]
fn selectors_of_a_webhook_are_looked_at() {
    let rule = "intercepted";
    let asked = |fields: &str, more: &str| {
        format!("{}\nWidget w | labels: {{team: a}}\n{more}", webhook(&format!("{fields}, {WIDGETS}")))
    };
    check(rule, &asked("objectSelector: {matchLabels: {team: a}}", ""), &GATED);
    check(rule, &asked("objectSelector: {matchLabels: {team: b}}", ""), &[]);
    let by_name = "namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: OP, values: [shop]}]}";
    check(rule, &asked(&by_name.replace("OP", "In"), ""), &GATED);
    check(rule, &asked(&by_name.replace("OP", "NotIn"), ""), &[]);
    let by_label = "namespaceSelector: {matchLabels: {guarded: yes!}}".replace("yes!", "'yes'");
    check(rule, &asked(&by_label, "Namespace shop | labels: {guarded: 'yes'}"), &GATED);
    check(rule, &asked(&by_label, "Namespace shop"), &[]);
    // The namespace is not in the input: it may have the label.
    check(rule, &asked(&by_label, ""), &GATED);
}

#[test]
fn plurals_are_those_of_the_definition_or_of_the_language() {
    let rule = "intercepted";
    let of = |group: &str, plural: &str| {
        webhook(&format!(
            "rules: [{{operations: [CREATE], apiGroups: [{group}], apiVersions: ['*'], resources: [{plural}]}}]"
        ))
    };
    let definition =
        "CustomResourceDefinition d | | spec: {group: x.io, names: {kind: Widget, plural: widgetry}}";
    check(rule, &format!("{}\n{definition}\nWidget w", of("x.io", "widgetry")), &GATED);
    check(rule, &format!("{}\n{definition}\nWidget w", of("x.io", "widgets")), &[]);
    for (object, group, plural) in [
        ("NetworkPolicy w", "networking.k8s.io", "networkpolicies"),
        ("Ingress w", "networking.k8s.io", "ingresses"),
        ("Endpoints w", "''", "endpoints"),
        ("Gateway w", "gateway.networking.k8s.io", "gateways"),
        ("ConfigMap w", "''", "configmaps"),
    ] {
        let name = format!("{}/w", object.split_once(' ').unwrap().0.to_lowercase());
        // A policy guards the workload behind the webhook itself, which comes after it.
        let wanted = GATED.map(|edge| edge.replace("widget/w", &name));
        let wanted: &[String] = if object.starts_with("NetworkPolicy") { &[] } else { &wanted };
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        check(rule, &format!("{}\n{object}", of(group, plural)), &wanted);
    }
}

#[test]
fn a_workload_counts_as_the_pods_that_it_makes() {
    let pods = "rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]";
    let web = "Deployment web | | spec: {template: {metadata: {labels: {inject: a}}, spec: {containers: [{name: c}]}}}";
    let wanted = GATED.map(|edge| edge.replace("widget/w", "deployment/web"));
    let wanted = [wanted[0].as_str(), wanted[1].as_str()];
    check("intercepted", &format!("{}\n{web}", webhook(pods)), &wanted);
    let selected = format!("objectSelector: {{matchLabels: {{inject: a}}}}, {pods}");
    check("intercepted", &format!("{}\n{web}", webhook(&selected)), &wanted);
    let other = format!("objectSelector: {{matchLabels: {{inject: b}}}}, {pods}");
    check("intercepted", &format!("{}\n{web}", webhook(&other)), &[]);
}

#[test]
fn what_a_webhook_needs_itself_does_not_wait_for_it() {
    let all = "rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*']}]";
    let needs = webhook(all).replace("{containers:", "{serviceAccountName: hook, containers:");
    check(
        "intercepted",
        &format!("{needs}\nNamespace shop\nServiceAccount hook\nConfigMap c"),
        &["deployment/hook < configmap/c", "validatingwebhookconfiguration/v (applied) < configmap/c"],
    );
}

#[test]
fn many_webhooks_and_many_objects_meet_at_a_join() {
    check(
        "intercepted",
        &format!("{}\nWidget w\nWidget x", webhook(WIDGETS)),
        &[
            "all:intercepted/shop/hook < widget/w",
            "all:intercepted/shop/hook < widget/x",
            "deployment/hook < all:intercepted/shop/hook",
            "validatingwebhookconfiguration/v (applied) < all:intercepted/shop/hook",
        ],
    );
}

#[test]
fn what_an_aggregated_api_serves_waits_for_it() {
    let service =
        "APIService v1.x.io | | spec: {group: x.io, version: v1, service: {name: hook, namespace: shop}}";
    check(
        "served",
        &format!("{BACKEND}\n{service}\nWidget w\nWidget:x.io/v2 other\nGadget:y.io/v1 g"),
        &["apiservice/v1.x.io < widget/w", "deployment/hook < widget/w"],
    );
    // One that the API server serves itself, of a definition.
    check("served", "APIService v1.x.io | | spec: {group: x.io, version: v1}\nWidget w", &[]);
    // Its workload is elsewhere; it is available all the same once that answers.
    check("served", &format!("{service}\nWidget w"), &["apiservice/v1.x.io < widget/w"]);
}

#[test]
fn resources_that_must_be_converted_wait_for_the_webhook() {
    let definition = "CustomResourceDefinition d | | spec: {group: x.io, names: {kind: Widget}, \
        versions: [{name: v1, storage: true}, {name: v2, storage: false}], \
        conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: hook, namespace: shop}}}}}";
    check(
        "converted",
        &format!("{BACKEND}\n{definition}\nWidget w\nWidget:x.io/v2 x"),
        &["deployment/hook < widget/x"],
    );
    check("converted", &format!("{definition}\nWidget:x.io/v2 x"), &[]);
}

const WIDGETRY: &str =
    "CustomResourceDefinition d | | spec: {group: x.io, names: {kind: Widget, plural: widgets}}";

/// A program that runs as `op`, which is bound to a role with this rule.
fn operator(kind: &str, rule: &str) -> String {
    format!(
        "{WIDGETRY}\n\
         {kind} op | | spec: {{template: {{spec: {{serviceAccountName: op, containers: [{{name: c}}]}}}}}}\n\
         ClusterRole op | | rules: [{{{rule}}}]\n\
         ClusterRoleBinding op | | roleRef: {{kind: ClusterRole, name: op}}, \
             subjects: [{{kind: ServiceAccount, name: op, namespace: shop}}]"
    )
}

const MAY_WRITE: &str = "apiGroups: [x.io], resources: [widgets], verbs: [get, patch]";

#[test]
fn custom_resources_come_after_the_program_that_may_write_them() {
    let rule = "operated";
    let with = |rule: &str| operator("Deployment", rule) + "\nWidget w";
    let wanted = ["deployment/op (applied) < widget/w"];
    check(rule, &with(MAY_WRITE), &wanted);
    check_place(rule, &with(MAY_WRITE), "resources");
    for enough in [
        "apiGroups: ['*'], resources: ['*'], verbs: ['*']",
        "apiGroups: [y.io, x.io], resources: ['*'], verbs: [update]",
        "apiGroups: [x.io], resources: [widgets/finalizers], verbs: [update]",
    ] {
        check(rule, &with(enough), &wanted);
    }
    for too_little in [
        "apiGroups: [x.io], resources: [widgets], verbs: [get, list, watch, create, delete]",
        "apiGroups: [x.io], resources: [widgets/status], verbs: [patch]",
        "apiGroups: [y.io], resources: [widgets], verbs: [patch]",
        "apiGroups: [x.io], resources: [gadgets], verbs: [patch]",
    ] {
        check(rule, &with(too_little), &[]);
    }
    // One that ends looks after nothing; a kind that is not defined here is somebody else's.
    check(rule, &(operator("Job", MAY_WRITE) + "\nWidget w"), &[]);
    check(rule, &with(MAY_WRITE).replace(WIDGETRY, ""), &[]);
    check(rule, &with(MAY_WRITE).replace("namespace: shop", "namespace: other"), &[]);
}

#[test]
fn rights_through_groups_and_sums_of_roles_count() {
    let rule = "operated";
    let wanted = ["deployment/op (applied) < widget/w"];
    let objects = operator("Deployment", MAY_WRITE) + "\nWidget w";
    let everybody = "kind: Group, name: 'system:serviceaccounts'";
    check(rule, &objects.replace("kind: ServiceAccount, name: op, namespace: shop", everybody), &wanted);
    let sum = objects.replace("ClusterRole op | |", "ClusterRole part | labels: {to: op} |")
        + "\nClusterRole op | | aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: op}}]}";
    check(rule, &sum, &wanted);
    check("aggregated-role", &sum, &["clusterrole/part (applied) < clusterrole/op"]);
    check("aggregated-role", &sum.replace("labels: {to: op}", "labels: {to: other}"), &[]);
}

#[test]
fn what_an_operator_needs_itself_does_not_wait_for_it() {
    let objects = operator("Deployment", MAY_WRITE)
        .replace("Deployment op | |", "Deployment op | annotations: {eve.dev/depends-on: widget/w} |");
    check("operated", &(objects + "\nWidget w\nWidget x"), &["deployment/op (applied) < widget/x"]);
}

#[test]
fn many_operators_and_many_resources_meet_at_a_join() {
    let second =
        "Deployment two | | spec: {template: {spec: {serviceAccountName: op, containers: [{name: c}]}}}";
    check(
        "operated",
        &format!("{}\n{second}\nWidget w\nWidget x", operator("Deployment", MAY_WRITE)),
        &[
            "all:operated/widgets.x.io < widget/w",
            "all:operated/widgets.x.io < widget/x",
            "deployment/op (applied) < all:operated/widgets.x.io",
            "deployment/two (applied) < all:operated/widgets.x.io",
        ],
    );
}
