//! The API server goes away in the middle of a rollback.

use std::time::Duration;

use eve_testbed::{ControlPlane, Options, Server};

use super::desk::Desk;
use super::{refused, release};

/// How long it is away.
const AWAY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_away_for_10_seconds_costs_only_time() {
    let control_plane = ControlPlane::start(Options::new()).await.unwrap();
    let desk = Desk::new(&control_plane, "away").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let mut running = desk.start(&["apply", "-f", "release.yaml"]);
    running.until("undoStarted", "").await;
    control_plane.kill(Server::KubeApiserver);
    tokio::time::sleep(AWAY).await;
    control_plane.revive(Server::KubeApiserver).unwrap();
    let ended = running.end().await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    desk.is_as_before_by_versions().await;
    control_plane.stop().await;
}
