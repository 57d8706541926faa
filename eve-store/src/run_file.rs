//! One run in one file: held by the process that drives it, read by everybody else.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use eve_core::ids::RunId;
use eve_core::ports::{RecordBatch, RunStore, StoreError};
use eve_core::run::{Event, Outcome, Record, StopMode};
use eve_core::time::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::database;
use crate::error::FileError;
use crate::facts::{Fact, Facts};
use crate::header::{RunHeader, StopRequest, sum};
use crate::height::{self, Height};
use crate::key::StoredKey;
use crate::lock::{Lock, now};
use crate::read::{Reading, RunRow};
use crate::sqlite::{SqliteStore, column};

/// A run that this process holds: the store of its records. Nobody else can hold it, or another run of its plan on that
/// cluster, until this is dropped or the process ends, in whatever way.
///
/// Made by [`RunFolder::create`](crate::RunFolder::create) and [`RunFolder::resume`](crate::RunFolder::resume).
#[derive(Debug)]
pub struct RunFile {
    // Closed before the locks are let go.
    store: SqliteStore,
    header: RunHeader,
    facts: Facts,
    locks: [Lock; 2],
}

impl RunFile {
    /// Writes the file of a new run, whole before it has its name.
    pub(crate) fn create(
        path: &Path,
        (header, key): (&RunHeader, &StoredKey),
        locks: [Lock; 2],
    ) -> Result<Self, FileError> {
        if path.exists() {
            return Err(FileError::Exists { path: path.to_owned() });
        }
        let draft = path.with_extension("new");
        let log = database::beside(path, "-wal");
        for left in ["", "-wal", "-shm"].map(|ending| database::beside(&draft, ending)).iter().chain([&log]) {
            // What a process left that died here; it held the locks that are held now.
            remove_if_there(left)?;
        }
        height::forget(path)?;
        let failed = |error: rusqlite::Error| FileError::sqlite("create", path, &error);
        let bytes = header.encode().map_err(|reason| FileError::Io {
            doing: "write the header of",
            path: path.to_owned(),
            reason,
        })?;
        let connection = database::draft(&draft)?;
        let id = header.run.as_str();
        let head = eve_core::journal::Chain::new(&header.run).head();
        let insert = "INSERT INTO runs (id, seq, link, header, sum) VALUES (?1, 0, ?2, ?3, ?4)";
        let row = params![id, head.link.as_bytes(), bytes, sum("header", id, 0, &bytes)];
        connection.execute(insert, row).map_err(failed)?;
        Fact::Key(key.mark()).write(&connection).map_err(failed)?;
        let facts = Facts::load(&Reading { connection: &connection, path: &draft })?;
        database::finish(connection, &draft)?;
        database::lay_out_log(path)?;
        std::fs::rename(&draft, path).map_err(|error| FileError::io("create", path, &error))?;
        path.parent().map_or(Ok(()), database::sync_folder)?;
        let store = SqliteStore::open(path)?;
        store.begin_log();
        Ok(Self { store, header: header.clone(), facts, locks })
    }

    /// Opens the file of a run to go on with it, once all of it is known to be as it was written.
    pub(crate) fn resume(path: &Path, locks: [Lock; 2]) -> Result<Self, FileError> {
        Height::check(path)?;
        let connection = database::open_to_write(path)?;
        let reading = Reading { connection: &connection, path };
        reading.check()?;
        let (header, facts) = (reading.header()?, Facts::load(&reading)?);
        drop(connection);
        Ok(Self { store: SqliteStore::open(path)?, header, facts, locks })
    }

    /// Closes the file, and holds its run and its plan still.
    pub(crate) fn close(self) -> [Lock; 2] {
        drop(self.store);
        self.locks
    }

    /// What the file says about its run.
    pub const fn header(&self) -> &RunHeader {
        &self.header
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Says which cluster is at hand, by what it is known again by. A run of which that was never said belongs to this one
    /// from its next record on, with which it is written.
    ///
    /// # Errors
    /// [`FileError::OtherCluster`] where the run belongs to another one.
    pub fn belongs_to(&mut self, cluster: &str) -> Result<(), FileError> {
        if let Some(fact) = self.facts.take_cluster(self.store.path(), cluster)? {
            self.store.note(fact);
        }
        Ok(())
    }

    /// Whether this is the key of the hashes in this file, where the file says so.
    pub(crate) fn is_of(&self, key: &StoredKey) -> Option<bool> {
        self.facts.is_of(key)
    }

    /// What was asked of the run after the request of this number, in order. All of it after 0, also what was asked of
    /// earlier processes. Cheap enough to be called several times a second. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn requests(&self, after: u64) -> Result<Vec<StopRequest>, FileError> {
        self.store.requests(self.header.run.clone(), after).await
    }

    /// What ended the life of the store: the first append that failed, if one has.
    pub fn failure(&self) -> Option<&FileError> {
        self.store.failure()
    }
}

#[async_trait]
impl RunStore for RunFile {
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        self.store.append(batches).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        self.store.load(run).await
    }
}

/// A run's file, opened to look at it. Other processes may write it at the same time; each method sees it as it is after
/// some append, whole.
#[derive(Debug)]
pub struct RunReader {
    connection: Connection,
    path: PathBuf,
    run: RunId,
}

/// How far a run has come, as its file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many records there are.
    pub records: u64,
    /// When the last of them was decided; `None` when there is none.
    pub last_at: Option<Timestamp>,
    /// How the run ended, once it has.
    pub outcome: Option<Outcome>,
}

impl RunReader {
    /// Opens the file of a run.
    ///
    /// # Errors
    /// [`FileError`]; nothing is changed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let connection = database::open_to_read(&path)?;
        let run = Reading { connection: &connection, path: &path }.header()?.run;
        Ok(Self { connection, path, run })
    }

    /// What the file says about its run.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn header(&self) -> Result<RunHeader, FileError> {
        self.at_once(|reading| reading.header())
    }

    /// What the cluster of the run is known again by, where that was ever said.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn cluster(&self) -> Result<Option<String>, FileError> {
        self.at_once(|reading| Ok(Facts::load(&reading)?.cluster))
    }

    /// All records so far, verified from the first to the last.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Damaged`] names the first record that is not as it was written.
    pub fn records(&self) -> Result<Vec<Record>, FileError> {
        self.at_once(|reading| {
            let row = self.row(reading)?;
            reading.records(&self.run, row)
        })
    }

    /// How far the run has come, from the end of its log alone.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn progress(&self) -> Result<Progress, FileError> {
        self.at_once(|reading| {
            let row = self.row(reading)?;
            let last = reading.last(&self.run, row)?;
            let outcome = last.as_ref().and_then(|record| {
                if let Event::Finished { outcome } = record.event { Some(outcome) } else { None }
            });
            Ok(Progress { records: row.head.seq, last_at: last.map(|record| record.at), outcome })
        })
    }

    /// What was asked of the run, in order.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn requests(&self) -> Result<Vec<StopRequest>, FileError> {
        self.at_once(|reading| reading.requests(&self.run, 0))
    }

    /// Goes through the whole file, also through what no other method reads. Linear in its size.
    ///
    /// # Errors
    /// [`FileError::Damaged`] with what is wrong first.
    pub fn check(&self) -> Result<(), FileError> {
        self.at_once(|reading| reading.check())?;
        self.cluster()?;
        self.records()?;
        self.requests().map(|_| ())
    }

    /// The row of the run that the header names.
    fn row(&self, reading: Reading<'_>) -> Result<RunRow, FileError> {
        let missing = || FileError::Damaged {
            path: self.path.clone(),
            reason: format!("run {} is not in it", self.run),
        };
        reading.row(&self.run)?.ok_or_else(missing)
    }

    /// Reads several things as they were at one moment.
    fn at_once<T>(&self, read: impl FnOnce(Reading<'_>) -> Result<T, FileError>) -> Result<T, FileError> {
        let height = Height::beside(&self.path);
        let begun = self.connection.unchecked_transaction();
        let _moment = begun.map_err(|error| FileError::sqlite("read", &self.path, &error))?;
        let reading = Reading { connection: &self.connection, path: &self.path };
        height.map_or(Ok(()), |height| height.is_reached(&reading))?;
        read(reading)
    }
}

/// Writes a request into the file of a run, which another process may hold, and gives its number.
pub(crate) fn request(path: &Path, run: &RunId, mode: StopMode, who: &str) -> Result<u64, FileError> {
    Height::check(path)?;
    let mut connection = database::open_to_write(path)?;
    let failed = |error: rusqlite::Error| FileError::sqlite("ask through", path, &error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let reading = Reading { connection: &transaction, path };
    if reading.header()?.run != *run {
        let reason = "it is the file of another run".to_owned();
        return Err(FileError::Foreign { path: path.to_owned(), reason });
    }
    let number = reading.requests(run, 0)?.last().map_or(0, |last| last.number).saturating_add(1);
    let bytes = StopRequest::encode(mode, now(), who).map_err(|reason| FileError::Io {
        doing: "ask through",
        path: path.to_owned(),
        reason,
    })?;
    let insert = "INSERT INTO control (number, bytes, sum) VALUES (?1, ?2, ?3)";
    let sum = sum("request", run.as_str(), number, &bytes);
    transaction.execute(insert, params![column(number), bytes, sum]).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(number)
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
