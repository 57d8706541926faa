//! Plans with expressions on a real control plane: outputs flow, conditions are waited for, inputs count.

use eve_testbed::ControlPlane;
use serde_json::json;

use super::{eve, get};

const PLAN: &str = r#"
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: flow, namespace: NAMESPACE }
spec:
  inputs: { version: 1.4.2, replicas: 2, released: }
  components:
    - name: settings
      manifests:
        objects:
          - apiVersion: v1
            kind: ConfigMap
            metadata: { name: settings }
            data:
              url: "http://${{ components.api.host }}:${{ components.api.port }}"
              ip: "${{ components.api.ip }}"
              data: "$${{ not.an.expression }} ${{ inputs.released }}"
    - name: web
      dependsOn: [settings]
      readyWhen: self.status.readyReplicas == inputs.replicas
      manifests:
        objects:
          - apiVersion: apps/v1
            kind: Deployment
            metadata: { name: web, annotations: { example.com/run: "${{ run.id }}" } }
            spec:
              replicas: ${{ inputs.replicas }}
              selector: { matchLabels: { app: web } }
              template:
                metadata: { labels: { app: web } }
                spec:
                  containers:
                    - name: main
                      image: registry.example.com/web:${{ inputs.version }}
                      env: [{ name: API, value: "${{ components.api.ip }}" }]
    - name: api
      manifests:
        objects:
          - apiVersion: v1
            kind: Service
            metadata: { name: api }
            spec: { selector: { app: api }, ports: [{ port: 8080 }] }
          - apiVersion: v1
            kind: ConfigMap
            metadata: { name: api }
        outputs:
          host: { object: Service/api, value: self.metadata.name + "." + self.metadata.namespace + ".svc" }
          port: { object: Service/api, value: "self.spec.ports[0].port" }
          ip: { object: Service/api, value: self.spec.clusterIP }
"#;

#[tokio::test]
async fn outputs_of_live_objects_flow_into_what_refers_to_them() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("flow").await;
    let namespace = namespace.name();
    let plan = PLAN.replace("NAMESPACE", namespace);
    let values = control_plane.folder().join(format!("{namespace}-values.yaml"));
    std::fs::write(&values, "replicas: 1\nreleased: '${{ today }}'\n").unwrap();
    let values = values.to_str().unwrap().to_owned();
    let arguments = ["apply", "-f", "-", "-o", "json", "--inputs", &values, "--set", "version=1.10"];
    let ended = eve(control_plane, &arguments, &plan).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.err, ended.out);
    let service = get(control_plane, &format!("/api/v1/namespaces/{namespace}/services/api")).await;
    let settings = get(control_plane, &format!("/api/v1/namespaces/{namespace}/configmaps/settings")).await;
    assert_eq!(
        settings["data"],
        json!({
            "url": format!("http://api.{namespace}.svc:8080"), "ip": service["spec"]["clusterIP"],
            "data": "${{ not.an.expression }} ${{ today }}",
        })
    );
    let web = get(control_plane, &format!("/apis/apps/v1/namespaces/{namespace}/deployments/web")).await;
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], json!("registry.example.com/web:1.10"));
    assert_eq!(container["env"][0]["value"], service["spec"]["clusterIP"]);
    assert_eq!(web["spec"]["replicas"], json!(1));

    let diff = eve(control_plane, &["diff", "-f", "-", "--inputs", &values], &plan).await;
    assert_eq!(diff.code, Some(0), "{}\n{}", diff.err, diff.out);
    assert!(diff.out.contains("only known while the plan runs"), "{}", diff.out);
    let delete = eve(control_plane, &["delete", "-f", "-", "--inputs", &values], &plan).await;
    assert_eq!(delete.code, Some(0), "{}\n{}", delete.err, delete.out);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_what_the_wait_says() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("when").await;
    let namespace = namespace.name();
    let plan = format!(
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: when, namespace: {namespace} }}\nspec:\n  \
         components:\n    - name: a\n      timeout: 3s\n      readyWhen: has(self.data.ready)\n      manifests:\n        \
         objects: [{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: a }}, data: {{ x: '1' }} }}]\n"
    );
    let ended = eve(control_plane, &["apply", "-f", "-", "-o", "json"], &plan).await;
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.err, ended.out);
    assert!(ended.out.contains("`readyWhen` does not hold yet: has(self.data.ready)"), "{}", ended.out);
    let explain = eve(control_plane, &["explain", "-f", "-"], &plan).await;
    assert!(explain.out.contains("`readyWhen` does not hold yet"), "{}\n{}", explain.out, explain.err);
}

#[tokio::test]
async fn a_plan_with_secrets_is_refused_where_nobody_can_be_asked_for_them() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("vaultless").await;
    let plan = "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: { name: s, namespace: NAMESPACE }\nspec:\n  \
                secrets: { key: 'vault:shop/db#key' }\n  components:\n    - name: a\n      manifests:\n        objects:\n          \
                - { apiVersion: v1, kind: Secret, metadata: { name: a }, stringData: { k: '${{ secrets.key }}' } }\n";
    let plan = plan.replace("NAMESPACE", namespace.name());
    assert_eq!(eve(control_plane, &["validate", "-f", "-"], &plan).await.code, Some(0));
    for command in ["apply", "diff"] {
        let ended = eve(control_plane, &[command, "-f", "-"], &plan).await;
        assert_eq!(ended.code, Some(6), "{}", ended.err);
        assert!(ended.err.contains("nothing says where Vault is"), "{}", ended.err);
    }
}
