//! Fields that others have a say in: autoscalers.

use serde_json::json;

use super::*;

const CONTROLLERS: &str = "kube-controller-manager";

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
