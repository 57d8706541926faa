//! What of a configuration cannot be used, though it has the right form: the same for `check` and for `run`, and all of it at
//! once. No server is asked, and nothing is made.

use crate::config::{Config, Wrong};
use crate::{cluster, logging, notifiers, secrets, sources};

/// Whether the files are here that a configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Those that are read when the daemon starts must be there and be right.
    Here,
    /// They are where the daemon will run.
    Elsewhere,
}

/// Everything that would keep a daemon from starting, as far as the configuration alone can tell.
pub fn problems(config: &Config, files: Files) -> Vec<Wrong> {
    // Clients are made to see whether they can be, and those need it.
    eve_k8s::init();
    [
        logging::problems(&config.log),
        cluster::problems(&config.kubernetes, files),
        secrets::problems(config.vault.as_ref(), files),
        notifiers::problems(config, files),
        sources::problems(config, files),
        state(config, files),
    ]
    .concat()
}

fn state(config: &Config, files: Files) -> Vec<Wrong> {
    let folder = config.state.folder.as_deref().filter(|_| files == Files::Here);
    folder.and_then(|folder| sources::no_folder(folder, "/state/folder")).into_iter().collect()
}
