//! Ledgers as released versions wrote them: they load, they can be taken over, and their form has not changed. Files of
//! `logs/ledger1/`, `logs/ledger2/` and `logs/ledger3/` are never rewritten. To add one, begin with an empty file; the test that fails prints what belongs into it.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::mem::discriminant;

use eve_core::journal::ledger::{begin, decode, encode};
use eve_core::scheduler::{LedgerRecord, Scheduler, SchedulerOptions};
use eve_core::testing::sample_ledger;

const TEXT: &str = include_str!("logs/ledger1/every-event.jsonl");
const HEAD: &str = "20b3dc1b9b89b5ca6530e29aa3b2ae0c";

fn lines() -> Vec<&'static str> {
    if TEXT.is_empty() {
        let mut chain = begin();
        let mut text = Vec::new();
        for record in sample_ledger() {
            let bytes = encode(&record);
            chain.push(&bytes);
            text.push(String::from_utf8(bytes).unwrap());
        }
        panic!("it is empty; it would begin so:\n{}\nhead {}", text.join("\n"), chain.head().link);
    }
    TEXT.lines().collect()
}

fn records() -> Vec<LedgerRecord> {
    let read = |line: &&str| decode(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    lines().iter().map(read).collect()
}

/// The sample is written as it stands in the file, to the last link, and the file is read as the sample.
fn assert_form(text: &str, head: &str, sample: &[LedgerRecord]) {
    let mut chain = begin();
    let encoded: Vec<String> =
        sample.iter().map(|record| String::from_utf8(encode(record)).unwrap()).collect();
    for line in &encoded {
        chain.push(line.as_bytes());
    }
    let shown = format!("{}\nhead {}", encoded.join("\n"), chain.head().link);
    assert_eq!(text.lines().collect::<Vec<_>>(), encoded, "{shown}");
    assert_eq!(chain.head().link.to_string(), head);
    let read: Vec<LedgerRecord> = text.lines().map(|line| decode(line.as_bytes()).unwrap()).collect();
    assert_eq!(read, sample);
}

#[test]
fn the_form_of_old_ledgers_has_not_changed() {
    let mut chain = begin();
    for line in lines() {
        let read = decode(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(encode(&read)).unwrap(), line);
        chain.push(line.as_bytes());
    }
    assert_eq!(chain.head().link.to_string(), HEAD);
}

#[test]
fn old_ledgers_say_what_they_said_when_they_were_written() {
    assert_eq!(records(), sample_ledger());
}

#[test]
fn every_event_is_in_an_old_ledger() {
    let kept: Vec<_> = records().iter().map(|record| discriminant(&record.event)).collect();
    for record in sample_ledger() {
        assert!(kept.contains(&discriminant(&record.event)), "add a ledger with {:?}", record.event);
    }
}

#[test]
fn old_ledgers_can_be_taken_over_after_every_record() {
    let records = records();
    let now = records.last().unwrap().at;
    for kept in 0..=records.len() {
        let mut scheduler = Scheduler::resume(SchedulerOptions::default(), &records[..kept], now).unwrap();
        assert_eq!(scheduler.poll_event().unwrap().seq.get(), kept as u64 + 1);
    }
    // What a store keeps once it was compacted.
    let whole = Scheduler::resume(SchedulerOptions::default(), &records, now).unwrap();
    let last = records.last().unwrap().clone();
    let compacted = Scheduler::resume(SchedulerOptions::default(), &[last], now).unwrap();
    let told = |scheduler: &Scheduler| -> Vec<String> {
        scheduler.view().requests().map(|view| format!("{view:?}")).collect()
    };
    assert_eq!(told(&compacted), told(&whole));
}

/// What version 2 brought, and a compaction that has it.
mod second {
    use std::time::Duration;

    use eve_core::failure::Failure;
    use eve_core::ids::{RunId, Seq};
    use eve_core::ports::{ComponentEnd, ComponentNotice, Told};
    use eve_core::run::{Outcome, StopMode};
    use eve_core::scheduler::{Digest, LedgerEvent, Reason, Report, RequestKey, Ticket};
    use eve_core::time::Timestamp;

    use super::*;

    const TEXT: &str = include_str!("logs/ledger2/told.jsonl");
    const HEAD: &str = "db2fd1a251da22e9dbbbd455ae81a169";

    fn sample() -> Vec<LedgerRecord> {
        let key = |id: &str| RequestKey { id: id.into(), digest: Digest::of(id.as_bytes()) };
        let reason = |text: &str| Some(Reason::of(&Failure::permanent("stop.unknown-request", text)));
        let component = |name: &str, state, failure: Option<&str>, messages: &[&str]| ComponentNotice {
            name: name.to_owned(),
            state,
            failure: failure
                .map(|text| Told { code: "function.failed".to_owned(), message: text.to_owned() }),
            messages: messages.iter().map(|text| (*text).to_owned()).collect(),
        };
        let components = vec![
            component("web", ComponentEnd::Failed, Some("it says \"no\""), &["ä", "\n"]),
            component("db", ComponentEnd::NotUndone, Some("it stays"), &[]),
            component("fn", ComponentEnd::Succeeded, None, &["done"]),
            component("last", ComponentEnd::Skipped, None, &[]),
        ];
        let events = [
            LedgerEvent::TakenOver,
            LedgerEvent::Accepted {
                key: key("a"),
                namespace: "shop".into(),
                plan: "app".into(),
                sequence: None,
            },
            LedgerEvent::RunOpened { ticket: Ticket::new(2), run: RunId::new("run-2") },
            LedgerEvent::StopAsked {
                key: Some(key("stop")),
                target: "nobody".into(),
                mode: StopMode::Now,
                reason: reason("no request nobody is known"),
                receivers: vec!["hook".into()],
            },
            LedgerEvent::RunClosed {
                ticket: Ticket::new(2),
                outcome: Outcome::RollbackFailed,
                reason: reason("it \"is\" so"),
                report: Report { components, left_out: 7 },
                receivers: vec!["hook".into()],
            },
        ];
        let begun = Timestamp::from_micros(1_763_596_800_000_000);
        let record =
            |(seq, event)| LedgerRecord { seq, at: begun.plus(Duration::from_secs(seq.get())), event };
        (1..).map(Seq::new).zip(events).map(record).collect()
    }

    #[test]
    fn ledgers_of_version_2_say_what_they_said_and_their_form_has_not_changed() {
        assert_form(TEXT, HEAD, &sample());
    }

    #[test]
    fn ledgers_of_version_2_can_be_taken_over_and_tell_what_they_told() {
        let records = sample();
        let now = records.last().unwrap().at;
        let mut options = SchedulerOptions::default();
        options.receivers = vec!["hook".into()];
        options.records_free = 0;
        let mut whole = Scheduler::resume(options.clone(), &records, now).unwrap();
        let told = |scheduler: &Scheduler| {
            [2, 4].map(|ticket| scheduler.notice(Ticket::new(ticket), "hook").unwrap())
        };
        assert_eq!(told(&whole)[0].report.components.len(), 4);
        assert_eq!(&*told(&whole)[1].reason.as_ref().unwrap().code, "stop.unknown-request");
        // Enough records, and it is compacted.
        for _ in 0..20 {
            whole.handle(eve_core::scheduler::Input::SendAgain { request: "a".into() }, now);
        }
        let base = std::iter::from_fn(|| whole.poll_event())
            .filter(|record| matches!(record.event, LedgerEvent::Compacted { .. }))
            .last()
            .unwrap();
        let stored = decode(&encode(&base)).unwrap();
        assert_eq!(stored, base);
        let compacted = Scheduler::resume(options, &[stored], now).unwrap();
        assert_eq!(told(&compacted), told(&whole));
    }
}

/// What version 3 brought, and a compaction that has it.
mod third {
    use eve_core::failure::Failure;
    use eve_core::ids::{RunId, Seq};
    use eve_core::run::Outcome;
    use eve_core::scheduler::{
        Answer, Arrival, Asks, Digest, Input, LedgerEvent, Reason, Report, RequestKey, Stand, Ticket,
    };
    use eve_core::time::Timestamp;

    use super::*;

    const TEXT: &str = include_str!("logs/ledger3/numbers.jsonl");
    const HEAD: &str = "9333f93815cd727c53f2dc7f0d395d4a";
    const BEGUN: Timestamp = Timestamp::from_micros(1_763_596_800_000_000);

    fn accepted(id: &str, sequence: u64) -> LedgerEvent {
        let key = RequestKey { id: id.into(), digest: Digest::of(id.as_bytes()) };
        LedgerEvent::Accepted { key, namespace: "shop".into(), plan: "app".into(), sequence: Some(sequence) }
    }

    fn sample() -> Vec<LedgerRecord> {
        let events = [
            LedgerEvent::TakenOver,
            accepted("nine", 9),
            LedgerEvent::RunOpened { ticket: Ticket::new(2), run: RunId::new("run-2") },
            accepted("eight", 8),
            LedgerEvent::RunClosed {
                ticket: Ticket::new(4),
                outcome: Outcome::Superseded,
                reason: Some(Reason::of(&Failure::permanent("request.superseded", "nine came before it"))),
                report: Report::default(),
                receivers: Vec::new(),
            },
        ];
        // Enough records, and it is compacted by whoever takes it over.
        let events = events.into_iter().chain([
            LedgerEvent::TakenOver,
            LedgerEvent::TakenOver,
            LedgerEvent::TakenOver,
        ]);
        let record = |(seq, event)| LedgerRecord { seq, at: BEGUN, event };
        let mut records: Vec<LedgerRecord> = (1..).map(Seq::new).zip(events).map(record).collect();
        let mut options = SchedulerOptions::default();
        options.records_free = 0;
        let mut next = Scheduler::resume(options, &records, BEGUN).unwrap();
        records.extend(std::iter::from_fn(|| next.poll_event()));
        records
    }

    #[test]
    fn ledgers_of_version_3_say_what_they_said_and_their_form_has_not_changed() {
        assert_form(TEXT, HEAD, &sample());
    }

    #[test]
    fn ledgers_of_version_3_tell_the_numbers_whole_or_from_their_compaction_on() {
        let records: Vec<LedgerRecord> = TEXT.lines().map(|line| decode(line.as_bytes()).unwrap()).collect();
        let is_base = |record: &LedgerRecord| matches!(record.event, LedgerEvent::Compacted { .. });
        let base = records.iter().position(is_base).unwrap();
        for records in [&records[..base], &records[base..]] {
            let mut scheduler = Scheduler::resume(SchedulerOptions::default(), records, BEGUN).unwrap();
            scheduler.handle(
                Input::Received(Arrival {
                    source: 0,
                    handle: "handle".into(),
                    request: "seven".into(),
                    digest: Digest::of(b"seven"),
                    body: b"seven".as_slice().into(),
                    asks: Asks::Run { namespace: "shop".into(), plan: "app".into(), sequence: Some(7) },
                }),
                BEGUN,
            );
            for request in ["eight", "seven"] {
                let stand = scheduler.view().request(request).unwrap().stand();
                assert_eq!(stand, Stand::Closed(Answer::Ended(Outcome::Superseded)), "{request}");
            }
        }
    }
}
