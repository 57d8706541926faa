//! Runs that cannot be opened yet since somebody who must be asked is away: told at first, now and then, and when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use eve_core::failure::{Failure, FailureClass};
use eve_core::ids::RunId;

/// How often it is told that it goes on.
const TOLD_EVERY: Duration = Duration::from_mins(2);
/// How long what nobody tries any more is remembered: longer than any run is tried to be opened.
const REMEMBERED_FOR: Duration = Duration::from_hours(2);

/// The runs that could not be opened the last time. Shared between tasks.
#[derive(Debug, Default)]
pub struct Outages {
    outages: Mutex<BTreeMap<RunId, Outage>>,
    /// What the runs are about that are not over.
    requests: Mutex<BTreeMap<RunId, Request>>,
}

/// What a run is about.
#[derive(Clone, Debug, Default)]
struct Request {
    id: String,
    namespace: String,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    told: Instant,
}

/// What is worth a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Nothing,
    Begun,
    GoesOn(Duration),
    Over(Duration),
}

impl Outages {
    /// A run is about this request, of this namespace.
    pub fn begins(&self, run: &RunId, id: &str, namespace: &str) {
        let request = Request { id: id.to_owned(), namespace: namespace.to_owned() };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).insert(run.clone(), request);
    }

    /// A run is over.
    pub fn ends(&self, run: &RunId) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }

    /// A run was tried to be opened, and was, or failed so.
    pub fn saw(&self, run: &RunId, failure: Option<&Failure>) {
        let may_pass = failure.is_some_and(|failure| failure.class == FailureClass::Transient);
        let news = if may_pass { self.failed(run, Instant::now()) } else { self.ended(run, Instant::now()) };
        let Request { id: request, namespace } = self
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(run)
            .cloned()
            .unwrap_or_default();
        let (run, what) = (run.as_str(), failure.map(|failure| (&*failure.code, &*failure.message)));
        let (code, reason) = what.unzip();
        match news {
            News::Begun => {
                let what = "a run cannot be opened yet; it is tried again";
                tracing::warn!(run, request, namespace, code, reason, "{what}");
            }
            News::GoesOn(time) => {
                let for_s = time.as_secs();
                let what = "a run still cannot be opened; it is tried again";
                tracing::warn!(run, request, namespace, for_s, code, reason, "{what}");
            }
            News::Over(time) if failure.is_none() => {
                let (after_s, what) = (time.as_secs(), "answered again: the run can be opened");
                tracing::info!(run, request, namespace, after_s, "{what}");
            }
            // Why it failed for good is told with its outcome.
            News::Nothing | News::Over(_) => {}
        }
    }

    fn failed(&self, run: &RunId, now: Instant) -> News {
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages.retain(|_, outage| now.duration_since(outage.since) < REMEMBERED_FOR);
        let Some(outage) = outages.get_mut(run) else {
            outages.insert(run.clone(), Outage { since: now, told: now });
            return News::Begun;
        };
        if now.duration_since(outage.told) < TOLD_EVERY {
            return News::Nothing;
        }
        outage.told = now;
        News::GoesOn(now.duration_since(outage.since))
    }

    fn ended(&self, run: &RunId, now: Instant) -> News {
        let ended = self.outages.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        ended.map_or(News::Nothing, |outage| News::Over(now.duration_since(outage.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_first_at_intervals_and_when_it_is_over() {
        let (outages, run, begun) = (Outages::default(), RunId::new("r"), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(outages.ended(&run, at(0)), News::Nothing);
        let told: Vec<News> =
            [0, 1, 119, 120, 150, 240].map(|seconds| outages.failed(&run, at(seconds))).into();
        let goes_on = |seconds| News::GoesOn(Duration::from_secs(seconds));
        assert_eq!(
            told,
            [News::Begun, News::Nothing, News::Nothing, goes_on(120), News::Nothing, goes_on(240)]
        );
        assert_eq!(outages.failed(&RunId::new("other"), at(250)), News::Begun);
        assert_eq!(outages.ended(&run, at(300)), News::Over(Duration::from_mins(5)));
        assert_eq!(outages.ended(&run, at(300)), News::Nothing);
        assert_eq!(outages.failed(&run, at(100_000)), News::Begun);
        assert_eq!(outages.outages.lock().unwrap().len(), 1, "what nobody tries any more is forgotten");
    }
}
