//! One HTTP request, made once: bounded in time and in what comes back, no redirect followed, every failure in own words.
//!
//! Nothing of a URL, a header or a body gets into a failure: any of them may hold a secret.

use std::error::Error as _;
use std::time::Duration;

use eve_core::failure::Failure;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;

use crate::address::Lookup;

/// How long a connection may take: name, TCP and TLS. Ten seconds is what browsers and load balancers commonly bear at most.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Makes requests. Cheap to clone; shares its connections.
#[derive(Clone, Debug)]
pub(crate) struct Caller(reqwest::Client);

/// A POST.
pub(crate) struct Post {
    pub(crate) url: Url,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) limit: Duration,
    /// The most bytes that are read of an answer.
    pub(crate) answer_bytes_max: usize,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The body, whole unless `cut`.
    pub(crate) body: Vec<u8>,
    /// Whether the body has more than was to be read.
    pub(crate) cut: bool,
}

impl Caller {
    /// A client of its own.
    ///
    /// # Errors
    /// `http.client`, if the system has no certificates to trust, for example.
    pub(crate) fn new() -> Result<Self, Failure> {
        let client = client_builder()
            .build()
            .map_err(|error| Failure::misuse("http.client", format!("no HTTP client: {}", below(&error))))?;
        Ok(Self(client))
    }

    /// Makes the request. A status is no failure here.
    ///
    /// # Errors
    /// `http.timeout`, `http.connect`, `http.broken` and `http.request`, all of them transient: nobody knows whether the
    /// request took effect.
    pub(crate) async fn post(&self, post: Post) -> Result<Reply, Failure> {
        let limit = post.limit;
        let failed = |error: reqwest::Error| failure(&error, limit);
        let request = post.headers.into_iter().fold(
            self.0.post(post.url).header(CONTENT_TYPE, post.content_type).timeout(limit),
            |request, (name, value)| request.header(name, value),
        );
        let mut response = request.body(post.body).send().await.map_err(failed)?;
        let mut reply = Reply { status: response.status().as_u16(), body: Vec::new(), cut: false };
        // Whoever reads nothing need not wait for it either.
        if post.answer_bytes_max == 0 {
            return Ok(reply);
        }
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            let room = post.answer_bytes_max.saturating_sub(reply.body.len());
            reply.body.extend(chunk.iter().take(room));
            if chunk.len() > room {
                reply.cut = true;
                break;
            }
        }
        Ok(reply)
    }
}

/// What all clients of this crate have in common: rustls with ring, no redirects, no retries, own look-up of names.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    // The host of this library may have installed one already; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_LIMIT)
        .dns_resolver(Lookup)
        .user_agent(concat!("eve/", env!("CARGO_PKG_VERSION")))
}

fn failure(error: &reqwest::Error, limit: Duration) -> Failure {
    if error.is_connect() {
        Failure::transient("http.connect", format!("there is no connection: {}", below(error)))
            .with_nothing_left()
    } else if error.is_timeout() {
        Failure::transient("http.timeout", format!("there was no whole answer within {limit:?}"))
    } else if error.is_builder() {
        Failure::misuse("http.request", "the request cannot be built").with_nothing_left()
    } else {
        Failure::transient("http.broken", format!("the connection broke: {}", below(error)))
    }
}

/// The last cause of an error, which is the system's or the protocol's and repeats nothing of the request.
fn below(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(next) = cause.and_then(std::error::Error::source) {
        cause = Some(next);
    }
    cause.map_or_else(|| "no reason was given".to_owned(), ToString::to_string)
}
