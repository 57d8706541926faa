//! Annotations: what they ask for, and what is wrong with them.

use super::{check, check_place, problems};

fn annotated(object: &str, key: &str, value: &str) -> String {
    format!("{object} | annotations: {{{key}: '{value}'}}")
}

#[test]
fn depends_on_names_objects() {
    let rule = "eve.dev/depends-on";
    let others = "ConfigMap a\nConfigMap other/b\nClusterRole c\nWidget d\nWidget:y.io/v1 d";
    for (value, wanted) in [
        ("configmap/a", "configmap/a < pod/p"),
        ("ConfigMap/a", "configmap/a < pod/p"),
        ("applied=configmap/a", "configmap/a (applied) < pod/p"),
        ("ready=configmap/a", "configmap/a < pod/p"),
        ("ConfigMap/other/b", "configmap/b < pod/p"),
        ("clusterrole/c", "clusterrole/c < pod/p"),
        ("clusterrole.rbac.authorization.k8s.io/c", "clusterrole.rbac.authorization.k8s.io/c < pod/p"),
        ("Widget.x.io/d", "widget/d < pod/p"),
    ] {
        let wanted = wanted.replace("clusterrole.rbac.authorization.k8s.io", "clusterrole");
        let wanted = wanted.replace("widget/d", "widget.x.io/d");
        check(rule, &format!("{}\n{others}", annotated("Pod p", rule, value)), &[&wanted]);
    }
    check(
        rule,
        &format!("{}\n{others}", annotated("Pod p", rule, "configmap/a, clusterrole/c,")),
        &["clusterrole/c < pod/p", "configmap/a < pod/p"],
    );
    check_place(rule, &format!("{}\n{others}", annotated("Pod p", rule, "configmap/a")), "'configmap/a'");
}

#[test]
fn bad_depends_on_is_an_error() {
    let key = "eve.dev/depends-on";
    for (value, wanted) in [
        ("a", "error object.bad-dependency: `eve.dev/depends-on` does not name an object: `a`"),
        ("/a", "error object.bad-dependency: `eve.dev/depends-on` does not name an object: `/a`"),
        ("a/b/c/d", "error object.bad-dependency: `eve.dev/depends-on` does not name an object: `a/b/c/d`"),
        (
            "pod/p",
            "error object.bad-dependency: `eve.dev/depends-on` makes the object wait for itself: `pod/p`",
        ),
        (
            "configmap/b",
            "error object.unknown-dependency: `eve.dev/depends-on` names `configmap/b`, which is not in the input",
        ),
        ("widget/d", "error object.bad-dependency: `eve.dev/depends-on` names several objects: `widget/d`"),
    ] {
        let objects = format!("{}\nConfigMap a\nWidget d\nWidget:y.io/v1 d", annotated("Pod p", key, value));
        assert_eq!(problems(&objects), [wanted], "{value}");
    }
}

#[test]
fn depends_on_of_cli_utils_is_understood() {
    let rule = "config.kubernetes.io/depends-on";
    let others = "ConfigMap a\nStatefulSet other/db\nClusterRole c";
    for (value, wanted) in [
        ("/namespaces/shop/ConfigMap/a", "configmap/a < pod/p"),
        ("apps/namespaces/other/StatefulSet/db", "statefulset/db < pod/p"),
        ("rbac.authorization.k8s.io/ClusterRole/c", "clusterrole/c < pod/p"),
    ] {
        check(rule, &format!("{}\n{others}", annotated("Pod p", rule, value)), &[wanted]);
    }
    check(
        rule,
        &format!(
            "{}\n{others}",
            annotated("Pod p", rule, "/namespaces/shop/ConfigMap/a, rbac.authorization.k8s.io/ClusterRole/c")
        ),
        &["clusterrole/c < pod/p", "configmap/a < pod/p"],
    );
    for value in ["ConfigMap/a", "apps/namespace/shop/Deployment/a", "/namespaces/shop/ConfigMap/"] {
        let found = problems(&format!("{}\n{others}", annotated("Pod p", rule, value)));
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with("error object.bad-dependency")),
            "{found:?}"
        );
    }
    let found =
        problems(&format!("{}\n{others}", annotated("Pod p", rule, "/namespaces/shop/ConfigMap/gone")));
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with("warning object.unknown-dependency")),
        "{found:?}"
    );
}

const GROUP: &str = "kapp.k14s.io/change-group";
const RULE: &str = "kapp.k14s.io/change-rule";

#[test]
fn change_rules_of_kapp_are_understood() {
    let member = annotated("ConfigMap a", GROUP, "x.io/db");
    let wanted = &["configmap/a < pod/p"];
    for (key, value) in [
        (RULE.to_owned(), "upsert after upserting x.io/db"),
        (format!("{RULE}.one"), "upsert after upserting x.io/db"),
    ] {
        check(RULE, &format!("{member}\n{}", annotated("Pod p", &key, value)), wanted);
    }
    let suffixed = annotated("ConfigMap a", &format!("{GROUP}.two"), "x.io/db");
    check(
        RULE,
        &format!("{suffixed}\n{}", annotated("Pod p", RULE, "upsert after upserting x.io/db")),
        wanted,
    );
    check(
        RULE,
        &format!("{member}\n{}", annotated("Pod p", RULE, "upsert before upserting x.io/db")),
        &["pod/p < configmap/a"],
    );
    for value in [
        "delete before upserting x.io/db",
        "upsert after deleting x.io/db",
        "upsert after upserting x.io/other",
    ] {
        check(RULE, &format!("{member}\n{}", annotated("Pod p", RULE, value)), &[]);
    }
    let placeholder = annotated("ConfigMap a", GROUP, "x.io/{kind}-{name}-{namespace}");
    let after = annotated("Pod p", RULE, "upsert after upserting x.io/ConfigMap-a-shop");
    check(RULE, &format!("{placeholder}\n{after}"), wanted);
    // Who waits for a group and is in it comes after the others.
    let both = format!("Pod p | annotations: {{{GROUP}: x.io/db, {RULE}: upsert after upserting x.io/db}}");
    check(RULE, &format!("{member}\n{both}"), wanted);
}

#[test]
fn bad_change_rules_are_errors() {
    for (key, value) in [
        (RULE, "after x.io/db"),
        (RULE, "upsert after upserting"),
        (RULE, "insert after upserting x.io/db"),
        (RULE, "upsert after upserting {who}"),
        (GROUP, "a b"),
        (GROUP, "x.io/{crd-kind}"),
    ] {
        let found = problems(&annotated("Pod p", key, value));
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with("error object.bad-dependency")),
            "{value}: {found:?}"
        );
    }
}

const WAVE: &str = "argocd.argoproj.io/sync-wave";
const WEIGHT: &str = "werf.io/weight";

#[test]
fn waves_and_weights_go_one_after_the_other() {
    for (rule, join) in [(WAVE, "sync-wave"), (WEIGHT, "weight")] {
        let objects = format!(
            "{}\nConfigMap b\n{}\n{}",
            annotated("ConfigMap a", rule, "-1"),
            annotated("ConfigMap c", rule, "0"),
            annotated("ConfigMap d", rule, "5"),
        );
        let edges = [
            "all:W/-1 < configmap/b",
            "all:W/-1 < configmap/c",
            "all:W/0 < configmap/d",
            "configmap/a < all:W/-1",
            "configmap/b < all:W/0",
            "configmap/c < all:W/0",
        ];
        let edges = edges.map(|edge| edge.replace('W', join));
        check(rule, &objects, &edges.each_ref().map(String::as_str));
        check(rule, "ConfigMap a\nConfigMap b", &[]);
        let found = problems(&annotated("ConfigMap a", rule, "first"));
        assert!(
            matches!(found.as_slice(), [one] if one.contains("is no whole number: `first`")),
            "{found:?}"
        );
    }
}

#[test]
fn deploy_dependencies_of_werf_are_understood() {
    let rule = "werf.io/deploy-dependency";
    let others = "StatefulSet db\nStatefulSet other/cache\nJob migrate";
    for (value, wanted) in [
        ("state=ready,kind=StatefulSet,name=db", &["statefulset/db < pod/p"][..]),
        ("state=present,kind=Job,name=migrate", &["job/migrate (applied) < pod/p"]),
        ("state=ready, kind=statefulset, namespace=other", &["statefulset/cache < pod/p"]),
        ("state=ready,group=apps,version=v1", &["statefulset/cache < pod/p", "statefulset/db < pod/p"]),
    ] {
        check(
            rule,
            &format!("{}\n{others}", annotated("Pod p", "werf.io/deploy-dependency-x", value)),
            wanted,
        );
    }
    for value in ["kind=Job", "state=gone,kind=Job", "state=ready", "state=ready,colour=red", "ready"] {
        let found =
            problems(&format!("{}\n{others}", annotated("Pod p", "werf.io/deploy-dependency-x", value)));
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with("error object.bad-dependency")),
            "{value}: {found:?}"
        );
    }
    let found = problems(&format!(
        "{}\n{others}",
        annotated("Pod p", "werf.io/deploy-dependency-x", "state=ready,name=gone")
    ));
    assert!(
        matches!(found.as_slice(), [one] if one.starts_with("warning object.unknown-dependency")),
        "{found:?}"
    );
}

#[test]
fn the_weight_of_what_has_a_deploy_dependency_counts_for_nothing() {
    let own =
        "Pod p | annotations: {werf.io/weight: '-5', werf.io/deploy-dependency-x: 'state=ready,name=a'}";
    check(
        WEIGHT,
        &format!("{own}\nConfigMap a\n{}", annotated("ConfigMap b", WEIGHT, "1")),
        &["all:weight/0 < configmap/b", "configmap/a < all:weight/0"],
    );
}
