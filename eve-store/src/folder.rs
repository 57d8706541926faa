//! The folder of one user's runs: a file for each run, locks, the key; what is kept and for how long.

use std::cmp::Reverse;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eve_core::ids::RunId;
use eve_core::run::{Outcome, StopMode};
use eve_core::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::database::{beside, sync_folder};
use crate::error::FileError;
use crate::header::RunHeader;
use crate::height;
use crate::key::{StoredKey, hex};
use crate::lock::{HeldBy, Holder, Lock, now};
use crate::run_file::{self, Progress, RunFile, RunReader, remove_if_there};

/// What the name of a run's file ends with.
const ENDING: &str = "run";
/// How long after a look at all runs there is another one, for those that have become too old.
const LOOKS_EVERY: Duration = Duration::from_hours(24);
/// The longest name of a run.
const RUN_ID_BYTES_MAX: usize = 128;

/// The folder of one user's runs.
///
/// ```text
///   key                   the key of keyed hashes
///   pruned                empty; changed when it was last looked for runs that need not be kept
///   locks/HASH.lock       held while a run of that plan, namespace and cluster is driven; never removed
///   runs/RUN.run          the run, an SQLite file; beside it -wal and -shm while it is open, and -head: how far it came
///   runs/RUN.lock         held while the run is driven; says by whom
/// ```
///
/// Folders have mode 0700, files 0600. It must be on a local disk: SQLite's log and the locks need one.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

/// How many finished runs are kept, and for how long. Runs that have begun and not finished are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The most finished runs; the newest are kept.
    pub count: usize,
    /// The longest time since a run's last record.
    pub age: Duration,
}

impl Default for Retention {
    /// 100 runs, 30 days: a month of looking back, and less than 100 MiB for plans of 1,000 components.
    fn default() -> Self {
        Self { count: 100, age: Duration::from_hours(30 * 24) }
    }
}

/// What is found in the folder under the name of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A run.
    Run(Box<RunSummary>),
    /// A file that cannot be read as a run, and why.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        error: FileError,
    },
}

/// A run in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// What its file says about it.
    pub header: RunHeader,
    /// How far it has come.
    pub progress: Progress,
    /// Whether it goes on.
    pub state: RunState,
}

/// Whether a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// A live process holds it; `None` where it cannot be read which.
    Live(Option<Holder>),
    /// Nobody holds it and it has not finished: it can be resumed.
    Interrupted,
    /// It is over.
    Finished(Outcome),
}

impl RunFolder {
    /// The folder `eve` in `$XDG_STATE_HOME`, by default `~/.local/state`; made if it is missing.
    ///
    /// # Errors
    /// [`FileError::NoPlace`] where the environment names none; otherwise as [`open`](Self::open).
    pub fn of_user() -> Result<Self, FileError> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self::open(state.ok_or(FileError::NoPlace)?.join("eve"))
    }

    /// This folder; made if it is missing, closed to other users if it is not.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, FileError> {
        let root = root.into();
        for folder in [root.clone(), root.join("runs"), root.join("locks")] {
            private(&folder)?;
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The key of this user's keyed hashes; made if it is missing.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Exposed`] if others could read it.
    pub fn key(&self) -> Result<StoredKey, FileError> {
        StoredKey::load_or_make(&self.root.join("key"))
    }

    /// The key of this user's keyed hashes, which must be there and be the one that this run began with: what it said of that
    /// run, no other key can say.
    ///
    /// # Errors
    /// [`FileError::Missing`] where it is lost; [`FileError::OtherKey`]; otherwise as [`key`](Self::key).
    pub fn key_of(&self, run: &RunFile) -> Result<StoredKey, FileError> {
        let path = self.root.join("key");
        let key = StoredKey::load(&path)?;
        if run.is_of(&key) == Some(false) {
            return Err(FileError::OtherKey { path, of: run.path().to_owned() });
        }
        Ok(key)
    }

    /// Begins the file of a new run and holds it, and its plan.
    ///
    /// # Errors
    /// [`FileError::Held`] while another run of this plan on this namespace and cluster is driven; [`FileError`].
    pub fn create(&self, header: &RunHeader) -> Result<RunFile, FileError> {
        let path = self.file(&header.run)?;
        let plan = self.lock_plan(header)?;
        let run = self.lock_run(&header.run)?;
        RunFile::create(&path, (header, &self.key()?), [plan, run])
    }

    /// Takes over a run whose process is gone, and holds it, and its plan. A run that has finished can be taken over too;
    /// there is nothing to do in it.
    ///
    /// # Errors
    /// [`FileError::Held`] while a live process holds the run or another one of its plan; [`FileError::Missing`];
    /// [`FileError::Damaged`].
    pub fn resume(&self, run: &RunId) -> Result<RunFile, FileError> {
        let path = self.file(run)?;
        let header = RunReader::open(&path)?.header()?;
        let locked = self.lock_run(run)?;
        let plan = self.lock_plan(&header)?;
        RunFile::resume(&path, [plan, locked])
    }

    /// Opens a run to look at it, live or not.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(&self, run: &RunId) -> Result<RunReader, FileError> {
        RunReader::open(self.file(run)?)
    }

    /// Asks a run to stop, and gives the number of the request. The process that drives the run reads it there; where
    /// there is none, the next one that resumes it. `who` is for people.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn request_stop(&self, run: &RunId, mode: StopMode, who: &str) -> Result<u64, FileError> {
        run_file::request(&self.file(run)?, run, mode, who)
    }

    /// Whether a run goes on, and who drives it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn state(&self, run: &RunId) -> Result<RunState, FileError> {
        self.look(run, &self.read(run)?).map(|(state, _)| state)
    }

    fn look(&self, run: &RunId, reader: &RunReader) -> Result<(RunState, Progress), FileError> {
        // First the lock: who finishes and lets go in between has finished.
        let holder = Lock::holder(&self.lock_file(run)?)?;
        let progress = reader.progress()?;
        let state = match (progress.outcome, holder) {
            (Some(outcome), _) => RunState::Finished(outcome),
            (None, HeldBy::Somebody(holder)) => RunState::Live(holder),
            (None, HeldBy::Nobody) => RunState::Interrupted,
        };
        Ok((state, progress))
    }

    /// Every run of the folder, the newest first. What cannot be read stands among them, by the time of its file.
    ///
    /// # Errors
    /// [`FileError`] if the folder itself cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, FileError> {
        let folder = self.runs();
        let failed = |error: std::io::Error| FileError::io("read", &folder, &error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if is_companion(&path) {
                continue;
            }
            match self.summary(&path) {
                Ok(summary) => found.push((summary.header.started_at, path, Listed::Run(Box::new(summary)))),
                // Removed since the folder was read.
                Err(FileError::Missing { .. }) => {}
                Err(error) => found.push((changed_at(&path), path.clone(), Listed::Damaged { path, error })),
            }
        }
        found.sort_by(|(at, path, _), (other_at, other, _)| (other_at, other).cmp(&(at, path)));
        Ok(found.into_iter().map(|(_, _, listed)| listed).collect())
    }

    /// Removes a run that was begun and has no record: nothing of it was done. One that has records is only let go; says
    /// whether it was removed.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn discard(&self, file: RunFile) -> Result<bool, FileError> {
        let run = file.header().run.clone();
        let _locks = file.close();
        if !self.is_empty(&run)? {
            return Ok(false);
        }
        self.remove_files(&run).map(|()| true)
    }

    /// Removes finished runs that are too many or too old, and runs without a record, which nobody needs; gives their
    /// names. Never touches another run that has not finished, or one that is held or cannot be read.
    ///
    /// # Errors
    /// [`FileError`] of the first that cannot be removed.
    pub fn prune(&self, retention: Retention) -> Result<Vec<RunId>, FileError> {
        let now = now();
        let mut finished: Vec<(Timestamp, RunId)> = Vec::new();
        let mut empty = Vec::new();
        for listed in self.list()? {
            let Listed::Run(run) = listed else { continue };
            match (&run.state, run.progress.last_at) {
                (RunState::Finished(_), Some(at)) => finished.push((at, run.header.run)),
                (RunState::Interrupted, None) => empty.push(run.header.run),
                (RunState::Live(_) | RunState::Interrupted | RunState::Finished(_), _) => {}
            }
        }
        finished.sort_by_key(|(at, _)| Reverse(*at));
        let kept = |(place, (at, _)): &(usize, (Timestamp, RunId))| {
            *place < retention.count && now.since(*at) <= retention.age
        };
        let mut removed = Vec::new();
        for (_, (_, run)) in finished.into_iter().enumerate().filter(|run| !kept(run)) {
            if let Some(_lock) = self.unless_held(&run)? {
                self.remove_files(&run)?;
                removed.push(run);
            }
        }
        for run in empty {
            // It may have gone on since.
            if let Some(_lock) = self.unless_held(&run)?
                && self.is_empty(&run)?
            {
                self.remove_files(&run)?;
                removed.push(run);
            }
        }
        Ok(removed)
    }

    /// [`prune`](Self::prune) when it is worth it, since that reads every run: once a day, or when there are a tenth more than
    /// are kept.
    ///
    /// # Errors
    /// As [`prune`](Self::prune).
    pub fn prune_when_due(&self, retention: Retention) -> Result<Vec<RunId>, FileError> {
        let mark = self.root.join("pruned");
        let looked_at = fs::symlink_metadata(&mark).and_then(|found| found.modified()).ok();
        let recent = looked_at.and_then(|at| at.elapsed().ok()).is_some_and(|since| since < LOOKS_EVERY);
        let failed = |error: std::io::Error| FileError::io("read", &self.root, &error);
        let entries = fs::read_dir(self.runs()).map_err(failed)?;
        let is_run = |path: &Path| path.extension().is_some_and(|ending| ending == ENDING);
        let runs = entries.filter(|entry| entry.as_ref().is_ok_and(|entry| is_run(&entry.path()))).count();
        if recent && runs <= retention.count.saturating_add(retention.count / 10) {
            return Ok(Vec::new());
        }
        // Before, not after: whatever cannot be removed is not tried again by every run.
        fs::write(&mark, "").map_err(|error| FileError::io("write", &mark, &error))?;
        self.prune(retention)
    }

    /// The lock of a run; `None` where somebody has it.
    fn unless_held(&self, run: &RunId) -> Result<Option<Lock>, FileError> {
        match self.lock_run(run) {
            Err(FileError::Held { .. }) => Ok(None),
            lock => lock.map(Some),
        }
    }

    /// Whether a run has no record. One that is not there any more has none.
    fn is_empty(&self, run: &RunId) -> Result<bool, FileError> {
        match self.read(run).and_then(|reader| reader.progress()) {
            Err(FileError::Missing { .. }) => Ok(true),
            progress => progress.map(|progress| progress.records == 0),
        }
    }

    /// Removes a run that this process holds.
    fn remove_files(&self, run: &RunId) -> Result<(), FileError> {
        let path = self.file(run)?;
        for ending in ["", "-wal", "-shm", height::ENDING] {
            remove_if_there(&beside(&path, ending))?;
        }
        remove_if_there(&self.lock_file(run)?)
    }

    fn summary(&self, path: &Path) -> Result<RunSummary, FileError> {
        let foreign = |reason: &str| FileError::Foreign { path: path.to_owned(), reason: reason.to_owned() };
        if path.extension().is_none_or(|ending| ending != ENDING) {
            return Err(foreign("its name is not that of a run"));
        }
        let reader = RunReader::open(path)?;
        let header = reader.header()?;
        if self.file(&header.run)? != path {
            return Err(foreign("it is the file of another run"));
        }
        let (state, progress) = self.look(&header.run, &reader)?;
        Ok(RunSummary { header, progress, state })
    }

    fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The file of a run, if its name can be that of a file here and nowhere else.
    fn file(&self, run: &RunId) -> Result<PathBuf, FileError> {
        let name = run.as_str();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=RUN_ID_BYTES_MAX).contains(&name.len());
        if !fits || name.starts_with('.') || !name.bytes().all(is_plain) {
            return Err(FileError::BadRunId(run.clone()));
        }
        Ok(self.runs().join(format!("{name}.{ENDING}")))
    }

    fn lock_file(&self, run: &RunId) -> Result<PathBuf, FileError> {
        Ok(self.file(run)?.with_extension("lock"))
    }

    fn lock_run(&self, run: &RunId) -> Result<Lock, FileError> {
        Lock::take(&self.lock_file(run)?, &format!("run {run}"), run)
    }

    fn lock_plan(&self, header: &RunHeader) -> Result<Lock, FileError> {
        let RunHeader { plan, namespace, cluster, run, .. } = header;
        let mut hash = Sha256::new();
        for part in [cluster, namespace, plan] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let name = hex(hash.finalize().iter().take(16));
        let what = format!("plan {plan} in namespace {namespace} of {cluster}");
        Lock::take(&self.root.join("locks").join(name + ".lock"), &what, run)
    }
}

/// Whether a file only goes with that of a run.
fn is_companion(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".lock", ".new", "-wal", "-shm", "-journal", height::ENDING].iter().any(|ending| name.ends_with(ending))
}

fn changed_at(path: &Path) -> Timestamp {
    let changed = fs::symlink_metadata(path).and_then(|found| found.modified()).ok();
    let since = changed.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    Timestamp::EPOCH.plus(since.unwrap_or_default())
}

/// A folder that only its owner may use.
fn private(path: &Path) -> Result<(), FileError> {
    let failed = |error: std::io::Error| FileError::io("create", path, &error);
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        path.parent().map_or(Ok(()), sync_folder)?;
    }
    let mode = path.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}
