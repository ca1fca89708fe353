//! Replacing the configuration under traffic.
//!
//! All that can fail comes first; from there on nothing can, and each worker takes the new generation over whole.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::instance::{Instance, RESOLVE_PATIENCE, StartError};
use super::resources::{Listening, listen, load_certificates, warn_of_sources};
use crate::config::Config;
use crate::control;
use crate::snapshot::Snapshot;
use crate::tls::TicketKeys;
use crate::worker::Command;

/// How long a reload waits for each worker to take it over.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

impl Instance {
    /// Replaces the configuration under traffic. Nothing has changed if it fails.
    ///
    /// # Errors
    /// As [`Instance::prepare`], and [`StartError::Fixed`].
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        let result = self.try_reload(config);
        match result {
            Ok(()) => self.metrics.reload_succeeded(),
            Err(_) => self.metrics.reload_failed(),
        }
        result
    }

    pub fn count_failed_reload(&self) {
        self.metrics.reload_failed();
    }

    fn try_reload(&self, config: Config) -> Result<(), StartError> {
        let _one_at_a_time = self.reloading.lock();
        let before = self.current.load_full();
        refuse_fixed(&config, &before.config)?;
        let certificates = load_certificates(&config, &self.certificates)?;
        let ticket_keys = TicketKeys::reread(&config.ticket_keys, &before.config.ticket_keys);
        let ticket_keys = ticket_keys.map_err(StartError::Certificates)?;
        warn_of_sources(&config);
        let kept = self.state().addresses.clone();
        let mut listening = listen(&config, &kept, self.count, &self.certificates, &self.tickets)?;
        let snapshot = Snapshot::build(Arc::new(config), Some(&before), &self.metrics)?;
        let snapshot = Arc::new(snapshot.answering_challenges(&self.certificates));
        self.find_new_endpoints(&snapshot);
        self.keep_certificates(&snapshot.config)?;
        // From here on nothing can fail.
        self.certificates.replace(certificates);
        if let Some(keys) = ticket_keys {
            self.tickets.replace(keys);
        }
        self.metrics.set_certificates(self.certificates.expiries());
        self.caps.set(&snapshot.config);
        let mut waits = Vec::new();
        let mut state = self.state();
        state.addresses = listening.iter().map(Listening::held).collect();
        listening.iter().for_each(Listening::set_mode);
        for worker in &state.workers {
            let listeners = listening.iter_mut().map(Listening::opening).collect();
            let (done, taken) = oneshot::channel();
            let _ = worker.commands.send(Command::Reload { snapshot: Arc::clone(&snapshot), listeners, done });
            waits.push(taken);
        }
        drop(state);
        let deadline = Instant::now() + RELOAD_PATIENCE;
        for mut taken in waits {
            while matches!(taken.try_recv(), Err(oneshot::error::TryRecvError::Empty)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        snapshot.supersede(&before);
        self.current.store(snapshot);
        self.reloaded.notify_one();
        Ok(())
    }

    /// Endpoints that came with a reload get a chance to be found before a request needs them. On a thread of its own:
    /// the caller's may belong to a runtime.
    fn find_new_endpoints(&self, snapshot: &Snapshot) {
        let upstreams = &snapshot.upstreams;
        let unresolved = upstreams.iter().any(|upstream| upstream.unresolved().next().is_some());
        if self.discovery.hand_out(upstreams) && !unresolved {
            return;
        }
        let find = || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(async {
                tokio::join!(
                    control::resolve::resolve_all(upstreams, RESOLVE_PATIENCE),
                    self.discovery.first(upstreams, &snapshot.config.resolver, RESOLVE_PATIENCE),
                );
            }),
            Err(error) => tracing::warn!(%error, "new endpoints are looked for after the reload"),
        };
        std::thread::scope(|scope| {
            let _ = scope.spawn(find).join();
        });
    }
}

/// What is made once, when the process starts, can't be taken over.
fn refuse_fixed(config: &Config, before: &Config) -> Result<(), StartError> {
    let fixed = [
        ("`workers`", config.workers != before.workers),
        ("`[access_log]`", config.access_log != before.access_log),
        ("`[metrics]`", config.metrics != before.metrics),
        ("`[log]`", config.log != before.log),
        ("`user`, `group` or `confine`", config.privileges != before.privileges),
        ("`[acme]`'s store", store_of(config).is_some_and(|store| store_of(before).is_some_and(|b| store != b))),
    ];
    let changed: Vec<&str> = fixed.iter().filter(|(_, changed)| *changed).map(|(what, _)| *what).collect();
    if changed.is_empty() { Ok(()) } else { Err(StartError::Fixed(changed.join(" and "))) }
}

fn store_of(config: &Config) -> Option<&Path> {
    config.acme.as_ref().map(|acme| acme.store.as_path())
}
