//! The folders, one row each.

use super::generated;
use super::row::{Edit, Foreign, How, Operator, Report, Row, Then};

/// A change that eve has nothing to do with.
const fn strange(path: &'static str, body: &'static str) -> Foreign {
    Foreign { by: "stranger", how: How::Update, path, body, then: Then::Nothing }
}

/// A change that eve puts right.
const fn lost(path: &'static str, body: &'static str) -> Foreign {
    Foreign { by: "stranger", how: How::Update, path, body, then: Then::PutRight }
}

/// A change that eve would have to undo by taking fields over.
const fn taken(by: &'static str, path: &'static str, body: &'static str, undo: &'static str) -> Foreign {
    Foreign { by, how: How::Update, path, body, then: Then::Conflict(undo) }
}

/// An object that somebody deletes.
const fn deleted(path: &'static str) -> Foreign {
    let body = r#"{"propagationPolicy":"Foreground"}"#;
    Foreign { by: "stranger", how: How::Delete, path, body, then: Then::Create }
}

/// What another server-side apply says, too.
const fn applied(path: &'static str, body: &'static str, then: Then) -> Foreign {
    Foreign { by: "other-applier", how: How::Apply, path, body, then }
}

pub(crate) static OPERATOR: Row = Row {
    name: "operator",
    objects: 17,
    namespaces: &[],
    operators: &[Operator {
        collection: "data.example.dev/v1/caches",
        finalizer: Some("data.example.dev/clean-up"),
        report: Report::Conditions(&["Ready"]),
    }],
    edit: Edit { file: "resources.yaml", from: "ratio: 0.50", to: "ratio: 0.75", written: "caches/sessions" },
    foreign: &[
        // As an injector of certificates does.
        strange(
            "mutatingwebhookconfigurations/cache-operator",
            r#"{"metadata":{"annotations":{"example.com/injected":"yes"}}}"#,
        ),
        taken(
            "kubectl-scale",
            "caches/sessions/scale",
            r#"{"spec":{"replicas":5}}"#,
            r#"{"spec":{"replicas":2}}"#,
        ),
        lost("caches/sessions", r#"{"spec":{"podTemplate":{"metadata":{"labels":{"app":null}}}}}"#),
        lost("caches/sessions", r#"{"spec":{"podLabels":null}}"#),
        strange("caches/sessions", r#"{"spec":{"podLabels":{"mesh":"on"}}}"#),
        // Where the server cannot follow a write through another version, it forgets who owns what, all of it.
        lost("caches/archive/status", r#"{"status":{"note":"seen"}}"#),
        deleted("caches/pages"),
        lost(
            "customresourcedefinitions/cacheclasses.data.example.dev",
            r#"{"metadata":{"labels":{"eve.dev/plan":null}}}"#,
        ),
        applied(
            "caches/sessions",
            r#"{"apiVersion":"data.example.dev/v1","kind":"Cache","metadata":{"name":"sessions"},"spec":{"zones":["b","a"],"listeners":[{"port":7000}]}}"#,
            Then::Nothing,
        ),
        taken("kubectl-edit", "caches/pages", r#"{"spec":{"size":"2G"}}"#, r#"{"spec":{"size":1000000000}}"#),
    ],
};

pub(crate) static GATEWAY: Row = Row {
    name: "gateway",
    objects: 13,
    namespaces: &[],
    operators: &[
        Operator {
            collection: "gateway.networking.k8s.io/v1/gatewayclasses",
            finalizer: Some("gateway-exists-finalizer.gateway.networking.k8s.io"),
            report: Report::Conditions(&["Accepted"]),
        },
        Operator {
            collection: "gateway.networking.k8s.io/v1/gateways",
            finalizer: None,
            report: Report::Conditions(&["Accepted", "Programmed"]),
        },
        Operator {
            collection: "gateway.networking.k8s.io/v1/httproutes",
            finalizer: None,
            report: Report::Parents,
        },
    ],
    edit: Edit { file: "routes.yaml", from: "weight: 9", to: "weight: 5", written: "httproutes/shop" },
    foreign: &[
        strange("gateways/public", r#"{"spec":{"addresses":[{"value":"192.0.2.1"}]}}"#),
        deleted("httproutes/redirect"),
        lost(
            "gateways/public",
            r#"{"spec":{"listeners":[{"name":"http","port":80,"protocol":"HTTP","allowedRoutes":{"namespaces":{}}}]}}"#,
        ),
        taken(
            "kubectl-edit",
            "secrets/public-tls",
            r#"{"data":{"tls.key":""}}"#,
            r#"{"data":{"tls.key":"bm90IGEga2V5"}}"#,
        ),
        taken(
            "kubectl-edit",
            "httproutes/shop",
            r#"{"spec":{"hostnames":["shop.example.org"]}}"#,
            r#"{"spec":{"hostnames":["shop.example.com"]}}"#,
        ),
    ],
};

pub(crate) static STORAGE: Row = Row {
    name: "storage",
    objects: 9,
    namespaces: &[],
    operators: &[],
    edit: Edit {
        file: "statefulset.yaml",
        from: "postgres:16.2",
        to: "postgres:16.3",
        written: "statefulsets/database",
    },
    foreign: &[
        taken(
            "kubectl-scale",
            "statefulsets/database/scale",
            r#"{"spec":{"replicas":4}}"#,
            r#"{"spec":{"replicas":3}}"#,
        ),
        lost("services/database", r#"{"metadata":{"labels":{"app":null}}}"#),
        applied(
            "services/database",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"database"},"spec":{"ports":[{"name":"metrics","port":9187}]}}"#,
            Then::Nothing,
        ),
        deleted("poddisruptionbudgets/database"),
        // As `kubectl rollout restart` does.
        strange(
            "statefulsets/database",
            r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}"#,
        ),
        strange(
            "persistentvolumeclaims/scratch",
            r#"{"metadata":{"annotations":{"example.com/seen":"yes"}}}"#,
        ),
    ],
};

pub(crate) static JOBS: Row = Row {
    name: "jobs",
    objects: 6,
    namespaces: &[],
    operators: &[],
    edit: Edit { file: "cronjobs.yaml", from: "0 3 * * *", to: "0 4 * * *", written: "cronjobs/nightly" },
    foreign: &[
        taken(
            "kubectl-edit",
            "cronjobs/weekly",
            r#"{"spec":{"suspend":false}}"#,
            r#"{"spec":{"suspend":true}}"#,
        ),
        lost("cronjobs/nightly", r#"{"spec":{"timeZone":null}}"#),
        deleted("jobs/seed"),
        lost("cronjobs/nightly", r#"{"metadata":{"annotations":{"eve.dev/desired":null}}}"#),
        strange("cronjobs/nightly", r#"{"spec":{"successfulJobsHistoryLimit":1}}"#),
        strange("jobs/seed", r#"{"metadata":{"labels":{"seen":"yes"}}}"#),
    ],
};

pub(crate) static RBAC: Row = Row {
    name: "rbac",
    objects: 14,
    namespaces: &[],
    operators: &[],
    edit: Edit { file: "lists.yaml", from: "[pods, pods/log]", to: "[pods]", written: "roles/reader" },
    foreign: &[
        taken(
            "kubectl-edit",
            "clusterroles/folders-monitoring-endpoints",
            r#"{"rules":[]}"#,
            r#"{"rules":[{"apiGroups":[""],"resources":["services","endpoints","pods"],"verbs":["get","list","watch"]}]}"#,
        ),
        strange("serviceaccounts/robot", r#"{"imagePullSecrets":[{"name":"injected"}]}"#),
        lost("serviceaccounts/puller", r#"{"imagePullSecrets":null}"#),
        deleted("rolebindings/nobody"),
        // An empty list is left out by the server: nobody owns it then.
        lost("clusterrolebindings/folders-monitoring", r#"{"subjects":[]}"#),
    ],
};

pub(crate) static GENERATED: Row = Row {
    name: "generated",
    objects: generated::OBJECTS,
    namespaces: &[],
    operators: &[],
    edit: Edit {
        file: "config-maps.yaml",
        from: r#"number: "123""#,
        to: r#"number: "one""#,
        written: "configmaps/settings-123",
    },
    foreign: &[
        taken(
            "kubectl-edit",
            "configmaps/settings-7",
            r#"{"data":{"number":"x"}}"#,
            r#"{"data":{"number":"7"}}"#,
        ),
        lost("secrets/secret-5", r#"{"data":{"number":null}}"#),
        deleted("services/service-29"),
        strange("configmaps/settings-8", r#"{"data":{"more":"x"}}"#),
    ],
};

pub(crate) static TENANTS: Row = Row {
    name: "tenants",
    objects: 15,
    namespaces: &["folders-red", "folders-blue"],
    operators: &[],
    edit: Edit {
        file: "red.yaml",
        from: "memory: 8192Mi",
        to: "memory: 8Gi",
        written: "resourcequotas/compute",
    },
    foreign: &[
        Foreign {
            by: "policy-operator",
            how: How::Apply,
            path: "networkpolicies/web",
            body: r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web"},"spec":{"egress":[]}}"#,
            then: Then::Conflict(
                r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web"}}"#,
            ),
        },
        lost("resourcequotas/compute", r#"{"spec":{"hard":{"pods":null}}}"#),
        deleted("limitranges/defaults"),
        taken(
            "kubectl-set-image",
            "namespaces/folders-blue/deployments/web",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"registry.example.com/web:2"}]}}}}"#,
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"registry.example.com/web:1"}]}}}}"#,
        ),
        strange("namespaces/folders-blue", r#"{"metadata":{"labels":{"seen":"yes"}}}"#),
    ],
};

pub(crate) static CONFIG: Row = Row {
    name: "config",
    objects: 16,
    namespaces: &[],
    operators: &[],
    edit: Edit { file: "secrets.yaml", from: "both: new", to: "both: newer", written: "secrets/mixed" },
    foreign: &[
        taken(
            "kubectl-edit",
            "secrets/mixed",
            r#"{"data":{"text":"eA=="}}"#,
            r#"{"data":{"text":"bXVsdGkKbGluZQo="}}"#,
        ),
        strange("secrets/hollow", r#"{"data":{"filled":"eA=="}}"#),
        lost("configmaps/settings", r#"{"binaryData":null}"#),
        strange("configmaps/nothing", r#"{"data":{"filled":"x"}}"#),
        deleted("configmaps/frozen"),
        strange("serviceaccounts/robot", r#"{"metadata":{"annotations":{"example.com/seen":"yes"}}}"#),
        lost("secrets/login", r#"{"metadata":{"labels":{"eve.dev/component":null}}}"#),
        taken(
            "kubectl-rollout",
            "deployments/reader",
            r#"{"spec":{"template":{"spec":{"automountServiceAccountToken":true}}}}"#,
            r#"{"spec":{"template":{"spec":{"automountServiceAccountToken":false}}}}"#,
        ),
    ],
};

pub(crate) static TRAFFIC: Row = Row {
    name: "traffic",
    objects: 16,
    namespaces: &[],
    operators: &[],
    edit: Edit {
        file: "services.yaml",
        from: "targetPort: 5353",
        to: "targetPort: 5354",
        written: "services/dns",
    },
    foreign: &[
        // What nobody asked for is an autoscaler's to say.
        Foreign {
            by: "autoscaler",
            how: How::Update,
            path: "deployments/web/scale",
            body: r#"{"spec":{"replicas":2}}"#,
            then: Then::Nothing,
        },
        lost("services/dns", r#"{"spec":{"selector":null}}"#),
        deleted("services/web-headless"),
        applied(
            "services/dns",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"dns"},"spec":{"ports":[{"name":"dns","port":53,"protocol":"UDP"}]}}"#,
            Then::Nothing,
        ),
        lost(
            "services/dns",
            r#"{"spec":{"ports":[{"name":"dns","port":53,"protocol":"UDP","targetPort":53},{"name":"dns-tcp","port":53,"protocol":"TCP","targetPort":53}]}}"#,
        ),
        taken(
            "kubectl-edit",
            "ingresses/web",
            r#"{"spec":{"ingressClassName":"other"}}"#,
            r#"{"spec":{"ingressClassName":"folders"}}"#,
        ),
    ],
};

pub(crate) static ODD: Row = Row {
    name: "odd",
    objects: 16,
    namespaces: &[],
    operators: &[],
    edit: Edit {
        file: "bom-and-crlf.yaml",
        from: "  folded: >-",
        to: "  folded: |-",
        written: "configmaps/windows",
    },
    foreign: &[
        taken(
            "kubectl-set",
            "daemonsets/agent",
            r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":2}}}}"#,
            r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":1}}}}"#,
        ),
        lost("configmaps/scalars", r#"{"data":{"equals":null}}"#),
        deleted("pods/alone"),
        strange(
            "replicationcontrollers/old",
            r#"{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":5}}}}"#,
        ),
        taken(
            "kubectl-edit",
            "runtimeclasses/folders-sandboxed",
            r#"{"scheduling":{"nodeSelector":{"sandbox":"yes"},"tolerations":[{"operator":"Exists"}]}}"#,
            r#"{"scheduling":{"nodeSelector":null,"tolerations":null}}"#,
        ),
        strange("pods/alone", r#"{"metadata":{"annotations":{"seen":"yes"}}}"#),
    ],
};
