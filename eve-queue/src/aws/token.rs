//! What a token says of itself, for people who look for the reason of a refusal. Pure; checks nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eve_core::secret::SecretValue;
use serde_json::Value;

/// The most characters of a claim that are shown.
const CLAIM_CHARS_MAX: usize = 200;

/// Issuer, subject and audience of a token, which are no secret; its signature is.
pub(super) fn shown(token: &SecretValue) -> String {
    let payload = token.expose().split('.').nth(1);
    let bytes = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok());
    let Some(claims) = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else {
        return "the token is no JSON Web Token".to_owned();
    };
    let claim = |name: &str| match claims.get(name) {
        Some(Value::String(text)) => printable(text),
        Some(Value::Array(values)) => {
            values.iter().filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(", ")
        }
        _ => "none".to_owned(),
    };
    format!("issuer {}, subject {}, audience {}", claim("iss"), claim("sub"), claim("aud"))
}

fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(CLAIM_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_subject_and_audience_are_shown_and_nothing_else() {
        let claims = r#"{"iss":"https://issuer.example","sub":"system:serviceaccount:eve:eve","aud":["sts.amazonaws.com"],"jti":"hunter2"}"#;
        let token = SecretValue::new(format!("h.{}.hunter3", URL_SAFE_NO_PAD.encode(claims)));
        assert_eq!(
            shown(&token),
            "issuer https://issuer.example, subject system:serviceaccount:eve:eve, audience sts.amazonaws.com"
        );
        for none in ["", "hunter2", "a.b.c", "a.!!.c"] {
            assert_eq!(shown(&SecretValue::new(none)), "the token is no JSON Web Token");
        }
    }
}
