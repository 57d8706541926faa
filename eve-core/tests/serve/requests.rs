//! Which request a plan is: what its sender says, what its source says, and what it says itself.

use eve_core::driver::Order;
use eve_core::ports::{Ending, Notice};

use super::{World, noops, options, world};

/// What was told of all this, in the order of the answers.
async fn served(world: &World) -> Vec<Notice> {
    let (orders, served) = world.serve(options()).await;
    world.until_empty().await;
    orders.send(Order::Drain).await.unwrap();
    served.await.unwrap();
    let mut notices = world.notifier.notices();
    notices.sort_by_key(|notice| notice.sequence);
    notices
}

fn endings(notices: &[Notice]) -> Vec<(&str, Ending)> {
    notices.iter().map(|notice| (notice.request.as_str(), notice.ending)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_says_which_request_it_is_runs_once_however_often_a_source_gives_it_another_name() {
    let world = world(noops());
    world.source.send_unnamed("a.yaml@1", "n 2 release-1");
    let first = served(&world).await;
    assert_eq!(endings(&first), [("release-1", Ending::Succeeded)]);
    world.source.send_unnamed("b.yaml@2", "n 2 release-1");
    assert_eq!(served(&world).await, first, "it is told what it was told");
    world.source.send_unnamed("a.yaml@3", "n 3 release-1");
    let told = served(&world).await;
    assert_eq!(endings(&told), [("release-1", Ending::Succeeded), ("release-1", Ending::Refused)]);
    assert_eq!(told[1].failure.as_ref().unwrap().code, "request.id-reused");
    let rejected: Vec<String> = world.source.rejected().into_iter().map(|(name, _)| name).collect();
    assert_eq!(rejected, ["a.yaml@3"]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_says_nothing_is_the_request_that_its_source_says() {
    let world = world(noops());
    world.source.send_unnamed("a.yaml@1", "n 2");
    world.source.send_unnamed("a.yaml@2", "n 2");
    let told = served(&world).await;
    assert_eq!(endings(&told), [("a.yaml@1", Ending::Succeeded), ("a.yaml@2", Ending::Succeeded)]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_says_another_request_than_its_sender_is_refused_with_both_named() {
    let world = world(noops());
    world.source.send("r-1", "n 2 release-1");
    world.source.send("release-2", "n 2 release-2");
    let told = served(&world).await;
    assert_eq!(endings(&told), [("r-1", Ending::Refused), ("release-2", Ending::Succeeded)]);
    let failure = told[0].failure.as_ref().unwrap();
    assert_eq!(failure.code, "plan.other-request");
    assert!(
        failure.message.contains("request r-1,") && failure.message.contains("is release-1"),
        "{failure:?}"
    );
}
