//! Services and aggregated API servers.

use serde_json::Value;

use super::{Readiness, condition, text};

/// Whether a Service with this spec needs no address from outside the cluster.
pub(super) fn is_no_balancer(object: &Value) -> bool {
    text(object, "/spec/type") != "LoadBalancer"
}

pub(super) fn service(object: &Value) -> Readiness {
    let ingress = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let has_address = |entry: &Value| !text(entry, "/ip").is_empty() || !text(entry, "/hostname").is_empty();
    if ingress.is_some_and(|entries| entries.iter().any(has_address)) {
        Readiness::Ready
    } else {
        Readiness::waits("k8s.service.no-address", "the load balancer has no address")
    }
}

pub(super) fn api_service(object: &Value) -> Readiness {
    match condition(object, "Available") {
        Some(available) if available.status == "True" => Readiness::Ready,
        Some(available) => Readiness::waits(
            "k8s.apiservice.unavailable",
            format!("it is not available: {}", available.why()),
        ),
        None => Readiness::waits("k8s.apiservice.unavailable", "its availability is not known"),
    }
}
