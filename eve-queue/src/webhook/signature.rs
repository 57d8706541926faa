//! Signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, in base64, after `v1,`. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eve_core::secret::SecretValue;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How keys are written.
const PREFIX: &str = "whsec_";

/// A key that was read.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    /// Reads a key: `whsec_` and the base64 of 24 to 64 bytes.
    pub(super) fn read(written: &SecretValue) -> Option<Self> {
        let bytes = STANDARD.decode(written.expose().strip_prefix(PREFIX)?).ok()?;
        let right = (24..=64).contains(&bytes.len());
        right.then(|| Hmac::new_from_slice(&bytes).ok()).flatten().map(Self)
    }

    fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// The value of `webhook-signature`: one for each key, parted by spaces.
pub(super) fn header(keys: &[Key], id: &str, seconds: u64, body: &[u8]) -> String {
    let signed = keys.iter().map(|key| format!("v1,{}", key.sign(id, seconds, body)));
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<Key> {
        Key::read(&SecretValue::new(text))
    }

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        // The test vector of the reference implementations (standard-webhooks/standard-webhooks, libraries).
        let known = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = header(
            std::slice::from_ref(&known),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = header(&[known.clone(), known], "a", 1, b"");
        assert_eq!(both.matches("v1,").count(), 2);
        assert_eq!(both.split(' ').count(), 2);
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let short = STANDARD.encode([1; 23]);
        for bad in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_äö", &format!("whsec_{short}")]
        {
            assert!(key(bad).is_none(), "{bad}");
        }
    }
}
