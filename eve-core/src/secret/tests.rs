//! The secrets of a run: pinned when it begins, the same or none when it goes on, and all that is bad at once.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use super::*;
use crate::failure::Failure;
use crate::ports::{BadReference, MockSecretResolver, Resolved, SecretResolver};
use crate::testing::canary::{Canary, CanaryScan};

/// Places with their versions, the newest last; a place without versions has one value.
struct Store {
    values: BTreeMap<&'static str, Vec<Option<Canary>>>,
    keeps_versions: bool,
    asked: Mutex<Vec<String>>,
}

impl Store {
    fn of(values: impl IntoIterator<Item = (&'static str, Vec<Option<Canary>>)>) -> Self {
        Self { values: values.into_iter().collect(), keeps_versions: true, asked: Mutex::default() }
    }
}

#[async_trait]
impl SecretResolver for Store {
    async fn resolve(&self, references: &[SecretRef]) -> Result<Vec<Resolved>, Vec<BadReference>> {
        self.asked.lock().unwrap().extend(references.iter().map(ToString::to_string));
        let (mut found, mut bad) = (Vec::new(), Vec::new());
        for reference in references {
            let versions = self.values.get(reference.place.as_str()).map_or(&[][..], Vec::as_slice);
            let number = reference.version.map_or(versions.len() as u64, SecretVersion::get);
            let at = usize::try_from(number).unwrap().wrapping_sub(1);
            if let Some(value) = versions.get(at).and_then(Option::as_ref) {
                let version = self.keeps_versions.then(|| SecretVersion::new(number).unwrap());
                found.push(Resolved { value: value.secret(), version });
            } else {
                let message = format!("nothing at `{}`", reference.place);
                let failure = Failure::permanent("test.absent", message);
                bad.push(BadReference { reference: reference.clone(), failure });
            }
        }
        if bad.is_empty() { Ok(found) } else { Err(bad) }
    }
}

fn key() -> HashKey {
    HashKey::new(&[7; HashKey::BYTES])
}

fn declared(secrets: &[(&str, &str)]) -> BTreeMap<String, SecretRef> {
    secrets.iter().map(|(name, text)| ((*name).to_owned(), text.parse().unwrap())).collect()
}

fn ask(
    secrets: &[(&str, &str)],
    pinned: Option<&SecretPins>,
    resolver: &dyn SecretResolver,
) -> Result<PinnedSecrets, Vec<BadSecret>> {
    let (declared, key) = (declared(secrets), key());
    let request = SecretRequest { declared: &declared, pinned, key: &key };
    let Poll::Ready(answer) = pin!(request.ask(resolver)).poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("these resolvers wait for nothing")
    };
    assert_clean(&answer);
    answer
}

/// Of the values nothing is in an answer that is shown, recorded or told.
fn assert_clean(answer: &Result<PinnedSecrets, Vec<BadSecret>>) {
    let mut scan = CanaryScan::new([1, 2, 3, 4, 9].map(Canary::new));
    scan.sink("debug", format!("{answer:?}"));
    match answer {
        Ok(found) => scan.sink("what is recorded", serde_json::to_string(&found.pins).unwrap()),
        Err(bad) => bad.iter().for_each(|bad| scan.sink("an error", bad.to_string())),
    }
    scan.assert_clean();
}

fn codes(bad: &[BadSecret]) -> Vec<(&str, &str)> {
    bad.iter().map(|bad| (bad.name.as_str(), &*bad.failure.code)).collect()
}

const PLAN: [(&str, &str); 3] = [("again", "test:db"), ("key", "test:db"), ("old", "test:api@1")];

fn store() -> Store {
    let [one, two, three] = [1, 2, 3].map(|seed| Some(Canary::new(seed)));
    Store::of([("db", vec![one.clone(), two]), ("api", vec![three, one])])
}

#[test]
fn a_run_that_begins_pins_the_newest_versions_and_those_that_the_plan_states() {
    let found = ask(&PLAN, None, &store()).unwrap();
    let pinned: Vec<(String, String)> =
        found.pins.iter().map(|(name, pin)| (name.to_owned(), pin.reference.to_string())).collect();
    let expected = [("again", "test:db@2"), ("key", "test:db@2"), ("old", "test:api@1")];
    assert_eq!(pinned, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(found.values.get("key").unwrap().expose(), Canary::new(2).value());
    assert_eq!(found.values.get("old").unwrap().expose(), Canary::new(3).value());
}

#[test]
fn a_run_that_goes_on_uses_what_it_began_with_though_there_is_a_newer_version() {
    let mut store = store();
    let begun = ask(&PLAN, None, &store).unwrap();
    store.values.get_mut("db").unwrap().push(Some(Canary::new(4)));
    let again = ask(&PLAN, Some(&begun.pins), &store).unwrap();
    assert_eq!(again.pins, begun.pins);
    assert_eq!(again.values.get("key").unwrap().expose(), Canary::new(2).value());
    let asked = store.asked.lock().unwrap();
    assert_eq!(asked[3..], ["test:db@2", "test:db@2", "test:api@1"]);
}

#[test]
fn a_pinned_version_that_is_gone_or_has_another_value_is_an_error() {
    let mut store = store();
    let begun = ask(&PLAN, None, &store).unwrap();
    store.values.get_mut("db").unwrap()[1] = None;
    store.values.get_mut("api").unwrap()[0] = Some(Canary::new(9));
    let bad = ask(&PLAN, Some(&begun.pins), &store).unwrap_err();
    assert_eq!(codes(&bad), [("again", "test.absent"), ("key", "test.absent")]);
    assert_eq!(bad[0].reference.to_string(), "test:db@2");
    assert_eq!(bad[0].failure.notes, ["a run uses the versions that it began with, to its end"]);
    store.values.get_mut("db").unwrap()[1] = Some(Canary::new(2));
    let bad = ask(&PLAN, Some(&begun.pins), &store).unwrap_err();
    assert_eq!(codes(&bad), [("old", "secret.changed")]);
}

#[test]
fn where_no_versions_are_kept_the_hash_alone_tells() {
    let mut store = Store { keeps_versions: false, ..store() };
    let begun = ask(&[("key", "test:db")], None, &store).unwrap();
    assert_eq!(begun.pins.get("key").unwrap().reference.version, None);
    ask(&[("key", "test:db")], Some(&begun.pins), &store).unwrap();
    store.values.get_mut("db").unwrap()[1] = Some(Canary::new(9));
    let bad = ask(&[("key", "test:db")], Some(&begun.pins), &store).unwrap_err();
    assert_eq!(codes(&bad), [("key", "secret.changed")]);
}

#[test]
fn what_the_journal_does_not_pin_is_not_asked_for() {
    let store = store();
    let begun = ask(&[("key", "test:db")], None, &store).unwrap();
    let bad = ask(&PLAN, Some(&begun.pins), &store).unwrap_err();
    assert_eq!(codes(&bad), [("again", "secret.not-pinned"), ("old", "secret.not-pinned")]);
    for other in ["test:db@1", "test:api", "other:db"] {
        let bad = ask(&[("key", other)], Some(&begun.pins), &store).unwrap_err();
        assert_eq!(codes(&bad), [("key", "secret.other-reference")], "{other}");
        assert_eq!(bad[0].failure.message, "the run began with test:db@2 and keeps to it");
    }
    assert_eq!(store.asked.lock().unwrap().len(), 1);
}

#[test]
fn without_declared_secrets_nobody_is_asked() {
    // A mock without an expectation panics when it is called.
    let found = ask(&[], None, &MockSecretResolver::new()).unwrap();
    assert!(found.pins.is_empty());
}

#[test]
fn every_bad_reference_is_named_by_every_name_that_it_has() {
    let plan = [("a", "test:x"), ("b", "test:db"), ("c", "test:x"), ("d", "test:y@7")];
    let bad = ask(&plan, None, &store()).unwrap_err();
    assert_eq!(codes(&bad), [("a", "test.absent"), ("c", "test.absent"), ("d", "test.absent")]);
    assert_eq!(bad[0].to_string(), "secret `a` (test:x): nothing at `x`");
    assert!(bad[0].failure.notes.is_empty(), "nothing is pinned yet");
}

#[test]
fn a_resolver_that_breaks_its_contract_is_not_believed() {
    let answering = |answer: fn() -> Result<Vec<Resolved>, Vec<BadReference>>| {
        let mut resolver = MockSecretResolver::new();
        resolver.expect_resolve().returning(move |_| answer());
        ask(&[("a", "test:db@1")], None, &resolver).unwrap_err()
    };
    assert_eq!(codes(&answering(|| Ok(Vec::new()))), [("a", "secret.resolver-contract")]);
    assert_eq!(codes(&answering(|| Err(Vec::new()))), [("a", "secret.resolver-contract")]);
    let other = || Ok(vec![Resolved { value: Canary::new(1).secret(), version: SecretVersion::new(2) }]);
    assert_eq!(codes(&answering(other)), [("a", "secret.other-version")]);
}

#[test]
fn it_is_worth_asking_again_only_if_all_may_come_back() {
    let bad = |failure| BadSecret { name: "a".into(), reference: "test:x".parse().unwrap(), failure };
    let (lost, denied) = (bad(Failure::transient("t", "t")), bad(Failure::permanent("p", "p")));
    assert!(BadSecret::are_transient(&[lost.clone(), lost.clone()]));
    assert!(!BadSecret::are_transient(&[lost, denied]));
    assert!(!BadSecret::are_transient(&[]));
}
