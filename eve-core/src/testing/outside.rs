//! Fakes of the world outside a cluster: secrets, receivers of notices, senders of plans. They behave; they do not script.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::digest::Digest;
use crate::failure::Failure;
use crate::ports::{
    BadReference, Content, Delivery, Named, Notice, Notifier, PlanSource, Receipt, Resolved, STALE_HANDLE,
    SecretResolver,
};
use crate::scheduler::RequestKey;
use crate::secret::{SecretRef, SecretValue, SecretVersion};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Secrets in a map, each with its versions: the first that was put in is version 1.
#[derive(Clone, Debug, Default)]
pub struct MapResolver(BTreeMap<SecretRef, Vec<SecretValue>>);

impl MapResolver {
    /// The same with one more secret, or with a newer version of one that it has. The version of `reference` is ignored.
    #[must_use]
    pub fn with(mut self, reference: SecretRef, value: SecretValue) -> Self {
        self.0.entry(SecretRef { version: None, ..reference }).or_default().push(value);
        self
    }

    fn find(&self, reference: &SecretRef) -> Result<Resolved, Failure> {
        let place = SecretRef { version: None, ..reference.clone() };
        let versions = self
            .0
            .get(&place)
            .ok_or_else(|| Failure::permanent("secret.absent", "there is no such secret"))?;
        let newest = versions.len() as u64;
        let number = reference.version.map_or(newest, SecretVersion::get);
        let value = number.checked_sub(1).and_then(|index| versions.get(usize::try_from(index).ok()?));
        let value = value
            .ok_or_else(|| Failure::permanent("secret.absent", "there is no such version of the secret"))?;
        Ok(Resolved { value: value.clone(), version: SecretVersion::new(number) })
    }
}

#[async_trait]
impl SecretResolver for MapResolver {
    async fn resolve(&self, references: &[SecretRef]) -> Result<Vec<Resolved>, Vec<BadReference>> {
        let mut found = Vec::with_capacity(references.len());
        let mut bad = Vec::new();
        for reference in references {
            match self.find(reference) {
                Ok(resolved) => found.push(resolved),
                Err(failure) => bad.push(BadReference { reference: reference.clone(), failure }),
            }
        }
        if bad.is_empty() { Ok(found) } else { Err(bad) }
    }
}

/// Keeps each notice once, whatever the number of its deliveries.
#[derive(Debug, Default)]
pub struct RecordingNotifier(Mutex<BTreeMap<String, Notice>>);

impl RecordingNotifier {
    /// What was delivered so far, by key.
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.0).values().cloned().collect()
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn notify(&self, notice: &Notice) -> Result<Receipt, Failure> {
        let known = lock(&self.0).entry(notice.key.clone()).or_insert_with(|| notice.clone()).clone();
        if known == *notice {
            Ok(Receipt::default())
        } else {
            Err(Failure::misuse("notice.key-reused", "the key stands for another notice"))
        }
    }
}

/// A queue in memory. What is taken and not settled comes back when the test says that its time is over.
#[derive(Debug, Default)]
pub struct QueueSource {
    state: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Sent>,
    taken: BTreeMap<Arc<str>, Sent>,
    rejected: Vec<(String, String)>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Sent {
    request: Arc<str>,
    group: Arc<str>,
    named: Named,
    digest: Digest,
    content: Content,
    receive_count: u32,
}

impl QueueSource {
    /// Puts a plan at the end of the queue, in no group.
    pub fn send(&self, request: impl Into<Arc<str>>, body: impl Into<Vec<u8>>) {
        let body: Arc<[u8]> = body.into().into();
        self.send_content(request, "", Digest::of(&body), Content::Plan { body, sequence: None });
    }

    /// The same under an identifier that the source made up.
    pub fn send_unnamed(&self, request: impl Into<Arc<str>>, body: impl Into<Vec<u8>>) {
        let body: Arc<[u8]> = body.into().into();
        let (digest, content) = (Digest::of(&body), Content::Plan { body, sequence: None });
        self.push((request.into(), Named::BySource), "".into(), digest, content);
    }

    /// Puts anything at the end of the queue. Nothing of a group is handed out while one of it is taken; the empty one is
    /// no group.
    pub fn send_content(
        &self,
        request: impl Into<Arc<str>>,
        group: impl Into<Arc<str>>,
        digest: Digest,
        content: Content,
    ) {
        self.push((request.into(), Named::BySender), group.into(), digest, content);
    }

    fn push(&self, (request, named): (Arc<str>, Named), group: Arc<str>, digest: Digest, content: Content) {
        let sent = Sent { request, named, group, digest, content, receive_count: 0 };
        lock(&self.state).waiting.push_back(sent);
    }

    /// Lets the visibility timeout of everything that is taken run out.
    pub fn expire(&self) {
        let mut queue = lock(&self.state);
        let taken = std::mem::take(&mut queue.taken);
        queue.waiting.extend(taken.into_values());
    }

    /// The requests that were rejected, with the reason.
    pub fn rejected(&self) -> Vec<(String, String)> {
        lock(&self.state).rejected.clone()
    }

    /// Whether nothing waits and nothing is taken.
    pub fn is_empty(&self) -> bool {
        let queue = lock(&self.state);
        queue.waiting.is_empty() && queue.taken.is_empty()
    }
}

#[async_trait]
impl PlanSource for QueueSource {
    fn expect(&self, _: &[RequestKey]) {}

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        let mut queue = lock(&self.state);
        let blocked = |sent: &Sent| {
            !sent.group.is_empty() && queue.taken.values().any(|taken| taken.group == sent.group)
        };
        let Some(place) = queue.waiting.iter().position(|sent| !blocked(sent)) else { return Ok(None) };
        let Some(mut sent) = queue.waiting.remove(place) else { return Ok(None) };
        sent.receive_count += 1;
        queue.next += 1;
        let handle: Arc<str> = format!("handle-{}", queue.next).into();
        queue.taken.insert(Arc::clone(&handle), sent.clone());
        let Sent { request, named, group, digest, content, receive_count } = sent;
        Ok(Some(Delivery { handle, request, named, digest, group, receive_count, content }))
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        let mut queue = lock(&self.state);
        let stale = || Failure::permanent(STALE_HANDLE, "the delivery is no longer held");
        if !visibility_timeout.is_zero() {
            return queue.taken.contains_key(handle).then_some(()).ok_or_else(stale);
        }
        let sent = queue.taken.remove(handle).ok_or_else(stale)?;
        queue.waiting.push_front(sent);
        Ok(())
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        // As with real queues, a stale handle is accepted and changes nothing.
        lock(&self.state).taken.remove(handle);
        Ok(())
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        let mut queue = lock(&self.state);
        if let Some(sent) = queue.taken.remove(handle) {
            queue.rejected.push((sent.request.to_string(), reason.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Ending;
    use crate::time::Timestamp;

    fn reference(place: &str) -> SecretRef {
        SecretRef { backend: "map".into(), place: place.into(), version: None }
    }

    #[tokio::test]
    async fn every_bad_reference_is_reported() {
        let resolver = MapResolver::default().with(reference("a"), SecretValue::new("1"));
        let known = resolver.resolve(&[reference("a")]).await.unwrap();
        assert_eq!(known[0].value.expose(), "1");
        let bad = resolver.resolve(&[reference("x"), reference("a"), reference("y")]).await.unwrap_err();
        let places: Vec<&str> = bad.iter().map(|bad| bad.reference.place.as_str()).collect();
        assert_eq!(places, ["x", "y"]);
    }

    #[tokio::test]
    async fn a_pinned_reference_gives_the_old_value_when_there_is_a_newer_one() {
        let old = MapResolver::default().with(reference("a"), SecretValue::new("1"));
        let pinned = reference("a").at(old.resolve(&[reference("a")]).await.unwrap()[0].version.unwrap());
        let new = old.with(reference("a"), SecretValue::new("2"));
        let resolved = new.resolve(&[reference("a"), pinned.clone()]).await.unwrap();
        assert_eq!([resolved[0].value.expose(), resolved[1].value.expose()], ["2", "1"]);
        let gone = pinned.at(SecretVersion::new(3).unwrap());
        assert_eq!(new.resolve(std::slice::from_ref(&gone)).await.unwrap_err()[0].reference, gone);
    }

    #[tokio::test]
    async fn a_notice_delivered_twice_is_kept_once_and_a_reused_key_is_refused() {
        let notifier = RecordingNotifier::default();
        let mut notice = Notice::new("k", Timestamp::EPOCH, Ending::Succeeded);
        notifier.notify(&notice).await.unwrap();
        notifier.notify(&notice).await.unwrap();
        assert_eq!(notifier.notices().len(), 1);
        notice.ending = Ending::Failed;
        assert!(notifier.notify(&notice).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_acknowledged_comes_back_under_another_handle() {
        let source = QueueSource::default();
        source.send("r1", "plan");
        let first = source.receive().await.unwrap().unwrap();
        assert_eq!(source.receive().await.unwrap(), None);
        source.expire();
        assert!(source.extend(&first.handle, Duration::from_secs(30)).await.is_err());
        let second = source.receive().await.unwrap().unwrap();
        assert_eq!((&second.request, &second.content), (&first.request, &first.content));
        assert_eq!((first.receive_count, second.receive_count), (1, 2));
        assert_ne!(second.handle, first.handle);
        source.acknowledge(&first.handle).await.unwrap();
        assert!(!source.is_empty(), "a stale handle acknowledges nothing");
        source.reject(&second.handle, "no").await.unwrap();
        assert!(source.is_empty());
        assert_eq!(source.rejected(), [("r1".to_owned(), "no".to_owned())]);
    }

    #[tokio::test]
    async fn a_group_waits_for_the_one_of_it_that_is_held() {
        let source = QueueSource::default();
        let plan = |text: &str| Content::Plan { body: text.as_bytes().into(), sequence: None };
        for (request, group) in [("r1", "a"), ("r2", "a"), ("r3", "b")] {
            source.send_content(request, group, Digest::of(request.as_bytes()), plan(request));
        }
        let first = source.receive().await.unwrap().unwrap();
        let other = source.receive().await.unwrap().unwrap();
        assert_eq!((&*first.request, &*other.request), ("r1", "r3"));
        assert_eq!(source.receive().await.unwrap(), None);
        source.acknowledge(&first.handle).await.unwrap();
        assert_eq!(&*source.receive().await.unwrap().unwrap().request, "r2");
    }
}
