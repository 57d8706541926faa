//! What goes on beside each other: one call that waits for a message, and plans that are read.

use std::sync::Arc;

use aws_sdk_sqs::types::Message as Sent;
use eve_core::failure::Failure;
use tokio::task::JoinSet;

use super::source::{Queue, Read, Unread};

/// What came of a task.
pub(super) enum Step {
    /// No message came within the wait.
    NoMessage,
    /// A message came, whose plan is being read from now on.
    Reading,
    /// A message with its plan.
    Read(Result<Read, Unread>),
}

enum Done {
    Received(Result<Option<Sent>, Failure>),
    Read(Box<Result<Read, Unread>>),
}

/// Tasks that are under way. They end with this.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<Done>,
    is_receiving: bool,
    reading: usize,
}

impl UnderWay {
    /// The next step that is done; a message is waited for unless `at_once` plans are being read. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// No message can be received.
    pub(super) async fn next(&mut self, queue: &Arc<Queue>, at_once: usize) -> Result<Step, Failure> {
        if !self.is_receiving && self.reading < at_once.max(1) {
            self.is_receiving = true;
            let queue = Arc::clone(queue);
            self.tasks.spawn(async move { Done::Received(queue.next().await) });
        }
        match self.tasks.join_next().await {
            Some(Ok(Done::Received(received))) => {
                self.is_receiving = false;
                let Some(sent) = received? else { return Ok(Step::NoMessage) };
                self.reading += 1;
                let queue = Arc::clone(queue);
                self.tasks.spawn(async move { Done::Read(Box::new(queue.read(sent).await)) });
                Ok(Step::Reading)
            }
            Some(Ok(Done::Read(read))) => {
                self.reading -= 1;
                Ok(Step::Read(*read))
            }
            // Nobody knows which one it was: all of them begin anew. What they held the queue delivers again.
            Some(Err(_)) | None => {
                *self = Self::default();
                Err(Failure::transient("aws.panicked", "receiving a message did not come to its end")
                    .with_hint("this is a bug; its message is on the standard error output"))
            }
        }
    }
}
