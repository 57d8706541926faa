//! The objects of the bench, the same for every contender. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Bytes of the one value that each `ConfigMap` holds: more than a kilobyte, as settings usually are.
const VALUE_BYTES: usize = 1200;

/// What a run consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Workload {
    /// Deployments, each after the one before is available.
    Deployments,
    /// `ConfigMap`s, each after the one before.
    Chain,
    /// `ConfigMap`s without edges.
    Fan,
}

impl Workload {
    /// The kind of its objects.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Deployments => "Deployment",
            Self::Chain | Self::Fan => "ConfigMap",
        }
    }

    /// The plural of the kind, as URLs have it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Chain | Self::Fan => "configmaps",
        }
    }

    /// The name of the object with this index, counted from 0. Names sort as indices do.
    pub fn name(self, index: usize) -> String {
        format!("hop-{index:04}")
    }

    /// The index of a name that [`Workload::name`] made.
    pub fn index(self, name: &str) -> Option<usize> {
        name.strip_prefix("hop-")?.parse().ok()
    }

    /// The object with this index, without a namespace. In chains an annotation names the one before, for eve.
    pub fn object(self, index: usize) -> Value {
        let name = self.name(index);
        let before = index.checked_sub(1).map(|before| format!("{}/{}", self.kind(), self.name(before)));
        let metadata = match (self, before) {
            (Self::Deployments | Self::Chain, Some(before)) => {
                json!({ "name": name, "annotations": { "eve.dev/depends-on": before } })
            }
            _ => json!({ "name": name }),
        };
        match self {
            Self::Deployments => json!({
                "apiVersion": "apps/v1", "kind": self.kind(), "metadata": metadata,
                "spec": {
                    "replicas": 1,
                    "selector": { "matchLabels": { "app": name } },
                    "template": {
                        "metadata": { "labels": { "app": name } },
                        "spec": { "containers": [{ "name": "main", "image": "registry.example.com/main:1" }] },
                    },
                },
            }),
            Self::Chain | Self::Fan => json!({
                "apiVersion": "v1", "kind": self.kind(), "metadata": metadata, "data": { "settings": value(index) },
            }),
        }
    }

    /// The first `count` objects as one text that eve and kubectl read.
    pub fn text(self, count: usize) -> String {
        (0..count).fold(String::new(), |mut text, index| {
            let _ = writeln!(text, "---\n{:#}", self.object(index));
            text
        })
    }
}

/// A text that looks random, compresses badly, and is the same in every run.
fn value(index: usize) -> String {
    let mut state = index as u64 + 1;
    let letter = |_| {
        // Knuth's MMIX generator; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or_default())
    };
    (0..VALUE_BYTES).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_indices_and_lead_back_to_them() {
        for workload in [Workload::Deployments, Workload::Chain, Workload::Fan] {
            let names: Vec<_> = (0..1200).map(|index| workload.name(index)).collect();
            assert!(names.is_sorted());
            assert_eq!(workload.index(&names[1199]), Some(1199));
        }
    }

    #[test]
    fn objects_of_a_chain_name_the_one_before_and_others_nobody() {
        let before = |workload: Workload, index| {
            let annotations = &workload.object(index)["metadata"]["annotations"];
            annotations["eve.dev/depends-on"].as_str().map(str::to_owned)
        };
        assert_eq!(before(Workload::Deployments, 2).as_deref(), Some("Deployment/hop-0001"));
        assert_eq!(before(Workload::Chain, 1).as_deref(), Some("ConfigMap/hop-0000"));
        assert_eq!(before(Workload::Chain, 0), None);
        assert_eq!(before(Workload::Fan, 1), None);
    }
}
