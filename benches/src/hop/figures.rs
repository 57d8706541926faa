//! From the audit log and the clock to figures, and from figures to goals met or not. Pure.

use eve_testbed::Entries;

use super::objects::Workload;

/// The middle of some values, the mean of the two middle ones of an even number; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// For each object of a chain but the first: milliseconds from the end of the answer to the status write of the one
/// before to the arrival of the request that applies it. May be below zero: a watch may tell before the answer is out.
///
/// `entries` are those of one namespace; a missing request leaves its hop out.
pub fn hops_ms(entries: &Entries, workload: Workload, count: usize) -> Vec<f64> {
    let micros = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
    let reported = |index: usize| {
        let name = workload.name(index);
        let mut writes = entries.iter().filter(|entry| entry.subresource == "status" && entry.name == name);
        writes.find_map(|entry| micros(entry.answered.as_deref()?))
    };
    let applied = |index: usize| {
        let name = workload.name(index);
        let mut writes = entries.iter().filter(|entry| is_apply(entry) && entry.name == name);
        writes.find_map(|entry| micros(&entry.received))
    };
    let hop = |index: usize| Some(applied(index)? - reported(index - 1)?);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a bench are far below 2^52")]
    (1..count).filter_map(hop).map(|micros| micros as f64 / 1000.0).collect()
}

/// A write to the object itself by the contender; dry runs and writes to the status are none.
pub fn is_apply(entry: &eve_testbed::Entry) -> bool {
    entry.user == "eve" && entry.is_write() && entry.subresource.is_empty()
}

/// What a figure must be, compared with the yardstick's in the run beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most so much more than the yardstick.
    MoreAtMost(f64),
    /// At most so many times the yardstick.
    TimesAtMost(f64),
    /// At least so many times the yardstick.
    TimesAtLeast(f64),
    /// Below this, whatever the yardstick has.
    Below(f64),
}

impl Goal {
    /// The figure that the goal is about, from those of two neighbours.
    pub fn compare(self, eve: f64, yardstick: f64) -> f64 {
        match self {
            Self::MoreAtMost(_) => eve - yardstick,
            Self::TimesAtMost(_) | Self::TimesAtLeast(_) => eve / yardstick,
            Self::Below(_) => eve,
        }
    }

    /// Whether a figure that [`Goal::compare`] gave meets the goal.
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Self::MoreAtMost(limit) | Self::TimesAtMost(limit) => figure <= limit,
            Self::TimesAtLeast(limit) => figure >= limit,
            Self::Below(limit) => figure < limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn goals_compare_neighbours() {
        for (goal, eve, yardstick, met) in [
            (Goal::MoreAtMost(5.0), 6.0, 1.5, true),
            (Goal::MoreAtMost(5.0), 7.0, 1.5, false),
            (Goal::TimesAtMost(1.2), 1.2, 1.0, true),
            (Goal::TimesAtMost(1.2), 1.3, 1.0, false),
            (Goal::TimesAtLeast(0.8), 80.0, 100.0, true),
            (Goal::TimesAtLeast(0.8), 79.0, 100.0, false),
            (Goal::Below(100.0), 99.0, 1.0, true),
            (Goal::Below(100.0), 100.0, 1.0, false),
        ] {
            assert_eq!(goal.is_met(goal.compare(eve, yardstick)), met, "{goal:?} {eve} {yardstick}");
        }
    }

    fn line(user: &str, name: &str, received: &str, answered: &str) -> String {
        let (name, subresource) = name.split_once('/').unwrap_or((name, ""));
        serde_json::json!({
            "auditID": received, "stage": "ResponseComplete", "verb": "patch", "requestURI": "/x",
            "user": { "username": user },
            "objectRef": { "resource": "deployments", "namespace": "a", "name": name, "subresource": subresource },
            "requestReceivedTimestamp": format!("2026-01-01T00:00:{received}Z"),
            "stageTimestamp": format!("2026-01-01T00:00:{answered}Z"),
        })
        .to_string()
    }

    #[test]
    fn a_hop_goes_from_the_answer_to_the_status_to_the_next_apply() {
        let workload = Workload::Deployments;
        let lines = [
            line("eve", "hop-0000", "00.000000", "00.001000"),
            line("admin", "hop-0000/status", "00.010000", "00.012000"),
            line("eve", "hop-0001", "00.013500", "00.015000"),
            line("admin", "hop-0001/status", "01.000000", "01.002000"),
            line("eve", "hop-0002", "01.001750", "01.003000"),
        ];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{}", lines.join("\n")).unwrap();
        let entries = Entries::from_file(file.path()).unwrap();
        assert_eq!(hops_ms(&entries, workload, 3), [1.5, -0.25]);
        assert_eq!(hops_ms(&entries, workload, 4), [1.5, -0.25], "what was not asked for is left out");
    }
}
