//! `eve-daemon run`: serves until it is told to end, and ends within the grace time.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use eve_core::driver::{Order, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, HTTP_OFF};
use crate::health::{Health, Part};
use crate::http::{self, Served};
use crate::logging;
use crate::metrics::Metrics;
use crate::start_error::{StartError, chain};
use crate::wiring::{self, Daemon};

/// Where health and metrics are served by default.
const LISTEN: &str = "127.0.0.1:8081";
/// How long a stop may take by default: less than the 30 s that Kubernetes gives a pod.
const GRACE: Duration = Duration::from_secs(25);
/// How many orders may wait: two to end, and what is to be sent again.
const ORDERS_MAX: usize = 64;

/// Runs the daemon of a configuration until it is told to end.
///
/// # Errors
/// Why it did not start.
pub fn run(config: &Config) -> Result<ExitCode, StartError> {
    logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StartError::io("the daemon cannot start", &error))?;
    let result = runtime.block_on(Box::pin(serve_until_told(config)));
    // What is still under way is for the next process.
    runtime.shutdown_background();
    result
}

async fn serve_until_told(config: &Config) -> Result<ExitCode, StartError> {
    let (health, metrics): (Arc<Health>, Arc<Metrics>) = (Arc::default(), Arc::default());
    let signals = Signals::new()?;
    let listener = listen(config).await?;
    let Daemon { mut scheduler, ports, cluster, home, secrets, undelivered, source } =
        wiring::wire(config, &health, &metrics).await?;
    home.look().await?;
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = config.cluster.as_deref(),
        server = cluster.server(),
        source,
        http = address.map(tracing::field::display),
        "eve-daemon takes plans"
    );
    let stopped = CancellationToken::new();
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let served = Served { health: Arc::clone(&health), metrics, undelivered, orders: orders.clone() };
    let answering = listener.map(|listener| tokio::spawn(http::serve(listener, served, stopped.clone())));
    let grace = config.shutdown.grace.map_or(GRACE, |grace| grace.0);
    let ended = tokio::select! {
        ended = serve(&mut scheduler, &ports, received) => ended,
        error = home.is_another() => return Err(error),
        () = end_on_signal(signals, &orders, &health, grace) => Ok(()),
        () = cluster.watch_over(&health) => Ok(()),
        () = secrets.watch_over(&health) => Ok(()),
    };
    let code = match ended {
        Ok(()) => {
            let (live, waiting) = (scheduler.view().live(), scheduler.view().waiting());
            tracing::info!(live, waiting, "eve-daemon ends; what is live or waits is for the next one");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(reason = chain(&error), "eve-daemon cannot go on");
            health.fails(Part::Journal, error.to_string());
            ExitCode::FAILURE
        }
    };
    stopped.cancel();
    if let Some(answering) = answering {
        // It ends by itself; a panic of it is no reason to end otherwise.
        let _ = answering.await;
    }
    Ok(code)
}

async fn listen(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let address = config.http.listen.as_deref().unwrap_or(LISTEN);
    if address == HTTP_OFF {
        return Ok(None);
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let hint = "give another address with `http.listen`, or `off`".to_owned();
        StartError::io(&format!("health and metrics cannot be served at {address}"), &error).with_hint(hint)
    })?;
    Ok(Some(listener))
}

/// At the first signal nothing new is begun; after the grace time, or at a second signal, everything is handed back. Never
/// returns.
async fn end_on_signal(mut signals: Signals, orders: &mpsc::Sender<Order>, health: &Health, grace: Duration) {
    let name = signals.next().await;
    health.stops();
    // A driver that takes no orders has ended.
    let _ = orders.send(Order::Drain).await;
    tracing::info!(signal = name, grace_s = grace.as_secs(), "stopping: nothing new is begun");
    tokio::select! {
        () = tokio::time::sleep(grace) => tracing::warn!("the grace time is over: what is live is handed back"),
        name = signals.next() => tracing::warn!(signal = name, "what is live is handed back at once"),
    }
    let _ = orders.send(Order::HandBack).await;
    std::future::pending::<()>().await;
}

/// What asks the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(|error| StartError::io("signals cannot be heard", &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next that counts. A hang-up would kill a process that does not listen for it, with what it has in flight.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::info!(signal = "SIGHUP", "ignored: the configuration is read at the start alone");
                }
            }
        }
    }
}
