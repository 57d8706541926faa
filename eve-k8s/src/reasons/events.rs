//! Events as lines for people: those that say the same of many pods are one. Pure.

use serde_json::Value;

use crate::readiness::{integer, text};

/// How the API machinery begins when it stops counting events one by one (`client-go/tools/record`).
const COMBINED: &str = "(combined from similar events): ";

/// One line for each thing that events say, in the order of the last time it was said; `events` are ordered by time.
/// Messages that differ only in what they quote say the same.
pub(crate) fn grouped(events: &[Value]) -> Vec<String> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for event in events {
        let mut group = Group::of(event);
        if let Some(index) = groups.iter().position(|known| known.key == group.key) {
            group.times += groups.remove(index).times;
        }
        groups.push(group);
    }
    groups.iter().map(Group::line).collect()
}

/// What an event says, without what says only that it is not the first.
pub(super) fn message(event: &Value) -> &str {
    let message = text(event, "/message").trim();
    message.strip_prefix(COMBINED).unwrap_or(message)
}

struct Group<'a> {
    /// The reason, and the message without what it quotes.
    key: (&'a str, String),
    message: &'a str,
    times: i64,
}

impl<'a> Group<'a> {
    fn of(event: &'a Value) -> Self {
        let message = message(event);
        let unquoted: String = message.split('"').step_by(2).collect();
        let series = integer(event, "/series/count");
        let times = series.or_else(|| integer(event, "/count")).unwrap_or(1).max(1);
        Self { key: (text(event, "/reason"), unquoted), message, times }
    }

    fn line(&self) -> String {
        let times = if self.times > 1 { format!(" ({} times)", self.times) } else { String::new() };
        format!("{}{times}: {}", self.key.0, self.message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_that_say_the_same_are_one_line_where_they_were_said_last() {
        let refused = |pod: &str, count: i64| {
            json!({ "reason": "FailedCreate", "count": count,
                    "message": format!("pods \"{pod}\" is forbidden: exceeded quota") })
        };
        let mut combined = refused("web-d", 7);
        combined["message"] = json!(format!("{COMBINED}{}", text(&combined, "/message")));
        let other = json!({ "reason": "SuccessfulCreate", "message": "Created pod: web-b" });
        let series = json!({ "reason": "FailedScheduling", "message": "no node", "series": { "count": 3 } });
        for (events, lines) in [
            (vec![], vec![]),
            (vec![refused("web-a", 1)], vec!["FailedCreate: pods \"web-a\" is forbidden: exceeded quota"]),
            (
                vec![refused("web-a", 1), other.clone(), refused("web-c", 2), combined],
                vec![
                    "SuccessfulCreate: Created pod: web-b",
                    "FailedCreate (10 times): pods \"web-d\" is forbidden: exceeded quota",
                ],
            ),
            (vec![series], vec!["FailedScheduling (3 times): no node"]),
            (vec![json!({})], vec![": "]),
        ] {
            assert_eq!(grouped(&events), lines, "{events:?}");
        }
    }
}
