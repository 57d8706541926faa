//! Ledgers as released versions wrote them: they load, they can be taken over, and their form has not changed. Files of
//! `logs/ledger1/` are never rewritten. To add one, begin with an empty file; the test that fails prints what belongs into it.
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
