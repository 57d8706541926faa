//! SQS, S3, STS and IAM as moto plays them: a server on 127.0.0.1 that keeps everything in memory.
//!
//! It accepts every signature and every token until a test turns that off, hands out credentials that differ each time, and knows visibility,
//! groups, deduplication, redrive to dead-letter queues and bucket policies. It lasts as long as its owner.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::api::{self, Asked};
use crate::error::{TestbedError, give_up};
use crate::launch::free_ports;
use crate::servers::{self, Server};
use crate::shepherd::{Process, Shepherd, Signal, tail};

/// Far more than the 2 s that a start takes on two idle cores.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How often a start is tried when the port was taken by somebody else between the search and the use.
const START_TRIES: u32 = 3;

/// A running server that speaks SQS, S3, STS and IAM. Dropping it, or the end of the process, ends it.
#[derive(Debug)]
pub struct Aws {
    // Fields are dropped in this order: the shepherd kills the process, then it is reaped.
    _shepherd: Shepherd,
    process: Mutex<Process>,
    folder: PathBuf,
    port: u16,
}

impl Aws {
    /// The region that everything is in.
    pub const REGION: &'static str = "us-east-1";

    /// The one of this test process, started by the first caller; use buckets and queues of your own.
    ///
    /// # Panics
    /// With the reason, for every caller, if it does not start: a test must fail then, never be skipped.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<Aws, String>> = OnceCell::const_new();
        let started = SHARED.get_or_init(|| async { Self::start().await.map_err(|error| error.chain()) });
        match started.await {
            Ok(aws) => aws,
            Err(reason) => give_up("the shared AWS did not start", reason),
        }
    }

    /// Installs moto where it is missing, starts one and waits until it answers.
    ///
    /// # Errors
    /// Those of [`servers::ensure`]; [`TestbedError::Died`] and [`TestbedError::TimedOut`] with the end of its log.
    pub async fn start() -> Result<Self, TestbedError> {
        let programs = tokio::task::spawn_blocking(|| servers::ensure(&[Server::Moto]))
            .await
            .map_err(|error| TestbedError::io("install moto")(std::io::Error::other(error)))??;
        let program = programs.path(Server::Moto);
        let mut tries = 1;
        loop {
            match Self::start_once(&program).await {
                Err(TestbedError::Died { log, .. }) if tries < START_TRIES && log.contains("in use") => {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_once(program: &Path) -> Result<Self, TestbedError> {
        let folder = tempfile::Builder::new()
            .prefix("eve-testbed-aws-")
            .tempdir()
            .map_err(TestbedError::io("create a temporary folder"))?;
        let shepherd = Shepherd::start(folder.path())?;
        // From here on it is the shepherd's to remove, since it must go even when this process is killed.
        let folder = folder.keep();
        let [port] = free_ports()?;
        let args = ["-I", "-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
        let process = shepherd.spawn(Server::Moto, program, &args)?;
        let aws = Self { _shepherd: shepherd, process: Mutex::new(process), folder, port };
        aws.ready().await?;
        Ok(aws)
    }

    async fn ready(&self) -> Result<(), TestbedError> {
        let waited = api::until("an answer of moto", START_LIMIT, async || {
            let death = self.process().death();
            if let Some(death) = death {
                return Err(death);
            }
            Ok(match answers(self.port).await {
                Ok(true) => Asked::Done(()),
                Ok(false) => Asked::NotYet("another answer".to_owned()),
                Err(error) => Asked::NotYet(error.to_string()),
            })
        })
        .await;
        match waited {
            Err(TestbedError::TimedOut { what, waited, .. }) => Err(TestbedError::TimedOut {
                what,
                waited,
                log: format!("; its log:\n{}", tail(&self.log())),
            }),
            other => other,
        }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of all its services, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it writes: a line for each request, and why it failed.
    pub fn log(&self) -> PathBuf {
        self.folder.join("logs").join(format!("{}.log", Server::Moto.name()))
    }

    /// Stops it from running without ending it (SIGSTOP): its connections stay open and nobody answers.
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the signal cannot be sent.
    pub fn pause(&self) -> Result<(), TestbedError> {
        self.process().signal(Signal::Stop)
    }

    /// Ends it; the same as dropping it, without blocking the runtime.
    pub async fn stop(self) {
        // The only error is a runtime that shuts down, and then the value is dropped all the same.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// [`TestbedError::Io`] if the signal cannot be sent.
    pub fn resume(&self) -> Result<(), TestbedError> {
        self.process().signal(Signal::Continue)
    }
}

/// Whether moto, and nobody else, listens on this port.
async fn answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /moto-api/data.json HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(64).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.") && answer.get(9..12) == Some(b"200"))
}
