//! A journal belongs to one cluster, whatever the kubeconfig leads to by now.

use std::fs;

use eve_core::ids::Seq;
use eve_core::ports::{Ledger as _, LedgerBatch};
use eve_core::scheduler::{LedgerEvent, LedgerRecord};
use eve_core::time::Timestamp;
use eve_store::LedgerFile;
use eve_testbed::ControlPlane;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::desk::{Desk, plan};

const CONFIG: &str = "source: { directory: { path: plans } }\nstate: { folder: state }\n";

fn journal(desk: &Desk) -> LedgerFile {
    fs::create_dir_all(desk.path("state")).unwrap();
    LedgerFile::open(desk.path("state/journal.db")).unwrap()
}

/// A journal that was begun on another cluster.
async fn begun_elsewhere(desk: &Desk) {
    let file = journal(desk);
    file.key().unwrap();
    file.belongs_to("there").unwrap();
    let record = LedgerRecord { seq: Seq::FIRST, at: Timestamp::EPOCH, event: LedgerEvent::TakenOver };
    file.append(LedgerBatch { next: Seq::FIRST, ledger: vec![record], runs: Vec::new() }).await.unwrap();
}

async fn identity(control_plane: &ControlPlane) -> String {
    let request = http::Request::get("/api/v1/namespaces/kube-system").body(Vec::new()).unwrap();
    let found: serde_json::Value = control_plane.admin_client().await.request(request).await.unwrap();
    found["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_journal_belongs_to_the_cluster_of_its_first_run() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("home").await;
    let desk = Desk::new(CONFIG, &control_plane.kubeconfig_path());
    let mut daemon = desk.start();
    desk.send("shop.yaml", &plan("shop", &namespace, json!({})));
    assert_eq!(desk.outcome("shop.yaml").await["ending"], "succeeded");
    daemon.terminate();
    assert!(daemon.ended().await.success());
    assert_eq!(journal(&desk).cluster(), Some(identity(control_plane).await));
    let _daemon = desk.start();
    desk.send("again.yaml", &plan("shop", &namespace, json!({})));
    assert_eq!(desk.outcome("again.yaml").await["ending"], "succeeded");
}

#[tokio::test]
async fn a_daemon_does_not_start_with_the_journal_of_another_cluster() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("home").await;
    let desk = Desk::new(CONFIG, &control_plane.kubeconfig_path());
    begun_elsewhere(&desk).await;
    desk.send("shop.yaml", &plan("shop", &namespace, json!({})));
    let mut daemon = desk.start();
    assert_eq!(daemon.ended().await.code(), Some(1));
    let said = daemon.text();
    let here = identity(control_plane).await;
    for part in [
        "state/journal.db belongs to another cluster",
        "is there, and here it is",
        &here,
        "`state.folder` of its own",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(desk.path("plans/shop.yaml").exists(), "no plan is taken");
    assert_eq!(journal(&desk).load().await.unwrap().len(), 1, "nothing is written");
}

#[tokio::test]
async fn a_daemon_whose_cluster_was_away_when_it_started_ends_before_a_run_is_opened_on_another_one() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("home").await;
    let kubeconfig = fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
    let url = control_plane.url();
    let server = url.strip_prefix("https://").unwrap().to_owned();
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap();
    drop(door);
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("kubeconfig");
    fs::write(&moved, kubeconfig.replace(&url, &format!("https://{address}"))).unwrap();
    let desk = Desk::new(CONFIG, &moved);
    begun_elsewhere(&desk).await;
    desk.send("shop.yaml", &plan("shop", &namespace, json!({})));
    let mut daemon = desk.start();
    daemon.says("a run cannot be opened yet; it is tried again", json!({ "namespace": *namespace })).await;
    let door = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut inside, _)) = door.accept().await {
            let mut outside = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut inside, &mut outside).await });
        }
    });
    assert_eq!(daemon.ended().await.code(), Some(1));
    assert!(daemon.text().contains("belongs to another cluster"), "{}", daemon.text());
    let path = format!("/api/v1/namespaces/{}/configmaps/shop", &*namespace);
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let found = control_plane.admin_client().await.request::<serde_json::Value>(request).await;
    assert!(found.unwrap_err().to_string().contains("not found"), "nothing is written");
}
