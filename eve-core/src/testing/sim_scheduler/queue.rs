//! The queue of the simulated world: visibility, handles, redelivery, ghosts, a place for poison.

use std::sync::Arc;
use std::time::Duration;

use super::checks::{Check, ensure};
use super::invariants::Invariant;
use super::scenario::Sent;
use crate::failure::Failure;
use crate::scheduler::RequestKey;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Lies {
    Visible,
    /// With the process of this number, until then.
    Taken {
        epoch: u32,
        until: Timestamp,
    },
    Gone,
}

#[derive(Clone, Debug)]
struct Message {
    sent: Sent,
    lies: Lies,
    handle: Arc<str>,
    /// Whether something happened for which it may come again.
    excused: bool,
    ghosts: u32,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: Vec<Message>,
    handles: u64,
}

impl Queue {
    pub(super) fn send(&mut self, sent: Sent) {
        self.messages.push(Message {
            sent,
            lies: Lies::Visible,
            handle: "".into(),
            excused: false,
            ghosts: 0,
        });
    }

    /// The next message that can be had, for the process of this number. `unanswered` tells of which requests it is wrong to
    /// come back from a process that lives.
    pub(super) fn receive(
        &mut self,
        epoch: u32,
        (now, visibility): (Timestamp, Duration),
        unanswered: impl Fn(&RequestKey) -> bool,
    ) -> Result<Option<(Sent, Arc<str>)>, super::Violation> {
        let free = |message: &Message| match message.lies {
            Lies::Visible => true,
            Lies::Taken { until, .. } => until <= now,
            Lies::Gone => false,
        };
        let Some(index) = self.messages.iter().position(free) else { return Ok(None) };
        self.handles += 1;
        let handle: Arc<str> = format!("h{}", self.handles).into();
        let Some(message) = self.messages.get_mut(index) else { return Ok(None) };
        if let Lies::Taken { epoch: holder, .. } = message.lies {
            let wrong = holder == epoch && !message.excused && unanswered(&message.sent.key);
            ensure(!wrong, Invariant::VisibilityKept, || format!("{:?} came back", message.sent.key))?;
        }
        message.lies = Lies::Taken { epoch, until: now.plus(visibility) };
        message.handle = Arc::clone(&handle);
        message.excused = false;
        let sent = message.sent.clone();
        // Only the newest delivery of a request is held on to.
        for (other, message) in self.messages.iter_mut().enumerate() {
            if other != index && message.sent.key == sent.key {
                message.excused = true;
            }
        }
        Ok(Some((sent, handle)))
    }

    /// The request of a delivery that is held under this handle.
    pub(super) fn key(&self, handle: &str) -> Option<RequestKey> {
        let found = self.messages.iter().find(|message| &*message.handle == handle);
        found.map(|message| message.sent.key.clone())
    }

    fn of(&mut self, handle: &str) -> Option<&mut Message> {
        let held =
            |message: &&mut Message| &*message.handle == handle && matches!(message.lies, Lies::Taken { .. });
        self.messages.iter_mut().find(held)
    }

    pub(super) fn extend(&mut self, handle: &str, until: Timestamp) -> Result<(), Failure> {
        match self.of(handle) {
            Some(Message { lies: Lies::Taken { until: before, .. }, .. }) => {
                *before = until;
                Ok(())
            }
            _ => Err(Failure::permanent("sim.stale", "it is not held under this handle")),
        }
    }

    /// Something went wrong with a delivery: it may come again.
    pub(super) fn excuse(&mut self, handle: &str) {
        if let Some(message) = self.of(handle) {
            message.excused = true;
        }
    }

    /// Says that all is well also of a handle that is not held, as real queues do.
    pub(super) fn delete(&mut self, handle: &str) {
        if let Some(message) = self.of(handle) {
            message.lies = Lies::Gone;
        }
    }

    /// One that was deleted comes again.
    pub(super) fn ghost(&mut self) {
        let gone = |message: &&mut Message| message.lies == Lies::Gone && message.ghosts < 2;
        if let Some(message) = self.messages.iter_mut().find(gone) {
            message.lies = Lies::Visible;
            message.ghosts += 1;
        }
    }

    pub(super) fn left(&self) -> Check {
        let left = self.messages.iter().find(|message| message.lies != Lies::Gone);
        ensure(left.is_none(), Invariant::EverythingAnswered, || format!("{left:?} is left in the queue"))
    }
}
