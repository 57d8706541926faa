//! Vault's audit log: who asked for what. Vault writes a line before it answers, so whoever has an answer finds its line.

use std::fs;

use serde::Deserialize;
use serde_json::Value;

use super::Vault;
use crate::error::{TestbedError, give_up};

/// One answered request, as the audit log has it. Tokens and values stand there only as hashes, and not at all here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultEntry {
    /// `read`, `update`, `list`, …; a login is an `update`.
    pub operation: String,
    /// The path without `v1/`, such as `auth/kubernetes/login`.
    pub path: String,
    /// Who asked, by the name that Vault shows: `root`, `approle`, `kubernetes-shop-eve`; empty without a token.
    pub who: String,
    /// What Vault refused it for; empty if it did not.
    pub error: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    request: Request,
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Request {
    operation: String,
    path: String,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    display_name: String,
}

impl Vault {
    /// Every request that was answered before this call, in the order of the answers.
    ///
    /// # Panics
    /// With the reason if the log cannot be read.
    pub fn audit(&self) -> Vec<VaultEntry> {
        match self.try_audit() {
            Ok(entries) => entries,
            Err(error) => give_up("the audit log of Vault cannot be read", &error.chain()),
        }
    }

    fn try_audit(&self) -> Result<Vec<VaultEntry>, TestbedError> {
        let path = self.audit_log_path();
        let act = || format!("read {}", path.display());
        let text = fs::read_to_string(&path).map_err(TestbedError::io(act()))?;
        let mut entries = Vec::new();
        // What follows the last line break is still being written.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Line = serde_json::from_str(line)
                .map_err(|error| TestbedError::io(act())(std::io::Error::other(error)))?;
            if line.kind == "response" {
                entries.push(line.into());
            }
        }
        Ok(entries)
    }
}

impl From<Line> for VaultEntry {
    fn from(line: Line) -> Self {
        Self {
            operation: line.request.operation,
            path: line.request.path,
            who: line.auth.map(|auth| auth.display_name).unwrap_or_default(),
            error: line.error,
        }
    }
}

/// The text at `pointer`, or nothing.
pub(super) fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
