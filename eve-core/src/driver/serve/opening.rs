//! Runs that are made of plans: tried again while that fails in passing, for as long as an outage may take.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::outside::panicked;
use super::{Opened, ServePorts};
use crate::failure::{Failure, FailureClass};
use crate::ids::RunId;
use crate::ports::StoreError;
use crate::run::{Record, RunStart};

/// For how long a run is tried to be opened, while that fails in passing.
const OPEN_FOR: Duration = Duration::from_mins(10);
/// The same for a run that has begun, since whatever it has done so far would be left as it is.
const TAKE_UP_FOR: Duration = Duration::from_hours(1);
/// The pause before a run is tried to be opened again; it doubles.
const OPEN_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A run with what was recorded of it, or why there is none.
type Made = Result<(Opened, Vec<Record>), Failure>;

/// Runs that are being opened.
pub(super) struct Opening {
    /// What tells each of them to stop.
    stops: BTreeMap<RunId, watch::Sender<()>>,
    stalls: mpsc::UnboundedSender<RunId>,
    stalled: mpsc::UnboundedReceiver<RunId>,
}

impl Default for Opening {
    fn default() -> Self {
        let (stalls, stalled) = mpsc::unbounded_channel();
        Self { stops: BTreeMap::new(), stalls, stalled }
    }
}

impl Opening {
    /// Makes a run, with pauses between attempts that fail in passing.
    pub(super) fn open(
        &mut self,
        run: RunId,
        body: Arc<[u8]>,
        ports: &ServePorts,
    ) -> impl Future<Output = (RunId, Made)> + Send + use<> {
        let (stop, stopped) = watch::channel(());
        self.stops.insert(run.clone(), stop);
        let (stalls, ports) = (self.stalls.clone(), ports.clone());
        async move {
            let made = until_made(&run, &body, &ports, (stopped, stalls)).await;
            (run, made)
        }
    }

    /// A run that cannot be opened yet is not tried again.
    pub(super) fn stop(&mut self, run: &RunId) {
        if let Some(stop) = self.stops.get(run) {
            stop.send_replace(());
        }
    }

    /// A run is opened, or is not going to be.
    pub(super) fn ended(&mut self, run: &RunId) {
        self.stops.remove(run);
    }

    /// The next run that cannot be opened at once. Dropping the future loses nothing.
    pub(super) async fn next_stalled(&mut self) -> RunId {
        match self.stalled.recv().await {
            Some(run) => run,
            None => std::future::pending().await,
        }
    }
}

async fn until_made(
    run: &RunId,
    body: &[u8],
    ports: &ServePorts,
    (mut stopped, stalls): (watch::Receiver<()>, mpsc::UnboundedSender<RunId>),
) -> Made {
    let (begun, mut pause) = (Instant::now(), OPEN_PAUSE);
    let mut limit = OPEN_FOR;
    loop {
        let made = AssertUnwindSafe(make(run, body, ports, &mut limit)).catch_unwind().await;
        let made = made.unwrap_or_else(|_| Err(panicked("making a run of the plan")));
        let may_pass = made.as_ref().is_err_and(|failure| failure.class == FailureClass::Transient);
        if !may_pass || begun.elapsed() + pause > limit {
            return made;
        }
        if pause == OPEN_PAUSE {
            // Whoever listened is gone with the process.
            let _ = stalls.send(run.clone());
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped.changed() => return made,
        }
        pause = (pause * 2).min(OPEN_PAUSE_MAX);
    }
}

async fn make(run: &RunId, body: &[u8], ports: &ServePorts, limit: &mut Duration) -> Made {
    let unread = |error: StoreError| Failure::transient("store.load", error.to_string());
    let records = ports.ledger.load_run(run).await.map_err(unread)?;
    if !records.is_empty() {
        *limit = TAKE_UP_FOR;
    }
    let opened = ports.intake.open(run, body, RunStart::of(&records)).await?;
    uses_what_is_pinned(&opened, &records)?;
    Ok((opened, records))
}

/// A run that was begun uses the versions of secrets that it began with.
fn uses_what_is_pinned(opened: &Opened, records: &[Record]) -> Result<(), Failure> {
    match RunStart::of(records) {
        Some(begun) if begun.options.pins() != opened.options.pins() => {
            let message = "the run is taken up with other versions of its secrets than it began with";
            Err(Failure::misuse("serve.other-secrets", message))
        }
        _ => Ok(()),
    }
}
