//! What the run deleted comes back as another object of the same name: what of it cannot come back, and what must not.

use super::*;

/// Makes one object the owner of another, as a controller would.
async fn own(place: &Place, owner: &str, child: &str) {
    let owner = place.get(&place.config_map(owner)).await.unwrap();
    let reference = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    });
    place.merge(&place.config_map(child), json!({ "metadata": { "ownerReferences": [reference] } })).await;
}

async fn owners(place: &Place, name: &str) -> Vec<Value> {
    let object = place.get(&place.config_map(name)).await.unwrap();
    object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default()
}

async fn remove(place: &Place, name: &str) {
    place.other("DELETE", &place.config_map(name), "application/json", &json!({})).await.unwrap();
}

fn map(name: &str) -> Value {
    config_map(name, json!({ "a": "1" }))
}

/// Makes what is somebody else's.
async fn make(place: &Place, name: &str) {
    let path = place.config_map(name);
    place
        .other("POST", path.trim_end_matches(&format!("/{name}")), "application/json", &map(name))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_an_object_of_others_owns_is_its_again_while_that_is_there() {
    let place = Place::new("owner-there").await;
    place.deploy("first", &[apply(map("child"))]).await;
    make(&place, "owner").await;
    own(&place, "owner", "child").await;
    let (was, paths) = (owners(&place, "child").await, [place.config_map("child")]);
    let state = place.state(&paths).await;
    let release = place.deploy("second", &[delete(map("child"))]).await;
    assert_eq!(release.undo_all().await, [Change::Create]);
    assert_eq!(owners(&place, "child").await, was);
    assert_eq!(place.state(&paths).await, state);
}

#[tokio::test]
async fn an_owner_that_is_gone_takes_nothing_with_it_again() {
    for made_anew in [false, true] {
        let place = Place::new("owner-gone").await;
        place.deploy("first", &[apply(map("child"))]).await;
        make(&place, "owner").await;
        own(&place, "owner", "child").await;
        let release = place.deploy("second", &[delete(map("child"))]).await;
        remove(&place, "owner").await;
        if made_anew {
            make(&place, "owner").await;
        }
        let report = release.undo(0).await.unwrap();
        assert_eq!(report.change, Change::Create);
        assert!(report.notes.iter().any(|note| note.contains("ConfigMap owner")), "{report:?}");
        assert!(owners(&place, "child").await.is_empty());
        release.verify_undone(0).await.unwrap();
        assert_eq!(release.undo_all().await, [Change::None]);
        place.assert_unchanged(&[apply(map("child"))]).await;
    }
}

#[tokio::test]
async fn an_owner_that_comes_back_too_owns_what_it_owned() {
    let place = Place::new("owner-back").await;
    let parts = [apply(map("child")), apply(map("owner"))];
    place.deploy("first", &parts).await;
    own(&place, "owner", "child").await;
    let was = owners(&place, "child").await;
    let release = place.deploy("second", &[delete(map("child")), delete(map("owner"))]).await;
    assert_eq!(release.undo_all().await, [Change::Create, Change::Create]);
    let is = owners(&place, "child").await;
    let owner = place.get(&place.config_map("owner")).await.unwrap();
    assert_ne!(is[0]["uid"], was[0]["uid"]);
    assert_eq!((is.len(), &is[0]["uid"]), (1, &owner["metadata"]["uid"]));
    assert_eq!(release.undo_all().await, [Change::None, Change::None]);
    place.assert_unchanged(&parts).await;
}

#[tokio::test]
async fn a_pod_that_had_ended_is_not_made_again() {
    let place = Place::new("pod-ended").await;
    let mut pod = object(
        "v1",
        "Pod",
        "once",
        json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "once:1" }] } }),
    );
    pod["metadata"]["annotations"] = json!({ eve_testbed::STAGE: "complete" });
    let parts = [apply(pod.clone())];
    let release = place.deploy("first", &parts).await;
    let (step, applied) = (release.step(0), release.done[&0].1.clone().unwrap());
    release.executor.wait(&step, &applied, Until::Ready, &Told::context().0).await.unwrap();
    let path = place.path("api/v1", "pods", "once");
    let has_ended = async { while place.get(&path).await.unwrap()["status"]["phase"] != "Succeeded" {} };
    tokio::time::timeout(Duration::from_mins(1), has_ended).await.unwrap();
    let release = place.deploy("second", &[delete(pod)]).await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.lost", "{failure:?}");
    assert!(place.get(&path).await.is_none());
}

#[tokio::test]
async fn a_claim_that_comes_back_empty_says_so_whoever_finishes_it() {
    let place = Place::new("claim-empty").await;
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                       "resources": { "requests": { "storage": "1Gi" } } });
    let claim = object("v1", "PersistentVolumeClaim", "data", json!({ "spec": spec }));
    place.deploy("first", &[apply(claim.clone())]).await;
    let release = place.deploy("second", &[delete(claim)]).await;
    for _ in 0..2 {
        let report = release.undo(0).await.unwrap();
        assert!(report.notes[0].contains("its data is not back"), "{report:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_free_again_is_waited_for() {
    let place = Place::new("address").await;
    let service = |name: &str, spec: Value| object("v1", "Service", name, json!({ "spec": spec }));
    let web = service("web", json!({ "ports": [{ "port": 80 }] }));
    place.deploy("first", &[apply(web.clone())]).await;
    let (path, theirs) =
        (place.path("api/v1", "services", "web"), place.path("api/v1", "services", "theirs"));
    let was = place.state(std::slice::from_ref(&path)).await;
    let address = place.get(&path).await.unwrap()["spec"]["clusterIP"].clone();
    let release = place.deploy("second", &[delete(web)]).await;
    let other = service("theirs", json!({ "clusterIP": address, "ports": [{ "port": 80 }] }));
    // The server itself may need a moment until the address is free.
    let made =
        async || place.other("POST", theirs.trim_end_matches("/theirs"), "application/json", &other).await;
    while made().await.is_err() {
        tokio::task::yield_now().await;
    }
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.undo.taken", FailureClass::Transient),
        "{failure:?}"
    );
    place.other("DELETE", &theirs, "application/json", &json!({})).await.unwrap();
    assert_eq!(release.undo_all().await, [Change::Create]);
    assert_eq!(place.state(&[path]).await, was);
}
