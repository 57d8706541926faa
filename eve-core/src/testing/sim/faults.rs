//! What can go wrong in a schedule, how often, and until when.

use std::time::Duration;

use super::choices::{Chance, Choices, pick};

macro_rules! faults {
    ($($(#[doc = $text:literal])+ $fault:ident $name:literal,)+) => {
        /// Something that can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[doc = $text])+ $fault,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault),+];
            const COUNT: usize = Self::ALL.len();

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)+
                }
            }

            pub(super) const fn label(self) -> &'static str {
                match self {
                    $(Self::$fault => concat!("fault.", $name),)+
                }
            }
        }
    };
}

faults! {
    /// The process dies; what it wrote and did not sync is still in the memory of the machine. Before every step.
    Kill "kill",
    /// The machine dies; of what was not synced, a first part remains. Before every step.
    PowerLoss "power-loss",
    /// A power loss leaves a wrong bit in what was not synced.
    TornBit "torn-bit",
    /// A bit of what was durable is wrong after a crash.
    Rot "rot",
    /// A write that was sent by a process that died did not arrive.
    LostRequest "lost-request",
    /// The store refuses to take records.
    AppendError "append-error",
    /// The store cannot make records durable.
    SyncError "sync-error",
    /// A call fails, and nothing came of it.
    Refused "refused",
    /// A write arrives, and its reply does not.
    LostReply "lost-reply",
    /// A call never ends.
    Hang "hang",
    /// The end of a call is told again later.
    Doubled "doubled",
    /// A call takes up to a thousand times longer than written.
    Slow "slow",
    /// A deadline is noticed late.
    LateAlarm "late-alarm",
    /// A deadline is looked at before there is one.
    EarlyAlarm "early-alarm",
    /// Everything stands still for a while, and the clock does not.
    Suspend "suspend",
    /// Somebody asks the run to stop.
    Stop "stop",
    /// Another process tries to take the run over.
    Rival "rival",
    /// Somebody else changes, removes or makes an object.
    Meddle "meddle",
    /// An object that was ready stops being so, for a while or for good.
    Falter "falter",
}

/// How often each [`Fault`] happens, and how often at most.
///
/// ```
/// use eve_core::testing::sim::{Chance, Fault, Faults};
/// let faults = Faults::none().with(Fault::Kill, Chance::per_mille(20), 3);
/// # let _ = faults;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    chances: [Chance; Fault::COUNT],
    most: [u32; Fault::COUNT],
    /// From when on nothing goes wrong any more, counted from the beginning.
    pub(super) calm_after: Duration,
    /// Whether what happens at the same time happens in any order, and facts are taken alone or together.
    pub(super) shuffled: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl Faults {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            chances: [Chance::NEVER; Fault::COUNT],
            most: [u32::MAX; Fault::COUNT],
            calm_after: Duration::from_mins(30),
            shuffled: true,
        }
    }

    /// The same with this fault, `most` times at most.
    #[must_use]
    pub fn with(mut self, fault: Fault, chance: Chance, most: u32) -> Self {
        if let (Some(slot), Some(bound)) =
            (self.chances.get_mut(fault as usize), self.most.get_mut(fault as usize))
        {
            (*slot, *bound) = (chance, most);
        }
        self
    }

    /// The same, and from then on nothing goes wrong any more: the run must come to its end.
    #[must_use]
    pub const fn calm_after(mut self, duration: Duration) -> Self {
        self.calm_after = duration;
        self
    }

    /// Facts are taken in the order of their times, one by one: for enumerated choices.
    #[must_use]
    pub(super) const fn in_order(mut self) -> Self {
        self.shuffled = false;
        self
    }

    pub(super) fn chance(&self, fault: Fault, so_far: u64) -> Chance {
        let index = fault as usize;
        let most = self.most.get(index).copied().unwrap_or(0);
        if so_far >= u64::from(most) {
            return Chance::NEVER;
        }
        self.chances.get(index).copied().unwrap_or(Chance::NEVER)
    }

    /// Which faults there are in this schedule, and how often: drawn for each schedule anew, so that some schedules know
    /// only one fault and others all of them (swarm testing).
    pub(super) fn drawn(choices: &mut dyn Choices) -> Self {
        let calm_s = pick(choices, &[0_u64, 2, 20, 200, 2_000], "plan.calm").unwrap_or(0);
        let mut faults = Self::none().calm_after(Duration::from_secs(calm_s));
        if calm_s == 0 {
            return faults;
        }
        for &fault in Fault::ALL {
            let rates: &[u32] = match fault {
                Fault::TornBit | Fault::LostRequest => &[0, 200, 500],
                Fault::Rot => &[0, 0, 0, 0, 0, 0, 0, 100],
                Fault::Stop => &[0, 0, 5, 20, 100],
                Fault::Kill | Fault::PowerLoss => &[0, 0, 5, 50, 200],
                Fault::AppendError
                | Fault::SyncError
                | Fault::Rival
                | Fault::Suspend
                | Fault::Meddle
                | Fault::Falter => &[0, 0, 0, 5, 50],
                Fault::Refused
                | Fault::LostReply
                | Fault::Hang
                | Fault::Slow
                | Fault::LateAlarm
                | Fault::EarlyAlarm => &[0, 0, 0, 5, 50, 200],
                Fault::Doubled => &[0, 50, 500],
            };
            let rate = pick(choices, rates, "plan.rate").unwrap_or(0);
            let most = match fault {
                Fault::Kill | Fault::PowerLoss => 4,
                Fault::AppendError
                | Fault::SyncError
                | Fault::Suspend
                | Fault::Rival
                | Fault::Stop
                | Fault::Meddle
                | Fault::Falter => 3,
                Fault::TornBit
                | Fault::Rot
                | Fault::LostRequest
                | Fault::Refused
                | Fault::LostReply
                | Fault::Hang
                | Fault::Doubled
                | Fault::Slow
                | Fault::LateAlarm
                | Fault::EarlyAlarm => u32::MAX,
            };
            faults = faults.with(fault, Chance::per_mille(rate), most);
        }
        faults
    }
}

/// How often each fault happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Fault::COUNT]);

impl Tally {
    /// How often this fault happened.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(fault as usize).copied().unwrap_or(0)
    }

    pub(super) fn count(&mut self, fault: Fault) {
        if let Some(slot) = self.0.get_mut(fault as usize) {
            *slot += 1;
        }
    }

    /// Adds those of another schedule.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}
