//! How long whoever opens runs has to keep something of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::driver::{Executors, Intake, Opened, Order, PlanName};
use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::run::{Phase, RunStart};
use eve_core::testing::{ScriptStep, ScriptedExecutor};

use super::{Words, noops, options, world};

/// Tells when runs are opened and let go of. Those in the namespace `away` never can be opened, in `n` at the third try.
#[derive(Default)]
struct Keeps(Mutex<Vec<(RunId, &'static str)>>);

impl Keeps {
    fn saw(&self, run: &RunId, what: &'static str) {
        self.0.lock().unwrap().push((run.clone(), what));
    }

    /// What happened to each run, in order.
    fn seen(&self) -> Vec<Vec<&'static str>> {
        let seen = self.0.lock().unwrap();
        let runs: BTreeSet<&RunId> = seen.iter().map(|(run, _)| run).collect();
        let of = |run: &RunId| seen.iter().filter(|(of, _)| of == run).map(|(_, what)| *what).collect();
        runs.into_iter().map(of).collect()
    }
}

#[async_trait]
impl Intake for Keeps {
    fn read(&self, body: &[u8]) -> Result<PlanName, Failure> {
        Words::default().read(body)
    }

    async fn open(&self, run: &RunId, body: &[u8], begun: Option<&RunStart>) -> Result<Opened, Failure> {
        self.saw(run, "open");
        let namespace = self.read(body)?.namespace;
        let tries = self.0.lock().unwrap().iter().filter(|(of, _)| of == run).count();
        assert!(&*namespace != "panic", "so it is written");
        if &*namespace == "away" || (&*namespace == "n" && tries < 3) {
            return Err(Failure::transient("test.away", "nobody is there"));
        }
        Words::default().open(run, body, begun).await
    }

    fn let_go(&self, run: &RunId) {
        self.saw(run, "let go");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_let_go_of_once_when_it_is_over_or_is_not_going_to_be_opened() {
    for (body, stops, expected) in [
        ("n 2", false, vec!["open", "open", "open", "let go"]),
        ("m many", false, vec!["open", "let go"]),
        ("panic 1", false, vec!["open", "let go"]),
        ("away 1", true, vec!["open", "open", "open", "let go"]),
    ] {
        let keeps = Arc::new(Keeps::default());
        let mut world = world(noops());
        world.ports.intake = Arc::clone(&keeps) as _;
        let (orders, served) = world.serve(options()).await;
        world.source.send("r", body);
        if stops {
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert!(!keeps.seen().concat().contains(&"let go"), "it is tried again");
            world.stop("stop", "r");
        }
        world.told("r").await;
        world.until_empty().await;
        world.end(&orders, served).await;
        assert_eq!(keeps.seen(), [expected], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_run_is_kept_as_long_as_it_is_under_way() {
    let slow = vec![ScriptStep::Sleep(Duration::from_mins(4))];
    let executor = ScriptedExecutor::new().with("c0", Phase::Wait, slow);
    let mut world = world(Executors::new().with("noop", Arc::new(executor)));
    let keeps = Arc::new(Keeps::default());
    world.ports.intake = Arc::clone(&keeps) as _;
    let (orders, served) = world.serve(options()).await;
    world.source.send("r", "m 2");
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_eq!(keeps.seen(), [vec!["open"]]);
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    assert_eq!(keeps.seen(), [vec!["open", "let go"]]);
}
