//! The outcome of a request as a file beside its plan.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::{Ending, Notice, Notifier, Receipt};

use super::files::{DONE, REJECTED, write};
use super::{blocking, names};

/// Writes each [`Notice`] as JSON, indented, to `done/REQUEST.outcome.json`, or to `rejected/…` where the request was refused. Written
/// again it is the same file.
#[derive(Clone, Debug)]
pub struct DirectoryNotifier {
    root: PathBuf,
}

impl DirectoryNotifier {
    /// Writes to the folders of this directory, and makes them where they are missing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl Notifier for DirectoryNotifier {
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure> {
        let folder = self.root.join(if notice.ending == Ending::Refused { REJECTED } else { DONE });
        let request = if notice.request.is_empty() { &notice.key } else { &notice.request };
        let name = names::outcome(request);
        let mut text = serde_json::to_vec_pretty(notice).map_err(|error| {
            Failure::misuse("directory.notice", format!("the notice is no JSON: {error}"))
        })?;
        text.push(b'\n');
        blocking(move || {
            fs::create_dir_all(&folder).map_err(|error| {
                Failure::transient("directory.io", format!("cannot create {}: {error}", folder.display()))
            })?;
            write(&folder, &name, &text)
        })
        .await?;
        Ok(Receipt::default())
    }
}
