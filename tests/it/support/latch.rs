//! A door that is opened once, for tests that need a request to stay in flight.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::PATIENCE;

/// Shared and cloned freely; all who wait pass as soon as it is opened.
#[derive(Clone, Default)]
pub struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, at most twice [`PATIENCE`]: longer than any client waits for what depends on it.
    pub fn wait(&self) {
        self.wait_for(PATIENCE * 2);
    }

    /// Whether it was opened within `time`.
    pub fn wait_for(&self, time: Duration) -> bool {
        let open = self.0.0.lock().unwrap();
        *self.0.1.wait_timeout_while(open, time, |open| !*open).unwrap().0
    }
}
