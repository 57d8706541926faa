//! Reads one secret: a path at a version, with all its keys. Knows both versions of the engine.

use std::collections::BTreeMap;

use eve_core::secret::{SecretValue, SecretVersion};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Answer, Body};
use crate::client::{Client, Request, Token, refusal};
use crate::error::VaultError;
use crate::mounts::{Kv, Mount};
use crate::place::VaultPath;

/// A secret that was read: the answer as it came, from which values are taken one by one.
pub(crate) struct Secret {
    pub(crate) version: Option<SecretVersion>,
    path: VaultPath,
    kv: Kv,
    body: Body,
}

/// Keys and values of a secret, not yet decoded.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct AnswerV1<'a> {
    #[serde(borrow)]
    data: Fields<'a>,
}

#[derive(Deserialize)]
struct AnswerV2<'a> {
    #[serde(borrow)]
    data: DataV2<'a>,
}

#[derive(Deserialize)]
struct DataV2<'a> {
    #[serde(borrow)]
    data: Option<Fields<'a>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: SecretVersion,
    destroyed: bool,
}

/// Reads what is at `path`, which is below `mount`.
pub(crate) async fn read(
    client: &Client,
    token: &Token,
    mount: &Mount,
    path: &VaultPath,
    version: Option<SecretVersion>,
) -> Result<Secret, VaultError> {
    let kv = mount.kv()?;
    let asked = match (kv, path.below(&mount.path), version) {
        (Kv::V1, _, Some(version)) => {
            return Err(VaultError::NoVersions { mount: mount.path.as_str().to_owned(), version });
        }
        (Kv::V1, _, None) | (Kv::V2, None, _) => path.clone(),
        (Kv::V2, Some(rest), _) => mount.path.with("data").join(&rest),
    };
    let query = version.map_or_else(String::new, |version| format!("?version={version}"));
    let answer = client.ask(Request::get(asked.encoded() + &query, token)).await?;
    match answer.status {
        200 => Secret::from_answer(answer, kv, path, version),
        403 => Err(VaultError::Denied { path: asked.as_str().to_owned() }),
        404 => Err(missing(&answer, kv, path, version)),
        status => Err(refusal(status)),
    }
}

/// What a 404 means: nothing there, or a version that was deleted or destroyed, which comes with its metadata.
fn missing(answer: &Answer, kv: Kv, path: &VaultPath, wanted: Option<SecretVersion>) -> VaultError {
    let metadata = match kv {
        Kv::V1 => None,
        Kv::V2 => answer.body.json::<AnswerV2<'_>>().ok().map(|answer| answer.data.metadata),
    };
    let path = path.as_str().to_owned();
    match (metadata, wanted) {
        (Some(metadata), _) => gone(&metadata, path),
        (None, Some(version)) => VaultError::AbsentVersion { path, version },
        (None, None) => VaultError::AbsentPath { path },
    }
}

fn gone(metadata: &Metadata, path: String) -> VaultError {
    let version = metadata.version;
    if metadata.destroyed {
        VaultError::Destroyed { path, version }
    } else {
        VaultError::Deleted { path, version }
    }
}

impl Secret {
    fn from_answer(
        answer: Answer,
        kv: Kv,
        path: &VaultPath,
        wanted: Option<SecretVersion>,
    ) -> Result<Self, VaultError> {
        let body = answer.body;
        let version = match kv {
            Kv::V1 => body.json::<AnswerV1<'_>>().map(|_| None)?,
            Kv::V2 => {
                let AnswerV2 { data } = body.json()?;
                if data.data.is_none() {
                    return Err(gone(&data.metadata, path.as_str().to_owned()));
                }
                Some(data.metadata.version)
            }
        };
        // Never another version than the pinned one, whatever stands between here and Vault.
        if wanted.is_some() && wanted != version {
            return Err(VaultError::NotJson { reason: "it is about another version" });
        }
        Ok(Self { version, path: path.clone(), kv, body })
    }

    /// The value of a key: a text as it is, a number or boolean as it stands in JSON.
    pub(crate) fn value(&self, key: &str) -> Result<SecretValue, VaultError> {
        let fields = match self.kv {
            Kv::V1 => self.body.json::<AnswerV1<'_>>()?.data,
            Kv::V2 => self.body.json::<AnswerV2<'_>>()?.data.data.unwrap_or_default(),
        };
        let path = || self.path.as_str().to_owned();
        let raw =
            fields.get(key).ok_or_else(|| VaultError::AbsentKey { path: path(), key: key.to_owned() })?.get();
        let holds = match raw.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(raw)
                    .map_err(|_| VaultError::NotJson { reason: "one of its texts is none" })?;
                return Ok(SecretValue::new(text));
            }
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'n') | None => "null",
            Some(_) => return Ok(SecretValue::new(raw)),
        };
        Err(VaultError::NotText { path: path(), key: key.to_owned(), holds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> VaultPath {
        VaultPath::parse("kv/shop/db").unwrap()
    }

    fn secret(kv: Kv, json: &str, wanted: Option<u64>) -> Result<Secret, VaultError> {
        let wanted = wanted.and_then(SecretVersion::new);
        Secret::from_answer(Answer { status: 200, body: Body::from(json) }, kv, &path(), wanted)
    }

    #[test]
    fn values_are_texts_numbers_and_booleans_exactly_as_they_stand() {
        let json = r#"{"data":{"text":"a\"ä\u0000","empty":"","port":5432,"ratio":1.10,
            "large":123456789012345678901234567890,"on":true,"o":{"a":1},"l":[1],"n":null}}"#;
        let secret = secret(Kv::V1, json, None).unwrap();
        assert_eq!(secret.version, None);
        for (key, value) in [
            ("text", "a\"ä\0"),
            ("empty", ""),
            ("port", "5432"),
            ("ratio", "1.10"),
            ("large", "123456789012345678901234567890"),
            ("on", "true"),
        ] {
            assert_eq!(secret.value(key).unwrap().expose(), value);
        }
        for (key, what) in [("o", "an object"), ("l", "a list"), ("n", "null")] {
            let expected = VaultError::NotText { path: "kv/shop/db".into(), key: key.into(), holds: what };
            assert_eq!(secret.value(key).unwrap_err(), expected);
        }
        let absent = VaultError::AbsentKey { path: "kv/shop/db".into(), key: "x".into() };
        assert_eq!(secret.value("x").unwrap_err(), absent);
    }

    #[test]
    fn another_version_than_the_pinned_one_is_never_taken() {
        let json = r#"{"data":{"data":{"k":"new"},"metadata":{"version":4,"destroyed":false}}}"#;
        assert_eq!(secret(Kv::V2, json, Some(4)).unwrap().version, SecretVersion::new(4));
        let error = secret(Kv::V2, json, Some(3)).err();
        assert_eq!(error, Some(VaultError::NotJson { reason: "it is about another version" }));
    }
}
