//! A server that answers as the test says, for what a real Vault cannot be made to do. Remembers what it was asked.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// With method, without `/v1/`.
    pub line: String,
    /// Names in lower case, as `name: value`.
    pub headers: Vec<String>,
    pub body: String,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, more headers, a body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// A body without a known length: these bytes, this many times.
    Endless(Vec<u8>, usize),
    /// A head that promises a body, of which one byte comes.
    Stalled,
    /// Half a body, then the end of the connection.
    Cut,
    /// No HTTP.
    Babble,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Whole(status, Vec::new(), body.to_string())
    }
}

pub(crate) struct Fake {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(crate) async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (reply, memory) = (Arc::new(reply), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (reply, memory) = (Arc::clone(&reply), Arc::clone(&memory));
                // A client that has gone is no matter.
                tokio::spawn(async move { drop(serve(stream, &*reply, &memory).await) });
            }
        });
        Self { address, asked, task }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    reply: &(dyn Fn(&Asked) -> Reply + Send + Sync),
    memory: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0).replace(" /v1/", " ").replace(" HTTP/1.1", "");
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await?;
        let asked = Asked { line, headers: lines, body: String::from_utf8(body).unwrap() };
        memory.lock().unwrap().push(asked.clone());
        match reply(&asked) {
            Reply::Whole(status, headers, body) => {
                let headers: String = headers
                    .iter()
                    .fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
                let length = body.len();
                let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\n\r\n{body}");
                stream.write_all(head.as_bytes()).await?;
            }
            Reply::Endless(bytes, times) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                for _ in 0..times {
                    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                    stream.write_all(&bytes).await?;
                    stream.write_all(b"\r\n").await?;
                }
                stream.write_all(b"0\r\n\r\n").await?;
            }
            Reply::Stalled => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await?;
                // Until the client goes.
                stream.read_u8().await?;
            }
            Reply::Cut => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await?;
                return Ok(());
            }
            Reply::Babble => {
                stream.write_all(b"220 mail.example.com ESMTP\r\n").await?;
                return Ok(());
            }
        }
    }
}

/// The answer of a login, as far as it matters.
pub(crate) fn login(token: &str) -> Value {
    json!({ "auth": { "client_token": token, "lease_duration": 3600, "renewable": true } })
}

/// The answer about the mount of a path.
pub(crate) fn mount(path: &str) -> Value {
    json!({ "data": { "path": format!("{path}/"), "type": "kv", "options": { "version": "2" } } })
}

/// The answer of a read.
pub(crate) fn secret(data: &Value) -> Value {
    json!({ "data": { "data": data, "metadata": { "version": 1, "destroyed": false, "deletion_time": "" } } })
}

/// The health of a server in this state.
pub(crate) fn health(standby: &str) -> Value {
    json!({
        "initialized": true,
        "sealed": false,
        "standby": standby == "standby",
        "performance_standby": standby == "performance",
        "replication_performance_mode": "disabled",
        "replication_dr_mode": if standby == "dr" { "secondary" } else { "disabled" },
    })
}

/// The body of every refusal.
pub(crate) fn errors(texts: &[&str]) -> Value {
    json!({ "errors": texts })
}
