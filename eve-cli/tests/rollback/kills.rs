//! Killed at every fail point of a rollback, eve goes on to the same end: `eve resume` until the run is over, then every
//! object is as it was before the release, or told to be left as in a rollback that nobody killed.

use std::os::unix::process::ExitStatusExt as _;

use eve_testbed::ControlPlane;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::process::Command;

use super::command::good;
use super::desk::Desk;
use super::{component, config_map, refused, release};

/// Rollbacks that are killed side by side: most of each is waiting.
const BESIDE: usize = 4;
/// How often a run is resumed at most.
const RESUMES_MAX: usize = 3;
/// Events of a rollback, as they are named in the journal, and phases of its calls.
const EVENTS: [&str; 5] = ["rollingBack", "undoStarted", "undone", "verifying", "finished"];
const PHASES: [&str; 2] = ["undo", "verify"];

/// Which rollback is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// That of a release that fails, by its own policy.
    OfItsOwn,
    /// `eve rollback` of a release that went well.
    ByCommand,
    /// `eve rollback` of one of which something is never undone, and something has been changed by somebody.
    ByCommandInPart,
}

/// How a rollback came to its end.
#[derive(Debug, PartialEq)]
struct Came {
    code: Option<i32>,
    outcome: Value,
    left: Vec<Value>,
}

impl Came {
    fn of(code: Option<i32>, summary: &Value) -> Self {
        let left = summary["rollback"]["left"].as_array().unwrap().iter().map(|one| {
            let code = one["failure"]["code"].clone();
            json!([one["component"], one["state"], one["because"]["type"], one["remedy"], code])
        });
        Self { code, outcome: summary["outcome"].clone(), left: left.collect() }
    }
}

impl Way {
    /// What is to be killed, after everything that comes before it.
    async fn command(self, desk: &Desk<'_>) -> Command {
        let last = match self {
            Self::OfItsOwn => refused(),
            Self::ByCommand => good(),
            Self::ByCommandInPart => {
                component("stays", "undo: never", &config_map("bad", json!({ "a": "1" })))
            }
        };
        desk.write("release.yaml", &release(desk.namespace(), &last));
        let apply = ["apply", "-f", "release.yaml", "-o", "json"];
        if self == Self::OfItsOwn {
            return desk.command(&apply);
        }
        let ended = desk.eve(&apply).await;
        assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
        if self == Self::ByCommandInPart {
            desk.merge("configmaps", "settings", &json!({ "data": { "kept": "theirs" } })).await;
        }
        desk.command(&["rollback", &desk.newest().await, "-o", "json"])
    }

    /// Every occurrence of every point in a rollback that went like this.
    fn points(self, records: &[Value]) -> Vec<String> {
        let count = |event: &str| records.iter().filter(|record| record["type"] == event).count();
        let events: &[&'static str] = match self {
            Self::OfItsOwn | Self::ByCommand => &EVENTS,
            Self::ByCommandInPart => &["kept", "undoFailed", "finished"],
        };
        let all =
            |event: &&'static str| (1..=count(event)).map(|number| (*event, number)).collect::<Vec<_>>();
        let mut records: Vec<(&str, usize)> = events.iter().flat_map(all).collect();
        if self == Self::ByCommand {
            // What is inherited is stored as one.
            records.extend([("runStarted", 1), ("inherited", 1), ("inherited", count("inherited"))]);
        }
        let mut points = Vec::new();
        for (event, occurrence) in records {
            points.push(format!("before-append:{event}:{occurrence}"));
            points.push(format!("committed:{event}:{occurrence}"));
        }
        if self != Self::ByCommandInPart {
            for phase in PHASES {
                for occurrence in 1..=count("undone") {
                    points.push(format!("sent:{phase}:{occurrence}"));
                    points.push(format!("replied:{phase}:{occurrence}"));
                }
            }
        }
        points
    }

    /// One that nobody kills: how it came to its end, and where it could have been killed.
    async fn undisturbed(self, control_plane: &ControlPlane) -> (Came, Vec<String>) {
        let desk = Desk::new(control_plane, "reference").await;
        let output = self.command(&desk).await.output().await.unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let records: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (Came::of(output.status.code(), records.last().unwrap()), self.points(&records))
    }

    /// One kill, and what is wrong after it.
    async fn play(self, control_plane: &ControlPlane, point: &str, reference: &Came) -> Result<(), String> {
        let desk = Desk::new(control_plane, "killed").await;
        let mut command = self.command(&desk).await;
        let ended = command.env("EVE_FAIL_POINT", point).output().await.unwrap();
        if ended.status.signal() != Some(9) {
            return Err(format!("is not reached: {:?}", ended.status));
        }
        let mut last = None;
        for _ in 0..RESUMES_MAX {
            let resumed = desk.eve(&["resume", "-o", "json"]).await;
            last = resumed.code();
            if resumed.status.signal().is_none() {
                let was_over = resumed.err.contains("no run on this machine was interrupted");
                if last != reference.code && !was_over {
                    return Err(format!("ends with {last:?}: {}{}", resumed.out, resumed.err));
                }
                break;
            }
        }
        let status = desk.eve(&["status", "-o", "json"]).await;
        let came = Came::of(reference.code, &status.summary()["summary"]);
        if came != *reference {
            return Err(format!("came to {came:?}, undisturbed to {reference:?}; the last exit is {last:?}"));
        }
        if self != Self::ByCommandInPart {
            desk.is_as_before().await;
        }
        Ok(())
    }
}

/// Kills it at each of its points; how many there are.
async fn sweep(way: Way) -> (Came, usize) {
    let control_plane = ControlPlane::shared().await;
    let (reference, points) = way.undisturbed(control_plane).await;
    let number = points.len();
    let played = futures::stream::iter(points).map(|point| {
        let reference = &reference;
        async move {
            let wrong = way.play(control_plane, &point, reference).await.err();
            wrong.map(|wrong| format!("{point}: {wrong}"))
        }
    });
    let broken: Vec<String> =
        played.buffer_unordered(BESIDE).filter_map(|wrong| async { wrong }).collect().await;
    assert!(broken.is_empty(), "{} of {number} kills:\n{}", broken.len(), broken.join("\n"));
    (reference, number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_is_killed_at_any_point_goes_on_to_the_same_end() {
    let (came, number) = sweep(Way::OfItsOwn).await;
    assert_eq!(came, Came { code: Some(3), outcome: json!("rolled_back"), left: Vec::new() });
    assert!(number >= 50, "{number} kills are too few");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eve_rollback_that_is_killed_at_any_point_goes_on_to_the_same_end() {
    let (came, number) = sweep(Way::ByCommand).await;
    assert_eq!(came, Came { code: Some(0), outcome: json!("rolled_back"), left: Vec::new() });
    assert!(number >= 60, "{number} kills are too few");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_eve_rollback_leaves_is_the_same_wherever_it_is_killed() {
    let (came, number) = sweep(Way::ByCommandInPart).await;
    assert_eq!((came.code, &came.outcome), (Some(8), &json!("rollback_failed")));
    let left = [
        json!(["settings/configmap/settings", "failed", null, "mend", "k8s.undo.conflict"]),
        json!(["stays/configmap/bad", "kept", "rule", "none", null]),
    ];
    assert_eq!(came.left, left);
    assert_eq!(number, 6, "each on both sides of its record");
}
