//! A directory as a source of plans: files are renamed in, outcomes are written beside them. Needs nothing but a disk.
//!
//! ```text
//!   ROOT/shop.yaml                       somebody wrote it elsewhere and renamed it here
//!   ROOT/claimed/shop.yaml@1700000000000000.1         taken: the request is `shop.yaml@1700000000000000`
//!   ROOT/done/shop.yaml@1700000000000000              dealt with …
//!   ROOT/done/shop.yaml@1700000000000000.outcome.json … and this became of it
//!   ROOT/rejected/…                      never to be dealt with, with `….reason.txt`
//! ```
//!
//! A request is the name of the file and a number, the time at which it was taken in microseconds, which no two have: the same
//! file put there again is another request, whatever its content and its times; a file that was taken by a process that died is
//! the same one. A plan may say itself which request it is: whoever reads it then takes that for this name, and the outcome has it.
//! Every step is one rename, so nothing is half done. What `claimed` has when a process starts is delivered again, with a higher
//! count after the dot, and so is what nobody extended.
//!
//! Files whose names end in `.stop.json` ask to stop a request: `{"requestId": "…", "mode": "now" | "drain"}`. Names that begin
//! with a dot are left alone: that is where a file is written before it is renamed. So is everything that is no plan by its
//! name; [`DirectorySource::ignored`] says why.
//!
//! A file that cannot be taken or read is tried again, a number of times, and holds up no other. If it still cannot be read
//! then, it is delivered as one that nobody can use; one that cannot even be taken is tried again now and then.
//!
//! A directory that was removed is made again. One that was moved stays held, and so does what is in its place by then, as long as
//! no other process has it.
//!
//! `scan` decides, `disk` and `files` are what touches the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::{Delivery, Named, PlanSource, STALE_HANDLE};
use eve_core::scheduler::RequestKey;
use tokio::time::Instant;

mod disk;
mod files;
mod names;
mod notifier;
mod patience;
mod scan;

use files::Folders;
pub use notifier::DirectoryNotifier;
use scan::{Claimed, Scan};

/// How a directory is watched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DirectoryOptions {
    /// How often it is looked at. 500 ms by default.
    pub look_every: Duration,
    /// A file is taken when it was the same for so long: somebody may be writing it in place. 500 ms by default.
    pub settled_for: Duration,
    /// How long `receive` looks before it says that there is nothing. 20 s by default.
    pub wait: Duration,
    /// The largest file that is a plan, in bytes. 16 MiB by default; the loader of plans takes 64 MiB at most.
    pub plan_bytes_max: u64,
    /// How many plans are kept in `done`, and how many in `rejected`; older ones are removed. 1,000 by default.
    pub kept_max: usize,
    /// How often it is tried to take a file, and to read it. 8 by default.
    pub tries_max: u32,
    /// The pause after the first of these tries; each is twice the one before, up to 30 s. 500 ms by default.
    pub try_pause: Duration,
    /// For how long a file is held when it is received; `extend` holds it for longer. Then it is delivered again: two files of
    /// one request are one delivery that was received twice, and only the newer one is settled with it. 1 h by default.
    pub held_for: Duration,
    /// A file whose name begins with a dot is [ignored](DirectorySource::ignored) when it was the same for so long. 1 min by
    /// default.
    pub hidden_for: Duration,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            look_every: Duration::from_millis(500),
            settled_for: Duration::from_millis(500),
            wait: Duration::from_secs(20),
            plan_bytes_max: 16 << 20,
            kept_max: 1000,
            tries_max: 8,
            try_pause: Duration::from_millis(500),
            held_for: Duration::from_hours(1),
            hidden_for: Duration::from_mins(1),
        }
    }
}

/// Something in the directory that is no plan, or cannot be taken or read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    /// Its name, or the request that it is.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// The plans that are put into a directory. One process at a time has it.
///
/// What was received is held for as long as the options say, or whoever extends it.
#[derive(Debug)]
pub struct DirectorySource {
    folders: Arc<Folders>,
    options: DirectoryOptions,
    scan: Arc<Mutex<Scan>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// With the time until which it is held, if that has an end.
    by_handle: BTreeMap<Arc<str>, (Claimed, Option<Instant>)>,
    next: u64,
}

impl Held {
    /// Lets go of what nobody extended.
    fn lapsed(&mut self, now: Instant) -> Vec<Claimed> {
        let lapsed = self.by_handle.extract_if(.., |_, (_, until)| until.is_some_and(|until| until <= now));
        lapsed.map(|(_, (claimed, _))| claimed).collect()
    }
}

impl DirectorySource {
    /// Takes the directory over, and makes it and its folders where they are missing.
    ///
    /// # Errors
    /// `directory.held` while another process has it, `directory.io` if it cannot be used. Blocks for a moment.
    pub fn open(root: impl Into<PathBuf>, options: DirectoryOptions) -> Result<Self, Failure> {
        let folders = Folders::open(root.into())?;
        let scan = Scan::new(folders.claimed()?, folders.last_number()?);
        Ok(Self {
            folders: Arc::new(folders),
            options,
            scan: Arc::new(Mutex::new(scan)),
            held: Mutex::default(),
        })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        self.folders.root()
    }

    /// What was in the directory at the last look and is no plan, or gives trouble; at most 100. Waits while the disk is busy.
    pub fn ignored(&self) -> Vec<Ignored> {
        lock(&self.scan).ignored()
    }

    /// Looks once.
    async fn look(&self) -> Result<Option<Delivery>, Failure> {
        let (folders, scan) = (Arc::clone(&self.folders), Arc::clone(&self.scan));
        let (options, now) = (self.options.clone(), Instant::now());
        let lapsed = lock(&self.held).lapsed(now);
        blocking(move || {
            folders.keep()?;
            let mut scan = lock(&scan);
            scan.deliver_again(lapsed);
            scan.prepare(&*folders, now, &options)
        })
        .await?;
        // Only from here on nobody can be gone who wanted it.
        let taken = lock(&self.scan).hand_out();
        Ok(taken.map(|(claimed, digest, content)| {
            let mut held = lock(&self.held);
            held.next += 1;
            let handle: Arc<str> = format!("{}#{}", claimed.request, held.next).into();
            let (request, receive_count) = (Arc::clone(&claimed.request), claimed.count);
            let until = Instant::now().checked_add(self.options.held_for);
            held.by_handle.insert(Arc::clone(&handle), (claimed, until));
            let named = Named::BySource;
            Delivery { handle, request, named, digest, group: "".into(), receive_count, content }
        }))
    }

    fn held(&self, handle: &str) -> Result<Claimed, Failure> {
        let held = lock(&self.held).by_handle.get(handle).map(|(claimed, _)| claimed.clone());
        held.ok_or_else(stale)
    }

    /// Does the last thing that is done with a delivery, and forgets it.
    async fn settle(
        &self,
        handle: &str,
        act: impl FnOnce(&Folders, &Claimed) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let claimed = self.held(handle)?;
        let (folders, kept_max) = (Arc::clone(&self.folders), self.options.kept_max);
        blocking(move || {
            act(&folders, &claimed)?;
            folders.thin_out(kept_max)
        })
        .await?;
        lock(&self.held).by_handle.remove(handle);
        Ok(())
    }
}

#[async_trait]
impl PlanSource for DirectorySource {
    /// What is not in `claimed` as it was accepted is gone, or another request by now. A directory that no process had before
    /// says nothing: it may be the wrong one, or one that is not mounted.
    fn expect(&self, accepted: &[RequestKey]) {
        if !self.folders.are_new() {
            lock(&self.scan).expect(accepted);
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        let until = Instant::now() + self.options.wait;
        loop {
            if let Some(delivery) = self.look().await? {
                return Ok(Some(delivery));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(self.options.look_every).await;
        }
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        let mut held = lock(&self.held);
        let (_, until) = held.by_handle.get_mut(handle).ok_or_else(stale)?;
        *until = Instant::now().checked_add(visibility_timeout);
        Ok(())
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.settle(handle, Folders::finish).await
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        let reason = reason.to_owned();
        self.settle(handle, move |folders, claimed| folders.reject(claimed, &reason)).await
    }
}

fn stale() -> Failure {
    Failure::permanent(STALE_HANDLE, "the plan is not held by this process under this handle")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one insert or remove: a panic leaves the value whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Disks may be slow: they get a thread of their own.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|error| {
        Err(Failure::transient("directory.io", format!("the thread for the disk ended: {error}")))
    })
}
