//! Functions and webhooks against a real receiver with faults: what arrives, what counts, what becomes of silence.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod function;
mod secrets;
mod step;
mod webhook;

use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::ports::{Ending, Notice};
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use eve_testbed::Received;

/// Short enough to wait for answers that do not come. Those that come are waited for however long they take.
const SHORT: Duration = Duration::from_millis(400);

fn notice() -> Notice {
    Notice {
        run: Some(RunId::new("r-1")),
        plan: "shop".into(),
        namespace: "team".into(),
        ..Notice::new("r-1.outcome", Timestamp::from_micros(1_700_000_000_000_000), Ending::Succeeded)
    }
}

/// Looks for a key in what is said of a call, and in what is stored of it.
fn assert_clean(key: &Canary, failure: &Failure) {
    let mut scan = CanaryScan::new([key.clone()]);
    scan.sink("a failure", format!("{failure} {failure:?}"));
    scan.sink("a stored failure", serde_json::to_vec(failure).unwrap());
    scan.assert_clean();
}

/// Looks for keys in what somebody was sent. That of a function stands in its address, as it should.
fn assert_sent_clean(keys: impl IntoIterator<Item = Canary>, requests: &[Received]) {
    let mut scan = CanaryScan::new(keys);
    for request in requests {
        scan.sink("headers", format!("{:?}", request.headers));
        scan.sink("a body", &request.body);
    }
    scan.assert_clean();
}
