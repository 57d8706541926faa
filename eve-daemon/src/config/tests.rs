//! Configurations that are right and wrong.

use super::*;

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Diagnostics> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(Source::new("eve.yaml", text), Path::new("/etc/eve"), &Variables::of(variables), &|_| Vec::new())
}

fn problems(text: &str) -> Vec<String> {
    let found = read_with(text, &[]).unwrap_err();
    let line = |problem: &Diagnostic| {
        let place = problem.place.as_ref().map(|place| format!("{}:{}", place.line, place.column));
        format!("{} {}: {}", place.unwrap_or_default(), problem.code, problem.message)
    };
    found.list.iter().map(line).collect()
}

#[test]
fn three_lines_are_a_configuration() {
    let config = read_with("source:\n  directory:\n    path: plans\n", &[]).unwrap();
    assert_eq!(config.source.directory.unwrap().path, Path::new("/etc/eve/plans"));
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let text = "\
source:
  directory: { path: plans }
  sqs: { queueUrl: here, deadLetterQueueUrl: 'https://u:p@sqs.example/1', region: eu-west-1 }
vault:
  address: ftp://vault
  auth: {}
http: { listen: everywhere }
notify:
  - {}
";
    let want = [
        "3:3 config.many-choices: `source` has `directory` and `sqs`; it takes one",
        "3:3 config.no-cluster: plans from a queue are for a cluster of a name, and `cluster` does not say it",
        "3:20 config.bad-url: this is no URL that can be used: relative URL without a base",
        "3:46 config.bad-url: this is no URL that can be used: it holds a user or a password, which a file of this kind \
         must not",
        "5:12 config.bad-url: this is no URL that can be used: it begins with neither `https://` nor `http://`",
        "6:3 config.no-choice: `vault.auth` says nothing",
        "7:17 config.bad-address: an address to listen at is an IP address and a port",
        "9:5 config.no-choice: `notify[0]` says nothing",
    ];
    assert_eq!(problems(text), want);
}

#[test]
fn the_key_of_a_function_is_in_one_place_and_in_vault_only_where_there_is_one() {
    let source = "source: { directory: { path: plans } }\n";
    let vault = "vault: { address: 'https://vault.example', auth: { tokenFile: t } }\n";
    let key = "url: 'https://fn.example/a', key: 'vault:kv/codes'";
    let text = format!("{source}{vault}functions: [{{ {key} }}]\nnotify: [{{ function: {{ {key} }} }}]\n");
    assert_eq!(read_with(&text, &[]).unwrap().functions[0].key.as_deref(), Some("vault:kv/codes"));
    let text =
        format!("{source}functions: [{{ {key}, keyFile: k }}]\nnotify: [{{ function: {{ {key} }} }}]\n");
    let no_vault = "config.no-vault: the key is in Vault, and the configuration has no `vault`";
    let want = [
        "2:49 config.many-choices: a function has `key` or `keyFile`, not both".to_owned(),
        format!("2:49 {no_vault}"),
        format!("3:58 {no_vault}"),
    ];
    assert_eq!(problems(&text), want);
}

#[test]
fn a_namespace_may_have_a_rule_of_its_own_but_not_two() {
    let source = "source: { directory: { path: plans } }\n";
    let rule = "{ name: shop, newerPlan: cancelRunning }";
    let config = read_with(&format!("{source}scheduler: {{ namespaces: [{rule}] }}\n"), &[]).unwrap();
    let found: Vec<_> = config.scheduler.namespaces.iter().map(|one| (&*one.name, one.newer_plan)).collect();
    assert_eq!(found, [("shop", NewerPlan::CancelRunning)]);
    assert_eq!(
        problems(&format!("{source}scheduler: {{ namespaces: [{rule}, {rule}] }}\n")),
        ["2:77 config.doubled-name: the namespace `shop` has an entry already"]
    );
}

#[test]
fn queues_that_sqs_would_refuse_or_that_feed_themselves_are_refused() {
    let text = "\
cluster: east
source:
  sqs:
    queueUrl: https://sqs.example/1/a
    deadLetterQueueUrl: https://sqs.example/1/a
    outcomeQueueUrl: https://sqs.example/1/a
    region: eu-west-1
    wait: 21s
    visibilityTimeout: 13h
";
    let same = "this is the queue that plans come from: whatever is put there would come back as a plan";
    assert_eq!(
        problems(text),
        [
            "4:15 config.not-fifo: plans come from a FIFO queue, and the name of this one does not end with `.fifo`".to_owned(),
            format!("5:25 config.same-queue: {same}"),
            format!("6:22 config.same-queue: {same}"),
            "8:11 config.out-of-range: `source.sqs.wait` must be at most 20 seconds: SQS allows no other".to_owned(),
            "9:24 config.out-of-range: `source.sqs.visibilityTimeout` must be from 1 second to 12 hours: SQS allows no other".to_owned(),
        ]
    );
    let good = text.replacen("1/a", "1/a.fifo", 1).replace("21s", "20s").replace("13h", "12h");
    assert!(read_with(&good, &[]).is_ok());
    let short = good.replace("region: eu-west-1", "region: eu-west-1\n    buckets: [{ name: a }]");
    assert_eq!(
        problems(&short),
        ["8:23 config.too-short: `source.sqs.buckets[0].name` is shorter than 3 characters"]
    );
}

#[test]
fn what_is_judged_elsewhere_is_told_with_everything_else() {
    let text =
        "source: { directory: { path: plans } }\nvault: { address: here, auth: {} }\nlog: { filter: x }\n";
    let judge = |config: &Config| {
        let path = &config.source.directory.as_ref().unwrap().path;
        vec![Wrong::new("/log/filter", "config.bad-filter", path.display().to_string())]
    };
    let found = read(Source::new("eve.yaml", text), Path::new("/etc/eve"), &Variables::default(), &judge);
    let codes: Vec<_> =
        found.unwrap_err().list.iter().map(|one| (one.code.clone(), one.message.clone())).collect();
    assert_eq!(codes.len(), 3, "{codes:?}");
    assert_eq!(codes[2], ("config.bad-filter".into(), "/etc/eve/plans".to_owned()));
}

#[test]
fn misspelt_fields_are_told_with_what_was_meant() {
    let text = "sorce: {}\nscheduler: { namespacesAtOnce: 0, newerPlan: replace }\nshutdown: { grace: 5 }\n";
    let want = [
        "1:1 config.unknown-field: unknown field `sorce` in the configuration",
        "1:1 config.missing-field: the configuration has no `source`",
        "2:32 config.out-of-range: `scheduler.namespacesAtOnce` must be from 1 to 1000, not 0",
        "2:46 config.unknown-value: unknown value `replace` for `scheduler.newerPlan`",
        "3:20 config.wrong-type: `shutdown.grace` must be a text, not the number `5`",
    ];
    assert_eq!(problems(text), want);
}

#[test]
fn environment_lies_over_the_file() {
    let variables = [
        ("EVE_DAEMON__SOURCE__DIRECTORY__PATH", "/var/plans"),
        ("EVE_DAEMON__SCHEDULER__NAMESPACES_AT_ONCE", "3"),
        ("EVE_DAEMON__CLUSTER", "7"),
        ("EVE_LOG", "debug"),
    ];
    let config = read_with("cluster: a\n", &variables).unwrap();
    assert_eq!(config.source.directory.unwrap().path, Path::new("/var/plans"));
    assert_eq!(config.scheduler.namespaces_at_once, Some(3));
    assert_eq!(config.cluster.as_deref(), Some("7"));
}

#[test]
fn variables_that_mean_nothing_are_refused() {
    let text = "source: { directory: { path: plans } }\n";
    for (name, want) in [
        ("EVE_DAEMON__VAULT__ADRESS", "the configuration has no field `adress`"),
        ("EVE_DAEMON__NOTIFY", "it names no single value"),
        ("EVE_DAEMON__SOURCE", "it names no single value"),
        ("EVE_DAEMON__", "the configuration has no field ``"),
    ] {
        let message = read_with(text, &[(name, "x")]).unwrap_err().to_string();
        assert!(
            message.contains(&format!("the variable `{name}` cannot be used: {want}")),
            "{name}: {message}"
        );
    }
    for name in ["EVE_DAEMON__NOTIFY", "EVE_DAEMON__VAULT__ADRESS"] {
        assert_eq!(read_with(text, &[(name, "x")]).unwrap_err().list.len(), 1, "{name} is one problem");
    }
    let message = read_with(text, &[("EVE_DAEMON__SCHEDULER__NAMESPACES_AT_ONCE", "many")]).unwrap_err();
    assert!(message.to_string().contains("must be a whole number, not the text `many`"), "{message}");
}

#[test]
fn two_receivers_of_one_name_are_told_apart_or_refused() {
    let hook = "  - webhook: { url: 'https://hook.example/a?b=1', secretFile: key }\n";
    let text = format!("source: {{ directory: {{ path: plans }} }}\nnotify:\n{hook}{hook}");
    assert_eq!(
        problems(&text),
        ["4:5 config.doubled-name: `https://hook.example/a` is told already by an earlier entry"]
    );
    let named = hook.replace("webhook:", "name: other\n    webhook:");
    let text = format!("source: {{ directory: {{ path: plans }} }}\nnotify:\n{hook}{named}");
    let config = read_with(&text, &[]).unwrap();
    assert_eq!(
        config.notify.iter().map(receiver_name).collect::<Vec<_>>(),
        ["https://hook.example/a", "other"]
    );
}
