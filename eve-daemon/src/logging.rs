//! Logs: one JSON object a line, on the standard error output.

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, Wrong};
use crate::start_error::StartError;

/// What is logged where nobody says: what the client says of a lost connection eve says itself, and what happens to a
/// component is said by the log of its run.
const DEFAULT: &str = "info,kube_client=off,eve_k8s=warn";

/// What of a configuration cannot be used.
pub fn problems(config: &LogConfig) -> Vec<Wrong> {
    let message = filter(config).err();
    message.map(|message| Wrong::new("/log/filter", "config.bad-filter", message)).into_iter().collect()
}

fn filter(config: &LogConfig) -> Result<EnvFilter, String> {
    let text = config.filter.as_deref().unwrap_or(DEFAULT);
    EnvFilter::try_new(text).map_err(|error| format!("`log.filter` cannot be understood: {error}"))
}

/// Logs from here on.
///
/// # Errors
/// A filter that cannot be read.
pub fn start(config: &LogConfig) -> Result<(), StartError> {
    let filter = filter(config).map_err(StartError::new)?;
    let logs = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // An error says that there is a subscriber already, as in a test that starts two daemons.
    let _ = logs.try_init();
    Ok(())
}
