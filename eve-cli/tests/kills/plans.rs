//! The plans that are killed: one that succeeds, one that fails and drains, one that fails and continues. How each ends
//! depends on no race, so that an undisturbed run says how a killed one must end.

use std::fmt;
use std::fmt::Write as _;

/// Stands in a Secret of every plan, and may stand in no file of eve's.
pub(super) const CANARY: &str = "c0ffee-4-the-canary";
/// The same as the Secret has it: base64.
pub(super) const CANARY_CODED: &str = "YzBmZmVlLTQtdGhlLWNhbmFyeQ==";
/// The `ConfigMap` that a plan waits for until somebody else makes it, once the run is stopping.
pub(super) const GATE: &str = "gate";
/// The `ConfigMap` of a plan that somebody else made before.
pub(super) const FOUND: &str = "settings";
/// The label of objects whose writes the API server cannot decide on, because their webhook cannot be reached.
pub(super) const UNDECIDED: &str = "undecided";

/// One of the plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plan {
    /// Succeeds.
    Grow,
    /// Fails at a Job. What does not depend on it and waits is skipped, because the run stops.
    Drain,
    /// Fails at an object that is refused three times. What does not depend on it goes on.
    Continue,
}

impl Plan {
    pub(super) const ALL: [Self; 3] = [Self::Grow, Self::Drain, Self::Continue];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.to_string() == name)
    }

    pub(super) fn text(self, namespace: &str) -> String {
        let (policy, components) = match self {
            Self::Grow => ("drain", grow()),
            Self::Drain => ("drain", drain()),
            Self::Continue => ("continue", continues()),
        };
        let mut text = format!(
            "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: {self}, namespace: {namespace} }}\n\
             spec:\n  onFailure: {policy}\n  components:\n"
        );
        for Component { name, after, more, objects } in components {
            let _ = write!(
                text,
                "    - name: {name}\n      dependsOn: [{after}]\n      {more}\n      manifests:\n        objects:\n"
            );
            for object in objects {
                let _ = writeln!(text, "          - {object}");
            }
        }
        text
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grow => "grow",
            Self::Drain => "drain",
            Self::Continue => "continue",
        })
    }
}

struct Component {
    name: &'static str,
    after: &'static str,
    more: &'static str,
    objects: Vec<String>,
}

fn component(name: &'static str, after: &'static str, objects: Vec<String>) -> Component {
    Component { name, after, more: "", objects }
}

/// A Deployment whose pod is ready after this time.
fn service(name: &'static str, after: &'static str, delay: &str) -> Component {
    component(name, after, vec![deployment(name, delay)])
}

fn deployment(name: &str, delay: &str) -> String {
    format!(
        "{{ apiVersion: apps/v1, kind: Deployment, metadata: {{ name: {name} }}, spec: {{ \
         selector: {{ matchLabels: {{ app: {name} }} }}, template: {{ metadata: {{ labels: {{ app: {name} }}, \
         annotations: {{ testbed.eve.dev/stage: slow, testbed.eve.dev/delay: {delay} }} }}, \
         spec: {{ containers: [{{ name: main, image: \"registry.example.com/{name}:1\" }}] }} }} }} }}"
    )
}

fn job(name: &'static str, after: &'static str, stage: &str) -> Component {
    let object = format!(
        "{{ apiVersion: batch/v1, kind: Job, metadata: {{ name: {name} }}, spec: {{ backoffLimit: 0, \
         template: {{ metadata: {{ annotations: {{ testbed.eve.dev/stage: {stage} }} }}, spec: {{ restartPolicy: Never, \
         containers: [{{ name: main, image: \"registry.example.com/{name}:1\" }}] }} }} }} }}"
    );
    component(name, after, vec![object])
}

fn settings(name: &'static str, after: &'static str) -> Component {
    let object =
        format!("{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: {name} }}, data: {{ a: b }} }}");
    component(name, after, vec![object])
}

fn password() -> Component {
    let object = format!(
        "{{ apiVersion: v1, kind: Secret, metadata: {{ name: password }}, data: {{ password: {CANARY_CODED} }} }}"
    );
    component("password", "", vec![object])
}

/// Ten components: a diamond, a Job aside of it, one slow one that nobody waits for, one of two objects.
fn grow() -> Vec<Component> {
    let service_object = "{ apiVersion: v1, kind: Service, metadata: { name: front }, spec: { selector: { app: front }, \
                          ports: [{ port: 80 }] } }";
    vec![
        settings(FOUND, ""),
        password(),
        service("base", "settings, password", "100ms"),
        service("left", "base", "600ms"),
        service("right", "base", "0s"),
        service("join", "left, right", "0s"),
        job("migrate", "base", "complete"),
        service("api", "migrate", "300ms"),
        component("front", "join, api", vec![service_object.to_owned(), deployment("front", "0s")]),
        service("aside", "", "1200ms"),
    ]
}

/// The Job fails when nothing but the gate is under way, and the gate opens when the run is stopping.
fn drain() -> Vec<Component> {
    let gate = settings(GATE, "");
    vec![
        password(),
        service("base", "password", "0s"),
        service("left", "base", "300ms"),
        service("right", "base", "0s"),
        service("join", "left, right", "0s"),
        job("bad", "join", "job-failed"),
        service("behind", "bad", "0s"),
        service("last", "behind, join", "0s"),
        Component { more: "action: read", ..gate },
        service("late", "gate", "0s"),
    ]
}

fn continues() -> Vec<Component> {
    let refused = format!(
        "{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: bad, labels: {{ {UNDECIDED}: \"yes\" }} }} }}"
    );
    let bad = component("bad", "base", vec![refused]);
    vec![
        password(),
        service("base", "password", "0s"),
        service("left", "base", "300ms"),
        service("right", "base", "0s"),
        service("join", "left, right", "0s"),
        Component { more: "retry: { attempts: 3, backoff: 200ms }", ..bad },
        service("behind", "bad", "0s"),
        service("last", "behind, join", "0s"),
        job("migrate", "join", "complete"),
        service("aside", "", "1200ms"),
    ]
}
