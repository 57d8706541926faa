//! Keeps the records of runs in SQLite: durable, checked, readable by other processes while a run goes on.
//!
//! ```text
//!   driver ──append──▶ RunFile ──▶ one transaction, one sync ──▶ RUN.run ◀──reads── RunReader   eve status, eve timeline
//!                        ▲                                          ▲
//!                        └────────────── requests ──────────────────┴────writes── request_stop   eve cancel
//! ```
//!
//! Where to start: [`RunFolder`], the runs of one user, one file each; [`RunFile`], the run that this process drives, which
//! is the [`RunStore`](eve_core::ports::RunStore) of its driver; [`RunReader`], a run that is looked at. [`SqliteStore`] is
//! the store alone, for embedders and for many runs in one file; [`LedgerFile`] keeps besides the ledger of a scheduler, for a
//! daemon. Why it is so: ADR 11 and 17.
//!
//! # Example
//!
//! ```
//! use eve_core::ids::{RunId, Seq};
//! use eve_core::ports::{RecordBatch, RunStore as _};
//! use eve_core::run::{Event, Record};
//! use eve_core::time::Timestamp;
//! use eve_store::{RunFolder, RunHeader, RunSource, RunState};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let root = temporary.path().join("eve");
//! let folder = RunFolder::open(root)?;
//! let run = RunId::new("1763596800000-0a1b2c3d");
//! let file = folder.create(&RunHeader {
//!     run: run.clone(),
//!     plan: "shop".into(),
//!     namespace: "shop".into(),
//!     cluster: "https://prod.example.net:6443".into(),
//!     context: Some("prod".into()),
//!     kubeconfigs: Vec::new(),
//!     verb: "apply".into(),
//!     sources: vec![RunSource::Path("/home/kim/shop/plan.yaml".into())],
//!     arguments: vec!["--namespace=shop".into()],
//!     digest: folder.key()?.hash(["the normalised plan"]),
//!     graph: String::new(),
//!     started_at: Timestamp::from_micros(1_763_596_800_000_000),
//!     eve_version: "0.1.0".into(),
//! })?;
//!
//! // The driver does this.
//! let record = Record { seq: Seq::FIRST, at: Timestamp::from_micros(1), event: Event::Resumed };
//! file.append(vec![RecordBatch { run: run.clone(), records: vec![record.clone()] }]).await?;
//!
//! // Another process may look, and ask it to stop.
//! assert_eq!(folder.read(&run)?.records()?, [record]);
//! assert!(matches!(folder.state(&run)?, RunState::Live(Some(holder)) if holder.process == std::process::id()));
//! folder.request_stop(&run, eve_core::run::StopMode::Now, "kim on build-7")?;
//! assert_eq!(file.requests(0).await?[0].who, "kim on build-7");
//!
//! // A run whose process is gone can be taken over.
//! drop(file);
//! assert_eq!(folder.state(&run)?, RunState::Interrupted);
//! let again = folder.resume(&run)?;
//! assert_eq!(again.load(&run).await?.len(), 1);
//! # Ok(())
//! # }
//! ```

mod database;
mod error;
mod facts;
mod folder;
mod header;
mod height;
mod key;
mod ledger_file;
mod lock;
mod read;
mod run_file;
mod sqlite;

pub use error::FileError;
pub use eve_core::secret::{HashKey, KeyedHash};
pub use folder::{Listed, Retention, RunFolder, RunState, RunSummary};
pub use header::{RunHeader, RunSource, StopRequest};
pub use key::StoredKey;
pub use ledger_file::LedgerFile;
pub use lock::Holder;
pub use run_file::{Progress, RunFile, RunReader};
pub use sqlite::SqliteStore;
