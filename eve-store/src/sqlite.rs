//! The store: one thread owns the connection, so that no runtime waits for a disk.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use eve_core::ids::RunId;
use eve_core::journal::{Chain, encode};
use eve_core::ports::{LedgerBatch, RecordBatch, RunStore, StoreError};
use eve_core::run::Record;
use eve_core::scheduler::LedgerRecord;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use crate::database;
use crate::error::FileError;
use crate::facts::Fact;
use crate::header::StopRequest;
use crate::height::{self, Gauge, Height};
use crate::ledger_file;
use crate::read::{Reading, place};

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// Keeps the records of any number of runs in one SQLite file.
///
/// - **Durable**: when an append returns, its records are on the disk: one transaction, one sync of the write-ahead log.
/// - **Checked**: each record is chained to the one before; a log is verified before it is given out or added to.
/// - **After a failure** nothing is appended any more, nor is the file written when it is closed: what the disk has is what
///   the next process finds. [`failure`](Self::failure) says what it was.
/// - **Threads**: one of its own, which ends, with the file closed, when the store is dropped.
pub struct SqliteStore {
    path: PathBuf,
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<FileError>>,
}

impl SqliteStore {
    /// A new file that only its owner may use.
    ///
    /// # Errors
    /// [`FileError`]; [`FileError::Exists`] if there is a file of this name.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let connection = database::create(&path)?;
        height::forget(&path)?;
        path.parent().filter(|folder| *folder != Path::new("")).map_or(Ok(()), database::sync_folder)?;
        Self::start(path, connection)
    }

    /// A file that is there.
    ///
    /// # Errors
    /// [`FileError`]; a file that is not of eve, or of a newer one, is left as it is.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        Height::check(&path)?;
        let connection = database::open_to_write(&path)?;
        Reading { connection: &connection, path: &path }.check_names()?;
        Self::start(path, connection)
    }

    fn start(path: PathBuf, connection: Connection) -> Result<Self, FileError> {
        let (jobs, queue) = channel::<Job>();
        let failure = Arc::new(OnceLock::new());
        let mut writer = Writer {
            connection,
            path: path.clone(),
            chains: BTreeMap::new(),
            noted: Vec::new(),
            gauge: Gauge::of(&path),
            failure: Arc::clone(&failure),
        };
        let work = move || queue.iter().for_each(|job| job(&mut writer));
        let started = std::thread::Builder::new().name("eve-store".to_owned()).spawn(work);
        let writer = started.map_err(|error| FileError::io("start the writer of", &path, &error))?;
        Ok(Self { path, jobs: Some(jobs), writer: Some(writer), failure })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What ended the life of this store: the first append that failed, if one has.
    pub fn failure(&self) -> Option<&FileError> {
        self.failure.get()
    }

    /// What was asked of a run after the request of this number, in order; all of it after 0.
    pub(crate) async fn requests(&self, run: RunId, after: u64) -> Result<Vec<StopRequest>, FileError> {
        self.ask(move |writer| writer.reading().requests(&run, after)).await
    }

    /// Appends records of a ledger, in a file that has one, together with those of runs.
    pub(crate) async fn append_with_ledger(&self, batch: LedgerBatch) -> Result<(), FileError> {
        self.ask(move |writer| writer.append(&batch.runs, Some(&batch))).await
    }

    /// All records of the ledger of a file that has one.
    pub(crate) async fn load_ledger(&self) -> Result<Vec<LedgerRecord>, FileError> {
        self.ask(|writer| ledger_file::load(&writer.reading())).await
    }

    /// Has the log of a new file begun while nobody waits for it; where that fails, the first append says so.
    pub(crate) fn begin_log(&self) {
        let job: Job = Box::new(Writer::begin_log);
        // Without a writer nothing is appended either.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }

    /// Writes a fact with the next append. Waits for nothing.
    pub(crate) fn note(&self, fact: Fact) {
        let job: Job = Box::new(move |writer: &mut Writer| writer.noted.push(fact));
        // Without a writer nothing is appended either.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let gone = || FileError::WriterGone { path: self.path.clone() };
        let (answer, result) = oneshot::channel();
        let job = Box::new(move |writer: &mut Writer| {
            // Whoever asked may be gone; what was done is done.
            let _ = answer.send(work(writer));
        });
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

impl Drop for SqliteStore {
    /// Waits until what was asked for is done and the file is closed.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, failure, .. } = self;
        f.debug_struct("SqliteStore").field("path", path).field("failure", failure).finish_non_exhaustive()
    }
}

#[async_trait]
impl RunStore for SqliteStore {
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        let appended = self.ask(move |writer| writer.append(&batches, None)).await;
        appended.map_err(|error| error.into_store_error(None))
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        let wanted = run.clone();
        let loaded = self.ask(move |writer| writer.load(&wanted)).await;
        loaded.map_err(|error| error.into_store_error(Some(run)))
    }
}

/// Who owns the connection.
struct Writer {
    connection: Connection,
    path: PathBuf,
    /// The runs that were verified or begun here: their number in this file, and where their chain stands.
    chains: BTreeMap<RunId, (i64, Chain)>,
    /// What the next append writes besides.
    noted: Vec<Fact>,
    gauge: Gauge,
    failure: Arc<OnceLock<FileError>>,
}

impl Writer {
    fn reading(&self) -> Reading<'_> {
        Reading { connection: &self.connection, path: &self.path }
    }

    fn load(&mut self, run: &RunId) -> Result<Vec<Record>, FileError> {
        let Some(row) = self.reading().row(run)? else { return Ok(Vec::new()) };
        let records = self.reading().records(run, row)?;
        self.chains.insert(run.clone(), (row.number, Chain::after(row.head)));
        Ok(records)
    }

    fn append(&mut self, batches: &[RecordBatch], ledger: Option<&LedgerBatch>) -> Result<(), FileError> {
        if let Some(first) = self.failure.get() {
            return Err(FileError::Poisoned(Box::new(first.clone())));
        }
        let appended = self.append_all(batches, ledger);
        if let Err(error) = &appended {
            self.fail(error);
        }
        appended
    }

    fn begin_log(&mut self) {
        if let Err(error) = database::begin_log(&self.connection) {
            self.fail(&FileError::sqlite("begin the log of", &self.path, &error));
        }
    }

    /// Ends the life of the store.
    fn fail(&self, error: &FileError) {
        // What a failed sync has left in memory is not to be written over what the disk has.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        let _ = self.failure.set(error.clone());
    }

    fn append_all(&mut self, batches: &[RecordBatch], ledger: Option<&LedgerBatch>) -> Result<(), FileError> {
        // A log that was not written here is read before it is added to.
        for batch in batches {
            if !self.chains.contains_key(&batch.run) {
                self.load(&batch.run)?;
            }
        }
        let Self { connection, path, chains, noted, gauge, .. } = self;
        let failed = |error: rusqlite::Error| FileError::sqlite("append to", path, &error);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let appending = Appending { transaction: transaction.map_err(failed)?, path };
        for fact in &*noted {
            fact.write(&appending.transaction).map_err(failed)?;
        }
        let mut moved = BTreeMap::new();
        for batch in batches {
            let known = moved.get(&batch.run).or_else(|| chains.get(&batch.run)).cloned();
            let (number, chain) = match known {
                Some(known) => known,
                None => appending.begin(&batch.run)?,
            };
            let chain = appending.append(number, chain, batch)?;
            moved.insert(batch.run.clone(), (number, chain));
        }
        let dropped = match ledger {
            Some(batch) => ledger_file::append(&appending.transaction, path, batch)?,
            None => Vec::new(),
        };
        appending.transaction.commit().map_err(failed)?;
        noted.clear();
        for run in &dropped {
            moved.remove(run);
            chains.remove(run);
        }
        let (run, seq) =
            moved.values().next_back().map_or((0, 0), |(number, chain)| (*number, chain.head().seq));
        let before = |batch: &LedgerBatch| batch.next.get().saturating_sub(1);
        let ledger = ledger.map_or(0, |batch| before(batch).saturating_add(batch.ledger.len() as u64));
        gauge.note(Height { ledger, run, seq });
        chains.extend(moved);
        Ok(())
    }
}

/// One transaction.
struct Appending<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
}

impl Appending<'_> {
    fn failed(&self, error: &rusqlite::Error) -> FileError {
        FileError::sqlite("append to", self.path, error)
    }

    fn begin(&self, run: &RunId) -> Result<(i64, Chain), FileError> {
        let chain = Chain::new(run);
        let head = chain.head();
        let insert = "INSERT INTO runs (id, seq, link) VALUES (?1, 0, ?2)";
        let inserted = self.transaction.execute(insert, params![run.as_str(), head.link.as_bytes()]);
        inserted.map_err(|error| self.failed(&error))?;
        Ok((self.transaction.last_insert_rowid(), chain))
    }

    fn append(&self, number: i64, mut chain: Chain, batch: &RecordBatch) -> Result<Chain, FileError> {
        let before = chain.head();
        let failed = |error: rusqlite::Error| self.failed(&error);
        let insert = "INSERT INTO records (place, link, bytes) VALUES (?1, ?2, ?3)";
        let mut insert = self.transaction.prepare_cached(insert).map_err(failed)?;
        for record in &batch.records {
            let (expected, found) = (chain.head().seq.saturating_add(1), record.seq.get());
            if found != expected {
                return Err(FileError::OutOfOrder { run: batch.run.clone(), expected, found });
            }
            let bytes = encode(record);
            let link = chain.push(&bytes);
            insert.execute(params![place(number, expected), link.as_bytes(), bytes]).map_err(failed)?;
        }
        let head = chain.head();
        // Nobody else writes a run that is held; if somebody did, two histories must not be mixed.
        let update = "UPDATE runs SET seq = ?1, link = ?2 WHERE number = ?3 AND seq = ?4 AND link = ?5";
        let (after, before_link) = (head.link.as_bytes(), before.link.as_bytes());
        let mut update = self.transaction.prepare_cached(update).map_err(failed)?;
        let changed = update
            .execute(params![column(head.seq), after, number, column(before.seq), before_link])
            .map_err(failed)?;
        if changed != 1 {
            let reason = format!("run {} was changed by another process", batch.run);
            return Err(FileError::Damaged { path: self.path.to_owned(), reason });
        }
        Ok(chain)
    }
}

/// A number as SQLite counts: 63 bits are enough for every log.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use eve_core::ids::Seq;
    use eve_core::run::Event;
    use eve_core::testing::sample_events;
    use eve_core::time::Timestamp;

    use super::*;

    fn batch(run: &str, records: &[Record]) -> RecordBatch {
        RecordBatch { run: RunId::new(run), records: records.to_vec() }
    }

    fn resumed(seq: u64) -> Record {
        Record { seq: Seq::new(seq), at: Timestamp::EPOCH, event: Event::Resumed }
    }

    #[tokio::test]
    async fn an_append_is_kept_for_all_runs_or_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("many.run");
        let store = SqliteStore::create(&path).unwrap();
        let (a, b) = (RunId::new("a"), RunId::new("b"));
        let samples = sample_events();
        store.append(vec![batch("a", &samples[..2]), batch("b", &samples[..3])]).await.unwrap();
        store.append(vec![batch("a", &samples[2..3]), batch("b", &samples[4..])]).await.unwrap_err();
        assert_eq!(store.load(&a).await.unwrap(), samples[..2], "the other run's records were out of order");
        drop(store);
        let store = SqliteStore::open(&path).unwrap();
        store.append(vec![batch("b", &samples[3..]), batch("c", &samples)]).await.unwrap();
        drop(store);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.load(&a).await.unwrap(), samples[..2]);
        assert_eq!(store.load(&b).await.unwrap(), samples);
        assert_eq!(store.load(&RunId::new("c")).await.unwrap(), samples);
        assert_eq!(store.load(&RunId::new("d")).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_full_disk_is_named_and_ends_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        let store = SqliteStore::create(&path).unwrap();
        let run = RunId::new("r");
        store.append(vec![batch("r", &[resumed(1)])]).await.unwrap();
        let limited = store.ask(|writer| {
            let pages: i64 =
                writer.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            writer.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
            Ok(())
        });
        limited.await.unwrap();
        let many: Vec<Record> = (2..1000).map(resumed).collect();
        let error = store.append(vec![batch("r", &many)]).await.unwrap_err().to_string();
        assert!(error.contains("is full (make room"), "{error}");
        assert_eq!(store.failure(), Some(&FileError::Full { path: path.clone() }));
        // There would be room for this one.
        let error = store.append(vec![batch("r", &[resumed(2)])]).await.unwrap_err().to_string();
        assert!(error.contains("nothing is appended after a failure"), "{error}");
        assert_eq!(store.load(&run).await.unwrap(), [resumed(1)]);
        drop(store);
        assert!(database::beside(&path, "-wal").exists(), "the database is not written after a failure");
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.load(&run).await.unwrap(), [resumed(1)]);
        store.append(vec![batch("r", &many)]).await.unwrap();
    }

    #[tokio::test]
    async fn a_log_that_another_process_has_added_to_is_not_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        let first = SqliteStore::create(&path).unwrap();
        first.append(vec![batch("r", &[resumed(1)])]).await.unwrap();
        let second = SqliteStore::open(&path).unwrap();
        second.append(vec![batch("r", &[resumed(2)])]).await.unwrap();
        first.append(vec![batch("r", &[resumed(2)])]).await.unwrap_err();
        assert!(matches!(first.failure(), Some(FileError::Damaged { .. })), "{:?}", first.failure());
        assert_eq!(second.load(&RunId::new("r")).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_damaged_log_is_not_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        let store = SqliteStore::create(&path).unwrap();
        store.append(vec![batch("r", &[resumed(1), resumed(2)])]).await.unwrap();
        drop(store);
        let connection = database::open_to_write(&path).unwrap();
        let change = "UPDATE records SET bytes = CAST(replace(bytes, '\"t\":0', '\"t\":1') AS BLOB) WHERE place & 3 = 2";
        assert_eq!(connection.execute(change, []).unwrap(), 1);
        drop(connection);
        let store = SqliteStore::open(&path).unwrap();
        let error = store.load(&RunId::new("r")).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { run, .. } if run.as_str() == "r"), "{error:?}");
        assert!(error.to_string().contains("record 2 is not what was written"), "{error}");
        store.append(vec![batch("r", &[resumed(3)])]).await.unwrap_err();
        drop(store);
        let connection = database::open_to_write(&path).unwrap();
        connection.execute("UPDATE runs SET id = 's'", []).unwrap();
        assert!(matches!(SqliteStore::open(&path), Err(FileError::Damaged { .. })), "a run of another name");
    }
}
