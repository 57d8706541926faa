//! Credentials from outside AWS: a token in a file, a role, and what becomes of them over time.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eve_core::failure::FailureClass;
use eve_core::ports::PlanSource as _;
use eve_core::testing::ManualClock;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use eve_queue::aws::{AwsAccess, AwsIdentity, SqsOptions, SqsSource, WebIdentity};
use eve_testbed::{Aws, Received, Receiver, Reply};
use serde_json::json;
use tempfile::TempDir;

use crate::world::{Watched, World, body, next};

const ROLE: &str = "arn:aws:iam::123456789012:role/eve";

/// A signature of a token, a key and a session token: none of them may be seen anywhere.
fn hidden() -> [Canary; 3] {
    [7, 8, 9].map(Canary::plain)
}

struct Outside {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Outside {
    fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let outside = Self {
            folder: TempDir::new().unwrap(),
            clock: Arc::new(ManualClock::new(Timestamp::EPOCH.plus(since))),
        };
        outside.token("first");
        outside
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// A token as a kubelet would renew it, with a signature that must not be seen anywhere.
    fn token(&self, name: &str) {
        let claims = json!({ "iss": "https://issuer.example", "sub": "system:serviceaccount:eve:eve", "aud": ["sts.amazonaws.com"] });
        let [signature, ..] = hidden();
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = format!("header.{claims}.{}-{name}", signature.value());
        let new = self.folder.path().join("token.new");
        fs::write(&new, token + "\n").unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn access(&self, endpoint: &str) -> AwsAccess {
        let identity = AwsIdentity::WebIdentity(WebIdentity {
            role_arn: ROLE.into(),
            token_file: self.file(),
            session_name: "eve-east".into(),
            lasts: Duration::from_hours(1),
        });
        AwsAccess::new(Aws::REGION, Some(endpoint.to_owned()), identity, Arc::clone(&self.clock) as _)
            .unwrap()
    }

    /// A source whose queue, S3 and STS are all played by the receiver.
    fn source(&self, receiver: &Receiver) -> (Watched, AwsAccess) {
        let access = self.access(&receiver.url("")).with_request_limit(Duration::from_secs(5));
        let mut options = SqsOptions::new(receiver.url("/1/q.fifo"), receiver.url("/1/d.fifo"), "east");
        options.wait = Duration::ZERO;
        (Watched::over(SqsSource::new(&access, options).unwrap(), hidden()), access)
    }

    /// What STS answers: credentials that last an hour from the clock's now.
    fn granted(&self, key: &str) -> Reply {
        let at = eve_core::ports::Clock::now(&*self.clock).plus(Duration::from_hours(1));
        let [_, secret, session] = hidden();
        let (secret, session) = (secret.value(), session.value());
        let until = jiff::Timestamp::from_microsecond(i64::try_from(at.as_micros()).unwrap()).unwrap();
        Reply::Text(
            200,
            format!(
                "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{session}</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            ),
        )
    }
}

fn refused(code: &str) -> Reply {
    let [signature, ..] = hidden();
    let text = signature.value();
    Reply::Text(
        400,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
        ),
    )
}

fn empty() -> Reply {
    Reply::json(200, &json!({}))
}

fn is_sts(request: &Received) -> bool {
    String::from_utf8_lossy(&request.body).contains("AssumeRoleWithWebIdentity")
}

#[tokio::test]
async fn a_plan_comes_from_outside_aws_with_nothing_but_a_token() {
    let world = World::new("outside").await;
    let outside = Outside::new();
    let access = outside.access(&world.aws.url());
    let source = Watched::over(SqsSource::new(&access, world.options()).unwrap(), hidden());
    world.s3("PUT", "/plans/shop.yaml", "name: shop").await;
    world.send("team", "r-1", world.at("plans/shop.yaml", "name: shop")).await;
    let delivery = next(&source).await;
    assert_eq!(body(&delivery), b"name: shop");
    source.acknowledge(&delivery.handle).await.unwrap();
    assert_eq!(access.credentials().last_failure(), None);
}

#[tokio::test]
async fn a24_credentials_are_renewed_early_with_the_token_that_the_file_has_then() {
    let receiver = Receiver::start().await;
    let outside = Outside::new();
    let (source, _) = outside.source(&receiver);
    receiver.then(outside.granted("ASIAONE")).then(empty()).then(empty());
    for _ in 0..2 {
        assert_eq!(source.receive().await, Ok(None));
    }
    outside.clock.advance(Duration::from_mins(29));
    receiver.then(empty());
    assert_eq!(source.receive().await, Ok(None));
    outside.clock.advance(Duration::from_mins(8)); // 37 of 60 minutes: past the latest point of renewal
    outside.token("second");
    receiver.then(outside.granted("ASIATWO")).then(empty());
    assert_eq!(source.receive().await, Ok(None));
    let requests = receiver.received();
    let told: Vec<_> = requests.iter().filter(|request| is_sts(request)).collect();
    assert_eq!(told.len(), 2);
    for (request, token) in told.iter().zip(["first", "second"]) {
        let token = format!("{}-{token}", hidden()[0].value());
        let text = String::from_utf8_lossy(&request.body);
        assert!(text.contains(&token) && text.contains("RoleSessionName=eve-east"), "{text}");
        assert_eq!(request.header("authorization"), None, "the token is all that is shown");
    }
    let signed: Vec<_> = requests.iter().filter_map(|request| request.header("authorization")).collect();
    assert_eq!(signed.iter().filter(|header| header.contains("ASIAONE")).count(), 3);
    assert_eq!(signed.iter().filter(|header| header.contains("ASIATWO")).count(), 1);
}

#[tokio::test]
async fn a25_an_sts_that_is_away_is_not_noticed_while_the_credentials_last() {
    let receiver = Receiver::start().await;
    let outside = Outside::new();
    let (source, access) = outside.source(&receiver);
    receiver.then(outside.granted("ASIAONE")).then(empty());
    assert_eq!(source.receive().await, Ok(None));
    // From the 37th to the 57th minute STS is away, and asked no more often than every half minute.
    outside.clock.advance(Duration::from_mins(37));
    receiver.then(Reply::Drop).then(empty()).then(empty());
    assert_eq!(source.receive().await, Ok(None));
    assert_eq!(source.receive().await, Ok(None));
    let failure = access.credentials().last_failure().expect("somebody can see it");
    assert_eq!(failure.class, FailureClass::Transient, "{failure}");
    outside.clock.advance(Duration::from_mins(20));
    receiver.then(refused("InvalidIdentityToken")).then(empty());
    assert_eq!(source.receive().await, Ok(None));
    // Shortly before their end they are not used any more.
    outside.clock.advance(Duration::from_mins(3));
    receiver.then(refused("IDPCommunicationError"));
    let failure = source.receive().await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("aws.sts", FailureClass::Transient), "{failure}");
    receiver.then(outside.granted("ASIATWO")).then(empty());
    assert_eq!(source.receive().await, Ok(None));
    assert_eq!(access.credentials().last_failure(), None);
    assert_eq!(receiver.received().iter().filter(|request| is_sts(request)).count(), 5);
}

#[tokio::test]
async fn a25_a_refusal_names_the_issuer_and_never_the_token() {
    use FailureClass::{Permanent, Transient};
    let receiver = Receiver::start().await;
    let outside = Outside::new();
    let (source, access) = outside.source(&receiver);
    for (code, class) in [
        ("InvalidIdentityToken", Transient),
        ("IDPCommunicationError", Transient),
        ("ExpiredTokenException", Transient),
        ("IDPRejectedClaim", Permanent),
        ("AccessDenied", Permanent),
    ] {
        receiver.then(refused(code));
        let failure = source.receive().await.unwrap_err();
        assert_eq!((&*failure.code, failure.class), ("aws.sts", class), "{code}: {failure}");
        assert!(failure.notes[0].contains("issuer https://issuer.example"), "{failure:?}");
        assert!(failure.message.contains(ROLE), "{failure}");
        let said = format!("{failure:?} {:?} {access:?} {source:?}", access.credentials());
        let mut scan = CanaryScan::new(hidden());
        scan.sink("failure, credentials, access and source", said);
        scan.assert_clean();
    }
    receiver.then(refused("Throttling"));
    assert_eq!(source.receive().await.unwrap_err().code, "aws.throttled");
}

#[tokio::test]
async fn a24_a_token_that_is_not_there_says_where_it_should_be() {
    let receiver = Receiver::start().await;
    let outside = Outside::new();
    let (source, _) = outside.source(&receiver);
    let path = outside.file();
    let refuse = async |why: &str| {
        let failure = source.receive().await.unwrap_err();
        assert_eq!((&*failure.code, failure.class), ("aws.token", FailureClass::Transient), "{failure}");
        assert!(
            failure.message.contains(&path.display().to_string()) && failure.message.contains(why),
            "{failure}"
        );
    };
    fs::write(&path, " \n").unwrap();
    refuse("it is empty").await;
    fs::write(&path, "x".repeat(20_001)).unwrap();
    refuse("longer than 20000 bytes").await;
    fs::remove_file(&path).unwrap();
    refuse("No such file").await;
    assert_eq!(receiver.received(), [], "nobody was asked");
    outside.token("again");
    receiver.then(outside.granted("ASIAONE")).then(empty());
    assert_eq!(source.receive().await, Ok(None));
}
