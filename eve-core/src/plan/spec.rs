//! The ready-made plan, version `eve.dev/v1alpha1`: types whose doc comments are the descriptions of the published
//! JSON Schema.
//!
//! Types only, no checks beyond their shape: `load` validates a text against the schema made from them before it
//! makes them. A component's kind key is no field here; it stands beside these fields and is kept apart by `load`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{FailurePolicy, UndoRule, Until};

/// The `apiVersion` of plans.
pub const API_VERSION: &str = "eve.dev/v1alpha1";
/// The `kind` of plans.
pub const KIND: &str = "Plan";

/// The pattern of names and namespaces: a DNS-1123 label (RFC 1123), at most 63 characters.
pub const LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
/// The pattern of identifiers of requests: printable ASCII without spaces.
pub const REQUEST_PATTERN: &str = "^[!-~]+$";
/// The pattern of lengths of time: Go's notation.
pub const DURATION_PATTERN: &str = "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$";
/// The longest length of time that a plan may state: 7 days.
pub const DURATION_MAX: Duration = Duration::from_hours(7 * 24);

/// A plan for eve: components of one namespace, and what each must wait for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Plan")]
pub struct PlanDocument {
    /// The version of this format: `eve.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `Plan`.
    pub kind: PlanKind,
    /// The plan's name and namespace.
    pub metadata: Metadata,
    /// What is to be deployed.
    pub spec: PlanSpec,
}

/// The one version of the format.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "eve.dev/v1alpha1")]
    V1Alpha1,
}

/// The one kind of document.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PlanKind {
    /// A plan.
    Plan,
}

/// Which application it is, and where it lives.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The application's name, stable over releases: inventory, prune and history hang on it.
    #[schemars(with = "Label")]
    pub name: String,
    /// The one namespace that the plan may touch.
    #[schemars(with = "Label")]
    pub namespace: String,
}

/// The components, and what holds for all of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSpec {
    /// Which request this plan is, where it is delivered: the same identifier with the same content is run once, with other
    /// content refused. Messages of a queue say it themselves, and must not say another one.
    #[schemars(length(min = 1, max = 253), regex(pattern = REQUEST_PATTERN))]
    pub request_id: Option<String>,
    /// A scheduler refuses plans for another cluster than its own.
    #[schemars(length(min = 1, max = 253))]
    pub cluster: Option<String>,
    /// Values for expressions: `${{ inputs.NAME }}`. One without a value must be given with `--set` or `--inputs`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub inputs: Option<BTreeMap<String, Value>>,
    /// The secrets that expressions may name (`${{ secrets.NAME }}`), each with its place: `vault:PATH#KEY`.
    #[serde(default)]
    pub secrets: Option<BTreeMap<String, String>>,
    /// What a failed component does to the run, unless the component says otherwise. `drain` (the default) starts
    /// nothing new, lets what runs come to its end, then fails; `continue` skips only what depends on it; `rollback`
    /// drains, then undoes everything that the run changed, what was changed last first.
    #[serde(default)]
    pub on_failure: Option<FailurePolicy>,
    /// The components, each with a unique name and exactly one kind key.
    #[schemars(length(min = 1))]
    pub components: Vec<ComponentSpec>,
}

/// One component: its name, general fields, and exactly one kind key that says what it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentSpec {
    /// Unique in the plan.
    #[schemars(with = "Label")]
    pub name: String,
    /// The components that must be ready, or applied, before this one starts.
    #[serde(default)]
    pub depends_on: Option<Vec<DependencySpec>>,
    /// What is to be done with it.
    #[serde(default)]
    pub action: Option<ActionSpec>,
    /// `applied` waives the readiness of this component for everybody.
    #[serde(default)]
    pub until: Option<Until>,
    /// How long it may take from its start, over all attempts: `90s`, `5m`, `1h30m`. By default 10 minutes.
    #[serde(default)]
    pub timeout: Option<DurationSpec>,
    /// When and how often a failed attempt is tried again.
    #[serde(default)]
    pub retry: Option<RetrySpec>,
    /// What its failure does to the run; the plan's `onFailure` if absent.
    #[serde(default)]
    pub on_failure: Option<FailurePolicy>,
    /// What must hold, besides what its kind says, before it counts as ready: an expression on the live object, `self`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub ready_when: Option<String>,
    /// Components of one class do not run beside too many of their like.
    #[serde(default)]
    pub class: Option<ClassSpec>,
    /// Labels for the objects of the component.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether it may be undone when the run is rolled back. `never`, for example for a migration: once it was begun,
    /// what it depends on stays too.
    #[serde(default)]
    pub undo: Option<UndoRule>,
}

/// What is to be done with a component.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum ActionSpec {
    /// Make it so, then wait for it.
    Apply,
    /// Remove it, then wait until it is gone.
    Delete,
    /// Wait until it is ready, without ever writing it.
    Read,
    /// Do nothing with it: what depends on it waits for what it depends on.
    None,
}

/// The name of a component that must be ready, or the name and how far it must have come.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DependencySpec {
    /// The name of a component that must be ready.
    Name(#[schemars(with = "Label")] String),
    /// A component, and how far it must have come.
    Until(DependencyUntil),
}

/// A component, and how far it must have come.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DependencyUntil {
    /// The name of the component.
    #[schemars(with = "Label")]
    pub component: String,
    /// `ready` (the default), or `applied`: its writes were accepted.
    #[serde(default)]
    pub until: Option<Until>,
}

/// When and how often a failed attempt is tried again.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrySpec {
    /// Attempts in all, the first included.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// The pause after the first failed attempt; doubles with each further one. By default 1 second.
    #[serde(default)]
    pub backoff: Option<DurationSpec>,
    /// The longest pause. By default 30 seconds, or `backoff` if that is longer.
    #[serde(default)]
    pub max_backoff: Option<DurationSpec>,
}

/// Components of one class do not run beside too many of their like.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClassSpec {
    /// The name that the components of the class share.
    #[schemars(with = "Label")]
    pub name: String,
    /// How many of the class may run at once; the same in all of them.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub limit: u32,
}

/// The schema of names: what `String` fields use with `schemars(with)`.
#[derive(Debug)]
struct Label;

impl JsonSchema for Label {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": LABEL_PATTERN })
    }
}

/// A length of time as a plan writes it: `250ms`, `5m`, `1h30m`. More than zero, at most [`DURATION_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationSpec(pub Duration);

impl JsonSchema for DurationSpec {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION_PATTERN })
    }
}

impl<'de> Deserialize<'de> for DurationSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Not numbers with units.
    #[error("a length of time is written as numbers with units `h`, `m`, `s` or `ms`")]
    Syntax,
    /// A number without a unit at the end.
    #[error("the number has no unit")]
    NoUnit,
    /// Zero.
    #[error("a length of time must be more than zero")]
    Zero,
    /// More than [`DURATION_MAX`].
    #[error("a length of time is at most 7 days (`168h`)")]
    TooLong,
}

/// Reads Go's notation for lengths of time, without a sign: `90s`, `1h30m`, `1.5h`, `250ms`.
///
/// # Errors
/// [`DurationError`]: bad syntax, or outside of (0, 7 days].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut total = 0_u128;
    if rest.is_empty() {
        return Err(DurationError::Syntax);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() || (fraction.is_empty() && rest.as_bytes().get(digits) == Some(&b'.')) {
            return Err(DurationError::Syntax);
        }
        let (micros, after) = unit(after)?;
        let whole: u128 = if whole.len() > 20 { return Err(DurationError::TooLong) } else { parse(whole)? };
        let fraction = fraction.get(..fraction.len().min(9)).unwrap_or_default();
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        let part = if fraction.is_empty() { 0 } else { parse(fraction)? * micros / scale };
        total = total.saturating_add(whole.saturating_mul(micros)).saturating_add(part);
        rest = after;
    }
    match u64::try_from(total) {
        Ok(0) => Err(DurationError::Zero),
        Ok(micros) if Duration::from_micros(micros) <= DURATION_MAX => Ok(Duration::from_micros(micros)),
        _ => Err(DurationError::TooLong),
    }
}

fn parse(digits: &str) -> Result<u128, DurationError> {
    digits.parse().map_err(|_| DurationError::Syntax)
}

/// Microseconds of the unit that `text` starts with, and what follows.
fn unit(text: &str) -> Result<(u128, &str), DurationError> {
    const UNITS: [(&str, u128); 4] =
        [("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    if text.is_empty() {
        return Err(DurationError::NoUnit);
    }
    let found = UNITS.iter().find_map(|(unit, micros)| Some((*micros, text.strip_prefix(unit)?)));
    found.ok_or(DurationError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, want) in [
            ("250ms", Ok(250)),
            ("5m", Ok(300_000)),
            ("1h30m", Ok(5_400_000)),
            ("1.5s", Ok(1_500)),
            ("168h", Ok(604_800_000)),
            ("1m0.5s", Ok(60_500)),
            ("", Err(DurationError::Syntax)),
            ("5", Err(DurationError::NoUnit)),
            ("0", Err(DurationError::NoUnit)),
            ("0s", Err(DurationError::Zero)),
            ("-5s", Err(DurationError::Syntax)),
            ("5 m", Err(DurationError::Syntax)),
            ("5min", Err(DurationError::Syntax)),
            ("5.s", Err(DurationError::Syntax)),
            ("1d", Err(DurationError::Syntax)),
            ("168h1ms", Err(DurationError::TooLong)),
            ("999999999999999999999999h", Err(DurationError::TooLong)),
            ("99999999999999999999h", Err(DurationError::TooLong)),
        ] {
            assert_eq!(parse_duration(text), want.map(Duration::from_millis), "{text}");
        }
    }
}
