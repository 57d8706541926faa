//! Jobs that changed or failed are replaced; one that is through never runs again.

use std::time::Duration;

use eve_core::plan::RetryPolicy;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::ports::Executor as _;
use eve_k8s::Difference;
use serde_json::json;

use super::*;
use crate::common::{Told, step_of};

/// What the API server would quote with all the rest of a pod template.
const QUOTED: &str = "a-value-of-the-environment";

fn job(stage: &str, image: &str) -> Value {
    let env = json!([{ "name": "TOKEN", "value": QUOTED }]);
    let main = json!({ "name": "main", "image": format!("registry.example.com/{image}"), "env": env });
    let template = json!({
        "metadata": { "labels": { "app": "job" }, "annotations": { STAGE: stage } },
        "spec": { "restartPolicy": "Never", "containers": [main] },
    });
    object("batch/v1", "Job", "job", json!({ "spec": { "backoffLimit": 0, "template": template } }))
}

impl Place {
    async fn executor(&self) -> KubeExecutor {
        let options = KubeConfigOptions::default().with_kubeconfig(self.control_plane.kubeconfig_path());
        KubeExecutor::builder(connect(&options).await.unwrap()).build()
    }

    async fn job(&self) -> Value {
        self.get(&self.path("apis/batch/v1", "jobs", "job")).await
    }

    async fn is_there(&self, job: &str) -> bool {
        let request = Request::get(self.path("apis/batch/v1", "jobs", job)).body(Vec::new()).unwrap();
        self.control_plane.admin_client().await.request::<Value>(request).await.is_ok()
    }

    async fn uid(&self) -> String {
        self.job().await["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    async fn difference(&self, object: Value) -> Difference {
        let step = step_of(self.namespace.name(), json!({ "object": object }));
        self.executor().await.difference(&step).await.unwrap()
    }
}

#[tokio::test]
async fn a_failed_job_is_replaced_by_the_next_run_and_a_complete_one_is_not() {
    let place = Place::new("failed-job").await;
    let mut uids = Vec::new();
    for (stage, change, outcome) in [
        ("job-failed", Change::Create, Outcome::Failed),
        ("job-failed", Change::Replace, Outcome::Failed),
        ("complete", Change::Replace, Outcome::Succeeded),
        ("complete", Change::None, Outcome::Succeeded),
    ] {
        let ended = place.run(place.graph(&[job(stage, "a:1")])).await;
        assert_eq!((ended.changes["Job job"], &ended.outcome), (change, &outcome), "{ended:?}");
        uids.push(place.uid().await);
    }
    let anew: Vec<bool> = uids.windows(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(anew, [true, true, false]);
}

#[tokio::test]
async fn the_next_attempt_of_a_run_replaces_a_job_that_failed() {
    let place = Place::new("next-attempt").await;
    let pause = Duration::from_millis(1);
    let retry = RetryPolicy { attempts: 2, backoff: pause, max_backoff: pause };
    let spec = json!({ "object": job("job-failed", "a:1") });
    let component = ComponentBuilder::new("migrate", OBJECT_KIND).spec(spec).retry(retry);
    let plan = PlanBuilder::new("shop", place.namespace.name()).component(component);
    let mark = place.control_plane.audit().mark().await;
    let ended = place.run(Arc::new(Graph::from_plan(&plan).unwrap())).await;
    assert_eq!(ended.outcome, Outcome::Failed, "{ended:?}");
    let entries = place.control_plane.audit().settle().await.since(mark).by_user("eve");
    let writes = entries.in_namespace(place.namespace.name()).writes();
    let verbs: Vec<&str> = writes.iter().map(|entry| entry.verb.as_str()).collect();
    assert_eq!(verbs, ["patch", "delete", "patch"], "{writes:?}");
}

#[tokio::test]
async fn a_changed_job_is_replaced_and_a_diff_says_so() {
    let place = Place::new("changed-job").await;
    place.apply(&[job("complete", "a:1")]).await;
    let before = place.uid().await;
    let Difference::Replace(changes) = place.difference(job("complete", "a:2")).await else { panic!() };
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    assert!(paths.iter().any(|path| path.contains("containers") && path.contains("image")), "{paths:?}");
    let (ended, entries) = place.apply(&[job("complete", "a:2")]).await;
    assert_eq!(only(&ended.changes, Change::Replace), ["Job job"], "{ended:?}");
    let writes = entries.writes();
    let verbs: Vec<&str> = writes.iter().map(|entry| entry.verb.as_str()).collect();
    assert_eq!(verbs, ["delete", "patch"], "{entries:?}");
    assert_ne!(place.uid().await, before);
    // What may change in place does.
    let mut kept = job("complete", "a:2");
    kept["spec"]["activeDeadlineSeconds"] = json!(100);
    let (ended, _) = place.apply(&[kept]).await;
    assert_eq!(only(&ended.changes, Change::Update), ["Job job"], "{ended:?}");
}

#[tokio::test]
async fn a_job_that_may_not_be_replaced_is_refused_without_its_values() {
    let place = Place::new("kept-job").await;
    let mut keep = job("complete", "a:1");
    keep["metadata"]["annotations"] = json!({ labels::KEEP: "true" });
    place.apply(&[keep.clone()]).await;
    keep["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example.com/a:2");
    let never = json!({ "object": job("complete", "a:2"), "replace": "never" });
    for (spec, why) in [(json!({ "object": keep }), labels::KEEP), (never, "`replace: never`")] {
        let step = step_of(place.namespace.name(), spec);
        let failure = place.executor().await.prepare(&step, &Told::context().0).await.unwrap_err();
        let said = format!("{failure:?}");
        assert_eq!(failure.code, "k8s.apply.immutable", "{said}");
        assert!(failure.message.ends_with("`spec.template`: field is immutable"), "{said}");
        assert!(said.contains(why) && !said.contains(QUOTED) && !said.contains("core."), "{said}");
    }
}

#[tokio::test]
async fn who_died_between_deleting_and_making_goes_on_with_making() {
    let place = Place::new("dead-job").await;
    place.apply(&[job("complete", "a:1")]).await;
    let step = step_of(place.namespace.name(), json!({ "object": job("complete", "a:2") }));
    let prepared = place.executor().await.prepare(&step, &Told::context().0).await.unwrap();
    assert_eq!(prepared.change, Change::Replace);
    let before = place.uid().await;
    // The first process comes to the end of its attempt, and nobody hears of it: it is done only once.
    for expected in [Change::Replace, Change::Replace] {
        let executor = place.executor().await;
        let applied = executor.apply(&step, &prepared, &Told::context().0).await.unwrap();
        assert_eq!(applied.change, expected);
    }
    let made = place.uid().await;
    assert_ne!(made, before);
    let path = format!("{}?propagationPolicy=Background", place.path("apis/batch/v1", "jobs", "job"));
    place.other("DELETE", &path, "application/json", &Value::Null).await;
    while place.is_there("job").await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let applied = place.executor().await.apply(&step, &prepared, &Told::context().0).await.unwrap();
    assert_eq!(applied.change, Change::Replace);
    assert_ne!(place.uid().await, made);
}

#[tokio::test]
async fn other_objects_are_replaced_only_where_that_is_asked_for() {
    let place = Place::new("replaced").await;
    let binding = |role: &str| {
        let group = "rbac.authorization.k8s.io";
        let body = json!({ "roleRef": { "apiGroup": group, "kind": "Role", "name": role }, "subjects": [] });
        object(&format!("{group}/v1"), "RoleBinding", "binding", body)
    };
    place.apply(&[binding("a")]).await;
    let ended = place.run(place.graph(&[binding("b")])).await;
    assert!(ended.failures["RoleBinding binding"].contains("roleRef"), "{ended:?}");
    let spec = json!({ "object": binding("b"), "replace": "ifNeeded" });
    let ended = place.run(common::graph_of(place.namespace.name(), [spec])).await;
    assert_eq!(only(&ended.changes, Change::Replace), ["RoleBinding binding"], "{ended:?}");
}

#[tokio::test]
async fn a_claim_is_never_replaced_for_its_data_would_go_with_it() {
    let place = Place::new("claim").await;
    let claim = |size: &str| {
        let storage = json!({ "requests": { "storage": "1Gi" } });
        let spec =
            json!({ "accessModes": ["ReadWriteOnce"], "resources": storage, "storageClassName": size });
        object("v1", "PersistentVolumeClaim", "data", json!({ "spec": spec }))
    };
    let until = Duration::from_mins(1);
    let first = common::graph_of(place.namespace.name(), [json!({ "object": claim("a") })]);
    let executor = place.executor().await;
    let step = common::step(&first, 0);
    tokio::time::timeout(until, common::write(&executor, &step)).await.unwrap().unwrap();
    let step = step_of(place.namespace.name(), json!({ "object": claim("b"), "replace": "ifNeeded" }));
    let failure = place.executor().await.prepare(&step, &Told::context().0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.apply.immutable", "{failure}");
    assert!(format!("{failure:?}").contains("what it holds"), "{failure:?}");
}
