//! The retry budget: how many retries an upstream can bear, so that they can't multiply an outage.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::seconds::seconds;
use crate::config;

/// Retries as a share of the requests of the last ten seconds, and a few a second in any case. One for all workers.
#[derive(Debug)]
pub struct RetryBudget {
    /// `None`: every retry is granted and nothing is counted.
    limits: Option<config::RetryBudget>,
    requests: Window,
    retries: Window,
}

impl RetryBudget {
    pub fn new(limits: Option<config::RetryBudget>) -> Self {
        Self { limits, requests: Window::default(), retries: Window::default() }
    }

    /// Counts a request (not its retries). A load and an addition.
    #[inline]
    pub fn note_request(&self, now: Instant) {
        if self.limits.is_some() {
            self.requests.add(second(now));
        }
    }

    /// Takes one retry out of the budget; false if it is spent.
    pub fn take(&self, now: Instant) -> bool {
        let Some(limits) = self.limits else { return true };
        let now = second(now);
        let share = limits.ratio * self.requests.total(now) as f64;
        self.retries.add_if(now, |this_second, total| {
            this_second < limits.min_per_second || (total + 1) as f64 <= share + ROUNDING
        })
    }
}

/// Counts by second, over the last [`SECONDS`].
#[derive(Debug, Default)]
struct Window([AtomicU64; SECONDS as usize]);

impl Window {
    fn add(&self, now: u32) {
        let slot = self.slot(now);
        let old = slot.load(Relaxed);
        // One lap later the slot starts anew. Whoever loses that race finds this second there.
        if Count::of(old).second == now || slot.compare_exchange(old, Count::one(now), Relaxed, Relaxed).is_err() {
            slot.fetch_add(1, Relaxed);
        }
    }

    /// Adds one if `admit(this second's count, the window's)` says so; a concurrent addition asks again.
    fn add_if(&self, now: u32, admit: impl Fn(u32, u64) -> bool) -> bool {
        let slot = self.slot(now);
        let step = |old: u64| {
            let this_second = Count::of(old).at(now);
            admit(this_second, self.total(now)).then(|| if this_second == 0 { Count::one(now) } else { old + 1 })
        };
        slot.try_update(Relaxed, Relaxed, step).is_ok()
    }

    fn total(&self, now: u32) -> u64 {
        let recent = |count: &Count| now.wrapping_sub(count.second) < SECONDS;
        self.0.iter().map(|slot| Count::of(slot.load(Relaxed))).filter(recent).map(|count| u64::from(count.count)).sum()
    }

    fn slot(&self, now: u32) -> &AtomicU64 {
        &self.0[(now % SECONDS) as usize]
    }
}

/// A slot's content: the second that it counts in the upper half, the count in the lower.
struct Count {
    second: u32,
    count: u32,
}

impl Count {
    fn of(slot: u64) -> Self {
        Self { second: (slot >> 32) as u32, count: slot as u32 }
    }

    fn one(second: u32) -> u64 {
        u64::from(second) << 32 | 1
    }

    /// The count if it is of this second.
    fn at(&self, second: u32) -> u32 {
        if self.second == second { self.count } else { 0 }
    }
}

/// Seconds since the epoch; 32 bits last 136 years.
fn second(now: Instant) -> u32 {
    seconds(now) as u32
}

const SECONDS: u32 = 10;

/// So that 0.2 of 5 requests is one retry, whatever binary fractions make of it.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::seconds::epoch;
    use super::*;

    fn at(second: u64) -> Instant {
        epoch() + Duration::from_secs(second)
    }

    fn budget(ratio: f64, min_per_second: u32) -> RetryBudget {
        RetryBudget::new(Some(config::RetryBudget { ratio, min_per_second }))
    }

    fn taken(budget: &RetryBudget, now: Instant) -> usize {
        (0..1000).filter(|_| budget.take(now)).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let budget = budget(0.2, 0);
        (0..100).for_each(|_| budget.note_request(at(0)));
        assert_eq!(taken(&budget, at(0)), 20);
    }

    #[test]
    fn a_few_a_second_are_granted_without_any_request() {
        let budget = budget(0.2, 3);
        for second in 0..30 {
            assert_eq!(taken(&budget, at(second)), 3);
        }
    }

    #[test]
    fn the_few_are_part_of_the_share_and_not_on_top() {
        let budget = budget(0.2, 3);
        (0..100).for_each(|_| budget.note_request(at(0)));
        assert_eq!(taken(&budget, at(0)), 20);
    }

    #[test]
    fn requests_older_than_ten_seconds_grant_nothing() {
        let budget = budget(0.2, 0);
        (0..100).for_each(|_| budget.note_request(at(0)));
        assert!(budget.take(at(9)));
        assert!(!budget.take(at(10)));
    }

    #[test]
    fn retries_older_than_ten_seconds_are_forgotten() {
        let budget = budget(0.5, 0);
        for second in [0, 10] {
            (0..10).for_each(|_| budget.note_request(at(second)));
            assert_eq!(taken(&budget, at(second)), 5);
        }
    }

    #[test]
    fn without_limits_every_retry_is_granted() {
        let budget = RetryBudget::new(None);
        assert_eq!(taken(&budget, at(0)), 1000);
    }

    #[test]
    fn threads_together_take_no_more_than_the_share() {
        let budget = budget(0.2, 0);
        let taken: usize = std::thread::scope(|scope| {
            let note = || (0..1000).for_each(|_| budget.note_request(at(3)));
            let noting: Vec<_> = (0..4).map(|_| scope.spawn(note)).collect();
            noting.into_iter().for_each(|thread| thread.join().unwrap());
            let taking: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&budget, at(3)))).collect();
            taking.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 800);
    }
}
