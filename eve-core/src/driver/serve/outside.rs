//! Everybody who is called besides executors: sources, receivers, and who makes runs of plans.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::opening::Opening;
use super::receiving::{Received, read_all, receive};
use super::{Opened, Order, ServePorts};
use crate::failure::Failure;
use crate::ids::RunId;
use crate::ports::{ComponentEnd, ComponentNotice, Content, Delivery, Ending, Notice, Told};
use crate::run::Record;
use crate::scheduler::{Answer, Arrival, Asks, Command, Input, Outgoing, Reason, Report, Scheduler, Ticket};

/// How long a source may take for anything but receiving.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long sources may take to hear that something may be handed out again.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(3);
/// What came of a call.
pub(super) enum Came {
    /// Something for the scheduler.
    Input(Input),
    /// A run may begin, or not.
    Opened { run: RunId, result: Result<(Opened, Vec<Record>), Failure> },
}

/// What happened outside, or at the machine.
pub(super) enum Fact {
    Nothing,
    Order(Order),
    Delivered(u32, Delivery, Asks),
    Came(Came),
}

/// Calls that are under way.
pub(super) struct Outside {
    calls: JoinSet<Came>,
    sources: JoinSet<()>,
    arrivals: mpsc::Receiver<Received>,
    room: watch::Sender<bool>,
    opening: Opening,
}

impl Outside {
    pub(super) fn new(ports: &ServePorts) -> Self {
        let (sender, arrivals) = mpsc::channel(ports.sources.len().max(1));
        let (room, has_room) = watch::channel(false);
        let mut sources = JoinSet::new();
        for (index, source) in (0..).zip(&ports.sources) {
            let (delivered, received) = mpsc::channel(1);
            sources.spawn(receive(Arc::clone(source), delivered, has_room.clone()));
            sources.spawn(read_all(index, Arc::clone(&ports.intake), received, sender.clone()));
        }
        Self { calls: JoinSet::new(), sources, arrivals, room, opening: Opening::default() }
    }

    /// Whether sources may deliver more.
    pub(super) fn set_room(&self, has_room: bool) {
        self.room.send_if_modified(|room| std::mem::replace(room, has_room) != has_room);
    }

    /// Nothing is received any more.
    pub(super) fn close(&mut self) {
        self.sources.abort_all();
        self.arrivals.close();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// The next delivery, or what came of a call; waits for ever where neither can come. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Fact {
        let Self { calls, arrivals, opening, .. } = self;
        tokio::select! {
            biased;
            Some((source, delivery, asks)) = arrivals.recv() => Fact::Delivered(source, delivery, asks),
            run = opening.next_stalled() => Fact::Came(Came::Input(Input::OpenStalls { run })),
            // What panicked was caught within.
            Some(Ok(came)) = calls.join_next() => Fact::Came(came),
            else => std::future::pending().await,
        }
    }

    pub(super) fn more_deliveries(&mut self) -> Option<Received> {
        self.arrivals.try_recv().ok()
    }

    pub(super) fn more(&mut self) -> Option<Came> {
        loop {
            if let Ok(came) = self.calls.try_join_next()? {
                return Some(came);
            }
        }
    }

    /// Calls whoever is to be called. Stops are not for anybody outside.
    pub(super) fn carry_out(&mut self, scheduler: &Scheduler, command: Command, ports: &ServePorts) {
        match command {
            Command::Open { run, body, .. } => {
                let opened = self.opening.open(run, body, ports);
                self.calls.spawn(async move {
                    let (run, result) = opened.await;
                    Came::Opened { run, result }
                });
            }
            Command::Notify { ticket, receiver, .. } => self.notify(scheduler, ticket, receiver, ports),
            Command::Extend { ticket, source, handle, visibility } => {
                self.ask(ports, source, (ticket, handle), Asked::Extend(visibility));
            }
            Command::Acknowledge { ticket, source, handle } => {
                self.ask(ports, source, (ticket, handle), Asked::Acknowledge);
            }
            Command::Reject { ticket, source, handle, reason } => {
                self.ask(ports, source, (ticket, handle), Asked::Reject(reason));
            }
            Command::Stop { .. } => {}
        }
    }

    /// A run that cannot be opened yet is not tried again.
    pub(super) fn stop_opening(&mut self, run: &RunId) {
        self.opening.stop(run);
    }

    /// A run is opened, or is not going to be.
    pub(super) fn opened(&mut self, run: &RunId) {
        self.opening.ended(run);
    }

    fn notify(&mut self, scheduler: &Scheduler, ticket: Ticket, receiver: Arc<str>, ports: &ServePorts) {
        let Some(outgoing) = scheduler.notice(ticket, &receiver) else { return };
        let known = ports.notifiers.get(&receiver).cloned();
        let limit = scheduler.options().notices.timeout;
        self.calls.spawn(async move {
            let missing =
                || Failure::permanent("notice.no-receiver", format!("nobody here is called {receiver}"));
            let result = match known {
                Some(notifier) => {
                    let notice = notice(&outgoing);
                    let call = AssertUnwindSafe(notifier.notify(&notice)).catch_unwind();
                    let late =
                        |_| Failure::transient("notice.timeout", format!("no answer within {limit:?}"));
                    let result = timeout(limit, call).await.map_err(late);
                    result.and_then(|caught| {
                        caught.unwrap_or_else(|_| Err(panicked("the notifier"))).map(|_| ())
                    })
                }
                None => Err(missing()),
            };
            Came::Input(Input::Notified { ticket, receiver, result })
        });
    }

    fn ask(&mut self, ports: &ServePorts, source: u32, of: (Ticket, Arc<str>), asked: Asked) {
        let (ticket, handle) = of;
        let index = usize::try_from(source).unwrap_or(usize::MAX);
        let Some(source) = ports.sources.get(index).cloned() else { return };
        self.calls.spawn(async move {
            let call = async {
                match &asked {
                    Asked::Extend(visibility) => source.extend(&handle, *visibility).await,
                    Asked::Acknowledge => source.acknowledge(&handle).await,
                    Asked::Reject(reason) => source.reject(&handle, reason).await,
                }
            };
            let late = |_| Failure::transient("source.timeout", "the source did not answer in time");
            let caught = timeout(SOURCE_TIMEOUT, AssertUnwindSafe(call).catch_unwind()).await.map_err(late);
            let result = caught.and_then(|caught| caught.unwrap_or_else(|_| Err(panicked("the source"))));
            Came::Input(match asked {
                Asked::Extend(_) => Input::Extended { ticket, handle, result },
                Asked::Acknowledge | Asked::Reject(_) => Input::Settled { ticket, handle, result },
            })
        });
    }
}

/// Lets sources hand out at once what is not answered: it is for the next process. Where that cannot be said in time, it comes
/// again by itself.
pub(super) async fn hand_out_again(scheduler: &Scheduler, ports: &ServePorts) {
    let mut calls = JoinSet::new();
    for (source, handle) in scheduler.open_deliveries() {
        let index = usize::try_from(source).unwrap_or(usize::MAX);
        let Some(source) = ports.sources.get(index).cloned() else { continue };
        calls.spawn(async move { source.extend(&handle, Duration::ZERO).await });
    }
    let _ = timeout(HAND_BACK_LIMIT, async { while calls.join_next().await.is_some() {} }).await;
}

enum Asked {
    Extend(Duration),
    Acknowledge,
    Reject(String),
}

pub(super) fn panicked(what: &str) -> Failure {
    Failure::permanent("serve.panicked", format!("{what} panicked"))
        .with_hint("this is a bug; its message is on the standard error output")
}

/// What a delivery is to the scheduler.
pub(super) fn arrival(source: u32, delivery: Delivery, asks: Asks) -> Input {
    let Delivery { handle, request, digest, content, .. } = delivery;
    let body = match content {
        Content::Plan { body, .. } => body,
        Content::Stop { .. } | Content::Unusable { .. } => Arc::default(),
    };
    Input::Received(Arrival { source, handle, request, digest, body, asks })
}

/// The notice that receivers know.
fn notice(outgoing: &Outgoing) -> Notice {
    let ending = match outgoing.answer {
        Answer::Ended(outcome) => outcome.into(),
        Answer::Refused => Ending::Refused,
        Answer::Taken => Ending::NothingToStop,
    };
    let told = |reason: &Reason| Told { code: reason.code.to_string(), message: reason.message.to_string() };
    let newer = outgoing.superseded_by.as_ref().map(|newer| Told {
        code: "request.superseded".to_owned(),
        message: format!("request {newer} takes its place"),
    });
    let Report { mut components, left_out } = outgoing.report.clone();
    if components.is_empty()
        && let Some(reason) = &outgoing.reason
        && let Some(name) = &reason.component
    {
        // Of older answers only this one is remembered.
        let (name, state) = (name.to_string(), ComponentEnd::Failed);
        components.push(ComponentNotice { name, state, failure: Some(told(reason)), messages: Vec::new() });
    }
    let notice = Notice {
        sequence: outgoing.sequence,
        request: outgoing.request.to_string(),
        run: outgoing.run.clone(),
        plan: outgoing.plan.to_string(),
        namespace: outgoing.namespace.to_string(),
        failure: outgoing.reason.as_ref().map(told).or(newer),
        components,
        components_left_out: left_out,
        ..Notice::new(outgoing.key.clone(), outgoing.at, ending)
    };
    notice.bounded()
}
