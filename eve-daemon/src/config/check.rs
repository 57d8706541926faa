//! What a schema cannot say of a configuration: choices of exactly one, and texts of a form.

use std::net::SocketAddr;

use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::load::Document;
use serde_json::Value;

use super::{Config, FunctionConfig, NotifyConfig};

/// The value of `http.listen` that serves nothing.
pub const OFF: &str = "off";

/// Where exactly one of several fields is wanted.
const CHOICES: [(&str, &[&str]); 3] = [
    ("/source", &["directory", "sqs"]),
    ("/source/sqs/credentials", &["webIdentity", "keyFile"]),
    ("/vault/auth", &["kubernetes", "appRole", "tokenFile"]),
];

/// Something that has the right form and cannot be used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which field, as a JSON Pointer; `None` for what stands in the environment.
    pub pointer: Option<String>,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// Fields that must have the right form for this to be so.
    pub presumes: &'static [&'static str],
}

impl Wrong {
    /// This field is wrong, for this reason.
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), code, message: message.into(), hint: None, presumes: &[] }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

/// Every problem of a configuration that has the form of one.
pub(super) fn problems(document: &Document<Config>) -> Vec<Wrong> {
    let mut problems = Vec::new();
    let config = &document.value;
    problems.extend(keys(document));
    problems.extend(unnamed_cluster(document));
    problems.extend(impossible_queue(document));
    problems.extend(doubled_names(document));
    problems.extend(doubled_namespaces(document));
    for (pointer, url) in urls(config) {
        problems.extend(bad_url(url).map(|reason| {
            Wrong::new(pointer, "config.bad-url", format!("this is no URL that can be used: {reason}"))
        }));
    }
    if let Some(listen) = config.http.listen.as_deref().filter(|listen| *listen != OFF)
        && listen.parse::<SocketAddr>().is_err()
    {
        let message = "an address to listen at is an IP address and a port";
        let problem = Wrong::new("/http/listen", "config.bad-address", message);
        problems.push(problem.with_hint("for example `0.0.0.0:8081`, or `off`".to_owned()));
    }
    problems
}

/// Where exactly one of several fields is to be given, and is not. What is written counts, be it right or wrong.
pub(super) fn choices(document: &Document<Config>) -> Vec<Diagnostic> {
    let notify = document.written().get("notify").and_then(Value::as_array);
    let notified = (0..notify.map_or(0, Vec::len)).map(|index| format!("/notify/{index}"));
    let notified = notified.filter_map(|pointer| exactly_one(document, &pointer, &["function", "webhook"]));
    let all = CHOICES.into_iter().filter_map(|(pointer, choices)| exactly_one(document, pointer, choices));
    all.chain(notified).collect()
}

/// Where there is nothing to look at, that is told already.
fn exactly_one(document: &Document<Config>, pointer: &str, choices: &[&'static str]) -> Option<Diagnostic> {
    let written = document.written().pointer(pointer)?.as_object()?;
    let is_given = |name: &&&str| written.get(**name).is_some_and(|value| !value.is_null());
    let given: Vec<&str> = choices.iter().filter(is_given).copied().collect();
    let names: Vec<String> = choices.iter().map(|name| format!("`{name}`")).collect();
    let is_position = |segment: &str| segment.bytes().all(|byte| byte.is_ascii_digit());
    let shown =
        |segment: &str| if is_position(segment) { format!("[{segment}]") } else { format!(".{segment}") };
    let field: String = pointer.split('/').skip(1).map(shown).collect();
    let field = field.trim_start_matches('.');
    match given.as_slice() {
        [] => {
            let message = format!("`{field}` says nothing");
            let problem = document.problem_written("config.no-choice", pointer, message);
            Some(problem.with_hint(format!("give one of {}", names.join(", "))))
        }
        [_] => None,
        [first, second, ..] => {
            let message = format!("`{field}` has `{first}` and `{second}`; it takes one");
            let at = format!("{pointer}/{second}");
            let problem = document.problem_written("config.many-choices", &at, message);
            Some(problem.with_hint("remove all but one".to_owned()))
        }
    }
}

/// The key of a function is in one place at most, and in Vault only where there is one.
fn keys(document: &Document<Config>) -> Vec<Wrong> {
    let has_vault = document.written().get("vault").is_some_and(|vault| !vault.is_null());
    let mut problems = Vec::new();
    for (pointer, function) in functions(&document.value) {
        let at = format!("{pointer}/key");
        if function.key.is_some() && function.key_file.is_some() {
            let message = "a function has `key` or `keyFile`, not both";
            problems.push(Wrong::new(&at, "config.many-choices", message).with_hint("remove one".to_owned()));
        }
        if function.key.is_some() && !has_vault {
            let message = "the key is in Vault, and the configuration has no `vault`";
            problems.push(Wrong::new(at, "config.no-vault", message));
        }
    }
    problems
}

/// Every function, and where it stands.
fn functions(config: &Config) -> impl Iterator<Item = (String, &FunctionConfig)> {
    let called = config.functions.iter().enumerate();
    let called = called.map(|(index, function)| (format!("/functions/{index}"), function));
    let told =
        config.notify.iter().enumerate().filter_map(|(index, notify)| {
            Some((format!("/notify/{index}/function"), notify.function.as_ref()?))
        });
    called.chain(told)
}

/// A queue may serve several clusters: who receives from it must know which one it is.
fn unnamed_cluster(document: &Document<Config>) -> Option<Wrong> {
    let config = &document.value;
    let is_named = document.written().get("cluster").is_some_and(|name| !name.is_null());
    (config.source.sqs.is_some() && !is_named).then(|| {
        let message = "plans from a queue are for a cluster of a name, and `cluster` does not say it";
        let problem = Wrong::new("/source/sqs", "config.no-cluster", message);
        problem.with_hint("give the name that messages say, for example `cluster: prod-eu-1`".to_owned())
    })
}

/// What SQS would refuse, and queues that feed themselves. The bounds are those of `ReceiveMessage` (API reference of SQS).
fn impossible_queue(document: &Document<Config>) -> Vec<Wrong> {
    let Some(sqs) = &document.value.source.sqs else { return Vec::new() };
    let at = |field: &str| format!("/source/sqs/{field}");
    let mut problems = Vec::new();
    let is_fifo = |url: &str| {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        // Names of queues keep their case.
        path.rsplit_once('.').is_some_and(|(_, ending)| ending == "fifo")
    };
    if bad_url(&sqs.queue_url).is_none() && !is_fifo(&sqs.queue_url) {
        let message = "plans come from a FIFO queue, and the name of this one does not end with `.fifo`";
        let problem = Wrong::new(at("queueUrl"), "config.not-fifo", message);
        problems
            .push(problem.with_hint("only such a queue keeps plans of one namespace in order".to_owned()));
    }
    for (field, url) in [
        ("deadLetterQueueUrl", Some(&sqs.dead_letter_queue_url)),
        ("outcomeQueueUrl", sqs.outcome_queue_url.as_ref()),
    ] {
        if url == Some(&sqs.queue_url) {
            let message =
                "this is the queue that plans come from: whatever is put there would come back as a plan";
            let problem = Wrong::new(at(field), "config.same-queue", message);
            problems.push(problem.with_hint("name a queue of its own".to_owned()));
        }
    }
    for (field, time, range, words) in [
        ("wait", sqs.wait, 0..=20, "at most 20 seconds"),
        ("visibilityTimeout", sqs.visibility_timeout, 1..=12 * 3600, "from 1 second to 12 hours"),
    ] {
        let given = time.map(|time| time.0.as_secs()).filter(|seconds| !range.contains(seconds));
        problems.extend(given.map(|_| {
            let message = format!("`source.sqs.{field}` must be {words}: SQS allows no other");
            Wrong::new(at(field), "config.out-of-range", message)
        }));
    }
    problems
}

/// What the journal knows somebody by who is told.
pub fn receiver_name(notify: &NotifyConfig) -> String {
    let plain = |url: &str| url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let function = notify.function.as_ref().map(|function| plain(&function.url));
    let url = function.or_else(|| notify.webhook.as_ref().map(|webhook| plain(&webhook.url)));
    notify.name.clone().or(url).unwrap_or_default()
}

/// Two receivers of one name would be one.
fn doubled_names(document: &Document<Config>) -> Vec<Wrong> {
    let names: Vec<String> = document.value.notify.iter().map(receiver_name).collect();
    let doubled = names.iter().enumerate().filter(|(index, name)| {
        !name.is_empty() && names.iter().take(*index).any(|earlier| earlier == *name)
    });
    doubled
        .map(|(index, name)| {
            let message = format!("`{name}` is told already by an earlier entry");
            let problem = Wrong::new(format!("/notify/{index}"), "config.doubled-name", message);
            problem.with_hint("give it another `name`, or remove it".to_owned())
        })
        .collect()
}

/// Of two entries for one namespace one would count.
fn doubled_namespaces(document: &Document<Config>) -> Vec<Wrong> {
    let all = &document.value.scheduler.namespaces;
    let doubled = all
        .iter()
        .enumerate()
        .filter(|(index, one)| all.iter().take(*index).any(|earlier| earlier.name == one.name));
    doubled
        .map(|(index, one)| {
            let message = format!("the namespace `{}` has an entry already", one.name.escape_debug());
            let pointer = format!("/scheduler/namespaces/{index}/name");
            Wrong::new(pointer, "config.doubled-name", message).with_hint("remove one of the two".to_owned())
        })
        .collect()
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
    }
    urls.extend(config.vault.as_ref().map(|vault| ("/vault/address".to_owned(), vault.address.as_str())));
    urls.extend(functions(config).map(|(at, function)| (format!("{at}/url"), function.url.as_str())));
    for (index, notify) in config.notify.iter().enumerate() {
        let webhook = notify.webhook.as_ref().map(|webhook| webhook.url.as_str());
        urls.extend(webhook.map(|url| (format!("/notify/{index}/webhook/url"), url)));
    }
    urls
}

/// Why a text is no URL of a server, if it is none.
pub fn bad_url(text: &str) -> Option<String> {
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
