//! What a worker counts: one a worker, merged at the end.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::exchange::{Done, Fault};

/// Counts and histograms. Every request that was sent is in one of the counts.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Microseconds from when a request was meant to leave until it was answered in full, or given up for its timeout.
    pub latency: Times,
    /// Microseconds from when a request was meant to leave until it did.
    pub lag: Times,
    /// The part of that for which a connection was free: the load generator's own.
    pub own_lag: Times,
    /// Requests answered in full, whatever their status.
    pub answered: u64,
    /// Those of them whose answer came before sending ended.
    pub answered_in_time: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    statuses: Vec<u64>,
    faults: [u64; Fault::ALL.len()],
    /// Requests in flight that nobody waited for any longer.
    pub unfinished: u64,
    /// Connections that were opened.
    pub connections: u64,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            latency: Times::new(),
            lag: Times::new(),
            own_lag: Times::new(),
            answered: 0,
            answered_in_time: 0,
            bytes: 0,
            statuses: vec![0; 600],
            faults: [0; Fault::ALL.len()],
            unfinished: 0,
            connections: 0,
        }
    }

    /// Counts a request that is over. `in_time`: before sending ended.
    pub(super) fn record(&mut self, done: &Done, now: Instant, in_time: bool) {
        let request = &done.request;
        self.bytes += request.bytes;
        if let Some(fault) = done.fault {
            self.fault(fault);
        }
        if request.status != 0
            && let Some(count) = self.statuses.get_mut(usize::from(request.status))
        {
            *count += 1;
        }
        let is_answered = matches!(done.fault, None | Some(Fault::Status));
        if is_answered {
            self.answered += 1;
            self.answered_in_time += u64::from(in_time);
        }
        // One that was given up waited at least that long. Leaving it out would make a server look the better the more
        // requests it doesn't answer.
        if is_answered || done.fault == Some(Fault::Timeout) {
            self.latency.record(now.saturating_duration_since(request.ticket.intended));
        }
    }

    /// Counts a fault.
    pub fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    /// How often a fault was seen.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// Faults of all kinds.
    pub fn all_faults(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Statuses that were seen, and how often each, in order.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        self.statuses.iter().enumerate().filter(|(_, count)| **count > 0).map(|(status, count)| (status as u16, *count))
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
        self.own_lag.add(&other.own_lag);
        self.answered += other.answered;
        self.answered_in_time += other.answered_in_time;
        self.bytes += other.bytes;
        self.statuses.iter_mut().zip(&other.statuses).for_each(|(own, other)| *own += other);
        self.faults.iter_mut().zip(&other.faults).for_each(|(own, other)| *own += other);
        self.unfinished += other.unfinished;
        self.connections += other.connections;
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// Durations in an HDR histogram: microseconds from 1 to an hour, with three significant digits.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Times {
    #[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "constant bounds that the histogram accepts")]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("constant bounds"))
    }

    /// Counts one. Less than a microsecond is one, more than an hour is an hour.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST));
    }

    pub fn add(&mut self, other: &Self) {
        // Fails for values out of bounds only, and both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// 0 without any.
    pub fn min(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.min() }
    }

    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The value that `percent` of the counted don't exceed.
    pub fn percentile(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent)
    }

    /// How many lie between two values, both included.
    pub fn count_between(&self, low: u64, high: u64) -> u64 {
        self.0.count_between(low, high)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// Microseconds.
const LONGEST: u64 = 3_600_000_000;
