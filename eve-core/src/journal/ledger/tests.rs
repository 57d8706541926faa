//! The stored form of a ledger: it comes back, it refuses what it does not know, and its chain finds damage.

use super::*;
use crate::journal::Link;
use crate::testing::sample_ledger;

fn stored(records: &[LedgerRecord]) -> (Vec<Entry<Vec<u8>>>, Head) {
    let mut chain = begin();
    let entry = |record: &LedgerRecord| {
        let bytes = encode(record);
        let link = chain.push(&bytes);
        Entry { seq: record.seq.get(), bytes, link }
    };
    let entries = records.iter().map(entry).collect();
    (entries, chain.head())
}

#[test]
fn every_record_comes_back_as_it_was() {
    for record in sample_ledger() {
        let bytes = encode(&record);
        assert_eq!(decode(&bytes).unwrap(), record, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn what_is_not_known_is_refused() {
    for (text, reason) in [
        (r#"{"v":4,"n":1,"t":0,"e":{"new":1}}"#, "written by a newer eve"),
        (
            r#"{"v":2,"n":1,"t":0,"e":{"accept":{"id":"a","sha":"SHA","ns":"n","plan":"p","num":8}}}"#,
            "what it says is of format 3",
        ),
        (r#"{"v":2,"n":1,"t":0,"e":"take"}"#, "what it says is of format 1"),
        (r#"{"v":0,"n":1,"t":0,"e":"take"}"#, "there is no format 0"),
        (r#"{"v":1,"n":1,"t":0,"e":"take","x":1}"#, "unknown field"),
        (r#"{"v":1,"n":1,"t":0,"e":{"open":{"k":1,"run":"r","x":1}}}"#, "unknown field"),
        (r#"{"v":1,"n":1,"t":0,"e":{"close":{"k":1,"as":"won"}}}"#, "unknown variant"),
        (
            r#"{"v":1,"n":1,"t":0,"e":{"accept":{"id":"a","sha":"0g","ns":"n","plan":"p"}}}"#,
            "64 hexadecimal digits",
        ),
    ] {
        let text = text.replace("SHA", &"0".repeat(64));
        let error = decode(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn no_changed_missing_doubled_or_cut_record_goes_unseen() {
    let records = sample_ledger();
    let (entries, head) = stored(&records);
    let base = begin().head();
    assert_eq!(verify(base, entries.clone(), head).unwrap(), records);
    for place in 0..entries.len() {
        for byte in 0..entries[place].bytes.len() {
            let mut changed = entries.clone();
            changed[place].bytes[byte] ^= 1;
            assert!(verify(base, changed, head).is_err(), "record {place} byte {byte}");
        }
        let mut missing = entries.clone();
        missing.remove(place);
        assert!(verify(base, missing, head).is_err());
        let mut doubled = entries.clone();
        doubled.insert(place, entries[place].clone());
        assert!(verify(base, doubled, head).is_err());
    }
    let other = Head { link: Link::from_bytes([7; Link::BYTES]), ..base };
    assert!(verify(other, entries, head).is_err(), "a base that is not the one before");
}

#[test]
fn a_ledger_goes_on_from_the_head_before_it_was_compacted() {
    let records = sample_ledger();
    let (entries, head) = stored(&records);
    let cut = 5;
    let base = Head { seq: entries[cut - 1].seq, link: entries[cut - 1].link };
    assert_eq!(verify(base, entries[cut..].to_vec(), head).unwrap(), records[cut..]);
    let run = Chain::new(&crate::ids::RunId::new("")).head();
    assert_ne!(run.link, begin().head().link, "no log of a run verifies as a ledger");
}
