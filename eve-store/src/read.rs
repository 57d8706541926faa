//! What stands in a file of runs, checked as it is read.

use std::path::Path;

use eve_core::ids::RunId;
use eve_core::journal::{self, Chain, Entry, Head, Link};
use eve_core::run::Record;
use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use crate::database::SEQ_BITS;
use crate::error::FileError;
use crate::header::{RunHeader, StopRequest, sum};

/// A connection, and the file it is to.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) path: &'a Path,
}

/// A run's row: its number in this file, and where its chain stands.
#[derive(Clone, Copy)]
pub(crate) struct RunRow {
    pub(crate) number: i64,
    pub(crate) head: Head,
}

impl Reading<'_> {
    fn failed(&self, error: &rusqlite::Error) -> FileError {
        FileError::sqlite("read", self.path, error)
    }

    fn damaged(&self, reason: impl Into<String>) -> FileError {
        FileError::Damaged { path: self.path.to_owned(), reason: reason.into() }
    }

    /// Goes through the structure of the whole file, and what is left over in it. Linear in its size.
    pub(crate) fn check(&self) -> Result<(), FileError> {
        let said = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
        match said.map_err(|error| self.failed(&error))?.as_str() {
            "ok" => Ok(()),
            fault => Err(self.damaged(fault)),
        }
    }

    /// Whether each run has the name that its log was begun under. Linear in the number of runs.
    pub(crate) fn check_names(&self) -> Result<(), FileError> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, seq(row, 2)?, link(row, 3)?));
        let runs: Vec<(i64, String, u64, Link)> =
            self.all("SELECT number, id, seq, link FROM runs", [], read)?;
        for (number, id, records, head) in runs {
            let run = RunId::new(id);
            let mut chain = Chain::new(&run);
            let first =
                self.entries("SELECT place, link, bytes FROM records WHERE place = ?1 + 1 AND ?2", number)?;
            let holds = match first.first() {
                Some(first) => chain.push(&first.bytes) == first.link && records > 0,
                None => records == 0 && head == chain.head().link,
            };
            if !holds {
                return Err(self.damaged(format!("the log of run {run} does not begin where it should")));
            }
        }
        Ok(())
    }

    /// The row of a run; `None` for one that is not in this file.
    pub(crate) fn row(&self, run: &RunId) -> Result<Option<RunRow>, FileError> {
        // Not by the index: it is a second copy of the names, which nothing here binds to the first.
        let query = "SELECT number, seq, link FROM runs NOT INDEXED WHERE id = ?1";
        let read = |row: &Row<'_>| {
            Ok(RunRow { number: row.get(0)?, head: Head { seq: seq(row, 1)?, link: link(row, 2)? } })
        };
        let row = self.connection.query_row(query, [run.as_str()], read).optional();
        row.map_err(|error| self.failed(&error))
    }

    /// All records of a run, verified.
    pub(crate) fn records(&self, run: &RunId, row: RunRow) -> Result<Vec<Record>, FileError> {
        let query = "SELECT place, link, bytes FROM records WHERE place BETWEEN ?1 AND ?2 ORDER BY place";
        let entries = self.entries(query, row.number)?;
        journal::verify(run, entries, row.head).map_err(|error| FileError::journal(self.path, &error))
    }

    /// The last record of a run, verified against the one before and the head; `None` for an empty log.
    pub(crate) fn last(&self, run: &RunId, row: RunRow) -> Result<Option<Record>, FileError> {
        let query = "SELECT place, link, bytes FROM records WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT 2";
        let entries = self.entries(query, row.number)?;
        let begun = Chain::new(run).head();
        let (last, before) = match entries.as_slice() {
            [] if row.head == begun => return Ok(None),
            [last] => (last, begun),
            [last, before] => (last, Head { seq: before.seq, link: before.link }),
            _ => return Err(self.damaged("its log does not end where it should")),
        };
        let mut chain = Chain::after(before);
        let holds =
            chain.push(&last.bytes) == last.link && chain.head() == row.head && last.seq == row.head.seq;
        if !holds {
            return Err(self.damaged("its log does not end where it should"));
        }
        let record = journal::decode(&last.bytes).map_err(|error| FileError::journal(self.path, &error))?;
        Ok(Some(record))
    }

    fn entries(&self, query: &str, run: i64) -> Result<Vec<Entry<Vec<u8>>>, FileError> {
        let first = place(run, 0);
        let last = place(run, SEQ_MAX);
        self.all(query, [first, last], |row| {
            // A place below the first, which would be another run's, cannot come out of the query.
            let seq = seq(row, 0)? & SEQ_MAX;
            Ok(Entry { seq, link: link(row, 1)?, bytes: row.get(2)? })
        })
    }

    pub(crate) fn all<T>(
        &self,
        query: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, FileError> {
        let failed = |error| self.failed(&error);
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        let rows = statement.query_map(parameters, read).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// The header of the one run of a run file.
    pub(crate) fn header(&self) -> Result<RunHeader, FileError> {
        type Columns = (String, Option<Vec<u8>>, Option<Vec<u8>>);
        let query = "SELECT id, header, sum FROM runs LIMIT 2";
        let rows: Vec<Columns> = self.all(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let [(id, Some(bytes), Some(stored))] = rows.as_slice() else {
            return Err(self.damaged("it has no header"));
        };
        if *stored != sum("header", id, 0, bytes) {
            return Err(self.damaged("its header is not what was written: its checksum is another"));
        }
        let header = RunHeader::decode(bytes).map_err(|reason| self.damaged(reason))?;
        if header.run.as_str() != id {
            return Err(self.damaged("its header is that of another run"));
        }
        Ok(header)
    }

    /// What was asked of the one run of a run file after the request of this number, in order.
    pub(crate) fn requests(&self, run: &RunId, after: u64) -> Result<Vec<StopRequest>, FileError> {
        let query = "SELECT number, bytes, sum FROM control WHERE number > ?1 ORDER BY number";
        let read = |row: &Row<'_>| Ok((seq(row, 0)?, row.get(1)?, row.get(2)?));
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<(u64, Vec<u8>, Vec<u8>)> = self.all(query, [after], read)?;
        let request = |(number, bytes, stored): (u64, Vec<u8>, Vec<u8>)| {
            if stored != sum("request", run.as_str(), number, &bytes) {
                return Err(self.damaged(format!("request {number} is not what was written")));
            }
            StopRequest::decode(number, &bytes).map_err(|reason| self.damaged(reason))
        };
        rows.into_iter().map(request).collect()
    }
}

/// The greatest place in a log of this file.
pub(crate) const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

/// Where a record of the run with this number stands in the table of all records.
pub(crate) fn place(run: i64, seq: u64) -> i64 {
    (run << SEQ_BITS) | i64::try_from(seq & SEQ_MAX).unwrap_or(i64::MAX)
}

pub(crate) fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(crate) fn link(row: &Row<'_>, column: usize) -> rusqlite::Result<Link> {
    row.get(column).map(Link::from_bytes)
}
