//! What travels through a queue: which request, for which cluster, and what it asks for. Pure.
//!
//! ```json
//! {"version": 1, "requestId": "r-17", "cluster": "east", "sequence": 17,
//!  "plan": {"bucket": "plans", "key": "shop/17.yaml", "versionId": "…", "sha256": "…"}}
//! ```
//!
//! Instead of `plan` there is `inline` (the text of the plan) or `stop` (`{"requestId": "r-16", "mode": "now" | "drain"}`).
//! `versionId` may be left out, and so may `sha256` beside `inline`, and `sequence`: the number of a plan among those of its name
//! in its namespace, a whole number from 0 to 2⁶⁴ − 1.

use std::sync::Arc;

use eve_core::digest::Digest;
use eve_core::failure::Failure;
use eve_core::ports::Delivery;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::stop::{Field, STOP_FIELDS, Stop, no_request, object};

/// The version of messages that this eve reads.
pub(super) const MESSAGE_VERSION: u32 = 1;

/// A message that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) request: Arc<str>,
    pub(super) asks: Asks,
    /// The number of the plan, if its sender counts them.
    pub(super) sequence: Option<u64>,
}

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// To run the plan that lies there.
    Fetch(Location),
    /// To run this plan, whose digest is right.
    Inline(Arc<[u8]>),
    /// To stop another request.
    Stop(Stop),
}

/// Where a plan lies, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Location {
    pub(super) bucket: String,
    pub(super) key: String,
    #[serde(default)]
    pub(super) version_id: Option<String>,
    pub(super) sha256: Digest,
}

const DIGEST: &str = "the SHA-256 of the plan in 64 hexadecimal digits";

/// The fields of [`Location`].
const PLAN_FIELDS: &[Field] = &[
    Field::required("bucket", "a text, the bucket of S3", Value::is_string),
    Field::required("key", "a text, the key of the plan in its bucket", Value::is_string),
    Field::optional("versionId", "a text, the version of the object", Value::is_string),
    Field::required("sha256", DIGEST, is_digest),
];

/// The fields of a message: those of [`Written`].
const FIELDS: &[Field] = &[
    Field::required("version", "the number 1", |version| {
        version.as_u64().is_some_and(|number| number <= u32::MAX.into())
    }),
    Field::required("requestId", "a text, the same whenever the request is sent again", Value::is_string),
    Field::required("cluster", "a text, the name of the cluster that is meant", Value::is_string),
    Field::optional("plan", "a map that says where the plan is", Value::is_object).with(PLAN_FIELDS),
    Field::optional("inline", "a text, the plan itself", Value::is_string),
    Field::optional("sha256", DIGEST, is_digest),
    Field::optional("stop", "a map that says which request is to stop", Value::is_object).with(STOP_FIELDS),
    Field::optional("sequence", "a whole number from 0 to 18446744073709551615", Value::is_u64),
];

fn is_digest(value: &Value) -> bool {
    Digest::deserialize(value).is_ok()
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(rename = "version")]
    _version: u32,
    request_id: String,
    cluster: String,
    #[serde(default)]
    plan: Option<Location>,
    #[serde(default)]
    inline: Option<String>,
    #[serde(default)]
    sha256: Option<Digest>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default, deserialize_with = "number")]
    sequence: Option<u64>,
}

/// A number, where there is one: `null` is none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

/// Why a message can never be dealt with.
#[derive(Debug)]
pub(super) struct Unusable {
    /// Which request it is, where it says so.
    pub(super) request: Option<Arc<str>>,
    pub(super) failure: Failure,
}

impl Message {
    /// Reads a message meant for `cluster`.
    pub(super) fn read(text: &str, cluster: &str) -> Result<Self, Box<Unusable>> {
        // Whoever sent it is told by the name that it has there, whatever else is wrong.
        let unusable = |failure| Box::new(Unusable { request: request(text), failure });
        let versioned: Versioned = object(text.as_bytes(), FIELDS).map_err(unusable)?;
        if versioned.version != MESSAGE_VERSION {
            return Err(unusable(Failure::permanent(
                "queue.message.version",
                format!("the message is of version {}, this eve reads {MESSAGE_VERSION}", versioned.version),
            )));
        }
        let written: Written = object(text.as_bytes(), FIELDS).map_err(unusable)?;
        if !Delivery::is_request(&written.request_id) {
            return Err(unusable(no_request()));
        }
        let request: Arc<str> = written.request_id.as_str().into();
        let named = |failure| Box::new(Unusable { request: Some(Arc::clone(&request)), failure });
        if written.cluster != cluster {
            return Err(named(Failure::permanent(
                "queue.message.cluster",
                format!(
                    "the message is meant for cluster {:?}, this is {cluster:?}",
                    short(&written.cluster)
                ),
            )));
        }
        let sequence = written.sequence;
        let asks = asks(written).map_err(named)?;
        Ok(Self { request, asks, sequence })
    }
}

/// Which request a message is, if that can be read of it.
fn request(text: &str) -> Option<Arc<str>> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("requestId")?.as_str().filter(|request| Delivery::is_request(request)).map(Arc::from)
}

fn asks(written: Written) -> Result<Asks, Failure> {
    let Written { plan, inline, sha256, stop, sequence, .. } = written;
    match (plan, inline, stop) {
        (Some(location), None, None) if sha256.is_none() => Ok(Asks::Fetch(location)),
        (None, Some(text), None) => {
            if let Some(wanted) = sha256 {
                right_digest(wanted, text.as_bytes())?;
            }
            Ok(Asks::Inline(text.into_bytes().into()))
        }
        (None, None, Some(stop))
            if sha256.is_none() && sequence.is_none() && Delivery::is_request(&stop.request_id) =>
        {
            Ok(Asks::Stop(stop))
        }
        _ => Err(Failure::permanent(
            "queue.message.unreadable",
            "the message has not just one of `plan`, `inline` and `stop`, each with its own fields",
        )),
    }
}

/// Whether these bytes are what their sender said.
pub(super) fn right_digest(wanted: Digest, bytes: &[u8]) -> Result<(), Failure> {
    let found = Digest::of(bytes);
    if found == wanted {
        return Ok(());
    }
    Err(Failure::permanent(
        "queue.payload.digest",
        format!("the plan is not the one that was sent: its SHA-256 is {found}, not {wanted}"),
    ))
}

fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use eve_core::run::StopMode;

    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(fields: &str) -> Result<Message, Box<Unusable>> {
        Message::read(&format!(r#"{{"version":1,"requestId":"r","cluster":"east"{fields}}}"#), "east")
    }

    #[test]
    fn a_message_asks_for_one_thing() {
        let at = format!(r#","plan":{{"bucket":"b","key":"k","versionId":"v","sha256":"{ABC}"}}"#);
        let Asks::Fetch(location) = read(&at).unwrap().asks else { panic!("not a location") };
        assert_eq!(location.version_id.as_deref(), Some("v"));
        assert_eq!(location.sha256.to_string(), ABC);
        let inline = format!(r#","inline":"abc","sha256":"{ABC}""#);
        assert_eq!(read(&inline).unwrap().asks, Asks::Inline(b"abc".as_slice().into()));
        assert_eq!(read(r#","inline":"x""#).unwrap().asks, Asks::Inline(b"x".as_slice().into()));
        for (mode, meant) in [("", StopMode::Now), (r#","mode":"drain""#, StopMode::Drain)] {
            let Asks::Stop(stop) = read(&format!(r#","stop":{{"requestId":"q"{mode}}}"#)).unwrap().asks
            else {
                panic!("not a stop")
            };
            assert_eq!((stop.request_id.as_str(), stop.mode()), ("q", meant));
        }
    }

    #[test]
    fn a_plan_may_have_a_number_which_is_a_whole_one() {
        let sequence = |number: &str| read(&format!(r#","inline":"x","sequence":{number}"#));
        assert_eq!(read(r#","inline":"x""#).unwrap().sequence, None);
        for (number, meant) in [("0", 0), ("17", 17), ("18446744073709551615", u64::MAX)] {
            assert_eq!(sequence(number).unwrap().sequence, Some(meant));
        }
        for number in ["-1", "1.0", "1e3", "18446744073709551616", "\"17\"", "null", "true", "[17]"] {
            assert_eq!(sequence(number).unwrap_err().failure.code, "queue.message.unreadable", "{number}");
        }
        let stop = read(r#","stop":{"requestId":"q"},"sequence":1"#).unwrap_err();
        assert_eq!(stop.failure.code, "queue.message.unreadable");
    }

    #[test]
    fn a_refusal_names_the_field_what_it_must_be_and_the_request() {
        let rest = r#""requestId":"r-1","cluster":"east","inline":"x""#;
        let plan = r#""version":1,"requestId":"r-1","cluster":"east","plan":"#;
        let digest = "must be the SHA-256 of the plan in 64 hexadecimal digits";
        for (fields, said) in [
            (rest.to_owned(), "`version` is missing: the number 1".to_owned()),
            (format!(r#"{rest},"version":"1""#), "`version` must be the number 1".to_owned()),
            (
                format!(r#"{rest},"version":1,"hunter2":1"#),
                "known are `version`, `requestId`, `cluster`, `plan`".to_owned(),
            ),
            (format!(r#"{rest},"version":1,"sha256":"hunter2""#), format!("`sha256` {digest}")),
            (format!(r#"{plan}{{"bucket":"b","key":"k"}}"#), "`plan.sha256` is missing".to_owned()),
            (format!(r#"{plan}{{"bucket":"b","key":"k","sha256":7}}"#), format!("`plan.sha256` {digest}")),
            (
                format!(r#"{plan}{{"bucket":"b","key":"k","sha256":"{ABC}","x":1}}"#),
                "known are `plan.bucket`".to_owned(),
            ),
            (
                r#""version":1,"requestId":"r-1","cluster":"east","stop":{"requestId":"q","mode":"hunter2"}"#
                    .to_owned(),
                "`stop.mode` must be `now` or `drain`".to_owned(),
            ),
            (r#""version":2,"requestId":"r-1""#.to_owned(), "of version 2".to_owned()),
        ] {
            let unusable = Message::read(&format!("{{{fields}}}"), "east").unwrap_err();
            let message = &unusable.failure.message;
            assert!(message.contains(&said) && !message.contains("hunter2"), "{fields}: {message}");
            assert_eq!(unusable.request.as_deref(), Some("r-1"), "{fields}");
        }
        assert_eq!(Message::read(r#"{"requestId":"a b"}"#, "east").unwrap_err().request, None);
    }

    #[test]
    fn everything_else_is_refused_with_a_reason_that_repeats_nothing() {
        let deep = "[".repeat(1 << 20);
        let long = "x".repeat(257);
        let whole = |text: &str| Message::read(text, "east").unwrap_err();
        for (text, code) in [
            ("", "queue.message.unreadable"),
            ("hunter2", "queue.message.unreadable"),
            (deep.as_str(), "queue.message.unreadable"),
            ("{}", "queue.message.unreadable"),
            (r#"[1,"r","east",null,"x"]"#, "queue.message.unreadable"),
            (r#"{"version":"1"}"#, "queue.message.unreadable"),
            (r#"{"version":2,"hunter2":1}"#, "queue.message.version"),
            (r#"{"version":1,"requestId":"r","cluster":"east"}"#, "queue.message.unreadable"),
            (
                r#"{"version":1,"requestId":"r","cluster":"east","inline":"x","hunter2":1}"#,
                "queue.message.unreadable",
            ),
            (
                &format!(r#"{{"version":1,"requestId":"{long}","cluster":"east","inline":"x"}}"#),
                "queue.message.unreadable",
            ),
            (r#"{"version":1,"requestId":"a b","cluster":"east","inline":"x"}"#, "queue.message.unreadable"),
        ] {
            let unusable = whole(text);
            assert_eq!(unusable.failure.code, code, "{text:.40}");
            assert!(!unusable.failure.message.contains("hunter2"), "{}", unusable.failure);
        }
        for (fields, code) in [
            (r#","inline":"x","stop":{"requestId":"q"}"#, "queue.message.unreadable"),
            (r#","stop":{"requestId":""}"#, "queue.message.unreadable"),
            (r#","stop":{"requestId":"q","mode":"kill"}"#, "queue.message.unreadable"),
            (r#","plan":{"url":"https://evil.example/x"}"#, "queue.message.unreadable"),
            (&format!(r#","inline":"abd","sha256":"{ABC}""#), "queue.payload.digest"),
        ] {
            assert_eq!(read(fields).unwrap_err().failure.code, code, "{fields}");
        }
        let null = read(r#","inline":"x","sequence":null"#).unwrap_err().failure;
        assert_eq!(null.code, "queue.message.unreadable");
        let other = Message::read(r#"{"version":1,"requestId":"r","cluster":"west","inline":"x"}"#, "east")
            .unwrap_err();
        assert_eq!(other.failure.code, "queue.message.cluster");
        assert_eq!(other.request.as_deref(), Some("r"));
    }
}
