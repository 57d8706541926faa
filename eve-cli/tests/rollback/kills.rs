//! Killed at every fail point of a rollback, eve goes on to the same end: `eve resume` until the run is over, then every
//! object is as it was before the release.

use std::os::unix::process::ExitStatusExt as _;

use eve_testbed::ControlPlane;
use futures::StreamExt as _;
use serde_json::Value;

use super::desk::Desk;
use super::{refused, release};

/// Rollbacks that are killed side by side: most of each is waiting.
const BESIDE: usize = 4;
/// How often a run is resumed at most.
const RESUMES_MAX: usize = 3;
/// Events of a rollback, as they are named in the journal, and phases of its calls.
const EVENTS: [&str; 5] = ["rollingBack", "undoStarted", "undone", "verifying", "finished"];
const PHASES: [&str; 2] = ["undo", "verify"];

/// Every occurrence of every point in a rollback that went like this.
fn points(records: &[Value], calls: usize) -> Vec<String> {
    let mut points = Vec::new();
    for event in EVENTS {
        let number = records.iter().filter(|record| record["type"] == event).count();
        for occurrence in 1..=number {
            points.push(format!("before-append:{event}:{occurrence}"));
            points.push(format!("committed:{event}:{occurrence}"));
        }
    }
    for phase in PHASES {
        for occurrence in 1..=calls {
            points.push(format!("sent:{phase}:{occurrence}"));
            points.push(format!("replied:{phase}:{occurrence}"));
        }
    }
    points
}

/// One kill, and what is wrong after it.
async fn play(control_plane: &ControlPlane, point: &str) -> Result<(), String> {
    let desk = Desk::new(control_plane, "killed").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let mut command = desk.command(&["apply", "-f", "release.yaml", "-o", "json"]);
    command.env("EVE_FAIL_POINT", point);
    let ended = command.output().await.unwrap();
    if ended.status.signal() != Some(9) {
        return Err(format!("is not reached: {:?}", ended.status));
    }
    let mut last = None;
    for _ in 0..RESUMES_MAX {
        let resumed = desk.eve(&["resume", "-o", "json"]).await;
        last = resumed.code();
        if resumed.status.signal().is_none() {
            if last != Some(3) && !resumed.err.contains("no run on this machine was interrupted") {
                return Err(format!("ends with {last:?}: {}{}", resumed.out, resumed.err));
            }
            break;
        }
    }
    let run = desk.newest().await;
    let status = desk.eve(&["status", &run, "-o", "json"]).await;
    let outcome = status.summary()["summary"]["outcome"].clone();
    if outcome != "rolled_back" {
        return Err(format!("the outcome is {outcome}, the last exit {last:?}"));
    }
    let differences = super::differences(&desk.was, &desk.state().await);
    if !differences.is_empty() {
        return Err(differences.join("\n"));
    }
    desk.is_as_before().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_is_killed_at_any_point_goes_on_to_the_same_end() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane, "reference").await;
    desk.write("release.yaml", &release(desk.namespace(), &refused()));
    let ended = desk.eve(&["apply", "-f", "release.yaml", "-o", "json"]).await;
    assert_eq!(ended.code(), Some(3), "{}{}", ended.out, ended.err);
    let records: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let undone = records.iter().filter(|record| record["type"] == "undone").count();
    assert!(undone >= 7, "{undone}");
    let points = points(&records, undone);
    let number = points.len();
    let played = futures::stream::iter(points).map(async |point| {
        let wrong = play(control_plane, &point).await.err();
        wrong.map(|wrong| format!("{point}: {wrong}"))
    });
    let broken: Vec<String> =
        played.buffer_unordered(BESIDE).filter_map(|wrong| async { wrong }).collect().await;
    assert!(broken.is_empty(), "{} of {number} kills:\n{}", broken.len(), broken.join("\n"));
    assert!(number >= 50, "{number} kills are too few");
}
