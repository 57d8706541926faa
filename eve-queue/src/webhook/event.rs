//! A notice as a CloudEvent 1.0 in structured JSON. Pure: the same notice gives the same bytes.

use eve_core::failure::Failure;
use eve_core::ports::Notice;
use eve_core::time::Timestamp;
use serde::Serialize;

/// The attributes of CloudEvents 1.0 (specification, section 3), and the notice.
#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    datacontenttype: &'static str,
    data: &'a Notice,
}

/// The bytes of the event.
pub(super) fn of(notice: &Notice, source: &str) -> Result<Vec<u8>, Failure> {
    let subject = match (notice.namespace.as_str(), notice.plan.as_str()) {
        ("", "") => None,
        (namespace, plan) => Some(format!("{namespace}/{plan}")),
    };
    let event = Event {
        specversion: "1.0",
        id: &notice.key,
        source,
        r#type: format!("dev.eve.run.{}", notice.ending),
        subject,
        time: rfc3339(notice.at)?,
        datacontenttype: "application/json",
        data: notice,
    };
    serde_json::to_vec(&event)
        .map_err(|error| Failure::misuse("webhook.notice", format!("the notice is no JSON: {error}")))
}

fn rfc3339(at: Timestamp) -> Result<String, Failure> {
    at.to_rfc3339()
        .ok_or_else(|| Failure::misuse("webhook.notice", "the time of the notice is beyond every calendar"))
}

#[cfg(test)]
mod tests {
    use eve_core::ids::RunId;
    use eve_core::ports::Ending;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_has_what_cloudevents_asks_for_and_the_notice_as_data() {
        let notice = Notice {
            run: Some(RunId::new("r-1")),
            plan: "shop".into(),
            namespace: "team".into(),
            sequence: 3,
            ..Notice::new("r-1-outcome", Timestamp::from_micros(1_700_000_000_250_000), Ending::Succeeded)
        };
        let event: Value = serde_json::from_slice(&of(&notice, "/clusters/east").unwrap()).unwrap();
        assert_eq!(
            event,
            json!({
                "specversion": "1.0",
                "id": "r-1-outcome",
                "source": "/clusters/east",
                "type": "dev.eve.run.succeeded",
                "subject": "team/shop",
                "time": "2023-11-14T22:13:20.250000Z",
                "datacontenttype": "application/json",
                "data": {
                    "key": "r-1-outcome", "at": "2023-11-14T22:13:20.250000Z", "sequence": 3, "run": "r-1",
                    "plan": "shop", "namespace": "team", "ending": "succeeded",
                },
            })
        );
        let refused = Notice::new("x", Timestamp::EPOCH, Ending::Refused);
        let event: Value = serde_json::from_slice(&of(&refused, "/c").unwrap()).unwrap();
        assert_eq!(event.get("subject"), None);
    }

    #[test]
    fn a_time_beyond_every_calendar_is_refused() {
        let notice = Notice::new("x", Timestamp::MAX, Ending::Failed);
        assert_eq!(of(&notice, "/c").unwrap_err().code, "webhook.notice");
    }
}
