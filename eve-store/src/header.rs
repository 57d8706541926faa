//! What a run file says about its run besides the log, and what is asked of it: stored with checksums, in names of their
//! own that stand here and nowhere else.

use std::path::PathBuf;

use eve_core::ids::RunId;
use eve_core::run::StopMode;
use eve_core::secret::KeyedHash;
use eve_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What is known of a run before its first record, and what resuming it needs. Holds no secret: a flag that takes one is
/// not among the arguments, and the digest of the plan is keyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHeader {
    /// The run; 1 to 128 letters, digits, `-`, `_` and `.`, because it names the file.
    #[serde(rename = "run")]
    pub run: RunId,
    /// The name of the plan.
    #[serde(rename = "plan")]
    pub plan: String,
    /// The namespace of the plan.
    #[serde(rename = "ns")]
    pub namespace: String,
    /// The cluster, in a form that is the same whatever the context is called: the address of its API server. Two runs
    /// of one plan are kept apart by it.
    #[serde(rename = "cluster")]
    pub cluster: String,
    /// The context of the kubeconfig; `None` where there was none to choose.
    #[serde(rename = "context", default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The kubeconfigs that were merged, in order of precedence, as absolute paths; empty in a pod.
    #[serde(rename = "kubeconfigs", default, skip_serializing_if = "Vec::is_empty")]
    pub kubeconfigs: Vec<PathBuf>,
    /// What the command does, for example `apply`.
    #[serde(rename = "verb")]
    pub verb: String,
    /// Where the plan was read, in order.
    #[serde(rename = "from", default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<RunSource>,
    /// The arguments of the command as they were given, without the program. What they name relative to a folder is
    /// among `sources` and `kubeconfigs`.
    #[serde(rename = "args", default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The digest of the plan: a resume with another one is refused.
    #[serde(rename = "digest")]
    pub digest: KeyedHash,
    /// The shape of the plan's graph, to show the run when its sources are gone; in the form of whoever opened the run.
    /// Holds no spec.
    #[serde(rename = "graph", default, skip_serializing_if = "String::is_empty")]
    pub graph: String,
    /// When the run was started.
    #[serde(rename = "at")]
    pub started_at: Timestamp,
    /// The version of the eve that started it.
    #[serde(rename = "eve")]
    pub eve_version: String,
}

/// Where a part of a plan was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunSource {
    /// A file or folder, as an absolute path.
    #[serde(rename = "path")]
    Path(PathBuf),
    /// The standard input, which cannot be read again: resuming needs the text anew.
    #[serde(rename = "stdin")]
    Stdin,
    /// What was installed under the plan's name.
    #[serde(rename = "installed")]
    Installed,
}

/// What another process asks of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// Its place among the requests of the run, from 1.
    pub number: u64,
    /// How the run is asked to end.
    pub mode: StopMode,
    /// When it was asked.
    pub at: Timestamp,
    /// Who asked, for people; for example `kim on build-7`.
    pub who: String,
}

/// The stored form of a request.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestForm {
    #[serde(rename = "mode")]
    mode: ModeWord,
    #[serde(rename = "at")]
    at: Timestamp,
    #[serde(rename = "who")]
    who: String,
}

#[derive(Serialize, Deserialize)]
enum ModeWord {
    #[serde(rename = "drain")]
    Drain,
    #[serde(rename = "now")]
    Now,
    #[serde(rename = "supersede")]
    Supersede,
    #[serde(rename = "rollback")]
    Rollback,
}

impl RunHeader {
    /// Fails for a path that is no UTF-8: it has no form in JSON.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("its header cannot be read: {error}"))
    }
}

impl StopRequest {
    pub(crate) fn encode(mode: StopMode, at: Timestamp, who: &str) -> Result<Vec<u8>, String> {
        let mode = match mode {
            StopMode::Drain => ModeWord::Drain,
            StopMode::Now => ModeWord::Now,
            StopMode::Supersede => ModeWord::Supersede,
            StopMode::Rollback => ModeWord::Rollback,
        };
        let form = RequestForm { mode, at, who: who.to_owned() };
        serde_json::to_vec(&form).map_err(|error| error.to_string())
    }

    pub(crate) fn decode(number: u64, bytes: &[u8]) -> Result<Self, String> {
        let form = serde_json::from_slice(bytes);
        let form: RequestForm = form.map_err(|error| format!("request {number} cannot be read: {error}"))?;
        let mode = match form.mode {
            ModeWord::Drain => StopMode::Drain,
            ModeWord::Now => StopMode::Now,
            ModeWord::Supersede => StopMode::Supersede,
            ModeWord::Rollback => StopMode::Rollback,
        };
        Ok(Self { number, mode, at: form.at, who: form.who })
    }
}

/// A checksum over what stands beside the log: what it is, of which run, under which number, the bytes.
pub(crate) fn sum(what: &str, run: &str, number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut sum = Sha256::new();
    for part in [what.as_bytes(), run.as_bytes()] {
        sum.update(part.len().to_le_bytes());
        sum.update(part);
    }
    sum.update(number.to_le_bytes());
    sum.update(bytes);
    sum.finalize().iter().take(16).copied().collect()
}
