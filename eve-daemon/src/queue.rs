//! Which plans of a queue cannot be read yet is told each time.

use eve_queue::aws::{LatePlan, SqsSource};

/// Tells what could not be read since this was called last.
pub fn tell(source: &SqsSource) {
    for LatePlan { request, failure } in source.take_late() {
        let (code, reason, hint) = (&*failure.code, failure.message, failure.hint);
        tracing::warn!(%request, code, reason, hint, "a plan cannot be read yet");
    }
}
