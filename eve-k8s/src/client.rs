//! The one place that builds requests, from typed parts, and the one type that sends them.
//!
//! Nothing else in this crate touches [`kube::Client`]. Paths are made of [`PathSegment`]s only, each call has a
//! timeout, each answer a size limit, and nothing that may have been done is sent twice: who retries is the core. A
//! refusal is believed of a server that is ready. An overloaded server is sent less at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::body::{self, BodyError, Lines};
use crate::discovery::{Kinds, Resource};
use crate::error::{ApiError, ApiStatus};
use crate::labels::FIELD_MANAGER;
use crate::pace::{Load, Pace};
use crate::path::{PathError, PathSegment, query_value};

/// The largest answer that is read, and the largest event of a watch. An object is at most 1.5 MiB in etcd; a page of
/// a list holds at most [`PAGE_LIMIT`] of them, usually a hundredth of that.
const ANSWER_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How many objects one page of a list holds, as in kubectl and the controllers' libraries.
const PAGE_LIMIT: usize = 500;
/// How much of an error answer is read.
const REFUSAL_BYTES_MAX: u64 = 1024 * 1024;
/// How much of the log of a container is read.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// What eve calls itself in audit logs.
const USER_AGENT: &str = concat!("eve/", env!("CARGO_PKG_VERSION"));

/// What to take apart from the usual JSON: the whole API in two answers (Kubernetes 1.30 and later).
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

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

/// Where an object is, or would be.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) resource: Arc<Resource>,
    /// `None` for cluster-scoped resources only.
    pub(crate) namespace: Option<PathSegment>,
    pub(crate) name: PathSegment,
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

/// How much of each object a list tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Whole,
    /// `apiVersion`, kind and metadata only.
    Metadata,
}

/// Whether something was made or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was made now.
    Created,
    /// It was there before.
    Existed,
}

/// The parts of a request, before they become one.
struct Parts {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    accept: &'static str,
    body: Option<(&'static str, Bytes)>,
    refusal: Refusal,
    call: String,
}

/// What is made of a refusal for want of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It is believed of a server that is ready.
    Judged,
    /// It is handed on: who asks will ask again, whatever the reason.
    Taken,
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

    /// Whether the namespace exists; `None` where that may not be asked.
    ///
    /// # Errors
    /// [`ApiError`]; neither a namespace that is missing nor one that may not be read is one.
    pub async fn has_namespace(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let name = PathSegment::namespace(name)?;
        let place = Location { resource: Arc::new(Resource::namespaces()?), namespace: None, name };
        match self.get(&place).await {
            Ok(_) => Ok(Some(true)),
            Err(error) if error.is_code(404) => Ok(Some(false)),
            Err(error) if error.is_code(403) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the namespace if it does not exist. It is not labelled: it belongs to nobody, and is never deleted by eve.
    ///
    /// # Errors
    /// [`ApiError`]; a namespace that exists is none.
    pub async fn ensure_namespace(&self, name: &str) -> Result<Ensured, ApiError> {
        let name = PathSegment::namespace(name)?;
        let namespaces = Arc::new(Resource::namespaces()?);
        let place = Location { resource: namespaces, namespace: None, name };
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
        let (code, object) = self.coded(Parts::apply(place, object, conflicts, effect)).await?;
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
        if detail == Detail::Metadata {
            parts.accept = METADATA_LIST;
        }
        self.json(parts).await
    }

    /// One page of the objects that carry a label, whatever its value or with this one.
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
        if detail == Detail::Metadata {
            parts.accept = METADATA_LIST;
        }
        self.json(parts).await
    }

    /// Deletes the object of this uid in the foreground: the server keeps it until everything that it owns is gone, and
    /// answers as soon as that has begun.
    pub(crate) async fn delete(&self, place: &Location, uid: &str) -> Result<(), ApiError> {
        let mut parts = Parts::object(Method::DELETE, place, "delete");
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground",
            "preconditions": { "uid": uid },
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

    async fn json(&self, parts: Parts) -> Result<Value, ApiError> {
        self.coded(parts).await.map(|(_, value)| value)
    }

    async fn coded(&self, parts: Parts) -> Result<(StatusCode, Value), ApiError> {
        let call = parts.call.clone();
        let (code, answer) = self.paced(&call, self.bytes(parts)).await?;
        let malformed = |error: serde_json::Error| ApiError::Malformed {
            call,
            reason: format!(
                "{:?} error at byte {} of line {}",
                error.classify(),
                error.column(),
                error.line()
            ),
        };
        serde_json::from_slice(&answer).map(|value| (code, value)).map_err(malformed)
    }

    /// Boxed, or every future around it would hold it, and more than once.
    fn bytes(&self, parts: Parts) -> BoxFuture<'_, Result<(StatusCode, Bytes), ApiError>> {
        Box::pin(async move {
            let call = parts.call.clone();
            let answer = self.send(parts).await?;
            let code = answer.status();
            let read = body::collect(answer.into_body(), self.answer_bytes_max).await;
            read.map(|bytes| (code, bytes)).map_err(|error| lost(&call, error, self.answer_bytes_max))
        })
    }

    /// Sends, and turns an error status into an error.
    async fn send(&self, parts: Parts) -> Result<Response<Body>, ApiError> {
        match sent(&self.inner, &parts).await {
            Err(error) if error.is_code(403) && parts.refusal == Refusal::Judged => self.judged(&parts).await,
            answer => answer,
        }
    }

    /// What is forbidden is asked for once more after the server has said that it is ready: it may have become so between
    /// the refusal and the question. A refusal has done nothing.
    async fn judged(&self, parts: &Parts) -> Result<Response<Body>, ApiError> {
        self.is_past_its_start(&parts.call).await?;
        sent(&self.inner, parts).await
    }

    /// An API server answers before it has read who may do what, and until then it refuses everything; `/readyz` says when
    /// it has. Where that is not served or not allowed, what everybody may ask tells.
    ///
    /// # Errors
    /// [`ApiError::Starting`].
    async fn is_past_its_start(&self, call: &str) -> Result<(), ApiError> {
        for path in ["/readyz", "/api"] {
            let parts = Parts { accept: "*/*", ..Parts::discovery(path) };
            match self.in_time(call, sent(&self.own, &parts)).await {
                Ok(_) => return Ok(()),
                // It says so itself.
                Err(ApiError::Refused { status, .. }) if status.code >= 500 => break,
                Err(_) => {}
            }
        }
        Err(ApiError::Starting { call: call.to_owned() })
    }

    /// In time once its turn has come: all requests but watches, of which there are fewer while the server is overloaded.
    async fn paced<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let slot = self.pace.slot().await;
        // Boxed, or every future around it would hold it twice.
        let answer = Box::pin(self.in_time(call, work)).await;
        slot.end(match &answer {
            Err(error) if error.is_code(429) || error.is_code(503) => Load::TooMuch,
            Err(error) if error.status().is_none() => Load::Unknown,
            Ok(_) | Err(_) => Load::Fine,
        });
        answer
    }

    async fn in_time<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let after = self.request_timeout;
        let late = |_| ApiError::TimedOut { call: call.to_owned(), after };
        tokio::time::timeout(after, work).await.map_err(late)?
    }
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

impl Location {
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

impl Parts {
    fn new(method: Method, resource: &Resource, namespace: Option<&PathSegment>, call: String) -> Self {
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

    fn object(method: Method, place: &Location, verb: &str) -> Self {
        let mut parts = Self::new(method, &place.resource, place.namespace.as_ref(), place.call(verb));
        parts.path = format!("{}/{}", parts.path, place.name.encoded());
        parts
    }

    fn apply(place: &Location, object: &Value, conflicts: Conflicts, effect: Effect) -> Self {
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

    fn collection(collection: &Collection, verb: &str) -> Self {
        let resource = &collection.resource;
        let place = collection.namespace.as_ref().map_or("the cluster", PathSegment::as_str);
        let call = format!("{verb} {} in {place}", resource.plural);
        let mut parts = Self::new(Method::GET, resource, collection.namespace.as_ref(), call);
        if let Some((key, value)) = &collection.label {
            parts.query.push(("labelSelector", format!("{key}={value}")));
        }
        parts
    }

    fn discovery(path: &str) -> Self {
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

    fn request(&self) -> Result<Request<Body>, ApiError> {
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

/// The answer to one request, once. Boxed, or every future around it would hold it.
fn sent<'a>(client: &'a Client, parts: &'a Parts) -> BoxFuture<'a, Result<Response<Body>, ApiError>> {
    Box::pin(async move {
        let call = || parts.call.clone();
        let answer = client.send(parts.request()?).await.map_err(|error| unreachable(&call(), error))?;
        let code = answer.status();
        if code.is_success() {
            return Ok(answer);
        }
        let text = body::collect(answer.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
        Err(ApiError::Refused { call: call(), status: Box::new(status(code.as_u16(), &text)) })
    })
}

/// What an answer that is no success says. Proxies and unknown paths answer in plain text.
fn status(code: u16, text: &[u8]) -> ApiStatus {
    const TEXT_CHARS_MAX: usize = 300;
    let mut status: ApiStatus = serde_json::from_slice(text).unwrap_or_default();
    status.code = code;
    if status.message.is_empty() && status.reason.is_empty() {
        let text: String = String::from_utf8_lossy(text).trim().chars().take(TEXT_CHARS_MAX).collect();
        status.message = if text.is_empty() { format!("HTTP status {code}") } else { text };
    }
    status
}

fn lost(call: &str, error: BodyError, bytes_max: u64) -> ApiError {
    match error {
        BodyError::TooLarge => ApiError::TooLarge { call: call.to_owned(), bytes_max },
        BodyError::Lost(error) => unreachable(call, error),
    }
}

fn unreachable(call: &str, error: kube::Error) -> ApiError {
    let call = call.to_owned();
    if matches!(error, kube::Error::Auth(_)) {
        return ApiError::Credentials { call, reason: crate::config::login_reason(&error) };
    }
    if let Some(reason) = distrust(&error) {
        return ApiError::Untrusted { call, reason };
    }
    ApiError::Unreachable { call, source: Box::new(error) }
}

/// What is wrong with the certificate of the server, if that is what the error is about.
fn distrust(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(reason.to_string());
        }
        // An I/O error hides what it wraps: its source is that of the inner error.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| -> &(dyn std::error::Error + 'static) { inner }).or(error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::discovery::Scope;

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

    #[test]
    fn a_refusal_in_plain_text_is_kept_short() {
        let long = "x".repeat(1000);
        assert_eq!(status(404, b"404 page not found").message, "404 page not found");
        assert_eq!(status(502, long.as_bytes()).message.len(), 300);
        assert_eq!(status(502, b"").message, "HTTP status 502");
        assert!(status(404, b"404 page not found").is_unknown_resource());
    }
}
