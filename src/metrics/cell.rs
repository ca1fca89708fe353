//! Counters with one writer each, readable by anyone at any time.
//!
//! Since a cell belongs to one worker, adding is a plain load and store: no locked instruction, no shared cache line.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A count that only its owner moves.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn increment(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A row of cells, indexed by an enum or a slot. An index out of range counts in the last cell.
#[derive(Debug)]
pub(super) struct Cells<const N: usize>([Cell; N]);

impl<const N: usize> Cells<N> {
    pub(super) fn at(&self, index: usize) -> &Cell {
        const { assert!(N > 0) };
        &self.0[index.min(N - 1)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(Cell::get)
    }
}

impl<const N: usize> Default for Cells<N> {
    fn default() -> Self {
        Self(array::from_fn(|_| Cell::default()))
    }
}

/// Upper bounds of the time buckets, in seconds. From a cache hit on a LAN to a slow report.
pub(super) const BOUNDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The same bounds in nanoseconds.
const BOUNDS_NS: [u64; BOUNDS.len()] = {
    let mut bounds = [0; BOUNDS.len()];
    let mut i = 0;
    while i < BOUNDS.len() {
        bounds[i] = (BOUNDS[i] * 1e9) as u64;
        i += 1;
    }
    bounds
};

/// How many observations fell between two bounds, and their sum.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Not cumulative; the last is everything past the last bound.
    buckets: Cells<{ BOUNDS.len() + 1 }>,
    sum_ns: Cell,
}

impl Times {
    pub(super) fn observe(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Counting the bounds below has no branch to mispredict, unlike a search.
        let bucket = BOUNDS_NS.iter().map(|&bound| usize::from(ns > bound)).sum();
        self.buckets.at(bucket).increment();
        self.sum_ns.add(ns);
    }
}

/// The sum of one series over all workers, as read at a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TimesTotal {
    buckets: [u64; BOUNDS.len() + 1],
    sum_ns: u64,
}

impl TimesTotal {
    pub(super) fn merge(&mut self, times: &Times) {
        for (total, count) in self.buckets.iter_mut().zip(times.buckets.iter()) {
            *total += count;
        }
        self.sum_ns = self.sum_ns.wrapping_add(times.sum_ns.get());
    }

    /// Counts at or below each bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(counts)
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_a_bound_counts_below_it() {
        let times = Times::default();
        for ns in [0, 500_000, 500_001, 60_000_000_000, 60_000_000_001] {
            times.observe(Duration::from_nanos(ns));
        }
        let mut total = TimesTotal::default();
        total.merge(&times);
        let at = |bound: f64| total.cumulative().find(|(b, _)| *b == bound).unwrap().1;
        assert_eq!((at(0.0005), at(0.001), at(60.0), total.count()), (2, 3, 4, 5));
        assert!((total.seconds() - 120.001).abs() < 1e-3);
    }

    #[test]
    fn totals_add_up_over_writers() {
        let (one, two) = (Times::default(), Times::default());
        one.observe(Duration::from_millis(3));
        two.observe(Duration::from_secs(3));
        let mut total = TimesTotal::default();
        total.merge(&one);
        total.merge(&two);
        assert_eq!((total.count(), total.seconds()), (2, 3.003));
    }

    #[test]
    fn an_index_out_of_range_counts_in_the_last_cell() {
        let cells = Cells::<3>::default();
        cells.at(99).increment();
        assert_eq!(cells.iter().collect::<Vec<_>>(), [0, 0, 1]);
    }
}
