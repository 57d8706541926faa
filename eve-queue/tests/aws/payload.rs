//! Plans in S3: the right one, the wrong one, none, too much.

use std::time::Duration;

use eve_core::failure::FailureClass;
use eve_core::ports::PlanSource as _;
use serde_json::json;

use crate::world::{World, body, next, unread, unusable};

#[tokio::test]
async fn a20_the_digest_decides_and_a_version_is_pinned() {
    let world = World::new("digest").await;
    let source = world.source();
    world
        .s3(
            "PUT",
            "?versioning",
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        )
        .await;
    let put = world.s3("PUT", "/plans/a", "one").await;
    let version = put.headers()["x-amz-version-id"].to_str().unwrap().to_owned();
    world.s3("PUT", "/plans/a", "two").await;

    world.send("a", "r-1", world.at("plans/a", "one")).await;
    let delivery = next(&source).await;
    let failure = unusable(&delivery);
    assert_eq!((&*failure.code, failure.class), ("queue.payload.digest", FailureClass::Permanent));
    assert_eq!(&*delivery.request, "r-1");

    let mut pinned = world.at("plans/a", "one");
    pinned["plan"]["versionId"] = json!(version);
    world.send("b", "r-2", pinned.clone()).await;
    assert_eq!(body(&next(&source).await), b"one");

    pinned["plan"]["versionId"] = json!("00000000-0000-0000-0000-000000000000");
    world.send("c", "r-3", pinned).await;
    let failure = unread(&source, || source.take_late()).await;
    assert_eq!(
        (&*failure.code, failure.class),
        ("queue.payload.missing", FailureClass::Transient),
        "{failure}"
    );
}

#[tokio::test]
async fn a21_a_plan_that_is_too_large_is_not_read() {
    let world = World::new("large").await;
    let mut options = world.options();
    options.plan_bytes_max = 1000;
    let source = world.source_with(options);
    let (fits, large) = ("x".repeat(1000), "x".repeat(1001));
    world.s3("PUT", "/plans/fits", &fits).await;
    world.s3("PUT", "/plans/large", &large).await;
    world.send("a", "r-1", world.at("plans/fits", &fits)).await;
    assert_eq!(body(&next(&source).await).len(), 1000);
    world.send("b", "r-2", world.at("plans/large", &large)).await;
    assert_eq!(unusable(&next(&source).await).code, "queue.payload.too-large");
}

#[tokio::test]
async fn a23_only_the_buckets_and_prefixes_of_the_operator_are_read() {
    let world = World::new("foreign").await;
    let source = world.source();
    for (number, key) in
        ["other/a", "plan", "plans/../other/a", "/plans/a", "plans//a", ""].iter().enumerate()
    {
        world.send(&format!("g-{number}"), &format!("r-{number}"), world.at(key, "x")).await;
        let delivery = next(&source).await;
        let failure = unusable(&delivery);
        assert_eq!(
            (&*failure.code, failure.class),
            ("queue.payload.location", FailureClass::Permanent),
            "{key}"
        );
    }
    let mut foreign = world.at("plans/a", "x");
    foreign["plan"]["bucket"] = json!("somebody-elses");
    world.send("h", "r-8", foreign).await;
    assert_eq!(unusable(&next(&source).await).code, "queue.payload.location");
    world.send("i", "r-9", json!({ "plan": { "url": "https://evil.example/" } })).await;
    assert_eq!(unusable(&next(&source).await).code, "queue.message.unreadable");
}

#[tokio::test]
async fn a19_a_plan_that_comes_late_is_waited_for_and_one_that_never_comes_is_given_up() {
    let world = World::new("late").await;
    let mut options = world.options();
    options.payload_tries = 3;
    let source = world.source_with(options);
    world.send("a", "r-1", world.at("plans/late", "late")).await;
    let failure = unread(&source, || source.take_late()).await;
    assert_eq!(
        (&*failure.code, failure.class),
        ("queue.payload.missing", FailureClass::Transient),
        "{failure}"
    );
    world.s3("PUT", "/plans/late", "late").await;
    let delivery = next(&source).await;
    assert_eq!((body(&delivery), delivery.receive_count), (b"late".as_slice(), 2));

    world.send("b", "r-2", world.at("plans/never", "never")).await;
    for _ in 0..2 {
        assert_eq!(unread(&source, || source.take_late()).await.code, "queue.payload.missing");
    }
    let delivery = next(&source).await;
    let failure = unusable(&delivery);
    assert_eq!((&*failure.code, failure.class), ("queue.payload.missing", FailureClass::Permanent));
    assert!(failure.message.contains("plans/never") && failure.message.contains(&world.bucket), "{failure}");
}

#[tokio::test]
async fn a19_no_bucket_and_no_permission_are_told_apart() {
    let world = World::new("denied").await;
    let mut options = world.options();
    let other = eve_queue::aws::PlanBucket { bucket: "no-such-bucket".into(), prefix: String::new() };
    options.buckets.push(other);
    let source = world.source_with(options);
    let mut absent = world.at("plans/a", "x");
    absent["plan"]["bucket"] = json!("no-such-bucket");
    world.send("a", "r-1", absent).await;
    let failure = unread(&source, || source.take_late()).await;
    assert_eq!(&*failure.code, "queue.payload.missing");
    assert_eq!(failure.message, "there is no bucket no-such-bucket");

    world.s3("PUT", "/plans/secret", "x").await;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
        "Resource": format!("arn:aws:s3:::{}/*", world.bucket),
    }] });
    world.s3("PUT", "?policy", &policy.to_string()).await;
    let source = world.source();
    world.send("b", "r-2", world.at("plans/secret", "x")).await;
    let failure = loop {
        match (source.receive().await.unwrap(), &*source.take_late()) {
            (None, [late]) => break late.failure.clone(),
            (None, _) => {}
            // The other one comes back too, to be refused: this source knows nothing of its bucket.
            (Some(delivery), _) => assert_eq!(unusable(&delivery).code, "queue.payload.location"),
        }
    };
    assert_eq!(
        (&*failure.code, failure.class),
        ("queue.payload.denied", FailureClass::Transient),
        "{failure}"
    );
    assert!(failure.hint.is_some());
}

#[tokio::test]
async fn plans_that_are_not_there_hold_up_no_other_and_are_no_failure_of_the_queue() {
    let world = World::new("others").await;
    let mut options = world.options();
    options.payload_pause = Duration::from_secs(20);
    let source = world.source_with(options);
    world.s3("PUT", "/plans/good", "good").await;
    for number in 0..8 {
        world.send(&format!("g-{number}"), &format!("absent-{number}"), world.at("plans/absent", "x")).await;
    }
    world.send("good", "good", world.at("plans/good", "good")).await;
    let mut late = Vec::new();
    let delivery = loop {
        match source.receive().await.unwrap() {
            Some(delivery) => break delivery,
            None => late.extend(source.take_late()),
        }
    };
    assert_eq!((&*delivery.request, body(&delivery)), ("good", b"good".as_slice()));
    assert!(late.len() <= 8, "each is looked for once: {late:?}");
    assert!(late.iter().all(|late| late.failure.code == "queue.payload.missing"), "{late:?}");
}
