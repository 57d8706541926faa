//! What a file of runs says of itself: of which cluster it is, and by which key its hashes were made. Files of an older eve
//! say nothing, and an older eve does not look.

use std::path::Path;

use eve_core::secret::KeyedHash;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::FileError;
use crate::header::sum;
use crate::key::StoredKey;
use crate::read::Reading;

/// Made with the first fact. One small table, so that what is said costs a page when it is said, and nothing after that.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS facts (
    name TEXT PRIMARY KEY,
    bytes BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The identity of the cluster.
    Cluster(String),
    /// What the key makes of a text that is always the same.
    Key(KeyedHash),
}

/// All of them that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) cluster: Option<String>,
    key: Option<String>,
}

impl Fact {
    const CLUSTER: &str = "cluster";
    const KEY: &str = "key";

    const fn name(&self) -> &'static str {
        match self {
            Self::Cluster(_) => Self::CLUSTER,
            Self::Key(_) => Self::KEY,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Cluster(cluster) => cluster,
            Self::Key(hash) => hash.as_str(),
        }
    }

    /// Writes it, in the place of what was said before. Durable with the transaction that this is a part of.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(SCHEMA)?;
        let (name, bytes) = (self.name(), self.text().as_bytes());
        let insert = "INSERT OR REPLACE INTO facts (name, bytes, sum) VALUES (?1, ?2, ?3)";
        connection.execute(insert, params![name, bytes, sum("fact", name, 0, bytes)]).map(drop)
    }
}

impl Facts {
    /// What is new in this fact; an error where the file says something else.
    pub(crate) fn take_cluster(&mut self, path: &Path, cluster: &str) -> Result<Option<Fact>, FileError> {
        match &self.cluster {
            Some(known) if known == cluster => Ok(None),
            Some(known) => Err(FileError::OtherCluster {
                path: path.to_owned(),
                known: known.clone(),
                found: cluster.to_owned(),
            }),
            None => {
                self.cluster = Some(cluster.to_owned());
                Ok(Some(Fact::Cluster(cluster.to_owned())))
            }
        }
    }

    /// Whether this is the key by which the hashes of the file were made, where the file says so.
    pub(crate) fn is_of(&self, key: &StoredKey) -> Option<bool> {
        self.key.as_ref().map(|known| known == key.mark().as_str())
    }

    /// What a file says, checked; nothing where it says nothing. What this eve does not know is left alone.
    pub(crate) fn load(reading: &Reading<'_>) -> Result<Self, FileError> {
        let failed = |error: rusqlite::Error| FileError::sqlite("read", reading.path, &error);
        let damaged = |name: &str| FileError::Damaged {
            path: reading.path.to_owned(),
            reason: format!("what it says of its {name} is not what was written"),
        };
        // Its name stands there three times: a table that is damaged is not taken for one that was never made.
        let table = "SELECT 1 FROM sqlite_schema WHERE name = 'facts' OR tbl_name = 'facts' OR sql LIKE '%TABLE facts%' LIMIT 1";
        if reading.connection.query_row(table, [], |_| Ok(())).optional().map_err(failed)?.is_none() {
            return Ok(Self::default());
        }
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows: Vec<(String, Vec<u8>, Vec<u8>)> =
            reading.all("SELECT name, bytes, sum FROM facts", [], read)?;
        let mut facts = Self::default();
        for (name, bytes, stored) in rows {
            if stored != sum("fact", &name, 0, &bytes) {
                return Err(damaged(&name));
            }
            let text = String::from_utf8(bytes).map_err(|_| damaged(&name))?;
            match name.as_str() {
                Fact::CLUSTER => facts.cluster = Some(text),
                Fact::KEY => facts.key = Some(text),
                _ => {}
            }
        }
        Ok(facts)
    }
}
