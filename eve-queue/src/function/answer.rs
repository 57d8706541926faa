//! Which answers of a function count, and what is kept of them. Pure.

use eve_core::failure::Failure;
use eve_core::ports::{Notice, Receipt, Verdict};
use eve_core::secret::{Mask, SecretValue};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::address::Address;
use crate::call::Reply;

/// What a function said. Holds no key, and nothing that was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionAnswer {
    /// How it went.
    pub verdict: Verdict,
    /// What it had to say, in order; bounded as in [`Receipt`].
    pub messages: Vec<String>,
}

impl FunctionAnswer {
    /// The same without a key that the function may know as well.
    pub(super) fn without(self, key: &SecretValue) -> Self {
        let mask = Mask::default().with(key);
        let messages = self.messages.into_iter().map(|message| mask.apply(message)).collect();
        Self { messages, ..self }
    }
}

/// The code of an answer that is none and says that the key is not good (401 and 403, RFC 9110, 15.5.2 and 15.5.4).
pub(super) const REFUSED: &str = "function.key-refused";

#[derive(Deserialize)]
struct Written {
    result: Verdict,
    #[serde(default)]
    messages: Option<Vec<Value>>,
}

/// Reads an answer, in which a function may repeat what it was given.
pub(super) fn read(
    address: &Address,
    reply: &Reply,
    (key, mask): (Option<&SecretValue>, &Mask),
) -> Result<FunctionAnswer, Failure> {
    let mask = key.map_or_else(|| mask.clone(), |key| mask.with(key));
    let Reply { status, body, cut } = reply;
    // A list is no answer, though serde would read one.
    let written = serde_json::from_slice::<Map<String, Value>>(body).map(Value::Object);
    if let (false, Ok(written)) = (cut, written.and_then(Written::deserialize)) {
        // One more than is kept, so that it is told that there were more; whole, so that no half of a secret is left.
        let messages = written.messages.unwrap_or_default().into_iter().take(Notice::MESSAGES_MAX + 1);
        let messages = messages.map(|message| {
            let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
            mask.apply(text)
        });
        let receipt = Receipt::new(Some(written.result), messages.collect());
        return Ok(FunctionAnswer { verdict: written.result, messages: receipt.messages });
    }
    Err(match status {
        300..=399 => Failure::transient(
            "function.redirect",
            format!("function {address} answers {status}, a redirect, which is not followed"),
        )
        .with_hint("name the address that it leads to"),
        _ if *cut => Failure::transient(
            "function.answer-too-large",
            format!("function {address} answers {status} with more than {} bytes", body.len()),
        ),
        401 | 403 => {
            let (what, hint) = match key {
                Some(_) => ("refuses the key", "look at the key, here and at the function"),
                None => ("wants a key", "whoever runs eve says where the keys of functions are"),
            };
            Failure::transient(REFUSED, format!("function {address} {what} (status {status})"))
                .with_nothing_left()
                .with_hint(hint)
        }
        _ => Failure::transient(
            "function.answer",
            format!("function {address} answers {status} without saying how it went"),
        )
        .with_hint(
            r#"a function answers {"result": "success", "failed" or "noop", "messages": []}, whatever its status"#,
        ),
    })
}

#[cfg(test)]
mod tests {
    use eve_core::failure::FailureClass;

    use super::*;

    fn read_text(status: u16, body: &str) -> Result<FunctionAnswer, Failure> {
        let address = Address::parse("https://f.example/api?x=1").unwrap();
        let key = SecretValue::new("k+/=y");
        let reply = Reply { status, body: body.into(), cut: false };
        read(&address, &reply, (Some(&key), &Mask::default()))
    }

    #[test]
    fn a_valid_answer_is_final_whatever_the_status() {
        for status in [200, 202, 302, 400, 404, 429, 500, 503] {
            for (word, verdict) in
                [("success", Verdict::Success), ("failed", Verdict::Failed), ("noop", Verdict::Noop)]
            {
                let body = format!(r#"{{"result":"{word}","messages":["m",{{"n":1}}],"more":true}}"#);
                let answer = read_text(status, &body).unwrap();
                assert_eq!(answer.verdict, verdict);
                assert_eq!(answer.messages, ["m", r#"{"n":1}"#]);
            }
        }
        for body in [r#"{"result":"noop"}"#, r#"{"result":"noop","messages":null}"#] {
            assert_eq!(read_text(200, body).unwrap().messages, Vec::<String>::new());
        }
    }

    #[test]
    fn every_other_answer_is_transient() {
        for (status, body, code) in [
            (200, "", "function.answer"),
            (200, "ok", "function.answer"),
            (200, "{}", "function.answer"),
            (200, r#"{"result":"done"}"#, "function.answer"),
            (200, r#"{"result":"success","messages":"m"}"#, "function.answer"),
            (200, r#"["success"]"#, "function.answer"),
            (401, "who are you", "function.key-refused"),
            (403, "", "function.key-refused"),
            (307, "", "function.redirect"),
        ] {
            let failure = read_text(status, body).unwrap_err();
            assert_eq!((&*failure.code, failure.class), (code, FailureClass::Transient), "{status} {body}");
            assert!(!failure.message.contains("x=1"), "{failure}");
        }
    }

    #[test]
    fn a_key_that_a_function_repeats_is_taken_out() {
        let body =
            r#"{"result":"failed","messages":["bad code k+/=y","GET /?code=k%2B%2F%3Dy","k%2b%2f%3dy"]}"#;
        let answer = read_text(200, body).unwrap();
        assert_eq!(answer.messages, ["bad code ***", "GET /?code=***", "***"]);
    }
}
