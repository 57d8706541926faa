//! The stored form: what stands on disk, that it comes back whole, and what is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use super::*;
use crate::failure::{Cause, Failure, FailureClass};
use crate::ids::{Attempt, ComponentId, RunId, Seq};
use crate::plan::RetryPolicy;
use crate::run::{
    Applied, Change, Event, KeepReason, Outcome, Outputs, Phase, Prepared, RunOptions, RunStart, SkipReason,
    StopMode, StopReason, UndoReport, UndoToken, VALUE_DEPTH_MAX,
};
use crate::secret::{HashKey, SecretPin, SecretPins, SecretRef, SecretVersion};
use crate::testing::sample_events;
use crate::time::Timestamp;

fn record(event: Event) -> Record {
    Record { seq: Seq::new(2), at: Timestamp::from_micros(7), event }
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![0..4_u32, any::<u32>()]
}

fn component() -> impl Strategy<Value = ComponentId> {
    number().prop_map(ComponentId::new)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    number().prop_map(Attempt::new)
}

fn change() -> impl Strategy<Value = Change> {
    use Change::{Create, Delete, None, Replace, Unknown, Update};
    prop::sample::select(vec![None, Create, Update, Replace, Delete, Unknown])
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn token() -> impl Strategy<Value = Option<Box<Value>>> {
    prop::option::of(value().prop_map(Box::new))
}

fn length() -> impl Strategy<Value = Duration> {
    (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

fn options() -> impl Strategy<Value = RunOptions> {
    let lengths = prop::array::uniform6(length());
    let parts = (any::<[u32; 3]>(), lengths, any::<u64>(), pins());
    parts.prop_map(|([api_limit, wait_limit, attempts], lengths, seed, pins)| {
        let [component_timeout, run_timeout, no_progress_timeout, waiting_interval, backoff, max_backoff] =
            lengths;
        RunOptions {
            api_limit,
            wait_limit,
            component_timeout,
            run_timeout,
            no_progress_timeout,
            waiting_interval,
            retry: RetryPolicy { attempts, backoff, max_backoff },
            seed,
            pins,
        }
    })
}

fn pins() -> impl Strategy<Value = SecretPins> {
    let version = prop::option::of((1..=u64::MAX).prop_map(|number| SecretVersion::new(number).unwrap()));
    let reference = (any::<bool>(), version).prop_map(|(newest, version)| {
        let reference: SecretRef = "vault:kv/\u{e4}/db#pass word".parse().unwrap();
        if newest { reference } else { SecretRef { version, ..reference } }
    });
    let hash = any::<[u8; 4]>().prop_map(|bytes| HashKey::new(&[7; HashKey::BYTES]).hash([bytes]));
    let pin = (reference, hash).prop_map(|(reference, hash)| SecretPin { reference, hash });
    prop::collection::btree_map(any::<String>(), pin, 0..3).prop_map(|pins| pins.into_iter().collect())
}

fn failure() -> impl Strategy<Value = Box<Failure>> {
    use FailureClass::{Cancelled, Misuse, Permanent, Transient};
    let class = prop::sample::select(vec![Transient, Permanent, Cancelled, Misuse]);
    let notes = prop::collection::vec(any::<String>(), 0..3);
    let texts = (any::<String>(), any::<String>(), prop::option::of(any::<String>()));
    (class, texts, notes, any::<bool>()).prop_map(|(class, (code, message, hint), notes, left_nothing)| {
        let log = Box::default();
        Box::new(Failure { code: code.into(), class, message, notes, log, hint, left_nothing })
    })
}

fn ending() -> impl Strategy<Value = Event> {
    use Outcome::{Cancelled, Failed, RollbackFailed, RolledBack, Succeeded, Superseded};
    use StopMode::{Drain, Now, Rollback, Supersede};
    let mode = prop::sample::select(vec![Drain, Now, Supersede, Rollback]);
    let reason = prop_oneof![
        component().prop_map(|component| StopReason::Failure { component }),
        mode.prop_map(|mode| StopReason::Asked { mode }),
        Just(StopReason::Deadline),
    ];
    let because = prop_oneof![
        component().prop_map(|component| SkipReason::Dependency { component }),
        Just(SkipReason::Stopping),
    ];
    let outcome =
        prop::sample::select(vec![Succeeded, Failed, Cancelled, Superseded, RolledBack, RollbackFailed]);
    prop_oneof![
        (component(), because).prop_map(|(component, because)| Event::Skipped { component, because }),
        reason.prop_map(|reason| Event::Stopping { reason }),
        outcome.prop_map(|outcome| Event::Finished { outcome }),
    ]
}

fn trying() -> impl Strategy<Value = Event> {
    use Phase::{Apply, Prepare, Undo, Verify, Wait};
    let phase = prop::sample::select(vec![Prepare, Apply, Wait, Verify, Undo]);
    let retry_at = prop::option::of(any::<u64>().prop_map(Timestamp::from_micros));
    let applied = (change(), token()).prop_map(|(change, token)| Applied { change, token });
    prop_oneof![
        component().prop_map(|component| Event::Announced { component }),
        (component(), attempt()).prop_map(|(component, attempt)| Event::Started { component, attempt }),
        (component(), attempt()).prop_map(|(component, attempt)| Event::Interrupted { component, attempt }),
        (component(), attempt(), applied).prop_map(|(component, attempt, applied)| Event::Applied {
            component,
            attempt,
            applied
        }),
        (component(), attempt(), phase, failure(), retry_at).prop_map(
            |(component, attempt, phase, failure, retry_at)| Event::AttemptFailed {
                component,
                attempt,
                phase,
                failure,
                retry_at
            }
        ),
    ]
}

fn undo_token() -> impl Strategy<Value = Option<UndoToken>> {
    token().prop_map(|token| token.map(UndoToken))
}

fn undoing() -> impl Strategy<Value = Event> {
    let phase = prop::sample::select(vec![Phase::Undo, Phase::Verify]);
    let retry_at = prop::option::of(any::<u64>().prop_map(Timestamp::from_micros));
    let applied = prop::option::of((change(), token()).prop_map(|(change, token)| Applied { change, token }));
    let report = (change(), prop::collection::vec(any::<String>(), 0..3));
    let because = prop_oneof![
        component().prop_map(|component| KeepReason::Dependant { component }),
        prop::sample::select(vec![
            KeepReason::Rule,
            KeepReason::NoToken,
            KeepReason::Stopping,
            KeepReason::Deadline
        ]),
    ];
    prop_oneof![
        prop::sample::select(vec![Event::Verifying, Event::RollingBack]),
        (component(), undo_token(), applied).prop_map(|(component, token, applied)| Event::Inherited {
            component,
            token,
            applied
        }),
        (component(), attempt()).prop_map(|(component, attempt)| Event::UndoStarted { component, attempt }),
        (component(), report).prop_map(|(component, (change, notes))| Event::Undone {
            component,
            report: Box::new(UndoReport { change, notes })
        }),
        (component(), attempt(), phase, failure(), retry_at).prop_map(
            |(component, attempt, phase, failure, retry_at)| Event::UndoFailed {
                component,
                attempt,
                phase,
                failure,
                retry_at
            }
        ),
        (component(), because).prop_map(|(component, because)| Event::Kept { component, because }),
    ]
}

fn finding() -> impl Strategy<Value = Event> {
    let text = any::<String>;
    let desired = prop::option::of(text().prop_map(String::into_boxed_str));
    let prepared = (change(), desired, token(), undo_token())
        .prop_map(|(change, desired, token, undo)| Prepared { change, desired, token, undo });
    let outputs = prop::collection::btree_map(text(), value(), 0..3).prop_map(|values| {
        values.into_iter().fold(Outputs::NONE, |outputs, (name, value)| outputs.with(name, value))
    });
    let undoes = prop::option::of(text().prop_map(RunId::new));
    let start = (text(), text(), text(), number(), options(), undoes).prop_map(
        |(id, plan, namespace, components, options, undoes)| {
            Box::new(RunStart { id: RunId::new(id), plan, namespace, components, options, undoes })
        },
    );
    prop_oneof![
        start.prop_map(|run| Event::RunStarted { run }),
        Just(Event::Resumed),
        (component(), prepared).prop_map(|(component, prepared)| Event::Prepared { component, prepared }),
        (component(), text(), text()).prop_map(|(component, code, message)| {
            Event::Waiting { component, cause: Box::new(Cause { code: code.into(), message }) }
        }),
        (component(), outputs).prop_map(|(component, outputs)| Event::Ready { component, outputs }),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let event = prop_oneof![finding(), trying(), ending(), undoing()];
    (any::<u64>(), any::<u64>(), event).prop_map(|(seq, at, event)| Record {
        seq: Seq::new(seq),
        at: Timestamp::from_micros(at),
        event,
    })
}

proptest! {
    #[test]
    fn every_record_comes_back_as_it_was(record in any_record()) {
        let bytes = encode(&record);
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(encode(&read), bytes);
    }

    #[test]
    fn no_beginning_of_a_record_is_a_record(record in any_record(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&record);
        let cut = cut.index(bytes.len());
        let malformed = matches!(decode(&bytes[..cut]), Err(JournalError::Malformed { .. }));
        prop_assert!(malformed);
    }

    #[test]
    fn a_log_that_was_tampered_with_says_where(cut in 0..20_usize, kind in 0..6_u8, byte in any::<prop::sample::Index>()) {
        let (run, mut log, head) = chained();
        match kind {
            0 => drop(log.remove(cut)),
            1 => log.insert(cut, log[cut].clone()),
            2 => log.swap(cut, (cut + 1) % 20),
            3 => log[cut].bytes[byte.index(30)] ^= 1,
            4 => log.truncate(cut),
            _ => log[cut].link = Link::from_bytes([0; Link::BYTES]),
        }
        let error = verify(&run, log, head).unwrap_err();
        let first = match kind {
            1 => cut + 2,
            2 if cut == 19 => 1,
            _ => cut + 1,
        };
        let JournalError::Damaged { seq, .. } = error else { panic!("{error:?}") };
        prop_assert_eq!(seq, first as u64);
    }
}

fn chained() -> (RunId, Vec<Entry<Vec<u8>>>, Head) {
    let run = RunId::new("run-1");
    let mut chain = Chain::new(&run);
    let entry = |record: Record| {
        let bytes = encode(&record);
        Entry { seq: record.seq.get(), link: chain.push(&bytes), bytes }
    };
    let log = sample_events().into_iter().map(entry).collect();
    (run, log, chain.head())
}

#[test]
fn a_log_that_is_whole_verifies() {
    let (run, log, head) = chained();
    assert_eq!(verify(&run, log, head).unwrap(), sample_events());
    let empty = Vec::<Entry<Vec<u8>>>::new();
    assert_eq!(verify(&run, empty, Chain::new(&run).head()).unwrap(), []);
}

#[test]
fn a_log_is_of_one_run_and_ends_where_its_head_says() {
    let (run, log, head) = chained();
    let damage = |run: &RunId, log: &[Entry<Vec<u8>>], head: Head| {
        verify(run, log.to_vec(), head).unwrap_err().to_string()
    };
    assert!(damage(&RunId::new("run-2"), &log, head).starts_with("record 1 is not what was written"));
    assert_eq!(damage(&run, &log[..19], head), "record 20 is missing: 20 were written");
    let shorter = Head { seq: 19, ..head };
    assert_eq!(damage(&run, &log, shorter), "record 20 stands after the end of the log");
    let other = Head { link: log[3].link, ..head };
    assert!(damage(&run, &log, other).starts_with("record 20 is not the one that the log ends with"));
}

#[test]
fn a_chain_goes_on_after_its_head() {
    let (_, log, head) = chained();
    let mut chain = Chain::after(Head { seq: 19, link: log[18].link });
    assert_eq!(chain.push(&log[19].bytes), log[19].link);
    assert_eq!(chain.head(), head);
}

#[test]
fn a_record_under_the_place_of_another_is_damage() {
    let run = RunId::new("run-1");
    let bytes = encode(&record(Event::Resumed));
    let mut chain = Chain::new(&run);
    let entry = Entry { seq: 1, link: chain.push(&bytes), bytes };
    let error = verify(&run, [entry], chain.head()).unwrap_err();
    assert_eq!(error.to_string(), "record 1 says that it is record 2");
}

#[test]
fn a_newer_version_is_named_whatever_stands_in_it() {
    for text in [
        r#"{"v":6,"n":1,"t":1,"e":"resume"}"#,
        r#"{"v":6,"n":1,"t":1,"e":{"dance":{"c":0}}}"#,
        r#"{"v":6,"wholly":"other"}"#,
    ] {
        let error = decode(text.as_bytes()).unwrap_err();
        assert_eq!(error, JournalError::Newer { found: 6 }, "{text}");
    }
    let said = JournalError::Newer { found: 6 }.to_string();
    assert_eq!(said, "written by a newer eve: format 6, this one reads up to 5");
}

#[test]
fn a_record_names_the_lowest_version_that_can_say_it() {
    for text in [
        r#"{"v":2,"n":1,"t":1,"e":"resume"}"#,
        r#"{"v":1,"n":1,"t":1,"e":"verify"}"#,
        r#"{"v":1,"n":1,"t":1,"e":{"prep":{"c":0,"u":null}}}"#,
        r#"{"v":1,"n":1,"t":1,"e":{"end":"rolled-back"}}"#,
        r#"{"v":1,"n":1,"t":1,"e":{"stop":{"asked":"rollback"}}}"#,
    ] {
        let error = decode(text.as_bytes()).unwrap_err();
        assert!(matches!(error, JournalError::Malformed { .. }), "{text}: {error}");
        let beyond = text.replace(r#""v":1"#, r#""v":3"#).replace(r#""v":2"#, r#""v":3"#);
        assert!(decode(beyond.as_bytes()).is_err(), "{beyond}");
        let other = if text.contains(r#""v":1"#) {
            text.replace(r#""v":1"#, r#""v":2"#)
        } else {
            text.replace(r#""v":2"#, r#""v":1"#)
        };
        assert_eq!(encode(&decode(other.as_bytes()).unwrap()), other.as_bytes());
    }
}

#[test]
fn only_an_attempt_that_left_nothing_needs_the_version_that_can_say_so() {
    for (version, void) in [(1, ""), (4, r#","void":true"#)] {
        let fail = r#""c":0,"p":"apply","code":"c","class":"permanent","msg":"m""#;
        let text = format!(r#"{{"v":{version},"n":1,"t":1,"e":{{"fail":{{{fail}{void}}}}}}}"#);
        assert_eq!(String::from_utf8(encode(&decode(text.as_bytes()).unwrap())).unwrap(), text);
        let other = text.replacen(&format!(r#""v":{version}"#), &format!(r#""v":{}"#, 5 - version), 1);
        assert!(matches!(decode(other.as_bytes()), Err(JournalError::Malformed { .. })), "{other}");
    }
}

#[test]
fn only_a_run_with_secrets_needs_the_version_that_has_their_pins() {
    let start = |pins: SecretPins| {
        let Event::RunStarted { mut run } = sample_events()[0].event.clone() else { unreachable!() };
        run.options = run.options.with_pins(pins);
        String::from_utf8(encode(&record(Event::RunStarted { run }))).unwrap()
    };
    assert!(start(SecretPins::default()).starts_with(r#"{"v":1,"#));
    let reference = "vault:kv/db#password@3".parse().unwrap();
    let pin = SecretPin { reference, hash: HashKey::new(&[7; HashKey::BYTES]).hash(["x"]) };
    let text = start([("key".to_owned(), pin)].into_iter().collect());
    assert!(text.starts_with(r#"{"v":3,"#), "{text}");
    assert!(text.contains(r#""pins":[{"n":"key","r":"vault:kv/db#password@3","h":""#), "{text}");
    for older in [1, 2] {
        let text = text.replacen(r#"{"v":3,"#, &format!(r#"{{"v":{older},"#), 1);
        assert!(matches!(decode(text.as_bytes()), Err(JournalError::Malformed { .. })), "{text}");
    }
}

#[test]
fn what_is_not_of_the_form_is_refused() {
    for text in [
        "",
        "null",
        r#"{"v":0,"n":1,"t":1,"e":"resume"}"#,
        r#"{"n":1,"t":1,"e":"resume"}"#,
        r#"{"v":1,"n":1,"t":1,"e":"resume","x":1}"#,
        r#"{"v":1,"n":1,"t":1,"e":{"start":{"c":0,"x":1}}}"#,
        r#"{"v":1,"n":1,"t":1,"e":{"start":{}}}"#,
        r#"{"v":1,"n":1,"t":1,"e":"resume"} {}"#,
        r#"{"v":1,"n":-1,"t":1,"e":"resume"}"#,
        r#"{"v":1,"n":1,"t":1,"e":{"prep":{"c":0,"w":"sideways"}}}"#,
    ] {
        let error = decode(text.as_bytes()).unwrap_err();
        assert!(matches!(error, JournalError::Malformed { .. }), "{text}: {error}");
    }
}

#[test]
fn a_second_has_fewer_than_a_billion_nanoseconds() {
    let good = String::from_utf8(encode(&sample_events()[0])).unwrap();
    let bad = good.replace("[600,0]", "[600,1000000000]");
    assert_ne!(good, bad);
    assert!(matches!(decode(bad.as_bytes()), Err(JournalError::Malformed { .. })));
}

#[test]
fn the_deepest_value_that_is_allowed_can_be_read() {
    let deep = (0..VALUE_DEPTH_MAX).fold(json!(1), |value, _| json!([value]));
    let outputs = Outputs::NONE.with("deep", deep.clone());
    let token = Some(Box::new(deep));
    for event in [
        Event::Ready { component: ComponentId::new(0), outputs },
        Event::Prepared {
            component: ComponentId::new(0),
            prepared: Prepared { change: Change::None, desired: None, token, undo: None },
        },
    ] {
        assert_eq!(decode(&encode(&record(event.clone()))).unwrap(), record(event));
    }
}

/// Where text of somebody else's making may stand in a record. Whoever adds a place answers for it that no secret can
/// get there.
const FREE_TEXT: [(&str, &str); 23] = [
    ("/begin/run", "made by whoever starts the run"),
    ("/begin/plan", "a name of the plan's text"),
    ("/begin/ns", "a name of the plan's text"),
    ("/prep/d", "the executor's digest; `Executor` promises that it is none of a secret"),
    ("/prep/k", "the executor's token; `Executor` promises that it holds no secret"),
    ("/apply/k", "the executor's token; `Executor` promises that it holds no secret"),
    ("/wait/code", "a constant of the executor"),
    ("/wait/msg", "`Cause`: without secrets"),
    ("/ready/o", "`Outputs`: holds no secret"),
    ("/fail/code", "a constant of the executor"),
    ("/fail/msg", "`Failure`: without secrets"),
    ("/fail/notes", "`Failure`: without secrets"),
    ("/fail/hint", "`Failure`: without secrets"),
    ("/begin/of", "made by whoever starts the run"),
    (
        "/begin/pins",
        "names of the plan's text, `SecretRef`s and `KeyedHash`es: places, numbers and hashes under a key",
    ),
    ("/prep/u", "`UndoToken`: without secrets"),
    ("/inherit/u", "`UndoToken`: without secrets"),
    ("/inherit/done", "the executor's token; `Executor` promises that it holds no secret"),
    ("/undone/notes", "`UndoReport`: without secrets"),
    ("/undofail/code", "a constant of the executor"),
    ("/undofail/msg", "`Failure`: without secrets"),
    ("/undofail/notes", "`Failure`: without secrets"),
    ("/undofail/hint", "`Failure`: without secrets"),
];

#[test]
fn text_stands_only_where_it_is_known_to_be_without_secrets() {
    // Every text that is put in, and no word of the form, has this in it.
    const MARK: &str = "\u{2603}";
    let strategy = prop::collection::vec(any_record(), 400);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let records = strategy.new_tree(&mut runner).unwrap().current();
    let (mut found, mut told) = (BTreeSet::new(), String::new());
    for mut record in records {
        mark(&mut record.event, MARK);
        let form: Value = serde_json::from_slice(&encode(&record)).unwrap();
        told.push_str(&form.to_string());
        let Value::Object(event) = &form["e"] else { continue };
        for (name, fields) in event {
            for (field, value) in fields.as_object().into_iter().flatten() {
                if value.to_string().contains(MARK) {
                    found.insert(format!("/{name}/{field}"));
                }
            }
        }
    }
    assert!(!told.contains("log "), "what workloads wrote is not stored");
    let known: BTreeSet<String> = FREE_TEXT.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(found, known);
}

/// Puts the mark wherever an event has room for text. The types are taken apart whole, so that a new field has to be
/// thought of here.
fn mark(event: &mut Event, mark: &str) {
    let marked = || Some(Box::new(json!({ mark: mark })));
    match event {
        Event::RunStarted { run } => {
            let RunStart { id, plan, namespace, components: _, options, undoes } = &mut **run;
            let marked = |(_, pin): (&str, &SecretPin)| (mark.to_owned(), pin.clone());
            options.pins = options.pins.iter().map(marked).collect();
            (*id, *plan, *namespace) = (RunId::new(mark), mark.into(), mark.into());
            *undoes = Some(RunId::new(mark));
        }
        Event::Prepared { component: _, prepared: Prepared { change: _, desired, token, undo } } => {
            (*desired, *token, *undo) = (Some(mark.into()), marked(), marked().map(UndoToken));
        }
        Event::Applied { component: _, attempt: _, applied: Applied { change: _, token } } => {
            *token = marked();
        }
        Event::Waiting { component: _, cause } => {
            let Cause { code, message } = &mut **cause;
            (*code, *message) = (mark.to_owned().into(), mark.into());
        }
        Event::Ready { component: _, outputs } => *outputs = Outputs::NONE.with(mark, mark),
        Event::Inherited { component: _, token, applied } => {
            *token = marked().map(UndoToken);
            if let Some(Applied { change: _, token }) = applied {
                *token = marked();
            }
        }
        Event::Undone { component: _, report } => {
            let UndoReport { change: _, notes } = &mut **report;
            *notes = vec![mark.into()];
        }
        Event::AttemptFailed { component: _, attempt: _, phase: _, failure, retry_at: _ }
        | Event::UndoFailed { component: _, attempt: _, phase: _, failure, retry_at: _ } => {
            let Failure { code, class: _, message, notes, log, hint, left_nothing: _ } = &mut **failure;
            (*code, *message) = (mark.to_owned().into(), mark.into());
            (*notes, *hint) = (vec![mark.into()], Some(mark.into()));
            *log = [format!("log {mark}")].into();
        }
        Event::Resumed
        | Event::Announced { component: _ }
        | Event::Started { component: _, attempt: _ }
        | Event::Interrupted { component: _, attempt: _ }
        | Event::Skipped { component: _, because: _ }
        | Event::Stopping { reason: _ }
        | Event::Verifying
        | Event::RollingBack
        | Event::UndoStarted { component: _, attempt: _ }
        | Event::Kept { component: _, because: _ }
        | Event::Finished { outcome: _ } => {}
    }
}
