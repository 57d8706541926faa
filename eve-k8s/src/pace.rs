//! How many requests are under way at once: fewer while the API server says that it has too many, more again as it
//! answers. Decides nothing about retries, and never sleeps.
//!
//! Halved when a request is refused for overload, one more for each round of answers: as TCP shares a line. Of the
//! refusals of one burst only the first counts. Watches are not counted: they are what eve needs least of and longest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// More than any run asks for at once: without an overload nothing ever waits here.
const SLOTS_MAX: usize = 1024;

/// The slots of one API server. Shared by all clones of a client.
pub(crate) struct Pace {
    slots: Semaphore,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// Requests under way.
    busy: usize,
    /// Slots that are taken away as soon as they are free.
    owed: usize,
    /// Good answers since the limit last changed.
    answers: usize,
    /// How often the limit was cut.
    cuts: u64,
}

/// What the server said to a request, as far as its load goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// It did what it was asked for, or refused for another reason.
    Fine,
    /// It has too much to do.
    TooMuch,
    /// Nothing is known.
    Unknown,
}

/// The right to one request. Given back when dropped.
pub(crate) struct Slot<'a> {
    pace: &'a Pace,
    permit: Option<SemaphorePermit<'a>>,
    cuts: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let state = State { limit: SLOTS_MAX, busy: 0, owed: 0, answers: 0, cuts: 0 };
        Self { slots: Semaphore::new(SLOTS_MAX), state: Mutex::new(state) }
    }

    /// Returns when a request may begin; who came first goes first. Cancel safe.
    pub(crate) async fn slot(&self) -> Slot<'_> {
        // The semaphore is never closed.
        let permit = self.slots.acquire().await.ok();
        let mut state = self.lock();
        state.busy += 1;
        Slot { pace: self, permit, cuts: state.cuts }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panicking holder left is whole: nothing here can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot<'_> {
    /// Takes in what the server said, and gives the slot back.
    pub(crate) fn end(self, load: Load) {
        let mut state = self.pace.lock();
        match load {
            // Who was sent before the last cut tells nothing new.
            Load::TooMuch if self.cuts == state.cuts => {
                let limit = (state.limit.min(state.busy) / 2).max(1);
                let cut = state.limit.saturating_sub(limit);
                let forgotten = self.pace.slots.forget_permits(cut);
                state.owed += cut - forgotten;
                state.limit = limit;
                state.answers = 0;
                state.cuts += 1;
            }
            Load::Fine if state.limit < SLOTS_MAX => {
                state.answers += 1;
                if state.answers >= state.limit {
                    state.answers = 0;
                    state.limit += 1;
                    if state.owed > 0 {
                        state.owed -= 1;
                    } else {
                        self.pace.slots.add_permits(1);
                    }
                }
            }
            Load::Fine | Load::TooMuch | Load::Unknown => {}
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        state.busy = state.busy.saturating_sub(1);
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    /// A server that does so many requests at once, each in 10 ms, and refuses all others.
    struct Server {
        capacity: AtomicUsize,
        busy: AtomicUsize,
        refused: AtomicUsize,
        peak: AtomicUsize,
    }

    impl Server {
        fn new(capacity: usize) -> Arc<Self> {
            let [capacity, busy, refused, peak] = [capacity, 0, 0, 0].map(AtomicUsize::new);
            Arc::new(Self { capacity, busy, refused, peak })
        }

        async fn ask(&self) -> Load {
            let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
            self.peak.fetch_max(busy, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.busy.fetch_sub(1, Ordering::SeqCst);
            if busy > self.capacity.load(Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Load::TooMuch;
            }
            Load::Fine
        }
    }

    /// So many callers, each of which asks until it was answered so often.
    async fn ask(pace: &Arc<Pace>, server: &Arc<Server>, callers: usize, times: usize) {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (pace, server) = (Arc::clone(pace), Arc::clone(server));
            tasks.spawn(async move {
                let mut left = times;
                while left > 0 {
                    let slot = pace.slot().await;
                    let load = server.ask().await;
                    slot.end(load);
                    left -= usize::from(load == Load::Fine);
                }
            });
        }
        tasks.join_all().await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_server_is_asked_for_as_much_as_it_can_do() {
        let (pace, server) = (Arc::new(Pace::new()), Server::new(4));
        ask(&pace, &server, 64, 20).await;
        let refused = server.refused.load(Ordering::SeqCst);
        assert!(refused * 4 < 64 * 20, "{refused} of {} were refused", 64 * 20 + refused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_has_recovered_is_asked_for_more_again() {
        let (pace, server) = (Arc::new(Pace::new()), Server::new(2));
        ask(&pace, &server, 32, 5).await;
        server.capacity.store(1000, Ordering::SeqCst);
        server.peak.store(0, Ordering::SeqCst);
        ask(&pace, &server, 32, 50).await;
        assert_eq!(server.peak.load(Ordering::SeqCst), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn the_refusals_of_one_burst_count_once() {
        let pace = Pace::new();
        let mut burst = Vec::new();
        for _ in 0..32 {
            burst.push(pace.slot().await);
        }
        for slot in burst {
            slot.end(Load::TooMuch);
        }
        let mut again = Vec::new();
        for _ in 0..16 {
            again.push(pace.slot().await);
        }
        assert!(tokio::time::timeout(Duration::from_secs(1), pace.slot()).await.is_err());
        // Who gives up, gives its slot back.
        again.pop();
        pace.slot().await.end(Load::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_at_a_time_always_remains() {
        let pace = Pace::new();
        for _ in 0..20 {
            pace.slot().await.end(Load::TooMuch);
        }
        pace.slot().await.end(Load::Fine);
    }
}
