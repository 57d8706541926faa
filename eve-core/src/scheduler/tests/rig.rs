//! A scheduler with a ledger and a clock, driven by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::ids::RunId;
use crate::run::{Outcome, StopMode};
use crate::scheduler::{
    Answer, Arrival, Asks, Command, Digest, Input, LedgerEvent, LedgerRecord, Report, Scheduler,
    SchedulerOptions, Stand, Ticket,
};
use crate::time::Timestamp;

pub(super) const BEGUN: Timestamp = Timestamp::from_micros(1_763_596_800_000_000);

pub(super) struct Rig {
    pub(super) scheduler: Scheduler,
    pub(super) now: Timestamp,
    pub(super) ledger: Vec<LedgerRecord>,
    /// Commands that were not looked at yet.
    pub(super) commands: Vec<Command>,
    handles: u32,
}

pub(super) fn told() -> SchedulerOptions {
    SchedulerOptions { receivers: vec!["hook".into()], ..SchedulerOptions::default() }
}

impl Rig {
    pub(super) fn new(options: SchedulerOptions) -> Self {
        Self::of(Scheduler::new(options, BEGUN), BEGUN, Vec::new())
    }

    fn of(scheduler: Scheduler, now: Timestamp, ledger: Vec<LedgerRecord>) -> Self {
        let mut rig = Self { scheduler, now, ledger, commands: Vec::new(), handles: 0 };
        rig.turn();
        rig
    }

    /// Another process takes over what was stored, or the first so many records of it.
    pub(super) fn taken_over(&self, records: usize) -> Self {
        let ledger = self.ledger[..records].to_vec();
        let options = self.scheduler.options().clone();
        let scheduler = Scheduler::resume(options, &ledger, self.now).unwrap();
        Self::of(scheduler, self.now, ledger)
    }

    pub(super) fn turn(&mut self) {
        self.ledger.extend(std::iter::from_fn(|| self.scheduler.poll_event()));
        self.commands.extend(std::iter::from_fn(|| self.scheduler.poll_command()));
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.scheduler.handle(input, self.now);
        self.turn();
    }

    /// Lets time pass, with all deadlines in it.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now.plus(time);
        while let Some(at) = self.scheduler.poll_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.scheduler.handle_timeout(self.now);
            self.turn();
        }
        self.now = until;
    }

    pub(super) fn deliver(&mut self, request: &str, content: &str, asks: Asks) -> String {
        self.handles += 1;
        let handle = format!("{request}#{}", self.handles);
        // As of what cannot be read.
        let body = if let Asks::Nothing { .. } = asks { "" } else { content };
        self.handle(Input::Received(Arrival {
            source: 0,
            handle: handle.as_str().into(),
            request: request.into(),
            digest: Digest::of(content.as_bytes()),
            body: body.as_bytes().into(),
            asks,
        }));
        handle
    }

    /// Delivers a plan `app` for this namespace.
    pub(super) fn plan(&mut self, request: &str, namespace: &str) -> String {
        self.deliver(request, request, run_in(namespace, "app"))
    }

    pub(super) fn cancel(&mut self, request: &str, target: &str) -> String {
        self.deliver(request, request, Asks::Stop { request: target.into(), mode: StopMode::Now })
    }

    pub(super) fn refuse(&mut self, request: &str) -> String {
        let failure = Failure::permanent("plan.unreadable", "line 1: it is no plan");
        self.deliver(request, request, Asks::Nothing { failure })
    }

    /// The requests whose run was opened since the last look, in order.
    pub(super) fn opened(&mut self) -> Vec<String> {
        let mut opened = Vec::new();
        self.commands.retain(|command| {
            let Command::Open { body, .. } = command else { return true };
            opened.push(String::from_utf8(body.to_vec()).unwrap());
            false
        });
        opened
    }

    /// What else was to be done since the last look, as text.
    pub(super) fn done(&mut self) -> Vec<String> {
        let commands = std::mem::take(&mut self.commands);
        let text = |command: Command| match command {
            Command::Open { body, .. } => format!("open {}", String::from_utf8_lossy(&body)),
            Command::Stop { run, mode } => format!("stop {} {mode:?}", self.request_of(&run)),
            Command::Notify { ticket, receiver, .. } => format!("notify {receiver} {}", self.id(ticket)),
            Command::Extend { handle, .. } => format!("extend {handle}"),
            Command::Acknowledge { handle, .. } => format!("ack {handle}"),
            Command::Reject { handle, reason, .. } => format!("reject {handle}: {reason}"),
        };
        commands.into_iter().map(text).collect()
    }

    fn id(&self, ticket: Ticket) -> String {
        self.scheduler.view().by_ticket(ticket).map_or_else(String::new, |view| view.key().id.to_string())
    }

    fn request_of(&self, run: &RunId) -> String {
        let is_live = |stand: Stand| stand == Stand::Live(run.clone());
        let found = self.scheduler.view().requests().find(|view| is_live(view.stand()));
        found.map_or_else(|| run.to_string(), |view| view.key().id.to_string())
    }

    pub(super) fn run_of(&self, request: &str) -> RunId {
        let stand = self.scheduler.view().request(request).unwrap().stand();
        let Stand::Live(run) = stand else { panic!("{request} is {stand:?}") };
        run
    }

    pub(super) fn end(&mut self, request: &str, outcome: Outcome) {
        let run = self.run_of(request);
        self.handle(Input::RunEnded { run, outcome, reason: None, report: Report::default() });
    }

    pub(super) fn stand(&self, request: &str) -> Option<Stand> {
        self.scheduler.view().request(request).map(|view| view.stand())
    }

    pub(super) fn answer(&self, request: &str) -> Option<Outcome> {
        let Stand::Closed(Answer::Ended(outcome)) = self.stand(request)? else { return None };
        Some(outcome)
    }

    pub(super) fn ticket(&self, request: &str) -> Ticket {
        let of_id = |id: &Arc<str>| &**id == request;
        self.scheduler.view().requests().find(|view| of_id(&view.key().id)).unwrap().ticket()
    }

    pub(super) fn notified(&mut self, request: &str, receiver: &str, result: Result<(), Failure>) {
        let ticket = self.ticket(request);
        self.handle(Input::Notified { ticket, receiver: receiver.into(), result });
    }

    pub(super) fn settled(&mut self, request: &str, handle: &str, result: Result<(), Failure>) {
        let ticket = self.ticket(request);
        self.handle(Input::Settled { ticket, handle: handle.into(), result });
    }

    /// How many records of each kind there are.
    pub(super) fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for record in &self.ledger {
            *kinds.entry(kind(&record.event)).or_default() += 1;
        }
        kinds
    }
}

pub(super) fn run_in(namespace: &str, plan: &str) -> Asks {
    Asks::Run { namespace: namespace.into(), plan: plan.into(), sequence: None }
}

/// The same with this number.
pub(super) fn numbered(namespace: &str, plan: &str, sequence: u64) -> Asks {
    Asks::Run { namespace: namespace.into(), plan: plan.into(), sequence: Some(sequence) }
}

pub(super) fn down() -> Failure {
    Failure::transient("hook.down", "the receiver does not answer")
}

pub(super) fn kind(event: &LedgerEvent) -> &'static str {
    match event {
        LedgerEvent::TakenOver => "taken over",
        LedgerEvent::Accepted { .. } => "accepted",
        LedgerEvent::Refused { .. } => "refused",
        LedgerEvent::StopAsked { .. } => "stop asked",
        LedgerEvent::RunOpened { .. } => "opened",
        LedgerEvent::Superseded { .. } => "superseded",
        LedgerEvent::RunClosed { .. } => "closed",
        LedgerEvent::NoticeSent { .. } => "sent",
        LedgerEvent::NoticeFailed { .. } => "not sent",
        LedgerEvent::NoticeRenewed { .. } => "renewed",
        LedgerEvent::Acknowledged { .. } => "acknowledged",
        LedgerEvent::Forgotten { .. } => "forgotten",
        LedgerEvent::LogsDropped { .. } => "dropped",
        LedgerEvent::Compacted { .. } => "compacted",
    }
}
