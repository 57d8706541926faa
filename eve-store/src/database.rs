//! The SQLite file: its format, how it is opened, and what is set on every connection.
//!
//! ```text
//!   runs     number, id, seq, link      the head of each run's chain
//!            header, sum                what a run file says about its one run, and a checksum
//!   records  place, link, bytes         the log, in the form of `eve_core::journal`; place = number << 40 | seq, so that a
//!                                      log grows at its end (SQLite appends to tables by row number alone)
//!   control  number, bytes, sum         what other processes ask of the run of a run file
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;

use crate::error::FileError;

/// What marks a file as ours in its header: "eve" and a byte (SQLite's `application_id`).
const APPLICATION: i32 = 0x6576_6501;

/// The newest format that this eve reads and writes (SQLite's `user_version`).
pub(crate) const FORMAT: u32 = 1;

/// How many bits of a record's place are its `seq`: a million million records for each of eight million runs.
pub(crate) const SEQ_BITS: u32 = 40;

/// How long a process waits for another one that writes: far longer than any transaction of eve takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a new write-ahead log is written with zeros. A sync that makes a file longer writes the file's size and where
/// its blocks are as well, and takes twice as long; a hundred appends of one record fit into this.
const LOG_BYTES: usize = 1024 * 1024;

const SCHEMA: &str = "
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    link BLOB NOT NULL,
    header BLOB,
    sum BLOB
) STRICT;
CREATE TABLE records (
    place INTEGER PRIMARY KEY,
    link BLOB NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE control (
    number INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT;
";

/// How an empty file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Making {
    /// For good: each step is synced.
    Durable,
    /// As a draft, which is nothing until its maker has synced it whole.
    Draft,
}

/// Makes an empty file of runs that only its owner may use; opens it.
pub(crate) fn create(path: &Path) -> Result<Connection, FileError> {
    make(path, Making::Durable)
}

/// The same without a sync, and without what a step that fails is rolled back from: [`finish`] makes it durable.
pub(crate) fn draft(path: &Path) -> Result<Connection, FileError> {
    make(path, Making::Draft)
}

/// Closes a draft and makes it durable: one sync in place of one for each step.
pub(crate) fn finish(draft: Connection, path: &Path) -> Result<(), FileError> {
    let failed = |error: rusqlite::Error| FileError::sqlite("create", path, &error);
    log_ahead(&draft).map_err(failed)?;
    // The last to close moves everything into the one file.
    draft.close().map_err(|(_, error)| failed(error))?;
    let synced = OpenOptions::new().write(true).open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| sync_failed(path, &error))
}

fn make(path: &Path, how: Making) -> Result<Connection, FileError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return FileError::Exists { path: path.to_owned() };
        }
        FileError::io("create", path, &error)
    })?;
    let failed = |error: rusqlite::Error| FileError::sqlite("create", path, &error);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};");
    let tables = match how {
        Making::Durable => {
            connection.execute_batch(&marks).map_err(failed)?;
            durable(&connection).map_err(failed)?;
            SCHEMA.to_owned()
        }
        Making::Draft => {
            connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(failed)?;
            connection.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
            marks + SCHEMA
        }
    };
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {tables} COMMIT;")).map_err(failed)?;
    Ok(connection)
}

/// Begins the still empty write-ahead log of a connection, so that the first commit finds its blocks, its header and its
/// name on the disk, and has one thing to sync in place of three. Says nothing new: were it lost, nothing would be.
pub(crate) fn begin_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Makes the write-ahead log of a file with all its blocks, before the file has its name: nobody has it open. SQLite reads a
/// log up to the first frame that does not fit the ones before, and zeros never do.
pub(crate) fn lay_out_log(path: &Path) -> Result<(), FileError> {
    let log = beside(path, "-wal");
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&log);
    match made.and_then(|mut file| file.write_all(&vec![0; LOG_BYTES])) {
        // It is a matter of time only: where there is no room for it, there may still be enough for the records.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(FileError::io("lay out", &log, &error)),
        Ok(()) => Ok(()),
    }
}

/// Opens a file of runs to add to it.
pub(crate) fn open_to_write(path: &Path) -> Result<Connection, FileError> {
    exists(path)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    is_ours(&connection, path)?;
    durable(&connection).map_err(|error| FileError::sqlite("open", path, &error))?;
    Ok(connection)
}

/// Opens a file of runs that another process may be writing. Changes nothing.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, FileError> {
    exists(path)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match is_ours(&connection, path) {
        // Readers of a live file share memory through a file beside it. In a folder that cannot be written there is no
        // writer either: where no log is left, the file is all there is.
        Err(FileError::ReadOnly { .. })
            if beside(path, "-wal").metadata().map_or(0, |log| log.len()) == 0 =>
        {
            let connection = open_unchanging(path)?;
            is_ours(&connection, path)?;
            Ok(connection)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(connection),
    }
}

/// The file that SQLite keeps beside a database.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| sync_failed(path, &error))
}

fn sync_failed(path: &Path, error: &io::Error) -> FileError {
    let error = FileError::io("sync", path, error);
    if matches!(error, FileError::Io { .. }) {
        return FileError::SyncFailed { path: path.to_owned() };
    }
    error
}

/// Opens what must be a file: nothing else, such as a pipe that nobody writes to, holds anybody up.
pub(crate) fn open_file(
    doing: &'static str,
    path: &Path,
    options: &mut OpenOptions,
) -> Result<File, FileError> {
    let failed = |error: io::Error| FileError::io(doing, path, &error);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(FileError::NoFile { path: path.to_owned() });
    }
    Ok(file)
}

fn exists(path: &Path) -> Result<(), FileError> {
    let found = path.metadata().map_err(|error| FileError::io("open", path, &error))?;
    let foreign = |reason: &str| FileError::Foreign { path: path.to_owned(), reason: reason.to_owned() };
    if !found.is_file() {
        return Err(foreign("it is no file"));
    }
    if found.len() == 0 {
        return Err(foreign("it is empty"));
    }
    Ok(())
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, FileError> {
    let failed = |error: rusqlite::Error| FileError::sqlite("open", path, &error);
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    careful(&connection).map_err(failed)?;
    Ok(connection)
}

fn open_unchanging(path: &Path) -> Result<Connection, FileError> {
    let failed = |error: rusqlite::Error| FileError::sqlite("open", path, &error);
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection =
        Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).map_err(failed)?;
    careful(&connection).map_err(failed)?;
    Ok(connection)
}

fn careful(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// What makes a commit last: it is on the disk when it returns, and readers do not hold it up.
fn durable(connection: &Connection) -> rusqlite::Result<()> {
    log_ahead(connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where a sync leaves data in the disk's own cache, as on macOS, ask for more.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

/// The write-ahead log, so that readers never hold up the writer. The file remembers it.
fn log_ahead(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
}

/// Refuses what eve did not make, and what a newer eve made, before anything is changed.
fn is_ours(connection: &Connection, path: &Path) -> Result<(), FileError> {
    let number = |pragma: &str| {
        let number = connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
        number.map_err(|error| FileError::sqlite("open", path, &error))
    };
    let application = number("application_id")?;
    if application != APPLICATION {
        let reason = "it is a database of another program".to_owned();
        return Err(FileError::Foreign { path: path.to_owned(), reason });
    }
    match u32::try_from(number("user_version")?) {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(FileError::Newer { path: path.to_owned(), found, known: FORMAT }),
        _ => Err(FileError::Damaged { path: path.to_owned(), reason: "there is no such format".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    fn pragma(connection: &Connection, name: &str) -> String {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0));
        match value.unwrap() {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text,
            other @ (Value::Null | Value::Real(_) | Value::Blob(_)) => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn every_writer_syncs_each_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        let made = create(&path).unwrap();
        let opened = open_to_write(&path).unwrap();
        for connection in [&made, &opened] {
            assert_eq!(pragma(connection, "journal_mode"), "wal");
            assert_eq!(pragma(connection, "synchronous"), "2", "FULL");
            assert_eq!(pragma(connection, "foreign_keys"), "1");
            assert_eq!(pragma(connection, "busy_timeout"), "30000");
            assert_eq!(pragma(connection, "fullfsync"), "1");
            assert_eq!(pragma(connection, "checkpoint_fullfsync"), "1");
        }
    }

    #[test]
    fn a_log_of_zeros_is_an_empty_log_and_is_written_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        finish(draft(&path).unwrap(), &path).unwrap();
        let log = beside(&path, "-wal");
        lay_out_log(&path).unwrap();
        let writer = open_to_write(&path).unwrap();
        let length = || log.metadata().unwrap().len();
        assert_eq!(length(), LOG_BYTES as u64);
        let count = || {
            let reader = open_to_read(&path).unwrap();
            reader.query_row("SELECT count(*) FROM control", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(count(), 0);
        for number in 1..=3 {
            writer.execute("INSERT INTO control VALUES (?1, x'00', x'00')", [number]).unwrap();
            assert_eq!(count(), number);
        }
        assert_eq!(length(), LOG_BYTES as u64);
        lay_out_log(&path).unwrap_err();
        assert_eq!(count(), 3, "a log that is in use is left alone");
        writer.close().unwrap();
        assert!(!log.exists());
        assert_eq!(count(), 3);
    }

    #[test]
    fn a_log_that_is_begun_says_nothing_and_its_writer_syncs_each_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        finish(draft(&path).unwrap(), &path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let writer = open_to_write(&path).unwrap();
        begin_log(&writer).unwrap();
        assert_eq!(pragma(&writer, "synchronous"), "2", "FULL");
        assert_eq!(pragma(&writer, "journal_mode"), "wal");
        let log = std::fs::read(beside(&path, "-wal")).unwrap();
        assert_eq!(log[..4], [0x37, 0x7f, 0x06, 0x82], "SQLite has begun its log");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let reader = open_to_read(&path).unwrap();
        assert_eq!(reader.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn only_the_owner_may_use_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        let _open = create(&path).unwrap();
        for path in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.run");
        let refused = |path: &Path| {
            let before = std::fs::read(path).ok();
            let errors = [open_to_read(path).unwrap_err(), open_to_write(path).unwrap_err()];
            assert_eq!(errors[0], errors[1]);
            assert_eq!(std::fs::read(path).ok(), before);
            errors[0].clone()
        };
        assert!(matches!(refused(&path), FileError::Missing { .. }));
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            refused(&path).to_string(),
            format!("{} is not a file of runs: it is empty", path.display())
        );
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(refused(&path), FileError::Foreign { .. }));
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(refused(&path).to_string().contains("another program"));
        std::fs::remove_file(&path).unwrap();
        let newer = create(&path).unwrap();
        newer.pragma_update(None, "user_version", FORMAT + 1).unwrap();
        newer.close().unwrap();
        let expected = FileError::Newer { path: path.clone(), found: FORMAT + 1, known: FORMAT };
        assert_eq!(refused(&path), expected);
        assert!(matches!(create(&path), Err(FileError::Exists { .. })));
    }
}
