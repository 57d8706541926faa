//! A newer plan comes while an older one runs, in a group of its own; plans that come in the wrong order; and a kill in between.

use std::time::Duration;

use eve_core::digest::Digest;
use eve_core::ports::Ledger as _;
use eve_core::run::Outcome;
use eve_core::scheduler::{LedgerEvent, Ticket};
use eve_store::LedgerFile;
use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::desk::{Daemon, Desk, open_gate};

struct World {
    control_plane: &'static ControlPlane,
    namespace: String,
    cloud: Cloud,
    desk: Desk,
}

impl World {
    async fn new(newer_plan: &str) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace("supersede").await.name().to_owned();
        let cloud = Cloud::new("supersede").await;
        let config = format!("{}scheduler: {{ newerPlan: {newer_plan} }}\n", cloud.source());
        let desk = Desk::new(&config, &control_plane.kubeconfig_path())
            .with("EVE_DAEMON__SOURCE__SQS__VISIBILITY_TIMEOUT", "6s");
        let token = control_plane.account_token(&namespace, "eve", "sts.amazonaws.com").await.unwrap();
        cloud.admit(&desk, &token);
        Self { control_plane, namespace, cloud, desk }
    }

    /// Sends a plan of this number in this group.
    async fn send(&self, group: &str, request: &str, sequence: u64, plan: &str) {
        self.cloud.put(request, plan).await;
        let message = self.cloud.message(request, Digest::of(plan.as_bytes()));
        let mut message: Value = serde_json::from_str(&message).unwrap();
        message["sequence"] = json!(sequence);
        self.cloud.send_text(group, &message.to_string()).await;
    }

    /// A group in which a plan is not held up by what runs in the namespace.
    fn aside(&self) -> String {
        format!("supersede/{}", self.namespace)
    }

    /// A plan `shop` that writes one object of this name.
    fn plan(&self, object: &str) -> String {
        self.plan_of(vec![component("only", object)])
    }

    /// A plan `shop` that waits for the object `gate`, which somebody else has to make, and then writes `after-gate`.
    fn waiting_plan(&self) -> String {
        let mut gate = component("gate", "gate");
        gate["action"] = json!("read");
        gate["dependsOn"] = json!(["first"]);
        let mut last = component("last", "after-gate");
        last["dependsOn"] = json!(["gate"]);
        self.plan_of(vec![component("first", "before-gate"), gate, last])
    }

    fn plan_of(&self, components: Vec<Value>) -> String {
        json!({
            "apiVersion": "eve.dev/v1alpha1", "kind": "Plan",
            "metadata": { "name": "shop", "namespace": self.namespace },
            "spec": { "components": components },
        })
        .to_string()
    }

    async fn open_gate(&self) {
        open_gate(self.control_plane, &self.namespace).await;
    }

    /// The names of all objects that plans write.
    async fn objects(&self) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let list: Value = self.control_plane.admin_client().await.request(request).await.unwrap();
        let names = list["items"].as_array().unwrap().iter();
        let names = names.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned());
        names.filter(|name| !["gate", "kube-root-ca.crt"].contains(&name.as_str())).collect()
    }

    /// The older plan waits at its gate, and the newer one is accepted.
    async fn overtaken(&self, daemon: &Daemon) {
        self.send(&self.namespace, "older", 1, &self.waiting_plan()).await;
        daemon.says("component waits", json!({ "namespace": self.namespace })).await;
        self.send(&self.aside(), "newer", 2, &self.plan("newer")).await;
        daemon.says("a newer plan takes its place", json!({ "request": "older", "newer": "newer" })).await;
    }

    /// Everybody has one answer and was told it once, the queue is empty, and nothing is in the dead letters.
    async fn ends_well(&self, mut daemon: Daemon, expected: &[(&str, Outcome)]) {
        for (request, outcome) in expected {
            let outcome = eve_core::ports::Ending::from(*outcome).as_str();
            daemon.says("request answered", json!({ "request": request, "outcome": outcome })).await;
            daemon.says("outcome told", json!({ "request": request })).await;
        }
        while self.cloud.left(&self.cloud.queue).await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(self.cloud.left(&self.cloud.dead).await, 0);
        daemon.terminate();
        assert!(daemon.ended().await.success());
        let told = self.cloud.take_all(&self.cloud.answers).await;
        let told: Vec<Value> = told
            .iter()
            .map(|answer| serde_json::from_str(answer["Body"].as_str().unwrap()).unwrap())
            .collect();
        for (request, outcome) in expected {
            let notices: Vec<&Value> = told
                .iter()
                .map(|told| &told["notice"])
                .filter(|notice| notice["request"] == *request)
                .collect();
            let [notice] = notices.as_slice() else { panic!("{request} was told {notices:?}") };
            assert_eq!(notice["ending"], eve_core::ports::Ending::from(*outcome).as_str(), "{notice}");
            assert_eq!(notice["namespace"], self.namespace, "whatever group it came in");
        }
        assert_eq!(
            self.answers().await,
            expected.iter().map(|(request, outcome)| ((*request).to_owned(), *outcome)).collect::<Vec<_>>()
        );
    }

    /// Every outcome that stands in the ledger, in order.
    async fn answers(&self) -> Vec<(String, Outcome)> {
        let records =
            LedgerFile::open(self.desk.path("eve-daemon-state/journal.db")).unwrap().load().await.unwrap();
        let accepted = |ticket: Ticket| {
            let record = records.iter().find(|record| record.seq.get() == ticket.get()).unwrap();
            let LedgerEvent::Accepted { key, .. } = &record.event else { panic!("{record:?}") };
            key.id.to_string()
        };
        let answer = |event: &LedgerEvent| {
            let LedgerEvent::RunClosed { ticket, outcome, .. } = event else { return None };
            Some((accepted(*ticket), *outcome))
        };
        records.iter().filter_map(|record| answer(&record.event)).collect()
    }
}

fn component(name: &str, object: &str) -> Value {
    let object =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": object }, "data": {} });
    json!({ "name": name, "manifests": { "objects": [object] } })
}

#[tokio::test]
async fn a_newer_plan_in_a_group_of_its_own_takes_the_place_of_one_that_runs_and_one_that_comes_late_writes_nothing()
 {
    for newer_plan in ["supersedeRunning", "cancelRunning"] {
        let world = World::new(newer_plan).await;
        let daemon = world.desk.start();
        world.overtaken(&daemon).await;
        if newer_plan == "supersedeRunning" {
            // What runs comes to its end, and nothing after it begins.
            world.open_gate().await;
        }
        daemon.says("request answered", json!({ "request": "newer", "outcome": "succeeded" })).await;
        assert_eq!(world.objects().await, ["before-gate", "newer"], "{newer_plan}");
        let mark = world.control_plane.audit().mark().await;
        world.send(&world.aside(), "late", 1, &world.plan("late")).await;
        let late = daemon.says("request answered", json!({ "request": "late" })).await;
        assert_eq!(
            (&late["outcome"], &late["code"]),
            (&json!("superseded"), &json!("request.superseded")),
            "{late}"
        );
        let written = world.control_plane.audit().settle().await.since(mark);
        let written = written.by_user("eve").in_namespace(&world.namespace).writes();
        assert!(written.is_empty(), "{written:?}");
        let expected =
            [("older", Outcome::Superseded), ("newer", Outcome::Succeeded), ("late", Outcome::Superseded)];
        world.ends_well(daemon, &expected).await;
    }
}

#[tokio::test]
async fn a_kill_between_the_newer_plan_and_the_end_of_the_older_one_changes_no_outcome_and_makes_none_twice()
{
    let world = World::new("supersedeRunning").await;
    let daemon = world.desk.start();
    world.overtaken(&daemon).await;
    // Its gate is closed: it cannot have ended.
    daemon.kill();
    let daemon = world.desk.start();
    daemon.says("run goes on after an interruption", json!({ "namespace": world.namespace })).await;
    world.open_gate().await;
    world.ends_well(daemon, &[("older", Outcome::Superseded), ("newer", Outcome::Succeeded)]).await;
    assert_eq!(world.objects().await, ["before-gate", "newer"]);
}
