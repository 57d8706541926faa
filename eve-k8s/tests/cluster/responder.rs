//! A server on loopback that the API server asks: an aggregated API, or a webhook.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Where a responder listens, and its certificate.
pub(crate) struct Responder {
    pub(crate) port: u16,
    /// In PEM; its own authority.
    pub(crate) certificate: String,
}

type Answer = fn(&str) -> String;

/// Answers every request over TLS with the JSON that `answer` makes of its body. Ends with the process.
pub(crate) fn serve(answer: Answer) -> Responder {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = rcgen::generate_simple_self_signed(names).unwrap();
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let config = Arc::clone(&config);
            // What one caller does to its connection is nobody else's business.
            std::thread::spawn(move || respond(config, socket?, answer));
        }
    });
    Responder { port, certificate: key.cert.pem() }
}

fn respond(config: Arc<rustls::ServerConfig>, mut socket: TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap_or(0))];
    stream.read_exact(&mut body)?;
    let text = answer(&String::from_utf8_lossy(&body));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}
