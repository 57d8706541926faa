//! Where every accident of a schedule comes from: one trait, and who may answer it.
//!
//! Whatever is drawn, 0 is the simplest answer (no fault, the shortest time, the smallest plan), so a list of choices is
//! made simpler by making its numbers smaller, and a list that is too short goes on with zeros.

use std::fmt;
use std::str::FromStr;

/// Answers what the simulated world leaves open.
pub trait Choices {
    /// A number below `n`, which is at least 1. The label says what is chosen; the word before its dot is the
    /// [`Stream`].
    fn below(&mut self, n: u64, label: &'static str) -> u64;
}

/// Choices that do not shift each other: a schedule with another plan keeps its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// The plan, its options, the scripts, and which faults there are.
    Plan,
    /// What comes first.
    Schedule,
    /// Whether a fault happens now.
    Fault,
    /// How long something takes.
    Latency,
}

impl Stream {
    /// All of them, in the order of their index.
    pub const ALL: [Self; 4] = [Self::Plan, Self::Schedule, Self::Fault, Self::Latency];

    /// The stream that a label belongs to.
    pub fn of(label: &str) -> Self {
        match label.as_bytes().first() {
            Some(b'p') => Self::Plan,
            Some(b's') => Self::Schedule,
            Some(b'f') => Self::Fault,
            _ => Self::Latency,
        }
    }
}

/// How likely something is: `num` in `den`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance {
    num: u32,
    den: u32,
}

impl Chance {
    /// It does not happen, and nothing is chosen.
    pub const NEVER: Self = Self { num: 0, den: 1 };
    /// It happens or it does not, as chosen: for enumerated choices.
    pub const EITHER: Self = Self { num: 1, den: 2 };

    /// `num` times in a thousand; more than 1,000 is 1,000.
    pub const fn per_mille(num: u32) -> Self {
        Self { num: if num > 1000 { 1000 } else { num }, den: 1000 }
    }

    /// Whether it may happen at all.
    pub const fn may_happen(self) -> bool {
        self.num > 0
    }

    /// Whether it happens now.
    pub fn happens(self, choices: &mut dyn Choices, label: &'static str) -> bool {
        self.may_happen() && choices.below(u64::from(self.den), label) >= u64::from(self.den - self.num)
    }
}

/// One of these, the first being the simplest.
pub(crate) fn pick<T: Copy>(choices: &mut dyn Choices, from: &[T], label: &'static str) -> Option<T> {
    let index = choices.below(from.len().max(1) as u64, label);
    usize::try_from(index).ok().and_then(|index| from.get(index)).copied()
}

/// Choices made by generators that a seed determines, one for each stream.
#[derive(Clone, Debug)]
pub struct Seeded([u64; 4]);

impl Seeded {
    /// The choices of this seed: the same on every machine.
    pub fn new(seed: u64) -> Self {
        Self(Stream::ALL.map(|stream| mixed(seed ^ mixed(stream as u64 + 1))))
    }
}

impl Choices for Seeded {
    fn below(&mut self, n: u64, label: &'static str) -> u64 {
        let [plan, schedule, fault, latency] = &mut self.0;
        let state = match Stream::of(label) {
            Stream::Plan => plan,
            Stream::Schedule => schedule,
            Stream::Fault => fault,
            Stream::Latency => latency,
        };
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let high = (u128::from(mixed(*state)) * u128::from(n)) >> 64;
        u64::try_from(high).unwrap_or_default()
    }
}

/// The output function of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const fn mixed(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// All combinations of all choices, one after the other, like the wheels of an odometer.
#[derive(Clone, Debug, Default)]
pub struct Enumerated {
    /// The chosen number, and how many there were to choose from.
    wheels: Vec<(u64, u64)>,
    at: usize,
}

impl Enumerated {
    /// Begins with every choice 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with these first choices, which [`Enumerated::advance`] leaves alone.
    pub fn within(first: &[u64]) -> Self {
        Self { wheels: first.iter().map(|&value| (value, value + 1)).collect(), at: 0 }
    }

    /// The same combination once more.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { wheels: self.wheels.clone(), at: 0 }
    }

    /// Goes to the next combination; `false` when there is none left.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((value, n)) = self.wheels.pop() {
            if value + 1 < n {
                self.wheels.push((value + 1, n));
                return true;
            }
        }
        false
    }
}

impl Choices for Enumerated {
    fn below(&mut self, n: u64, _: &'static str) -> u64 {
        let wheel = self.wheels.get(self.at).copied();
        self.at += 1;
        wheel.map_or_else(
            || {
                self.wheels.push((0, n));
                0
            },
            |(value, _)| value.min(n.saturating_sub(1)),
        )
    }
}

/// The most equal numbers in a row that a text may stand for.
const CHOICES_MAX: u64 = 1_000_000;

/// Choices that were recorded, by stream. As text: the streams divided by `/`, their numbers by `,`, `7x3` for three
/// times 7, zeros at the end left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded(pub(super) [Vec<u64>; 4]);

impl Recorded {
    /// How many choices there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether every choice is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same choices once more.
    pub fn replay(&self) -> Replay<'_> {
        Replay { from: self, at: [0; 4] }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.0.each_ref().map(|stream| {
            let used = stream.iter().rposition(|&value| value != 0).map_or(0, |last| last + 1);
            let used: Vec<u64> = stream.iter().take(used).copied().collect();
            let run = |run: &[u64]| match *run {
                [value] => value.to_string(),
                [value, ..] => format!("{value}x{}", run.len()),
                [] => String::new(),
            };
            used.chunk_by(u64::eq).map(run).collect::<Vec<String>>().join(",")
        });
        f.write_str(&texts.join("/"))
    }
}

impl FromStr for Recorded {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
        let run = |text: &str| {
            let (value, count) = text.split_once('x').unwrap_or((text, "1"));
            let count = number(count)?.min(CHOICES_MAX);
            (0..count).map(|_| number(value)).collect::<Result<Vec<u64>, String>>()
        };
        let stream = |text: &str| -> Result<Vec<u64>, String> {
            let runs: Vec<Vec<u64>> =
                text.split(',').filter(|text| !text.is_empty()).map(run).collect::<Result<_, String>>()?;
            Ok(runs.concat())
        };
        let streams: Vec<Vec<u64>> = text.split('/').map(stream).collect::<Result<_, String>>()?;
        streams.try_into().map(Self).map_err(|_| "recorded choices have four parts".to_owned())
    }
}

/// Recorded choices, given out again; 0 where there are no more.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    from: &'a Recorded,
    at: [usize; 4],
}

impl Choices for Replay<'_> {
    fn below(&mut self, n: u64, label: &'static str) -> u64 {
        let stream = Stream::of(label) as usize;
        let (Some(values), Some(at)) = (self.from.0.get(stream), self.at.get_mut(stream)) else { return 0 };
        let value = values.get(*at).copied().unwrap_or(0);
        *at += 1;
        value.min(n.saturating_sub(1))
    }
}

/// Keeps what another has chosen.
pub struct Recorder<'a> {
    inner: &'a mut dyn Choices,
    recorded: Recorded,
}

impl fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("recorded", &self.recorded).finish_non_exhaustive()
    }
}

impl<'a> Recorder<'a> {
    /// Records what `inner` chooses.
    pub fn new(inner: &'a mut dyn Choices) -> Self {
        Self { inner, recorded: Recorded::default() }
    }

    /// What was chosen.
    pub fn into_recorded(self) -> Recorded {
        self.recorded
    }
}

impl Choices for Recorder<'_> {
    fn below(&mut self, n: u64, label: &'static str) -> u64 {
        let value = self.inner.below(n, label);
        if let Some(stream) = self.recorded.0.get_mut(Stream::of(label) as usize) {
            stream.push(value);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odometer_visits_every_combination_once() {
        let mut choices = Enumerated::new();
        let mut seen = Vec::new();
        loop {
            let first = choices.below(2, "plan.a");
            let second = if first == 0 { choices.below(3, "plan.b") } else { 9 };
            seen.push((first, second));
            if !choices.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 9)]);
    }

    #[test]
    fn streams_do_not_shift_each_other() {
        let (mut plain, mut busy) = (Seeded::new(7), Seeded::new(7));
        for _ in 0..10 {
            busy.below(100, "fault.crash");
        }
        assert_eq!(plain.below(1000, "plan.len"), busy.below(1000, "plan.len"));
    }

    #[test]
    fn recorded_choices_come_back_from_their_text() {
        let mut seeded = Seeded::new(3);
        let mut keeper = Recorder::new(&mut seeded);
        let labels = ["plan.a", "fault.b", "latency.c", "fault.d"];
        let values = labels.map(|label| keeper.below(50, label));
        let recorded = keeper.into_recorded();
        let again: Recorded = recorded.to_string().parse().unwrap();
        let mut replay = again.replay();
        assert_eq!(labels.map(|label| replay.below(50, label)), values);
        assert_eq!(replay.below(50, "plan.more"), 0);
        assert!("1,2".parse::<Recorded>().is_err());
    }

    #[test]
    fn what_never_happens_costs_no_choice() {
        let mut choices = Enumerated::new();
        assert!(!Chance::NEVER.happens(&mut choices, "fault.x"));
        assert!(!choices.advance());
        let mut seeded = Seeded::new(1);
        let hits = (0..10_000).filter(|_| Chance::per_mille(200).happens(&mut seeded, "fault.x")).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }
}
