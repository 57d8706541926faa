//! Everything that comes out of eve, sink by sink, and the canaries that may be in none of it.

use std::path::{Path, PathBuf};

use eve_core::testing::canary::{Canary, CanaryScan};
use serde_json::Value;

/// What came out so far.
pub(super) struct Watch(CanaryScan);

impl Watch {
    pub(super) fn over(canaries: impl IntoIterator<Item = Canary>) -> Self {
        Self(CanaryScan::new(canaries))
    }

    pub(super) fn saw(&mut self, sink: impl Into<String>, content: impl AsRef<[u8]>) {
        self.0.sink(sink, content);
    }

    /// Every file below this folder: journals with what belongs to them, keys, locks.
    pub(super) fn folder(&mut self, folder: &Path) {
        let files = files(folder);
        assert!(!files.is_empty(), "{} has no files", folder.display());
        for file in files {
            let name = format!("the file {}", file.file_name().unwrap().to_string_lossy());
            // A command that ends meanwhile removes its files.
            if let Ok(content) = std::fs::read(&file) {
                self.saw(name, content);
            }
        }
    }

    /// An object of the cluster; of a Secret what is not its values.
    pub(super) fn object(&mut self, kind: &str, object: &Value) {
        let mut object = object.clone();
        if kind == "secrets" {
            let fields = object.as_object_mut().unwrap();
            fields.remove("data");
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.saw(format!("{kind}/{name}"), object.to_string());
    }

    /// The sinks in which something was found.
    pub(super) fn leaks(self) -> Vec<String> {
        self.0.leaks().iter().map(|leak| leak.sink.clone()).collect()
    }

    #[track_caller]
    pub(super) fn assert_clean(self) {
        self.0.assert_clean();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
