//! What a plain (unquoted) YAML scalar means: YAML 1.1 as kubectl reads it (`goyaml.v2` inside `sigs.k8s.io/yaml`).
//!
//! So `yes`, `on` and `y` are booleans, `0644` is octal, `1_000` is a number, `1e3` is the integer 1000 and a date is a
//! string. The rule follows that library's `resolve.go`.

use serde_json::{Number, Value};

/// Largest whole number that an `f64` holds without gaps: 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The meaning of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    /// A string, number, `null`, or one of the booleans of YAML 1.2.
    Value(Value),
    /// A boolean in YAML 1.1 only, such as `yes`: a string in fields of a plan, a boolean in a manifest.
    OldBoolean(bool),
    /// `.inf` or `.nan`, which JSON cannot hold.
    NotFinite,
}

pub(super) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Value(Value::Null),
        "true" | "True" | "TRUE" => Plain::Value(Value::Bool(true)),
        "false" | "False" | "FALSE" => Plain::Value(Value::Bool(false)),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Plain::OldBoolean(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Plain::OldBoolean(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => Plain::NotFinite,
        _ => number(text).unwrap_or_else(|| Plain::Value(Value::String(text.to_owned()))),
    }
}

/// Only texts that begin like a number are looked at, as in `resolve.go`.
fn number(text: &str) -> Option<Plain> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    if let Some(integer) = integer(&digits) {
        return Some(Plain::Value(integer));
    }
    if !is_decimal(&digits) {
        return None;
    }
    let float: f64 = digits.parse().ok()?;
    Some(from_float(float).map_or(Plain::NotFinite, Plain::Value))
}

/// A whole number is sent as an integer, as encoding/json does.
fn from_float(float: f64) -> Option<Value> {
    if float.fract() == 0.0 && float.abs() <= WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Some(Value::from(float as i64));
    }
    Number::from_f64(float).map(Value::Number)
}

/// As Go's `strconv.ParseInt(text, 0, 64)` and `ParseUint`: `0x`, `0o`, `0b`, and a leading zero for octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some(two) if two.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Value::from);
    }
    Some(Value::from(magnitude))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && (fraction.is_empty() || all_digits(fraction)),
        None => all_digits(mantissa),
    };
    mantissa_ok
        && exponent.is_none_or(|exponent| all_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_takes_them_for() {
        for (text, want) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("-0644", json!(-420)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.0", json!(1)),
            ("1.10", json!(1.1)),
            (".5", json!(0.5)),
            ("+12", json!(12)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0_f64)),
            ("2026-11-20", json!("2026-11-20")),
            ("22:30", json!("22:30")),
            ("1.2.3", json!("1.2.3")),
            ("500m", json!("500m")),
            ("10Gi", json!("10Gi")),
            ("-", json!("-")),
            ("+", json!("+")),
            ("-.", json!("-.")),
            (".", json!(".")),
            ("=", json!("=")),
            ("0x", json!("0x")),
            ("1e", json!("1e")),
            ("12e03", json!(12000)),
            ("_1", json!("_1")),
            ("+-1", json!("+-1")),
        ] {
            assert_eq!(plain(text), Plain::Value(want), "{text}");
        }
        assert_eq!(plain("on"), Plain::OldBoolean(true));
        assert_eq!(plain("No"), Plain::OldBoolean(false));
        assert_eq!(plain("-.inf"), Plain::NotFinite);
        assert_eq!(plain("1e999"), Plain::NotFinite);
    }
}
