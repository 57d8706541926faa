//! In whose turn runs are opened: how often one namespace with many plans comes before others whose plan was accepted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use eve_core::scheduler::{SchedulerView, Stand};

/// The namespace that has many plans.
pub(crate) const CROWDED: &str = "crowded";

/// What was seen of turns.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Order>);

#[derive(Default)]
struct Order {
    /// How many plans the crowded namespace has: the first that were sent.
    crowd: usize,
    /// How many runs of it were opened so far.
    opened: usize,
    /// The first of the other plans of which nothing was seen yet.
    next: usize,
    /// How many runs of the crowd were opened when a plan was accepted that waits for its turn.
    waiting: BTreeMap<usize, usize>,
    overtaken_max: usize,
}

impl Turns {
    pub(crate) fn new(crowd: usize) -> Self {
        Self(Mutex::new(Order { crowd, next: crowd, ..Order::default() }))
    }

    /// What a turn has come to. Plans are accepted, and those of the crowd opened, in the order in which they were sent.
    pub(crate) fn look(&self, view: SchedulerView<'_>) {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if order.crowd == 0 {
            return;
        }
        let stand = |number: usize| view.request(&format!("r{number}")).map(|request| request.stand());
        let is_open = |stand: Option<Stand>| matches!(stand, Some(Stand::Live(_) | Stand::Closed(_)));
        while order.opened < order.crowd && is_open(stand(order.opened)) {
            order.opened += 1;
        }
        let opened = order.opened;
        while stand(order.next).is_some() {
            let number = order.next;
            order.waiting.insert(number, opened);
            order.next += 1;
        }
        let over: Vec<usize> =
            order.waiting.keys().copied().filter(|number| is_open(stand(*number))).collect();
        for number in over {
            let before = order.waiting.remove(&number).unwrap_or(opened);
            order.overtaken_max = order.overtaken_max.max(opened - before);
        }
    }

    /// How many runs the crowded namespace opened while another one waited for its turn, at most.
    pub(crate) fn overtaken_max(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).overtaken_max
    }
}
