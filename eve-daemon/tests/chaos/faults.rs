//! What goes wrong, and when.

use std::time::Duration;

use eve_testbed::{Reply, Server};
use tokio::time::Instant;

use crate::desk::Daemon;
use crate::dice::Dice;
use crate::world::World;

/// How long something is away.
const AWAY: Duration = Duration::from_secs(10);

/// Something that the daemon needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Aws,
    Vault,
    ApiServer,
    Receivers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// `kill -9`, and a new process.
    Kill,
    /// It stands still: whoever asks it waits.
    Pause(Part),
    Resume(Part),
    /// It is killed with SIGKILL: whoever asks it is told that nobody is there.
    Fell(Part),
    /// It is started again with what it had stored, and is asked while it is still starting.
    Revive(Part),
}

/// What happens when, from the start of the first daemon, in order.
pub(crate) fn timeline(dice: &mut Dice, kills: usize, lasts: Duration) -> Vec<(Duration, Act)> {
    let mut within =
        |span: Duration| span.mul_f32(f32::from(u16::try_from(dice.below(1000)).unwrap()) / 1000.0);
    let mut all: Vec<(Duration, Act)> = (0..kills).map(|_| (within(lasts), Act::Kill)).collect();
    for part in [Part::Aws, Part::Vault, Part::ApiServer, Part::Receivers] {
        let begins = within(lasts.saturating_sub(AWAY));
        all.extend([(begins, Act::Pause(part)), (begins + AWAY, Act::Resume(part))]);
        // What moto knows, it knows in memory only, and the receivers are in this process.
        if matches!(part, Part::Vault | Part::ApiServer) {
            let falls = beside(begins, within(lasts.saturating_sub(AWAY * 3)));
            all.extend([(falls, Act::Fell(part)), (falls + AWAY, Act::Revive(part))]);
        }
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// A time chosen without regard to a pause that begins at `pause`, moved behind it where it would touch it.
fn beside(pause: Duration, chosen: Duration) -> Duration {
    if chosen + AWAY > pause { chosen + AWAY * 2 } else { chosen }
}

/// Starts the daemon and lets everything go wrong. Returns the daemon that is left.
pub(crate) async fn happen(world: &World, timeline: &[(Duration, Act)]) -> Daemon {
    let begun = Instant::now();
    let mut daemon = world.desk.start();
    for (at, act) in timeline {
        tokio::time::sleep_until(begun + *at).await;
        match act {
            Act::Kill => {
                daemon.kill();
                daemon = world.desk.start();
            }
            Act::Pause(part) => pause(world, *part),
            Act::Resume(part) => resume(world, *part),
            Act::Fell(part) => fell(world, *part),
            Act::Revive(part) => revive(world, *part).await,
        }
    }
    daemon
}

fn pause(world: &World, part: Part) {
    match part {
        Part::Aws => world.cloud.aws.pause().unwrap(),
        Part::Vault => world.vault.pause().unwrap(),
        Part::ApiServer => world.control_plane.pause(Server::KubeApiserver).unwrap(),
        Part::Receivers => {
            // A receiver runs in this process: one reads and says nothing, the other hangs up.
            world.functions.otherwise(Reply::Hang);
            world.hook.otherwise(Reply::Drop);
        }
    }
}

fn resume(world: &World, part: Part) {
    match part {
        Part::Aws => world.cloud.aws.resume().unwrap(),
        Part::Vault => world.vault.resume().unwrap(),
        Part::ApiServer => world.control_plane.resume(Server::KubeApiserver).unwrap(),
        Part::Receivers => world.receive(),
    }
}

fn fell(world: &World, part: Part) {
    match part {
        Part::Vault => world.vault.kill(),
        Part::ApiServer => world.control_plane.kill(Server::KubeApiserver),
        Part::Aws | Part::Receivers => panic!("{part:?} would lose what it knows"),
    }
}

async fn revive(world: &World, part: Part) {
    match part {
        Part::Vault => world.vault.revive().await.unwrap(),
        // Nobody waits until it is ready.
        Part::ApiServer => world.control_plane.revive(Server::KubeApiserver).unwrap(),
        Part::Aws | Part::Receivers => panic!("{part:?} is never killed"),
    }
}
