//! Requests, built from typed parts: what is meant, where it is, and the one way in which that becomes a URL. Pure.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use kube::client::Body;
use serde_json::Value;

use crate::discovery::Resource;
use crate::error::ApiError;
use crate::labels::FIELD_MANAGER;
use crate::path::{PathError, PathSegment, query_value};

/// What eve calls itself in audit logs.
const USER_AGENT: &str = concat!("eve/", env!("CARGO_PKG_VERSION"));

/// What to take apart from the usual JSON: the whole API in two answers (Kubernetes 1.30 and later).
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Where an object is, or would be.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) resource: Arc<Resource>,
    /// `None` for cluster-scoped resources only.
    pub(crate) namespace: Option<PathSegment>,
    pub(crate) name: PathSegment,
}

impl Location {
    pub(crate) fn of_namespace(name: PathSegment) -> Result<Self, PathError> {
        Ok(Self { resource: Arc::new(Resource::namespaces()?), namespace: None, name })
    }

    /// The request for people: `get Deployment shop/web`.
    pub(crate) fn call(&self, verb: &str) -> String {
        format!("{verb} {self}")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.resource.kind, self.name),
            None => write!(f, "{} {}", self.resource.kind, self.name),
        }
    }
}

/// Where objects of a resource are: one namespace, or the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Collection {
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: Option<PathSegment>,
    /// A label that all of them carry, as `(key, value)`.
    pub(crate) label: Option<(&'static str, String)>,
}

/// What server-side apply does with fields that another manager owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// They are reported, and nothing is written.
    Refuse,
    /// The fields are taken over.
    Force,
}

/// Whether a write is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Stored,
    /// Everything is done but that: the answer is what would be.
    DryRun,
}

/// Which objects of a collection are meant, by a label.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Labelled<'a> {
    /// All of them.
    Any,
    /// Those that carry it.
    Key(&'a str),
    /// Those that carry it with this value.
    Value(&'a str, &'a str),
}

/// Which instance of a container a log is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instance {
    Current,
    Previous,
}

/// The parts of a request, before they become one.
pub(super) struct Parts {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) accept: &'static str,
    pub(super) body: Option<(&'static str, Bytes)>,
    pub(super) refusal: Refusal,
    pub(super) call: String,
}

/// What is made of a refusal for want of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is believed of a server that is ready.
    Judged,
    /// It is handed on: who asks will ask again, whatever the reason.
    Taken,
}

impl Parts {
    pub(super) fn new(
        method: Method,
        resource: &Resource,
        namespace: Option<&PathSegment>,
        call: String,
    ) -> Self {
        let mut path = match &resource.group {
            Some(group) => format!("/apis/{}/{}", group.encoded(), resource.version.encoded()),
            None => format!("/api/{}", resource.version.encoded()),
        };
        if let Some(namespace) = namespace {
            path = format!("{path}/namespaces/{}", namespace.encoded());
        }
        path = format!("{path}/{}", resource.plural.encoded());
        let (query, refusal) = (Vec::new(), Refusal::Judged);
        Self { method, path, query, accept: "application/json", body: None, refusal, call }
    }

    pub(super) fn object(method: Method, place: &Location, verb: &str) -> Self {
        let mut parts = Self::new(method, &place.resource, place.namespace.as_ref(), place.call(verb));
        parts.path = format!("{}/{}", parts.path, place.name.encoded());
        parts
    }

    pub(super) fn apply(place: &Location, object: &Value, conflicts: Conflicts, effect: Effect) -> Self {
        let mut parts = Self::object(Method::PATCH, place, "apply");
        parts.query.push(("fieldManager", FIELD_MANAGER.to_owned()));
        parts.query.push(("fieldValidation", "Strict".to_owned()));
        if conflicts == Conflicts::Force {
            parts.query.push(("force", "true".to_owned()));
        }
        if effect == Effect::DryRun {
            parts.call = place.call("dry-run the apply of");
            parts.query.push(("dryRun", "All".to_owned()));
        }
        // JSON is YAML; the media type names only the kind of patch.
        parts.body = Some(("application/apply-patch+yaml", object.to_string().into()));
        parts
    }

    pub(super) fn collection(collection: &Collection, verb: &str) -> Self {
        let resource = &collection.resource;
        let place = collection.namespace.as_ref().map_or("the cluster", PathSegment::as_str);
        let call = format!("{verb} {} in {place}", resource.plural);
        let mut parts = Self::new(Method::GET, resource, collection.namespace.as_ref(), call);
        if let Some((key, value)) = &collection.label {
            parts.query.push(("labelSelector", format!("{key}={value}")));
        }
        parts
    }

    pub(super) fn discovery(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            query: Vec::new(),
            accept: DISCOVERY,
            body: None,
            refusal: Refusal::Judged,
            call: "ask what the API server serves".to_owned(),
        }
    }

    fn target(&self) -> String {
        let mut target = self.path.clone();
        for (index, (key, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(key);
            target.push('=');
            target.push_str(&query_value(value).to_string());
        }
        target
    }

    pub(super) fn request(&self) -> Result<Request<Body>, ApiError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.target())
            .header(header::ACCEPT, self.accept)
            .header(header::USER_AGENT, USER_AGENT);
        let body = match &self.body {
            None => Body::empty(),
            Some((content_type, bytes)) => {
                request = request.header(header::CONTENT_TYPE, *content_type);
                Body::from(bytes.clone())
            }
        };
        let malformed =
            PathError { what: "request", text: self.call.clone(), reason: "it makes no valid request" };
        request.body(body).map_err(|_| malformed.into())
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::discovery::{Kinds, Scope};

    /// Whatever might change which request is sent, and plain names among it.
    fn hostile() -> impl Strategy<Value = String> {
        let nasty = "(\\.\\.?|#|/|%2f|%2F|%00|\\?|&|=|;|:|@|\\\\| |\\+|~|é|\u{202e}|\n|\0|[a-z]{1,5}|force=true){0,6}";
        prop_oneof![
            nasty.prop_map(|text: String| text),
            "[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?",
            any::<String>()
        ]
    }

    fn mostly_plain() -> impl Strategy<Value = String> {
        prop_oneof![4 => "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", 1 => hostile()]
    }

    fn resource(plural: &str) -> Option<Arc<Resource>> {
        Kinds::default()
            .with_definition(&json!({
                "kind": "CustomResourceDefinition",
                "spec": {
                    "group": "x.dev", "scope": "Namespaced", "names": { "kind": "Thing", "plural": plural },
                    "versions": [{ "name": "v1", "served": true }],
                },
            }))
            .find("x.dev/v1", "Thing")
            .ok()
    }

    proptest! {
        #[test]
        fn the_url_is_the_one_rebuilt_from_its_typed_parts(
            plural in mostly_plain(), namespace in mostly_plain(), name in hostile(), label in hostile(),
        ) {
            let parsed = (resource(&plural), PathSegment::namespace(&namespace), PathSegment::name(&name));
            let (Some(resource), Ok(namespace), Ok(name)) = parsed else { return Ok(()) };
            prop_assert_eq!(resource.scope, Scope::Namespaced);
            let place = Location { resource: Arc::clone(&resource), namespace: Some(namespace.clone()), name };
            let request = Parts::apply(&place, &json!({}), Conflicts::Refuse, Effect::Stored).request().unwrap();
            let path: Vec<String> = request
                .uri()
                .path()
                .split('/')
                .map(|part| percent_decode_str(part).decode_utf8().unwrap().into_owned())
                .collect();
            let expected = ["", "apis", "x.dev", "v1", "namespaces", namespace.as_str(), plural.as_str(), place.name.as_str()];
            prop_assert_eq!(path, expected);
            prop_assert_eq!(request.uri().query(), Some("fieldManager=eve&fieldValidation=Strict"));

            let collection = Collection { resource, namespace: Some(namespace), label: Some(("k", label.clone())) };
            let request = Parts::collection(&collection, "list").request().unwrap();
            let (key, value) = request.uri().query().unwrap().split_once('=').unwrap();
            let value = percent_decode_str(value).decode_utf8().unwrap();
            let expected = format!("k={label}");
            prop_assert_eq!((key, value.as_ref()), ("labelSelector", expected.as_str()));
        }
    }
}
