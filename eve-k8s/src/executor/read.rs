//! A component that is only read: waits until its object is there. Whether it is ready is the business of `wait`.

use eve_core::failure::{Cause, Failure};
use eve_core::ports::{Context, Step};
use tokio::time::Instant;

use super::KubeExecutor;
use super::sight::{Seen, Sight};

impl KubeExecutor {
    /// Returns once the object exists, whoever made it.
    ///
    /// # Errors
    /// Its kind is not served, it may not be read, or it was not there in time.
    pub(super) async fn wait_until_there(&self, step: &Step, cx: &Context) -> Result<(), Failure> {
        let target = self.known(step).await?;
        let place = &target.place;
        let deadline = Instant::now() + cx.remaining();
        let mut sight = Sight::of(self, step, place);
        let mut told = false;
        loop {
            match sight.look(None).await? {
                Seen::There(_) => return Ok(()),
                Seen::Absent if !told => {
                    told = true;
                    cx.progress(Cause::new("k8s.object.absent", "it does not exist yet"));
                }
                Seen::Absent | Seen::Unknown => {}
            }
            if cx.remaining().is_zero() {
                let message = format!("{place} does not exist, and did not come to be in time");
                return Err(Failure::permanent("k8s.object.absent", message)
                    .with_hint("a component with `action: read` waits for what somebody else makes"));
            }
            sight.pause(deadline, cx).await?;
        }
    }
}
