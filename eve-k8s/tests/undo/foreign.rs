//! Others write too: what is theirs stays, what they took from the run is named and not overwritten.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// The first and the second release of one `ConfigMap`.
async fn two(place: &Place) -> Release {
    place.deploy("first", &[apply(config_map("x", json!({ "a": "1", "b": "1" })))]).await;
    place.deploy("second", &[apply(config_map("x", json!({ "a": "2", "new": "n" })))]).await
}

/// That the undo is refused for these reasons, and writes nothing.
async fn assert_conflict(place: &Place, release: &Release, words: &[&str]) {
    assert_refused(place, release, "k8s.undo.conflict", words).await;
}

async fn assert_refused(place: &Place, release: &Release, code: &str, words: &[&str]) {
    let mark = place.control_plane.audit().mark().await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    for word in words {
        assert!(format!("{failure:?}").contains(word), "{word}: {failure:?}");
    }
    let writes = place.since(mark).await.writes();
    assert!(writes.is_empty(), "{writes:?}");
    assert!(release.verify_undone(0).await.is_err());
}

#[tokio::test]
async fn what_others_wrote_beside_it_stays() {
    let place = Place::new("beside").await;
    let release = two(&place).await;
    place
        .merge(
            &place.config_map("x"),
            json!({ "data": { "theirs": "t" }, "metadata": { "labels": { "l": "1" } } }),
        )
        .await;
    assert_eq!(release.undo_all().await, [Change::Update]);
    let is = place.get(&place.config_map("x")).await.unwrap();
    assert_eq!(is["data"], json!({ "a": "1", "b": "1", "theirs": "t" }));
    assert_eq!(is["metadata"]["labels"]["l"], "1");
    place.assert_unchanged(&[apply(config_map("x", json!({ "a": "1", "b": "1" })))]).await;
}

#[tokio::test]
async fn a_field_that_somebody_changed_since_is_named_and_left_alone() {
    for (prefix, change, words) in [
        ("changed", json!({ "data": { "a": "3" } }), ["data.a", "somebody"]),
        ("added", json!({ "data": { "new": "3" } }), ["data.new", "somebody"]),
        ("removed", json!({ "data": { "a": null } }), ["data.a", "removed"]),
        ("taken", json!({ "data": { "b": "3" } }), ["data.b", "somebody"]),
    ] {
        let place = Place::new(prefix).await;
        let release = two(&place).await;
        place.merge(&place.config_map("x"), change).await;
        assert_conflict(&place, &release, &words).await;
    }
}

#[tokio::test]
async fn a_field_that_is_as_before_again_is_no_conflict() {
    let place = Place::new("back").await;
    let release = two(&place).await;
    place.merge(&place.config_map("x"), json!({ "data": { "a": "1" } })).await;
    release.undo_all().await;
    place.assert_unchanged(&[apply(config_map("x", json!({ "a": "1", "b": "1" })))]).await;
}

#[tokio::test]
async fn a_later_run_is_somebody_else() {
    let place = Place::new("later").await;
    let release = two(&place).await;
    place.deploy("third", &[apply(config_map("x", json!({ "a": "3" })))]).await;
    assert_conflict(&place, &release, &["eve.dev/desired", "`eve`"]).await;
}

#[tokio::test]
async fn what_was_deleted_or_made_anew_is_not_touched() {
    let place = Place::new("anew").await;
    let path = place.config_map("x");
    let collection = path.trim_end_matches("/x").to_owned();
    let release = two(&place).await;
    place.other("DELETE", &path, "application/json", &json!({})).await.unwrap();
    assert_refused(&place, &release, "k8s.undo.gone", &["deleted by somebody else", "not made again"]).await;
    assert!(place.get(&path).await.is_none());
    let theirs = config_map("x", json!({ "a": "9" }));
    place.other("POST", &collection, "application/json", &theirs).await.unwrap();
    assert_conflict(&place, &release, &["made anew by somebody else"]).await;
}

#[tokio::test]
async fn what_the_run_made_and_somebody_changed_or_made_anew_stays() {
    let place = Place::new("made").await;
    let path = place.config_map("x");
    let release = place.deploy("first", &[apply(config_map("x", json!({ "a": "1" })))]).await;
    place.merge(&path, json!({ "data": { "a": "2" } })).await;
    assert_conflict(&place, &release, &["data.a", "somebody"]).await;
    place.other("DELETE", &path, "application/json", &json!({})).await.unwrap();
    let theirs = config_map("x", json!({ "a": "9" }));
    place.other("POST", path.trim_end_matches("/x"), "application/json", &theirs).await.unwrap();
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.conflict", "{failure:?}");
    assert_eq!(place.get(&path).await.unwrap()["data"]["a"], "9");
}

#[tokio::test]
async fn what_the_run_made_stays_with_what_others_have_put_into_it() {
    for (prefix, change, field) in [
        ("made-data", json!({ "data": { "theirs": "2" } }), "data.theirs"),
        ("made-label", json!({ "metadata": { "labels": { "l": "1" } } }), "metadata.labels.l"),
        ("made-note", json!({ "metadata": { "annotations": { "n": "1" } } }), "metadata.annotations.n"),
    ] {
        let place = Place::new(prefix).await;
        let path = place.config_map("x");
        let release = place.deploy("first", &[apply(config_map("x", json!({ "a": "1" })))]).await;
        place.merge(&path, change).await;
        let was = place.get(&path).await;
        assert_conflict(&place, &release, &["was made by the run and stays", field, "`somebody`"]).await;
        assert_eq!(place.get(&path).await, was);
    }
}

#[tokio::test]
async fn what_somebody_has_put_in_and_taken_out_again_is_in_nobodys_way() {
    let place = Place::new("made-empty").await;
    for (path, object) in [
        (place.config_map("x"), config_map("x", json!({ "a": "1" }))),
        (place.path("api/v1", "secrets", "x"), secret("x", "1")),
    ] {
        let release = place.deploy("first", &[apply(object)]).await;
        for (value, label) in [(json!("Mg=="), json!("2")), (Value::Null, Value::Null)] {
            let metadata = json!({ "labels": { "l": label } });
            place.merge(&path, json!({ "data": { "theirs": value }, "metadata": metadata })).await;
        }
        assert_eq!(release.undo_all().await, [Change::Delete], "{path}");
    }
}

#[tokio::test]
async fn a_workload_that_the_run_made_goes_with_what_controllers_wrote_into_it() {
    let place = Place::new("made-scaled").await;
    let path = place.path("apis/apps/v1", "deployments", "web");
    let mut web = deployment("web", 1, json!([container("web", "web:1")]));
    web["spec"].as_object_mut().unwrap().remove("replicas");
    let mut release = place.release("first", &[apply(web)]).await;
    release.apply(0).await.unwrap();
    let (token, applied) = &release.done[&0];
    assert!(token.is_some());
    let (step, (cx, _)) = (release.step(0), Told::context());
    // Its controller has numbered the revision by then.
    release.executor.wait(&step, applied.as_ref().unwrap(), Until::Ready, &cx).await.unwrap();
    place.merge(&format!("{path}/scale"), json!({ "spec": { "replicas": 2 } })).await;
    assert_eq!(release.undo_all().await, [Change::Delete]);
}

#[tokio::test]
async fn what_the_run_made_and_a_later_run_changed_stays() {
    for (prefix, of) in [
        ("later-made", (|value| config_map("x", json!({ "a": value }))) as fn(&str) -> Value),
        ("later-secret", |value| secret("x", value)),
    ] {
        let place = Place::new(prefix).await;
        let release = place.deploy("first", &[apply(of("1"))]).await;
        // The same fields, other values: no manager but eve has anything to do with it.
        back_and_forth(&place, &release, &apply(of("1")), &apply(of("2"))).await;
        assert_conflict(&place, &release, &["a later run", "`eve`"]).await;
        // Nor is it this run's if it has the values again that this run gave it.
        back_and_forth(&place, &release, &apply(of("2")), &apply(of("1"))).await;
        assert_conflict(&place, &release, &["a later run", "`eve`"]).await;
    }
}

static TURNS: AtomicU32 = AtomicU32::new(0);

/// Later runs apply one and then the other, until that is told by its date: the server's clock shows seconds.
async fn back_and_forth(place: &Place, of: &Release, one: &Part, other: &Part) {
    let changed_at = |release: &Release| {
        let applied = release.done[&0].1.clone().unwrap();
        applied.token.unwrap()["changedAt"].as_str().unwrap().to_owned()
    };
    // No two runs have one name: what the first has kept is not the other's.
    let turn = TURNS.fetch_add(1, Ordering::Relaxed);
    for number in 0.. {
        place.deploy(&format!("one-{turn}-{number}"), std::slice::from_ref(one)).await;
        let last = place.deploy(&format!("other-{turn}-{number}"), std::slice::from_ref(other)).await;
        if changed_at(&last) != changed_at(of) {
            return;
        }
    }
}

#[tokio::test]
async fn what_a_later_run_changed_is_its_own_even_if_it_has_the_values_of_this_run() {
    for (prefix, of) in [
        ("same-again", (|value| config_map("x", json!({ "a": value }))) as fn(&str) -> Value),
        ("same-secret", |value| secret("x", value)),
    ] {
        let place = Place::new(prefix).await;
        place.deploy("first", &[apply(of("1"))]).await;
        let mut release = place.deploy("second", &[apply(of("2"))]).await;
        back_and_forth(&place, &release, &apply(of("3")), &apply(of("2"))).await;
        assert_conflict(&place, &release, &["changed since by a later run of `eve`"]).await;
        // A journal of before that was written down tells only what is there.
        let applied = release.done.get_mut(&0).unwrap().1.as_mut().unwrap();
        applied.token.as_mut().unwrap().as_object_mut().unwrap().remove("changedAt");
        assert_eq!(release.undo_all().await, [Change::Update]);
        place.assert_unchanged(&[apply(of("1"))]).await;
    }
}

#[tokio::test]
async fn a_run_that_found_nothing_to_write_is_no_later_one() {
    let place = Place::new("idle").await;
    let release = two(&place).await;
    place.deploy("third", &[apply(config_map("x", json!({ "a": "2", "new": "n" })))]).await;
    assert_eq!(release.undo_all().await, [Change::Update]);
    place.assert_unchanged(&[apply(config_map("x", json!({ "a": "1", "b": "1" })))]).await;
}

#[tokio::test]
async fn a_secret_that_the_run_made_stays_with_what_others_added() {
    let place = Place::new("added-secret").await;
    let path = place.path("api/v1", "secrets", "x");
    let release = place.deploy("first", &[apply(secret("x", "1"))]).await;
    place.merge(&path, json!({ "metadata": { "annotations": { "theirs": "1" } } })).await;
    assert_conflict(&place, &release, &["metadata.annotations.theirs", "`somebody`"]).await;
}

#[tokio::test]
async fn what_the_run_made_and_another_plan_has_taken_over_stays() {
    for object in [config_map("x", json!({ "a": "1" })), secret("x", "1")] {
        let place = Place::new("another-plan").await;
        let release = place.deploy("first", &[apply(object.clone())]).await;
        let mut other = place.release("second", &[apply(object)]).await;
        let spec = json!({ "object": other.graph.node(ComponentId::new(0)).spec()["object"] });
        let plan = PlanBuilder::new("other", place.namespace.name())
            .component(ComponentBuilder::new("x", OBJECT_KIND).spec(spec));
        other.graph = Arc::new(Graph::from_plan(&plan).unwrap());
        let options = KubeConfigOptions::default().with_kubeconfig(place.control_plane.kubeconfig_path());
        other.executor = KubeExecutor::builder(connect(&options).await.unwrap())
            .with_take_over(vec!["*".parse().unwrap()])
            .build();
        assert_eq!(other.apply_all().await, [Change::Update]);
        assert_conflict(&place, &release, &["belongs to the plan `other`"]).await;
    }
}

#[tokio::test]
async fn what_a_later_run_made_anew_stays() {
    let place = Place::new("later-anew").await;
    let parts = [apply(config_map("x", json!({ "a": "1" })))];
    let release = place.deploy("first", &parts).await;
    place.other("DELETE", &place.config_map("x"), "application/json", &json!({})).await.unwrap();
    place.deploy("second", &parts).await;
    assert_conflict(&place, &release, &["made anew"]).await;
}

#[tokio::test]
async fn an_adopted_object_is_its_owners_again() {
    let place = Place::new("adopt").await;
    let path = place.config_map("x");
    let theirs = config_map("x", json!({ "a": "1", "b": "1" }));
    let collection = format!("{}?fieldManager=kubectl", path.trim_end_matches("/x"));
    place.other("POST", &collection, "application/json", &theirs).await.unwrap();
    let was = place.state(std::slice::from_ref(&path)).await;
    let mut part = apply(config_map("x", json!({ "a": "2", "c": "1" })));
    part.force = true;
    let release = place.deploy("first", &[part]).await;
    let adopted = place.get(&path).await.unwrap();
    assert_eq!(adopted["metadata"]["annotations"]["eve.dev/adopted"], "true");
    assert_eq!(release.undo_all().await, [Change::Update]);
    assert_eq!(place.state(&[path]).await, was);
}

#[tokio::test]
async fn what_somebody_made_while_the_run_went_on_loses_only_what_eve_added() {
    let place = Place::new("meanwhile").await;
    let path = place.config_map("x");
    let mut release = place.release("first", &[apply(config_map("x", json!({ "a": "1", "c": "1" })))]).await;
    let prepared = release.prepare(0).await.unwrap();
    let theirs = config_map("x", json!({ "a": "1", "b": "1" }));
    let collection = format!("{}?fieldManager=kubectl", path.trim_end_matches("/x"));
    place.other("POST", &collection, "application/json", &theirs).await.unwrap();
    let was = place.state(std::slice::from_ref(&path)).await;
    let (cx, _) = Told::context();
    let applied = release.executor.apply(&release.step(0), &prepared, &cx).await.unwrap();
    release.done.get_mut(&0).unwrap().1 = Some(applied);
    assert_eq!(release.undo_all().await, [Change::Update]);
    assert_eq!(place.state(&[path]).await, was);
    assert_eq!(release.undo_all().await, [Change::None], "it may be said once more");
}

/// Somebody makes an object between the look and the write of the first run, with these fields; and it is written.
async fn taken_over(place: &Place, part: Part, theirs: Value) -> Release {
    let path = place.config_map("x");
    let mut release = place.release("first", &[part]).await;
    let prepared = release.prepare(0).await.unwrap();
    let collection = format!("{}?fieldManager=kubectl", path.trim_end_matches("/x"));
    place.other("POST", &collection, "application/json", &config_map("x", theirs)).await.unwrap();
    let (cx, _) = Told::context();
    let applied = release.executor.apply(&release.step(0), &prepared, &cx).await.unwrap();
    release.done.get_mut(&0).unwrap().1 = Some(applied);
    release
}

#[tokio::test]
async fn what_was_taken_by_force_from_somebody_who_made_it_meanwhile_is_not_dropped() {
    for (reply, why) in [("known", "by force"), ("lost", "made by somebody else meanwhile")] {
        let place = Place::new("forced").await;
        let mut part = apply(config_map("x", json!({ "a": "2", "c": "1" })));
        part.force = true;
        let mut release = taken_over(&place, part, json!({ "a": "1", "b": "1" })).await;
        if reply == "lost" {
            release.done.get_mut(&0).unwrap().1 = None;
        }
        assert_conflict(&place, &release, &[why]).await;
        let is = place.get(&place.config_map("x")).await.unwrap();
        assert_eq!(is["data"], json!({ "a": "2", "b": "1", "c": "1" }));
    }
    // Where there was nothing to take, nothing is lost.
    let place = Place::new("gentle").await;
    let mut part = apply(config_map("x", json!({ "a": "1", "c": "1" })));
    part.force = true;
    let release = taken_over(&place, part, json!({ "a": "1", "b": "1" })).await;
    assert_eq!(release.undo_all().await, [Change::Update]);
    let is = place.get(&place.config_map("x")).await.unwrap();
    assert_eq!(is["data"], json!({ "a": "1", "b": "1" }));
}

#[tokio::test]
async fn what_goes_while_it_is_given_up_is_not_made_again() {
    let place = Place::new("goes").await;
    let path = place.config_map("x");
    let part = apply(config_map("x", json!({ "a": "1", "c": "1" })));
    let mut release = taken_over(&place, part, json!({ "a": "1", "b": "1" })).await;
    let (client, admin) = (place.control_plane.eve_client().await, place.control_plane.admin_client().await);
    let gone = path.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (client, admin, path) = (client.clone(), admin.clone(), gone.clone());
        async move {
            if request.method() == http::Method::PATCH {
                // It may be gone already.
                let delete = Request::delete(&path).body(Vec::new()).unwrap();
                let _ = admin.request::<Value>(delete).await;
            }
            client.send(request).await.map_err(tower::BoxError::from)
        }
    });
    let client = eve_k8s::KubeClient::new(kube::Client::new(service, "default"));
    release.executor = KubeExecutor::builder(client).build();
    assert_eq!(release.undo(0).await.unwrap().change, Change::None);
    assert!(place.get(&path).await.is_none());
}

#[tokio::test]
async fn a_field_that_another_manager_scales_stays_as_it_is() {
    let place = Place::new("scaled").await;
    let path = place.path("apis/apps/v1", "deployments", "web");
    let web = |image: &str| {
        let mut web = deployment("web", 1, json!([container("web", image)]));
        web["spec"].as_object_mut().unwrap().remove("replicas");
        apply(web)
    };
    place.deploy("first", &[web("web:1")]).await;
    let scale = |replicas: u32| json!({ "spec": { "replicas": replicas } });
    place.merge(&format!("{path}/scale"), scale(2)).await;
    let release = place.deploy("second", &[web("web:2")]).await;
    place.merge(&format!("{path}/scale"), scale(3)).await;
    assert_eq!(release.undo_all().await, [Change::Update]);
    let is = place.get(&path).await.unwrap();
    assert_eq!(is["spec"]["replicas"], 3);
    assert_eq!(is["spec"]["template"]["spec"]["containers"][0]["image"], "web:1");
    place.assert_unchanged(&[web("web:1")]).await;
}

#[tokio::test]
async fn a_kept_object_of_the_run_is_not_deleted() {
    let place = Place::new("kept").await;
    let mut kept = config_map("x", json!({}));
    kept["metadata"]["annotations"] = json!({ "eve.dev/keep": "true" });
    let release = place.deploy("first", &[apply(kept)]).await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.kept", "{failure:?}");
}
