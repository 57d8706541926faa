//! The plans of one source that are being read: in the order in which they came, as far as they may be of one namespace.
//!
//! Which namespace a plan is of is known for sure once it was read, which takes long for a large one. Until then a later plan
//! passes only where a glance told the two apart. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::plan::load::Glance;
use crate::ports::{Content, Delivery};
use crate::scheduler::Asks;

/// How many plans are read at once.
const READS_MAX: usize = 4;
/// How many deliveries may stand in line before no more are taken in.
const DELIVERIES_MAX: usize = 64;
/// The same in bytes of their plans; one more may be in line.
const BYTES_MAX: usize = 64 << 20;

/// Deliveries that nobody knows of yet.
#[derive(Default)]
pub(super) struct Line {
    slots: VecDeque<Slot>,
    next: u64,
}

struct Slot {
    number: u64,
    delivery: Delivery,
    step: Step,
    /// What is known of it, as long as it was not read.
    glance: Glance,
}

enum Step {
    Came,
    Glancing,
    Glanced,
    Reading,
    Read(Asks),
}

/// What is to be done with the plan of a delivery.
#[derive(Debug, PartialEq)]
pub(super) enum Work {
    Glance { number: u64, body: Arc<[u8]> },
    Read { number: u64, body: Arc<[u8]> },
}

impl Line {
    /// Whether more may be taken in.
    pub(super) fn has_room(&self) -> bool {
        let bytes: usize = self.slots.iter().map(Slot::bytes).sum();
        self.slots.len() < DELIVERIES_MAX && bytes < BYTES_MAX
    }

    /// A delivery came.
    pub(super) fn push(&mut self, delivery: Delivery) {
        let step = match &delivery.content {
            Content::Plan { .. } => Step::Came,
            Content::Stop { request, mode } => {
                Step::Read(Asks::Stop { request: Arc::clone(request), mode: *mode })
            }
            Content::Unusable { failure } => Step::Read(Asks::Nothing { failure: failure.clone() }),
        };
        self.slots.push_back(Slot { number: self.next, delivery, step, glance: Glance::Unknown });
        self.next += 1;
    }

    /// What is to be done next, besides what is being done: glances first, since they let others pass.
    pub(super) fn work(&mut self) -> Option<Work> {
        if self.count(|step| matches!(step, Step::Glancing)) == 0
            && let Some((number, body)) = self.begin(|step| matches!(step, Step::Came), Step::Glancing)
        {
            return Some(Work::Glance { number, body });
        }
        if self.count(|step| matches!(step, Step::Reading)) >= READS_MAX {
            return None;
        }
        let (number, body) = self.begin(|step| matches!(step, Step::Glanced), Step::Reading)?;
        Some(Work::Read { number, body })
    }

    fn count(&self, is_so_far: fn(&Step) -> bool) -> usize {
        self.slots.iter().filter(|slot| is_so_far(&slot.step)).count()
    }

    /// The first plan that is so far, which is then one step farther.
    fn begin(&mut self, is_so_far: fn(&Step) -> bool, next: Step) -> Option<(u64, Arc<[u8]>)> {
        let slot = self.slots.iter_mut().find(|slot| is_so_far(&slot.step))?;
        let Content::Plan { body, .. } = &slot.delivery.content else { return None };
        slot.step = next;
        Some((slot.number, Arc::clone(body)))
    }

    pub(super) fn glanced(&mut self, number: u64, glance: Glance) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
            (slot.glance, slot.step) = (glance, Step::Glanced);
        }
    }

    /// A plan was read: what its delivery asks for.
    pub(super) fn read(&mut self, number: u64, asks: impl FnOnce(&mut Delivery) -> Asks) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
            slot.step = Step::Read(asks(&mut slot.delivery));
        }
    }

    /// The next delivery that waits for none before it.
    pub(super) fn pop(&mut self) -> Option<(Delivery, Asks)> {
        let is_free = |(at, slot): (usize, &Slot)| {
            let Step::Read(asks) = &slot.step else { return false };
            !self.slots.iter().take(at).any(|before| before.holds_up(&slot.delivery, asks))
        };
        let at = self.slots.iter().enumerate().position(is_free)?;
        let Slot { delivery, step: Step::Read(asks), .. } = self.slots.remove(at)? else { return None };
        Some((delivery, asks))
    }
}

impl Slot {
    fn bytes(&self) -> usize {
        match &self.delivery.content {
            Content::Plan { body, .. } => body.len(),
            Content::Stop { .. } | Content::Unusable { .. } => 0,
        }
    }

    /// Whether a later delivery has to wait for this one.
    fn holds_up(&self, later: &Delivery, asks: &Asks) -> bool {
        let request = &self.delivery.request;
        if *request == later.request {
            return true;
        }
        let namespace = match asks {
            Asks::Stop { request: target, .. } => return request == target,
            Asks::Nothing { .. } => return false,
            Asks::Run { namespace, .. } => namespace,
        };
        let (own, other) = (&self.delivery.group, &later.group);
        if !own.is_empty() && !other.is_empty() && own != other {
            return false;
        }
        match (&self.step, &self.glance) {
            (Step::Read(Asks::Run { namespace: own, .. }), _) => own == namespace,
            (Step::Read(Asks::Stop { request, .. }), _) => *request == later.request,
            (Step::Read(Asks::Nothing { .. }), _) | (_, Glance::Unusable) => false,
            (_, Glance::Namespace(own)) => **own == **namespace,
            (_, Glance::Unknown) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::failure::Failure;
    use crate::ports::Named;
    use crate::run::StopMode;

    fn plan(request: &str) -> Delivery {
        let body: Arc<[u8]> = request.as_bytes().into();
        let (handle, digest) = (request.into(), Digest::of(&body));
        let content = Content::Plan { body, sequence: None };
        Delivery {
            handle,
            request: request.into(),
            named: Named::BySource,
            digest,
            group: "".into(),
            receive_count: 1,
            content,
        }
    }

    fn stop(request: &str, target: &str) -> Delivery {
        let content = Content::Stop { request: target.into(), mode: StopMode::Now };
        Delivery { content, ..plan(request) }
    }

    fn of(namespace: &str) -> Glance {
        Glance::Namespace(namespace.to_owned())
    }

    fn run_in(namespace: &str) -> Asks {
        Asks::Run { namespace: namespace.into(), plan: "app".into(), sequence: None }
    }

    /// A line of these plans, of each of which this is known at a glance.
    fn line(plans: &[(&str, Glance)]) -> Line {
        let mut line = Line::default();
        for (number, (request, glance)) in (0..).zip(plans) {
            line.push(plan(request));
            assert!(matches!(line.work(), Some(Work::Glance { number: of, .. }) if of == number));
            line.glanced(number, glance.clone());
        }
        line
    }

    fn popped(line: &mut Line) -> Vec<String> {
        std::iter::from_fn(|| line.pop()).map(|(delivery, _)| delivery.request.to_string()).collect()
    }

    #[test]
    fn plans_of_a_namespace_leave_in_the_order_in_which_they_came() {
        let mut line = line(&[("a", of("n")), ("b", of("m")), ("c", of("n"))]);
        line.read(2, |_| run_in("n"));
        assert_eq!(popped(&mut line), [""; 0]);
        line.read(1, |_| run_in("m"));
        assert_eq!(popped(&mut line), ["b"]);
        line.read(0, |_| run_in("n"));
        assert_eq!(popped(&mut line), ["a", "c"]);
    }

    #[test]
    fn nothing_passes_a_plan_of_which_nothing_is_known_and_all_pass_one_that_is_none() {
        for (glance, passes) in [(Glance::Unknown, false), (Glance::Unusable, true)] {
            let mut line = line(&[("a", glance), ("b", of("n"))]);
            line.read(1, |_| run_in("n"));
            assert_eq!(!popped(&mut line).is_empty(), passes);
            line.read(0, |_| Asks::Nothing { failure: Failure::permanent("t", "it is no plan") });
            assert_eq!(popped(&mut line).contains(&"b".to_owned()), !passes);
        }
    }

    #[test]
    fn what_was_not_looked_at_yet_may_be_anything() {
        let mut line = Line::default();
        line.push(plan("a"));
        line.push(plan("b"));
        line.read(1, |_| run_in("n"));
        assert_eq!(popped(&mut line), [""; 0]);
        line.glanced(0, of("m"));
        assert_eq!(popped(&mut line), ["b"]);
    }

    #[test]
    fn a_stop_waits_for_the_request_that_it_names_and_passes_others() {
        let mut line = line(&[("a", of("n")), ("b", of("m"))]);
        line.push(stop("stop-b", "b"));
        line.push(stop("stop-c", "c"));
        assert_eq!(popped(&mut line), ["stop-c"]);
        line.read(1, |_| run_in("m"));
        assert_eq!(popped(&mut line), ["b", "stop-b"]);
    }

    #[test]
    fn the_same_request_delivered_twice_leaves_in_order() {
        let mut line = line(&[("a", of("n")), ("a", of("n"))]);
        line.read(1, |_| Asks::Nothing { failure: Failure::permanent("t", "it is no plan") });
        assert_eq!(popped(&mut line), [""; 0]);
    }

    #[test]
    fn a_few_plans_are_read_at_once_and_the_line_is_bounded() {
        let names: Vec<String> = (0..DELIVERIES_MAX).map(|number| format!("r{number}")).collect();
        let plans: Vec<(&str, Glance)> = names.iter().map(|name| (&**name, of("n"))).collect();
        let mut line = line(plans.as_slice());
        assert!(!line.has_room());
        let reads = std::iter::from_fn(|| line.work()).count();
        assert_eq!(reads, READS_MAX);
        line.read(0, |_| run_in("n"));
        assert_eq!(std::iter::from_fn(|| line.work()).count(), 1);
        assert_eq!(popped(&mut line), ["r0"]);
        assert!(line.has_room());
    }
}
