//! Which engine a path belongs to: asked once for each mount, then known for the run.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use crate::client::{Client, Request, Token, refusal};
use crate::error::VaultError;
use crate::place::VaultPath;

/// An engine for keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kv {
    V1,
    V2,
}

/// A mount, and what it is; `None` if it is no engine for keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) path: VaultPath,
    kv: Option<Kv>,
}

impl Mount {
    pub(crate) fn kv(&self) -> Result<Kv, VaultError> {
        self.kv.ok_or_else(|| VaultError::NotKv { mount: self.path.as_str().to_owned() })
    }
}

/// The mounts that are known. Vault lets none be below another, so that a path belongs to one at most.
#[derive(Default)]
pub(crate) struct Mounts(Mutex<Vec<Mount>>);

impl Mounts {
    pub(crate) fn of(&self, path: &VaultPath) -> Option<Mount> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|mount| path.below(&mount.path).is_some()).cloned()
    }

    /// Asks which mount the path belongs to, if that is not known.
    pub(crate) async fn learn(
        &self,
        client: &Client,
        token: &Token,
        path: &VaultPath,
    ) -> Result<(), VaultError> {
        if self.of(path).is_some() {
            return Ok(());
        }
        let asked = format!("sys/internal/ui/mounts/{}", path.encoded());
        let answer = client.ask(Request::get(asked, token)).await?;
        let mount = match answer.status {
            200 => mount(answer.body.json()?)?,
            403 | 404 => return Err(VaultError::Denied { path: path.as_str().to_owned() }),
            status => return Err(refusal(status)),
        };
        if path.below(&mount.path).is_none() {
            return Err(VaultError::NotJson { reason: "it is about another mount" });
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(mount);
        Ok(())
    }
}

#[derive(Deserialize)]
struct MountAnswer {
    data: MountData,
}

#[derive(Deserialize)]
struct MountData {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    options: Option<MountOptions>,
}

#[derive(Deserialize)]
struct MountOptions {
    version: Option<String>,
}

fn mount(answer: MountAnswer) -> Result<Mount, VaultError> {
    let MountData { path, kind, options } = answer.data;
    let path = VaultPath::parse(path.trim_end_matches('/'))
        .map_err(|_| VaultError::NotJson { reason: "its mount is no path" })?;
    let version = options.and_then(|options| options.version);
    let kv = match (kind.as_str(), version.as_deref()) {
        ("kv" | "generic", None | Some("1")) => Some(Kv::V1),
        ("kv", Some("2")) => Some(Kv::V2),
        _ => None,
    };
    Ok(Mount { path, kv })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Body;

    #[test]
    fn a_mount_is_version_1_or_2_or_something_else() {
        let of = |json: &str| mount(Body::from(json).json().unwrap()).unwrap().kv;
        let cases = [
            (r#"{"data":{"path":"a/","type":"kv","options":{"version":"2"}}}"#, Some(Kv::V2)),
            (r#"{"data":{"path":"a/","type":"kv","options":{"version":"1"}}}"#, Some(Kv::V1)),
            (r#"{"data":{"path":"a/","type":"kv","options":{}}}"#, Some(Kv::V1)),
            (r#"{"data":{"path":"a/","type":"kv","options":null}}"#, Some(Kv::V1)),
            (r#"{"data":{"path":"a/","type":"generic","options":null}}"#, Some(Kv::V1)),
            (r#"{"data":{"path":"a/","type":"kv","options":{"version":"3"}}}"#, None),
            (r#"{"data":{"path":"a/","type":"transit","options":null}}"#, None),
        ];
        for (json, expected) in cases {
            assert_eq!(of(json), expected, "{json}");
        }
    }
}
