//! No key in anything that is written: failures, their notes, logs of the libraries below at their most talkative.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eve_core::ports::{Notice, Notifier as _, Told};
use eve_core::secret::SecretValue;
use eve_core::testing::ManualClock;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use eve_queue::{FunctionClient, FunctionNotifier, KeyMap, WebhookNotifier, WebhookOptions};
use eve_testbed::{Receiver, Reply};
use serde_json::json;

use crate::{SHORT, notice};

fn canary() -> Canary {
    Canary::of("canary/7f3a+e1=x")
}

/// Everything that is logged, at trace, in this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The key as a server may repeat it.
fn forms() -> Vec<String> {
    let value = canary().value().to_owned();
    let hex = value.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let url = value.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    vec![STANDARD.encode(&value), value, hex, url.to_lowercase(), url]
}

/// In which sinks the key is.
fn leaks(sinks: [(&str, &str); 2]) -> Vec<String> {
    let mut scan = CanaryScan::new([canary()]);
    for (name, content) in sinks {
        scan.sink(name, content);
    }
    scan.leaks().iter().map(|leak| leak.sink.clone()).collect()
}

#[tokio::test]
async fn keys_are_in_no_log_and_no_failure() {
    let logged = Logged::default();
    let sink = logged.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || sink.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    tracing::trace!("the subscriber listens");

    let receiver = Receiver::start().await;
    let url = receiver.url("/api");
    let keys = KeyMap::new().with(&url, canary().secret());
    let function = FunctionNotifier::new(FunctionClient::new().unwrap(), &url, Arc::new(keys)).unwrap();
    let function = function.with_limit(SHORT);
    let webhook = {
        let key = SecretValue::new(format!("whsec_{}", STANDARD.encode(canary().value().repeat(2))));
        let options = WebhookOptions::new(&url, "/").unwrap().with_limit(SHORT).signed_with(key);
        WebhookNotifier::new(options, Arc::new(ManualClock::new(Timestamp::EPOCH))).unwrap()
    };
    let mut said = format!("{function:?} {webhook:?}");
    let echo = json!({ "result": "failed", "messages": forms() });
    for reply in [
        Reply::json(400, &echo),
        Reply::Text(200, forms().join(" ")),
        Reply::Redirect(receiver.url(&format!("/?code={}", canary().value()))),
        Reply::Headers(500, vec![("x-echo".into(), canary().value().into())], canary().value().into()),
        Reply::Drop,
        Reply::Hang,
    ] {
        for notifier in [&function as &dyn eve_core::ports::Notifier, &webhook] {
            receiver.then(reply.clone());
            write!(said, "{:?}", notifier.notify(&notice()).await).unwrap();
        }
    }
    let gone = Receiver::start().await;
    let url = gone.url("/api");
    let keys = KeyMap::new().with(&url, canary().secret());
    let unreachable = FunctionNotifier::new(FunctionClient::new().unwrap(), &url, Arc::new(keys)).unwrap();
    drop(gone);
    write!(said, "{:?}", unreachable.notify(&notice()).await).unwrap();

    let arrived: Vec<String> = receiver.received().into_iter().map(|request| request.target).collect();
    assert_eq!(
        leaks([("the requests", &arrived.join("\n")), ("nothing", "")]),
        ["the requests"],
        "the key arrives"
    );
    for form in forms() {
        assert_eq!(
            leaks([("said", &form), ("the log", &form)]),
            ["said", "the log"],
            "the scan finds {form}"
        );
    }
    let log = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(log.contains("the subscriber listens"));
    // What the receiver answers is the receiver's: what the libraries say of it is searched without its words.
    assert_eq!(leaks([("said", &said), ("the log", &log)]), [""; 0], "{said}\n{log}");
}

#[tokio::test]
async fn a_leak_in_a_notice_is_found_in_what_a_receiver_gets() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/hook");
    let options = WebhookOptions::new(&url, "/").unwrap();
    let webhook = WebhookNotifier::new(options, Arc::new(ManualClock::new(Timestamp::EPOCH))).unwrap();
    let function =
        FunctionNotifier::new(FunctionClient::new().unwrap(), &url, Arc::new(KeyMap::new())).unwrap();
    let failure =
        Some(Told { code: "test.leak".into(), message: format!("cannot use {}", canary().value()) });
    let leaky = Notice { failure, ..notice() };
    for notifier in [&webhook as &dyn eve_core::ports::Notifier, &function] {
        for (notice, expected) in [(&leaky, vec!["the notice"]), (&notice(), Vec::new())] {
            let before = receiver.received().len();
            receiver.then(Reply::json(200, &json!({ "result": "success" })));
            notifier.notify(notice).await.unwrap();
            let body = receiver.received().get(before).unwrap().body.clone();
            assert_eq!(leaks([("the notice", &String::from_utf8(body).unwrap()), ("nothing", "")]), expected);
        }
    }
}
