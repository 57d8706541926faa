//! What is sent, and what can go wrong on the way: drawn once for each schedule.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::run::{Outcome, StopMode};
use crate::scheduler::{
    AcknowledgeAfter, Asks, Digest, Newer, NoticeOptions, RequestKey, Running, SchedulerOptions,
};
use crate::testing::sim::{Chance, Choices, pick};

/// Something that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The process dies, before and after every append and every command.
    Kill,
    /// The process stands still while another takes over, and comes back.
    Pause,
    /// The store refuses to take records.
    AppendError,
    /// A call of a source or a receiver fails, and nothing came of it.
    Refused,
    /// A call takes effect, and its answer is lost.
    LostReply,
    /// An answer comes twice.
    Doubled,
    /// What was deleted is delivered once more.
    Ghost,
    /// A deadline is noticed late.
    LateAlarm,
}

impl Fault {
    pub(super) const ALL: [(Self, &'static str); 8] = [
        (Self::Kill, "fault.kill"),
        (Self::Pause, "fault.pause"),
        (Self::AppendError, "fault.append-error"),
        (Self::Refused, "fault.refused"),
        (Self::LostReply, "fault.lost-reply"),
        (Self::Doubled, "fault.doubled"),
        (Self::Ghost, "fault.ghost"),
        (Self::LateAlarm, "fault.late-alarm"),
    ];
}

/// A message, as its sender made it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) after: Duration,
    pub(super) key: RequestKey,
    pub(super) asks: Asks,
}

/// How the run of a plan goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    pub(super) takes: Duration,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) options: SchedulerOptions,
    pub(super) sent: Vec<Sent>,
    /// By the number of the message that sent it first.
    pub(super) scripts: Vec<Script>,
    pub(super) chances: [Chance; Fault::ALL.len()],
    /// A receiver that takes nothing before everything is calm.
    pub(super) dead: Option<Arc<str>>,
}

impl Scenario {
    pub(super) fn drawn(choices: &mut dyn Choices) -> Self {
        let rates = [0, 5, 50, 200].map(Chance::per_mille);
        let chances = Fault::ALL.map(|_| pick(choices, &rates, "plan.rate").unwrap_or(Chance::NEVER));
        let options = options(choices);
        let dead = pick(choices, &[false, true], "plan.dead").unwrap_or(false);
        let dead = options.receivers.last().filter(|_| dead).cloned();
        let mut scenario = Self { options, sent: Vec::new(), scripts: Vec::new(), chances, dead };
        let count = 3 + choices.below(14, "plan.requests");
        let namespaces = 1 + choices.below(4, "plan.namespaces");
        let counted = pick(choices, &[false, true], "plan.counted").unwrap_or(false);
        for number in 0..count {
            scenario.draw(number, (namespaces, counted), choices);
        }
        scenario
    }

    fn draw(&mut self, number: u64, (namespaces, counted): (u64, bool), choices: &mut dyn Choices) {
        let after = Duration::from_secs(choices.below(240, "plan.after") * choices.below(2, "plan.at-once"));
        let outcomes = [Outcome::Succeeded, Outcome::Failed];
        let outcome = pick(choices, &outcomes, "plan.outcome").unwrap_or(Outcome::Succeeded);
        let takes = Duration::from_secs(1 + choices.below(120, "plan.takes"));
        self.scripts.push(Script { takes, outcome });
        // Most are of the first namespace: a crowd.
        let namespace = choices.below(namespaces, "plan.namespace") * choices.below(2, "plan.crowd");
        let plan = if choices.below(4, "plan.name") == 0 { "job" } else { "app" };
        // They are sent at other times than they were counted, and some numbers twice.
        let sequence = match choices.below(8, "plan.number") {
            0 => None,
            1 => Some(number / 2),
            _ => Some(number),
        };
        let sequence = sequence.filter(|_| counted);
        let run = Asks::Run { namespace: format!("n{namespace}").into(), plan: plan.into(), sequence };
        let (id, content, asks) = match choices.below(12, "plan.kind") {
            0..=7 => (format!("r{number}"), 0, run),
            8 => {
                let target = format!("r{}", choices.below(number + 2, "plan.target"));
                let modes = [StopMode::Now, StopMode::Drain];
                let mode = pick(choices, &modes, "plan.mode").unwrap_or(StopMode::Now);
                (format!("s{number}"), 0, Asks::Stop { request: target.into(), mode })
            }
            9 => {
                let failure = Failure::permanent("plan.unreadable", "it is no plan");
                (format!("p{number}"), 0, Asks::Nothing { failure })
            }
            // Sent again, with the same or with other content.
            other => match self.one_sent(choices) {
                Some(earlier) if other == 10 => (earlier.key.id.to_string(), 0, earlier.asks),
                Some(earlier) => (earlier.key.id.to_string(), number, run),
                None => (format!("r{number}"), 0, run),
            },
        };
        let digest = Digest::of(format!("{id} {content}").as_bytes());
        self.sent.push(Sent { after, key: RequestKey { id: id.into(), digest }, asks });
    }

    fn one_sent(&self, choices: &mut dyn Choices) -> Option<Sent> {
        let plans: Vec<&Sent> =
            self.sent.iter().filter(|sent| matches!(sent.asks, Asks::Run { .. })).collect();
        let index = choices.below(plans.len().max(1) as u64, "plan.again");
        usize::try_from(index).ok().and_then(|index| plans.get(index)).map(|sent| (*sent).clone())
    }

    /// How the run of this request goes.
    pub(super) fn script(&self, key: &RequestKey) -> Option<Script> {
        let first = self.sent.iter().position(|sent| sent.key == *key)?;
        self.scripts.get(first).copied()
    }
}

fn options(choices: &mut dyn Choices) -> SchedulerOptions {
    let newer = [
        Newer::Queue,
        Newer::Supersede(Running::Finish),
        Newer::Supersede(Running::Drain),
        Newer::Supersede(Running::Cancel),
    ];
    let receivers: [&[&str]; 3] = [&[], &["hook"], &["hook", "queue"]];
    let receivers = pick(choices, &receivers, "plan.receivers").unwrap_or(&[]);
    let after = [AcknowledgeAfter::Stored, AcknowledgeAfter::Told];
    SchedulerOptions {
        parallel: 1 + u32::try_from(choices.below(3, "plan.parallel")).unwrap_or(0),
        newer: pick(choices, &newer, "plan.newer").unwrap_or_default(),
        receivers: receivers.iter().map(|name| (*name).into()).collect(),
        notices: NoticeOptions { pause_max: Duration::from_mins(1), ..NoticeOptions::default() },
        acknowledge: pick(choices, &after, "plan.acknowledge").unwrap_or_default(),
        visibility: vec![Duration::from_mins(1)],
        return_timeout: Duration::from_hours(1),
        records_free: 20,
        ..SchedulerOptions::default()
    }
}
