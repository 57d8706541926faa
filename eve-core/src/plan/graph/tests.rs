//! What a graph accepts, what it refuses, and in which words.

use super::Graph;
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::limits::Limits;
use crate::plan::problem::PlanProblem;
use crate::plan::{Dependency, RetryPolicy, Until};
use std::time::Duration;

fn component(name: &str, after: &[&str]) -> ComponentBuilder {
    after.iter().fold(ComponentBuilder::new(name, "test"), |component, on| component.after(*on))
}

fn graph(parts: &[(&str, &[&str])]) -> Result<Graph, Vec<PlanProblem>> {
    let components = parts.iter().map(|(name, after)| component(name, after));
    Graph::from_plan(&PlanBuilder::new("p", "p").components(components))
}

fn messages(result: Result<Graph, Vec<PlanProblem>>) -> Vec<String> {
    let told = |problem: PlanProblem| match problem.hint {
        Some(hint) => format!("{}: {} ({hint})", problem.code, problem.message),
        None => format!("{}: {}", problem.code, problem.message),
    };
    result.err().unwrap_or_default().into_iter().map(told).collect()
}

#[test]
fn every_problem_is_reported_at_once() {
    let long = ComponentBuilder::new("a", "test").class("k", 0).retry(RetryPolicy {
        attempts: 0,
        backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
    });
    let parts = [long, component("a", &[]), component("b c", &[]), component("web", &["databse", "a"])];
    let parts = parts.into_iter().chain([component("database", &[])]);
    let result = Graph::from_plan(&PlanBuilder::new("p", "p").components(parts));
    assert_eq!(
        messages(result),
        [
            "graph.bad-retry: the retry of `a` needs 1 to 100 attempts",
            "graph.bad-class: the class of `a` needs a name and a limit of at least 1",
            "graph.duplicate-name: two components are named `a`",
            "graph.bad-name: `b c` is no name for a component: only letters, digits and `-._:/` are allowed",
            "graph.unknown-dependency: `web` depends on `databse`, which is not in the plan \
             (did you mean `database`?)",
        ]
    );
}

#[test]
fn a_cycle_is_named_whole_and_as_short_as_it_is() {
    let hint = "(remove one of these dependencies; `->` reads as `depends on`)";
    let expect =
        |path: &str| format!("graph.cycle: components depend on each other in a cycle: {path} {hint}");
    assert_eq!(messages(graph(&[("a", &["a"])])), [expect("a -> a")]);
    let detour = graph(&[("a", &["b"]), ("b", &["c", "x"]), ("c", &["a"]), ("x", &["y"]), ("y", &["c"])]);
    assert_eq!(messages(detour), [expect("a -> b -> c -> a")]);
}

#[test]
fn cycles_apart_from_each_other_are_all_named() {
    let parts: [(&str, &[&str]); 6] =
        [("ok", &[]), ("a", &["b"]), ("b", &["a"]), ("behind", &["a"]), ("c", &["d"]), ("d", &["c", "ok"])];
    assert_eq!(messages(graph(&parts)).len(), 2);
}

#[test]
fn order_puts_every_component_behind_what_it_depends_on() {
    let built = graph(&[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[])]).unwrap();
    let names: Vec<&str> = built.order().iter().map(|&id| built.node(id).name()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(built.ids().map(|id| built.rank(id)).collect::<Vec<_>>(), [0, 1, 1, 2]);
}

#[test]
fn an_edge_written_twice_is_one_edge_of_the_stronger_kind() {
    let web = component("web", &[]).depends_on(Dependency::applied("db")).after("db");
    let plan = PlanBuilder::new("p", "p").component(component("db", &[])).component(web);
    let built = Graph::from_plan(&plan).unwrap();
    let web = built.find("web").unwrap();
    let until: Vec<Until> = built.dependencies(web).iter().map(|edge| edge.until).collect();
    assert_eq!(until, [Until::Ready]);
    assert_eq!(built.dependants(built.find("db").unwrap()).len(), 1);
}

#[test]
fn a_class_must_have_one_limit() {
    let parts = [component("a", &[]).class("k", 1), component("b", &[]).class("k", 2)];
    let result = Graph::from_plan(&PlanBuilder::new("p", "p").components(parts));
    assert_eq!(
        messages(result),
        ["graph.class-disagrees: class `k` has another limit elsewhere in the plan than 2"]
    );
}

#[test]
fn limits_are_kept_and_named() {
    let parts: Vec<ComponentBuilder> = (0..5).map(|index| component(&format!("c{index}"), &[])).collect();
    let chained: Vec<ComponentBuilder> = parts.iter().skip(1).map(|part| part.clone().after("c0")).collect();
    let whole = PlanBuilder::new("p", "p").component(parts[0].clone()).components(chained);
    let within = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        messages(Graph::from_plan_within(&whole, &limits))
    };
    assert_eq!(
        within(|limits| limits.components_max = 4),
        ["graph.too-many-components: the plan has 5 components; at most 4 are allowed"]
    );
    assert_eq!(
        within(|limits| limits.edges_max = 3),
        ["graph.too-many-edges: the plan has more than 3 edges; group dependencies behind one component"]
    );
    assert_eq!(within(|limits| limits.name_bytes_max = 1).len(), 5);
    let some = within(|limits| (limits.name_bytes_max, limits.problems_max) = (1, 2));
    assert_eq!(some.last().unwrap(), "graph.more-problems: 3 further problems are not shown");
}

#[test]
fn more_kinds_or_classes_than_can_be_told_apart_are_refused() {
    let numbers = || 0..=65_536_u32;
    let kinds = numbers().map(|n| ComponentBuilder::new(format!("c{n}"), format!("k{n}")));
    let kinds = Graph::from_plan(&PlanBuilder::new("p", "p").components(kinds));
    assert_eq!(messages(kinds), ["graph.too-many-kinds: the plan has more than 65536 kinds"]);
    let classes = numbers().map(|n| component(&format!("c{n}"), &[]).class(format!("k{n}"), 1));
    let classes = Graph::from_plan(&PlanBuilder::new("p", "p").components(classes));
    assert_eq!(messages(classes), ["graph.too-many-classes: the plan has more than 65536 classes"]);
}
