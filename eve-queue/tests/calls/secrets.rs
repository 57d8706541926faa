//! No key in anything that is written: failures, their notes, logs of the libraries below at their most talkative.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eve_core::ports::Notifier as _;
use eve_core::secret::SecretValue;
use eve_core::testing::ManualClock;
use eve_core::time::Timestamp;
use eve_queue::{FunctionClient, FunctionNotifier, KeyMap, WebhookNotifier, WebhookOptions};
use eve_testbed::{Receiver, Reply};
use serde_json::json;

use crate::{SHORT, notice};

const CANARY: &str = "canary/7f3a+e1=x";

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

fn forms() -> Vec<String> {
    let hex = CANARY.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let url = CANARY.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    vec![CANARY.into(), STANDARD.encode(CANARY), hex, url.to_lowercase(), url]
}

fn finds(text: &str) -> Option<String> {
    forms().into_iter().find(|form| text.contains(form.as_str()))
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
    let keys = KeyMap::new().with(&url, SecretValue::new(CANARY));
    let function = FunctionNotifier::new(FunctionClient::new().unwrap(), &url, Arc::new(keys)).unwrap();
    let function = function.with_limit(SHORT);
    let webhook = {
        let key = SecretValue::new(format!("whsec_{}", STANDARD.encode(CANARY.repeat(2))));
        let options = WebhookOptions::new(&url, "/").unwrap().with_limit(SHORT).signed_with(key);
        WebhookNotifier::new(options, Arc::new(ManualClock::new(Timestamp::EPOCH))).unwrap()
    };
    let mut said = format!("{function:?} {webhook:?}");
    let echo = json!({ "result": "failed", "messages": forms() });
    for reply in [
        Reply::json(400, &echo),
        Reply::Text(200, forms().join(" ")),
        Reply::Redirect(receiver.url(&format!("/?code={CANARY}"))),
        Reply::Headers(500, vec![("x-echo".into(), CANARY.into())], CANARY.into()),
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
    let keys = KeyMap::new().with(&url, SecretValue::new(CANARY));
    let unreachable = FunctionNotifier::new(FunctionClient::new().unwrap(), &url, Arc::new(keys)).unwrap();
    drop(gone);
    write!(said, "{:?}", unreachable.notify(&notice()).await).unwrap();

    assert!(receiver.received().iter().any(|request| finds(&request.target).is_some()), "the key arrives");
    assert_eq!(finds(&format!("planted: {}", forms()[1])), Some(forms()[1].clone()), "the search finds");
    let log = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(log.contains("the subscriber listens"));
    // What the receiver answers is the receiver's: what the libraries say of it is searched without its words.
    assert_eq!(finds(&said), None, "{said}");
    assert_eq!(finds(&log), None, "{log}");
}
