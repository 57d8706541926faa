//! What is kept of an object so that a run can be undone: how it was before the run's first write, and what was applied.
//!
//! It is kept in a Secret of the plan's namespace: one for each object and run, with a name that follows from the two,
//! made before the first write and never changed. It is sealed with a key that only the undo token has, compressed, carries labels of its own (it is no part of the plan),
//! and says when it may be removed. This file makes and reads it; who keeps and removes it is the executor.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use eve_core::ids::RunId;
use eve_core::secret::HashKey;
use eve_core::time::Timestamp;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::Location;
use crate::labels;

/// How long a snapshot is kept at least, unless newer runs of its plan make it useless.
pub(crate) const LIFE: Duration = Duration::from_hours(7 * 24);
/// Of how many earlier runs of a plan snapshots are kept.
pub(crate) const RUNS_MAX: usize = 2;
/// The most bytes of all values of a Secret (`MaxSecretSize`, API reference of Secret).
pub(crate) const BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of what a snapshot unpacks to: two objects as large as etcd takes them, many times over.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The key of the Secret under which it stands.
const KEY: &str = "snapshot";
/// The key of the Secret under which its seal stands.
const SEAL: &str = "seal";
/// The form of what is packed.
const VERSION: u32 = 1;
/// The type of the Secret.
const TYPE: &str = "eve.dev/snapshot";
/// How many bytes of a SHA-256 a name keeps: enough that no two objects meet by chance.
const NAME_BYTES: usize = 16;

/// How an object was, and what was applied to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    /// `None` where it was not there.
    pub(crate) before: Option<Value>,
    /// `None` where it was to be deleted.
    pub(crate) intent: Option<Value>,
}

/// What is packed. Says all of it in so many words: what is not said is damage.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Packed {
    version: u32,
    before: Before,
    intent: Intent,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Before {
    Absent,
    There(Value),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Intent {
    Delete,
    Apply(Value),
}

/// The key that seals the snapshots of a run: whoever writes Secrets in the namespace does not have it. In hexadecimal
/// digits; stands in undo tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SealKey(String);

impl SealKey {
    /// Bytes of a key: enough that nobody finds it by trying.
    const BYTES: usize = 16;

    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; Self::BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))))
    }

    /// The seal of what stands under this name.
    fn seal(&self, name: &str, packed: &[u8]) -> String {
        let key: [u8; HashKey::BYTES] = Sha256::digest(&self.0).into();
        HashKey::new(&key).hash([b"eve.snapshot.v1", name.as_bytes(), packed]).as_str().to_owned()
    }
}

/// A snapshot cannot be kept, or not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("compressed it has {bytes} bytes, and a Secret holds at most {BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("it cannot be packed or read")]
    Damaged,
    #[error("the run has not written it, or somebody has changed it since")]
    Foreign,
}

impl Snapshot {
    /// As a Secret that stands at `place`.
    ///
    /// # Errors
    /// It is too large.
    pub(crate) fn secret(
        &self,
        (place, key): (&Location, &SealKey),
        (plan, run): (&str, &RunId),
        of: &Location,
        now: Timestamp,
    ) -> Result<Value, SnapshotError> {
        let packed = self.pack()?;
        let namespace = place.namespace.as_ref().map(crate::path::PathSegment::as_str);
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "type": TYPE, "immutable": true,
            "metadata": {
                "name": place.name.as_str(), "namespace": namespace,
                "labels": {
                    (labels::MANAGED_BY): labels::FIELD_MANAGER,
                    (labels::SNAPSHOT_OF): labels::value(plan),
                    (labels::RUN): labels::value(run.as_str()),
                },
                "annotations": { (labels::OBJECT): of.to_string(), (labels::EXPIRES): rfc3339(now.plus(LIFE)) },
            },
            "data": { KEY: BASE64.encode(&packed), SEAL: BASE64.encode(key.seal(place.name.as_str(), &packed)) },
        }))
    }

    fn pack(&self) -> Result<Vec<u8>, SnapshotError> {
        let whole = Packed {
            version: VERSION,
            before: self.before.clone().map_or(Before::Absent, Before::There),
            intent: self.intent.clone().map_or(Intent::Delete, Intent::Apply),
        };
        let text = serde_json::to_vec(&whole).map_err(|_| SnapshotError::Damaged)?;
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&text).map_err(|_| SnapshotError::Damaged)?;
        let packed = encoder.finish().map_err(|_| SnapshotError::Damaged)?;
        let bytes = packed.len();
        if bytes > BYTES_MAX { Err(SnapshotError::TooLarge { bytes }) } else { Ok(packed) }
    }

    /// From the Secret of this name.
    ///
    /// # Errors
    /// It is none of ours, or damaged.
    pub(crate) fn read(secret: &Value, name: &str, key: &SealKey) -> Result<Self, SnapshotError> {
        let data = |key: &str| {
            let data = secret.pointer("/data").and_then(|data| data.get(key)).and_then(Value::as_str);
            data.and_then(|data| BASE64.decode(data).ok())
        };
        let packed = data(KEY).ok_or(SnapshotError::Foreign)?;
        if data(SEAL).is_none_or(|seal| seal != key.seal(name, &packed).as_bytes()) {
            return Err(SnapshotError::Foreign);
        }
        Self::unpack(&packed)
    }

    fn unpack(packed: &[u8]) -> Result<Self, SnapshotError> {
        let mut text = Vec::new();
        let unpacked = ZlibDecoder::new(packed).take(UNPACKED_BYTES_MAX).read_to_end(&mut text);
        unpacked.map_err(|_| SnapshotError::Damaged)?;
        let whole: Packed = serde_json::from_slice(&text).map_err(|_| SnapshotError::Damaged)?;
        if whole.version != VERSION {
            return Err(SnapshotError::Damaged);
        }
        let before = match whole.before {
            Before::Absent => None,
            Before::There(object) => Some(object),
        };
        let intent = match whole.intent {
            Intent::Delete => None,
            Intent::Apply(object) => Some(object),
        };
        Ok(Self { before, intent })
    }
}

/// The name of the snapshot of an object for a run: follows from the two.
pub(crate) fn name(run: &RunId, of: &Location) -> String {
    let namespace = of.namespace.as_ref().map_or("", crate::path::PathSegment::as_str);
    let mut hash = Sha256::new();
    for part in [run.as_str(), of.resource.group(), &of.resource.kind, namespace, of.name.as_str()] {
        hash.update(format!("{}:{part}", part.len()));
    }
    let digest = hash.finalize();
    digest.iter().take(NAME_BYTES).fold("eve-snapshot-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// What is to be known of a Secret to tell whether it is still needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The value of the label.
    pub(crate) run: String,
    /// RFC 3339, of one length: the order of the texts is that of the times.
    pub(crate) created: String,
    pub(crate) expires: String,
}

impl Kept {
    pub(crate) fn read(secret: &Value) -> Option<Self> {
        let text = |object: Option<&Value>| object?.as_str().map(str::to_owned);
        Some(Self {
            run: text(secret.pointer("/metadata/labels")?.get(labels::RUN))?,
            created: text(secret.pointer("/metadata/creationTimestamp"))?,
            expires: text(secret.pointer("/metadata/annotations")?.get(labels::EXPIRES)).unwrap_or_default(),
        })
    }
}

/// The runs, as labels name them, whose snapshots are not needed any more while the run `current` goes on: those that have
/// expired, and all but the newest [`RUNS_MAX`] others.
pub(crate) fn useless(kept: &[Kept], current: &RunId, now: Timestamp) -> Vec<String> {
    let current = labels::value(current.as_str());
    let now = rfc3339(now);
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for snapshot in kept.iter().filter(|snapshot| snapshot.run != current) {
        match runs.iter_mut().find(|(_, run)| *run == snapshot.run) {
            Some((newest, _)) => *newest = (*newest).max(snapshot.created.as_str()),
            None => runs.push((&snapshot.created, &snapshot.run)),
        }
    }
    runs.sort_unstable_by(|one, other| other.cmp(one));
    let expired = |run: &str| kept.iter().all(|snapshot| snapshot.run != run || snapshot.expires < now);
    let all = runs.iter().enumerate();
    all.filter(|(place, (_, run))| *place >= RUNS_MAX || expired(run))
        .map(|(_, (_, run))| (*run).to_owned())
        .collect()
}

/// RFC 3339 in UTC, in seconds, as the API server writes times. Beyond the year 9999 it is the last that can be written.
fn rfc3339(at: Timestamp) -> String {
    let text = at.to_rfc3339().unwrap_or_else(|| "9999-12-31T23:59:59.999999Z".to_owned());
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    format!("{seconds}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Resource;
    use crate::path::PathSegment;

    fn place(name: &str) -> Location {
        let namespace = PathSegment::namespace("shop").ok();
        Location {
            resource: Resource::secrets().unwrap().into(),
            namespace,
            name: PathSegment::name(name).unwrap(),
        }
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_kept() {
        let before = json!({ "data": { "password": "aHVudGVyMg==" } });
        let snapshot = Snapshot { before: Some(before), intent: None };
        let (run, place, key) = (RunId::new("r"), place("s"), SealKey("k".to_owned()));
        let of = ("shop", &run);
        let secret = snapshot.secret((&place, &key), of, &place, Timestamp::from_micros(0)).unwrap();
        assert_eq!(Snapshot::read(&secret, "s", &key), Ok(snapshot));
        assert!(
            secret["metadata"]["labels"].get(labels::PLAN).is_none(),
            "it would be taken for a part of the plan"
        );
        assert_eq!(secret["metadata"]["annotations"][labels::EXPIRES], "1970-01-08T00:00:00Z");
    }

    #[test]
    fn only_what_the_run_has_sealed_under_this_name_is_read() {
        let snapshot = Snapshot { before: None, intent: Some(json!({})) };
        let (run, place, key) = (RunId::new("r"), place("s"), SealKey::random().unwrap());
        let secret =
            snapshot.secret((&place, &key), ("shop", &run), &place, Timestamp::from_micros(0)).unwrap();
        assert_eq!(Snapshot::read(&secret, "other", &key), Err(SnapshotError::Foreign));
        assert_eq!(Snapshot::read(&secret, "s", &SealKey::random().unwrap()), Err(SnapshotError::Foreign));
        for data in [json!({}), json!({ KEY: "eA==" }), json!({ KEY: "eA==", SEAL: secret["data"][SEAL] })] {
            let forged = json!({ "data": data });
            assert_eq!(Snapshot::read(&forged, "s", &key), Err(SnapshotError::Foreign), "{forged}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_taken_for_absence() {
        let pack = |text: &str| {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let absent = r#"{"version":1,"before":"absent","intent":"delete"}"#;
        assert_eq!(Snapshot::unpack(&pack(absent)), Ok(Snapshot { before: None, intent: None }));
        for text in [
            "{}",
            r#"{"before":null,"intent":null}"#,
            r#"{"version":1,"before":"absent"}"#,
            &absent.replace('1', "2"),
        ] {
            assert_eq!(Snapshot::unpack(&pack(text)), Err(SnapshotError::Damaged), "{text}");
        }
    }

    #[test]
    fn what_no_secret_can_hold_is_refused_before_it_is_sent() {
        // Digits of a linear congruential generator: nothing that can be compressed much.
        let mut state = 1_u64;
        let noise: String = (0..4 * BYTES_MAX)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + u8::try_from(state >> 60).unwrap())
            })
            .collect();
        let snapshot = Snapshot { before: Some(noise.into()), intent: None };
        assert!(matches!(snapshot.pack(), Err(SnapshotError::TooLarge { bytes }) if bytes > BYTES_MAX));
    }

    #[test]
    fn names_follow_from_run_and_object() {
        let of = |run: &str, object: &str| name(&RunId::new(run), &place(object));
        assert_eq!(of("r", "x"), of("r", "x"));
        assert_ne!(of("r", "x"), of("s", "x"));
        assert_ne!(of("r", "x"), of("r", "y"));
        assert_eq!(of("r", "x").len(), "eve-snapshot-".len() + 32);
    }

    #[test]
    fn snapshots_of_expired_and_of_older_runs_are_useless() {
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        assert_eq!(rfc3339(now), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp::from_micros(1_709_164_800_000_000)), "2024-02-29T00:00:00Z");
        let kept = |run: &str, day: u32, expires: &str| Kept {
            run: run.to_owned(),
            created: format!("2025-12-{day:02}T00:00:00Z"),
            expires: expires.to_owned(),
        };
        let (later, past) = ("2026-01-07T00:00:00Z", "2025-12-31T00:00:00Z");
        let all = [
            kept("me", 1, past),
            kept("c", 30, later),
            kept("a", 10, later),
            kept("b", 20, later),
            kept("a", 11, later),
        ];
        assert_eq!(useless(&all, &RunId::new("me"), now), ["a"]);
        let all = [kept("a", 20, past), kept("b", 30, later), kept("b", 29, past)];
        assert_eq!(useless(&all, &RunId::new("me"), now), ["a"]);
    }
}
