//! One file for a daemon: the ledger of its scheduler, its outbox, and the records of all its runs.
//!
//! ```text
//!   ledger       place, link, bytes      the records, in the form of `eve_core::journal::ledger`; place = seq
//!   ledger_head  base_seq, base_link     where the chain stood before the last record that compacted the ledger
//!                seq, link               where it stands
//!   runs, records                        as in the file of a run
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use eve_core::ids::RunId;
use eve_core::journal::ledger::{self, begin};
use eve_core::journal::{Chain, Entry, Head};
use eve_core::ports::{Ledger, LedgerBatch, RunStore as _, StoreError};
use eve_core::run::Record;
use eve_core::scheduler::{LedgerEvent, LedgerRecord};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::database;
use crate::error::FileError;
use crate::facts::{Fact, Facts};
use crate::height::{self, Height};
use crate::key::StoredKey;
use crate::lock::Lock;
use crate::read::{Reading, SEQ_MAX, link, place, seq};
use crate::run_file::remove_if_there;
use crate::sqlite::{SqliteStore, column};

const SCHEMA: &str = "
CREATE TABLE ledger (
    place INTEGER PRIMARY KEY,
    link BLOB NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE ledger_head (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    base_seq INTEGER NOT NULL,
    base_link BLOB NOT NULL,
    seq INTEGER NOT NULL,
    link BLOB NOT NULL
) STRICT;
";

/// The file of a daemon, held by this process: the [`Ledger`] of its scheduler. Nobody else can hold it until this is dropped
/// or the process ends, in whatever way; and whoever held it before can append nothing once this one has.
///
/// It is durable, checked, and ends after a failure as [`SqliteStore`] does.
#[derive(Debug)]
pub struct LedgerFile {
    // Closed before the lock is let go.
    store: SqliteStore,
    _lock: Lock,
    /// Whether there were records when it was opened.
    has_past: bool,
    facts: Mutex<Facts>,
}

impl LedgerFile {
    /// Opens the file once all of its ledger is known to be as it was written; makes it if it is not there. Linear in its
    /// size. The logs of runs are verified when they are loaded or added to.
    ///
    /// # Errors
    /// [`FileError`]; a file that is not of eve, of a newer one, or of a run, is left as it is.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let what = format!("the ledger {}", path.display());
        let lock = Lock::take(&path.with_extension("lock"), &what, &RunId::new("ledger"))?;
        if !path.exists() {
            create(&path)?;
        }
        Height::check(&path)?;
        let (has_past, facts) = {
            let connection = database::open_to_write(&path)?;
            let reading = Reading { connection: &connection, path: &path };
            reading.check()?;
            (!load(&reading)?.is_empty(), Mutex::new(Facts::load(&reading)?))
        };
        Ok(Self { store: SqliteStore::open(path)?, _lock: lock, has_past, facts })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The key of keyed hashes in this ledger: a file beside it, `key`, that only its owner may read; made for a new ledger.
    ///
    /// # Errors
    /// [`FileError`]; also for a file that others may read. [`FileError::LostKey`] where it is missing and the ledger had
    /// records when it was opened, [`FileError::OtherKey`] where it is not the one that those were made with: another key could
    /// not say whether the secrets of their runs are still the same.
    pub fn key(&self) -> Result<StoredKey, FileError> {
        let path = self.path().with_file_name("key");
        let key = if self.has_past {
            StoredKey::load(&path).map_err(|error| {
                if let FileError::Missing { path } = error { FileError::LostKey { path } } else { error }
            })?
        } else {
            StoredKey::load_or_make(&path)?
        };
        let is_known = self.facts().is_of(&key);
        if self.has_past && is_known == Some(false) {
            return Err(FileError::OtherKey { path, of: self.path().to_owned() });
        }
        if is_known != Some(true) {
            // With the first record there are hashes by it.
            self.store.note(Fact::Key(key.mark()));
        }
        Ok(key)
    }

    /// Says which cluster is at hand, by what it is known again by. A ledger of which that was never said belongs to this one
    /// from its next record on, with which it is written.
    ///
    /// # Errors
    /// [`FileError::OtherCluster`] where the ledger belongs to another one.
    pub fn belongs_to(&self, cluster: &str) -> Result<(), FileError> {
        if let Some(fact) = self.facts().take_cluster(self.path(), cluster)? {
            self.store.note(fact);
        }
        Ok(())
    }

    /// What the cluster of the ledger is known again by, where that was ever said.
    pub fn cluster(&self) -> Option<String> {
        self.facts().cluster.clone()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What ended the life of this store: the first append that failed, if one has.
    pub fn failure(&self) -> Option<&FileError> {
        self.store.failure()
    }
}

#[async_trait]
impl Ledger for LedgerFile {
    async fn append(&self, batch: LedgerBatch) -> Result<(), StoreError> {
        self.store.append_with_ledger(batch).await.map_err(into_store_error)
    }

    async fn load(&self) -> Result<Vec<LedgerRecord>, StoreError> {
        self.store.load_ledger().await.map_err(into_store_error)
    }

    async fn load_run(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        self.store.load(run).await
    }
}

fn into_store_error(error: FileError) -> StoreError {
    if let FileError::Damaged { reason, .. } = error {
        return StoreError::LedgerCorrupt { reason };
    }
    if let FileError::TakenOver { path } = &error {
        return StoreError::TakenOver { reason: format!("{} has other records by now", path.display()) };
    }
    error.into_store_error(None)
}

/// Writes the file of a new ledger, whole before it has its name.
fn create(path: &Path) -> Result<(), FileError> {
    let draft = path.with_extension("new");
    for ending in ["", "-wal", "-shm"] {
        // What a process left that died here; it held the lock that is held now.
        remove_if_there(&database::beside(&draft, ending))?;
    }
    height::forget(path)?;
    let failed = |error: rusqlite::Error| FileError::sqlite("create", path, &error);
    let connection = database::create(&draft)?;
    connection.execute_batch(SCHEMA).map_err(failed)?;
    let begin = begin().head();
    let insert = "INSERT INTO ledger_head VALUES (1, 0, ?1, 0, ?1)";
    connection.execute(insert, [begin.link.as_bytes()]).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    std::fs::rename(&draft, path).map_err(|error| FileError::io("create", path, &error))?;
    path.parent().filter(|folder| *folder != Path::new("")).map_or(Ok(()), database::sync_folder)
}

/// Where the chain of a ledger stood when it was compacted, and where it stands.
struct Heads {
    base: Head,
    head: Head,
}

fn heads(connection: &Connection, path: &Path) -> Result<Heads, FileError> {
    let failed = |error: rusqlite::Error| FileError::sqlite("read", path, &error);
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'ledger_head'";
    if connection.query_row(table, [], |_| Ok(())).optional().map_err(failed)?.is_none() {
        let reason = "it has no ledger".to_owned();
        return Err(FileError::Foreign { path: path.to_owned(), reason });
    }
    let query = "SELECT base_seq, base_link, seq, link FROM ledger_head WHERE number = 1";
    let read = |row: &rusqlite::Row<'_>| {
        let base = Head { seq: seq(row, 0)?, link: link(row, 1)? };
        Ok(Heads { base, head: Head { seq: seq(row, 2)?, link: link(row, 3)? } })
    };
    let found = connection.query_row(query, [], read).optional().map_err(failed)?;
    let damaged = |reason: &str| FileError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let heads = found.ok_or_else(|| damaged("its ledger has no head"))?;
    if heads.base.seq == 0 && heads.base != begin().head() {
        return Err(damaged("its ledger does not begin where it should"));
    }
    Ok(heads)
}

/// All records of the ledger, verified.
pub(crate) fn load(reading: &Reading<'_>) -> Result<Vec<LedgerRecord>, FileError> {
    let Heads { base, head } = heads(reading.connection, reading.path)?;
    let read =
        |row: &rusqlite::Row<'_>| Ok(Entry { seq: seq(row, 0)?, link: link(row, 1)?, bytes: row.get(2)? });
    let entries: Vec<Entry<Vec<u8>>> =
        reading.all("SELECT place, link, bytes FROM ledger ORDER BY place", [], read)?;
    let records = ledger::verify(base, entries, head);
    let records = records.map_err(|error| {
        let error = FileError::journal(reading.path, &error);
        if let FileError::Damaged { path, reason } = error {
            return FileError::Damaged { path, reason: format!("its ledger: {reason}") };
        }
        error
    })?;
    let compacted = records
        .first()
        .is_none_or(|record| record.seq.get() == 1 || matches!(record.event, LedgerEvent::Compacted { .. }));
    if !compacted {
        let reason = "its ledger does not begin where it should".to_owned();
        return Err(FileError::Damaged { path: reading.path.to_owned(), reason });
    }
    Ok(records)
}

/// Adds records to the ledger within a transaction, and removes what they make superfluous. Gives the runs whose records
/// are gone.
pub(crate) fn append(
    transaction: &Transaction<'_>,
    path: &Path,
    batch: &LedgerBatch,
) -> Result<Vec<RunId>, FileError> {
    let failed = |error: rusqlite::Error| FileError::sqlite("append to", path, &error);
    let Heads { mut base, head: before } = heads(transaction, path)?;
    if batch.next.get() != before.seq.saturating_add(1) {
        return Err(FileError::TakenOver { path: path.to_owned() });
    }
    let mut chain = Chain::after(before);
    let mut dropped = Vec::new();
    let insert = "INSERT INTO ledger (place, link, bytes) VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare(insert).map_err(failed)?;
    for record in &batch.ledger {
        if record.seq.get() != chain.head().seq.saturating_add(1) {
            return Err(FileError::TakenOver { path: path.to_owned() });
        }
        if let LedgerEvent::Compacted { .. } = &record.event {
            base = chain.head();
            transaction.execute("DELETE FROM ledger", []).map_err(failed)?;
        } else if let LedgerEvent::LogsDropped { runs } = &record.event {
            for run in runs {
                drop_run(transaction, run).map_err(failed)?;
                dropped.push(run.clone());
            }
        }
        let bytes = ledger::encode(record);
        let link = chain.push(&bytes);
        let place = column(record.seq.get());
        insert.execute(params![place, link.as_bytes(), bytes]).map_err(failed)?;
    }
    let head = chain.head();
    let update = "UPDATE ledger_head SET base_seq = ?1, base_link = ?2, seq = ?3, link = ?4 WHERE number = 1";
    let values = params![column(base.seq), base.link.as_bytes(), column(head.seq), head.link.as_bytes()];
    transaction.execute(update, values).map_err(failed)?;
    Ok(dropped)
}

fn drop_run(transaction: &Transaction<'_>, run: &RunId) -> rusqlite::Result<()> {
    let number = "SELECT number FROM runs NOT INDEXED WHERE id = ?1";
    let number: Option<i64> = transaction.query_row(number, [run.as_str()], |row| row.get(0)).optional()?;
    let Some(number) = number else { return Ok(()) };
    let records = "DELETE FROM records WHERE place BETWEEN ?1 AND ?2";
    transaction.execute(records, [place(number, 0), place(number, SEQ_MAX)])?;
    transaction.execute("DELETE FROM runs WHERE number = ?1", [number])?;
    Ok(())
}
