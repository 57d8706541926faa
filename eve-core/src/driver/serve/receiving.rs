//! A source that is received from as long as there is room, and its plans that are read beside each other meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::line::{Line, Work};
use super::outside::panicked;
use super::{Intake, PlanName};
use crate::failure::Failure;
use crate::plan::load::Glance;
use crate::ports::{Content, Delivery, Named, PlanSource};
use crate::scheduler::Asks;

/// The pause after a source had nothing: it has waited for as long as it found sensible.
const IDLE: Duration = Duration::from_millis(100);
/// The pause after a source failed first; it doubles.
const SOURCE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a source failed.
const SOURCE_PAUSE_MAX: Duration = Duration::from_mins(1);

/// What a source delivered, and what it asks for.
pub(super) type Received = (u32, Delivery, Asks);

/// Receives until nobody takes it any more.
pub(super) async fn receive(
    source: Arc<dyn PlanSource>,
    sender: mpsc::Sender<Delivery>,
    mut has_room: watch::Receiver<bool>,
) {
    let mut pause = SOURCE_PAUSE;
    while has_room.wait_for(|room| *room).await.is_ok() {
        match AssertUnwindSafe(source.receive()).catch_unwind().await {
            Ok(Ok(Some(delivery))) => {
                pause = SOURCE_PAUSE;
                if sender.send(delivery).await.is_err() {
                    return;
                }
            }
            Ok(Ok(None)) => sleep(IDLE).await,
            Ok(Err(_)) | Err(_) => {
                sleep(pause).await;
                pause = (pause * 2).min(SOURCE_PAUSE_MAX);
            }
        }
    }
}

/// What was found out about a plan.
enum Found {
    Glanced(u64, Glance),
    Read(u64, Result<PlanName, Failure>),
}

/// Reads what was received, so that nobody waits longer than its order demands, and passes it on.
pub(super) async fn read_all(
    index: u32,
    intake: Arc<dyn Intake>,
    mut received: mpsc::Receiver<Delivery>,
    sender: mpsc::Sender<Received>,
) {
    let (mut line, mut tasks) = (Line::default(), JoinSet::new());
    let mut comes_more = true;
    while comes_more || !tasks.is_empty() {
        tokio::select! {
            biased;
            // What panicked was caught within.
            Some(Ok(found)) = tasks.join_next() => match found {
                Found::Glanced(number, glance) => line.glanced(number, glance),
                Found::Read(number, read) => line.read(number, |delivery| asks(delivery, read)),
            },
            delivery = received.recv(), if comes_more && line.has_room() => match delivery {
                Some(delivery) => line.push(delivery),
                None => comes_more = false,
            },
            else => return,
        }
        while let Some((delivery, asks)) = line.pop() {
            if sender.send((index, delivery, asks)).await.is_err() {
                return;
            }
        }
        while let Some(work) = line.work() {
            let intake = Arc::clone(&intake);
            tasks.spawn_blocking(move || carry_out(intake.as_ref(), work));
        }
    }
}

fn carry_out(intake: &dyn Intake, work: Work) -> Found {
    match work {
        Work::Glance { number, body } => {
            let glance = catch_unwind(AssertUnwindSafe(|| intake.glance(&body)));
            Found::Glanced(number, glance.unwrap_or(Glance::Unknown))
        }
        Work::Read { number, body } => {
            let read = catch_unwind(AssertUnwindSafe(|| intake.read(&body)));
            Found::Read(number, read.unwrap_or_else(|_| Err(panicked("reading the plan"))))
        }
    }
}

/// What a plan that was read asks for.
fn asks(delivery: &mut Delivery, read: Result<PlanName, Failure>) -> Asks {
    let sequence = match &delivery.content {
        Content::Plan { sequence, .. } => *sequence,
        Content::Stop { .. } | Content::Unusable { .. } => None,
    };
    match read.and_then(|name| identify(delivery, name.request.as_ref()).map(|()| name)) {
        Ok(PlanName { namespace, plan, .. }) => Asks::Run { namespace, plan, sequence },
        Err(failure) => Asks::Nothing { failure },
    }
}

/// Takes over which request a plan says it is.
fn identify(delivery: &mut Delivery, stated: Option<&Arc<str>>) -> Result<(), Failure> {
    let Some(stated) = stated else { return Ok(()) };
    match delivery.named {
        Named::BySource => delivery.request = Arc::clone(stated),
        Named::BySender if delivery.request == *stated => {}
        Named::BySender => {
            let message = format!(
                "it was sent as request {}, and the plan says in `spec.requestId` that it is {stated}",
                delivery.request
            );
            return Err(Failure::permanent("plan.other-request", message)
                .with_hint("leave `spec.requestId` out, or send both with the same identifier"));
        }
    }
    Ok(())
}
