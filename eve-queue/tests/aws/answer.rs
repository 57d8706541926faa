//! The answer queue.

use aws_sdk_sqs::types::QueueAttributeName;
use eve_core::failure::FailureClass;
use eve_core::ids::RunId;
use eve_core::ports::{Ending, Notice, Notifier as _, Receipt};
use eve_core::testing::canary::CanaryScan;
use eve_core::time::Timestamp;
use eve_queue::aws::SqsNotifier;
use eve_testbed::Aws;
use serde_json::{Value, json};

use crate::world::{CLUSTER, access_to, admin, key, keys, received};

fn notice() -> Notice {
    Notice {
        run: Some(RunId::new("r-1")),
        plan: "shop".into(),
        namespace: "team".into(),
        ..Notice::new("r-1.outcome", Timestamp::from_micros(5), Ending::Failed)
    }
}

#[tokio::test]
async fn h2_an_answer_that_is_sent_again_arrives_once_on_a_fifo_queue_and_is_the_same_on_any_other() {
    let aws = Aws::shared().await;
    let admin = admin(&aws.url());
    let mut scan = CanaryScan::new([key()]);
    for (name, arrives) in [("answers.fifo", 1), ("answers", 2)] {
        let mut create = admin.create_queue().queue_name(name);
        if arrives == 1 {
            create = create.attributes(QueueAttributeName::FifoQueue, "true");
        }
        let queue = create.send().await.unwrap().queue_url.unwrap();
        let notifier = SqsNotifier::new(&access_to(&aws.url(), keys()), &queue, CLUSTER);
        for _ in 0..2 {
            assert_eq!(notifier.notify(&notice()).await, Ok(Receipt::default()));
        }
        let messages = received(&admin, &queue).await;
        assert_eq!(messages.len(), arrives, "{name}");
        scan.sink(name, format!("{messages:?} {notifier:?}"));
        for message in messages {
            let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            let told = serde_json::to_value(notice()).unwrap();
            assert_eq!(body, json!({ "version": 1, "cluster": CLUSTER, "notice": told }));
            let attributes = message.message_attributes().unwrap();
            assert_eq!(attributes["eve-ending"].string_value(), Some("failed"));
        }
    }
    let nowhere =
        SqsNotifier::new(&access_to(&aws.url(), keys()), format!("{}/1/no-such-queue", aws.url()), CLUSTER);
    let failure = nowhere.notify(&notice()).await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("aws.queue", FailureClass::Permanent), "{failure}");
    scan.sink("the failure", format!("{failure:?}"));
    scan.assert_clean();
}
