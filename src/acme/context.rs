//! What all attempts share.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::backoff::Breaker;
use super::client::{Client, Roots};
use super::clock::Clock;
use super::failure::{Class, Failure};
use super::store::{Key, Store, StoreError, replace};
use super::{Board, Moment};
use crate::config::Issuer;
use crate::tls;

/// The store, the challenges, and what is remembered of each CA.
pub struct Context {
    pub store: Arc<dyn Store>,
    /// Whose listeners answer challenges.
    pub certificates: Arc<tls::Store>,
    pub clock: Clock,
    pub board: Arc<Board>,
    contacts: Mutex<Arc<[String]>>,
    breakers: Mutex<BTreeMap<String, Breaker>>,
    roots: Mutex<HashMap<Option<PathBuf>, Arc<Roots>>>,
}

impl Context {
    pub fn new(store: Arc<dyn Store>, certificates: Arc<tls::Store>, clock: Clock) -> Self {
        Self {
            store,
            certificates,
            clock,
            board: Arc::default(),
            contacts: Mutex::default(),
            breakers: Mutex::default(),
            roots: Mutex::default(),
        }
    }

    #[must_use]
    pub fn with_board(mut self, board: &Arc<Board>) -> Self {
        self.board = Arc::clone(board);
        self
    }

    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Whom CAs may write to: `mailto:` URLs.
    pub fn contacts(&self) -> Arc<[String]> {
        Arc::clone(&lock(&self.contacts))
    }

    pub fn set_contacts(&self, contacts: &[String]) {
        *lock(&self.contacts) = contacts.into();
    }

    /// Has the other instances look at the store.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn changed(&self) -> Result<(), StoreError> {
        let mark = format!("{} {}\n", self.now(), std::process::id());
        match replace(&*self.store, &Key::mark(), mark.as_bytes()).await {
            // Whoever was quicker has had them look.
            Err(StoreError::Changed { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    /// A client of its own for an attempt.
    pub fn client(&self, issuer: &Issuer) -> Client {
        let mut roots = lock(&self.roots);
        let roots = roots
            .entry(issuer.root.clone())
            .or_insert_with(|| Arc::new(issuer.root.as_deref().map_or_else(Roots::system, Roots::of_file)));
        Client::new(Arc::clone(roots))
    }

    /// Lets one attempt at a CA begin.
    ///
    /// # Errors
    /// It fails whoever asks: when to try again.
    pub fn enter(&self, directory: &str) -> Result<(), Moment> {
        lock(&self.breakers).entry(directory.to_owned()).or_default().enter(self.now())
    }

    /// Notes how an attempt at a CA ended.
    pub fn leave(&self, directory: &str, failure: Option<&Failure>) {
        let mut breakers = lock(&self.breakers);
        let breaker = breakers.entry(directory.to_owned()).or_default();
        match failure {
            Some(failure) if failure.class == Class::Local => breaker.give_back(),
            Some(failure) => breaker.failed(failure, self.now(), chance()),
            None => breaker.succeeded(),
        }
    }
}

/// 0 to 1.
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness no key can be made either; then nothing needs to be spread.
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
