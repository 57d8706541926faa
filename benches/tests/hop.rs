//! The bench on a real control plane, small: that every contender asks for what it should, in the order it should. No
//! figure is judged here.

use std::time::Duration;

use eve_benches::hop::figures::{hops_ms, is_apply};
use eve_benches::hop::objects::Workload;
use eve_benches::hop::{Bench, Contender, Programs, Seen, Sizes};
use eve_testbed::Entries;

const SIZES: Sizes =
    Sizes { deployments: 4, chain: 6, fan: 20, concurrency: 4, turns: 2, delay: Duration::from_millis(5) };

/// The names of the objects that were applied, in the order in which the requests came in.
fn applied(entries: &Entries) -> Vec<String> {
    let mut applied: Vec<_> =
        entries.iter().filter(|entry| is_apply(entry)).map(|entry| (&entry.received, &entry.name)).collect();
    applied.sort();
    applied.into_iter().map(|(_, name)| name.clone()).collect()
}

/// What holds for each contender: every object is applied once, and nothing else is written.
fn check_writes(workload: Workload, seen: &Seen) {
    let expected: Vec<_> = (0..SIZES.count(workload)).map(|index| workload.name(index)).collect();
    let mut names = applied(&seen.entries);
    if workload == Workload::Fan {
        names.sort();
    }
    let who = seen.contender;
    assert_eq!(names, expected, "{who}, {workload:?}: {:?}", seen.entries);
    let asked = seen.entries.by_user("eve");
    assert_eq!(asked.writes().len(), expected.len(), "{who}, {workload:?}: {asked:?}");
    assert!(asked.refused().is_empty() && asked.dry_runs().is_empty(), "{who}, {workload:?}: {asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_costs_one_write_and_no_read_whoever_makes_it() {
    let itself = |verb: &str| vec![env!("CARGO_BIN_EXE_hop").into(), verb.into()];
    let programs = Programs { eve: itself("eve"), hand: itself("hand"), kubectl: None };
    let bench = Bench::start(programs, SIZES).await.unwrap();
    for (round, workload) in [Workload::Deployments, Workload::Chain, Workload::Fan].into_iter().enumerate() {
        let seen = bench.round(round, workload).await.unwrap();
        let contenders: Vec<_> = seen.iter().map(|seen| seen.contender).collect();
        assert_eq!(contenders, bench.order(round, workload));
        for seen in &seen {
            check_writes(workload, seen);
            let asked = seen.entries.by_user("eve");
            if seen.contender == Contender::Eve {
                // One list of the kind before and one at the end, to verify, and the namespace itself: as many as there are
                // for one object.
                assert_eq!(asked.resource(workload.plural()).reads().len(), 2, "{asked:?}");
                assert_eq!(asked.reads().len(), 3, "{asked:?}");
            }
            if workload == Workload::Deployments {
                assert_eq!(asked.watches().len(), 1, "{asked:?}");
                let hops = hops_ms(&seen.entries, workload, SIZES.deployments);
                assert_eq!(hops.len(), SIZES.deployments - 1, "{:?}", seen.entries);
            }
        }
    }
    bench.stop().await;
}
