//! The fresh look before a run is said to have succeeded, or to be rolled back.

use eve_testbed::STAGE;

use super::*;

/// Everything of a release is looked at once more.
async fn verify(release: &Release) -> Vec<Result<(), Failure>> {
    let mut ends = Vec::new();
    for index in 0..u32::try_from(release.graph.len()).unwrap() {
        let applied = release.done[&index].1.as_ref();
        let of = Verify::Applied(applied, release.step(index).until());
        ends.push(release.executor.verify(&release.step(index), of, &Told::context().0).await);
    }
    ends
}

async fn ready(place: &Place, parts: &[Part]) -> Release {
    let release = place.deploy("first", parts).await;
    for (index, (_, applied)) in &release.done {
        let (cx, _) = Told::context();
        let step = release.step(*index);
        release.executor.wait(&step, applied.as_ref().unwrap(), Until::Ready, &cx).await.unwrap();
    }
    release
}

#[tokio::test]
async fn what_is_as_it_should_be_costs_one_list_for_each_kind() {
    let place = Place::new("fine").await;
    let mut parts: Vec<Part> = (0..4)
        .map(|index| apply(deployment(&format!("web-{index}"), 1, json!([container("web", "web:1")]))))
        .collect();
    parts.extend((0..4).map(|index| apply(config_map(&format!("settings-{index}"), json!({ "a": "1" })))));
    parts.push(apply(secret("password", "first")));
    let release = ready(&place, &parts).await;
    let mark = place.control_plane.audit().mark().await;
    assert!(verify(&release).await.iter().all(Result::is_ok));
    // The pods are those of the waits before: their feed may begin late.
    let entries = place.since(mark).await.filter(|entry| entry.resource != "pods");
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert_eq!(entries.verb("list").len(), 3);
}

#[tokio::test]
async fn what_others_have_written_beside_costs_one_list_more_for_all_of_it() {
    let place = Place::new("beside").await;
    let parts: Vec<Part> =
        (0..4).map(|index| apply(config_map(&format!("settings-{index}"), json!({ "a": "1" })))).collect();
    let release = ready(&place, &parts).await;
    for index in 0..3 {
        let path = place.config_map(&format!("settings-{index}"));
        place.merge(&path, json!({ "data": { "b": "2" } })).await;
    }
    let mark = place.control_plane.audit().mark().await;
    assert!(verify(&release).await.iter().all(Result::is_ok));
    let entries = place.since(mark).await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!(entries.verb("list").len(), 2);
}

#[tokio::test]
async fn what_was_ready_and_is_not_any_more_is_named_with_the_reason() {
    let place = Place::new("unready").await;
    let parts = [
        apply(deployment("good", 1, json!([container("web", "web:1")]))),
        apply(deployment("bad", 1, json!([container("web", "web:1")]))),
    ];
    let release = ready(&place, &parts).await;
    // Its pods go, and those that come are never ready.
    let path = place.path("apis/apps/v1", "deployments", "bad");
    let stage =
        json!({ "spec": { "template": { "metadata": { "annotations": { STAGE: "never-ready" } } } } });
    place.merge(&path, stage).await;
    // The controller counts a pod that it wants as unavailable before it is there to be counted as updated.
    let is_down = async {
        loop {
            let status = &place.get(&path).await.unwrap()["status"];
            if status["unavailableReplicas"] == 1 && status["updatedReplicas"] == 1 && status["replicas"] == 2
            {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), is_down).await.unwrap();
    let ends = verify(&release).await;
    assert!(ends[0].is_ok(), "{ends:?}");
    let failure = ends[1].as_ref().unwrap_err();
    assert_eq!(failure.code, "k8s.deployment.old-replicas", "{failure:?}");
    assert!(failure.notes.iter().any(|note| note.contains("ready before")), "{failure:?}");
    assert!(failure.message.contains("bad"), "{failure:?}");
}

#[tokio::test]
async fn what_was_changed_deleted_or_made_again_is_named() {
    let place = Place::new("changed").await;
    place.deploy("zero", &[apply(config_map("old", json!({})))]).await;
    let parts = [
        apply(config_map("changed", json!({ "a": "1" }))),
        apply(config_map("gone", json!({ "a": "1" }))),
        delete(config_map("old", json!({}))),
        apply(config_map("beside", json!({ "a": "1" }))),
    ];
    let release = ready(&place, &parts).await;
    place.merge(&place.config_map("changed"), json!({ "data": { "a": "2" } })).await;
    place.merge(&place.config_map("beside"), json!({ "data": { "b": "2" } })).await;
    place.other("DELETE", &place.config_map("gone"), "application/json", &json!({})).await.unwrap();
    place.deploy("other", &[apply(config_map("old", json!({})))]).await;
    let ends = verify(&release).await;
    let codes: Vec<Option<&str>> =
        ends.iter().map(|end| end.as_ref().err().map(|failure| failure.code.as_ref())).collect();
    let changed = ends[0].as_ref().unwrap_err();
    assert!(changed.notes.iter().any(|note| note == "`data.a` belongs to `somebody` now"), "{changed:?}");
    assert_eq!(
        codes,
        [Some("k8s.verify.changed"), Some("k8s.object.gone"), Some("k8s.object.present"), None],
        "{ends:?}"
    );
}

#[tokio::test]
async fn what_is_gone_with_all_others_of_its_kind_is_named() {
    let place = Place::new("alone").await;
    let release = ready(&place, &[apply(config_map("alone", json!({ "a": "1" })))]).await;
    place.other("DELETE", &place.config_map("alone"), "application/json", &json!({})).await.unwrap();
    let ends = verify(&release).await;
    assert_eq!(ends[0].as_ref().unwrap_err().code, "k8s.object.gone", "{ends:?}");
}

#[tokio::test]
async fn what_is_undone_is_looked_at_afresh() {
    let place = Place::new("afresh").await;
    let of = |value: &str| {
        [apply(config_map("x", json!({ "a": value }))), apply(config_map("y", json!({ "a": value })))]
    };
    place.deploy("first", &of("1")).await;
    let release = place.deploy("second", &of("2")).await;
    // A look before the rollback must not be taken for one after it.
    assert!(verify(&release).await.iter().all(Result::is_ok));
    assert!(release.verify_undone(0).await.is_err());
    release.undo_all().await;
    place.merge(&place.config_map("x"), json!({ "data": { "a": "3" } })).await;
    let failure = release.verify_undone(0).await.unwrap_err();
    assert!(format!("{failure:?}").contains("data.a"), "{failure:?}");
    release.verify_undone(1).await.unwrap();
}
