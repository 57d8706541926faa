//! What is counted, under the names that Prometheus shows.

use std::fmt;

use eve_core::run::Outcome;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The numbers of one process. Cheap to change, from any task.
pub struct Metrics {
    registry: Registry,
    deliveries: Family<Delivery, Counter>,
    finished: Family<Ended, Counter>,
    notices: Family<Told, Counter>,
    /// Runs under way.
    pub live_runs: Gauge,
    /// Plans that wait for their turn.
    pub waiting_plans: Gauge,
    /// Plans of an earlier process that were not delivered again yet.
    pub awaited_plans: Gauge,
    /// Notices that were given up and wait for somebody to send them again.
    pub undelivered_notices: Gauge,
    /// Records stored.
    pub records: Counter,
}

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Delivery {
    result: &'static str,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: OutcomeName,
}

/// What came of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Told {
    result: &'static str,
}

/// An outcome in the words of the journal and of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct OutcomeName(Outcome);

impl EncodeLabelValue for OutcomeName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = serde_json::to_value(self.0).unwrap_or_default();
        EncodeLabelValue::encode(&name.as_str().unwrap_or_default(), encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("eve");
        let deliveries = Family::default();
        registry.register("deliveries", "Deliveries of plans, by what came of them", deliveries.clone());
        let finished = Family::default();
        registry.register("runs_finished", "Runs that ended, by outcome", finished.clone());
        let notices = Family::default();
        registry.register("notices", "Attempts to tell an outcome, by what came of them", notices.clone());
        let live_runs = Gauge::default();
        registry.register("runs_live", "Runs under way", live_runs.clone());
        let waiting_plans = Gauge::default();
        registry.register("plans_waiting", "Plans that wait for their turn", waiting_plans.clone());
        let awaited_plans = Gauge::default();
        let help = "Plans that were accepted before a restart and were not delivered again yet";
        registry.register("plans_awaited", help, awaited_plans.clone());
        let undelivered_notices = Gauge::default();
        let help = "Notices that were given up and wait for somebody to send them again";
        registry.register("notices_undelivered", help, undelivered_notices.clone());
        let records = Counter::default();
        registry.register("records", "Records stored in the journal", records.clone());
        Self {
            registry,
            deliveries,
            finished,
            notices,
            live_runs,
            waiting_plans,
            awaited_plans,
            undelivered_notices,
            records,
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// A plan was delivered, and this came of it.
    pub fn delivered(&self, result: &'static str) {
        self.deliveries.get_or_create(&Delivery { result }).inc();
    }

    /// A run ended.
    pub fn finished(&self, outcome: Outcome) {
        self.finished.get_or_create(&Ended { outcome: OutcomeName(outcome) }).inc();
    }

    /// Somebody was told an outcome, or could not be.
    pub fn told(&self, result: &'static str) {
        self.notices.get_or_create(&Told { result }).inc();
    }

    /// All numbers in the `OpenMetrics` text format, version 1.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_by_name() {
        let metrics = Metrics::default();
        metrics.finished(Outcome::Succeeded);
        metrics.finished(Outcome::Failed);
        metrics.finished(Outcome::Failed);
        metrics.live_runs.set(2);
        let text = metrics.text();
        for line in [
            "eve_runs_finished_total{outcome=\"succeeded\"} 1",
            "eve_runs_finished_total{outcome=\"failed\"} 2",
            "eve_runs_live 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
