//! Which inputs met which states: pairs of the two enums, those that cannot be with the reason.

use super::cluster::Call;
use crate::ids::ComponentId;
use crate::run::{ComponentStatus, Input, Phase, PhaseEnd, Run, StopMode, UndoStatus};

/// What may meet a component, one for each way in which the engine tells inputs apart. A call is *awaited* when it is the
/// one under way; its end is late when it is told again, or after it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The end of a call or news from it; whether it is awaited.
    Told(Told, bool),
    /// A request to stop.
    Stop(StopMode),
    /// A deadline is looked at.
    Timeout,
    /// Another process takes the run over.
    Resume,
}

/// What a call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was prepared.
    Prepared,
    /// It could not be prepared.
    PrepareFailed,
    /// It was applied.
    Applied,
    /// It could not be applied.
    ApplyFailed,
    /// It is ready.
    Waited,
    /// It will not be ready.
    WaitFailed,
    /// It waits for something.
    Progress,
    /// It is still so.
    Looked,
    /// It is not so any more, or could not be looked at.
    LookFailed,
    /// It is as it was before the run.
    Undone,
    /// It could not be put back.
    UndoFailed,
}

/// Where a component stands: in the run, or in its rollback, once that has begun and concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// In the run.
    Run(ComponentStatus),
    /// In the rollback.
    Rollback(UndoStatus),
}

impl Stand {
    pub(super) fn of(run: &Run, component: ComponentId) -> Self {
        let undo = run.view().undo_status(component);
        if undo == UndoStatus::Untouched {
            Self::Run(run.view().status(component))
        } else {
            Self::Rollback(undo)
        }
    }
}

const STATES: [Stand; 13] = [
    Stand::Run(ComponentStatus::Blocked),
    Stand::Run(ComponentStatus::Runnable),
    Stand::Run(ComponentStatus::Applying),
    Stand::Run(ComponentStatus::Waiting),
    Stand::Run(ComponentStatus::Ready),
    Stand::Run(ComponentStatus::Failed),
    Stand::Run(ComponentStatus::Cancelled),
    Stand::Run(ComponentStatus::Skipped),
    Stand::Rollback(UndoStatus::Pending),
    Stand::Rollback(UndoStatus::Undoing),
    Stand::Rollback(UndoStatus::Undone),
    Stand::Rollback(UndoStatus::Failed),
    Stand::Rollback(UndoStatus::Kept),
];

const TOLD: [Told; 11] = [
    Told::Prepared,
    Told::PrepareFailed,
    Told::Applied,
    Told::ApplyFailed,
    Told::Waited,
    Told::WaitFailed,
    Told::Progress,
    Told::Looked,
    Told::LookFailed,
    Told::Undone,
    Told::UndoFailed,
];

const STOPS: [StopMode; 4] = [StopMode::Drain, StopMode::Now, StopMode::Supersede, StopMode::Rollback];

/// Two for each of `TOLD`, one for each of `STOPS`, the deadline and the take-over.
const INPUTS: usize = TOLD.len() * 2 + STOPS.len() + 2;

/// A new status does not compile here until it has a place, and does not pass the tests until it is in the table.
const fn state_index(stand: Stand) -> usize {
    match stand {
        Stand::Run(ComponentStatus::Blocked) => 0,
        Stand::Run(ComponentStatus::Runnable) => 1,
        Stand::Run(ComponentStatus::Applying) => 2,
        Stand::Run(ComponentStatus::Waiting) => 3,
        Stand::Run(ComponentStatus::Ready) => 4,
        Stand::Run(ComponentStatus::Failed) => 5,
        Stand::Run(ComponentStatus::Cancelled) => 6,
        Stand::Run(ComponentStatus::Skipped) | Stand::Rollback(UndoStatus::Untouched) => 7,
        Stand::Rollback(UndoStatus::Pending) => 8,
        Stand::Rollback(UndoStatus::Undoing) => 9,
        Stand::Rollback(UndoStatus::Undone) => 10,
        Stand::Rollback(UndoStatus::Failed) => 11,
        Stand::Rollback(UndoStatus::Kept) => 12,
    }
}

impl Met {
    /// What this input is to the component whose call under way is `call`.
    pub(super) fn of(input: &Input, call: Option<Call>) -> Self {
        match input {
            Input::Ended { attempt, end, .. } => {
                let awaited = call.is_some_and(|call| call.attempt == *attempt && call.phase == end.phase());
                let told = match end {
                    PhaseEnd::Prepare(Ok(_)) => Told::Prepared,
                    PhaseEnd::Prepare(Err(_)) => Told::PrepareFailed,
                    PhaseEnd::Apply(Ok(_)) => Told::Applied,
                    PhaseEnd::Apply(Err(_)) => Told::ApplyFailed,
                    PhaseEnd::Wait(Ok(_)) => Told::Waited,
                    PhaseEnd::Wait(Err(_)) => Told::WaitFailed,
                    PhaseEnd::Verify(Ok(())) => Told::Looked,
                    PhaseEnd::Verify(Err(_)) => Told::LookFailed,
                    PhaseEnd::Undo(Ok(_)) => Told::Undone,
                    PhaseEnd::Undo(Err(_)) => Told::UndoFailed,
                };
                Self::Told(told, awaited)
            }
            Input::Progress { attempt, .. } => {
                let tells = |call: Call| matches!(call.phase, Phase::Wait | Phase::Undo);
                let of_it = |call: Call| call.attempt == *attempt && tells(call);
                Self::Told(Told::Progress, call.is_some_and(of_it))
            }
            Input::Stop { mode } => Self::Stop(*mode),
        }
    }

    /// The same, told too late.
    pub(super) const fn late(self) -> Self {
        match self {
            Self::Told(told, _) => Self::Told(told, false),
            other @ (Self::Stop(_) | Self::Timeout | Self::Resume) => other,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Told(told, awaited) => told as usize * 2 + awaited as usize,
            Self::Stop(mode) => TOLD.len() * 2 + mode as usize,
            Self::Timeout => INPUTS - 2,
            Self::Resume => INPUTS - 1,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let told = TOLD.into_iter().flat_map(|told| [Self::Told(told, false), Self::Told(told, true)]);
        told.chain(STOPS.map(Self::Stop)).chain([Self::Timeout, Self::Resume])
    }
}

/// Why this input cannot meet this state, if it cannot.
pub fn impossible(stand: Stand, met: Met) -> Option<&'static str> {
    let Met::Told(told, awaited) = met else { return None };
    match stand {
        Stand::Run(status) => impossible_in_run(status, told, awaited),
        Stand::Rollback(status) => impossible_in_rollback(status, told, awaited),
    }
}

fn impossible_in_run(status: ComponentStatus, told: Told, awaited: bool) -> Option<&'static str> {
    use ComponentStatus as S;
    let from = match told {
        Told::Prepared | Told::PrepareFailed => [S::Blocked, S::Runnable],
        Told::Applied | Told::ApplyFailed => [S::Applying, S::Applying],
        Told::Waited | Told::WaitFailed | Told::Progress => [S::Waiting, S::Waiting],
        Told::Looked | Told::LookFailed => [S::Ready, S::Ready],
        Told::Undone | Told::UndoFailed => return Some("it is not undone"),
    };
    if awaited {
        return (!from.contains(&status)).then_some("no such call is under way in this state");
    }
    if matches!(told, Told::Looked | Told::LookFailed) && !matches!(status, S::Ready | S::Failed) {
        return Some("it is looked at when it is ready, and then nothing but its failure follows");
    }
    let never_started = status == S::Blocked && !from.contains(&S::Blocked);
    never_started.then_some("what is blocked was never started, and nobody can be late")
}

fn impossible_in_rollback(status: UndoStatus, told: Told, awaited: bool) -> Option<&'static str> {
    use UndoStatus as S;
    let fits = match told {
        Told::Undone | Told::UndoFailed | Told::Progress => status == S::Undoing,
        Told::Looked | Told::LookFailed => status == S::Undone,
        Told::Prepared
        | Told::PrepareFailed
        | Told::Applied
        | Told::ApplyFailed
        | Told::Waited
        | Told::WaitFailed => false,
    };
    if awaited {
        return (!fits).then_some("no such call is under way in this state");
    }
    let is_before = told == Told::Undone && matches!(status, S::Pending | S::Undoing | S::Kept);
    is_before.then_some("what is undone is not undone again, nor what was given up when its time was over")
}

/// Which pairs were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage([u32; STATES.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; STATES.len()])
    }
}

impl Coverage {
    /// This input met a component in this state.
    pub(super) fn see(&mut self, stand: Stand, met: Met) {
        if let Some(row) = self.0.get_mut(state_index(stand)) {
            *row |= 1 << met.index();
        }
    }

    /// Adds those of another schedule.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(row, more)| *row |= more);
    }

    /// Whether this pair was seen.
    pub fn saw(&self, stand: Stand, met: Met) -> bool {
        self.0.get(state_index(stand)).is_some_and(|row| row >> met.index() & 1 == 1)
    }

    /// All pairs that can be, and those among them that were not seen.
    pub fn missing(&self) -> (usize, Vec<(Stand, Met)>) {
        let pairs = STATES.into_iter().flat_map(|state| Met::all().map(move |met| (state, met)));
        let possible: Vec<_> = pairs.filter(|(state, met)| impossible(*state, *met).is_none()).collect();
        let total = possible.len();
        (total, possible.into_iter().filter(|(state, met)| !self.saw(*state, *met)).collect())
    }

    /// Pairs that were seen and are listed as impossible: then the list is wrong, or the engine is.
    pub fn unexpected(&self) -> Vec<(Stand, Met)> {
        let pairs = STATES.into_iter().flat_map(|state| Met::all().map(move |met| (state, met)));
        pairs.filter(|(state, met)| impossible(*state, *met).is_some() && self.saw(*state, *met)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pair_of_the_two_enums_has_its_own_place() {
        let inputs: BTreeSet<usize> = Met::all().map(Met::index).collect();
        assert_eq!(inputs, (0..INPUTS).collect());
        assert!(STATES.iter().enumerate().all(|(index, state)| state_index(*state) == index));
        assert_eq!(Coverage::default().missing().1.len(), Coverage::default().missing().0);
    }
}
