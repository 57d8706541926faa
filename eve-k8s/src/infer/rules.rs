//! The table of all rules. `docs/reference/inference.md` is made from it.

use std::fmt::Write as _;

use eve_core::plan::Until;

/// Why one object comes before another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Unique; what `eve graph` shows. For a written edge the annotation.
    pub(crate) name: &'static str,
    /// What comes first.
    pub(crate) first: &'static str,
    /// What waits for it.
    pub(crate) then: &'static str,
    /// How far the first must have come.
    pub(crate) until: Until,
    /// Why this is so, and why no further or less far.
    pub(crate) why: &'static str,
    /// Where the behaviour is documented.
    pub(crate) source: &'static str,
    /// Whether somebody wrote it down as an order.
    pub(crate) is_written: bool,
}

/// Base of the addresses of the Kubernetes documentation.
macro_rules! k8s {
    ($page:literal) => {
        concat!("https://kubernetes.io/docs/", $page)
    };
}

macro_rules! rules {
    ($($id:ident = $name:literal: $first:literal => $then:literal, $until:ident, $why:literal, $source:expr, $written:literal;)*) => {
        $(pub(super) static $id: Rule = Rule {
            name: $name, first: $first, then: $then, until: Until::$until, why: $why, source: $source, is_written: $written,
        };)*
        /// All rules, the strongest first: where edges contradict each other, those of a later rule are left out.
        pub(crate) static RULES: &[&Rule] = &[$(&$id),*];
    };
}

rules! {
    DEPENDS_ON = "eve.dev/depends-on": "the objects it lists" => "the annotated object", Ready,
        "`KIND[.GROUP]/[NAMESPACE/]NAME`, comma separated; `applied=` before an entry asks for less than ready. \
         What it names must be in the input.",
        "", true;
    CONFIG_DEPENDS_ON = "config.kubernetes.io/depends-on": "the objects it lists" => "the annotated object", Ready,
        "`GROUP/namespaces/NAMESPACE/KIND/NAME` or `GROUP/KIND/NAME`, comma separated; nothing before the first slash \
         for the core group. Waits until they are reconciled.",
        "https://pkg.go.dev/sigs.k8s.io/cli-utils/pkg/object/dependson", true;
    CHANGE_RULE = "kapp.k14s.io/change-rule": "a change group (`upsert after upserting GROUP`)" =>
        "the annotated object; the other way round with `before`", Ready,
        "Groups are named by `kapp.k14s.io/change-group`; both take a suffix `.x` and the placeholders `{name}`, \
         `{namespace}`, `{kind}`, `{api-group}`, `{crd-kind}`, `{crd-group}`. Rules about deleting say nothing here, \
         and a group without members is none.",
        "https://carvel.dev/kapp/docs/latest/apply-ordering/", true;
    SYNC_WAVE = "argocd.argoproj.io/sync-wave": "everything in a lower wave" => "everything in the next wave", Ready,
        "A whole number; objects without it are in wave 0, once any object has one.",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/", true;
    DEPLOY_DEPENDENCY = "werf.io/deploy-dependency": "every object that it matches" => "the annotated object", Ready,
        "`werf.io/deploy-dependency-ID: state=ready|present[,name=][,namespace=][,kind=][,group=][,version=]`; \
         `present` asks for applied only.",
        "https://werf.io/docs/latest/reference/deploy_annotations.html", true;
    WEIGHT = "werf.io/weight": "everything of a lower weight" => "everything of the next weight", Ready,
        "A whole number; objects without it have weight 0, once any object has one. Ignored on objects with a \
         `werf.io/deploy-dependency-ID`.",
        "https://werf.io/docs/latest/usage/deploy/deployment_order.html", true;

    NAMESPACE = "namespace": "Namespace" => "every object in it", Applied,
        "The API server refuses objects in a namespace that does not exist. A new one is active at once.",
        k8s!("concepts/overview/working-with-objects/namespaces/"), false;
    DEFINITION = "definition": "CustomResourceDefinition" => "its custom resources", Ready,
        "The API server serves the resources only once the definition is established.",
        k8s!("tasks/extend-kubernetes/custom-resources/custom-resource-definitions/"), false;
    ROLE = "role": "Role, ClusterRole" => "RoleBinding, ClusterRoleBinding of it", Applied,
        "Who may not bind everything must hold what the role allows, and that is read from the role.",
        k8s!("reference/access-authn-authz/rbac/#restrictions-on-role-binding-creation-or-update"), false;
    SUM = "aggregated-role": "ClusterRole" => "ClusterRole that is a sum of it (`aggregationRule`)", Applied,
        "Who is bound to the sum finds in it what the others allow.",
        k8s!("reference/access-authn-authz/rbac/#aggregated-clusterroles"), false;
    ACCOUNT = "account": "ServiceAccount" => "what runs as it", Applied,
        "Pods of an account that does not exist are refused. Nothing has to become ready about an account.",
        k8s!("tasks/configure-pod-container/configure-service-account/"), false;
    BINDING = "binding": "RoleBinding, ClusterRoleBinding" => "what runs as one of its accounts", Applied,
        "A program that asks the API server at its start finds its rights. Also subjects written as the user \
         `system:serviceaccount:NAMESPACE:NAME` or the groups `system:serviceaccounts:NAMESPACE`, \
         `system:serviceaccounts` and `system:authenticated`.",
        k8s!("reference/access-authn-authz/rbac/#service-account-permissions"), false;
    CONFIGURATION = "configuration": "ConfigMap" => "what mounts it or takes its environment from it", Applied,
        "Containers do not start without it. Where it is `optional` they start, with the old or no value: no edge.",
        k8s!("concepts/configuration/configmap/"), false;
    SECRET = "secret": "Secret" => "what mounts it, takes its environment from it, pulls images or serves TLS with it",
        Applied,
        "Containers do not start without it. As with `configuration`, `optional` makes no edge. Also Secrets that an \
         account pulls with, that a Gateway or Ingress serves, and that volumes of storage drivers name.",
        k8s!("concepts/configuration/secret/"), false;
    TOKEN = "token": "ServiceAccount" => "Secret that is to hold its token", Applied,
        "The token controller deletes such a Secret when its account does not exist.",
        k8s!("concepts/configuration/secret/#serviceaccount-token-secrets"), false;
    CLAIM = "claim": "PersistentVolumeClaim, ResourceClaim, ResourceClaimTemplate" => "what uses it", Applied,
        "Pods wait for it by themselves, and many claims are bound only once a pod uses them.",
        k8s!("concepts/storage/persistent-volumes/"), false;
    STORAGE_CLASS = "storage-class": "StorageClass" => "PersistentVolumeClaim, and StatefulSet or pod with a claim template of it",
        Applied,
        "A claim of a class that does not exist stays unbound, and is retried only now and then.",
        k8s!("concepts/storage/storage-classes/"), false;
    VOLUME = "volume": "PersistentVolume" => "PersistentVolumeClaim that names it", Applied,
        "The claim is bound to it. Binding needs both, so no further.",
        k8s!("concepts/storage/persistent-volumes/#reserving-a-persistentvolume"), false;
    DRIVER = "secret-provider": "SecretProviderClass" => "what mounts it through the secrets store driver", Applied,
        "The driver refuses to mount without it.",
        "https://secrets-store-csi-driver.sigs.k8s.io/concepts", false;
    PRIORITY_CLASS = "priority-class": "PriorityClass" => "what runs with it", Applied,
        "Pods of a class that does not exist are refused.",
        k8s!("concepts/scheduling-eviction/pod-priority-preemption/"), false;
    RUNTIME_CLASS = "runtime-class": "RuntimeClass" => "what runs with it", Applied,
        "Pods of a class that does not exist are refused.",
        k8s!("concepts/containers/runtime-class/"), false;
    POLICIES = "policies": "ResourceQuota, LimitRange, NetworkPolicy" => "every workload of the namespace", Applied,
        "They hold for pods that are made after them; a pod must not run unguarded for a moment.",
        k8s!("concepts/policy/"), false;
    HEADLESS = "governing-service": "Service" => "StatefulSet that names it", Applied,
        "It gives the pods their names. Its existence is enough; its endpoints are those pods.",
        k8s!("concepts/workloads/controllers/statefulset/#limitations"), false;
    BACKEND = "backend": "Service" => "Ingress, route of the Gateway API, APIService or webhook configuration that names it",
        Applied,
        "Controllers report routes to nowhere as broken. Its endpoints come later by themselves.",
        k8s!("concepts/services-networking/ingress/"), false;
    INGRESS_CLASS = "ingress-class": "IngressClass" => "Ingress of it", Applied,
        "No controller takes an Ingress of a class that does not exist.",
        k8s!("concepts/services-networking/ingress/#ingress-class"), false;
    GATEWAY_CLASS = "gateway-class": "GatewayClass" => "Gateway of it", Applied,
        "No controller takes a Gateway of a class that does not exist.",
        "https://gateway-api.sigs.k8s.io/api-types/gatewayclass/", false;
    PARENT = "gateway": "Gateway" => "routes attached to it", Applied,
        "A route is attached when its Gateway exists; whether that is programmed is its own readiness.",
        "https://gateway-api.sigs.k8s.io/api-types/httproute/", false;
    ADMISSION_POLICY = "admission-policy": "ValidatingAdmissionPolicy, MutatingAdmissionPolicy" => "its bindings", Applied,
        "A binding without its policy does nothing, or refuses everything.",
        k8s!("reference/access-authn-authz/validating-admission-policy/"), false;
    SCALE_TARGET = "scale-target": "a workload" => "HorizontalPodAutoscaler that scales it", Applied,
        "The autoscaler reports a target that it cannot find. It scales what is not ready yet, too.",
        k8s!("tasks/run-application/horizontal-pod-autoscale/"), false;
    DISRUPTION = "disruption": "a workload" => "PodDisruptionBudget that selects its pods", Applied,
        "The budget counts the pods of the workload.",
        k8s!("tasks/run-application/configure-pdb/"), false;
    SERVED = "served": "APIService, and the workload behind its Service" => "objects of its group and version", Ready,
        "The API server passes requests for them on to the workload.",
        k8s!("concepts/extend-kubernetes/api-extension/apiserver-aggregation/"), false;
    CONVERTED = "converted": "the workload behind the conversion webhook of a CustomResourceDefinition" =>
        "its resources in another version than the stored one", Ready,
        "The API server asks the webhook for each of them.",
        k8s!("tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/"), false;
    INTERCEPTED = "intercepted": "the workload behind a webhook (ready), and the webhook configuration (applied)" =>
        "objects that the webhook intercepts", Ready,
        "The API server asks the webhook for each of them, and refuses them while it does not answer. A workload also \
         counts as the pods that it makes. Objects that the webhook itself needs do not wait for it. With \
         `failurePolicy: Ignore` they are not refused: then only what a mutating webhook may change waits, and no \
         definition. A namespace selector that cannot be decided from the input counts as a match.",
        k8s!("reference/access-authn-authz/extensible-admission-controllers/"), false;
    OPERATED = "operated": "Deployment, StatefulSet or DaemonSet whose account may write them" =>
        "custom resources of a definition in the input", Applied,
        "For the way back: they are gone before the program that takes their finalizers away, and before its rights. \
         Counted are roles and bindings of the input with the verb `update` or `patch`. What the workload itself needs \
         does not wait for it. Nobody has to be ready for a resource to be accepted.",
        k8s!("concepts/overview/working-with-objects/finalizers/"), false;
}

/// The reference of all rules, as it stands in `docs/reference/inference.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Order of objects\n\nGenerated from `eve-k8s/src/infer/rules.rs`; do not edit.\n\n\
         Among the objects of one input (plain manifests, or one component of kind `manifests`) eve finds the order by \
         itself. `eve graph` shows every edge with its rule and the line it comes from. Only objects of the same input \
         count: what is already in the cluster is not waited for.\n\n\
         Rules are listed from the strongest to the weakest. Annotations are written edges: they must not contradict \
         each other. An inferred edge that would close a cycle is left out, with a warning (`manifests.left-out`); \
         where inferred edges contradict each other, that of the later rule is left out.\n",
    );
    for (title, is_written) in [("Written", true), ("Inferred", false)] {
        let _ = write!(
            text,
            "\n## {title}\n\n| rule | first | then | waits until | why | source |\n|---|---|---|---|---|---|\n"
        );
        for rule in RULES.iter().filter(|rule| rule.is_written == is_written) {
            let until = match rule.until {
                Until::Applied => "applied",
                Until::Ready => "ready",
            };
            let source = match rule.source {
                "" => String::new(),
                source => format!("[docs]({source})"),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {until} | {} | {source} |",
                rule.name,
                rule.first,
                rule.then,
                rule.why.replace('|', "\\|"),
            );
        }
    }
    text
}
