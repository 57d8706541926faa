//! A run or its undo may end at any point, and a reply may be lost: undo goes on from what is there.

use std::sync::atomic::{AtomicUsize, Ordering};

use eve_k8s::KubeClient;
use http::Method;
use kube::client::Body;
use tower::BoxError;

use super::*;

const FIRST: &str = "1";

async fn first(place: &Place) -> ([Part; 2], BTreeMap<String, Option<Value>>, Vec<String>) {
    let before =
        [apply(config_map("x", json!({ "a": FIRST, "lost": "x" }))), apply(secret("password", "first"))];
    place.deploy("first", &before).await;
    let paths =
        vec![place.config_map("x"), place.path("api/v1", "secrets", "password"), place.config_map("new")];
    let was = place.state(&paths).await;
    (before, was, paths)
}

fn next() -> [Part; 3] {
    [
        apply(config_map("x", json!({ "a": "2", "added": "y" }))),
        apply(secret("password", "second")),
        apply(config_map("new", json!({ "a": "1" }))),
    ]
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_undone() {
    let place = Place::new("lost").await;
    let (before, was, paths) = first(&place).await;
    let mut release = place.deploy("second", &next()).await;
    for (_, applied) in release.done.values_mut() {
        *applied = None;
    }
    assert_eq!(release.undo_all().await, [Change::Update, Change::Update, Change::Delete]);
    assert_eq!(place.state(&paths).await, was);
    place.assert_unchanged(&before).await;
}

#[tokio::test]
async fn a_write_that_never_arrived_needs_no_undo() {
    let place = Place::new("never").await;
    let (before, was, paths) = first(&place).await;
    let mut release = place.release("second", &next()).await;
    for index in 0..3 {
        release.prepare(index).await.unwrap();
    }
    let mark = place.control_plane.audit().mark().await;
    assert_eq!(release.undo_all().await, [Change::None; 3]);
    // The one that somebody else makes meanwhile is not ours.
    let new = place.config_map("new");
    let theirs = config_map("new", json!({ "a": "1" }));
    place.other("POST", new.trim_end_matches("/new"), "application/json", &theirs).await.unwrap();
    assert_eq!(release.undo_all().await, [Change::None; 3]);
    assert!(place.since(mark).await.writes().is_empty());
    place.other("DELETE", &new, "application/json", &json!({})).await.unwrap();
    assert_eq!(place.state(&paths).await, was);
    place.assert_unchanged(&before).await;
}

#[tokio::test]
async fn a_snapshot_without_a_write_needs_no_undo() {
    let place = Place::new("only-kept").await;
    let (before, ..) = first(&place).await;
    // The write is refused after the snapshot was made.
    let mut wrong = next();
    wrong[0].object["data"] = json!({ "no/key": "1" });
    let mut release = place.release("second", &wrong[..1]).await;
    let token = {
        let mut good = place.release("second", &next()[..1]).await;
        good.prepare(0).await.unwrap()
    };
    release.done.insert(0, (token.undo.clone(), None));
    let (cx, _) = Told::context();
    let failure = release.executor.apply(&release.step(0), &token, &cx).await.unwrap_err();
    assert_eq!(failure.code, "k8s.apply.invalid", "{failure:?}");
    assert_eq!(place.snapshots().await.len(), 1);
    assert_eq!(release.undo_all().await, [Change::None]);
    place.assert_unchanged(&before).await;
}

#[tokio::test]
async fn a_second_attempt_does_not_take_the_first_for_what_was_before() {
    let place = Place::new("attempts").await;
    let (before, was, paths) = first(&place).await;
    let mut release = place.deploy("second", &next()).await;
    let kept = place.snapshots().await;
    // The process dies, and another applies again what was applied, and more.
    for (_, applied) in release.done.values_mut() {
        *applied = None;
    }
    let mut more = next();
    more[0].object["data"] = json!({ "a": "2", "added": "z" });
    let mut again = place.release("second", &more).await;
    again.done.clone_from(&release.done);
    again.apply(0).await.unwrap();
    let data = |snapshots: &[Value]| -> Vec<Value> {
        snapshots.iter().map(|secret| secret["data"].clone()).collect()
    };
    assert_eq!(data(&place.snapshots().await), data(&kept));
    // What it wrote is not what was promised: another run may have.
    let failure = again.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.conflict", "{failure:?}");
    let mut again = place.release("second", &next()).await;
    again.done.clone_from(&release.done);
    again.apply(0).await.unwrap();
    assert_eq!(again.undo_all().await, [Change::Update, Change::Update, Change::Delete]);
    assert_eq!(place.state(&paths).await, was);
    place.assert_unchanged(&before).await;
}

/// Where a write is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It is never sent.
    Before,
    /// It is done, and its answer is lost.
    After,
}

#[tokio::test]
async fn an_undo_that_ends_at_any_of_its_writes_goes_on() {
    // An update takes two patches; a deleted object is made, and then patched.
    for (writes, cut) in [(0, Cut::Before), (0, Cut::After), (1, Cut::Before), (1, Cut::After)] {
        let place = Place::new("half").await;
        let (before, mut was, mut paths) = first(&place).await;
        let mut before = before.to_vec();
        before.push(apply(deployment("old", 1, json!([container("web", "web:1")]))));
        place.deploy("old", &before[2..]).await;
        paths.push(place.path("apis/apps/v1", "deployments", "old"));
        was.extend(place.state(&paths[3..]).await);
        let mut next = next().to_vec();
        next.push(delete(deployment("old", 1, json!([]))));
        let release = place.deploy("second", &next).await;
        for index in 0..4 {
            let executor = cut_off(&place, writes, cut).await;
            let (token, applied) = &release.done[&index];
            let token = token.as_ref().unwrap();
            let ended =
                executor.undo(&release.step(index), token, applied.as_ref(), &Told::context().0).await;
            assert_eq!(ended.is_ok(), index == 2 && writes == 1, "{writes} {cut:?} {index}: {ended:?}");
        }
        release.undo_all().await;
        assert_eq!(place.state(&paths).await, was, "{writes} {cut:?}");
        place.assert_unchanged(&before).await;
    }
}

/// An executor that is cut off after so many writes.
async fn cut_off(place: &Place, writes: usize, cut: Cut) -> KubeExecutor {
    let client = place.control_plane.eve_client().await;
    let count = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, count) = (client.clone(), Arc::clone(&count));
        async move {
            let is_cut = request.method() != Method::GET && count.fetch_add(1, Ordering::SeqCst) >= writes;
            if is_cut && cut == Cut::Before {
                return Err(BoxError::from("the line is cut"));
            }
            let answer = client.send(request).await?;
            if is_cut { Err("the line is cut".into()) } else { Ok(answer) }
        }
    });
    let client = KubeClient::new(kube::Client::new(service, "default"));
    let policy = ScopePolicy::default().with_cluster_scoped("*".parse().unwrap());
    KubeExecutor::builder(client).with_policy(policy).build()
}
