//! What pods need before they start. A workload is any object that holds a pod or a template of pods.

use serde_json::Value;

use super::base::Who;
use super::builder::Builder;
use super::selector::Labelled;
use super::subject::Subject;
use super::{items, rules, text, value_at};

/// Where templates of pods stand in an object, custom kinds included; `""` is a Pod itself. `metadata` and `spec` of a
/// template are those of the pods.
const TEMPLATES: [&str; 4] = ["/spec/template", "/spec/jobTemplate/spec/template", "/template", ""];

/// Fields of volumes that name a Secret, with the field that makes it optional.
const VOLUME_SECRETS: [(&str, &str, Option<&str>); 10] = [
    ("secret", "/secret/secretName", Some("/secret/optional")),
    ("csi", "/csi/nodePublishSecretRef/name", None),
    ("azureFile", "/azureFile/secretName", None),
    ("cephfs", "/cephfs/secretRef/name", None),
    ("cinder", "/cinder/secretRef/name", None),
    ("flexVolume", "/flexVolume/secretRef/name", None),
    ("iscsi", "/iscsi/secretRef/name", None),
    ("rbd", "/rbd/secretRef/name", None),
    ("scaleIO", "/scaleIO/secretRef/name", None),
    ("storageos", "/storageos/secretRef/name", None),
];

/// A rule, and the kind of the core group that it is about.
type Wanted = (&'static rules::Rule, &'static str);
const CONFIGURATION: Wanted = (&rules::CONFIGURATION, "ConfigMap");
const SECRET: Wanted = (&rules::SECRET, "Secret");
const CLAIM: Wanted = (&rules::CLAIM, "PersistentVolumeClaim");

/// The template of its pods: where it stands in the object, and what it is.
pub(super) fn template<'a>(subject: &Subject<'a>) -> Option<(&'static str, &'a Value)> {
    TEMPLATES.iter().find_map(|at| {
        let template = value_at(subject.object, at)?;
        // Only a Pod is its own template.
        let holds_pods = value_at(template, "/spec/containers").is_some_and(Value::is_array)
            && (!at.is_empty() || subject.is("", "Pod"));
        holds_pods.then_some((*at, template))
    })
}

/// All workloads by the labels of their pods.
pub(super) fn labelled<'a>(subjects: &[Subject<'a>]) -> Labelled<'a> {
    let mut labelled = Labelled::default();
    for (node, subject) in subjects.iter().enumerate() {
        if let Some((_, template)) = template(subject) {
            labelled.add(node, subject.namespace, value_at(template, "/metadata/labels"));
        }
    }
    labelled
}

pub(super) fn add(builder: &mut Builder<'_>, node: usize) {
    let Some(subject) = builder.subject(node) else { return };
    if let Some((at, template)) = template(&subject) {
        let pods = Pods { node, namespace: subject.namespace, at: format!("{at}/spec") };
        let Some(spec) = template.get("spec") else { return };
        pods.names(builder, spec);
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            for (index, container) in items(spec, &format!("/{list}")) {
                pods.container(builder, container, &format!("/{list}/{index}"));
            }
        }
        for (index, volume) in items(spec, "/volumes") {
            pods.volume(builder, volume, &format!("/volumes/{index}"));
        }
        let account = ["serviceAccountName", "serviceAccount"]
            .iter()
            .find_map(|field| Some((format!("{at}/spec/{field}"), text(spec, &format!("/{field}"))?)));
        match account {
            Some((field, account)) => runs_as(builder, node, account, &field),
            None => runs_as(builder, node, "default", &format!("{at}/spec")),
        }
    } else if let Some(account) = text(subject.object, "/spec/serviceAccountName") {
        // A custom resource whose operator makes pods of it.
        runs_as(builder, node, account, "/spec/serviceAccountName");
    } else {
        return;
    }
    builder.gate(&rules::POLICIES, subject.namespace).dependant(node, "");
}

fn runs_as(builder: &mut Builder<'_>, node: usize, account: &str, field: &str) {
    let Some(subject) = builder.subject(node) else { return };
    let key = ("", "ServiceAccount", subject.namespace, account);
    builder.needs(&rules::ACCOUNT, node, key, format_args!("{field}"));
    let pointer = builder.at(node, format_args!("{field}"));
    for who in [Who::One(subject.namespace, account), Who::Of(subject.namespace), Who::All] {
        builder.bindings(who).dependant(node, pointer.clone());
    }
}

/// The pods of one workload.
struct Pods<'a> {
    node: usize,
    namespace: &'a str,
    /// The pod's spec in the object.
    at: String,
}

impl Pods<'_> {
    fn names(&self, builder: &mut Builder<'_>, spec: &Value) {
        for (index, secret) in items(spec, "/imagePullSecrets") {
            self.needs(builder, SECRET, secret, ("/name", &format!("/imagePullSecrets/{index}")));
        }
        let classes = [
            (&rules::PRIORITY_CLASS, "scheduling.k8s.io", "PriorityClass", "priorityClassName"),
            (&rules::RUNTIME_CLASS, "node.k8s.io", "RuntimeClass", "runtimeClassName"),
        ];
        for (rule, group, kind, field) in classes {
            if let Some(name) = spec.get(field).and_then(Value::as_str) {
                builder.needs(rule, self.node, (group, kind, "", name), format_args!("{}/{field}", self.at));
            }
        }
        for (index, claim) in items(spec, "/resourceClaims") {
            let kinds = [
                ("ResourceClaim", "resourceClaimName"),
                ("ResourceClaimTemplate", "resourceClaimTemplateName"),
            ];
            for (kind, field) in kinds {
                if let Some(name) = claim.get(field).and_then(Value::as_str) {
                    let key = ("resource.k8s.io", kind, self.namespace, name);
                    let at = format_args!("{}/resourceClaims/{index}/{field}", self.at);
                    builder.needs(&rules::CLAIM, self.node, key, at);
                }
            }
        }
    }

    fn container(&self, builder: &mut Builder<'_>, container: &Value, at: &str) {
        for (list, config, secret) in [
            ("env", "/valueFrom/configMapKeyRef", "/valueFrom/secretKeyRef"),
            ("envFrom", "/configMapRef", "/secretRef"),
        ] {
            for (index, source) in items(container, &format!("/{list}")) {
                let at = format!("{at}/{list}/{index}");
                self.optional(builder, (source, &at), CONFIGURATION, config);
                self.optional(builder, (source, &at), SECRET, secret);
            }
        }
    }

    /// A reference with `name` and `optional`.
    fn optional(&self, builder: &mut Builder<'_>, (holder, at): (&Value, &str), wanted: Wanted, field: &str) {
        let Some(reference) = value_at(holder, field) else { return };
        if !is_true(reference, "/optional") {
            self.needs(builder, wanted, reference, ("/name", &format!("{at}{field}")));
        }
    }

    fn volume(&self, builder: &mut Builder<'_>, volume: &Value, at: &str) {
        self.optional(builder, (volume, at), CONFIGURATION, "/configMap");
        for (source, name, optional) in VOLUME_SECRETS {
            let is_optional = optional.is_some_and(|optional| is_true(volume, optional));
            if volume.get(source).is_some() && !is_optional {
                self.needs(builder, SECRET, volume, (name, at));
            }
        }
        for (index, source) in items(volume, "/projected/sources") {
            let at = format!("{at}/projected/sources/{index}");
            self.optional(builder, (source, &at), CONFIGURATION, "/configMap");
            self.optional(builder, (source, &at), SECRET, "/secret");
        }
        let claim = ("/persistentVolumeClaim/claimName", at);
        self.needs(builder, CLAIM, volume, claim);
        let class = "/ephemeral/volumeClaimTemplate/spec/storageClassName";
        if let Some(name) = text(volume, class) {
            let key = ("storage.k8s.io", "StorageClass", "", name);
            builder.needs(&rules::STORAGE_CLASS, self.node, key, format_args!("{}{at}{class}", self.at));
        }
        let class = "/csi/volumeAttributes/secretProviderClass";
        if let Some(name) = text(volume, class) {
            let key = ("secrets-store.csi.x-k8s.io", "SecretProviderClass", self.namespace, name);
            builder.needs(&rules::DRIVER, self.node, key, format_args!("{}{at}{class}", self.at));
        }
    }

    /// An object of the core group, named by the field `name` of what stands at `at`.
    fn needs(
        &self,
        builder: &mut Builder<'_>,
        (rule, kind): Wanted,
        holder: &Value,
        (name, at): (&str, &str),
    ) {
        if let Some(found) = text(holder, name) {
            let key = ("", kind, self.namespace, found);
            builder.needs(rule, self.node, key, format_args!("{}{at}{name}", self.at));
        }
    }
}

fn is_true(value: &Value, pointer: &str) -> bool {
    value_at(value, pointer).and_then(Value::as_bool).unwrap_or_default()
}
