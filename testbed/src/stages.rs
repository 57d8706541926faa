//! What kwok is told: the stages in `stages/*.yaml` and where container logs are. It starts nothing.
//!
//! A pod chooses its fate by the annotation [`STAGE`] and the time that takes by [`DELAY`], both on the pod (template).

use std::path::Path;

/// Annotation on a pod (template) or a Service of type `LoadBalancer`; see the crate's documentation for the values.
pub const STAGE: &str = "testbed.eve.dev/stage";

/// Annotation that says how long the stage takes, as a Go duration such as `3s` or `250ms`.
pub const DELAY: &str = "testbed.eve.dev/delay";

const FILES: [&str; 5] = [
    include_str!("../stages/node.yaml"),
    include_str!("../stages/pod.yaml"),
    include_str!("../stages/pod-faults.yaml"),
    include_str!("../stages/service.yaml"),
    include_str!("../stages/volume.yaml"),
];

/// What a line `#definitions` in a template stands for.
const DEFINITIONS: &str = include_str!("../stages/definitions.tpl");

/// What words with `@` stand for in the jq expressions of the stages, in order of replacement.
const EXPRESSIONS: [(&str, &str); 3] = [
    // Does it take time until the containers start? Pods that end use their time running instead.
    (
        "@creatingFirst",
        r#"(.status.containerStatuses == null) and (@stage | IN("ready", "slow", "never-ready", "crash-loop")) and (@stage == "slow" or @delay != null)"#,
    ),
    (
        "@stage",
        r#"(.metadata.annotations["testbed.eve.dev/stage"] // (if [.metadata.ownerReferences[]?.kind] | any(. == "Job") then "complete" else "ready" end))"#,
    ),
    ("@delay", r#".metadata.annotations["testbed.eve.dev/delay"]"#),
];

/// The log of every container, in the form in which container runtimes write it (CRI).
pub(crate) const CONTAINER_LOG: &str = "\
2026-01-01T00:00:00.000000000Z stdout F starting
2026-01-01T00:00:00.100000000Z stdout F reading configuration from the environment
2026-01-01T00:00:00.200000000Z stderr F panic: cannot reach the database at db:5432: connection refused
";

/// The log of the previous instance of every container.
pub(crate) const PREVIOUS_LOG: &str = "\
2026-01-01T00:00:00.000000000Z stdout F starting
2026-01-01T00:00:00.200000000Z stderr F panic: cannot reach the database at db:5432: connection refused
";

/// The whole configuration file of kwok; `folder` holds the log files.
pub(crate) fn configuration(folder: &Path) -> String {
    let logs = serde_json::json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": { "name": "every-container" },
        "spec": { "logs": [{
            "logsFile": folder.join("container.log"),
            "previousLogsFile": folder.join("previous.log"),
            "follow": false,
        }] },
    });
    let mut text = expand(&FILES.join("\n---\n"));
    text.push_str("---\n");
    text.push_str(&logs.to_string());
    text.push('\n');
    text
}

/// Puts definitions and expressions in their places.
fn expand(stages: &str) -> String {
    let mut expanded = String::with_capacity(stages.len() * 8);
    for line in stages.lines() {
        let content = line.trim_start();
        let indent = line.get(..line.len() - content.len()).unwrap_or_default();
        if content == "#definitions" {
            for definition in DEFINITIONS.lines() {
                expanded.extend([indent, definition, "\n"]);
            }
        } else {
            expanded.extend([line, "\n"]);
        }
    }
    EXPRESSIONS.iter().fold(expanded, |text, (word, expression)| text.replace(word, expression))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_in_the_configuration() {
        let text = configuration(Path::new("/folder"));
        let is_comment = |line: &str| line.trim_start().starts_with("# ") || line.contains("/*");
        let is_left = |line: &&str| {
            line.trim() == "#definitions" || (line.contains('@') && !line.contains("%s@sha256"))
        };
        let left: Vec<_> = text.lines().filter(|line| !is_comment(line)).filter(is_left).collect();
        assert!(left.is_empty(), "{left:#?}");
        assert!(text.contains(r#"{{- define "address" }}"#));
    }
}
