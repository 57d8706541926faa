//! What was there when a run began: one list for each kind and namespace of its plan, for all preparations.
//!
//! A list is made when the first component of its kind is prepared, and kept only as far as the plan names its objects. Where
//! the plan names one object, the list asks for that name, so that strangers' objects are not read; or for the plan's own,
//! where it is to show what the plan does not name any more. Each finding is
//! handed out once: who asks again wants news, and reads by name. Writes nothing, and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use eve_core::failure::Failure;
use eve_core::ids::ComponentId;
use eve_core::plan::Action;
use eve_core::plan::graph::Graph;
use eve_core::run::Change;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::client::{Collection, Detail, KubeClient, Labelled, Location, Namespace};
use crate::discovery::{Kinds, Scope};
use crate::error::ApiError;
use crate::idle::{Came, Idle};
use crate::inventory::{self, LeftOver};
use crate::labels::PlanName;
use crate::live::{Listed, Live};
use crate::path::PathSegment;
use crate::scaled::Targets;
use crate::snapshot::SealKey;
use crate::{labels, normal, object, readiness};

/// The surveys of all runs of one executor.
pub(crate) struct Surveys {
    client: KubeClient,
    /// How much of each object is listed, where that does not follow from its kind.
    detail: Option<Detail>,
    sees_left_over: bool,
    runs: Mutex<Vec<(Weak<Graph>, Arc<Survey>)>>,
}

/// The lists of one run, and how far it is.
struct Survey {
    idle: Mutex<Idle>,
    lists: Mutex<BTreeMap<Collection, Arc<OnceCell<List>>>>,
    /// Definitions that are as the plan wants them, and established.
    settled: Mutex<BTreeSet<ComponentId>>,
    /// Components whose object was not there, until it was written.
    making: Mutex<BTreeMap<ComponentId, Making>>,
    keeping: Arc<Keeping>,
    leaving: Arc<Leaving>,
    refusals: Arc<OnceCell<Refusals>>,
    /// What is of the plan, and not named by it; by where it was listed.
    left: Mutex<BTreeMap<Collection, Vec<LeftOver>>>,
    scaled: OnceLock<Targets>,
}

/// Components of a plan that the cluster would refuse, each with why.
pub(crate) type Refusals = Vec<(ComponentId, Failure)>;

/// Namespaces by name, as they were.
pub(crate) type MadeAnew = Mutex<BTreeMap<Box<str>, Value>>;

/// What a run knows of namespaces that were being deleted when it began.
#[derive(Default)]
pub(crate) struct Leaving {
    /// Those that its plan makes, until they are made anew.
    pub(crate) made: OnceCell<Arc<MadeAnew>>,
    /// Those that were read.
    pub(crate) read: Mutex<BTreeMap<PathSegment, Namespace>>,
}

/// What is done once a run so that it can be undone.
#[derive(Default)]
pub(crate) struct Keeping {
    /// What the API server served when that was first asked in the run.
    pub(crate) kinds: OnceCell<Kinds>,
    /// The key by which snapshots are sealed, of this process.
    pub(crate) key: OnceCell<SealKey>,
    /// Whether snapshots may be written and read.
    pub(crate) rights: OnceCell<Result<(), Failure>>,
    /// Snapshots that are not needed any more were removed.
    pub(crate) tidied: OnceCell<()>,
}

/// How far an object that was not there has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    /// Nothing was sent since it was looked for.
    Absent,
    /// A write was sent, and nobody knows what became of it.
    Sent,
}

/// What became of a list.
enum List {
    /// The objects that the plan names, until they are handed out; `None` for one that is not there.
    Made {
        detail: Detail,
        objects: Mutex<BTreeMap<Box<str>, Option<Value>>>,
    },
    /// The API server does not know the kind yet. Who was told so asks by name the next time: right after a kind has come
    /// to be, lists are refused for a while.
    NotServed {
        told: Mutex<BTreeSet<Box<str>>>,
    },
    /// It may not be made, not yet, or is too large.
    Denied,
    Failed(Failure),
}

/// What is known of one object.
pub(crate) enum Found {
    /// It is there.
    There(Box<Value>, Detail),
    /// It is not there.
    Absent,
    /// Its kind is not served yet.
    NotServed,
    /// Nothing, or nothing new: it is to be read by name.
    Unknown,
}

impl Surveys {
    pub(crate) fn new(client: KubeClient) -> Self {
        Self { client, detail: None, sees_left_over: false, runs: Mutex::default() }
    }

    /// The same, whose lists are of whole objects.
    #[must_use]
    pub(crate) fn whole(mut self) -> Self {
        self.detail = Some(Detail::Whole);
        self
    }

    /// The same, whose lists hold no more than states of objects; there are none of kinds that metadata would not do for.
    #[must_use]
    pub(crate) fn of_states(mut self) -> Self {
        self.detail = Some(Detail::State);
        self
    }

    /// The same, whose lists show what plans do not name any more.
    #[must_use]
    pub(crate) fn seeing_left_over(mut self) -> Self {
        self.sees_left_over = true;
        self
    }

    /// What the lists of the run of this graph showed of its plan, and the plan does not name, in whatever version.
    pub(crate) fn left_over(&self, graph: &Arc<Graph>) -> Vec<LeftOver> {
        let survey = self.of(graph);
        let mut left: BTreeSet<LeftOver> = lock(&survey.left).values().flatten().cloned().collect();
        if left.is_empty() {
            return Vec::new();
        }
        for id in graph.ids() {
            let Ok((_, identity)) = object::identify(graph.node(id).spec()) else { continue };
            let (kind, name) = (identity.kind.to_owned(), identity.name.to_owned());
            let namespace = identity.namespace.unwrap_or(graph.namespace()).to_owned();
            left.remove(&LeftOver { namespace: None, kind: kind.clone(), name: name.clone() });
            left.remove(&LeftOver { namespace: Some(namespace), kind, name });
        }
        left.into_iter().collect()
    }

    /// Forgets everything about the run of this graph: who asks then wants news.
    pub(crate) fn forget(&self, graph: &Arc<Graph>) {
        lock(&self.runs).retain(|(run, _)| !std::ptr::eq(run.as_ptr(), Arc::as_ptr(graph)));
    }

    /// What is done once in the run of this graph so that it can be undone.
    pub(crate) fn keeping(&self, graph: &Arc<Graph>) -> Arc<Keeping> {
        Arc::clone(&self.of(graph).keeping)
    }

    /// What the run of this graph knows of namespaces that are being deleted.
    pub(crate) fn leaving(&self, graph: &Arc<Graph>) -> Arc<Leaving> {
        Arc::clone(&self.of(graph).leaving)
    }

    /// What the cluster would refuse of the run of this graph, once that was looked for.
    pub(crate) fn refusals(&self, graph: &Arc<Graph>) -> Arc<OnceCell<Refusals>> {
        Arc::clone(&self.of(graph).refusals)
    }

    /// Forgets what was in a namespace that was made anew.
    pub(crate) fn is_back(&self, graph: &Arc<Graph>, namespace: &str) {
        let survey = self.of(graph);
        let was_leaving = survey.leaving.made.get().and_then(|made| lock(made).remove(namespace));
        if was_leaving.is_some() {
            let is_in_it =
                |list: &Collection| list.namespace.as_ref().is_some_and(|of| of.as_str() == namespace);
            lock(&survey.lists).retain(|list, _| !is_in_it(list));
        }
    }

    /// What the list of its kind and namespace says of an object that the graph's plan names. With `live`, the list is
    /// followed by a watch where readiness will be judged. Cancel safe.
    ///
    /// # Errors
    /// What kept the list from being made; it is made anew for who asks then.
    pub(crate) async fn find(
        &self,
        graph: &Arc<Graph>,
        place: &Location,
        live: Option<&Live>,
    ) -> Result<Found, Failure> {
        if !place.resource.watchable {
            return Ok(Found::Unknown);
        }
        let (survey, collection, cell) = self.cell(graph, place);
        match cell.get_or_init(|| self.list(graph, &collection, live)).await {
            List::NotServed { told } => {
                let is_first = lock(told).insert(place.name.as_str().into());
                Ok(if is_first { Found::NotServed } else { Found::Unknown })
            }
            List::Denied => Ok(Found::Unknown),
            List::Failed(failure) => {
                survey.forget(&collection, &cell);
                Err(failure.clone())
            }
            List::Made { detail, objects } => Ok(match lock(objects).remove(place.name.as_str()) {
                None => Found::Unknown,
                Some(None) => Found::Absent,
                Some(Some(object)) => Found::There(Box::new(object), *detail),
            }),
        }
    }

    /// Whether the list of its kind and namespace holds any object that the graph's plan names. The list is the one that
    /// [`Surveys::find`] goes on with, and nothing of it is handed out here. Cancel safe.
    pub(crate) async fn shows(&self, graph: &Arc<Graph>, place: &Location, live: &Live) -> bool {
        let (survey, collection, cell) = self.cell(graph, place);
        match cell.get_or_init(|| self.list(graph, &collection, Some(live))).await {
            List::Made { objects, .. } => lock(objects).values().any(Option::is_some),
            List::NotServed { .. } | List::Denied => false,
            List::Failed(_) => {
                survey.forget(&collection, &cell);
                false
            }
        }
    }

    /// What `judge` says of an object that the list of its kind and namespace holds; `None` where there is no list, or the
    /// object is not in it. Nothing is handed out. Cancel safe.
    pub(crate) async fn peek<T>(
        &self,
        graph: &Arc<Graph>,
        place: &Location,
        live: Option<&Live>,
        judge: impl FnOnce(&Value) -> T,
    ) -> Option<T> {
        if !place.resource.watchable {
            return None;
        }
        let (survey, collection, cell) = self.cell(graph, place);
        match cell.get_or_init(|| self.list(graph, &collection, live)).await {
            List::Made { objects, .. } => lock(objects).get(place.name.as_str())?.as_ref().map(judge),
            List::NotServed { .. } | List::Denied => None,
            List::Failed(_) => {
                survey.forget(&collection, &cell);
                None
            }
        }
    }

    /// Where the list of a kind and namespace is kept.
    fn cell(&self, graph: &Arc<Graph>, place: &Location) -> (Arc<Survey>, Collection, Arc<OnceCell<List>>) {
        let survey = self.of(graph);
        let collection = Collection {
            resource: Arc::clone(&place.resource),
            namespace: place.namespace.clone(),
            label: None,
        };
        let cell = Arc::clone(lock(&survey.lists).entry(collection.clone()).or_default());
        (survey, collection, cell)
    }

    /// Remembers that the object of a component is not there. A write that was sent before may still come true.
    pub(crate) fn miss(&self, graph: &Arc<Graph>, component: ComponentId) {
        lock(&self.of(graph).making).entry(component).or_insert(Making::Absent);
    }

    /// Remembers that a write is sent, and tells what was known until then; `None` if this process never looked.
    pub(crate) fn send(&self, graph: &Arc<Graph>, component: ComponentId) -> Option<Making> {
        lock(&self.of(graph).making).insert(component, Making::Sent)
    }

    /// Whether a write was sent for an object that was not there, and its answer is not known.
    pub(crate) fn is_sent(&self, graph: &Arc<Graph>, component: ComponentId) -> bool {
        lock(&self.of(graph).making).get(&component) == Some(&Making::Sent)
    }

    /// Forgets what was known of making the object: it is there, marked as it has to be.
    pub(crate) fn made(&self, graph: &Arc<Graph>, component: ComponentId) {
        lock(&self.of(graph).making).remove(&component);
    }

    /// Whether an autoscaler of the graph's plan scales the object.
    pub(crate) fn is_scaled(&self, graph: &Arc<Graph>, place: &Location) -> bool {
        self.of(graph).scaled.get_or_init(|| Targets::of(graph)).has(place)
    }

    /// Remembers that the run is through with a component that defines a kind.
    pub(crate) fn settle(&self, graph: &Arc<Graph>, definition: ComponentId) {
        lock(&self.of(graph).settled).insert(definition);
    }

    /// Whether the run is through with a component that defines a kind.
    pub(crate) fn is_settled(&self, graph: &Arc<Graph>, definition: ComponentId) -> bool {
        lock(&self.of(graph).settled).contains(&definition)
    }

    /// Remembers what the action of a component would change.
    pub(crate) fn found(&self, graph: &Arc<Graph>, component: ComponentId, action: Action, change: Change) {
        lock(&self.of(graph).idle).found(component, action, change);
    }

    /// Whether a component of the run was found as the plan wants it, and not written.
    pub(crate) fn saw_unchanged(&self, graph: &Arc<Graph>) -> bool {
        lock(&self.of(graph).idle).has_unchanged()
    }

    /// Remembers that a component has come as far as the plan wants it.
    pub(crate) fn came(&self, graph: &Arc<Graph>, component: ComponentId, came: Came) {
        lock(&self.of(graph).idle).came(component, came);
    }

    /// Remembers that the run writes something.
    pub(crate) fn writes(&self, graph: &Arc<Graph>) {
        lock(&self.of(graph).idle).writes();
    }

    /// Whether the run found nothing to do, and so lately that a fresh look would be no fresher.
    pub(crate) fn is_idle(&self, graph: &Arc<Graph>) -> bool {
        lock(&self.of(graph).idle).holds(Instant::now())
    }

    /// The survey of the run with this graph; those of runs that are over go.
    fn of(&self, graph: &Arc<Graph>) -> Arc<Survey> {
        let mut runs = lock(&self.runs);
        runs.retain(|(run, _)| run.strong_count() > 0);
        if let Some((_, survey)) = runs.iter().find(|(run, _)| std::ptr::eq(run.as_ptr(), Arc::as_ptr(graph)))
        {
            return Arc::clone(survey);
        }
        let survey = Arc::new(Survey::new(graph));
        runs.push((Arc::downgrade(graph), Arc::clone(&survey)));
        survey
    }

    async fn list(&self, graph: &Arc<Graph>, collection: &Collection, live: Option<&Live>) -> List {
        let mut wanted = Wanted::of(graph, collection);
        if wanted.names.is_empty() {
            return List::Denied;
        }
        if self.detail == Some(Detail::State) && wanted.detail == Detail::Whole {
            return List::Denied;
        }
        wanted.detail = self.detail.unwrap_or(wanted.detail);
        match self.pages(graph, collection, &wanted).await {
            Ok(Pages { listed, left }) => {
                lock(&self.of(graph).left).insert(collection.clone(), left);
                let mut objects: BTreeMap<Box<str>, Option<Value>> =
                    wanted.names.iter().map(|name| ((*name).into(), None)).collect();
                if let Some(live) = live.filter(|_| wanted.is_watched) {
                    let label = Some((labels::PLAN, labels::value(graph.name())));
                    let seed =
                        Listed { objects: listed.objects.clone(), resource_version: listed.resource_version };
                    live.follow(&Collection { label, ..collection.clone() }, seed, graph);
                }
                for object in listed.objects {
                    let name = readiness::text(&object, "/metadata/name").into();
                    objects.insert(name, Some(object));
                }
                List::Made { detail: wanted.detail, objects: Mutex::new(objects) }
            }
            // A list lacks no object: it is the kind that is not found.
            Err(error) if error.is_code(404) => List::NotServed { told: Mutex::default() },
            Err(ApiError::TooLarge { .. }) => List::Denied,
            // 410: the server forgot the list between two pages. 429: it has no cache for a kind that is new, which
            // reading by name does without.
            Err(error) if [403, 405, 410, 429].iter().any(|&code| error.is_code(code)) => List::Denied,
            Err(error) => List::Failed(error.into()),
        }
    }

    /// All pages of a list; of each only what is wanted is kept.
    async fn pages(
        &self,
        graph: &Graph,
        collection: &Collection,
        wanted: &Wanted<'_>,
    ) -> Result<Pages, ApiError> {
        let only = match wanted.names.iter().collect::<Vec<_>>().as_slice() {
            [name] => Some(PathSegment::name(name)?),
            _ => None,
        };
        let plan = labels::value(graph.name());
        let owner = PlanName { name: graph.name(), namespace: graph.namespace() };
        let (mut objects, mut left) = (Vec::new(), Vec::new());
        let mut after: Option<String> = None;
        let resource_version = loop {
            let mut page = match &only {
                Some(_) if self.sees_left_over => {
                    let label = Labelled::Value(labels::PLAN, &plan);
                    self.client.list_labelled(collection, label, wanted.detail, after.as_deref()).await?
                }
                only => {
                    let only = only.as_ref();
                    self.client.list_named(collection, only, wanted.detail, after.as_deref()).await?
                }
            };
            let items = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
            for mut item in items.unwrap_or_default() {
                if !wanted.names.contains(readiness::text(&item, "/metadata/name")) {
                    left.extend(left_over(collection, owner, &item));
                    continue;
                }
                named(collection, &mut item);
                objects.push(item);
            }
            after =
                Some(readiness::text(&page, "/metadata/continue").to_owned()).filter(|next| !next.is_empty());
            if after.is_none() {
                break readiness::text(&page, "/metadata/resourceVersion").to_owned();
            }
        };
        if let (Some(name), [], true) = (only, objects.as_slice(), self.sees_left_over) {
            // It may be there without the label: made by somebody else, or of another plan.
            objects.extend(self.unlabelled(collection, name).await?);
        }
        Ok(Pages { listed: Listed { objects, resource_version }, left })
    }

    async fn unlabelled(
        &self,
        collection: &Collection,
        name: PathSegment,
    ) -> Result<Option<Value>, ApiError> {
        let Collection { resource, namespace, .. } = collection.clone();
        match self.client.get(&Location { resource, namespace, name }).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_code(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What all pages of a list say.
struct Pages {
    listed: Listed,
    left: Vec<LeftOver>,
}

/// Items of lists do not say what they are, and those cut down to metadata say something else.
fn named(collection: &Collection, item: &mut Value) {
    if let Some(fields) = item.as_object_mut() {
        fields.insert("apiVersion".to_owned(), collection.resource.api_version().into());
        fields.insert("kind".to_owned(), collection.resource.kind.as_ref().into());
    }
}

/// An object that the plan does not name, if it is the plan's and nobody wants it to stay.
fn left_over(collection: &Collection, plan: PlanName<'_>, item: &Value) -> Option<LeftOver> {
    if plan.disowns(item).is_some() {
        return None;
    }
    let found = inventory::installed(&collection.resource, item)?;
    let stays = found.keep.is_some() || found.deleting.is_some();
    (!stays).then_some(LeftOver { namespace: found.namespace, kind: found.kind, name: found.name })
}

impl Survey {
    fn new(graph: &Graph) -> Self {
        Self {
            idle: Mutex::new(Idle::new(graph, Instant::now())),
            lists: Mutex::default(),
            settled: Mutex::default(),
            making: Mutex::default(),
            keeping: Arc::default(),
            leaving: Arc::default(),
            refusals: Arc::default(),
            left: Mutex::default(),
            scaled: OnceLock::new(),
        }
    }

    fn forget(&self, collection: &Collection, cell: &Arc<OnceCell<List>>) {
        let mut lists = lock(&self.lists);
        if lists.get(collection).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            lists.remove(collection);
        }
    }
}

/// What a plan names of one kind in one namespace.
struct Wanted<'a> {
    names: BTreeSet<&'a str>,
    /// Whole objects where readiness reads their status, and Secrets, which have no digest.
    detail: Detail,
    is_watched: bool,
}

impl<'a> Wanted<'a> {
    /// Linear in the plan, once for each kind and namespace in it.
    fn of(graph: &'a Graph, collection: &Collection) -> Self {
        let resource = &collection.resource;
        let api_version = resource.api_version();
        let mut wanted = Self { names: BTreeSet::new(), detail: Detail::Metadata, is_watched: false };
        for id in graph.ids() {
            let node = graph.node(id);
            if node.spec().get(object::OBJECT).is_none() {
                continue;
            }
            let Ok((object, identity)) = object::identify(node.spec()) else { continue };
            let namespace = match resource.scope {
                Scope::Cluster => None,
                Scope::Namespaced => Some(identity.namespace.unwrap_or(graph.namespace())),
            };
            if *identity.kind != *resource.kind
                || identity.api_version != api_version
                || namespace != collection.namespace.as_ref().map(PathSegment::as_str)
            {
                continue;
            }
            wanted.names.insert(identity.name);
            wanted.is_watched |= !readiness::is_ready_at_once(resource.group(), &resource.kind, object);
            if wanted.is_watched || normal::is_secret(object) {
                wanted.detail = Detail::Whole;
            }
        }
        wanted
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking holder left is whole: every change is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
