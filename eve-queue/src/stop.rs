//! Requests to stop another request, and what all messages have in common. Pure.

use eve_core::failure::Failure;
use eve_core::ports::Delivery;
use eve_core::run::StopMode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

/// A field of a message, and what it must be: for whoever has written another one.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) wants: &'static str,
    pub(crate) is_required: bool,
    pub(crate) fits: fn(&Value) -> bool,
    /// What a map has in it.
    pub(crate) inner: &'static [Field],
}

impl Field {
    /// A field that must be there.
    pub(crate) const fn required(name: &'static str, wants: &'static str, fits: fn(&Value) -> bool) -> Self {
        Self { name, wants, is_required: true, fits, inner: &[] }
    }

    /// A field that may be left out, or be null.
    pub(crate) const fn optional(name: &'static str, wants: &'static str, fits: fn(&Value) -> bool) -> Self {
        Self { name, wants, is_required: false, fits, inner: &[] }
    }

    /// The same of a map with these fields. Only messages of SQS have such.
    #[cfg(feature = "aws")]
    pub(crate) const fn with(self, inner: &'static [Self]) -> Self {
        Self { inner, ..self }
    }
}

/// The fields of a request to stop another one.
pub(crate) const STOP_FIELDS: &[Field] = &[
    Field::required("requestId", "a text, the request that is to stop", Value::is_string),
    Field::optional("mode", "`now` or `drain`", |mode| matches!(mode.as_str(), Some("now" | "drain"))),
];

/// What asks to stop a request.
const EXAMPLE: &str = r#"`{"requestId": "shop.yaml@1795253081224491", "mode": "now"}`, or `"drain"` to let what runs come to its end"#;

impl Stop {
    /// Reads the body of a request to stop.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let stop: Result<Self, Failure> = object(bytes, STOP_FIELDS);
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

/// Reads a JSON object of these fields; a list is none, though serde would read one.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8], fields: &[Field]) -> Result<T, Failure> {
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Failure::permanent("queue.message.unreadable", "the message is no JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error, misfit(bytes, fields)))
}

/// What serde says repeats parts of the text, which may hold anything; where it stands, and what should, is enough.
fn unreadable(error: &serde_json::Error, misfit: Option<String>) -> Failure {
    let what = match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "is no JSON",
        serde_json::error::Category::Data | serde_json::error::Category::Io => {
            "does not have the right fields"
        }
    };
    let why = misfit.map(|misfit| format!("; {misfit}")).unwrap_or_default();
    Failure::permanent(
        "queue.message.unreadable",
        format!("the message {what}: line {}, column {}{why}", error.line(), error.column()),
    )
}

/// The first field of a message that is not as it should be.
fn misfit(bytes: &[u8], fields: &[Field]) -> Option<String> {
    misfit_of(&serde_json::from_slice(bytes).ok()?, fields, "")
}

/// As deep as the fields, at most.
fn misfit_of(value: &Value, fields: &[Field], within: &str) -> Option<String> {
    let written = value.as_object()?;
    for Field { name, wants, is_required, fits, inner } in fields {
        let path = format!("{within}{name}");
        match written.get(*name) {
            None if *is_required => return Some(format!("`{path}` is missing: {wants}")),
            None => {}
            Some(Value::Null) if !is_required => {}
            Some(value) if !fits(value) => return Some(format!("`{path}` must be {wants}")),
            Some(value) => {
                let deeper = misfit_of(value, inner, &format!("{path}."));
                if deeper.is_some() {
                    return deeper;
                }
            }
        }
    }
    // Names of fields may be anything too.
    let is_known = |name: &String| fields.iter().any(|field| field.name == name);
    let known: Vec<String> = fields.iter().map(|field| format!("`{within}{}`", field.name)).collect();
    let unknown = !fields.is_empty() && !written.keys().all(is_known);
    unknown.then(|| format!("a field in it is not known; known are {}", known.join(", ")))
}

pub(crate) fn no_request() -> Failure {
    let most = Delivery::REQUEST_BYTES_MAX;
    Failure::permanent(
        "queue.message.unreadable",
        format!("a `requestId` has 1 to {most} printable ASCII characters without spaces"),
    )
}
