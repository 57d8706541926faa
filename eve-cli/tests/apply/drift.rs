//! A shop that is there already: what its author changed is written, what others took is put right or named.

use eve_testbed::{ControlPlane, Entries};
use serde_json::{Value, json};

use super::{Ended, eve};

const SHOP: &str = include_str!("../../../examples/plans/shop.yaml");

/// The shop in a namespace.
struct Shop {
    control_plane: &'static ControlPlane,
    namespace: String,
}

impl Shop {
    /// Applies the plan; how that ended, and the requests of `eve`.
    async fn apply(&self, plan: &str) -> (Ended, Entries) {
        let mark = self.control_plane.audit().mark().await;
        let ended = eve(self.control_plane, &["apply", "-f", "-"], plan).await;
        let requests = self.control_plane.audit().settle().await.since(mark).by_user("eve");
        (ended, requests.in_namespace(&self.namespace))
    }

    /// Nothing is written.
    async fn nothing_to_do_with(&self, args: &[&str], input: &str) {
        let mark = self.control_plane.audit().mark().await;
        let ended = eve(self.control_plane, args, input).await;
        let requests = self.control_plane.audit().settle().await.since(mark).by_user("eve");
        let requests = requests.in_namespace(&self.namespace);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(requests.writes().is_empty(), "{requests:?}");
    }

    /// Nothing is written or tried; each kind is listed once and watched once.
    async fn nothing_to_do(&self, plan: &str, why: &str) {
        let requests = self.writes_nothing(plan, why).await;
        for (read, count) in requests.count_by(|entry| (entry.verb.clone(), entry.resource.clone())) {
            let is_shared = ["list", "watch"].contains(&read.0.as_str());
            assert!(is_shared && count == 1, "{why}: {read:?}: {requests:?}");
        }
    }

    /// Nothing is written or tried; what is not up yet is waited for.
    async fn writes_nothing(&self, plan: &str, why: &str) -> Entries {
        let (ended, requests) = self.apply(plan).await;
        assert_eq!(ended.code, Some(0), "{why}: {}", ended.err);
        assert!(requests.writes().is_empty() && requests.dry_runs().is_empty(), "{why}: {requests:?}");
        requests
    }

    /// This one object is written, after at most one dry run.
    async fn writes_only(&self, plan: &str, resource: &str, name: &str) {
        let (ended, requests) = self.apply(plan).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let writes = requests.writes();
        let written: Vec<_> =
            writes.iter().map(|entry| (entry.resource.as_str(), entry.name.as_str())).collect();
        assert_eq!(written, [(resource, name)], "{requests:?}");
        assert!(requests.dry_runs().len() <= 1, "{requests:?}");
        self.nothing_to_do(plan, "after the only write").await;
    }

    /// Somebody else's merge patch.
    async fn patch(&self, object: &str, manager: &str, body: &Value) {
        let (group, rest) = object.rsplit_once(' ').unwrap();
        let path = format!("/{group}/namespaces/{}/{rest}?fieldManager={manager}", self.namespace);
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        let request = request.body(body.to_string().into_bytes()).unwrap();
        self.control_plane.admin_client().await.request::<Value>(request).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_shop_what_changed_is_written_and_what_others_took_is_put_right_or_named() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("drift").await.name().to_owned();
    let selector = "selector: { matchLabels: { app.kubernetes.io/name: mail } }";
    let image = "registry.example.com/shop/basket:1.4.2";
    assert_eq!((SHOP.matches(selector).count(), SHOP.matches(image).count()), (1, 1));
    let plan = SHOP
        .replace("namespace: shop", &format!("namespace: {namespace}"))
        .replace(selector, &format!("replicas: 2\n              {selector}"));
    let shop = Shop { control_plane, namespace };
    assert_eq!(shop.apply(&plan).await.0.code, Some(0));
    shop.nothing_to_do(&plan, "applied again").await;

    let plan = plan.replace(image, "registry.example.com/shop/basket:1.4.3");
    shop.writes_only(&plan, "deployments", "basket").await;

    let replicas = |count: u32| json!({ "spec": { "replicas": count } });
    shop.patch("apis/apps/v1 deployments/cards/scale", "kubectl", &replicas(2)).await;
    shop.writes_nothing(&plan, "nobody asked for a number of cards").await;
    shop.nothing_to_do(&plan, "the cards are up").await;
    shop.patch("apis/apps/v1 deployments/mail/scale", "kubectl", &replicas(3)).await;
    let (ended, requests) = shop.apply(&plan).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(requests.writes().is_empty(), "{requests:?}");
    let named = "Deployment NAMESPACE/mail: a field belongs to `kubectl`, first `.spec.replicas`";
    assert!(ended.err.contains(&named.replace("NAMESPACE", &shop.namespace)), "{}", ended.err);
    shop.patch("apis/apps/v1 deployments/mail/scale", "kubectl", &replicas(2)).await;
    shop.writes_only(&plan, "deployments", "mail").await;

    let no_selector = json!({ "spec": { "selector": null } });
    shop.patch("api/v1 services/cards", "kubectl-edit", &no_selector).await;
    shop.writes_only(&plan, "services", "cards").await;
}

#[tokio::test]
async fn what_kubectl_apply_left_is_no_conflict_and_a_flag_takes_over_what_others_own() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("folder").await.name().to_owned();
    let shop = Shop { control_plane, namespace: namespace.clone() };
    let settings = |value: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "key": value } });
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?fieldManager=kubectl-client-side-apply");
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(settings("1").to_string().into_bytes()).unwrap();
    control_plane.admin_client().await.request::<Value>(request).await.unwrap();
    let eve = async |verb: &[&str], value: &str, code: i32| {
        let args = [verb, &["-n", &namespace, "-f", "-"]].concat();
        let ended = eve(control_plane, &args, &settings(value).to_string()).await;
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        format!("{}{}", ended.out, ended.err)
    };

    eve(&["apply"], "1", 0).await;
    let told = eve(&["apply"], "2", 0).await;
    let taken = "took over: configmap/settings: `.data.key` from `kubectl-client-side-apply`";
    assert!(told.contains(taken), "{told}");

    shop.patch("api/v1 configmaps/settings", "kubectl-edit", &json!({ "data": { "key": "theirs" } })).await;
    let told = eve(&["apply"], "2", 1).await;
    assert!(told.contains("belongs to `kubectl-edit`") && told.contains("`--force-conflicts`"), "{told}");
    let told = eve(&["diff", "--force-conflicts"], "2", 0).await;
    assert!(told.contains("data.key: theirs → \"2\""), "{told}");
    eve(&["apply", "--force-conflicts"], "2", 0).await;
    shop.nothing_to_do_with(&["apply", "-n", &namespace, "-f", "-"], &settings("2").to_string()).await;
}

#[tokio::test]
async fn every_conflict_is_named_at_once_with_its_field_and_its_manager() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("conflicts").await.name().to_owned();
    let shop = Shop { control_plane, namespace: namespace.clone() };
    let settings = |value: &str| {
        ["one", "two", "three", "four"].map(|name| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ key: {value} }}\n---\n")
        })
    };
    let args = ["apply", "-n", &namespace, "-f", "-", "--concurrency", "1"];
    let applied = eve(control_plane, &args, &settings("ours").concat()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    for (name, manager) in [("one", "kubectl-edit"), ("three", "their-operator"), ("four", "kubectl-edit")] {
        let theirs = json!({ "data": { "key": "theirs" } });
        shop.patch(&format!("api/v1 configmaps/{name}"), manager, &theirs).await;
    }
    let ended = eve(control_plane, &args, &settings("ours").concat()).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    for (name, manager) in [("one", "kubectl-edit"), ("three", "their-operator"), ("four", "kubectl-edit")] {
        let mut lines =
            ended.err.lines().filter(|line| line.contains(&format!("ConfigMap {namespace}/{name}")));
        let named = |line: &str| line.contains(&format!("`{manager}`")) && line.contains("`.data.key`");
        assert!(lines.any(named), "{name}: {}", ended.err);
    }
    assert!(!ended.err.contains(&format!("ConfigMap {namespace}/two")), "{}", ended.err);
}
