//! Whether a failed attempt is tried again, and when. Pure arithmetic on the policy, the attempt and a seed.

use std::time::Duration;

use super::options::RunOptions;
use crate::failure::FailureClass;
use crate::ids::{Attempt, ComponentId};
use crate::plan::RetryPolicy;

/// The fewest attempts of an undo, and of the look after it: with the default pauses they ride out an API server that is
/// away for a minute and a half. Nothing else puts back what the run changed, so patience costs less than giving up.
const UNDO_ATTEMPTS_MIN: u32 = 10;

/// The pause before the next attempt of what belongs to a rollback, or `None` when this was the last: by the run's own
/// policy, with more patience.
pub(super) fn pause_of_undo(
    options: &RunOptions,
    at: (ComponentId, Attempt),
    class: FailureClass,
) -> Option<Duration> {
    let attempts = options.retry.attempts.max(UNDO_ATTEMPTS_MIN);
    let patient = RetryPolicy { attempts, ..options.retry };
    (class == FailureClass::Transient).then(|| pause(options, Some(patient), at, class)).flatten()
}

/// The pause before the next attempt, or `None` when this was the last.
///
/// A written policy covers every class but `Misuse` and `Cancelled`; the run's own covers `Transient` only.
pub(crate) fn pause(
    options: &RunOptions,
    written: Option<RetryPolicy>,
    (component, attempt): (ComponentId, Attempt),
    class: FailureClass,
) -> Option<Duration> {
    let covered = match class {
        FailureClass::Transient => true,
        FailureClass::Permanent => written.is_some(),
        FailureClass::Cancelled | FailureClass::Misuse => false,
    };
    let policy = written.unwrap_or(options.retry);
    if !covered || attempt.get() >= policy.attempts {
        return None;
    }
    let doubled = policy.backoff.saturating_mul(1 << (attempt.get() - 1).min(20));
    let longest = doubled.min(policy.max_backoff);
    let seed = options.seed ^ u64::from(component.get()) << 32 ^ u64::from(attempt.get());
    // Between half and all of the pause, in steps of a thousandth, so that a crowd does not come back as one.
    let thousandths = 500 + u32::try_from(mixed(seed) % 501).unwrap_or(500);
    Some(longest.saturating_mul(thousandths) / 1000)
}

/// One step of the `SplitMix64` generator (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) const fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(attempts: u32) -> RetryPolicy {
        RetryPolicy { attempts, backoff: Duration::from_secs(1), max_backoff: Duration::from_secs(5) }
    }

    fn pause_of(written: Option<RetryPolicy>, attempt: u32, class: FailureClass) -> Option<Duration> {
        let at = (ComponentId::new(7), Attempt::new(attempt));
        pause(&RunOptions::default().with_seed(1), written, at, class)
    }

    #[test]
    fn an_undo_is_more_patient_and_only_with_what_may_pass() {
        let pause_of = |attempt, class| {
            pause_of_undo(&RunOptions::default(), (ComponentId::new(7), Attempt::new(attempt)), class)
        };
        assert!(pause_of(9, FailureClass::Transient).is_some());
        assert_eq!(pause_of(10, FailureClass::Transient), None);
        assert_eq!(pause_of(1, FailureClass::Permanent), None);
        let total: Duration = (1..10).filter_map(|attempt| pause_of(attempt, FailureClass::Transient)).sum();
        assert!(total > Duration::from_mins(1), "{total:?}");
    }

    #[test]
    fn class_decides_whether_an_attempt_follows() {
        use FailureClass as C;
        for (policy, class, again) in [
            (None, C::Transient, true),
            (None, C::Permanent, false),
            (None, C::Misuse, false),
            (None, C::Cancelled, false),
            (Some(written(3)), C::Transient, true),
            (Some(written(3)), C::Permanent, true),
            (Some(written(3)), C::Misuse, false),
            (Some(written(3)), C::Cancelled, false),
        ] {
            assert_eq!(pause_of(policy, 1, class).is_some(), again, "{policy:?} {class:?}");
        }
    }

    #[test]
    fn last_attempt_has_no_successor() {
        assert!(pause_of(None, 2, FailureClass::Transient).is_some());
        assert_eq!(pause_of(None, 3, FailureClass::Transient), None);
        assert_eq!(pause_of(Some(written(1)), 1, FailureClass::Permanent), None);
    }

    #[test]
    fn pause_doubles_up_to_its_bound_and_keeps_within_half_of_it() {
        for (attempt, longest_s) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (40, 5.0)] {
            let pause =
                pause_of(Some(written(50)), attempt, FailureClass::Transient).map(|p| p.as_secs_f64());
            let pause = pause.unwrap();
            assert!((longest_s / 2.0..=longest_s).contains(&pause), "attempt {attempt}: {pause}");
        }
    }
}
