//! Finds cycles among the components that no order could take, for the message that names them whole.

use std::collections::VecDeque;

use super::Edges;
use crate::ids::ComponentId;

/// The most cycles that are reported of one plan.
const CYCLES_MAX: usize = 10;

/// Cycles without a common component, each as the components along it: each depends on the next, the last on the first.
///
/// `order` holds the components that are on no cycle and behind none. Each cycle found is a shortest one through its
/// first component.
pub(super) fn find(dependencies: &Edges, order: &[ComponentId], len: usize) -> Vec<Vec<ComponentId>> {
    let mut left = vec![true; len];
    for id in order {
        set(&mut left, *id, false);
    }
    let mut cycles = Vec::new();
    let mut start = 0;
    while cycles.len() < CYCLES_MAX {
        let Some(offset) = left.iter().skip(start).position(|&is_left| is_left) else { break };
        start += offset;
        let first = ComponentId::new(u32::try_from(start).unwrap_or(u32::MAX));
        let walked = walk(dependencies, &left, first);
        let Some(&on_cycle) = walked.cycle.iter().min() else {
            // No cycle can be reached from these any more: what they led to was reported and taken out.
            for id in walked.visited {
                set(&mut left, id, false);
            }
            continue;
        };
        let cycle = shortest(dependencies, &left, on_cycle);
        for &id in &cycle {
            set(&mut left, id, false);
        }
        cycles.push(cycle);
    }
    cycles
}

struct Walk {
    visited: Vec<ComponentId>,
    cycle: Vec<ComponentId>,
}

/// Follows first dependencies, depth first without recursion, until a component comes up that is on the path.
fn walk(dependencies: &Edges, left: &[bool], first: ComponentId) -> Walk {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; left.len()];
    let mut visited = Vec::new();
    let mut path: Vec<(ComponentId, usize)> = vec![(first, 0)];
    set(&mut marks, first, Mark::OnPath);
    while let Some((id, next)) = path.last_mut() {
        let Some(edge) = dependencies.of(*id).get(*next) else {
            set(&mut marks, *id, Mark::Done);
            visited.push(*id);
            path.pop();
            continue;
        };
        *next += 1;
        let target = edge.component;
        if !get(left, target) {
            continue;
        }
        match marks.get(target.index()) {
            Some(Mark::New) => {
                set(&mut marks, target, Mark::OnPath);
                path.push((target, 0));
            }
            Some(Mark::OnPath) => {
                let cycle = path.iter().map(|&(id, _)| id).skip_while(|&id| id != target).collect();
                return Walk { visited, cycle };
            }
            Some(Mark::Done) | None => {}
        }
    }
    Walk { visited, cycle: Vec::new() }
}

/// A shortest way along dependencies from `first` back to itself, by breadth-first search.
fn shortest(dependencies: &Edges, left: &[bool], first: ComponentId) -> Vec<ComponentId> {
    let mut came_from: Vec<Option<ComponentId>> = vec![None; left.len()];
    let mut queue = VecDeque::from([first]);
    while let Some(id) = queue.pop_front() {
        for edge in dependencies.of(id) {
            let target = edge.component;
            if target == first {
                let mut path = vec![id];
                let mut at = id;
                while at != first {
                    let Some(before) = came_from.get(at.index()).copied().flatten() else { break };
                    path.push(before);
                    at = before;
                }
                path.reverse();
                return path;
            }
            if get(left, target) && came_from.get(target.index()).is_some_and(Option::is_none) {
                set(&mut came_from, target, Some(id));
                queue.push_back(target);
            }
        }
    }
    vec![first]
}

fn get(flags: &[bool], id: ComponentId) -> bool {
    flags.get(id.index()).copied().unwrap_or_default()
}

fn set<T>(slots: &mut [T], id: ComponentId, value: T) {
    if let Some(slot) = slots.get_mut(id.index()) {
        *slot = value;
    }
}
