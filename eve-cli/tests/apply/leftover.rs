//! What a plan once made and its input does not name any more: told, never deleted.

use eve_testbed::ControlPlane;
use serde_json::json;

use super::delete::{config_map, exists};
use super::eve;

#[tokio::test]
async fn what_left_the_input_stays_and_is_told_without_a_further_list() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("leftover").await;
    let namespace = namespace.name();
    let args = ["-n", namespace, "-f", "-"];
    let run = async |verb: &[&str], input: &str| {
        let ended = eve(control_plane, &[verb, &args].concat(), input).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended
    };
    let (now, old) = (config_map("now", ""), config_map("old", ""));
    let kept = config_map("kept", "eve.dev/keep: 'true'");
    let first = run(&["apply"], &[now.as_str(), &old, &kept].concat()).await;
    assert!(!first.out.contains("left over"), "{}", first.out);

    let mark = control_plane.audit().mark().await;
    let second = run(&["apply"], &now).await;
    let told = format!(
        "left over: 1 object of this plan in the cluster and not in the input: ConfigMap {namespace}/old;"
    );
    assert!(second.out.contains(&told), "{}", second.out);
    let requests = control_plane.audit().settle().await.since(mark).by_user("eve").in_namespace(namespace);
    let reads: Vec<&str> = requests.iter().map(|entry| entry.verb.as_str()).collect();
    assert_eq!(reads, ["list"], "{requests:?}");

    let left = json!([{ "kind": "ConfigMap", "namespace": namespace, "name": "old" }]);
    for verb in [&["apply", "-o", "json"][..], &["diff", "-o", "json"]] {
        let last = run(verb, &now).await.records().pop().unwrap();
        assert_eq!(last["notInInput"], left, "{verb:?}");
    }
    let diff = run(&["diff"], &now).await;
    assert!(
        diff.out.contains(&format!("ConfigMap {namespace}/old  is not in the input, and stays")),
        "{}",
        diff.out
    );

    run(&["delete"], &old).await;
    assert!(!exists(control_plane, &format!("/api/v1/namespaces/{namespace}/configmaps/old")).await);
    let last = run(&["apply"], &now).await;
    assert!(!last.out.contains("left over"), "{}", last.out);
}
