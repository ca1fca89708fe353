//! How all certificates stand, for whoever looks: metrics, and the command line's next of kin.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Moment;
use super::failure::Class;
use super::state::Phase;

/// Written by the service, read at a scrape.
#[derive(Debug, Default)]
pub struct Board {
    rows: Mutex<BTreeMap<String, Row>>,
    attempts: Mutex<BTreeMap<(Arc<str>, Outcome), u64>>,
    store_errors: AtomicU64,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub site: Arc<str>,
    pub phase: Phase,
    /// When something is tried next.
    pub next: Moment,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Issued,
    Failed(Class),
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Issued => "issued",
            Outcome::Failed(class) => class.name(),
        }
    }
}

impl PartialOrd for Outcome {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Outcome {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name().cmp(other.name())
    }
}

impl Board {
    pub fn set(&self, id: &str, row: Row) {
        lock(&self.rows).insert(id.to_owned(), row);
    }

    /// Takes away all that isn't wanted any more.
    pub fn keep(&self, wanted: impl Fn(&str) -> bool) {
        lock(&self.rows).retain(|id, _| wanted(id));
    }

    pub fn count(&self, site: &Arc<str>, outcome: Outcome) {
        *lock(&self.attempts).entry((Arc::clone(site), outcome)).or_default() += 1;
    }

    /// The store couldn't be read or written.
    pub fn store_failed(&self) {
        self.store_errors.fetch_add(1, Relaxed);
    }

    pub fn store_errors(&self) -> u64 {
        self.store_errors.load(Relaxed)
    }

    pub fn rows(&self) -> Vec<Row> {
        lock(&self.rows).values().cloned().collect()
    }

    /// By site and outcome.
    pub fn attempts(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        let attempts = lock(&self.attempts);
        attempts.iter().map(|((site, outcome), count)| (Arc::clone(site), outcome.name(), *count)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
