//! Requests to stop another request, and what all messages have in common. Pure.

use eve_core::failure::Failure;
use eve_core::ports::Delivery;
use eve_core::run::StopMode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Which request is to be stopped, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Stop {
    pub(crate) request_id: String,
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Mode {
    /// Waits are given up.
    #[default]
    Now,
    /// What runs comes to its end.
    Drain,
}

/// What asks to stop a request.
const EXAMPLE: &str = r#"`{"requestId": "shop.yaml@1795253081224491", "mode": "now"}`, or `"drain"` to let what runs come to its end"#;

impl Stop {
    /// Reads the body of a request to stop.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let stop: Result<Self, Failure> = object(bytes);
        let stop =
            stop.and_then(
                |stop| {
                    if Delivery::is_request(&stop.request_id) { Ok(stop) } else { Err(no_request()) }
                },
            );
        stop.map_err(|failure| {
            let message = format!("{}; to stop a request it is {EXAMPLE}", failure.message);
            Failure::permanent(failure.code, message)
        })
    }

    /// How a run that is under way is to end.
    pub(crate) const fn mode(&self) -> StopMode {
        match self.mode {
            Mode::Now => StopMode::Now,
            Mode::Drain => StopMode::Drain,
        }
    }
}

/// Reads a JSON object; a list is none, though serde would read one.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Failure::permanent("queue.message.unreadable", "the message is no JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error))
}

/// What serde says repeats parts of the text, which may hold anything; where it stands is enough.
fn unreadable(error: &serde_json::Error) -> Failure {
    let what = match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "is no JSON",
        serde_json::error::Category::Data | serde_json::error::Category::Io => {
            "does not have the right fields"
        }
    };
    Failure::permanent(
        "queue.message.unreadable",
        format!("the message {what}: line {}, column {}", error.line(), error.column()),
    )
}

pub(crate) fn no_request() -> Failure {
    let most = Delivery::REQUEST_BYTES_MAX;
    Failure::permanent(
        "queue.message.unreadable",
        format!("a `requestId` has 1 to {most} printable ASCII characters without spaces"),
    )
}
