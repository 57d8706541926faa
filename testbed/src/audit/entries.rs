//! Requests as tests see them, and how to narrow them down. Pure, but for reading a whole log at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::Mark;
use super::reader::Reader;
use crate::error::TestbedError;

/// One request to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Place in the log, counted from 0 in the order in which requests were first written down.
    pub position: usize,
    /// Who asked, such as `eve` or `system:kube-scheduler`.
    pub user: String,
    /// Whom the request was made for, if the user impersonated somebody.
    pub impersonated: Option<String>,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; server-side apply is `patch`.
    pub verb: String,
    /// API group of the resource; empty for the core group and for paths that are no resource.
    pub group: String,
    /// Resource in the plural, such as `deployments`; empty for paths that are no resource, such as `/version`.
    pub resource: String,
    /// Such as `status` or `log`; mostly empty.
    pub subresource: String,
    /// Namespace of the object, or the name of the object where that is itself a Namespace (but not when it is created).
    pub namespace: String,
    /// Name of the object, as far as the URL says it: empty for lists and creations.
    pub name: String,
    /// Path and query as sent.
    pub uri: String,
    /// Did the query ask for a dry run?
    pub dry_run: bool,
    /// HTTP status of the answer; `None` while there is none.
    pub code: Option<u16>,
    /// What the client calls itself.
    pub user_agent: String,
    /// When the request came in: RFC 3339 in UTC with microseconds, so that these compare as text.
    pub received: String,
    /// When the whole answer was out, in the same form; `None` while it is not, as for an open watch.
    pub answered: Option<String>,
}

impl Entry {
    /// Would it change the cluster if it were granted? A dry run would not, nor would a review (`SelfSubjectAccessReview`
    /// and its like), which is created but never stored.
    pub fn is_write(&self) -> bool {
        let review = matches!(self.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io");
        !self.dry_run && !review && is_writing_verb(&self.verb)
    }
}

fn is_writing_verb(verb: &str) -> bool {
    matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection")
}

/// Requests in the order in which the log has them, narrowed down step by step:
/// `entries.by_user("eve").in_namespace("shop").writes().len()`.
#[derive(Clone, Default)]
pub struct Entries(pub(super) Vec<Arc<Entry>>);

impl Entries {
    /// Reads a whole log, such as the one that `EVE_TESTBED_AUDIT_LOG` names. A last line without its end is left out.
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, TestbedError> {
        let mut reader = Reader::default();
        reader.read_on(path)?;
        Ok(reader.entries())
    }

    /// Those for which `keep` says yes.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&Entry) -> bool) -> Self {
        Self(self.0.iter().filter(|entry| keep(entry)).cloned().collect())
    }

    /// Those of one user; an impersonated request counts for who made it.
    #[must_use]
    pub fn by_user(&self, user: &str) -> Self {
        self.filter(|entry| entry.user == user)
    }

    /// Those about objects in one namespace, or about the namespace itself.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        self.filter(|entry| entry.namespace == namespace)
    }

    /// Those with one verb, such as `list`.
    #[must_use]
    pub fn verb(&self, verb: &str) -> Self {
        self.filter(|entry| entry.verb == verb)
    }

    /// Those about one resource, such as `deployments`.
    #[must_use]
    pub fn resource(&self, resource: &str) -> Self {
        self.filter(|entry| entry.resource == resource)
    }

    /// Those that came after [`Audit::mark`](super::Audit::mark).
    #[must_use]
    pub fn since(&self, mark: Mark) -> Self {
        self.filter(|entry| entry.position >= mark.0)
    }

    /// Attempts to change the cluster, granted or not: see [`Entry::is_write`].
    #[must_use]
    pub fn writes(&self) -> Self {
        self.filter(Entry::is_write)
    }

    /// Writing verbs that asked for a dry run.
    #[must_use]
    pub fn dry_runs(&self) -> Self {
        self.filter(|entry| entry.dry_run && is_writing_verb(&entry.verb))
    }

    /// Single reads and lists; watches are not among them.
    #[must_use]
    pub fn reads(&self) -> Self {
        self.filter(|entry| matches!(entry.verb.as_str(), "get" | "list"))
    }

    /// Watches, open or closed.
    #[must_use]
    pub fn watches(&self) -> Self {
        self.verb("watch")
    }

    /// Those that the server granted: status below 400.
    #[must_use]
    pub fn granted(&self) -> Self {
        self.filter(|entry| entry.code.is_some_and(|code| code < 400))
    }

    /// Those that were refused or failed: status 400 and above.
    #[must_use]
    pub fn refused(&self) -> Self {
        self.filter(|entry| entry.code.is_some_and(|code| code >= 400))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// How many there are for each value of `key`; values that do not occur are absent.
    pub fn count_by<K: Ord>(&self, mut key: impl FnMut(&Entry) -> K) -> BTreeMap<K, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.iter() {
            *counts.entry(key(entry)).or_insert(0) += 1;
        }
        counts
    }
}

impl fmt::Debug for Entries {
    /// One line per request, so that a failed assertion can be read.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.iter() {
            let code = entry.code.map_or_else(|| "---".to_owned(), |code| code.to_string());
            writeln!(formatter, "{} {code} {} {} {}", entry.received, entry.user, entry.verb, entry.uri)?;
        }
        write!(formatter, "({} requests)", self.len())
    }
}
