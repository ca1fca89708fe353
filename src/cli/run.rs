//! `tidegate run`: serve what a file says until told to stop.

use super::config_path::ConfigPath;
use super::{CONFIG, log};
use crate::server::{self, Ready};

/// Runs the server. Returns its exit code, or 78 if the file has errors.
pub(super) fn run(config: &ConfigPath) -> u8 {
    let Some(loaded) = config.load_as_user() else {
        eprintln!("not started: {} has errors", config.path().display());
        return CONFIG;
    };
    log::start(&loaded.config.log);
    server::run(loaded, Some(config.path().to_owned()), announce)
}

/// One line for whoever watches the log: ready, and where.
pub(super) fn announce(ready: &Ready) {
    let listeners: Vec<String> = ready.listeners.iter().map(ToString::to_string).collect();
    match ready.metrics {
        Some(metrics) => tracing::info!(listeners = listeners.join(" "), %metrics, "ready"),
        None => tracing::info!(listeners = listeners.join(" "), "ready"),
    }
}
