//! Whether the journal belongs to the cluster that is at hand: another one may answer at the same address, or a kubeconfig
//! lead elsewhere by now. Until that is known no run is opened.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::Failure;
use tokio::sync::{OnceCell, SetOnce};

use crate::cluster::Cluster;
use crate::journal::Journal;
use crate::start_error::StartError;

/// How long a start waits for the cluster to say who it is: as long as an API server takes that answers.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How often a cluster that is away is asked.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// The cluster that the journal belongs to.
#[derive(Debug)]
pub struct Home {
    cluster: Arc<Cluster>,
    journal: Arc<Journal>,
    known: OnceCell<()>,
    /// What ends the daemon.
    other: SetOnce<StartError>,
}

impl Home {
    /// The journal of this process, which may belong to this cluster. No request is made.
    pub fn new(cluster: Arc<Cluster>, journal: Arc<Journal>) -> Self {
        Self { cluster, journal, known: OnceCell::new(), other: SetOnce::new() }
    }

    /// Waits until the journal is known to belong to the cluster, or the cluster does not say who it is. Asks until it has
    /// answered once; cancel safe.
    ///
    /// # Errors
    /// The cluster cannot be asked: `Transient` or not, as it says. Never returns where it is another one, which ends the
    /// daemon.
    pub async fn is_here(&self) -> Result<(), Failure> {
        self.known.get_or_try_init(|| self.ask()).await.map(drop)
    }

    async fn ask(&self) -> Result<(), Failure> {
        let Some(identity) = self.cluster.identity().await? else {
            let what = "the uid of the namespace `kube-system` may not be read: whether the journal belongs to this cluster \
                        is not looked at";
            tracing::warn!("{what}");
            return Ok(());
        };
        if let Err(error) = self.journal.belongs_to(&identity, self.cluster.server()) {
            // Who came first has said the same.
            let _ = self.other.set(error);
            return std::future::pending().await;
        }
        Ok(())
    }

    /// The same when the daemon starts, where a cluster that is away is waited for later.
    ///
    /// # Errors
    /// The journal belongs to another cluster.
    pub async fn look(&self) -> Result<(), StartError> {
        tokio::select! {
            error = self.other.wait() => Err(error.clone()),
            // Why it cannot be asked is told by whoever needs it.
            _ = tokio::time::timeout(START_LIMIT, self.is_here()) => Ok(()),
        }
    }

    /// Why the daemon cannot go on, once the cluster turned out to be another one. Asks until it is known.
    pub async fn is_another(&self) -> StartError {
        let asking = async {
            while self.is_here().await.is_err() {
                tokio::time::sleep(ASKED_EVERY).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            error = self.other.wait() => error.clone(),
            never = asking => never,
        }
    }
}
