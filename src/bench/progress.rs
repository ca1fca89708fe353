//! What a run tells while it lasts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::exchange::{Done, Fault};
use super::tally::Times;

/// Where workers put what happened since the last look.
#[derive(Debug, Default)]
pub struct Live(Mutex<Recent>);

/// What happened in a while.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// As [`Tally::latency`](super::tally::Tally::latency).
    pub latency: Times,
    /// Requests answered in full.
    pub answered: u64,
    /// Faults of all kinds.
    pub faults: u64,
}

impl Live {
    /// Moves a worker's share in.
    pub(super) fn add(&self, recent: &mut Recent) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.latency.add(&recent.latency);
        sum.answered += recent.answered;
        sum.faults += recent.faults;
        recent.clear();
    }

    /// What happened since the last call.
    pub fn take(&self) -> Recent {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = sum.clone();
        sum.clear();
        taken
    }
}

impl Recent {
    pub(super) fn record(&mut self, done: &Done, now: Instant) {
        self.faults += u64::from(done.fault.is_some());
        if matches!(done.fault, None | Some(Fault::Status)) {
            self.answered += 1;
            self.latency.record(now.saturating_duration_since(done.request.ticket.intended));
        }
    }

    fn clear(&mut self) {
        self.latency.clear();
        self.answered = 0;
        self.faults = 0;
    }

    /// One line: how far the run is, and what it saw in the last `span`.
    pub fn line(&self, elapsed: Duration, span: Duration, faults_so_far: u64) -> String {
        let rate = self.answered as f64 / span.as_secs_f64().max(1e-3);
        let milliseconds = |percent| self.latency.percentile(percent) as f64 / 1e3;
        format!(
            "{:>5.1} s  {rate:>9.0} req/s  p50 {:>8.3} ms  p99 {:>8.3} ms  errors {faults_so_far}",
            elapsed.as_secs_f64(),
            milliseconds(50.0),
            milliseconds(99.0),
        )
    }
}
