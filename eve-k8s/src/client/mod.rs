//! The one place that builds requests, from typed parts, and the one type that sends them.
//!
//! Nothing else in this crate touches [`kube::Client`]. Paths are made of [`PathSegment`]s only, each call has a
//! timeout, each answer a size limit, and nothing that may have been done is sent twice: who retries is the core. A
//! refusal is believed of a server that is ready. An overloaded server is sent less at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use kube::Client;
use serde_json::Value;

use self::request::{Parts, Refusal};
use crate::body::Lines;
use crate::discovery::{Kinds, Resource};
use crate::error::ApiError;
use crate::labels::FIELD_MANAGER;
use crate::pace::Pace;
use crate::path::PathSegment;

mod request;
mod sending;
mod states;

use self::states::StateList;
pub(crate) use request::{Collection, Conflicts, Effect, Instance, Labelled, Location};

/// The largest answer that is read, and the largest event of a watch. An object is at most 1.5 MiB in etcd; a page of
/// a list holds at most [`PAGE_LIMIT`] of them, usually a hundredth of that.
const ANSWER_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How many objects one page of a list holds, as in kubectl and the controllers' libraries.
const PAGE_LIMIT: usize = 500;
/// How much of the log of a container is read.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// Lists without specs and statuses; whole objects from servers that cannot.
const METADATA_LIST: &str =
    "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList, application/json";

/// A client that sends typed requests to one API server. Cheap to clone.
#[derive(Clone)]
pub struct KubeClient {
    inner: Client,
    /// The same, but acting as nobody else: who may not do that is refused everything, by a server that is ready, too.
    own: Client,
    server: Arc<str>,
    request_timeout: Duration,
    answer_bytes_max: u64,
    pace: Arc<Pace>,
}

impl fmt::Debug for KubeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeClient").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How much of each object a list tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Whole,
    /// `apiVersion`, kind and metadata only.
    Metadata,
    /// What tells one state of an object from another: name, uid and resource version.
    State,
}

/// What is known of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Namespace {
    There(Value),
    Absent,
    /// It may not be read.
    Unseen,
}

/// Whether something was made or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was made now.
    Created,
    /// It was there before.
    Existed,
}

impl KubeClient {
    /// Sends through this client, whose own retries should be off (`Config::default_retry`). 30 s for a request.
    pub fn new(client: Client) -> Self {
        Self {
            own: client.clone(),
            inner: client,
            server: "the API server".into(),
            request_timeout: Duration::from_secs(30),
            answer_bytes_max: ANSWER_BYTES_MAX,
            pace: Arc::new(Pace::new()),
        }
    }

    /// The same with another limit for the time that one request may take, its answer included.
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The same with another limit for the size of one answer, or of one event of a watch. 128 MiB by default.
    #[must_use]
    pub const fn with_answer_bytes_max(mut self, bytes: u64) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    /// The same, with this one to ask whether the server is ready.
    pub(crate) fn with_own(mut self, own: Client) -> Self {
        self.own = own;
        self
    }

    pub(crate) fn with_server(mut self, server: String) -> Self {
        self.server = server.into();
        self
    }

    /// The address of the API server, for people.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace of the chosen context, or of the pod this runs in; `default` where none is stated.
    pub fn default_namespace(&self) -> &str {
        self.inner.default_namespace()
    }

    /// What the API server serves, in two requests.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn discover(&self) -> Result<Kinds, ApiError> {
        let core = async { self.json(Parts::discovery("/api")).await };
        let groups = async { self.json(Parts::discovery("/apis")).await };
        let (core, groups) = tokio::join!(core, groups);
        Kinds::from_discovery(&core?, &groups?)
    }

    /// What this cluster is known again by, whatever its address: the uid of its namespace `kube-system`, which is there as long
    /// as the cluster is (KEP-2149 of Kubernetes, `cluster.clusterset.k8s.io`). `None` where that may not be read, or is not
    /// there.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn identity(&self) -> Result<Option<String>, ApiError> {
        let name = PathSegment::namespace("kube-system")?;
        let place = Location { resource: Arc::new(Resource::namespaces()?), namespace: None, name };
        match self.get(&place).await {
            Ok(found) => Ok(found.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)),
            Err(error) if error.is_code(404) || error.is_code(403) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the namespace exists; `None` where that may not be asked.
    ///
    /// # Errors
    /// [`ApiError`]; neither a namespace that is missing nor one that may not be read is one.
    pub async fn has_namespace(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let name = PathSegment::namespace(name)?;
        Ok(match self.namespace(&name).await? {
            Namespace::There(_) => Some(true),
            Namespace::Absent => Some(false),
            Namespace::Unseen => None,
        })
    }

    /// A namespace as it is now.
    pub(crate) async fn namespace(&self, name: &PathSegment) -> Result<Namespace, ApiError> {
        match self.get(&Location::of_namespace(name.clone())?).await {
            Ok(object) => Ok(Namespace::There(object)),
            Err(error) if error.is_code(404) => Ok(Namespace::Absent),
            Err(error) if error.is_code(403) => Ok(Namespace::Unseen),
            Err(error) => Err(error),
        }
    }

    /// Makes the namespace if it does not exist. It is not labelled: it belongs to nobody, and is never deleted by eve.
    ///
    /// # Errors
    /// [`ApiError`]; a namespace that exists is none.
    pub async fn ensure_namespace(&self, name: &str) -> Result<Ensured, ApiError> {
        let name = PathSegment::namespace(name)?;
        let place = Location::of_namespace(name)?;
        // Looked for first: who may use a namespace may often not make one.
        match self.get(&place).await {
            Ok(_) => return Ok(Ensured::Existed),
            Err(error) if error.is_code(404) || error.is_code(403) => {}
            Err(error) => return Err(error),
        }
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": place.name.as_str() },
        });
        match self.create(&place, &object).await {
            Ok(_) => Ok(Ensured::Created),
            Err(error) if error.status().is_some_and(|status| status.reason == "AlreadyExists") => {
                Ok(Ensured::Existed)
            }
            Err(error) => Err(error),
        }
    }

    /// The object as it is now.
    pub(crate) async fn get(&self, place: &Location) -> Result<Value, ApiError> {
        self.json(Parts::object(Method::GET, place, "get")).await
    }

    /// Server-side apply of the whole intent, strictly validated. Answers the object as it is, or would be, then, and
    /// whether it was made.
    pub(crate) async fn apply(
        &self,
        place: &Location,
        object: &Value,
        conflicts: Conflicts,
        effect: Effect,
    ) -> Result<(Value, Ensured), ApiError> {
        let (code, object) = self.decoded(Parts::apply(place, object, conflicts, effect)).await?;
        Ok((object, if code == StatusCode::CREATED { Ensured::Created } else { Ensured::Existed }))
    }

    /// Makes an object that must not be there yet.
    pub(crate) async fn create(&self, place: &Location, object: &Value) -> Result<Value, ApiError> {
        let mut parts =
            Parts::new(Method::POST, &place.resource, place.namespace.as_ref(), place.call("create"));
        parts.query.push(("fieldManager", FIELD_MANAGER.to_owned()));
        parts.body = Some(("application/json", object.to_string().into()));
        self.json(parts).await
    }

    /// Changes an object by a merge patch (RFC 7396). A patch that names the uid or the resource version is refused where
    /// they are others by then. Answers the object as it is then.
    pub(crate) async fn merge(&self, place: &Location, patch: &Value) -> Result<Value, ApiError> {
        let mut parts = Parts::object(Method::PATCH, place, "patch");
        parts.query.push(("fieldManager", FIELD_MANAGER.to_owned()));
        parts.body = Some(("application/merge-patch+json", patch.to_string().into()));
        self.json(parts).await
    }

    /// Deletes all objects of a collection that carry a label with this value.
    pub(crate) async fn delete_labelled(
        &self,
        collection: &Collection,
        (key, value): (&str, &str),
    ) -> Result<(), ApiError> {
        let resource = &collection.resource;
        let call = format!("delete {} with the label {key}={value}", resource.plural);
        let mut parts = Parts::new(Method::DELETE, resource, collection.namespace.as_ref(), call);
        parts.query.push(("labelSelector", format!("{key}={value}")));
        self.json(parts).await.map(drop)
    }

    /// Whether this client's user may do this with the objects of a collection; asks, and writes nothing.
    pub(crate) async fn may(&self, collection: &Collection, verb: &str) -> Result<bool, ApiError> {
        if self.is_granted(collection, verb).await? {
            return Ok(true);
        }
        // A no is judged as a refusal is.
        let call = format!("ask whether {verb} of {} is allowed", collection.resource.plural);
        self.is_past_its_start(&call).await?;
        self.is_granted(collection, verb).await
    }

    async fn is_granted(&self, collection: &Collection, verb: &str) -> Result<bool, ApiError> {
        let resource = &collection.resource;
        let reviews = Resource::access_reviews()?;
        let call = format!("ask whether {verb} of {} is allowed", resource.plural);
        let mut parts = Parts::new(Method::POST, &reviews, None, call);
        let asked = serde_json::json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "namespace": collection.namespace.as_ref().map(PathSegment::as_str),
                "group": resource.group(), "resource": resource.plural.as_str(), "verb": verb,
            } },
        });
        parts.body = Some(("application/json", asked.to_string().into()));
        let answer = self.json(parts).await?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true))
    }

    /// One page of the objects of a collection, the next where `after` is what the page before said. For who asks again and
    /// again.
    pub(crate) async fn list(&self, collection: &Collection, after: Option<&str>) -> Result<Value, ApiError> {
        let mut parts = Parts::collection(collection, "list");
        parts.refusal = Refusal::Taken;
        parts.query.push(("limit", PAGE_LIMIT.to_string()));
        if let Some(after) = after {
            parts.query.push(("continue", after.to_owned()));
        }
        self.json(parts).await
    }

    /// One page of the objects of a collection, or of the one with this name in it.
    pub(crate) async fn list_named(
        &self,
        collection: &Collection,
        name: Option<&PathSegment>,
        detail: Detail,
        after: Option<&str>,
    ) -> Result<Value, ApiError> {
        let mut parts = Parts::collection(collection, "list");
        parts.query.push(("limit", PAGE_LIMIT.to_string()));
        if let Some(name) = name {
            parts.query.push(("fieldSelector", format!("metadata.name={}", name.as_str())));
        }
        if let Some(after) = after {
            parts.query.push(("continue", after.to_owned()));
        }
        if detail != Detail::Whole {
            parts.accept = METADATA_LIST;
        }
        match detail {
            Detail::Whole | Detail::Metadata => self.json(parts).await,
            Detail::State => self.decoded::<StateList>(parts).await.map(|(_, list)| list.into()),
        }
    }

    /// One page of the objects that carry a label, whatever its value or with this one; of states, their metadata.
    pub(crate) async fn list_labelled(
        &self,
        collection: &Collection,
        label: Labelled<'_>,
        detail: Detail,
        after: Option<&str>,
    ) -> Result<Value, ApiError> {
        let mut parts = Parts::collection(collection, "list");
        parts.query.push(("limit", PAGE_LIMIT.to_string()));
        match label {
            Labelled::Any => {}
            Labelled::Key(key) => parts.query.push(("labelSelector", key.to_owned())),
            Labelled::Value(key, value) => parts.query.push(("labelSelector", format!("{key}={value}"))),
        }
        if let Some(after) = after {
            parts.query.push(("continue", after.to_owned()));
        }
        if detail != Detail::Whole {
            parts.accept = METADATA_LIST;
        }
        self.json(parts).await
    }

    /// Deletes the object of this uid in the foreground: the server keeps it until everything that it owns is gone, and
    /// answers as soon as that has begun.
    pub(crate) async fn delete(&self, place: &Location, uid: &str) -> Result<(), ApiError> {
        self.delete_where(place, serde_json::json!({ "uid": uid })).await
    }

    /// The same of this very state of the object: uid and resource version.
    pub(crate) async fn delete_as_seen(
        &self,
        place: &Location,
        (uid, resource_version): (&str, &str),
    ) -> Result<(), ApiError> {
        let seen = serde_json::json!({ "uid": uid, "resourceVersion": resource_version });
        self.delete_where(place, seen).await
    }

    async fn delete_where(&self, place: &Location, preconditions: Value) -> Result<(), ApiError> {
        let mut parts = Parts::object(Method::DELETE, place, "delete");
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground",
            "preconditions": preconditions,
        });
        parts.body = Some(("application/json", options.to_string().into()));
        self.json(parts).await.map(drop)
    }

    /// The changes of a collection since a resource version, one JSON document a line, until the server ends it. For who
    /// asks again and again.
    pub(crate) async fn watch(
        &self,
        collection: &Collection,
        since: &str,
        timeout: Duration,
    ) -> Result<Lines, ApiError> {
        let mut parts = Parts::collection(collection, "watch");
        parts.refusal = Refusal::Taken;
        parts.query.push(("watch", "true".to_owned()));
        parts.query.push(("allowWatchBookmarks", "true".to_owned()));
        parts.query.push(("resourceVersion", since.to_owned()));
        parts.query.push(("timeoutSeconds", timeout.as_secs().to_string()));
        let call = parts.call.clone();
        let answer = self.in_time(&call, self.send(parts)).await?;
        Ok(Lines::new(answer.into_body(), self.answer_bytes_max))
    }

    /// An `APIService`.
    pub(crate) async fn api_service(&self, name: &str) -> Result<Value, ApiError> {
        let resource = Arc::new(Resource::api_services()?);
        self.get(&Location { resource, namespace: None, name: PathSegment::name(name)? }).await
    }

    /// A storage class.
    pub(crate) async fn storage_class(&self, name: PathSegment) -> Result<Value, ApiError> {
        let resource = Arc::new(Resource::storage_classes()?);
        self.get(&Location { resource, namespace: None, name }).await
    }

    /// The events about one object, oldest first as the server keeps them.
    pub(crate) async fn events(&self, namespace: &PathSegment, uid: &str) -> Result<Value, ApiError> {
        let events = Resource::core("events", "Event")?;
        let call = format!("list events in {namespace}");
        let mut parts = Parts::new(Method::GET, &events, Some(namespace), call);
        parts.query.push(("fieldSelector", format!("involvedObject.uid={uid}")));
        parts.query.push(("limit", PAGE_LIMIT.to_string()));
        self.json(parts).await
    }

    /// The last lines of the log of a container, of its previous instance where that is asked for.
    pub(crate) async fn log(
        &self,
        pod: &Location,
        container: &str,
        instance: Instance,
        lines: usize,
    ) -> Result<String, ApiError> {
        let mut parts = Parts::object(Method::GET, pod, "get the log of");
        parts.path.push_str("/log");
        parts.accept = "text/plain, */*";
        parts.query.push(("container", container.to_owned()));
        parts.query.push(("tailLines", lines.to_string()));
        parts.query.push(("limitBytes", LOG_BYTES_MAX.to_string()));
        if instance == Instance::Previous {
            parts.query.push(("previous", "true".to_owned()));
        }
        let call = parts.call.clone();
        let (_, text) = self.paced(&call, self.bytes(parts)).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
