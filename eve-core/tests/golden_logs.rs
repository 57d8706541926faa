//! Logs as released versions wrote them: they load, they resume, and their form has not changed. Files of `logs/` are
//! never rewritten. To add one, begin with an empty file; the test that fails prints what belongs into it. A file of `v1`
//! has records of version 1 alone; one of `v2` to `v5` begins with what is new in that version, or has it further on.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::ids::{Attempt, ComponentId, RunId, Seq};
use eve_core::journal::{Chain, decode, encode};
use eve_core::plan::RetryPolicy;
use eve_core::plan::graph::Graph;
use eve_core::run::{
    Applied, Change, Command, Event, Input, KeepReason, Outcome, Outputs, Phase, PhaseEnd, Prepared, Record,
    Run, RunOptions, RunStart, SkipReason, StopMode, StopReason, UndoReport, UndoToken,
};
use eve_core::secret::{HashKey, SecretPin, SecretPins, SecretRef, SecretValue};
use eve_core::testing::{
    sample_announced, sample_events, sample_graph, sample_rollback, sample_rollback_graph, sample_undoing,
};
use eve_core::time::Timestamp;
use serde_json::json;

const BEGUN: Timestamp = Timestamp::from_micros(1_763_596_800_000_000);

fn run_id() -> RunId {
    RunId::new("run-1")
}

/// A log that was kept, how it came about, and where its chain ends.
struct Golden {
    run: &'static str,
    graph: fn() -> Arc<Graph>,
    name: &'static str,
    text: &'static str,
    made: fn() -> Vec<Record>,
    head: &'static str,
}

/// Logs of runs of `sample_graph`, and of version 2 also of `sample_rollback_graph`.
const RUNS: [Golden; 10] = [
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "every-event",
        text: include_str!("logs/v1/every-event.jsonl"),
        made: sample_events,
        head: "88a17482b3b1e88856d012e53ba4dbdc",
    },
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "succeeded",
        text: include_str!("logs/v1/succeeded.jsonl"),
        made: || stopped_after(usize::MAX, StopMode::Now),
        head: "7a9e3713fe74eea67155cd4b72c47e80",
    },
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "cancelled",
        text: include_str!("logs/v1/cancelled.jsonl"),
        made: || stopped_after(3, StopMode::Now),
        head: "1f34729f93c4402fe51b0f63f11ac10d",
    },
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "superseded",
        text: include_str!("logs/v1/superseded.jsonl"),
        made: || stopped_after(4, StopMode::Supersede),
        head: "d3e9a2a22820a826357973ff518a608b",
    },
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "too-late",
        text: include_str!("logs/v1/too-late.jsonl"),
        made: too_late,
        head: "afe4c3569c1e3c280b9f5a347f17288f",
    },
    Golden {
        run: "run-1",
        graph: sample_rollback_graph,
        name: "rolled-back",
        text: include_str!("logs/v2/rolled-back.jsonl"),
        made: sample_rollback,
        head: "65133aff90950e1f90f943ff5749663d",
    },
    Golden {
        run: "run-2",
        graph: sample_rollback_graph,
        name: "undoes-another",
        text: include_str!("logs/v2/undoes-another.jsonl"),
        made: sample_undoing,
        head: "11eef58a2930c43b92f1d2dc3ed05459",
    },
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "verify-failed",
        text: include_str!("logs/v2/verify-failed.jsonl"),
        made: verify_failed,
        head: "760a10b9d1684698a3bff26d08c5b520",
    },
    Golden {
        run: "run-1",
        graph: sample_graph,
        name: "secrets",
        text: include_str!("logs/v3/secrets.jsonl"),
        made: with_secrets,
        head: "662f6d0e3777d8e08914f5c0b6917058",
    },
    Golden {
        run: "run-1",
        graph: sample_rollback_graph,
        name: "announced",
        text: include_str!("logs/v5/announced.jsonl"),
        made: sample_announced,
        head: "9e51810a52a0824ce083a12cf7e6c6bc",
    },
];

/// No log of any run: every field and every word once.
const FIELDS: Golden = Golden {
    run: "run-1",
    graph: sample_graph,
    name: "every-field",
    text: include_str!("logs/v1/every-field.jsonl"),
    made: every_field,
    head: "ceac0ee2aa224cbce85c37db10624639",
};

/// The same for what came with version 2.
const FIELDS_2: Golden = Golden {
    run: "run-1",
    graph: sample_graph,
    name: "every-field-2",
    text: include_str!("logs/v2/every-field.jsonl"),
    made: every_field_of_version_2,
    head: "880d221be71d39735e288eb3c14570ef",
};

/// The same for what came with version 3.
const FIELDS_3: Golden = Golden {
    run: "run-1",
    graph: sample_graph,
    name: "every-field-3",
    text: include_str!("logs/v3/every-field.jsonl"),
    made: every_field_of_version_3,
    head: "c426d0a630ea0f114be3e4d7986e6795",
};

/// The same for what came with version 4.
const FIELDS_4: Golden = Golden {
    run: "run-1",
    graph: sample_graph,
    name: "every-field-4",
    text: include_str!("logs/v4/every-field.jsonl"),
    made: every_field_of_version_4,
    head: "2bf237f7a1c899f71880072211c29172",
};

fn lines(golden: &Golden) -> Vec<String> {
    if golden.text.is_empty() {
        let made = (golden.made)().iter().map(encode).collect::<Vec<_>>().join(&b'\n');
        panic!("{} is empty; it would begin so:\n{}", golden.name, String::from_utf8(made).unwrap());
    }
    golden.text.lines().map(str::to_owned).collect()
}

fn records(golden: &Golden) -> Vec<Record> {
    let read = |line: &String| decode(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    lines(golden).iter().map(read).collect()
}

fn resumed(golden: &Golden, records: &[Record]) -> Run {
    let (graph, id) = ((golden.graph)(), RunId::new(golden.run));
    let run = Run::resume(graph, RunOptions::default(), id, records, BEGUN);
    run.unwrap_or_else(|error| panic!("{} records: {error}", records.len()))
}

#[test]
fn the_form_of_old_logs_has_not_changed() {
    for golden in RUNS.iter().chain([&FIELDS, &FIELDS_2, &FIELDS_3, &FIELDS_4]) {
        let mut chain = Chain::new(&RunId::new(golden.run));
        for line in lines(golden) {
            let read = decode(line.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(encode(&read)).unwrap(), line, "{}", golden.name);
            chain.push(line.as_bytes());
        }
        assert_eq!(chain.head().link.to_string(), golden.head, "{}", golden.name);
    }
}

#[test]
fn old_logs_say_what_they_said_when_they_were_written() {
    assert_eq!(records(&FIELDS), every_field());
    assert_eq!(records(&FIELDS_2), every_field_of_version_2());
    assert_eq!(records(&FIELDS_3), every_field_of_version_3());
    assert_eq!(records(&FIELDS_4), every_field_of_version_4());
}

#[test]
fn a_resumed_run_has_the_versions_of_secrets_that_it_began_with() {
    let golden = RUNS.iter().find(|golden| golden.name == "secrets").unwrap();
    let records = records(golden);
    assert_eq!(RunStart::of(&records).unwrap().options.pins(), &pins());
    assert_eq!(resumed(golden, &records[..3]).options().pins(), &pins());
    assert!(RunStart::of(&[]).is_none() && RunStart::of(&records[1..]).is_none());
}

#[test]
fn every_event_is_in_an_old_log() {
    let kept: Vec<_> = RUNS.iter().flat_map(records).map(|record| discriminant(&record.event)).collect();
    for record in [sample_events(), sample_rollback(), sample_undoing(), sample_announced()].concat() {
        assert!(kept.contains(&discriminant(&record.event)), "add a log with {:?}", record.event);
    }
}

#[test]
fn old_logs_resume_after_every_record_and_come_to_an_end() {
    for golden in &RUNS {
        let records = records(golden);
        for kept in 0..=records.len() {
            let mut run = resumed(golden, &records[..kept]);
            let more = finish(&mut run, BEGUN, |_, _| {});
            let outcome = run.outcome().unwrap();
            if kept == records.len() {
                assert_eq!(more, [], "{}: what is over stays over", golden.name);
                let last = records.last().unwrap();
                assert_eq!(last.event, Event::Finished { outcome }, "{}", golden.name);
            } else {
                assert_eq!(more[0].seq.get(), kept as u64 + 1, "{}", golden.name);
            }
        }
    }
}

/// Lets every call of the run succeed, a second each, and gives the records; `after` is told how many calls have ended.
fn finish(run: &mut Run, from: Timestamp, mut after: impl FnMut(&mut Run, usize)) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut now, mut ended) = (from, 0);
    for _ in 0..1000 {
        records.extend(std::iter::from_fn(|| run.poll_event()));
        let Some(command) = run.poll_command() else {
            if run.outcome().is_some() {
                return records;
            }
            now = now.max(run.poll_deadline().expect("a run that is not over has a deadline"));
            run.handle_timeout(now);
            continue;
        };
        if let Command::Call { component, attempt, phase, .. } = command {
            let end = match phase {
                Phase::Prepare => {
                    let undo = run.graph().may_be_rolled_back().then(|| UndoToken::new(component.get()));
                    PhaseEnd::Prepare(Ok(Prepared { undo, ..Prepared::new(Change::Create) }))
                }
                Phase::Apply => PhaseEnd::Apply(Ok(Applied::new(Change::Create))),
                Phase::Wait => PhaseEnd::Wait(Ok(Outputs::NONE)),
                Phase::Verify => PhaseEnd::Verify(Ok(())),
                Phase::Undo => PhaseEnd::Undo(Ok(UndoReport::new(Change::None))),
            };
            now = now.plus(Duration::from_secs(1));
            run.handle(Input::Ended { component, attempt, end }, now);
            ended += 1;
            after(run, ended);
        }
    }
    panic!("the run does not end");
}

fn begun(options: RunOptions) -> Run {
    let graph: Arc<Graph> = sample_graph();
    Run::new(graph, options, run_id(), BEGUN)
}

fn stopped_after(calls: usize, mode: StopMode) -> Vec<Record> {
    finish(&mut begun(RunOptions::default()), BEGUN, |run, ended| {
        if ended == calls {
            run.handle(Input::Stop { mode }, BEGUN);
        }
    })
}

fn too_late() -> Vec<Record> {
    let options = RunOptions::default().with_run_timeout(Duration::from_millis(7500)).with_seed(u64::MAX);
    finish(&mut begun(options), BEGUN, |run, ended| {
        if ended == 7 {
            run.handle_timeout(BEGUN.plus(Duration::from_secs(8)));
        }
    })
}

fn pins() -> SecretPins {
    let pin = |text: &str| {
        let reference: SecretRef = text.parse().unwrap();
        let hash =
            HashKey::new(&[7; HashKey::BYTES]).hash_of_secret(&reference, &SecretValue::new("hunter2"));
        SecretPin { reference, hash }
    };
    let pins =
        [("dbPassword", "vault:kv/shop/db#password@3"), ("old \"\u{e4}\"", "vault:kv1/shop/api#pass word")];
    pins.map(|(name, text)| (name.to_owned(), pin(text))).into_iter().collect()
}

fn with_secrets() -> Vec<Record> {
    finish(&mut begun(RunOptions::default().with_pins(pins())), BEGUN, |_, _| {})
}

fn every_field_of_version_3() -> Vec<Record> {
    let start = |undoes| RunStart {
        id: run_id(),
        plan: "plan".into(),
        namespace: "ns".into(),
        components: 8,
        options: RunOptions::default().with_pins(pins()),
        undoes,
    };
    let runs = [start(None), start(Some(RunId::new("run-0")))].map(Box::new);
    let stamped = runs.map(|run| Event::RunStarted { run }).into_iter().zip(1..);
    stamped
        .map(|(event, seq)| Record { seq: Seq::new(seq), at: Timestamp::from_micros(seq), event })
        .collect()
}

fn every_field_of_version_4() -> Vec<Record> {
    let failed = Failure::permanent("function.failed", "it says that it failed").with_nothing_left();
    let (component, attempt, failure) = (ComponentId::new(1), Attempt::FIRST, Box::new(failed));
    let events = [
        Event::AttemptFailed {
            component,
            attempt,
            phase: Phase::Apply,
            failure: failure.clone(),
            retry_at: None,
        },
        Event::UndoFailed { component, attempt, phase: Phase::Undo, failure, retry_at: None },
    ];
    let stamped = events.into_iter().zip(1..);
    stamped
        .map(|(event, seq)| Record { seq: Seq::new(seq), at: Timestamp::from_micros(seq), event })
        .collect()
}

fn verify_failed() -> Vec<Record> {
    let mut run = begun(RunOptions::default());
    let mut now = BEGUN;
    let mut records = Vec::new();
    while run.outcome().is_none() {
        records.extend(std::iter::from_fn(|| run.poll_event()));
        let Some(Command::Call { component, attempt, phase, .. }) = run.poll_command() else {
            now = now.max(run.poll_deadline().expect("a run that is not over has a deadline"));
            run.handle_timeout(now);
            continue;
        };
        let end = match phase {
            Phase::Prepare => PhaseEnd::Prepare(Ok(Prepared::new(Change::None))),
            Phase::Verify if component.get() == 1 && attempt == Attempt::FIRST => {
                PhaseEnd::Verify(Err(Failure::transient("test.lost", "the connection was lost")))
            }
            Phase::Verify if component.get() == 1 => {
                PhaseEnd::Verify(Err(Failure::permanent("test.gone", "1 of 3 replicas is gone")))
            }
            Phase::Verify => PhaseEnd::Verify(Ok(())),
            Phase::Apply | Phase::Wait | Phase::Undo => PhaseEnd::Wait(Ok(Outputs::NONE)),
        };
        now = now.plus(Duration::from_secs(1));
        run.handle(Input::Ended { component, attempt, end }, now);
    }
    records.extend(std::iter::from_fn(|| run.poll_event()));
    records
}

fn every_field_of_version_2() -> Vec<Record> {
    let (component, attempt) = (ComponentId::new(7), Attempt::new(2));
    let undo = || UndoToken::new(json!({ "kept": "shop-7", "uid": null }));
    let start = RunStart {
        id: run_id(),
        plan: "plan".into(),
        namespace: "ns".into(),
        components: 8,
        options: RunOptions::default(),
        undoes: Some(RunId::new("run-0")),
    };
    let failure = || Box::new(Failure::permanent("test.code", "no way back").with_note("n").with_hint("do"));
    let undo_failed =
        |phase, retry_at| Event::UndoFailed { component, attempt, phase, failure: failure(), retry_at };
    let applied = Applied { change: Change::Replace, token: Some(Box::new(json!(null))) };
    let report = UndoReport { change: Change::Replace, notes: vec!["what was left alone".into()] };
    let mut events = vec![
        Event::RunStarted { run: Box::new(start) },
        Event::Prepared {
            component,
            prepared: Prepared { undo: Some(undo()), ..Prepared::new(Change::Update) },
        },
        Event::Inherited { component, token: Some(undo()), applied: Some(applied) },
        Event::Inherited { component, token: None, applied: None },
        Event::Verifying,
        Event::AttemptFailed { component, attempt, phase: Phase::Verify, failure: failure(), retry_at: None },
        Event::AttemptFailed { component, attempt, phase: Phase::Undo, failure: failure(), retry_at: None },
        Event::Stopping { reason: StopReason::Asked { mode: StopMode::Rollback } },
        Event::RollingBack,
        Event::UndoStarted { component, attempt },
        Event::Undone { component, report: Box::new(report) },
        Event::Undone { component, report: Box::new(UndoReport::new(Change::None)) },
        undo_failed(Phase::Undo, Some(Timestamp::MAX)),
        undo_failed(Phase::Verify, None),
    ];
    let dependant = KeepReason::Dependant { component };
    let reasons =
        [KeepReason::Rule, dependant, KeepReason::NoToken, KeepReason::Stopping, KeepReason::Deadline];
    events.extend(reasons.map(|because| Event::Kept { component, because }));
    let outcomes = [Outcome::RolledBack, Outcome::RollbackFailed];
    events.extend(outcomes.map(|outcome| Event::Finished { outcome }));
    let stamped = events.into_iter().zip(1..);
    stamped
        .map(|(event, seq)| Record { seq: Seq::new(seq), at: Timestamp::from_micros(seq), event })
        .collect()
}

fn every_field() -> Vec<Record> {
    let (component, attempt) = (ComponentId::new(7), Attempt::new(2));
    let change = |change| Event::Prepared { component, prepared: Prepared::new(change) };
    let token = |text: &str| Some(Box::new(json!({ "generation": 3, "note": text, "share": 0.1 })));
    let failed = |phase, class, retry_at| {
        let failure =
            Failure::new(class, "test.code", "one\nline \"quoted\"").with_note("ä\u{0}").with_hint("do");
        Event::AttemptFailed { component, attempt, phase, failure: Box::new(failure), retry_at }
    };
    let prepared = Prepared {
        change: Change::Update,
        desired: Some("sha256:00".into()),
        token: token("found"),
        undo: None,
    };
    let applied = Applied { change: Change::Replace, token: Some(Box::new(json!(null))) };
    let outputs =
        Outputs::NONE.with("host", "db.shop.svc").with("ports", json!([5432, -1, 1e300])).with("", true);
    let retry =
        RetryPolicy { attempts: 4, backoff: Duration::from_micros(1), max_backoff: Duration::from_nanos(1) };
    let options = RunOptions::default()
        .with_api_limit(1)
        .with_wait_limit(2)
        .with_component_timeout(Duration::from_millis(1500))
        .with_run_timeout(Duration::MAX)
        .with_no_progress_timeout(Duration::from_secs(3))
        .with_retry(retry)
        .with_seed(u64::MAX);
    let start = RunStart {
        id: run_id(),
        plan: "plan \"é\"".into(),
        namespace: "ns".into(),
        components: u32::MAX,
        options,
        undoes: None,
    };
    let mut events = vec![
        Event::RunStarted { run: Box::new(start) },
        Event::Resumed,
        Event::Prepared { component, prepared },
    ];
    events
        .extend([Change::None, Change::Create, Change::Update, Change::Replace, Change::Delete].map(change));
    events.extend([change(Change::Unknown), Event::Started { component, attempt }]);
    events.push(Event::Applied { component, attempt, applied });
    events.push(Event::Waiting { component, cause: Box::new(Cause::new("test.cause", "0 of 1")) });
    events.push(Event::Ready { component, outputs });
    events.push(failed(Phase::Prepare, FailureClass::Transient, Some(Timestamp::MAX)));
    events.push(failed(Phase::Apply, FailureClass::Permanent, None));
    events.push(failed(Phase::Wait, FailureClass::Cancelled, Some(Timestamp::EPOCH)));
    events.push(failed(Phase::Wait, FailureClass::Misuse, None));
    events.push(Event::Interrupted { component, attempt });
    events.push(Event::Skipped { component, because: SkipReason::Dependency { component } });
    events.push(Event::Skipped { component, because: SkipReason::Stopping });
    let modes = [StopMode::Drain, StopMode::Now, StopMode::Supersede];
    let asked = modes.map(|mode| StopReason::Asked { mode });
    let reasons = asked.into_iter().chain([StopReason::Failure { component }, StopReason::Deadline]);
    events.extend(reasons.map(|reason| Event::Stopping { reason }));
    let outcomes = [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled, Outcome::Superseded];
    events.extend(outcomes.map(|outcome| Event::Finished { outcome }));
    let stamped = events.into_iter().zip(1..);
    stamped
        .map(|(event, seq)| Record { seq: Seq::new(seq), at: Timestamp::from_micros(seq), event })
        .collect()
}
