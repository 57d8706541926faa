//! What a schema cannot say of a configuration: choices of exactly one, and texts of a form.

use std::net::SocketAddr;

use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::load::Document;

use super::Config;

/// The value of `http.listen` that serves nothing.
pub(super) const OFF: &str = "off";

/// Every problem of a configuration that has the form of one.
pub(super) fn problems(document: &Document<Config>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let config = &document.value;
    let source = &config.source;
    let mut one_of = |pointer: &str, choices: &[(&str, bool)]| {
        problems.extend(exactly_one(document, pointer, choices));
    };
    one_of("/source", &[("directory", source.directory.is_some()), ("sqs", source.sqs.is_some())]);
    if let Some(credentials) = source.sqs.as_ref().and_then(|sqs| sqs.credentials.as_ref()) {
        let choices = [
            ("webIdentity", credentials.web_identity.is_some()),
            ("keyFile", credentials.key_file.is_some()),
        ];
        one_of("/source/sqs/credentials", &choices);
    }
    if let Some(vault) = &config.vault {
        let auth = &vault.auth;
        let choices = [
            ("kubernetes", auth.kubernetes.is_some()),
            ("appRole", auth.app_role.is_some()),
            ("tokenFile", auth.token_file.is_some()),
        ];
        one_of("/vault/auth", &choices);
    }
    for (index, notify) in config.notify.iter().enumerate() {
        let choices = [("function", notify.function.is_some()), ("webhook", notify.webhook.is_some())];
        one_of(&format!("/notify/{index}"), &choices);
    }
    for (pointer, url) in urls(config) {
        problems.extend(bad_url(url).map(|reason| {
            document.problem("config.bad-url", &pointer, format!("this is no URL that can be used: {reason}"))
        }));
    }
    if let Some(listen) = config.http.listen.as_deref().filter(|listen| *listen != OFF)
        && listen.parse::<SocketAddr>().is_err()
    {
        let message = "an address to listen at is an IP address and a port";
        let problem = document.problem("config.bad-address", "/http/listen", message);
        problems.push(problem.with_hint("for example `0.0.0.0:8081`, or `off`".to_owned()));
    }
    problems
}

fn exactly_one(document: &Document<Config>, pointer: &str, choices: &[(&str, bool)]) -> Option<Diagnostic> {
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
    let is_position = |segment: &str| segment.bytes().all(|byte| byte.is_ascii_digit());
    let shown =
        |segment: &str| if is_position(segment) { format!("[{segment}]") } else { format!(".{segment}") };
    let field: String = pointer.split('/').skip(1).map(shown).collect();
    let field = field.trim_start_matches('.');
    let given: Vec<&str> = choices.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    match given.as_slice() {
        [] => {
            let message = format!("`{field}` says nothing");
            let problem = document.problem("config.no-choice", pointer, message);
            Some(problem.with_hint(format!("give one of {}", names.join(", "))))
        }
        [_] => None,
        [first, second, ..] => {
            let message = format!("`{field}` has `{first}` and `{second}`; it takes one");
            let problem = document.problem("config.many-choices", &format!("{pointer}/{second}"), message);
            Some(problem.with_hint("remove all but one".to_owned()))
        }
    }
}

/// Every URL of a configuration and where it stands.
fn urls(config: &Config) -> Vec<(String, &str)> {
    let mut urls: Vec<(String, &str)> = Vec::new();
    if let Some(sqs) = &config.source.sqs {
        let at = |field: &str| format!("/source/sqs/{field}");
        urls.push((at("queueUrl"), &sqs.queue_url));
        urls.push((at("deadLetterQueueUrl"), &sqs.dead_letter_queue_url));
        urls.extend(sqs.outcome_queue_url.as_deref().map(|url| (at("outcomeQueueUrl"), url)));
        urls.extend(sqs.endpoint.as_deref().map(|url| (at("endpoint"), url)));
        let identity = sqs.credentials.as_ref().and_then(|credentials| credentials.web_identity.as_ref());
        let sts = identity.and_then(|identity| identity.endpoint.as_deref());
        urls.extend(sts.map(|url| (at("credentials/webIdentity/endpoint"), url)));
    }
    urls.extend(config.vault.as_ref().map(|vault| ("/vault/address".to_owned(), vault.address.as_str())));
    for (index, notify) in config.notify.iter().enumerate() {
        let function = notify.function.as_ref().map(|function| function.url.as_str());
        urls.extend(function.map(|url| (format!("/notify/{index}/function/url"), url)));
        let webhook = notify.webhook.as_ref().map(|webhook| webhook.url.as_str());
        urls.extend(webhook.map(|url| (format!("/notify/{index}/webhook/url"), url)));
    }
    urls
}

/// Why a text is no URL of a server, if it is none.
fn bad_url(text: &str) -> Option<String> {
    let url = match url::Url::parse(text) {
        Ok(url) => url,
        Err(error) => return Some(error.to_string()),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Some("it begins with neither `https://` nor `http://`".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("it holds a user or a password, which a file of this kind must not".into());
    }
    url.host_str().is_none().then(|| "it names no host".into())
}
