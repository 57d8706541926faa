//! The binary from outside, without a cluster: what goes in, what comes out, how it exits.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `eve` in an environment of its own: no kubeconfig, no colours.
fn eve(args: &[&str], stdin: &str) -> Ended {
    eve_in(args, stdin, &[])
}

fn eve_in(args: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eve"))
        .args(args)
        .env_clear()
        .env("HOME", folder.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ended {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// A diamond with an edge that others imply, and one that only waits for the writes.
const DIAMOND: &str = "
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: shop, namespace: shop }
spec:
  components:
    - name: db
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: db } }] }
    - name: left
      dependsOn: [db]
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: left } }] }
    - name: right
      dependsOn: [{ component: db, until: applied }]
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: right } }] }
    - name: web
      dependsOn: [left, right, db]
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: web } }] }
";

#[test]
fn version_names_the_version() {
    let ended = eve(&["version"], "");
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.starts_with(concat!("eve ", env!("CARGO_PKG_VERSION"))), "{}", ended.out);
    let json: serde_json::Value = serde_json::from_str(&eve(&["version", "-o", "json"], "").out).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = eve(&["completion", shell], "");
        assert_eq!(ended.code, Some(0), "{shell}");
        assert!(ended.out.contains("create-namespace"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_does_nothing() {
    for args in [
        &["apply"][..],
        &["apply", "-f", "x", "--timeout", "5"],
        &["apply", "-f", "x", "--timeout", "0s"],
        &["apply", "-f", "x", "--concurrency", "0"],
        &["apply", "-f", "x", "--as-group", "g"],
        &["apply", "-f", "x", "--allow-cluster-scoped", ""],
        &["apply", "-f", "x", "-q", "-v"],
        &["completion", "csh"],
        &["deploy"],
        &[],
    ] {
        let ended = eve(args, "");
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}: {}", ended.err);
        assert!(!ended.err.is_empty(), "{args:?}");
    }
}

#[test]
fn help_of_apply_shows_the_exit_codes() {
    let ended = eve(&["apply", "--help"], "");
    assert_eq!(ended.code, Some(0));
    for (code, _, name, _) in eve_cli::exit::TABLE {
        assert!(ended.out.contains(&format!("{code}  {name}")), "{code} {name}: {}", ended.out);
    }
}

#[test]
fn a_file_that_does_not_exist_is_refused_by_name() {
    let ended = eve(&["validate", "-f", "nowhere.yaml"], "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(5), ""));
    assert_eq!(ended.err, "error: cannot read `nowhere.yaml`: no such file or folder\n");
}

#[test]
fn colours_follow_the_flags_and_the_environment() {
    let escaped = |args: &[&str], variables: &[(&str, &str)]| {
        let mut all = vec!["validate", "-f", "nowhere.yaml"];
        all.extend(args);
        eve_in(&all, "", variables).err.contains('\u{1b}')
    };
    assert!(!escaped(&[], &[]), "a pipe gets no colours");
    assert!(escaped(&["--color=always"], &[]));
    assert!(escaped(&["--color=always"], &[("NO_COLOR", "1")]), "a flag is stronger than the environment");
    assert!(escaped(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!escaped(&["--no-color"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!escaped(&["--color=never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn a_wrong_log_filter_is_a_usage_error() {
    let ended = eve_in(&["version"], "", &[("EVE_LOG", "eve=loud")]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("EVE_LOG"), "{}", ended.err);
}

#[test]
fn a_good_plan_is_valid() {
    let ended = eve(&["validate", "-f", "-"], DIAMOND);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(ended.out, "valid: 4 components, 5 edges (plan shop, namespace shop)\n");
}

#[test]
fn what_apply_would_refuse_without_asking_a_cluster_is_not_valid() {
    let manifests = "{apiVersion: v1, kind: ConfigMap, metadata: {name: own}}\n---\n\
         {apiVersion: v1, kind: ConfigMap, metadata: {name: foreign, namespace: other}}\n---\n\
         {apiVersion: v1, kind: Namespace, metadata: {name: made}}\n---\n\
         {apiVersion: x.dev/v1, kind: Thing, metadata: {name: theirs, namespace: other}}\n---\n\
         {apiVersion: x.dev/v1, kind: Thing, metadata: {name: unheard}}\n";
    let args = ["validate", "-n", "shop", "-f", "-"];
    let refused = eve(&args, manifests);
    assert_eq!((refused.code, refused.out.as_str()), (Some(5), ""), "{}", refused.err);
    for part in [
        "ConfigMap `foreign` is for the namespace `other`",
        "Thing `theirs` is for the namespace `other`",
        "Namespace `made` is cluster-scoped",
        "--allow-namespace other",
        "--allow-cluster-scoped Namespace",
    ] {
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    assert_eq!(refused.err.matches("error[").count(), 3, "{}", refused.err);
    let allowed = ["--allow-namespace", "other", "--allow-cluster-scoped", "Namespace"];
    let ended = eve(&[&args[..], &allowed].concat(), manifests);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn every_problem_of_a_plan_is_shown_and_it_exits_with_5() {
    let bad = DIAMOND.replace("dependsOn: [db]", "dependsOn: [bd]").replace("name: right\n", "nam: right\n");
    for command in ["validate", "graph", "apply"] {
        let ended = eve(&[command, "-f", "-"], &bad);
        assert_eq!((ended.code, ended.out.as_str()), (Some(5), ""), "{command}: {}", ended.err);
        assert!(ended.err.contains("did you mean `name`"), "{command}: {}", ended.err);
    }
    let json = eve(&["apply", "-o", "json", "-f", "-"], &bad).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["type"], &json["exitCode"]), (&"error".into(), &5.into()));
    assert!(!json["problems"].as_array().unwrap().is_empty());
}

#[test]
fn another_namespace_than_the_plan_s_is_an_error() {
    let ended = eve(&["validate", "-n", "other", "-f", "-"], DIAMOND);
    assert_eq!(ended.code, Some(5), "{}", ended.err);
    assert!(ended.err.contains("other") && ended.err.contains("shop"), "{}", ended.err);
}

#[test]
fn a_graph_is_shown_in_every_form() {
    for form in ["text", "dot", "mermaid", "json"] {
        let ended = eve(&["graph", "-o", form, "-f", "-"], DIAMOND);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{form}");
        insta::assert_snapshot!(format!("graph_{form}"), ended.out);
    }
    insta::assert_snapshot!("graph_parts", eve(&["graph", "--parts", "-f", "-"], DIAMOND).out);
}

#[test]
fn objects_of_plain_manifests_are_shown_one_by_one_with_the_reason_of_every_edge() {
    let pod = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  annotations: {{ eve.dev/depends-on: secret/s }}\n\
             spec:\n  containers:\n    - name: c\n      image: d\n      envFrom:\n        - configMapRef: {{ name: a }}\n"
        )
    };
    let plain = |kind: &str, name: &str| {
        format!("---\n{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}}}}}\n")
    };
    let manifests = [
        pod("p"),
        pod("q"),
        plain("ConfigMap", "a"),
        plain("Secret", "s"),
        plain("LimitRange", "l"),
        plain("ResourceQuota", "r"),
    ]
    .concat();
    for form in ["text", "dot", "mermaid", "json"] {
        let ended = eve(&["graph", "-n", "shop", "-o", form, "-f", "-"], &manifests);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{form}");
        insta::assert_snapshot!(format!("graph_manifests_{form}"), ended.out);
    }
}

#[test]
fn an_inferred_edge_that_is_left_out_is_named() {
    let manifests = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {eve.dev/depends-on: pod/b}}}\n---\n\
         {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c, envFrom: [{configMapRef: {name: a}}]}]}}\n";
    let ended = eve(&["graph", "-n", "shop", "-f", "-"], manifests);
    insta::assert_snapshot!("graph_left_out", format!("{}\n{}", ended.out, ended.err));
}

#[test]
fn implied_edges_are_left_out_when_asked() {
    // `db` to `web` goes over `left` as well, which waits for as much; the edge over `right` alone would not do.
    let ended = eve(&["graph", "--reduce", "-f", "-"], DIAMOND);
    insta::assert_snapshot!("graph_reduced", ended.out);
    let kept = DIAMOND.replace("dependsOn: [db]", "dependsOn: [{ component: db, until: applied }]");
    let ended = eve(&["graph", "--reduce", "-f", "-"], &kept);
    assert!(ended.out.contains("web\n    after db: dependsOn"), "{}", ended.out);
}

#[test]
fn without_a_kubeconfig_apply_says_where_it_looked() {
    let ended = eve(&["apply", "-f", "-"], DIAMOND);
    assert_eq!((ended.code, ended.out.as_str()), (Some(6), ""));
    assert!(ended.err.contains("no kubeconfig found"), "{}", ended.err);
    assert!(ended.err.contains("hint:"), "{}", ended.err);
}

#[test]
fn a_warning_is_shown_unless_only_errors_are_wanted() {
    let odd = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a, uid: b }\n";
    let shown = eve(&["validate", "-n", "shop", "-f", "-"], odd);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.err.contains("object.server-field"), "{}", shown.err);
    let quiet = eve(&["validate", "-q", "-n", "shop", "-f", "-"], odd);
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    assert_eq!(quiet.out, shown.out);
}
