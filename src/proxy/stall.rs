//! How long one side has kept the other waiting.

use std::time::Duration;

use tokio::time::Instant;

/// Since when something has been waited for; cleared by progress.
#[derive(Default)]
pub struct Stall {
    since: Option<Instant>,
}

impl Stall {
    pub fn progressed(&mut self) {
        self.since = None;
    }

    /// A wait begins, or goes on.
    pub fn wait(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// The deadline of a wait that begins now or goes on.
    pub fn deadline(&mut self, timeout: Duration) -> Option<Instant> {
        self.since.get_or_insert_with(Instant::now).checked_add(timeout)
    }
}
