//! A failing schedule made small: fewer choices, smaller numbers, the same invariant broken.

use super::choices::Recorded;
use super::invariants::Invariant;
use super::report::{Kind, check};
use super::sabotage::Sabotage;

/// The smallest choices found that break the same invariant: chunks are left out, numbers set to zero and halved, stream by
/// stream, until nothing helps or `tries` schedules were run.
pub fn shrunk(
    (kind, sabotage): (Kind, Option<Sabotage>),
    failing: Recorded,
    invariant: Invariant,
    tries: u32,
) -> Recorded {
    let mut shrinker = Shrinker { kind, sabotage, invariant, best: failing, left: tries };
    loop {
        let before = shrinker.best.clone();
        for stream in [2, 0, 1, 3] {
            shrinker.chunks(stream, |values, from, to| {
                values.drain(from..to);
            });
            shrinker.chunks(stream, |values, from, to| {
                values.iter_mut().take(to).skip(from).for_each(|value| *value = 0);
            });
            shrinker.halve(stream);
        }
        if shrinker.best == before || shrinker.left == 0 {
            return shrinker.best;
        }
    }
}

struct Shrinker {
    kind: Kind,
    sabotage: Option<Sabotage>,
    invariant: Invariant,
    best: Recorded,
    left: u32,
}

impl Shrinker {
    /// Keeps the candidate if it still fails in the same way.
    fn attempt(&mut self, candidate: Recorded) -> bool {
        if self.left == 0 || candidate == self.best {
            return false;
        }
        self.left -= 1;
        let report = check(self.kind, &mut candidate.replay(), self.sabotage);
        let same = report.violation.is_some_and(|violation| violation.invariant == self.invariant);
        if same {
            self.best = candidate;
        }
        same
    }

    fn len(&self, stream: usize) -> usize {
        self.best.0.get(stream).map_or(0, Vec::len)
    }

    fn chunks(&mut self, stream: usize, change: impl Fn(&mut Vec<u64>, usize, usize)) {
        let mut size = self.len(stream);
        while size > 0 {
            let mut from = 0;
            while from < self.len(stream) {
                let to = (from + size).min(self.len(stream));
                let mut candidate = self.best.clone();
                if let Some(values) = candidate.0.get_mut(stream) {
                    change(values, from, to);
                }
                self.attempt(candidate);
                from += size;
            }
            size /= 2;
        }
    }

    fn halve(&mut self, stream: usize) {
        for index in 0..self.len(stream) {
            while let Some(value) = self.best.0.get(stream).and_then(|values| values.get(index)).copied() {
                let mut candidate = self.best.clone();
                let slot = candidate.0.get_mut(stream).and_then(|values| values.get_mut(index));
                if let Some(slot) = slot {
                    *slot = value / 2;
                }
                if value == 0 || !self.attempt(candidate) {
                    break;
                }
            }
        }
    }
}
