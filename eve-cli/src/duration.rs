//! Lengths of time as people write and read them: Go's notation in, a short form out.

use std::time::Duration;

/// A length such as `90s`, `1h30m`, `1.5h`, `250ms` or `0`, as Go's `time.ParseDuration` reads it, without a sign.
///
/// # Errors
/// A sentence for whoever wrote it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{}` is no duration; write for example 90s, 5m or 1h30m", text.escape_debug());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        sum += number.parse::<f64>().map_err(|_| wrong())? * unit_s(unit).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    // Rounded to what a Timestamp can hold, so that 0.1s is 100 ms and not a little more.
    Duration::try_from_secs_f64((sum * 1e6).round() / 1e6).map_err(|_| wrong())
}

fn unit_s(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

/// The length for people: `0.4s`, `12.3s`, `4m 05s`, `2h 03m`. Cut, never rounded up.
pub(crate) fn show(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..60 => format!("{s}.{}s", duration.subsec_millis() / 100),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s / 60 % 60),
    }
}

/// The length in whole seconds, for displays that change while one looks: `0s`, `12s`, `4m 05s`.
pub(crate) fn show_whole(duration: Duration) -> String {
    if duration.as_secs() < 60 { format!("{}s", duration.as_secs()) } else { show(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, ms) in [
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0.1s", Some(100)),
            ("1m0.5s", Some(60_500)),
            ("", None),
            ("90", None),
            ("s", None),
            ("5 m", None),
            ("-5m", None),
            ("5d", None),
            ("1..5s", None),
            ("9999999999999999999999h", None),
        ] {
            assert_eq!(parse(text).ok(), ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_short() {
        for (ms, text) in
            [(0, "0.0s"), (449, "0.4s"), (59_999, "59.9s"), (245_000, "4m 05s"), (7_380_000, "2h 03m")]
        {
            assert_eq!(show(Duration::from_millis(ms)), text);
        }
    }
}
