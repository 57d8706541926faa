//! A directory as source: three lines of configuration, kills, stops.

use std::fs;

use eve_testbed::{ControlPlane, DELAY, STAGE};
use serde_json::{Value, json};

use crate::desk::{Desk, gated_plan, open_gate, plan, until};

/// The whole configuration of a newcomer.
const THREE_LINES: &str = "source:\n  directory:\n    path: plans\n";

async fn object(control_plane: &ControlPlane, path: &str) -> Value {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    control_plane.admin_client().await.request(request).await.unwrap()
}

async fn available(control_plane: &ControlPlane, namespace: &str, name: &str) -> bool {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    object(control_plane, &path).await["status"]["availableReplicas"] == 1
}

#[tokio::test]
async fn three_lines_of_configuration_deploy_what_is_renamed_into_the_directory() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    let desk = Desk::new(THREE_LINES, &control_plane.kubeconfig_path());
    let mut daemon = desk.start();
    assert_eq!(daemon.get("/livez").await, (200, "ok\n".into()));
    desk.send("shop.yaml", &plan("shop", &namespace, json!({})));
    let outcome = desk.outcome("shop.yaml").await;
    assert_eq!((&outcome["ending"], &outcome["plan"]), (&json!("succeeded"), &json!("shop")), "{outcome}");
    assert_eq!(outcome["namespace"], *namespace);
    assert!(available(control_plane, &namespace, "shop").await);

    desk.send("bad.yaml", &plan("shop", &namespace, json!({})).replace("ConfigMap", "ConfigMop"));
    let outcome = desk.outcome("bad.yaml").await;
    assert_eq!(outcome["ending"], "failed", "{outcome}");
    let message = outcome["failure"]["message"].as_str().unwrap();
    assert!(message.starts_with("1:") && message.contains("did you mean `ConfigMap`?"), "{message}");

    let here = json!({ "namespace": *namespace, "run": outcome_run(&desk, "shop.yaml").await });
    let ready = daemon.says("component ready", here).await;
    assert!(ready["component"].is_string() && ready["timestamp"].is_string(), "{ready}");
    assert_eq!(daemon.get("/readyz").await, (200, "ok\n".into()));
    for request in [&desk.outcome("shop.yaml").await["request"], &outcome["request"]] {
        daemon.says("outcome told", json!({ "request": request })).await;
    }
    let (_, metrics) = daemon.get("/metrics").await;
    for line in [
        "eve_runs_finished_total{outcome=\"succeeded\"} 1",
        "eve_runs_finished_total{outcome=\"failed\"} 1",
        "eve_deliveries_total{result=\"accepted\"} 2",
        "eve_notices_total{result=\"sent\"} 2",
        "eve_runs_live 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    daemon.terminate();
    assert!(daemon.ended().await.success());
}

async fn outcome_run(desk: &Desk, name: &str) -> Value {
    desk.outcome(name).await["run"].clone()
}

#[tokio::test]
async fn a_killed_daemon_goes_on_where_it_was() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    let desk = Desk::new(THREE_LINES, &control_plane.kubeconfig_path());
    let daemon = desk.start();
    let slow = json!({ STAGE: "slow", DELAY: "6s" });
    desk.send("shop.yaml", &plan("shop", &namespace, slow));
    // Where files are dated by the ticks of the kernel, two in a row are of one time.
    daemon.says("plan accepted", json!({ "plan": "shop" })).await;
    desk.send("next.yaml", &plan("next", &namespace, json!({})));
    let waits = daemon.says("component waits", json!({ "namespace": *namespace })).await;
    daemon.kill();
    let daemon = desk.start();
    daemon.says("run goes on after an interruption", json!({ "run": waits["run"] })).await;
    for name in ["shop", "next"] {
        let outcome = desk.outcome(&format!("{name}.yaml")).await;
        assert_eq!(outcome["ending"], "succeeded", "{outcome}");
        assert!(available(control_plane, &namespace, name).await);
    }
    assert_eq!(outcome_run(&desk, "shop.yaml").await, waits["run"]);
    let audit = control_plane.audit().settle().await;
    let deployments = audit.by_user("eve").in_namespace(&namespace).writes().resource("deployments");
    let writes = deployments.iter().filter(|entry| entry.name == "shop");
    assert_eq!(writes.count(), 1, "what was applied is only waited for");
}

#[tokio::test]
async fn a_stop_lets_what_runs_end_and_leaves_what_waits_to_the_next_daemon() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    // Longer than any test waits.
    let desk =
        Desk::new(THREE_LINES, &control_plane.kubeconfig_path()).with("EVE_DAEMON__SHUTDOWN__GRACE", "1h");
    let mut daemon = desk.start();
    desk.send("shop.yaml", &gated_plan("shop", &namespace));
    daemon.says("component waits", json!({ "component": "gate/configmap/gate" })).await;
    desk.send("next.yaml", &plan("next", &namespace, json!({})));
    daemon.says("plan accepted", json!({ "plan": "next" })).await;
    daemon.terminate();
    daemon.says("stopping: nothing new is begun", json!({})).await;
    open_gate(control_plane, &namespace).await;
    assert!(daemon.ended().await.success());
    assert_eq!(desk.outcome("shop.yaml").await["ending"], "succeeded");
    let end = daemon.says("eve-daemon ends; what is live or waits is for the next one", json!({})).await;
    assert_eq!((&end["live"], &end["waiting"]), (&json!(0), &json!(1)));
    let _next = desk.start();
    assert_eq!(desk.outcome("next.yaml").await["ending"], "succeeded");
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_time_is_handed_back() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    let desk =
        Desk::new(THREE_LINES, &control_plane.kubeconfig_path()).with("EVE_DAEMON__SHUTDOWN__GRACE", "1s");
    let mut daemon = desk.start();
    desk.send("shop.yaml", &gated_plan("shop", &namespace));
    let waits = daemon.says("component waits", json!({ "component": "gate/configmap/gate" })).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let end = daemon.says("eve-daemon ends; what is live or waits is for the next one", json!({})).await;
    assert_eq!(end["live"], 1);
    let next = desk.start();
    next.says("run goes on after an interruption", json!({ "run": waits["run"] })).await;
    open_gate(control_plane, &namespace).await;
    let outcome = desk.outcome("shop.yaml").await;
    assert_eq!((&outcome["ending"], &outcome["run"]), (&json!("succeeded"), &waits["run"]));
}

#[tokio::test]
async fn a_request_to_stop_ends_the_plan_that_runs_and_the_next_one_begins() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    let desk = Desk::new(THREE_LINES, &control_plane.kubeconfig_path());
    let daemon = desk.start();
    desk.send("shop.yaml", &plan("shop", &namespace, json!({ STAGE: "never-ready" })));
    daemon.says("component waits", json!({ "namespace": *namespace })).await;
    desk.send("next.yaml", &plan("next", &namespace, json!({})));
    daemon.says("plan accepted", json!({ "plan": "next" })).await;
    let opened = daemon.says("run opened", json!({ "namespace": *namespace })).await;
    let stopped = json!({ "requestId": opened["request"], "mode": "now" });
    desk.send("shop.stop.json", &stopped.to_string());
    let first = desk.outcome("shop.yaml").await;
    assert_eq!((&first["ending"], &first["request"]), (&json!("cancelled"), &opened["request"]), "{first}");
    assert_eq!(desk.outcome("next.yaml").await["ending"], "succeeded");
}

/// A plan `shop` that says that it is the request `release-1`.
fn release(namespace: &str, annotations: Value) -> String {
    let mut plan: Value = serde_json::from_str(&plan("shop", namespace, annotations)).unwrap();
    plan["spec"]["requestId"] = json!("release-1");
    plan.to_string()
}

#[tokio::test]
async fn a_plan_that_says_which_request_it_is_runs_once_and_with_another_content_is_refused() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("daemon").await;
    let desk = Desk::new(THREE_LINES, &control_plane.kubeconfig_path());
    let daemon = desk.start();
    let outcome = |folder: &str| {
        let path = desk.path(&format!("plans/{folder}/release-1.outcome.json"));
        until("an outcome of release-1", move || serde_json::from_slice(&fs::read(&path).ok()?).ok())
    };
    desk.send("shop.yaml", &release(&namespace, json!({})));
    let first: Value = outcome("done").await;
    assert_eq!((&first["ending"], &first["request"]), (&json!("succeeded"), &json!("release-1")), "{first}");
    let mark = control_plane.audit().mark().await;

    desk.send("again.yaml", &release(&namespace, json!({})));
    until("the end of again.yaml", || {
        let mut done = fs::read_dir(desk.path("plans/done")).unwrap().flatten();
        done.find(|file| file.file_name().to_str().unwrap().starts_with("again.yaml@"))
    })
    .await;
    let second: Value = outcome("done").await;
    assert_eq!(second, first, "it is answered as it was");

    desk.send("other.yaml", &release(&namespace, json!({ "other": "content" })));
    let refused: Value = outcome("rejected").await;
    assert_eq!(
        (&refused["ending"], &refused["failure"]["code"]),
        (&json!("refused"), &json!("request.id-reused")),
        "{refused}"
    );
    let written = control_plane.audit().settle().await.since(mark);
    let written = written.by_user("eve").in_namespace(&namespace).writes();
    assert!(written.is_empty(), "{written:?}");
    let opened = daemon.log().into_iter().filter(|line| line["message"] == "run opened").count();
    assert_eq!(opened, 1);
}

#[tokio::test]
async fn a_claimed_plan_that_is_lost_or_changed_while_no_daemon_runs_has_one_outcome_and_holds_up_nobody() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(THREE_LINES, &control_plane.kubeconfig_path());
    let daemon = desk.start();
    let mut namespaces = Vec::new();
    for name in ["lost", "changed"] {
        let namespace = control_plane.namespace("daemon").await;
        desk.send(&format!("{name}.yaml"), &plan(name, &namespace, json!({ STAGE: "never-ready" })));
        daemon.says("component waits", json!({ "namespace": *namespace })).await;
        desk.send(&format!("after-{name}.yaml"), &plan("after", &namespace, json!({})));
        daemon.says("plan accepted", json!({ "plan": "after", "namespace": *namespace })).await;
        namespaces.push(namespace);
    }
    daemon.kill();
    let claimed = |name: &str| {
        let files = fs::read_dir(desk.path("plans/claimed")).unwrap().flatten();
        files
            .map(|file| file.path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{name}.yaml@")))
    };
    fs::remove_file(claimed("lost").unwrap()).unwrap();
    fs::write(claimed("changed").unwrap(), plan("changed", &namespaces[1], json!({}))).unwrap();

    let daemon = desk.start();
    let answered = async |name: &str, code: &str| {
        let outcome = daemon.says("request answered", json!({ "code": code })).await;
        assert!(outcome["request"].as_str().unwrap().starts_with(&format!("{name}.yaml@")), "{outcome}");
        let said = outcome["reason"].as_str().unwrap();
        assert!(said.contains("what its run has done so far is left as it is"), "{said}");
        assert_eq!(outcome["outcome"], "failed");
    };
    answered("lost", "queue.payload.gone").await;
    answered("changed", "queue.payload.changed").await;
    for name in ["after-lost", "after-changed"] {
        assert_eq!(desk.outcome(&format!("{name}.yaml")).await["ending"], "succeeded", "{name}");
    }
    let renewed = json!({ "outcome": "succeeded", "namespace": *namespaces[1] });
    let mut outcomes = Vec::new();
    until("every outcome", || {
        let ends =
            |folder: &str| desk.files(folder).into_iter().filter(|(name, _)| name.ends_with(".outcome.json"));
        outcomes = ends("plans/done").chain(ends("plans/rejected")).collect();
        (outcomes.len() == 5).then_some(())
    })
    .await;
    daemon.says("request answered", renewed).await;
    let of = |name: &str| {
        let begins = format!("/{name}.yaml@");
        let mut endings: Vec<Value> = outcomes
            .iter()
            .filter(|(file, _)| file.contains(&begins))
            .map(|(_, text)| serde_json::from_slice::<Value>(text).unwrap()["ending"].clone())
            .collect();
        endings.sort_by_key(ToString::to_string);
        endings
    };
    assert_eq!(
        (of("lost"), of("changed")),
        (vec![json!("failed")], vec![json!("failed"), json!("succeeded")])
    );
    // What is answered is put away after that.
    until("nothing that is claimed", || {
        [claimed("lost"), claimed("changed")].iter().all(Option::is_none).then_some(())
    })
    .await;
}

/// A cluster that is not there: the directory does not wait for it.
fn desk_without_cluster() -> (Desk, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "none",
        "contexts": [{ "name": "none", "context": { "cluster": "none", "user": "none" } }],
        "clusters": [{ "name": "none", "cluster": { "server": "http://127.0.0.1:1" } }],
        "users": [{ "name": "none", "user": {} }],
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    (Desk::new(THREE_LINES, &kubeconfig), folder)
}

#[tokio::test]
async fn places_of_secrets_are_judged_with_everything_else_while_the_plan_is_read() {
    let (desk, _folder) = desk_without_cluster();
    let _daemon = desk.start();
    desk.send(
        "bad.yaml",
        "apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: shop }
spec:
  onFialure: drain
  secrets: { password: vault:kv/db }
  components: [{ name: a, manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }] } }]
",
    );
    let outcome = desk.outcome("bad.yaml").await;
    let message = outcome["failure"]["message"].as_str().unwrap();
    for said in [
        "5:3: unknown field `onFialure`",
        "6:24: secret `password`: ",
        "for example `vault:kv/shop/db#password`",
    ] {
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[tokio::test]
async fn what_is_no_plan_is_told_once_and_not_taken() {
    let (desk, _folder) = desk_without_cluster();
    desk.send("app.yaml~", "kind: Plan");
    let daemon = desk.start();
    let told = daemon.says("a file in the directory is not taken", json!({ "file": "app.yaml~" })).await;
    assert_eq!((&told["level"], told["reason"].is_string()), (&json!("WARN"), true), "{told}");
    desk.send("README.md", "how to");
    daemon.says("a file in the directory is not taken", json!({ "file": "README.md" })).await;
    let log = daemon.log();
    let about = |name: &str| log.iter().filter(|line| line["file"] == name).count();
    assert_eq!((about("app.yaml~"), about("README.md")), (1, 1));
    assert!(desk.path("plans/app.yaml~").exists() && desk.path("plans/README.md").exists());
}

#[tokio::test]
async fn a_directory_that_is_removed_is_told_made_again_and_used_again() {
    let (desk, _folder) = desk_without_cluster();
    let daemon = desk.start();
    daemon.says("eve-daemon takes plans", json!({})).await;
    fs::rename(desk.path("plans"), desk.path("elsewhere")).unwrap();
    let whole = "plans was gone, with all that was in it; it is made again";
    // It may be moved in the middle of a look, of which only the next one knows the reason.
    until(whole, || {
        let is_it = |line: &Value| {
            line["message"] == "no plan can be received"
                && line["code"] == "directory.io"
                && line["reason"].as_str().is_some_and(|reason| reason.ends_with(whole))
        };
        daemon.log().into_iter().find(is_it)
    })
    .await;
    daemon.says("plans can be received again", json!({ "level": "INFO" })).await;
    desk.send("bad.yaml", "no plan");
    assert_eq!(desk.outcome("bad.yaml").await["ending"], "refused");
}

#[tokio::test]
async fn a_hang_up_ends_nothing() {
    let (desk, _folder) = desk_without_cluster();
    let mut daemon = desk.start();
    daemon.says("eve-daemon takes plans", json!({})).await;
    daemon.hang_up();
    daemon
        .says(
            "ignored: the configuration is read at the start alone",
            json!({ "signal": "SIGHUP", "level": "INFO" }),
        )
        .await;
    assert_eq!(daemon.get("/livez").await, (200, "ok\n".into()));
    daemon.terminate();
    assert!(daemon.ended().await.success());
}

#[tokio::test]
async fn a_journal_whose_key_is_lost_is_not_gone_on_with() {
    let (desk, _folder) = desk_without_cluster();
    let mut daemon = desk.start();
    desk.send("bad.yaml", "no plan");
    desk.outcome("bad.yaml").await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let key = desk.path("eve-daemon-state/key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();

    let mut daemon = desk.start();
    assert_eq!(daemon.ended().await.code(), Some(1));
    let said = daemon.text();
    assert!(said.contains("key is missing: it is the key of what the journal beside it says"), "{said}");
    assert!(
        said.contains("hint: bring the file back from a copy of the folder; if it is gone for good"),
        "{said}"
    );
    assert!(!key.exists(), "no other is made in its place");

    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    desk.start().says("eve-daemon takes plans", json!({})).await;
}
