//! Which kills there are: those of every change, the full sweep, and single ones to look at again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::plans::Plan;

/// How many calls eve may have under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As many as by default.
    Parallel,
    /// One: then there is at most one component in flight.
    Serial,
}

/// One end of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// At a fail point of the program, which must be reached.
    Point(String),
    /// From outside, so long after its start. It may be too late.
    Outside(Duration),
}

/// A run and its kills: the first while it is applied, the others while it is resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) plan: Plan,
    pub(super) pace: Pace,
    pub(super) kills: Vec<Kill>,
}

impl Case {
    /// Reads what [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let plan = Plan::named(words.next()?)?;
        let pace = match words.next()? {
            "parallel" => Pace::Parallel,
            "serial" => Pace::Serial,
            _ => return None,
        };
        let kill = |word: &str| match word.strip_prefix("outside:") {
            Some(time) => Some(Kill::Outside(Duration::from_millis(time.strip_suffix("ms")?.parse().ok()?))),
            None => Some(Kill::Point(word.to_owned())),
        };
        let kills = words.map(kill).collect::<Option<Vec<_>>>()?;
        (!kills.is_empty()).then_some(Self { plan, pace, kills })
    }

    pub(super) fn parse_all(text: &str) -> Vec<Self> {
        let lines = text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty());
        lines.map(|line| Self::parse(line).unwrap_or_else(|| panic!("no case: {line}"))).collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = if self.pace == Pace::Serial { "serial" } else { "parallel" };
        write!(f, "{} {pace}", self.plan)?;
        self.kills.iter().try_for_each(|kill| write!(f, " {kill}"))
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point(point) => f.write_str(point),
            Self::Outside(after) => write!(f, "outside:{}ms", after.as_millis()),
        }
    }
}

/// Every event on both sides of its record, every phase on both sides of its answer; early, late, alone and beside others;
/// twice and three times in a row.
const EVERY_CHANGE: &str = "
    grow parallel before-append:runStarted:1
    grow parallel committed:runStarted:1
    grow parallel before-append:prepared:1
    grow serial   committed:prepared:4
    grow parallel before-append:started:1
    grow serial   before-append:started:5
    grow parallel committed:started:1
    grow serial   committed:started:6
    grow parallel before-append:applied:2
    grow serial   before-append:applied:7
    grow parallel committed:applied:4
    grow serial   committed:applied:8
    grow parallel before-append:waiting:1
    grow serial   committed:waiting:2
    grow parallel before-append:ready:3
    grow serial   before-append:ready:8
    grow parallel committed:ready:5
    grow serial   committed:ready:10
    grow parallel before-append:finished:1
    grow parallel committed:finished:1
    grow parallel sent:prepare:1
    grow parallel replied:prepare:2
    grow serial   sent:apply:1
    grow serial   sent:apply:5
    grow parallel sent:apply:8
    grow parallel replied:apply:1
    grow serial   replied:apply:6
    grow parallel sent:wait:5
    grow serial   replied:wait:4
    drain parallel before-append:attemptFailed:1
    drain serial   committed:attemptFailed:1
    drain parallel before-append:stopping:1
    drain parallel committed:stopping:1
    drain parallel before-append:skipped:1
    drain serial   committed:skipped:1
    drain parallel before-append:finished:1
    continue parallel before-append:attemptFailed:2
    continue serial   committed:attemptFailed:1
    continue parallel committed:attemptFailed:3
    continue parallel before-append:skipped:2
    continue parallel committed:skipped:1
    continue serial   replied:apply:5
    grow serial     committed:started:3   before-append:resumed:1
    grow parallel   replied:apply:4       committed:resumed:1
    drain serial    replied:apply:2       before-append:interrupted:1
    continue serial committed:started:5   committed:interrupted:1   replied:apply:1
    drain parallel  committed:stopping:1  before-append:finished:1";

/// Kills at times that nobody chose, by their number: some from within the run, some from outside, some in a row.
const AT_RANDOM: usize = 6;

/// What a run went through undisturbed: records by event, and how long it took.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) events: BTreeMap<String, usize>,
    pub(super) wall: Duration,
}

/// The kills of every change.
pub(super) fn of_every_change(courses: &BTreeMap<Plan, Course>, seed: u64) -> Vec<Case> {
    let mut cases = Case::parse_all(EVERY_CHANGE);
    cases.extend(at_random(courses, seed, AT_RANDOM));
    cases
}

/// Kills at random times, up to the end of an undisturbed run.
fn at_random(courses: &BTreeMap<Plan, Course>, seed: u64, number: usize) -> Vec<Case> {
    let mut random = fastrand::Rng::with_seed(seed);
    let case = |index: usize| {
        let plan = Plan::ALL[random.usize(..Plan::ALL.len())];
        let wall = u64::try_from(courses[&plan].wall.as_millis()).unwrap();
        let mut after = || random.u64(1..wall);
        let kills = match index % 3 {
            0 => vec![Kill::Point(format!("at:{}ms", after() / 2))],
            1 => vec![Kill::Outside(Duration::from_millis(after()))],
            _ => vec![after(), after() / 2]
                .into_iter()
                .map(|ms| Kill::Outside(Duration::from_millis(ms)))
                .collect(),
        };
        let pace = if random.bool() { Pace::Serial } else { Pace::Parallel };
        Case { plan, pace, kills }
    };
    (0..number).map(case).collect()
}

/// Every occurrence of every point in every plan, and many random times.
pub(super) fn sweep(courses: &BTreeMap<Plan, Course>, seed: u64) -> Vec<Case> {
    let mut cases = of_every_change(courses, seed);
    for (plan, course) in courses {
        let count = |event: &str| course.events.get(event).copied().unwrap_or_default();
        let mut points = Vec::new();
        for (event, number) in &course.events {
            // How often a cause changes is a matter of timing.
            let certain = if event == "waiting" { 1 } else { *number };
            for place in ["before-append", "committed"] {
                points.extend((1..=certain).map(|number| format!("{place}:{event}:{number}")));
            }
        }
        // Most of what is prepared and waited for is known already: then there is no request that could be under way.
        for point in ["replied:prepare", "sent:apply", "replied:apply", "replied:wait"] {
            let calls = if point.ends_with("prepare") { count("prepared") } else { count("applied") };
            points.extend((1..=calls).map(|number| format!("{point}:{number}")));
        }
        for (index, point) in points.into_iter().enumerate() {
            let pace = if index % 2 == 0 { Pace::Parallel } else { Pace::Serial };
            cases.push(Case { plan: *plan, pace, kills: vec![Kill::Point(point)] });
        }
    }
    cases.extend(at_random(courses, seed.wrapping_add(1), 60));
    cases
}
