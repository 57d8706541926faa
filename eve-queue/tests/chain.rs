//! The SDK's own chain of credentials: it reads the environment, so that this program calls itself with one of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::SystemClock;
use eve_core::failure::FailureClass;
use eve_core::ports::PlanSource as _;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_queue::aws::{AwsAccess, AwsIdentity, SqsOptions, SqsSource};
use eve_testbed::{Receiver, Reply};
use serde_json::json;

const ENDPOINT: &str = "EVE_TEST_ENDPOINT";

/// One receive with what the chain finds; prints how it went.
async fn child(endpoint: String) -> String {
    let clock = Arc::new(SystemClock::new());
    let access = AwsAccess::new("us-east-1", Some(endpoint.clone()), AwsIdentity::Chain, clock).unwrap();
    let access = access.with_request_limit(Duration::from_secs(5));
    let mut options = SqsOptions::new(format!("{endpoint}/1/q.fifo"), format!("{endpoint}/1/d.fifo"), "east");
    options.wait = Duration::ZERO;
    match SqsSource::new(&access, options).unwrap().receive().await {
        Ok(found) => format!("received {found:?}"),
        Err(failure) => format!("{} {:?} {failure:?}", failure.code, failure.class),
    }
}

/// What the child says, called with just these variables.
async fn call(receiver: &Receiver, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env_clear().env(ENDPOINT, receiver.url("")).env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn parent() {
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::json(200, &json!({})));
    let folder = tempfile::tempdir().unwrap();
    let helper = folder.path().join("helper");
    let canary = Canary::plain(11);
    let granted = json!({ "Version": 1, "AccessKeyId": "AKIAHELPER", "SecretAccessKey": canary.value() });
    std::fs::write(&helper, granted.to_string()).unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, format!("[default]\ncredential_process = /bin/cat {}\n", helper.display()))
        .unwrap();
    let config = config.display().to_string();

    let keys = [("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", canary.value())];
    let process = [("AWS_CONFIG_FILE", config.as_str()), ("PATH", "/usr/bin:/bin")];
    for (variables, key) in [(&keys, "AKIAENVIRONMENT"), (&process, "AKIAHELPER")] {
        let before = receiver.received().len();
        let said = call(&receiver, variables).await;
        assert!(said.contains("received None"), "{said}");
        let mut scan = CanaryScan::new([canary.clone()]);
        scan.sink("what the child says", &said);
        scan.assert_clean();
        let requests = receiver.received();
        let signed = requests.get(before).unwrap().header("authorization").unwrap();
        assert!(signed.contains(key), "{signed}");
    }
    let before = receiver.received().len();
    let said = call(&receiver, &[]).await;
    let expected = format!("aws.credentials {:?}", FailureClass::Transient);
    assert!(said.contains(&expected) && said.contains("web identity"), "{said}");
    assert_eq!(receiver.received().len(), before, "nobody is asked without credentials");
}

#[tokio::main]
async fn main() {
    if let Ok(endpoint) = std::env::var(ENDPOINT) {
        use std::io::Write as _;
        let said = child(endpoint).await;
        std::io::stdout().write_all(said.as_bytes()).unwrap();
        return;
    }
    parent().await;
}
