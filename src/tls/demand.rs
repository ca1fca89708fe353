//! Certificates that are got when a client first asks for them.
//!
//! A handshake for a host without one waits until somebody has got it or won't. Both happen on another thread; what waits
//! here is bounded, and so is the number of hosts.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::load::LoadedCertificate;
use super::slot::Slot;

/// The certificates got on demand, by host in lower case.
#[derive(Debug, Default)]
pub struct Demand {
    hosts: RwLock<HashMap<String, Arc<Slot>>>,
    wishes: OnceLock<mpsc::Sender<Wish>>,
}

/// A host without a certificate, that may get one.
#[derive(Clone, Debug)]
pub struct Missing {
    pub(super) site: Arc<str>,
    pub(super) host: String,
}

/// A client waits for a certificate.
#[derive(Debug)]
pub struct Wish {
    pub site: Arc<str>,
    pub host: String,
    /// Dropped when there is nothing to wait for any more.
    pub done: oneshot::Sender<()>,
}

/// More hosts than this get none. Each takes about 5 KiB.
const MOST_HOSTS: usize = 20_000;

impl Demand {
    /// Has wishes granted, or not, by whoever receives them. Only the first call has an effect.
    pub fn grant_by(&self, wishes: mpsc::Sender<Wish>) {
        let _ = self.wishes.set(wishes);
    }

    /// The place of a host's certificate; `None` if there are too many.
    pub fn slot(&self, host: &str) -> Option<Arc<Slot>> {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains_key(host) && hosts.len() >= MOST_HOSTS {
            return None;
        }
        Some(Arc::clone(hosts.entry(host.to_owned()).or_default()))
    }

    /// Takes a host's certificate away.
    pub fn remove(&self, host: &str) {
        self.hosts.write().unwrap_or_else(PoisonError::into_inner).remove(host);
    }

    /// Takes all certificates away but those of these hosts.
    pub fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.hosts.write().unwrap_or_else(PoisonError::into_inner).retain(|host, _| wanted(host));
    }

    pub(super) fn certificate(&self, host: &str) -> Option<Arc<LoadedCertificate>> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner).get(host)?.certificate()
    }

    /// Asks for a host's certificate, and waits until it is there or won't be.
    pub(super) async fn wish(&self, Missing { site, host }: Missing) {
        let (done, over) = oneshot::channel();
        let wish = Wish { site, host, done };
        let Some(wishes) = self.wishes.get() else { return };
        // Too many at once: this client gets none, and may come again.
        if wishes.try_send(wish).is_ok() {
            let _ = over.await;
        }
    }
}
