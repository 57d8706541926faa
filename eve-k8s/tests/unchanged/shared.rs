//! Fields that others have a say in: autoscalers, and what `kubectl apply` has left.

use serde_json::json;

use super::*;

const CONTROLLERS: &str = "kube-controller-manager";
const KUBECTL: &str = "kubectl-client-side-apply";

fn scaler(min: i64) -> Value {
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let spec = json!({ "scaleTargetRef": target, "minReplicas": min, "maxReplicas": 9 });
    object("autoscaling/v2", "HorizontalPodAutoscaler", "web", json!({ "spec": spec }))
}

impl Place {
    fn web(&self) -> String {
        self.path("apis/apps/v1", "deployments", "web")
    }

    async fn scale(&self, replicas: i64, manager: &str) {
        let path = format!("{}/scale?fieldManager={manager}", self.web());
        let change = json!({ "spec": { "replicas": replicas } });
        self.other("PATCH", &path, "application/merge-patch+json", &change).await;
    }

    async fn replicas(&self) -> Value {
        self.get(&self.web()).await["spec"]["replicas"].clone()
    }

    /// Made by `kubectl apply`, as it is without `--server-side`.
    async fn by_kubectl(&self, object: &Value) {
        let path = self.path("api/v1", "configmaps", "settings");
        let path = format!("{}?fieldManager={KUBECTL}", path.trim_end_matches("/settings"));
        self.other("POST", &path, "application/json", object).await;
    }
}

#[tokio::test]
async fn what_an_autoscaler_of_the_input_scales_is_left_to_it() {
    let place = Place::new("scaled").await;
    let mut objects = [deployment(1), scaler(3)];
    place.apply(&objects).await;
    place.scale(4, CONTROLLERS).await;
    let (ended, entries) = place.apply(&objects).await;
    assert_eq!(only(&ended.changes, Change::None).len(), objects.len(), "{ended:?}");
    assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");

    objects[0]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example.com/web:2");
    let (ended, entries) = place.apply(&objects).await;
    assert_eq!(only(&ended.changes, Change::Update), ["Deployment web"], "{ended:?}");
    assert_eq!(entries.writes().len(), 1, "{entries:?}");
    assert_eq!(place.replicas().await, 4);
}

#[tokio::test]
async fn a_count_that_only_eve_owns_stays_what_it_is_beside_an_autoscaler() {
    let place = Place::new("scaled-by-nobody").await;
    // It has no reason to write.
    place.apply(&[deployment(3), scaler(3)]).await;
    let (ended, entries) = place.apply(&[deployment(1), scaler(3)]).await;
    assert!(entries.writes().is_empty(), "{ended:?} {entries:?}");
    let mut objects = [deployment(1), scaler(3)];
    objects[0]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example.com/web:2");
    place.apply(&objects).await;
    assert_eq!(place.replicas().await, 3, "given up by its only owner it would become 1");
}

#[tokio::test]
async fn an_autoscaler_outside_the_input_is_known_by_its_manager() {
    let place = Place::new("scaled-outside").await;
    let objects = [deployment(1)];
    place.apply(&objects).await;
    place.scale(4, CONTROLLERS).await;
    let (ended, entries) = place.apply(&objects).await;
    assert_eq!(only(&ended.changes, Change::None).len(), objects.len(), "{ended:?}");
    assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");
    assert_eq!(place.replicas().await, 4);
}

#[tokio::test]
async fn what_its_controller_reports_of_an_autoscaler_of_any_version_costs_nothing() {
    let place = Place::new("reported").await;
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody" });
    let scaler = |api: &str, name: &str, more: Value| {
        let mut spec = json!({ "scaleTargetRef": target, "maxReplicas": 2 });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object(api, "HorizontalPodAutoscaler", name, json!({ "spec": spec }))
    };
    let objects = [
        scaler("autoscaling/v1", "old", json!({ "targetCPUUtilizationPercentage": 80 })),
        scaler("autoscaling/v1", "plain", json!({})),
        scaler("autoscaling/v2", "new", json!({})),
    ];
    place.apply(&objects).await;
    for name in ["old", "plain", "new"] {
        let path = place.path("apis/autoscaling/v2", "horizontalpodautoscalers", name);
        while place.get(&path).await["status"]["conditions"].is_null() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let (ended, entries) = place.apply(&objects).await;
    assert_eq!(only(&ended.changes, Change::None).len(), objects.len(), "{ended:?}");
    assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");
}

#[tokio::test]
async fn fields_of_kubectl_apply_are_taken_over_on_what_eve_manages_and_that_is_told() {
    let place = Place::new("kubectl").await;
    let settings = place.path("api/v1", "configmaps", "settings");
    place.by_kubectl(&config_map("1")).await;
    let ended = place.run(place.graph(&[config_map("2")])).await;
    let failure = &ended.failures["ConfigMap settings"];
    assert!(failure.contains(KUBECTL), "eve does not manage it yet: {failure}");

    place.apply(&[config_map("1")]).await;
    let (ended, entries) = place.apply(&[config_map("2")]).await;
    assert_eq!(only(&ended.changes, Change::Update), ["ConfigMap settings"], "{ended:?}");
    let told = &ended.taken["ConfigMap settings"];
    assert!(told.contains("`.data.key`") && told.contains(KUBECTL), "{told}");
    assert_eq!(place.get(&settings).await["data"]["key"], "2");
    assert_eq!(entries.writes().iter().filter(|entry| entry.code < Some(400)).count(), 1, "{entries:?}");
    let (ended, _) = place.apply(&[config_map("2")]).await;
    assert!(ended.taken.is_empty(), "{ended:?}");
}

#[tokio::test]
async fn what_kubectl_apply_shares_with_others_is_not_taken_over() {
    let place = Place::new("kubectl-and").await;
    place.by_kubectl(&config_map("1")).await;
    place.apply(&[config_map("1")]).await;
    let settings = place.path("api/v1", "configmaps", "settings");
    place.merge(&settings, json!({ "data": { "key": "theirs" } })).await;
    let ended = place.run(place.graph(&[config_map("2")])).await;
    let failure = &ended.failures["ConfigMap settings"];
    assert!(failure.contains("`somebody`"), "{failure}");
    assert_eq!(place.get(&settings).await["data"]["key"], "theirs");
}
