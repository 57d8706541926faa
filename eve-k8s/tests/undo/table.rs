//! One release over another, undone.

use Change::{Create, Delete, None, Update};

use super::*;

#[tokio::test]
async fn everything_is_as_before_and_the_plan_before_writes_nothing() {
    let place = Place::new("undo").await;
    let both = json!([container("web", "web:1"), container("log", "log:1")]);
    let before = [
        apply(config_map("settings", json!({ "kept": "1", "lost": "x" }))),
        apply(deployment("web", 2, both)),
        apply(secret("password", "first")),
        apply(config_map("old", json!({ "a": "1" }))),
        apply(config_map("same", json!({ "a": "1" }))),
        apply(config_map("shared", json!({ "ours": "1" }))),
    ];
    place.deploy("first", &before).await;
    place.merge(&place.config_map("shared"), json!({ "data": { "theirs": "1" } })).await;
    let names = ["settings", "old", "same", "shared", "new", "newer", "newest"];
    let mut paths: Vec<String> = names.map(|name| place.config_map(name)).into();
    paths.push(place.path("apis/apps/v1", "deployments", "web"));
    paths.push(place.path("api/v1", "secrets", "password"));
    let was = place.state(&paths).await;

    let next = [
        apply(config_map("settings", json!({ "kept": "2", "added": "y" }))),
        apply(deployment("web", 2, json!([container("web", "web:2"), container("side", "side:1")]))),
        apply(secret("password", "second")),
        delete(config_map("old", json!({}))),
        apply(config_map("same", json!({ "a": "1" }))),
        apply(config_map("shared", json!({ "ours": "2" }))),
        apply(config_map("new", json!({ "a": "1" }))),
        apply(secret("newer", "third")),
        apply(config_map("newest", json!({}))),
    ];
    let mark = place.control_plane.audit().mark().await;
    let mut release = place.release("second", &next).await;
    assert_eq!(
        release.apply_all().await,
        [Update, Update, Update, Delete, None, Update, Create, Create, Create]
    );
    assert_eq!(place.snapshots().await.len(), 5);
    assert_eq!(
        release.undo_all().await,
        [Update, Update, Update, Create, None, Update, Delete, Delete, Delete]
    );
    let entries = place.since(mark).await;
    let untouched = entries.writes().filter(|entry| entry.uri.contains("/configmaps/same"));
    assert!(untouched.is_empty(), "{untouched:?}");
    let is = place.state(&paths).await;
    for (path, was) in &was {
        assert_eq!(&is[path], was, "{path}");
    }
    place.assert_unchanged(&before).await;
    // Said once more, it has nothing to do.
    let mark = place.control_plane.audit().mark().await;
    assert!(release.undo_all().await.iter().all(|change| *change == None));
    let entries = place.since(mark).await;
    assert!(entries.writes().is_empty(), "{entries:?}");
}
