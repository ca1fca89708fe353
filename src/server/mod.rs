//! The wiring diagram: which services run, in what order they start, and how they end.
//!
//! pingora's `Server` runs the services, each on its own runtime, with our own signal watch; the workers run the data
//! plane on threads of their own. Everything is prepared before the server starts, so that a fault found then is one
//! clear line and an exit code.

mod certificates;
mod confine;
mod instance;
mod machine;
mod reload;
mod resources;
mod services;
mod signals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};

pub use instance::{Instance, StartError};
pub use machine::ThisMachine;

use self::services::{Control, DataPlane};
use self::signals::Signals;
use crate::config::Address;
use crate::config::load::Loaded;
use crate::privileges;

/// `sysexits.h` EX_CONFIG: systemd is told not to restart after it.
const EXIT_CONFIG: u8 = 78;
/// `sysexits.h` EX_OSERR.
const EXIT_OS: u8 = 71;

/// What runs, once it does.
#[derive(Clone, Debug)]
pub struct Ready {
    pub listeners: Vec<Address>,
    pub metrics: Option<SocketAddr>,
    pub workers: usize,
}

/// Runs until told to stop: TERM and QUIT drain, INT ends at once, HUP reloads `source`, USR1 reopens logs. Returns the
/// exit code: 0 after a stop, 78 for a configuration that can't be served.
pub fn run(loaded: Loaded, source: Option<PathBuf>, on_ready: impl FnOnce(&Ready) + Send + 'static) -> u8 {
    raise_descriptor_limit();
    privileges::protect();
    let access = confine::access(&loaded);
    let seal = || confine::confine(access.as_ref());
    let instance = match Instance::prepare(loaded.config, seal) {
        Ok(instance) => Arc::new(instance),
        Err(error) => {
            tracing::error!("{error}");
            return if matches!(error, StartError::Runtime(_)) { EXIT_OS } else { EXIT_CONFIG };
        }
    };
    let conf = ServerConf { threads: 1, work_stealing: false, grace_period_seconds: Some(0), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let control = server.add_service(Control::new(Arc::clone(&instance)));
    let data_plane = server.add_service(DataPlane::new(Arc::clone(&instance), on_ready));
    // Names get a chance to resolve before the first request comes.
    data_plane.add_dependency(&control);
    server.run(RunArgs { shutdown_signal: Box::new(Signals::new(Arc::clone(&instance), source)) });
    instance.join();
    if instance.has_failed() { EXIT_OS } else { 0 }
}

/// Each connection is a descriptor, and a proxied one two: the soft limit of 1,024 that most systems start with is
/// raised as far as the hard one allows (nginx's `worker_rlimit_nofile`).
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}
