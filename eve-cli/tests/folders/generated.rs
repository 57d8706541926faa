//! A folder of three hundred objects, made by rule.

use std::fmt::Write as _;
use std::path::Path;

/// Kinds, and how many of each.
const CONFIG_MAPS: usize = 190;
const SECRETS: usize = 40;
const SERVICES: usize = 30;
const ACCOUNTS: usize = 30;
const DEPLOYMENTS: usize = 10;
/// All of them.
pub(crate) const OBJECTS: usize = CONFIG_MAPS + SECRETS + SERVICES + ACCOUNTS + DEPLOYMENTS;

/// From an index to an object.
type Make = fn(usize) -> String;

/// Writes the files, one a kind.
pub(crate) fn write(folder: &Path) {
    let kinds: [(&str, usize, Make); 5] = [
        ("config-maps", CONFIG_MAPS, |i| {
            format!("{}data: {{ number: \"{i}\", key-{i}: value }}\n", head("v1", "ConfigMap", "settings", i))
        }),
        ("secrets", SECRETS, |i| {
            format!("{}stringData: {{ number: \"{i}\" }}\n", head("v1", "Secret", "secret", i))
        }),
        ("services", SERVICES, |i| {
            let head = head("v1", "Service", "service", i);
            format!("{head}spec: {{ selector: {{ app: web-{i} }}, ports: [{{ port: {} }}] }}\n", 8000 + i)
        }),
        ("accounts", ACCOUNTS, |i| head("v1", "ServiceAccount", "account", i)),
        ("deployments", DEPLOYMENTS, |i| {
            let head = head("apps/v1", "Deployment", "web", i);
            format!(
                "{head}spec:\n  selector: {{ matchLabels: {{ app: web-{i} }} }}\n  template:\n    metadata: {{ labels: {{ app: web-{i} }} }}\n    \
                 spec:\n      serviceAccountName: account-{i}\n      \
                 containers: [{{ name: web, image: registry.example.com/web:1, envFrom: [{{ configMapRef: {{ name: settings-{i} }} }}] }}]\n"
            )
        }),
    ];
    for (file, count, object) in kinds {
        let mut text = String::new();
        for index in 0..count {
            let _ = write!(text, "---\n{}", object(index));
        }
        std::fs::write(folder.join(format!("{file}.yaml")), text).unwrap();
    }
}

fn head(api_version: &str, kind: &str, name: &str, index: usize) -> String {
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{ name: {name}-{index} }}\n")
}
