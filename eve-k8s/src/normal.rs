//! The normal form of an object: what is sent, and the digest by which it is known again. Pure.
//!
//! Two inputs that mean the same to the API server get one form: nulls say nothing, `stringData` of a Secret is another
//! way to write `data`, and the rules of an aggregated `ClusterRole` are its controller's to say. Quantities and defaults
//! are left alone: what is compared later is input with input, never input with what a server made of it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The version of this normal form and of the digest; another version makes every digest another one.
const VERSION: u8 = 1;
/// How many bytes of the SHA-256 are kept: enough that nobody meets two objects with one digest by chance.
const DIGEST_BYTES: usize = 16;

/// Base64 as the API server reads it: line breaks are left out before.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The object without nulls in maps, a Secret with `data` only, and an aggregated `ClusterRole` without rules.
pub(crate) fn normalised(object: &Value) -> Value {
    let mut object = object.clone();
    drop_nulls(&mut object);
    if is_secret(&object) {
        merge_string_data(&mut object);
    }
    if is_aggregated(&object)
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("rules");
    }
    object
}

/// Whether a controller fills in the rules: "If `AggregationRule` is set, then the Rules are controller managed and direct
/// changes to Rules will be stomped by the controller" (API reference of `ClusterRole`).
fn is_aggregated(object: &Value) -> bool {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    text("kind") == "ClusterRole"
        && text("apiVersion").starts_with("rbac.authorization.k8s.io/")
        && object.get("aggregationRule").is_some()
}

/// Whether the object is a Secret of the core group.
pub(crate) fn is_secret(object: &Value) -> bool {
    let text = |field: &str| object.get(field).and_then(Value::as_str);
    text("kind") == Some("Secret") && text("apiVersion") == Some("v1")
}

/// The digest of an object in normal form: the version, a dash, 32 hexadecimal digits. The order of keys does not
/// matter, that of lists does. Not for Secrets: a digest of a short value can be guessed.
pub(crate) fn digest(object: &Value) -> String {
    let mut bytes = Vec::new();
    feed(&mut bytes, object);
    let digest = Sha256::digest(&bytes);
    let mut text = format!("{VERSION}-");
    for byte in digest.iter().take(DIGEST_BYTES) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Takes the nulls out of all maps. Recursion is bounded by the depth of the value, which the reader bounds.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As the API server does it: keys of `stringData` win. What is malformed stays, and is refused by name.
fn merge_string_data(secret: &mut Value) {
    let Some(fields) = secret.as_object_mut() else { return };
    let is_texts = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    if let Some(Value::Object(data)) = fields.get_mut("data") {
        for value in data.values_mut() {
            if let Some(canonical) = value.as_str().and_then(canonical) {
                *value = canonical.into();
            }
        }
    }
    let mergeable =
        fields.get("stringData").is_some_and(is_texts) && fields.get("data").is_none_or(Value::is_object);
    if !mergeable {
        return;
    }
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, text) in texts {
        data.insert(key, BASE64.encode(text.as_str().unwrap_or_default()).into());
    }
}

/// The one way to write these bytes; `None` where it is no base64.
fn canonical(text: &str) -> Option<String> {
    let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    BASE64.decode(joined).ok().map(|bytes| BASE64.encode(bytes))
}

/// Every value begins with a letter for its type and, where it may vary, with its length, so that no two values give
/// one text.
fn feed(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(b'n'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Number(number) => text(bytes, b'd', &number.to_string()),
        Value::String(string) => text(bytes, b's', string),
        Value::Array(items) => {
            head(bytes, b'a', items.len());
            for item in items {
                feed(bytes, item);
            }
        }
        Value::Object(fields) => {
            head(bytes, b'o', fields.len());
            // Whether the map keeps an order of its own depends on features of serde_json that others choose.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            for (key, value) in sorted {
                text(bytes, b'k', key);
                feed(bytes, value);
            }
        }
    }
}

fn text(bytes: &mut Vec<u8>, kind: u8, text: &str) {
    head(bytes, kind, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn head(bytes: &mut Vec<u8>, kind: u8, length: usize) {
    bytes.push(kind);
    bytes.extend_from_slice(length.to_string().as_bytes());
    bytes.push(b':');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_that_mean_the_same_have_one_form() {
        for (input, form) in [
            (json!({ "a": null, "b": [null, { "c": null }], "d": "" }), json!({ "b": [null, {}], "d": "" })),
            (
                json!({ "cpu": "1000m", "args": [], "emptyDir": {} }),
                json!({ "cpu": "1000m", "args": [], "emptyDir": {} }),
            ),
            (
                json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": "eA==", "b": "eQ==" }, "stringData": { "b": "z", "c": "" } }),
                json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": "eA==", "b": "eg==", "c": "" } }),
            ),
            (
                json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": "aGVs\nbG8=\n" }, "stringData": {} }),
                json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": "aGVsbG8=" } }),
            ),
            (
                json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "aggregationRule": {}, "rules": [] }),
                json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "aggregationRule": {} }),
            ),
        ] {
            assert_eq!(normalised(&input), form);
        }
    }

    #[test]
    fn what_is_no_secret_or_malformed_is_left_for_the_server() {
        for object in [
            json!({ "apiVersion": "x.dev/v1", "kind": "Secret", "stringData": { "a": "b" } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "stringData": { "a": 1 } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "data": "text", "stringData": { "a": "b" } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": "no base64!" } }),
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [] }),
            json!({ "apiVersion": "x.dev/v1", "kind": "ClusterRole", "aggregationRule": {}, "rules": [] }),
        ] {
            assert_eq!(normalised(&object), object);
        }
    }

    #[test]
    fn a_digest_stays_what_it_is() {
        // Stands on objects in clusters: another value here is another version.
        let object =
            json!({ "kind": "ConfigMap", "data": { "b": "2", "a": "1" }, "list": [1, true, null, 0.5] });
        assert_eq!(digest(&object), "1-7bbd416d1858ff44e406c0852c165549");
    }

    #[test]
    fn objects_that_differ_have_different_digests() {
        let all = [
            json!({}),
            json!([]),
            json!(""),
            json!("1"),
            json!(1),
            json!(null),
            json!(true),
            json!("true"),
            json!({ "a": "b" }),
            json!({ "ab": "" }),
            json!([["a"], "b"]),
            json!([["a", "b"]]),
            json!(["b", "a"]),
            json!(["a", "b"]),
            json!({ "a": {}, "b": 1 }),
            json!({ "a": { "b": 1 } }),
            json!({ "a": [] }),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(digest(one), digest(other), "{one} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(data in "[a-zA-Z0-9+/=\n]{0,12}", text in ".{0,5}", plain in any::<bool>()) {
            let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": data }, "x": null });
            if !plain {
                secret["stringData"] = json!({ "b": text });
            }
            let form = normalised(&secret);
            prop_assert_eq!(normalised(&form), form);
        }

        #[test]
        fn the_order_of_keys_does_not_matter(keys in proptest::collection::btree_set("[a-c]{1,3}", 0..6)) {
            let ascending: Map<String, Value> = keys.iter().map(|key| (key.clone(), json!(1))).collect();
            let descending: Map<String, Value> = keys.iter().rev().map(|key| (key.clone(), json!(1))).collect();
            prop_assert_eq!(digest(&Value::Object(ascending)), digest(&Value::Object(descending)));
        }
    }
}
