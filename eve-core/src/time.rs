//! Time as data: points in time that the engine is told, never asks for.
//!
//! This module reads no clock. [`Clock`](crate::ports::Clock) is the port through which a driver learns the time.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: whole microseconds since 1970-01-01T00:00:00Z.
///
/// 64 bits reach beyond the year 580,000; arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// Later than every deadline.
    pub const MAX: Self = Self(u64::MAX);

    /// The point this many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This point moved into the future.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// In UTC, as RFC 3339 has it, with six digits of a second, so that texts sort as the times do. `None` beyond the year 9999.
    ///
    /// The calendar is that of `civil_from_days`, Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    pub fn to_rfc3339(self) -> Option<String> {
        let (seconds, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, year) =
            if month < 10 { (month + 3, year + era * 400) } else { (month - 9, year + era * 400 + 1) };
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        (year <= 9999)
            .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"))
    }

    /// The point that [`Timestamp::to_rfc3339`] wrote so; `None` for any other text.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<u64> {
            let digits = text.get(from..to)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (month, year) = if month > 2 { (month - 3, year) } else { (month + 9, year.checked_sub(1)?) };
        let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
        let of_day = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let seconds = days.checked_sub(719_468)? * 86_400 + of_day;
        let found = Self(seconds * 1_000_000 + number(20, 26)?);
        (found.to_rfc3339().as_deref() == Some(text)).then_some(found)
    }

    /// This point moved into the past, not before the epoch.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_one_form_and_read_back() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_700_000_000_250_000, "2023-11-14T22:13:20.250000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(at.to_rfc3339().as_deref(), Some(text));
            assert_eq!(Timestamp::from_rfc3339(text), Some(at));
        }
        for beyond in [Timestamp::from_micros(253_402_300_800_000_000), Timestamp::MAX] {
            assert_eq!(beyond.to_rfc3339(), None);
        }
    }

    #[test]
    fn what_is_no_time_is_not_read_as_one() {
        for text in [
            "",
            "2023-11-14",
            "2023-11-14T22:13:20Z",
            "2023-02-30T22:13:20.250000Z",
            "2023-13-14T22:13:20.250000Z",
            "2023-00-14T22:13:20.250000Z",
            "2023-11-14T24:13:20.250000Z",
            "2023-11-14T22:13:20.250000+01:00",
            "1969-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00.000000Z",
            "2023-11-14T22:13:20.25000äZ",
            "+023-11-14T22:13:20.250000Z",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }
}
