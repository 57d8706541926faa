//! The real `eve-daemon`, killed again and again while whatever it talks to is paused, killed or cut off: each plan is
//! answered once, in order, under one identity, and nothing is lost, left over or written before its turn.
//!
//! `EVE_CHAOS=full` sends 120 plans to 20 namespaces and kills 15 times; otherwise it is 30 plans, 6 namespaces and 4 kills.
//! `EVE_CHAOS_SEED` chooses plans and times (4 where nothing is said). It is printed; the servers add their own chance.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

mod batch;
#[expect(dead_code, reason = "messages are put together here")]
#[path = "../daemon/cloud.rs"]
mod cloud;
#[expect(dead_code, reason = "plans come by a queue here, and outcomes are not in files")]
#[path = "../daemon/desk.rs"]
mod desk;
mod dice;
mod faults;
mod judge;
mod order;
#[expect(dead_code, reason = "queues and what is served are looked at otherwise")]
#[path = "../daemon/sinks.rs"]
mod sinks;
mod world;

use std::time::{Duration, Instant};

use batch::Batch;
use dice::Dice;
use world::World;

/// How much is sent, and how often the daemon is killed.
#[derive(Clone, Copy, Debug)]
struct Size {
    plans: usize,
    namespaces: usize,
    kills: usize,
    duplicates: usize,
    cancels: usize,
    /// How long there are faults.
    faults_last: Duration,
}

impl Size {
    fn chosen() -> Self {
        match std::env::var("EVE_CHAOS").as_deref() {
            Ok("full") => Self {
                plans: 120,
                namespaces: 20,
                kills: 15,
                duplicates: 5,
                cancels: 3,
                faults_last: Duration::from_secs(110),
            },
            Ok(other) => panic!("EVE_CHAOS is `full` or absent, not {other:?}"),
            Err(_) => Self {
                plans: 30,
                namespaces: 6,
                kills: 4,
                duplicates: 3,
                cancels: 2,
                faults_last: Duration::from_secs(32),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_or_hangs_each_plan_has_one_outcome_told_under_one_identity_in_order_and_nothing_is_left()
 {
    let seed = std::env::var("EVE_CHAOS_SEED").map_or(4, |seed| seed.parse().unwrap());
    let size = Size::chosen();
    println!("EVE_CHAOS_SEED={seed} {size:?}");
    let begun = Instant::now();
    let mut dice = Dice::new(seed);
    let world = World::new(size.namespaces).await;
    let batch = Batch::new(&mut dice, &size, &world);
    let timeline = faults::timeline(&mut dice, size.kills, size.faults_last);
    let (sent, daemon) = tokio::join!(
        batch.send(&world, dice, size.faults_last.mul_f32(0.7)),
        faults::happen(&world, &timeline)
    );
    let told = world.until_all_is_told(&sent).await;
    world.end(daemon).await;
    world.control_plane.api_server_ready().await.unwrap();
    world.scan(&told).await.assert_clean();
    let mut broken = judge::outcomes(&sent, &told);
    broken.extend(judge::dead_letters(&sent, &world.cloud.take_all(&world.cloud.dead).await));
    broken.extend(order::broken(&world, &sent, &told).await);
    println!("{}", world.summary(&told, begun.elapsed()));
    assert!(broken.is_empty(), "EVE_CHAOS_SEED={seed} {size:?} {timeline:?}\n    {}", broken.join("\n    "));
}
