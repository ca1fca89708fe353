//! The event log: state changes, warnings and errors, one line each on stderr. The access log is not written here.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::config_path;
use crate::config::{Log, LogLevel};

/// Starts the event log. Only the first call of a process has an effect.
///
/// Records that libraries write through the `log` crate arrive here as well: pingora's from `warn` up, since its own
/// words for starting and stopping would stand beside ours.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let libraries = level.min(LevelFilter::WARN);
    let filter = Targets::new().with_default(libraries).with_target("tidegate", level);
    // What becomes of a lookup is told once, where it ends.
    let filter = HICKORY.iter().fold(filter, |filter, name| filter.with_target(*name, LevelFilter::OFF));
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match log.json {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.with_ansi(config_path::color()).boxed(),
    };
    // Fails only if a subscriber is there already, and then that one goes on.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

/// The DNS client would warn of every packet that it can't use.
const HICKORY: [&str; 3] = ["hickory_net", "hickory_proto", "hickory_resolver"];
