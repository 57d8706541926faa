//! One line of the audit log as the API server writes it (`audit.k8s.io/v1`, kind Event); only what an entry needs.

use serde::Deserialize;

use super::entries::Entry;

#[derive(Deserialize)]
pub(super) struct Line {
    #[serde(rename = "auditID")]
    pub(super) audit_id: String,
    pub(super) stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    #[serde(rename = "impersonatedUser")]
    impersonated: Option<User>,
    #[serde(rename = "userAgent", default)]
    user_agent: String,
    #[serde(rename = "objectRef", default)]
    object: Object,
    #[serde(rename = "responseStatus")]
    status: Option<Status>,
    #[serde(rename = "requestReceivedTimestamp")]
    received: String,
    #[serde(rename = "stageTimestamp", default)]
    stage_at: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Line {
    pub(super) fn into_entry(self, position: usize) -> Entry {
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        let dry_run = query.split('&').any(|pair| pair.split('=').next() == Some("dryRun"));
        Entry {
            position,
            user: self.user.username,
            impersonated: self.impersonated.map(|user| user.username),
            verb: self.verb,
            group: self.object.api_group,
            resource: self.object.resource,
            subresource: self.object.subresource,
            namespace: self.object.namespace,
            name: self.object.name,
            dry_run,
            uri: self.uri,
            code: self.status.and_then(|status| status.code),
            user_agent: self.user_agent,
            received: self.received,
            answered: (self.stage == "ResponseComplete").then_some(self.stage_at),
        }
    }
}
