//! Rules that follow a name in a field, or a selector.

use super::{check, check_place};

#[test]
fn a_namespace_comes_before_what_is_in_it() {
    let rule = "namespace";
    check(
        rule,
        "ConfigMap c\nNamespace shop\nRole other/r\nConfigMap other/d",
        &["namespace/shop (applied) < configmap/c"],
    );
    check(
        rule,
        "Namespace shop\nNamespace other\nConfigMap other/d",
        &["namespace/other (applied) < configmap/d"],
    );
    check(rule, "Namespace shop\nClusterRole c\nStorageClass s\nPersistentVolume p\nGatewayClass g", &[]);
    // The definition in the input says whether a kind has a namespace.
    let definition = "Namespace shop\nCustomResourceDefinition d | | spec: {group: x.io, scope: SCOPE, names: {kind: Widget}}\nWidget w";
    check(rule, &definition.replace("SCOPE", "Cluster"), &[]);
    check(rule, &definition.replace("SCOPE", "Namespaced"), &["namespace/shop (applied) < widget/w"]);
}

#[test]
fn a_definition_is_established_before_its_resources() {
    let definition =
        "CustomResourceDefinition d | | spec: {group: x.io, names: {kind: Widget}, versions: [{name: v2}]}";
    let wanted = &["customresourcedefinition/d < widget/w"];
    check("definition", &format!("Widget w\n{definition}"), wanted);
    check("definition", &format!("Widget:x.io/v2 w\n{definition}"), wanted);
    check("definition", &format!("Widget:y.io/v1 w\nGadget:x.io/v1 g\n{definition}"), &[]);
}

#[test]
fn a_role_comes_before_its_bindings() {
    let rule = "role";
    check(
        rule,
        "RoleBinding b | | roleRef: {kind: Role, name: r}\nRole r\nRole other/r\nClusterRole r",
        &["role/r (applied) < rolebinding/b"],
    );
    check(
        rule,
        "ClusterRoleBinding b | | roleRef: {kind: ClusterRole, name: 'system:r'}\nClusterRole system:r\nRole r",
        &["clusterrole/system:r (applied) < clusterrolebinding/b"],
    );
    check(
        rule,
        "RoleBinding b | | roleRef: {kind: ClusterRole, name: r}\nClusterRole r",
        &["clusterrole/r (applied) < rolebinding/b"],
    );
    check(rule, "RoleBinding b | | roleRef: {kind: Role, name: gone}\nRole r", &[]);
}

const DEPLOYMENT: &str = "Deployment d | | spec: {template: {spec: {SPEC, containers: [{name: c, MORE}]}}}";

fn with_spec(spec: &str) -> String {
    DEPLOYMENT.replace("SPEC", spec).replace(", MORE", "")
}

fn with_container(fields: &str) -> String {
    DEPLOYMENT.replace("SPEC, ", "").replace("MORE", fields)
}

#[test]
fn an_account_comes_before_what_runs_as_it() {
    let rule = "account";
    let wanted = &["serviceaccount/a (applied) < deployment/d"];
    check(rule, &format!("ServiceAccount a\n{}", with_spec("serviceAccountName: a")), wanted);
    check(rule, &format!("ServiceAccount a\n{}", with_spec("serviceAccount: a")), wanted);
    check(
        rule,
        &format!("ServiceAccount default\n{}", with_spec("x: y")),
        &["serviceaccount/default (applied) < deployment/d"],
    );
    check(
        rule,
        "ServiceAccount a\nWidget w | | spec: {serviceAccountName: a}",
        &["serviceaccount/a (applied) < widget/w"],
    );
    check(rule, &format!("ServiceAccount other/a\n{}", with_spec("serviceAccountName: a")), &[]);
    check(rule, &format!("ServiceAccount b\n{}", with_spec("serviceAccountName: a")), &[]);
}

#[test]
fn bindings_of_an_account_come_before_what_runs_as_it() {
    let rule = "binding";
    let runs = with_spec("serviceAccountName: a");
    let bound = |subject: &str| format!("{runs}\nClusterRoleBinding b | | subjects: [{subject}]");
    let wanted = &["clusterrolebinding/b (applied) < deployment/d"];
    check(rule, &bound("{kind: ServiceAccount, name: a, namespace: shop}"), wanted);
    check(rule, &bound("{kind: User, name: 'system:serviceaccount:shop:a'}"), wanted);
    check(rule, &bound("{kind: Group, name: 'system:serviceaccounts:shop'}"), wanted);
    check(rule, &bound("{kind: Group, name: 'system:serviceaccounts'}"), wanted);
    check(rule, &bound("{kind: Group, name: 'system:authenticated'}"), wanted);
    check(rule, &bound("{kind: ServiceAccount, name: b, namespace: shop}"), &[]);
    check(rule, &bound("{kind: ServiceAccount, name: a, namespace: other}"), &[]);
    check(rule, &bound("{kind: User, name: a}"), &[]);
    check(rule, &bound("{kind: Group, name: 'system:unauthenticated'}"), &[]);
    check(rule, &bound("{kind: Group, name: 'system:serviceaccounts:other'}"), &[]);
    let own = "RoleBinding b | | subjects: [{kind: ServiceAccount, name: a}]";
    check(rule, &format!("{runs}\n{own}"), &["rolebinding/b (applied) < deployment/d"]);
    check_place(rule, &format!("{own}\n{runs}"), "a");
}

#[test]
fn configuration_comes_before_what_reads_it() {
    let wanted = &["configmap/c (applied) < deployment/d"];
    let positive = [
        with_container("env: [{name: X, valueFrom: {configMapKeyRef: {name: c, key: k}}}]"),
        with_container("envFrom: [{configMapRef: {name: c}}]"),
        with_container("envFrom: [{configMapRef: {name: c, optional: false}}]"),
        with_spec("volumes: [{name: v, configMap: {name: c}}]"),
        with_spec(
            "volumes: [{name: v, projected: {sources: [{secret: {name: s}}, {configMap: {name: c}}]}}]",
        ),
        with_spec("initContainers: [{name: i, envFrom: [{configMapRef: {name: c}}]}]"),
        with_spec("ephemeralContainers: [{name: i, envFrom: [{configMapRef: {name: c}}]}]"),
    ];
    for objects in positive {
        check("configuration", &format!("{objects}\nConfigMap c\nConfigMap other/c2"), wanted);
    }
    let negative = [
        with_container("env: [{name: X, valueFrom: {configMapKeyRef: {name: c, key: k, optional: true}}}]"),
        with_container("envFrom: [{configMapRef: {name: c, optional: true}}]"),
        with_container("envFrom: [{configMapRef: {name: gone}}]"),
        with_container("envFrom: [{secretRef: {name: c}}]"),
        with_spec("volumes: [{name: v, configMap: {name: c, optional: true}}]"),
        with_spec("volumes: [{name: v, projected: {sources: [{configMap: {name: c, optional: true}}]}}]"),
        with_spec("volumes: [{name: c, emptyDir: {}}]"),
    ];
    for objects in negative {
        check("configuration", &format!("{objects}\nConfigMap c"), &[]);
    }
    check(
        "configuration",
        &format!("{}\nConfigMap other/c", with_container("envFrom: [{configMapRef: {name: c}}]")),
        &[],
    );
    check_place(
        "configuration",
        &format!("{}\nConfigMap c", with_container("envFrom: [{configMapRef: {name: c}}]")),
        "c",
    );
}

#[test]
fn every_kind_of_workload_is_looked_into() {
    for (object, at) in [
        ("Pod w | | spec: SPEC", "pod/w"),
        ("StatefulSet w | | spec: {template: {spec: SPEC}}", "statefulset/w"),
        ("DaemonSet w | | spec: {template: {spec: SPEC}}", "daemonset/w"),
        ("ReplicaSet w | | spec: {template: {spec: SPEC}}", "replicaset/w"),
        ("Job w | | spec: {template: {spec: SPEC}}", "job/w"),
        ("CronJob w | | spec: {jobTemplate: {spec: {template: {spec: SPEC}}}}", "cronjob/w"),
        ("ReplicationController w | | spec: {template: {spec: SPEC}}", "replicationcontroller/w"),
        ("PodTemplate w | | template: {spec: SPEC}", "podtemplate/w"),
        ("Rollout:argoproj.io/v1alpha1 w | | spec: {template: {spec: SPEC}}", "rollout/w"),
    ] {
        let spec = "{containers: [{name: c, envFrom: [{configMapRef: {name: c}}]}]}";
        let objects = format!("ConfigMap c\n{}", object.replace("SPEC", spec));
        check("configuration", &objects, &[&format!("configmap/c (applied) < {at}")]);
    }
    // No template of pods.
    check(
        "configuration",
        "ConfigMap c\nWidget w | | spec: {containers: [{envFrom: [{configMapRef: {name: c}}]}]}",
        &[],
    );
}

#[test]
fn secrets_come_before_what_reads_them() {
    let wanted = &["secret/s (applied) < deployment/d"];
    let positive = [
        with_container("env: [{name: X, valueFrom: {secretKeyRef: {name: s, key: k}}}]"),
        with_container("envFrom: [{secretRef: {name: s}}]"),
        with_spec("imagePullSecrets: [{name: t}, {name: s}]"),
        with_spec("volumes: [{name: v, secret: {secretName: s}}]"),
        with_spec("volumes: [{name: v, projected: {sources: [{secret: {name: s}}]}}]"),
        with_spec("volumes: [{name: v, csi: {driver: x, nodePublishSecretRef: {name: s}}}]"),
        with_spec("volumes: [{name: v, azureFile: {secretName: s}}]"),
        with_spec("volumes: [{name: v, rbd: {secretRef: {name: s}}}]"),
        with_spec("initContainers: [{name: i, envFrom: [{secretRef: {name: s}}]}]"),
    ];
    for objects in positive {
        check("secret", &format!("{objects}\nSecret s"), wanted);
    }
    for objects in [
        with_container("env: [{name: X, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}]"),
        with_container("envFrom: [{secretRef: {name: s, optional: true}}]"),
        with_spec("volumes: [{name: v, secret: {secretName: s, optional: true}}]"),
        with_spec("volumes: [{name: v, projected: {sources: [{secret: {name: s, optional: true}}]}}]"),
        with_spec("imagePullSecrets: [{name: gone}]"),
    ] {
        check("secret", &format!("{objects}\nSecret s"), &[]);
    }
    check(
        "secret",
        "Secret s\nServiceAccount a | | imagePullSecrets: [{name: s}]",
        &["secret/s (applied) < serviceaccount/a"],
    );
    // An account does not need the tokens that are listed with it.
    check("secret", "Secret s\nServiceAccount a | | secrets: [{name: s}]", &[]);
    check(
        "secret",
        "Secret s\nIngress i | | spec: {tls: [{secretName: s}]}",
        &["secret/s (applied) < ingress/i"],
    );
    let gateway =
        "Gateway g | | spec: {listeners: [{name: l, tls: {certificateRefs: [{name: s, NAMESPACE}]}}]}";
    check(
        "secret",
        &format!("Secret s\n{}", gateway.replace(", NAMESPACE", "")),
        &["secret/s (applied) < gateway/g"],
    );
    check("secret", &format!("Secret s\n{}", gateway.replace("NAMESPACE", "namespace: other")), &[]);
}

#[test]
fn an_account_comes_before_the_secret_for_its_token() {
    let secret = "Secret s | annotations: {kubernetes.io/service-account.name: a} | type: TYPE";
    let token = secret.replace("TYPE", "kubernetes.io/service-account-token");
    check("token", &format!("{token}\nServiceAccount a"), &["serviceaccount/a (applied) < secret/s"]);
    check("token", &format!("{token}\nServiceAccount b"), &[]);
    check("token", &format!("{}\nServiceAccount a", secret.replace("TYPE", "Opaque")), &[]);
}

#[test]
fn claims_come_before_what_uses_them() {
    let uses = with_spec("volumes: [{name: v, persistentVolumeClaim: {claimName: p}}]");
    check(
        "claim",
        &format!("{uses}\nPersistentVolumeClaim p"),
        &["persistentvolumeclaim/p (applied) < deployment/d"],
    );
    check("claim", &format!("{uses}\nPersistentVolumeClaim q"), &[]);
    let device = with_spec(
        "resourceClaims: [{name: r, resourceClaimName: a}, {name: t, resourceClaimTemplateName: b}]",
    );
    check(
        "claim",
        &format!("{device}\nResourceClaim a\nResourceClaimTemplate b\nResourceClaim b"),
        &["resourceclaim/a (applied) < deployment/d", "resourceclaimtemplate/b (applied) < deployment/d"],
    );
}

#[test]
fn storage_classes_and_volumes_come_before_claims() {
    let rule = "storage-class";
    check(
        rule,
        "PersistentVolumeClaim p | | spec: {storageClassName: fast}\nStorageClass fast",
        &["storageclass/fast (applied) < persistentvolumeclaim/p"],
    );
    check(
        rule,
        "PersistentVolumeClaim p | annotations: {volume.beta.kubernetes.io/storage-class: fast}\nStorageClass fast",
        &["storageclass/fast (applied) < persistentvolumeclaim/p"],
    );
    check(
        rule,
        "StatefulSet s | | spec: {volumeClaimTemplates: [{metadata: {name: a}}, {spec: {storageClassName: fast}}]}\nStorageClass fast",
        &["storageclass/fast (applied) < statefulset/s"],
    );
    let inline = "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: fast}}}}]";
    check(
        rule,
        &format!("StorageClass fast\n{}", with_spec(inline)),
        &["storageclass/fast (applied) < deployment/d"],
    );
    check(rule, "PersistentVolumeClaim p | | spec: {storageClassName: ''}\nStorageClass fast", &[]);
    check(
        "volume",
        "PersistentVolumeClaim p | | spec: {volumeName: v}\nPersistentVolume v",
        &["persistentvolume/v (applied) < persistentvolumeclaim/p"],
    );
    check("volume", "PersistentVolumeClaim p\nPersistentVolume v", &[]);
}

#[test]
fn classes_and_drivers_come_before_what_runs_with_them() {
    check(
        "priority-class",
        &format!("{}\nPriorityClass high", with_spec("priorityClassName: high")),
        &["priorityclass/high (applied) < deployment/d"],
    );
    check("priority-class", &format!("{}\nPriorityClass low", with_spec("priorityClassName: high")), &[]);
    check(
        "runtime-class",
        &format!("{}\nRuntimeClass gvisor", with_spec("runtimeClassName: gvisor")),
        &["runtimeclass/gvisor (applied) < deployment/d"],
    );
    check("runtime-class", &format!("{}\nPriorityClass gvisor", with_spec("runtimeClassName: gvisor")), &[]);
    let mount =
        with_spec("volumes: [{name: v, csi: {driver: d, volumeAttributes: {secretProviderClass: vault}}}]");
    check(
        "secret-provider",
        &format!("{mount}\nSecretProviderClass vault"),
        &["secretproviderclass/vault (applied) < deployment/d"],
    );
    check("secret-provider", &format!("{mount}\nSecretProviderClass other/vault"), &[]);
}

#[test]
fn policies_of_a_namespace_come_before_its_workloads() {
    let rule = "policies";
    let pod = "Pod p | | spec: {containers: [{name: c}]}";
    check(rule, &format!("{pod}\nResourceQuota q"), &["resourcequota/q (applied) < pod/p"]);
    check(
        rule,
        &format!("{pod}\nLimitRange l\nNetworkPolicy n"),
        &["limitrange/l (applied) < pod/p", "networkpolicy/n (applied) < pod/p"],
    );
    check(rule, &format!("{pod}\nNetworkPolicy other/n\nService s\nConfigMap c"), &[]);
    // Several before several: over a join.
    check(
        rule,
        &format!("{pod}\n{}\nLimitRange l\nNetworkPolicy n", pod.replace(" p ", " q ")),
        &[
            "all:policies/shop < pod/p",
            "all:policies/shop < pod/q",
            "limitrange/l (applied) < all:policies/shop",
            "networkpolicy/n (applied) < all:policies/shop",
        ],
    );
}

#[test]
fn services_come_before_what_routes_to_them() {
    let rule = "backend";
    let ingress = "service/s (applied) < ingress/i";
    for spec in [
        "rules: [{http: {paths: [{path: /, backend: {service: {name: s}}}]}}]",
        "rules: [{host: h}, {http: {paths: [{path: /, backend: {service: {name: t}}}, {backend: {service: {name: s}}}]}}]",
        "defaultBackend: {service: {name: s}}",
        "backend: {serviceName: s}",
    ] {
        check(rule, &format!("Ingress i | | spec: {{{spec}}}\nService s\nService other/t"), &[ingress]);
    }
    check(
        rule,
        "Ingress i | | spec: {defaultBackend: {resource: {apiGroup: x.io, kind: Widget, name: w}}}\nWidget w",
        &["widget/w (applied) < ingress/i"],
    );
    check(rule, "Ingress i | | spec: {defaultBackend: {service: {name: gone}}}\nService s", &[]);
    for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute"] {
        let route =
            format!("{kind} r | | spec: {{rules: [{{backendRefs: [BACKEND]}}]}}\nService s\nService other/s");
        let edge = format!("service/s (applied) < {}/r", kind.to_lowercase());
        check(
            rule,
            &route.replace("BACKEND", "{name: t}, {name: s, port: 80}").replace("\nService other/s", ""),
            &[&edge],
        );
        check(rule, &route.replace("BACKEND", "{name: s, kind: Widget, group: x.io}"), &[]);
        let edge = format!("service/other/s (applied) < {}/r", kind.to_lowercase());
        check(rule, &route.replace("BACKEND", "{name: s, namespace: other}"), &[&edge]);
    }
    check(
        rule,
        "HTTPRoute r | | spec: {rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: s}}}]}]}\nService s",
        &["service/s (applied) < httproute/r"],
    );
    check(
        rule,
        "APIService v1.x.io | | spec: {service: {name: s, namespace: shop}}\nService s\nAPIService v1.y.io | | spec: {service: {name: s, namespace: other}}",
        &["service/s (applied) < apiservice/v1.x.io"],
    );
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let configuration = format!(
            "{kind} w | | webhooks: [{{name: a}}, {{clientConfig: {{service: {{name: s, namespace: NS}}}}}}]\nService s"
        );
        let edge = format!("service/s (applied) < {}/w", kind.to_lowercase());
        check(rule, &configuration.replace("NS", "shop"), &[&edge]);
        check(rule, &configuration.replace("NS", "other"), &[]);
    }
}

#[test]
fn what_routes_hang_on_comes_before_them() {
    check(
        "ingress-class",
        "IngressClass nginx\nIngress i | | spec: {ingressClassName: nginx}",
        &["ingressclass/nginx (applied) < ingress/i"],
    );
    check(
        "ingress-class",
        "IngressClass nginx\nIngress i | annotations: {kubernetes.io/ingress.class: nginx}",
        &["ingressclass/nginx (applied) < ingress/i"],
    );
    check("ingress-class", "IngressClass nginx\nIngress i | | spec: {ingressClassName: m}", &[]);
    check(
        "gateway-class",
        "Gateway g | | spec: {gatewayClassName: c}\nGatewayClass c",
        &["gatewayclass/c (applied) < gateway/g"],
    );
    check("gateway-class", "Gateway g | | spec: {gatewayClassName: d}\nGatewayClass c", &[]);
    check(
        "gateway",
        "HTTPRoute r | | spec: {parentRefs: [{name: g}]}\nGateway g",
        &["gateway/g (applied) < httproute/r"],
    );
    check(
        "gateway",
        "HTTPRoute r | | spec: {parentRefs: [{name: g, kind: Service, group: ''}]}\nGateway g",
        &[],
    );
    check("gateway", "HTTPRoute r | | spec: {parentRefs: [{name: g, namespace: other}]}\nGateway g", &[]);
    check(
        "governing-service",
        "StatefulSet s | | spec: {serviceName: s}\nService s",
        &["service/s (applied) < statefulset/s"],
    );
    check("governing-service", "StatefulSet s | | spec: {serviceName: t}\nService s", &[]);
    check(
        "admission-policy",
        "ValidatingAdmissionPolicyBinding b | | spec: {policyName: p}\nValidatingAdmissionPolicy p",
        &["validatingadmissionpolicy/p (applied) < validatingadmissionpolicybinding/b"],
    );
    check(
        "admission-policy",
        "ValidatingAdmissionPolicyBinding b | | spec: {policyName: p}\nMutatingAdmissionPolicy p",
        &[],
    );
}

#[test]
fn a_workload_comes_before_what_scales_and_guards_it() {
    let scaler =
        "HorizontalPodAutoscaler h | | spec: {scaleTargetRef: {apiVersion: apps/v1, kind: KIND, name: d}}";
    let pods = "Deployment d | | spec: {template: {metadata: {labels: {app: d, tier: front}}, spec: {containers: [{name: c}]}}}";
    let target = &["deployment/d (applied) < horizontalpodautoscaler/h"];
    check("scale-target", &format!("{}\n{pods}", scaler.replace("KIND", "Deployment")), target);
    check("scale-target", &format!("{}\n{pods}", scaler.replace("KIND", "StatefulSet")), &[]);
    let budget = "PodDisruptionBudget b | | spec: {selector: SELECTOR}";
    let guarded = &["deployment/d (applied) < poddisruptionbudget/b"];
    for selector in [
        "{matchLabels: {app: d}}",
        "{matchLabels: {app: d, tier: front}}",
        "{}",
        "{matchExpressions: [{key: app, operator: In, values: [e, d]}]}",
        "{matchExpressions: [{key: app, operator: NotIn, values: [e]}, {key: tier, operator: Exists}]}",
        "{matchExpressions: [{key: zone, operator: DoesNotExist}]}",
    ] {
        check("disruption", &format!("{}\n{pods}", budget.replace("SELECTOR", selector)), guarded);
    }
    for selector in [
        "{matchLabels: {app: e}}",
        "{matchLabels: {app: d, zone: a}}",
        "{matchExpressions: [{key: app, operator: NotIn, values: [d]}]}",
        "{matchExpressions: [{key: zone, operator: Exists}]}",
        "{matchExpressions: [{key: app, operator: Near}]}",
        "null",
    ] {
        check("disruption", &format!("{}\n{pods}", budget.replace("SELECTOR", selector)), &[]);
    }
    check("disruption", &format!("PodDisruptionBudget other/b | | spec: {{selector: {{}}}}\n{pods}"), &[]);
}
