//! `wait`: until the object is ready, or will never be. Reads only, mostly from the shared feed of its kind.
//!
//! Only states at least as new as our own write are judged. Where the feed may not be watched, or says nothing for
//! long, the object is read by name instead.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::plan::Until;
use eve_core::ports::{Context, Step};
use eve_core::run::{Applied, Outputs};
use eve_core::time::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::pods::Pods;
use super::prepare::Mark;
use super::publish::{Granted, Wishes};
use super::{KubeExecutor, Target, failure};
use crate::client::{Collection, Location};
use crate::idle::Came;
use crate::labels::{self, PlanName};
use crate::live::{Phase, Subscription, Topic, Wanted};
use crate::path::PathSegment;
use crate::pattern::ObjectPattern;
use crate::readiness::storage::CLAIM_PENDING;
use crate::readiness::{self, Bygone, Readiness, UNSEEN, text};
use crate::reasons::{self, Finding, Patience, Trouble};

/// The output of a component that counts as ready because nothing reports a status for it; for people. Absent elsewhere.
pub const NO_STATUS: &str = "noStatus";
const UNREPORTED: &str = "applied, no status reported";

/// How often an object is read where its collection may not be watched.
const POLL: Duration = Duration::from_secs(2);
/// How long the feed may lag behind our own write before the object is read by name.
const LAG: Duration = Duration::from_secs(2);
/// How long it is nobody's news that a controller has not looked yet.
const QUIET: Duration = Duration::from_secs(1);
/// After so long without a line from the server, bookmarks included, a feed is not relied on.
const SILENCE: Duration = Duration::from_secs(100);

/// What is known of the object now.
enum Seen {
    /// A state at least as new as our write.
    Current(Arc<Value>),
    /// Nothing that may be judged.
    Unknown,
    /// It, or what we wrote under its name, is gone; its last state where that was seen.
    Gone(Option<Arc<Value>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Yes,
    NotYet,
}

/// What a state of the object means for the wait.
enum Judged {
    Ready(Outputs),
    Waiting(Cause),
}

struct Waiter<'a> {
    executor: &'a KubeExecutor,
    cx: &'a Context,
    plan: PlanName<'a>,
    target: &'a Target<'a>,
    mark: Option<Mark>,
    feed: Subscription,
    pods: Option<Pods>,
    patience: Patience,
    /// What the wait waits for, and whether that was told.
    cause: Option<(Cause, Told)>,
    begun: Instant,
    /// When it last told something new, or began.
    told_at: Instant,
    bygone: Bygone,
    /// The last state that was judged.
    last: Option<Arc<Value>>,
    /// When the object is read by name, unless the feed tells something before.
    read_at: Option<Instant>,
    /// What the last reading by name found.
    read: Option<Seen>,
    /// Since when there have been fewer pods than are wanted.
    short_since: Option<Timestamp>,
    /// What is broken of the pods of the revision before, where that was told.
    held_up: Option<Finding>,
    /// Whether the class of a claim binds it only once a pod uses it, as soon as that is known.
    late_binding: Option<bool>,
    /// What the plan wants of it besides its readiness.
    wishes: Wishes<'a>,
    /// When to look again at what the plan wants.
    look_again: Option<Duration>,
    came: Came,
}

impl KubeExecutor {
    pub(super) async fn watch(
        &self,
        step: &Step,
        applied: &Applied,
        until: Until,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        let came = |came| self.surveys.came(step.graph(), step.component(), came);
        if until == Until::Applied {
            came(Came::AtOnce);
            return Ok(Outputs::NONE);
        }
        let target = self.known(step).await?;
        let resource = &target.place.resource;
        let mark = Mark::read(applied.token.as_deref());
        let leaves = mark.as_ref().is_some_and(|mark| mark.leaves);
        let wishes = Wishes::of(step)?;
        let is_ready = readiness::is_ready_at_once(resource.group(), &resource.kind, target.object);
        if is_ready && !leaves && wishes.is_empty() {
            came(Came::AtOnce);
            return Ok(Outputs::NONE);
        }
        let name = target.place.name.as_str().to_owned();
        let collection = collection(step, &target.place);
        let mut waiter = Waiter {
            executor: self,
            cx,
            plan: PlanName::of(step),
            target: &target,
            mark,
            feed: self.live.subscribe(&collection, by_name(step, name)),
            pods: Pods::of(step.graph(), &target.place).map_err(Failure::from)?,
            patience: Patience::new(self.graces.clone()),
            cause: None,
            begun: Instant::now(),
            told_at: Instant::now(),
            bygone: Bygone::default(),
            last: None,
            read_at: None,
            read: None,
            short_since: None,
            held_up: None,
            late_binding: None,
            wishes,
            look_again: None,
            came: Came::AtOnce,
        };
        let ended = loop {
            // Whatever it is doing then: what is known is worth more than what is under way.
            let left = waiter.silence_left().min(cx.remaining());
            match tokio::time::timeout(left, waiter.run()).await {
                Ok(ended) => break ended,
                Err(_) if waiter.silence_left().min(cx.remaining()) > Duration::ZERO => {}
                Err(_) => break Err(waiter.overdue().await),
            }
        };
        if ended.is_ok() {
            came(waiter.came);
        }
        ended.map_err(|failure| with_upstream(step, failure))
    }
}

/// Where a failure says that an object is missing: which component of the plan makes it, or that none does.
pub(super) fn with_upstream(step: &Step, failure: Failure) -> Failure {
    let mut told = std::iter::once(&failure.message).chain(&failure.notes);
    let Some((kind, name)) = told.find_map(|text| reasons::missing(text)) else { return failure };
    if failure.hint.is_some() {
        return failure;
    }
    let wanted = ObjectPattern::named(kind, name);
    let hint = match step.find(|spec| wanted.matches(spec, step.namespace())) {
        Some(upstream) => format!(
            "the component `{upstream}` of this plan makes the {kind} `{name}`; name it in `dependsOn` to wait for it"
        ),
        None => format!("no component of this plan makes the {kind} `{name}`"),
    };
    failure.with_hint(hint)
}

/// The objects of this kind that belong to the step's plan: what its waits share a feed for.
pub(super) fn collection(step: &Step, place: &Location) -> Collection {
    Collection {
        resource: Arc::clone(&place.resource),
        namespace: place.namespace.clone(),
        // What is only read need not be ours.
        label: step.action().writes().then(|| (labels::PLAN, labels::value(step.plan()))),
    }
}

/// The object of this name, to a feed.
pub(super) fn by_name(step: &Step, name: String) -> Wanted<'_> {
    Wanted { graph: step.graph(), topic: Topic::Name(name), owner: None }
}

impl Waiter<'_> {
    async fn run(&mut self) -> Result<Outputs, Failure> {
        loop {
            let next = match self.look() {
                Seen::Current(object) => {
                    let object = self.bygone.judged(&object);
                    self.last = Some(Arc::clone(&object));
                    match self.judge(&object).await? {
                        Judged::Ready(outputs) => return Ok(outputs),
                        Judged::Waiting(cause) => {
                            let next = self.troubles(&object, cause).await?;
                            [next, self.look_again.take()].into_iter().flatten().min()
                        }
                    }
                }
                Seen::Gone(last) => return self.left(last.as_deref()).await,
                Seen::Unknown => {
                    self.tell_trouble();
                    None
                }
            };
            self.pause(next).await?;
        }
    }

    /// What the feed, or else the last reading, knows; plans a reading where that is not enough.
    fn look(&mut self) -> Seen {
        let read = self.read.take();
        let phase = self.feed.phase();
        let known = match phase {
            Phase::Live => self.fed(),
            Phase::Starting | Phase::Denied => Seen::Unknown,
        };
        let relied_on = phase == Phase::Live && self.feed.silence() < SILENCE;
        let seen = match (known, read) {
            (Seen::Unknown, Some(read)) => read,
            (known, Some(read)) if !relied_on => {
                if matches!(read, Seen::Unknown) {
                    known
                } else {
                    read
                }
            }
            (known, _) => known,
        };
        let every = if !relied_on {
            Some(POLL)
        } else if matches!(seen, Seen::Unknown) {
            Some(LAG)
        } else {
            None
        };
        let planned = self.read_at.filter(|_| every.is_some());
        self.read_at = planned.or_else(|| every.map(|every| Instant::now() + every));
        seen
    }

    fn fed(&self) -> Seen {
        if let Some(object) = self.feed.get(self.target.place.name.as_str()) {
            return self.sort(object);
        }
        let uid = self.mark.as_ref().map_or("", |mark| mark.uid.as_str());
        self.feed.gone(uid).map_or(Seen::Unknown, |last| Seen::Gone(Some(last)))
    }

    /// Whether a state of the name is one of the object that we wrote, and not older than our write.
    fn sort(&self, object: Arc<Value>) -> Seen {
        let Some(mark) = &self.mark else { return Seen::Current(object) };
        let state = Mark::of(&object);
        let is_older = match (number(&state.resource_version), number(&mark.resource_version)) {
            (Some(state), Some(mark)) => state < mark,
            _ => state.generation < mark.generation,
        };
        if is_older {
            Seen::Unknown
        } else if state.uid == mark.uid {
            Seen::Current(object)
        } else {
            Seen::Gone(None)
        }
    }

    async fn judge(&mut self, object: &Arc<Value>) -> Result<Judged, Failure> {
        let place = &self.target.place;
        match readiness::judge(place.resource.group(), &place.resource.kind, object) {
            Readiness::Ready => self.granted(object).await,
            Readiness::NoStatus => {
                self.cx.progress(Cause::new("k8s.resource.no-status", UNREPORTED));
                Ok(match self.granted(object).await? {
                    Judged::Ready(outputs) => Judged::Ready(outputs.with(NO_STATUS, UNREPORTED)),
                    waiting @ Judged::Waiting(_) => waiting,
                })
            }
            Readiness::Failed(failure) => {
                let pods = match &mut self.pods {
                    Some(pods) => pods.current(self.executor, object).map_err(Failure::from)?,
                    None => vec![Arc::clone(object)],
                };
                Err(self.executor.failed(place, object, &pods, failure).await)
            }
            Readiness::InProgress(cause) if cause.code == CLAIM_PENDING => {
                if self.waits_for_consumer(object).await {
                    self.cx.progress(Cause::new(
                        "k8s.claim.first-consumer",
                        "the claim waits for its first consumer",
                    ));
                    return self.granted(object).await;
                }
                if self.late_binding.is_none() {
                    // Nothing that happens to the claim itself would tell.
                    self.read_at = Some(Instant::now() + POLL);
                }
                Ok(Judged::Waiting(cause))
            }
            Readiness::InProgress(cause) => Ok(Judged::Waiting(cause)),
        }
    }

    /// Whether an object that is ready by its kind is so by the plan, too. Feeds keep only parts of objects, so the whole
    /// is read where the plan wants something of it.
    async fn granted(&mut self, object: &Value) -> Result<Judged, Failure> {
        let place = &self.target.place;
        let granted = if self.wishes.is_empty() {
            self.wishes.judge(object)?
        } else {
            match self.executor.client.get(place).await {
                Ok(whole) => self.wishes.judge(&whole)?,
                Err(error) if error.class() == FailureClass::Transient => {
                    Granted::NotYet(Cause::new("k8s.api.away", error.to_string()))
                }
                Err(error) => return Err(failure::of_read(place, error)),
            }
        };
        Ok(match granted {
            Granted::Yes(outputs) => Judged::Ready(outputs),
            Granted::NotYet(cause) => {
                // What it waits for may be nothing that the feed tells of.
                self.look_again = Some(POLL);
                Judged::Waiting(cause)
            }
        })
    }

    /// Looks at the pods of a workload that is not ready, and tells the worst of what it waits for; answers when to look
    /// again by time alone.
    async fn troubles(&mut self, object: &Arc<Value>, cause: Cause) -> Result<Option<Duration>, Failure> {
        let place = &self.target.place;
        let is_job = *place.resource.kind == *"Job";
        let mut found: Vec<Finding> = match &mut self.pods {
            None if *place.resource.kind == *"Pod" => reasons::findings([object.as_ref()]),
            // What a controller has not seen yet, it has no pods for.
            Some(_) if cause.code == UNSEEN => return Ok(self.tell(cause)),
            None => return Ok(self.tell(cause)),
            Some(pods) => {
                let current = pods.current(self.executor, object).map_err(Failure::from)?;
                let is_short =
                    pods.are_known() && current.len() < reasons::wanted(&place.resource.kind, object);
                self.short_since = if is_short { self.short_since.or(Some(self.cx.now())) } else { None };
                reasons::findings(current.iter().map(AsRef::as_ref))
            }
        };
        // A Job counts crashes itself, and ends by its own backoff limit.
        found.retain(|finding| !(is_job && finding.trouble == Trouble::CrashLoop));
        found.extend(reasons::replica_failure(object));
        let verdict = self.patience.judge(&found, self.cx.now());
        if let Some(finding) = &verdict.doomed {
            return Err(self.executor.doomed(place, object, finding).await);
        }
        let quiet = match &verdict.shown {
            Some(finding) if finding.trouble == Trouble::NotReady => {
                self.tell(Cause::new(finding.cause().code, format!("{cause}; {}", finding.text())))
            }
            Some(finding) => self.tell(finding.cause()),
            None => {
                let cause = self.held_up(object, cause);
                self.tell(cause)
            }
        };
        let again = verdict.check_at.map(|at| at.since(self.cx.now()));
        let refused = self.refused(object).await?;
        Ok([again, refused, quiet].into_iter().flatten().min())
    }

    /// What a workload of which no pod shows a cause waits for; a broken pod of a revision before, if that holds it up.
    fn held_up(&mut self, object: &Value, cause: Cause) -> Cause {
        let (pods, broken) = self.in_the_way(object);
        let stays = |held: &mut Finding| pods.iter().any(|pod| reasons::is_down(pod, &held.pods));
        // A pod that crashes again and again is no news each time.
        self.held_up = self.held_up.take_if(stays).or(broken);
        let Some(broken) = self.held_up.as_ref().map(Finding::cause) else { return cause };
        let text = format!("{cause}; a pod of the revision before stands in the way: {}", broken.message);
        Cause::new(broken.code, text)
    }

    /// The pods of revisions before that hold the workload up, and what is broken of them.
    fn in_the_way(&self, object: &Value) -> (Vec<Arc<Value>>, Option<Finding>) {
        let pods = self.pods.as_ref().map(|pods| pods.in_the_way(object)).unwrap_or_default();
        let found = reasons::findings(pods.iter().map(AsRef::as_ref));
        (pods, found.into_iter().find(|finding| finding.trouble != Trouble::NotReady))
    }

    /// Stateful sets, daemon sets and jobs report refused pods by events only; those are read once pods have been missing
    /// for the whole grace.
    async fn refused(&mut self, object: &Value) -> Result<Option<Duration>, Failure> {
        let Some(since) = self.short_since else { return Ok(None) };
        let Some(grace) = self.executor.graces.length(Trouble::ReplicaFailure) else { return Ok(None) };
        let left = grace.saturating_sub(self.cx.now().since(since));
        if left > Duration::ZERO {
            return Ok(Some(left));
        }
        // Asked again after a whole grace, should there be nothing to read now.
        self.short_since = Some(self.cx.now());
        let place = &self.target.place;
        let events = self.executor.raw_events(place, text(object, "/metadata/uid")).await;
        match reasons::refusal(&events) {
            None => Ok(Some(grace)),
            Some(finding) => Err(self.executor.doomed(place, object, &finding).await),
        }
    }

    /// Whether a claim that is not bound will only be once a pod uses it: its class, or an event, says so.
    async fn waits_for_consumer(&mut self, claim: &Value) -> bool {
        if let Some(known) = self.late_binding {
            return known;
        }
        if let Some(known) = self.executor.binds_late(claim).await {
            return *self.late_binding.insert(known);
        }
        self.executor.is_said_to_wait(&self.target.place, claim).await
    }

    /// The feed lost the object, which need not be gone.
    async fn left(&self, last: Option<&Value>) -> Result<Outputs, Failure> {
        let uid = self.mark.as_ref().map_or("", |mark| mark.uid.as_str());
        match self.executor.lost(&self.target.place, uid, self.plan).await? {
            Some(failure) => Err(failure),
            None => self.gone(last),
        }
    }

    fn gone(&self, last: Option<&Value>) -> Result<Outputs, Failure> {
        let place = &self.target.place;
        let (group, kind) = (place.resource.group(), &*place.resource.kind);
        // A Job may remove itself as soon as it is complete; its last state tells how it ended.
        if kind == "Job" {
            return match last.map(|last| (last, readiness::judge_last(group, kind, last))) {
                Some((last, Readiness::Ready)) => match self.wishes.judge(last)? {
                    Granted::Yes(outputs) => Ok(outputs),
                    Granted::NotYet(cause) => {
                        let text = format!("{place} is gone, and its last state was: {}", cause.message);
                        Err(Failure::permanent(cause.code, text))
                    }
                },
                Some((_, Readiness::Failed(failure))) => {
                    let text = format!("{place}: {}", failure.message);
                    Err(failure.with_message(text))
                }
                _ => Err(Failure::permanent(
                    "k8s.object.gone",
                    format!("{place} is gone; how it ended is not known"),
                )
                .with_hint("a longer `ttlSecondsAfterFinished` keeps it until it is read")),
            };
        }
        Err(Failure::transient("k8s.object.gone", format!("{place} was deleted by somebody else")))
    }

    /// Waits for news of the object or its pods, for `next`, or for the planned reading, which it then does.
    async fn pause(&mut self, next: Option<Duration>) -> Result<(), Failure> {
        self.came = Came::Late;
        let far = Instant::now() + SILENCE;
        let next = next.map_or(far, |next| Instant::now() + next);
        let read_at = self.read_at;
        let pods = async {
            match &self.pods {
                Some(pods) => pods.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.feed.changed() => return Ok(()),
            () = pods => return Ok(()),
            () = tokio::time::sleep_until(next) => return Ok(()),
            () = tokio::time::sleep_until(read_at.unwrap_or(far)), if read_at.is_some() => {}
        }
        self.read_at = None;
        self.read = match self.executor.client.get(&self.target.place).await {
            Ok(object) => Some(self.sort(Arc::new(object))),
            Err(error) if error.is_code(404) => Some(Seen::Gone(None)),
            // May pass; the deadline of the wait bounds it.
            Err(error) if error.class() == FailureClass::Transient => {
                self.tell(Cause::new("k8s.api.away", error.to_string()));
                None
            }
            Err(error) => return Err(failure::of_read(&self.target.place, error)),
        };
        Ok(())
    }

    /// Tells what keeps the feed from knowing the object.
    fn tell_trouble(&mut self) {
        if let Some(trouble) = self.feed.trouble().filter(|_| self.feed.phase() != Phase::Denied) {
            self.tell(Cause::new("k8s.api.away", trouble));
        }
    }

    /// Tells what is waited for, where that is new. Answers when to say it again, where it is not worth telling yet.
    fn tell(&mut self, cause: Cause) -> Option<Duration> {
        let quiet = QUIET.saturating_sub(self.begun.elapsed());
        let told = if cause.code == UNSEEN && quiet > Duration::ZERO { Told::NotYet } else { Told::Yes };
        let next = Some((cause, told));
        if self.cause != next {
            if let Some((cause, Told::Yes)) = &next {
                self.cx.progress(cause.clone());
                self.told_at = Instant::now();
            }
            self.cause = next;
        }
        (told == Told::NotYet).then_some(quiet)
    }

    /// How much longer it may tell nothing new.
    fn silence_left(&self) -> Duration {
        self.cx.no_progress_timeout().saturating_sub(self.told_at.elapsed())
    }

    /// A deadline has come: says what is known of the object and its pods, which the engine does not know.
    async fn overdue(&mut self) -> Failure {
        let place = &self.target.place;
        let last = self.cause.as_ref().map_or("nothing was heard of it", |(cause, _)| &cause.message);
        let mut failure = if self.cx.remaining() == Duration::ZERO {
            Failure::permanent("k8s.wait.deadline", format!("not ready in time: {last}"))
        } else {
            let silence = self.cx.no_progress_timeout();
            Failure::permanent("k8s.wait.no-progress", format!("nothing has changed for {silence:?}: {last}"))
        };
        // Of a workload the pods tell more; the rest may never get ready on this cluster, and yet be all right.
        if self.pods.is_none() && *place.resource.kind != *"Pod" {
            failure = failure.with_hint(format!(
                "to count it as ready once it is applied: `--until applied={}/{}`",
                place.resource.kind, place.name
            ));
        }
        let Some(object) = self.last.clone() else {
            let text = format!("{place}: {}", failure.message);
            return failure.with_message(text);
        };
        let mut pods = match &mut self.pods {
            Some(pods) => pods.current(self.executor, &object).unwrap_or_default(),
            None => vec![Arc::clone(&object)],
        };
        let (older, broken) = self.in_the_way(&object);
        if let Some(broken) = broken.as_ref().or(self.held_up.as_ref())
            && reasons::findings(pods.iter().map(AsRef::as_ref)).is_empty()
        {
            let pod = broken.pods.first().map_or("", String::as_str);
            let namespace = place.namespace.as_ref().map_or("", PathSegment::as_str);
            failure = failure.with_hint(format!(
                "its controller replaces no pod before that one is ready; delete it, and it is made anew: \
                 `kubectl delete pod {pod} --namespace {namespace}`"
            ));
            pods.extend(older);
        }
        self.executor.failed(place, &object, &pods, failure).await
    }
}

/// Resource versions of one resource are ordered as numbers (Kubernetes 1.35, KEP-5504); what is none is not compared.
fn number(version: &str) -> Option<u128> {
    version.parse().ok()
}
