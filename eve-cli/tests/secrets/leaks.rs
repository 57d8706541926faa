//! The watch itself: a leak planted in each sink is found, so that a clean watch means something.

use eve_core::testing::canary::Form;
use serde_json::json;

use super::desk::canary;
use super::watch::Watch;

#[test]
fn a_leak_in_any_sink_is_found() {
    let value = canary();
    for form in Form::ALL {
        for sink in ["stdout", "stderr and the log", "the requests"] {
            let mut watch = Watch::over([value.clone()]);
            watch.saw(sink, format!("{:?}", value.leaked(form)));
            assert_eq!(watch.leaks(), [sink], "{form:?}");
        }
    }
}

#[test]
fn a_leak_in_any_file_of_the_state_is_found() {
    let value = canary();
    let names = ["1.run", "1.run-wal", "1.run-shm", "key"];
    for (name, form) in names.iter().flat_map(|name| Form::ALL.map(|form| (*name, form))) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("eve")).unwrap();
        std::fs::write(folder.path().join("eve").join("clean"), "nothing").unwrap();
        std::fs::write(folder.path().join("eve").join(name), format!("\0SQLite\u{1}{}", value.leaked(form)))
            .unwrap();
        let mut watch = Watch::over([value.clone()]);
        watch.folder(folder.path());
        assert_eq!(watch.leaks(), [format!("the file {name}")], "{form:?}");
    }
}

#[test]
fn a_leak_in_an_object_is_found_and_the_values_of_a_secret_are_none() {
    let value = canary();
    for form in Form::ALL {
        let leak = value.leaked(form);
        let metadata = |place: &str| json!({ "metadata": { "name": "a", (place): { "k": leak } } });
        for (kind, object) in [
            ("secrets", metadata("labels")),
            ("secrets", metadata("annotations")),
            ("secrets", json!({ "metadata": { "name": "a" }, "type": leak })),
            ("configmaps", json!({ "metadata": { "name": "a" }, "data": { "k": leak } })),
            ("events", json!({ "metadata": { "name": "a" }, "message": leak })),
        ] {
            let mut watch = Watch::over([value.clone()]);
            watch.object(kind, &object);
            assert_eq!(watch.leaks(), [format!("{kind}/a")], "{form:?} {object}");
        }
    }
    let mut watch = Watch::over([value.clone()]);
    watch.object("secrets", &json!({ "metadata": { "name": "a" }, "data": { "k": value.value() } }));
    watch.assert_clean();
}

#[test]
#[should_panic(expected = "dropped unasked")]
fn a_watch_that_nobody_reads_fails_its_test() {
    drop(Watch::over([canary()]));
}
