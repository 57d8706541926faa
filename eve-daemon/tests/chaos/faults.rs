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
    Pause(Part),
    Resume(Part),
}

/// What happens when, from the start of the first daemon, in order.
pub(crate) fn timeline(dice: &mut Dice, kills: usize, lasts: Duration) -> Vec<(Duration, Act)> {
    let mut within =
        |span: Duration| span.mul_f32(f32::from(u16::try_from(dice.below(1000)).unwrap()) / 1000.0);
    let mut all: Vec<(Duration, Act)> = (0..kills).map(|_| (within(lasts), Act::Kill)).collect();
    for part in [Part::Aws, Part::Vault, Part::ApiServer, Part::Receivers] {
        let begins = within(lasts.saturating_sub(AWAY));
        all.extend([(begins, Act::Pause(part)), (begins + AWAY, Act::Resume(part))]);
    }
    all.sort_by_key(|(at, _)| *at);
    all
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
