//! The queue: what is handed out, held, settled.

use std::time::Duration;

use eve_core::digest::Digest;
use eve_core::failure::FailureClass;
use eve_core::ports::{Content, PlanSource as _, STALE_HANDLE};
use eve_core::run::StopMode;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_testbed::Aws;
use serde_json::json;

use crate::world::{Watched, World, access_to, body, key, keys, next, sequence, unusable};

#[tokio::test]
async fn a_plan_is_held_until_it_is_acknowledged_and_then_gone() {
    let world = World::new("held").await;
    let source = world.source();
    world.s3("PUT", "/plans/shop.yaml", "name: shop").await;
    world.send("team", "r-1", world.at("plans/shop.yaml", "name: shop")).await;
    let delivery = next(&source).await;
    assert_eq!(body(&delivery), b"name: shop");
    assert_eq!((&*delivery.request, &*delivery.group, delivery.receive_count), ("r-1", "team", 1));
    assert_eq!(delivery.digest, Digest::of(b"name: shop"));
    assert_eq!(source.receive().await, Ok(None));
    source.extend(&delivery.handle, Duration::from_secs(40)).await.unwrap();
    assert_eq!(world.counts(&world.queue).await, (0, 1));
    source.acknowledge(&delivery.handle).await.unwrap();
    assert_eq!(world.counts(&world.queue).await, (0, 0));
    assert_eq!(world.counts(&world.dead).await, (0, 0));
}

#[tokio::test]
async fn a15_a_group_waits_for_its_plan_and_a_cancel_does_not() {
    let world = World::new("groups").await;
    let source = world.source();
    world.send("team", "r-1", json!({ "inline": "1" })).await;
    world.send("team", "r-2", json!({ "inline": "2" })).await;
    let first = next(&source).await;
    assert_eq!(&*first.request, "r-1");
    world.send("other", "r-3", json!({ "inline": "3" })).await;
    world.send("cancel/team", "c-1", json!({ "stop": { "requestId": "r-1", "mode": "drain" } })).await;
    let mut passed = [next(&source).await, next(&source).await];
    passed.sort_by(|a, b| a.request.cmp(&b.request));
    assert_eq!(&*passed[0].group, "cancel/team");
    assert_eq!(passed[0].content, Content::Stop { request: "r-1".into(), mode: StopMode::Drain });
    assert_eq!(&*passed[1].request, "r-3");
    assert_eq!(source.receive().await, Ok(None));
    source.acknowledge(&first.handle).await.unwrap();
    assert_eq!(&*next(&source).await.request, "r-2");
}

#[tokio::test]
async fn a15_a_newer_plan_in_a_group_of_its_own_is_handed_out_while_the_older_one_is_held() {
    let world = World::new("supersede").await;
    let source = world.source();
    let plan = |number: u64| json!({ "inline": number.to_string(), "sequence": number });
    world.send("team", "r-1", plan(1)).await;
    world.send("team", "r-2", plan(2)).await;
    let older = next(&source).await;
    assert_eq!((&*older.request, sequence(&older)), ("r-1", Some(1)));
    world.send("supersede/team", "r-3", plan(3)).await;
    let newer = next(&source).await;
    assert_eq!((&*newer.request, &*newer.group, body(&newer)), ("r-3", "supersede/team", &b"3"[..]));
    assert_eq!(sequence(&newer), Some(3));
    assert_eq!(source.receive().await, Ok(None), "what stands in the group of the older one waits for it");
    source.acknowledge(&newer.handle).await.unwrap();
    source.acknowledge(&older.handle).await.unwrap();
    assert_eq!(sequence(&next(&source).await), Some(2), "it comes late, and says so");
}

#[tokio::test]
async fn a3_what_is_not_extended_comes_back_under_another_handle() {
    let world = World::new("lapse").await;
    let mut options = world.options();
    options.visibility_timeout = Duration::from_secs(1);
    options.wait = Duration::from_secs(5);
    let source = world.source_with(options);
    world.send("team", "r-1", json!({ "inline": "1" })).await;
    let first = next(&source).await;
    let second = next(&source).await;
    assert_eq!((&first.request, first.digest), (&second.request, second.digest));
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_ne!(first.handle, second.handle);
    let failure = source.reject(&first.handle, "no").await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), (STALE_HANDLE, FailureClass::Permanent));
    source.acknowledge(&second.handle).await.unwrap();
    assert_eq!(world.counts(&world.queue).await, (0, 0));
    // A6: said again, since the answer was lost.
    let again = source.acknowledge(&second.handle).await;
    assert!(again.as_ref().is_ok_and(|()| true) || again.is_err_and(|failure| failure.code == STALE_HANDLE));
}

#[tokio::test]
async fn a_handle_that_is_none_is_stale() {
    let world = World::new("stale").await;
    let source = world.source();
    for handle in ["", "no-such-handle"] {
        let failure = source.extend(handle, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Permanent, "{handle:?}: {failure}");
        assert_eq!(source.reject(handle, "no").await.unwrap_err().code, STALE_HANDLE);
    }
    let failure = source.extend("no-such-handle", Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(failure.code, STALE_HANDLE);
    let failure = source.acknowledge("no-such-handle").await.unwrap_err();
    assert_eq!(failure.code, STALE_HANDLE);
}

#[tokio::test]
async fn a4_nobody_holds_a_message_for_more_than_twelve_hours() {
    let world = World::new("long").await;
    let source = world.source();
    world.send("team", "r-1", json!({ "inline": "1" })).await;
    let delivery = next(&source).await;
    // More than SQS takes is cut to what it takes.
    let extended = source.extend(&delivery.handle, Duration::from_hours(20)).await;
    assert!(
        extended.as_ref().is_ok_and(|()| true)
            || extended.is_err_and(|failure| failure.code == "source.held-too-long")
    );
}

#[tokio::test]
async fn a12_what_can_never_be_dealt_with_goes_to_the_dead_letters_with_its_reason() {
    let world = World::new("poison").await;
    let source = world.source();
    let deep = "[".repeat(200_000);
    let other = r#"{"version":1,"requestId":"r-9","cluster":"west","inline":"x"}"#;
    let canary = Canary::plain(10);
    let poison = [
        ("not json", canary.value(), "queue.message.unreadable"),
        ("deep", deep.as_str(), "queue.message.unreadable"),
        ("fields", r#"{"version":1}"#, "queue.message.unreadable"),
        ("version", r#"{"version":9,"requestId":"r"}"#, "queue.message.version"),
        ("cluster", other, "queue.message.cluster"),
    ];
    for (_, text, code) in &poison {
        world.send_text("team", text).await;
        let delivery = next(&source).await;
        let failure = unusable(&delivery);
        assert_eq!((&*failure.code, failure.class), (*code, FailureClass::Permanent));
        assert!(eve_core::ports::Delivery::is_request(&delivery.request), "{}", delivery.request);
        source.reject(&delivery.handle, &failure.to_string()).await.unwrap();
    }
    // A16: what stands behind them is not touched by them.
    world.send("team", "r-1", json!({ "inline": "1" })).await;
    assert_eq!(&*next(&source).await.request, "r-1");
    assert_eq!(world.counts(&world.queue).await, (0, 1));
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), poison.len());
    for ((name, text, _), letter) in poison.iter().zip(&letters) {
        assert_eq!(letter.body(), Some(*text), "{name}");
        let attributes = letter.message_attributes().unwrap();
        let reason = attributes["eve-reason"].string_value().unwrap();
        assert!(reason.contains("message"), "{name}: {reason}");
        let mut scan = CanaryScan::new([canary.clone()]);
        scan.sink("the reason of a dead letter", reason);
        scan.assert_clean();
        assert!(attributes["eve-message-id"].string_value().is_some_and(|id| !id.is_empty()));
    }
}

#[tokio::test]
async fn a16_each_message_is_settled_for_itself_and_the_rest_survives_a_crash() {
    let world = World::new("partial").await;
    for number in 0..5 {
        world.send(&format!("team-{number}"), &format!("r-{number}"), json!({ "inline": "x" })).await;
    }
    let mut options = world.options();
    options.visibility_timeout = Duration::from_secs(2);
    options.wait = Duration::from_secs(5);
    let first = world.source_with(options.clone());
    let (one, two) = (next(&first).await, next(&first).await);
    let _three = next(&first).await;
    first.acknowledge(&one.handle).await.unwrap();
    first.reject(&two.handle, "no").await.unwrap();
    drop(first); // and the process is gone, with one message in its hands
    let second = world.source_with(options);
    let mut left = Vec::new();
    for _ in 0..3 {
        let delivery = next(&second).await;
        second.acknowledge(&delivery.handle).await.unwrap();
        left.push(delivery.request.to_string());
    }
    assert!(!left.contains(&one.request.to_string()) && !left.contains(&two.request.to_string()), "{left:?}");
    assert_eq!(world.counts(&world.queue).await, (0, 0));
    assert_eq!(world.counts(&world.dead).await, (1, 0));
}

#[tokio::test]
async fn a17_a_queue_that_does_not_answer_is_transient_and_goes_on_where_it_was() {
    let aws = Aws::start().await.unwrap();
    let admin = crate::world::admin(&aws.url());
    let create = admin.create_queue().queue_name("q.fifo");
    let create = create.attributes(aws_sdk_sqs::types::QueueAttributeName::FifoQueue, "true");
    let queue = create.send().await.unwrap().queue_url.unwrap();
    let text = json!({ "version": 1, "requestId": "r-1", "cluster": "east", "inline": "x" }).to_string();
    let send = admin.send_message().queue_url(&queue).message_body(text).message_group_id("g");
    send.message_deduplication_id("1").send().await.unwrap();
    let access = access_to(&aws.url(), keys()).with_request_limit(Duration::from_millis(700));
    let mut options = eve_queue::aws::SqsOptions::new(&queue, queue.replace("q.fifo", "dead.fifo"), "east");
    options.wait = Duration::from_millis(300);
    let source = Watched::over(eve_queue::aws::SqsSource::new(&access, options).unwrap(), [key()]);
    let delivery = loop {
        // An answer may take a busy machine longer than it is given here.
        match source.receive().await {
            Ok(Some(delivery)) => break delivery,
            Ok(None) => {}
            Err(failure) => assert_eq!(failure.code, "aws.timeout", "{failure}"),
        }
    };
    aws.pause().unwrap();
    for result in [
        source.receive().await.map(drop),
        source.extend(&delivery.handle, Duration::from_secs(30)).await,
        source.acknowledge(&delivery.handle).await,
        source.reject(&delivery.handle, "no").await,
    ] {
        let failure = result.unwrap_err();
        assert_eq!((&*failure.code, failure.class), ("aws.timeout", FailureClass::Transient), "{failure}");
    }
    aws.resume().unwrap();
    let goes_on = async {
        loop {
            match source.receive().await {
                Ok(found) => break found,
                // It has what it was asked before to deal with first.
                Err(failure) => assert_eq!(failure.code, "aws.timeout", "{failure}"),
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), goes_on).await.expect("it goes on");
    assert_eq!(found.map(|delivery| delivery.request), None, "what is held is not handed out");
    drop(aws);
    let failure = source.receive().await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("aws.connect", FailureClass::Transient), "{failure}");
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_permanent() {
    let world = World::new("absent").await;
    let mut options = world.options();
    options.queue_url = world.queue.replace("absent.fifo", "other.fifo");
    let failure = world.source_with(options).receive().await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("aws.queue", FailureClass::Permanent), "{failure}");
}
