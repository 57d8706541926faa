//! A run belongs to the cluster that it was begun on, whatever answers at that address by now.

use eve_core::ids::RunId;
use eve_core::ports::{RecordBatch, RunStore as _};
use eve_store::{RunFolder, RunHeader};
use eve_testbed::ControlPlane;

use super::journal::{APPLY, Desk, three};
use super::{get, plan, writes};

fn folder(desk: &Desk<'_>) -> RunFolder {
    RunFolder::open(desk.state.path().join("eve")).unwrap()
}

async fn identity(control_plane: &ControlPlane) -> String {
    let namespace = get(control_plane, "/api/v1/namespaces/kube-system").await;
    namespace["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// The same run under another name, as if it had been begun on this cluster.
async fn begun_on(cluster: &str, desk: &Desk<'_>, run: &str, name: &str) {
    let folder = folder(desk);
    let reader = folder.read(&RunId::new(run)).unwrap();
    let header = RunHeader { run: RunId::new(name), ..reader.header().unwrap() };
    let mut file = folder.create(&header).unwrap();
    file.belongs_to(cluster).unwrap();
    let batch = RecordBatch { run: header.run, records: reader.records().unwrap() };
    file.append(vec![batch]).await.unwrap();
}

#[tokio::test]
async fn a_run_does_not_go_on_on_another_cluster_at_the_same_address() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("cluster").await;
    let namespace = namespace.name();
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &three(namespace));
    let run = desk.killed_at(("applied", "slow"), &APPLY, "").await;
    let here = identity(control_plane).await;
    let known = folder(&desk).read(&RunId::new(run.as_str())).unwrap().cluster().unwrap();
    assert_eq!(known.as_ref(), Some(&here));

    begun_on("there", &desk, &run, "other").await;
    let mark = control_plane.audit().mark().await;
    let refused = desk.eve(&["resume", "other"]).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    for part in ["run other was begun on another cluster", "was there, and is", &here, "`eve apply` goes on"]
    {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    let tried = writes(control_plane, namespace).await.since(mark);
    assert!(tried.is_empty(), "{tried:?}");
    let records = |run: &str| folder(&desk).read(&RunId::new(run)).unwrap().records().unwrap();
    assert_eq!(records("other"), records(&run), "nor is anything said of it in its journal");

    let resumed = desk.eve(&["resume", &run]).await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
}

#[tokio::test]
async fn a_run_is_not_undone_on_another_cluster_at_the_same_address() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("cluster").await;
    let namespace = namespace.name();
    let desk = Desk::new(control_plane);
    desk.write("plan.yaml", &plan(namespace, &[("first", "", "a: b", "")]));
    let applied = desk.eve(&[&APPLY[..], &["--on-failure", "rollback", "-o", "json"]].concat()).await;
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let run = desk.newest().await;
    begun_on("there", &desk, &run, "other").await;
    let mark = control_plane.audit().mark().await;
    let refused = desk.eve(&["rollback", "other"]).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    assert!(refused.err.contains("run other was begun on another cluster"), "{}", refused.err);
    let tried = writes(control_plane, namespace).await.since(mark);
    assert!(tried.is_empty(), "{tried:?}");
    let undone = desk.eve(&["rollback", &run]).await;
    assert_eq!(undone.code, Some(0), "a refusal leaves no run behind that came after it: {}", undone.err);
}
