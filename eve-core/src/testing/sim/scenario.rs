//! What is simulated: a plan, its options, a script for each component, and what may go wrong.

use std::sync::Arc;
use std::time::Duration;

use super::choices::{Chance, Choices, pick};
use super::disk::Remains;
use super::faults::{Fault, Faults};
use super::script::{Found, Misbehaviour, Script};
use crate::failure::FailureClass;
use crate::ids::ComponentId;
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::graph::Graph;
use crate::plan::problem::PlanProblem;
use crate::plan::{Action, Dependency, FailurePolicy, Plan, RetryPolicy, UndoRule, Until};
use crate::run::{Phase, RunOptions, StopMode};

/// The most components of a drawn plan.
pub(super) const COMPONENTS_MAX: u64 = 40;

/// What is simulated. Drawn by the swarm, or made by hand around a plan of one's own.
///
/// ```
/// use std::time::Duration;
/// use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
/// use eve_core::run::RunOptions;
/// use eve_core::testing::sim::{Chance, Fault, Faults, Scenario, Script, Seeded, simulate};
/// let plan = PlanBuilder::new("shop", "shop")
///     .component(ComponentBuilder::new("db", "sql"))
///     .component(ComponentBuilder::new("web", "http").after("db"));
/// let scenario = Scenario::of(&plan, RunOptions::default())?
///     .with_script("db", Script::new().ready_after(Duration::from_secs(90)))
///     .with_faults(Faults::none().with(Fault::Kill, Chance::per_mille(50), 3));
/// for seed in 0..20 {
///     let report = simulate(&scenario, &mut Seeded::new(seed), None);
///     assert_eq!(report.violation, None);
/// }
/// # Ok::<(), Vec<eve_core::plan::problem::PlanProblem>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(super) graph: Arc<Graph>,
    pub(super) options: RunOptions,
    pub(super) scripts: Vec<Script>,
    pub(super) faults: Faults,
    pub(super) remains: Remains,
    pub(super) stops: &'static [StopMode],
}

const ALL_STOPS: &[StopMode] = &[StopMode::Drain, StopMode::Now, StopMode::Supersede, StopMode::Rollback];

const POLICIES: &[FailurePolicy] =
    &[FailurePolicy::Drain, FailurePolicy::Continue, FailurePolicy::Rollback, FailurePolicy::Rollback];

impl Scenario {
    /// This plan; every component is created at once, and nothing goes wrong.
    ///
    /// # Errors
    /// As [`Graph::from_plan`].
    pub fn of(plan: &dyn Plan, options: RunOptions) -> Result<Self, Vec<PlanProblem>> {
        let graph = Arc::new(Graph::from_plan(plan)?);
        let scripts = vec![Script::new(); graph.len()];
        let (faults, remains) = (Faults::none(), Remains::Anything);
        Ok(Self { graph, options, scripts, faults, remains, stops: ALL_STOPS })
    }

    /// The same with another script for the component of this name; unchanged if there is none.
    #[must_use]
    pub fn with_script(mut self, component: &str, script: Script) -> Self {
        let found = self.graph.find(component);
        if let Some(slot) = found.and_then(|id| self.scripts.get_mut(id.index())) {
            *slot = script;
        }
        self
    }

    /// The same with other faults.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    pub(super) fn script(&self, component: ComponentId) -> &Script {
        static NONE: Script = Script::new();
        self.scripts.get(component.index()).unwrap_or(&NONE)
    }

    /// A plan of the swarm: 2 to 40 components, drawn with everything that surrounds them.
    ///
    /// # Panics
    /// Never: drawn plans are good ones.
    pub fn drawn(choices: &mut dyn Choices) -> Self {
        let (options, faults) = (drawn_options(choices), Faults::drawn(choices));
        let len = 2 + choices.below(COMPONENTS_MAX - 1, "plan.len");
        let shape = choices.below(5, "plan.shape");
        let policy = policy(choices);
        let mut plan = PlanBuilder::new("p", "p").on_failure(policy);
        let odd = Chance::per_mille(pick(choices, &[0, 30, 200], "plan.odd").unwrap_or(0));
        let mut scripts = Vec::new();
        for index in 0..len {
            let (component, script) = drawn_component(choices, (index, shape), odd);
            plan = plan.component(component);
            scripts.push(script);
        }
        #[expect(clippy::expect_used, reason = "drawn plans are good ones")]
        let scenario = Self::of(&plan, options).expect("a good plan");
        Self { scripts, faults, ..scenario }
    }

    /// A plan of four components, all of whose shapes, crashes and stops can be enumerated: a crash before any step, or
    /// none, and a stop before any turn, or none.
    ///
    /// # Panics
    /// Never: these plans are good ones.
    pub fn small(choices: &mut dyn Choices) -> Self {
        let shape = choices.below(Self::SMALL_SHAPES, "plan.small-shape");
        let mode = choices.below(4, "plan.small-stop");
        let at_once = choices.below(2, "plan.small-reads") == 1;
        // The last component is refused, and the plan says what follows.
        let fails = choices.below(2, "plan.small-failure") == 1;
        let mut plan = PlanBuilder::new("p", "p");
        if fails {
            plan = plan.on_failure(FailurePolicy::Rollback);
        }
        let mut bit = 0;
        for index in 0..4_u64 {
            let mut component = ComponentBuilder::new(format!("c{index}"), "test");
            for on in 0..index {
                if shape >> bit & 1 == 1 {
                    component = component.after(format!("c{on}"));
                }
                bit += 1;
            }
            plan = plan.component(component);
        }
        let stops = match mode {
            0 => &[StopMode::Drain],
            1 => &[StopMode::Now],
            2 => &[StopMode::Supersede],
            _ => &[StopMode::Rollback],
        };
        #[expect(clippy::expect_used, reason = "these plans are good ones")]
        let scenario = Self::of(&plan, RunOptions::default().with_api_limit(2)).expect("a good plan");
        let faults = Faults::none()
            .with(Fault::PowerLoss, Chance::EITHER, 1)
            .with(Fault::Stop, Chance::EITHER, 1)
            .in_order();
        let script = if at_once { Script::new().reads_at_once() } else { Script::new() };
        let mut scripts = vec![script.clone(); scenario.graph.len()];
        if let Some(last) = scripts.last_mut().filter(|_| fails) {
            *last = script.misbehaves(Phase::Apply, 1, Misbehaviour::Fails(FailureClass::Permanent));
        }
        Self { scripts, faults, remains: Remains::AllNoneOrHalf, stops, ..scenario }
    }

    /// How many shapes a plan of four components has: each may depend on any before it.
    pub const SMALL_SHAPES: u64 = 64;
}

fn policy(choices: &mut dyn Choices) -> FailurePolicy {
    pick(choices, POLICIES, "plan.policy").unwrap_or_default()
}

fn drawn_options(choices: &mut dyn Choices) -> RunOptions {
    let limit = pick(choices, &[32, 1, 2, 5], "plan.api-limit").unwrap_or(32);
    let waits = pick(choices, &[u32::MAX, 1, 3], "plan.wait-limit").unwrap_or(u32::MAX);
    let run_s = pick(choices, &[3_600, 3_600, 60], "plan.run-timeout").unwrap_or(3_600);
    let component_s = pick(choices, &[600, 600, 20], "plan.timeout").unwrap_or(600);
    let no_progress_s = pick(choices, &[300, 300, 12], "plan.no-progress").unwrap_or(300);
    let secs = Duration::from_secs;
    RunOptions::default()
        .with_api_limit(limit)
        .with_wait_limit(waits)
        .with_run_timeout(secs(run_s))
        .with_component_timeout(secs(component_s))
        .with_no_progress_timeout(secs(no_progress_s))
        .with_seed(choices.below(1000, "plan.seed"))
}

fn dependencies(choices: &mut dyn Choices, index: u64, shape: u64) -> Vec<Dependency> {
    let on = |index: u64, choices: &mut dyn Choices| {
        let until = if choices.below(5, "plan.until") == 4 { Until::Applied } else { Until::Ready };
        Dependency { component: format!("c{index}"), until }
    };
    if index == 0 {
        return Vec::new();
    }
    match shape {
        // Any of those before.
        0 => (0..choices.below(4, "plan.edges"))
            .map(|_| {
                let back = choices.below(index, "plan.edge");
                on(index - 1 - back, choices)
            })
            .collect(),
        // A chain, a star, layers of four, and all together.
        1 => vec![on(index - 1, choices)],
        2 => vec![on(0, choices)],
        3 => (index / 4).checked_sub(1).map_or_else(Vec::new, |above| {
            [0, 1].map(|step| on(above * 4 + (index + step) % 4, choices)).into()
        }),
        _ => Vec::new(),
    }
}

fn drawn_component(
    choices: &mut dyn Choices,
    (index, shape): (u64, u64),
    odd: Chance,
) -> (ComponentBuilder, Script) {
    let name = format!("c{index}");
    let mut component = ComponentBuilder::new(name, "test");
    let mut action = Action::Apply;
    if odd.happens(choices, "plan.odd-action") {
        action =
            pick(choices, &[Action::Delete, Action::Read, Action::None], "plan.action").unwrap_or(action);
    }
    component = component.action(action);
    for dependency in dependencies(choices, index, shape) {
        component = component.depends_on(dependency);
    }
    if odd.happens(choices, "plan.odd-until") {
        component = component.until(Until::Applied);
    }
    if odd.happens(choices, "plan.odd-policy") {
        component = component.on_failure(policy(choices));
    }
    if odd.happens(choices, "plan.odd-timeout") {
        component = component.timeout(Duration::from_secs(5));
    }
    if odd.happens(choices, "plan.odd-retry") {
        let attempts = 1 + u32::try_from(choices.below(4, "plan.attempts")).unwrap_or(0);
        let (backoff, max_backoff) = (Duration::from_secs(2), Duration::from_secs(5));
        component = component.retry(RetryPolicy { attempts, backoff, max_backoff });
    }
    if odd.happens(choices, "plan.odd-undo") {
        component = component.undo(UndoRule::Never);
    }
    if !action.is_join() && odd.happens(choices, "plan.odd-class") {
        let class = choices.below(2, "plan.class");
        component = component.class(format!("k{class}"), 1 + u32::try_from(class).unwrap_or(0));
    }
    (component, drawn_script(choices, odd))
}

fn drawn_script(choices: &mut dyn Choices, odd: Chance) -> Script {
    let ms = |choices: &mut dyn Choices, most, label| Duration::from_millis(choices.below(most, label));
    let takes = ms(choices, 50, "plan.takes");
    let ready = ms(choices, 3_000, "plan.ready");
    let mut script = Script::new().takes(takes).ready_after(ready);
    if choices.below(2, "plan.reads") == 1 {
        script = script.reads_at_once();
    }
    if odd.happens(choices, "plan.odd-found") {
        let found = pick(choices, &[Found::UpToDate, Found::Outdated], "plan.found");
        script = script.found(found.unwrap_or(Found::UpToDate));
    }
    if odd.happens(choices, "plan.odd-sight") {
        script = script.cannot_tell();
    }
    if odd.happens(choices, "plan.odd-ready") {
        script = script.ready_after(ms(choices, 900_000, "plan.slow-ready"));
    }
    if odd.happens(choices, "plan.odd-news") {
        script = script.with_news_every(Duration::from_millis(500) + ms(choices, 20_000, "plan.news"));
    }
    if odd.happens(choices, "plan.odd-keeps") {
        script = script.keeps_deadline();
    }
    if odd.happens(choices, "plan.odd-never") && choices.below(3, "plan.never") == 2 {
        script = script.never_ready();
    }
    if odd.happens(choices, "plan.odd-token") && choices.below(3, "plan.token") == 2 {
        script = script.cannot_be_undone();
    }
    if odd.happens(choices, "plan.odd-end") {
        let phases = [Phase::Prepare, Phase::Apply, Phase::Wait, Phase::Undo, Phase::Verify];
        let phase = pick(choices, &phases, "plan.phase");
        let attempts = 1 + u32::try_from(choices.below(4, "plan.bad-attempts")).unwrap_or(0);
        let class = pick(choices, CLASSES, "plan.failure-class").unwrap_or(FailureClass::Transient);
        let how = match choices.below(4, "plan.how") {
            0 => Misbehaviour::Fails(class),
            1 => Misbehaviour::Lies(class),
            2 => Misbehaviour::Panics,
            _ => Misbehaviour::Hangs,
        };
        script = script.misbehaves(phase.unwrap_or(Phase::Apply), attempts, how);
    }
    script
}

const CLASSES: &[FailureClass] = &[
    FailureClass::Transient,
    FailureClass::Transient,
    FailureClass::Permanent,
    FailureClass::Cancelled,
    FailureClass::Misuse,
];
