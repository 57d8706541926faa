//! The objects that the testbed itself creates: nodes, storage classes and the rights of the user `eve`. Pure: data in, JSON out.

use serde_json::{Value, json};

use crate::launch::EVE;

/// A node with room for 500 pods, 64 CPUs and 256 GiB, ready from its birth. `index` starts at 0; zones go round over three.
pub(crate) fn node(index: u16, kubelet_port: u16) -> Value {
    let name = format!("node-{index}");
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti" });
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/region": "testbed",
                "topology.kubernetes.io/zone": format!("testbed-{}", index % 3),
            },
        },
        "status": {
            "phase": "Running",
            "allocatable": room,
            "capacity": room,
            "addresses": [
                { "type": "InternalIP", "address": "127.0.0.1" },
                { "type": "Hostname", "address": name },
            ],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet_port } },
            "nodeInfo": {
                "architecture": architecture,
                "operatingSystem": "linux",
                "osImage": "eve-testbed",
                "containerRuntimeVersion": "containerd://2.1.0",
                "kernelVersion": "6.12.0",
                "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "",
                "bootID": "",
                "machineID": "",
                "systemUUID": "",
            },
            "conditions": [
                condition("Ready", "True", "KubeletReady"),
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            ],
        },
    })
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": "" })
}

/// Is the node ready, and has the controller taken away the taints that every new node gets?
pub(crate) fn is_usable(node: &Value) -> bool {
    let ready = node.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|all| {
        all.iter()
            .any(|one| one.get("type") == Some(&json!("Ready")) && one.get("status") == Some(&json!("True")))
    });
    let tainted =
        node.pointer("/spec/taints").and_then(Value::as_array).is_some_and(|taints| !taints.is_empty());
    ready && !tainted
}

/// Makes `eve` a cluster administrator through RBAC, so that its requests are judged like those of any user.
pub(crate) fn eve_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "testbed:eve" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": EVE }],
    })
}

/// Claims of the default class `standard` are bound at once, those of `late` when a pod wants them.
pub(crate) fn storage_classes() -> [Value; 2] {
    [("standard", "true", "Immediate"), ("late", "false", "WaitForFirstConsumer")].map(|(name, default, mode)| {
        json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": { "name": name, "annotations": { "storageclass.kubernetes.io/is-default-class": default } },
            "provisioner": "testbed.eve.dev/volume",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": mode,
        })
    })
}
