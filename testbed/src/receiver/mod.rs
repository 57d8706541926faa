//! A small HTTP receiver that records what it is sent and answers as a test tells it to, faults included. It speaks
//! HTTP/1.1 on a bare socket, so that it can break every rule of it. Start at [`Receiver::start`], then [`Reply`].

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::{TestbedError, give_up};

mod request;

pub use request::Received;

/// How long a test waits for a request before it fails.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// An HTTP server on 127.0.0.1 that records every request. Ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    count: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Reply>,
    otherwise: Reply,
    received: Vec<Received>,
}

/// What becomes of a request. All but the faults close the connection properly after the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// This status with this text, as `application/json`.
    Text(u16, String),
    /// A redirect (307) to this address.
    Redirect(String),
    /// This status with these further header lines and this text.
    Headers(u16, Vec<(String, String)>, String),
    /// The request is read, and nothing ever comes back. The connection stays open.
    Hang,
    /// The request is read, then the connection is closed without a byte.
    Drop,
    /// Half of this text under a length that promises all of it, then the connection is closed.
    CutShort(String),
    /// A status of 200 and a length of 64 KiB, then one byte after each pause.
    Trickle(Duration),
    /// A status of 200 and this many bytes of body, as fast as they are taken.
    Flood(u64),
    /// The answer, after this long.
    After(Duration, Box<Self>),
}

impl Reply {
    /// This status with a JSON value.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::Text(status, value.to_string())
    }

    /// This status, with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Text(status, String::new())
    }
}

impl Receiver {
    /// Starts one on a free port. It answers 200 with an empty body until told otherwise.
    ///
    /// # Panics
    /// With the reason, if no port can be had.
    pub async fn start() -> Self {
        let bound: io::Result<(TcpListener, u16)> = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        }
        .await;
        let (listener, port) = match bound {
            Ok(bound) => bound,
            Err(source) => {
                let error = TestbedError::Io { what: "listen on 127.0.0.1".to_owned(), source };
                give_up("the receiver did not start", &error.chain())
            }
        };
        let (sender, count) = watch::channel(0);
        let script = Script { next: VecDeque::new(), otherwise: Reply::status(200), received: Vec::new() };
        let shared = Arc::new(Shared { script: Mutex::new(script), count: sender });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, count, _tasks: tasks }
    }

    /// The address of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What becomes of the next request that nothing is planned for yet.
    pub fn then(&self, reply: Reply) -> &Self {
        self.shared.script().next.push_back(reply);
        self
    }

    /// What becomes of all requests that [`Receiver::then`] does not speak of.
    pub fn otherwise(&self, reply: Reply) -> &Self {
        self.shared.script().otherwise = reply;
        self
    }

    /// What was received whole so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.script().received.clone()
    }

    /// Waits until this many requests were received, and returns them all.
    ///
    /// # Panics
    /// If they do not come within 30 s.
    pub async fn until(&self, count: usize) -> Vec<Received> {
        let mut seen = self.count.clone();
        let enough = seen.wait_for(|seen| *seen >= count);
        if tokio::time::timeout(REQUEST_LIMIT, enough).await.is_err() {
            let found = self.received().len();
            give_up("the receiver waited in vain", &format!("{found} of {count} requests came"));
        }
        self.received()
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and says what becomes of it.
    fn record(&self, request: Received) -> Reply {
        let mut script = self.script();
        script.received.push(request);
        self.count.send_replace(script.received.len());
        script.next.pop_front().unwrap_or_else(|| script.otherwise.clone())
    }
}

/// Connections end with this task, since it owns theirs.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // Whoever called may go away at any time; there is nobody to tell.
            let _ = serve(stream, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let Some(request) = request::read(&mut stream).await? else { return Ok(()) };
    let mut reply = shared.record(request);
    while let Reply::After(pause, inner) = reply {
        tokio::time::sleep(pause).await;
        reply = *inner;
    }
    answer(&mut stream, reply).await
}

async fn answer(stream: &mut TcpStream, reply: Reply) -> io::Result<()> {
    match reply {
        Reply::Text(status, text) => whole(stream, status, &[], &text).await,
        Reply::Headers(status, headers, text) => whole(stream, status, &headers, &text).await,
        Reply::Redirect(to) => whole(stream, 307, &[("location".to_owned(), to)], "").await,
        Reply::Hang => std::future::pending().await,
        // `After` was unpacked by whoever calls.
        Reply::Drop | Reply::After(..) => Ok(()),
        Reply::CutShort(text) => {
            stream.write_all(head(200, text.len(), &[]).as_bytes()).await?;
            stream.write_all(text.as_bytes().split_at(text.len() / 2).0).await
        }
        Reply::Trickle(pause) => {
            stream.write_all(head(200, 64 * 1024, &[]).as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(pause).await;
            }
        }
        Reply::Flood(bytes) => {
            let length = usize::try_from(bytes).unwrap_or(usize::MAX);
            stream.write_all(head(200, length, &[]).as_bytes()).await?;
            let chunk = vec![b' '; 16 * 1024];
            for _ in 0..length / chunk.len() {
                stream.write_all(&chunk).await?;
            }
            stream.write_all(chunk.split_at(length % chunk.len()).0).await
        }
    }
}

async fn whole(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    text: &str,
) -> io::Result<()> {
    stream.write_all((head(status, text.len(), headers) + text).as_bytes()).await?;
    stream.shutdown().await
}

fn head(status: u16, length: usize, headers: &[(String, String)]) -> String {
    let more = headers.iter().fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
    format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n"
    )
}
