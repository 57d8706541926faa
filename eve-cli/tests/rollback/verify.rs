//! True success: what was ready and is not at the end is a failure with its reason.

use eve_testbed::ControlPlane;
use http::Request;
use serde_json::{Value, json};

use super::desk::Desk;
use super::{component, deployment, plan};

/// The pods of the workload of this name.
async fn pods(control_plane: &ControlPlane, namespace: &str, name: &str) -> Vec<Value> {
    let uri = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app={name}");
    let request = Request::get(uri).body(Vec::new()).unwrap();
    let list: Value = control_plane.admin_client().await.request(request).await.unwrap();
    list["items"].as_array().unwrap().clone()
}

/// As a kubelet would, once its pods run: their readiness probes succeed from now on, or fail. Gives their names.
async fn probed(control_plane: &ControlPlane, namespace: &str, name: &str, ready: &str) -> Vec<String> {
    let running = loop {
        let pods = pods(control_plane, namespace, name).await;
        if !pods.is_empty() && pods.iter().all(|pod| pod["status"]["phase"] == "Running") {
            break pods;
        }
        tokio::task::yield_now().await;
    };
    let client = control_plane.admin_client().await;
    let mut names = Vec::new();
    for pod in running {
        let pod_name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let mut containers = pod["status"]["containerStatuses"].clone();
        for container in containers.as_array_mut().unwrap() {
            container["ready"] = json!(ready == "True");
        }
        let condition = |kind: &str| json!({ "type": kind, "status": ready });
        let conditions = [condition("Ready"), condition("ContainersReady")];
        let change = json!({ "status": { "conditions": conditions, "containerStatuses": containers } });
        let request = Request::patch(format!("/api/v1/namespaces/{namespace}/pods/{pod_name}/status"))
            .header("content-type", "application/strategic-merge-patch+json");
        client.request::<Value>(request.body(change.to_string().into_bytes()).unwrap()).await.unwrap();
        names.push(pod_name);
    }
    names
}

/// Until the controller has seen that the workload has so many pods that are ready.
async fn available(control_plane: &ControlPlane, namespace: &str, name: &str, number: u64) {
    let client = control_plane.admin_client().await;
    let uri = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    loop {
        let object: Value = client.request(Request::get(&uri).body(Vec::new()).unwrap()).await.unwrap();
        if object["status"]["availableReplicas"].as_u64().unwrap_or_default() == number {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_twelve_workloads_one_that_turns_unready_before_the_end_fails_the_run_with_its_reason() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane, "verify").await;
    let namespace = control_plane.namespace("twelve").await;
    let name = |number: usize| format!("app-{number}");
    // The last one is ready when it is told to be, so that the run is not over before.
    let stage = |number: usize| if number == 12 { "never-ready" } else { "ready" };
    let components: Vec<String> = (1..=12)
        .map(|number| component(&name(number), "", &deployment(&name(number), stage(number), &["main"])))
        .collect();
    desk.write(
        "twelve.yaml",
        &plan(namespace.name(), &components).replace("onFailure: rollback", "onFailure: drain"),
    );
    let mut running = desk.start(&["apply", "-f", "twelve.yaml"]);
    running.until("ready", "app-3/").await;
    let unready = probed(control_plane, namespace.name(), "app-3", "False").await;
    available(control_plane, namespace.name(), "app-3", 0).await;
    probed(control_plane, namespace.name(), "app-12", "True").await;
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(1), "{}{}", ended.out, ended.err);
    let summary = ended.summary();
    let failures = summary["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{summary}");
    let failure = &failures[0];
    assert_eq!(
        (&failure["component"], &failure["phase"]),
        (&json!("app-3/deployment/app-3"), &json!("verify"))
    );
    let (message, said) = (failure["failure"]["message"].as_str().unwrap(), failure["failure"].to_string());
    assert!(message.contains("container `main`") && message.contains("not ready"), "{failure}");
    assert!(said.contains(&unready[0]), "it is named which pod: {failure}");
    assert!(said.contains("it was ready before, in this run"), "{failure}");
}
