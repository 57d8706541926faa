//! Turns lines of the log into entries, piece by piece as the log grows. It waits for nothing.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::entries::{Entries, Entry};
use super::line::Line;
use crate::error::TestbedError;

/// Reads the log piece by piece, so that each line is parsed once.
#[derive(Debug, Default)]
pub(super) struct Reader {
    offset: u64,
    pub(super) entries: Vec<Arc<Entry>>,
    by_id: HashMap<String, usize>,
    /// Audit ids of requests without an answer so far.
    pub(super) open: BTreeSet<String>,
}

impl Reader {
    pub(super) fn entries(&self) -> Entries {
        Entries(self.entries.clone())
    }

    pub(super) fn entry(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id).and_then(|&position| self.entries.get(position)).map(AsRef::as_ref)
    }

    /// Takes in the whole lines that were added since the last call.
    pub(super) fn read_on(&mut self, log: &Path) -> Result<(), TestbedError> {
        let mut added = Vec::new();
        File::open(log)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(self.offset))?;
                file.read_to_end(&mut added)
            })
            .map_err(TestbedError::io(format!("read {}", log.display())))?;
        let whole = added.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        added.truncate(whole);
        for line in added.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            self.take_in(line).map_err(|error| {
                TestbedError::io(format!("parse a line of {}", log.display()))(error.into())
            })?;
        }
        self.offset += whole as u64;
        Ok(())
    }

    fn take_in(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let line: Line = serde_json::from_slice(line)?;
        let id = line.audit_id.clone();
        let answered = line.stage != "RequestReceived";
        let position = *self.by_id.entry(id.clone()).or_insert(self.entries.len());
        let entry = Arc::new(line.into_entry(position));
        match self.entries.get_mut(position) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        if answered {
            self.open.remove(&id);
        } else {
            self.open.insert(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, stage: &str, verb: &str, uri: &str) -> String {
        format!(
            r#"{{"auditID":"{id}","stage":"{stage}","verb":"{verb}","requestURI":"{uri}","user":{{"username":"eve"}},"objectRef":{{"resource":"pods","namespace":"shop"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:00.000250Z"}}{}"#,
            "\n"
        )
    }

    #[test]
    fn lines_of_one_request_are_one_entry_and_half_a_line_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let first = line("a", "RequestReceived", "watch", "/api/v1/pods?watch=1");
        let second = line("a", "ResponseStarted", "watch", "/api/v1/pods?watch=1");
        let third = line("b", "ResponseComplete", "get", "/api/v1/pods");
        let mut reader = Reader::default();

        std::fs::write(&path, format!("{first}{}", &second[..20])).unwrap();
        reader.read_on(&path).unwrap();
        assert_eq!((reader.entries().len(), reader.open.len()), (1, 1));

        std::fs::write(&path, format!("{first}{second}{third}")).unwrap();
        reader.read_on(&path).unwrap();
        assert_eq!((reader.entries().len(), reader.open.len()), (2, 0));
        assert_eq!(reader.entries().watches().len(), 1);
        let answered: Vec<_> = reader.entries().iter().map(|entry| entry.answered.clone()).collect();
        assert_eq!(answered, [None, Some("2026-01-01T00:00:00.000250Z".to_owned())], "the watch is open");
    }

    #[test]
    fn dry_runs_and_reviews_are_no_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let lines = [
            line("a", "ResponseComplete", "patch", "/x?dryRun=All&fieldManager=eve"),
            line("b", "ResponseComplete", "patch", "/x?fieldManager=eve"),
            line("c", "ResponseComplete", "create", "/x").replace(
                r#""resource":"pods""#,
                r#""resource":"selfsubjectaccessreviews","apiGroup":"authorization.k8s.io""#,
            ),
            line("d", "ResponseComplete", "list", "/x?notDryRun=All"),
        ];
        std::fs::write(&path, lines.concat()).unwrap();
        let entries = Entries::from_file(&path).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries.writes().len(), 1);
        assert_eq!(entries.dry_runs().len(), 1);
        assert_eq!(
            entries.count_by(|entry| entry.verb.clone()),
            [("create", 1), ("list", 1), ("patch", 2)].map(|(verb, count)| (verb.to_owned(), count)).into()
        );
    }
}
