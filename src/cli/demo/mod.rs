//! `tidegate demo`: three backends, Tidegate in front of them, and something to try, in one process.
//!
//! Everything is on loopback, needs no root and no file; what it writes is in one temporary directory that goes with it.

mod backend;
mod setup;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;

use super::{CONFIG, FAILED, OK, log};
use crate::bind_error::explain_bind_error;
use crate::server;
use backend::{Backend, Behavior};
use setup::Setup;

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Where to listen for HTTP
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    http: SocketAddr,
    /// Where to listen for HTTPS, with a certificate made for this run
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)))]
    https: SocketAddr,
    /// Where to serve /metrics, /livez and /readyz
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)))]
    metrics: SocketAddr,
}

impl Demo {
    pub(super) fn perform(self) -> u8 {
        match self.find_conflicts() {
            Ok(demo) => demo.serve().unwrap_or_else(|error| {
                eprintln!("the demo could not start: {error:#}");
                FAILED
            }),
            Err(lines) => {
                eprintln!("{lines}");
                CONFIG
            }
        }
    }

    /// Before anything starts: the addresses with their ports (0 lets the system choose), or a line for each that can't
    /// be had, with the flag that moves it.
    fn find_conflicts(mut self) -> Result<Self, String> {
        let wanted = [("--http", &mut self.http), ("--https", &mut self.https), ("--metrics", &mut self.metrics)];
        let mut held = Vec::new();
        let mut lines = Vec::new();
        for (flag, address) in wanted {
            match TcpListener::bind(*address).and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((bound, listener)) => {
                    *address = bound;
                    held.push(listener);
                }
                Err(error) => {
                    lines.push(format!(
                        "{}\n  to move it: {flag} ADDRESS",
                        explain_bind_error(&(*address).into(), &error)
                    ));
                }
            }
        }
        if lines.is_empty() { Ok(self) } else { Err(format!("{}\nnothing was started", lines.join("\n"))) }
    }

    fn serve(&self) -> anyhow::Result<u8> {
        let backends = [
            Backend::start("steady", Behavior::Steady)?,
            Backend::start("slow", Behavior::Slow(SLOW_ANSWER))?,
            Backend::start("flaky", Behavior::Flaky { fails_every: 3 })?,
        ];
        let setup = Setup::write(self, &backends).context("writing the demo's configuration")?;
        let loaded = setup.load()?;
        log::start(&loaded.config.log);
        let welcome = setup.welcome(self, &backends);
        let code = server::run(loaded, Some(setup.file()), move |_| println!("{welcome}"));
        if code != OK {
            return Ok(code);
        }
        println!("\nThe tide is out: the demo has stopped, and has left nothing behind.");
        Ok(OK)
    }
}

/// How long the slow backend takes: long enough to see, short enough to wait for.
const SLOW_ANSWER: Duration = Duration::from_millis(150);
