//! How far a file of runs had come, in a small file beside it: so that it is noticed where records are missing at its end.
//!
//! SQLite reads its write-ahead log up to the first frame that does not fit the ones before; a log that is lost, cut or damaged
//! is a shorter log to it. What is written here comes after the records are durable, without a sync of its own: after a
//! `kill -9` it is exact, and after a power loss it is behind at most. So a database that is behind it has lost records.
//!
//! ```text
//!   ledger, run, seq     8 bytes each: where the ledger stood after the last append, 0 where there is none; the number of a
//!                        run that was appended to, 0 for none; where that one stood
//!   sum                  16 bytes over them: what is torn says nothing
//! ```

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rusqlite::{OptionalExtension as _, params};

use crate::database::{self, beside};
use crate::error::FileError;
use crate::header::sum;
use crate::read::Reading;
use crate::run_file::remove_if_there;
use crate::sqlite::column;

/// What its name ends with.
pub(crate) const ENDING: &str = "-head";
/// The bytes of a number.
const NUMBER: usize = 8;
const BYTES: usize = 3 * NUMBER + 16;

/// Where the logs of a file stood after an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Height {
    pub(crate) ledger: u64,
    pub(crate) run: i64,
    pub(crate) seq: u64,
}

impl Height {
    fn encode(self) -> Vec<u8> {
        let numbers = [self.ledger, self.run.cast_unsigned(), self.seq];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let sum = sum("height", "", 0, &bytes);
        [bytes, sum].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |place: usize| {
            let bytes = bytes.get(place * NUMBER..(place + 1) * NUMBER)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (ledger, run, seq) = (number(0)?, number(1)?.cast_signed(), number(2)?);
        let height = Self { ledger, run, seq };
        (height.encode() == bytes).then_some(height)
    }

    /// What stands beside a file; `None` where nothing does that can be read. Whoever compares a file that is being written
    /// reads this first.
    pub(crate) fn beside(path: &Path) -> Option<Self> {
        let mut file =
            database::open_file("read", &beside(path, ENDING), OpenOptions::new().read(true)).ok()?;
        let mut bytes = Vec::with_capacity(BYTES);
        file.by_ref().take(BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
        Self::decode(&bytes)
    }

    /// Whether a file has come as far.
    ///
    /// # Errors
    /// [`FileError::Damaged`] where records are missing.
    pub(crate) fn is_reached(self, reading: &Reading<'_>) -> Result<(), FileError> {
        let failed = |error: rusqlite::Error| FileError::sqlite("read", reading.path, &error);
        let lost = |what: String| FileError::Damaged {
            path: reading.path.to_owned(),
            reason: format!(
                "{what} was written and is missing; {} is lost or damaged",
                beside(reading.path, "-wal").display()
            ),
        };
        if self.ledger > 0 {
            let query = "SELECT seq FROM ledger_head WHERE number = 1";
            let found: Option<i64> =
                reading.connection.query_row(query, [], |row| row.get(0)).optional().map_err(failed)?;
            let found = found.unwrap_or_default();
            if found < column(self.ledger) {
                return Err(lost(format!("record {} of its ledger", self.ledger)));
            }
            // A later append may have dropped the run.
            if found > column(self.ledger) {
                return Ok(());
            }
        }
        if self.run == 0 {
            return Ok(());
        }
        let query = "SELECT seq FROM runs NOT INDEXED WHERE number = ?1";
        let found: Option<i64> = reading
            .connection
            .query_row(query, params![self.run], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        if found.unwrap_or_default() < column(self.seq) {
            return Err(lost(format!("record {} of a run", self.seq)));
        }
        Ok(())
    }

    /// The same of a file that is not open, which stays as it is: the remains of its log may tell more.
    pub(crate) fn check(path: &Path) -> Result<(), FileError> {
        let Some(height) = Self::beside(path) else { return Ok(()) };
        let connection = database::open_to_read(path)?;
        height.is_reached(&Reading { connection: &connection, path })
    }
}

/// Who notes how far a file has come. Where that cannot be noted, nothing else suffers.
#[derive(Debug)]
pub(crate) struct Gauge(Option<File>);

impl Gauge {
    /// For this file, from its next append on.
    pub(crate) fn of(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        Self(database::open_file("open", &beside(path, ENDING), &mut options).ok())
    }

    /// Notes it. Only what is durable may be.
    pub(crate) fn note(&mut self, height: Height) {
        let noted = self.0.as_ref().map(|file| file.write_all_at(&height.encode(), 0));
        if let Some(Err(_)) = noted {
            // What stands there is true still, or is torn and says nothing.
            self.0 = None;
        }
    }
}

/// Forgets what was noted of a file that is made anew.
pub(crate) fn forget(path: &Path) -> Result<(), FileError> {
    remove_if_there(&beside(path, ENDING))
}
