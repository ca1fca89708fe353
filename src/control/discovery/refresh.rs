//! When a source is looked at again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::config;

/// The bounds of every answer's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refresh {
    min: Duration,
    max: Duration,
}

impl Refresh {
    pub(super) fn new(config: &config::Resolver) -> Self {
        Self { min: config.min_refresh, max: config.max_refresh }
    }

    /// After an answer: its TTL within the bounds, and up to a tenth more. Later rather than sooner, since a server that
    /// caches would answer with the rest of the time; at random, so that instances that started together don't ask
    /// together.
    pub(super) fn after_answer(self, ttl: Duration) -> Duration {
        stretched(ttl.clamp(self.min, self.max))
    }

    /// After this many failures in a row: 1, 2, 4 … 30 s, within the bounds, and up to a tenth more.
    pub(super) fn after_failures(self, in_a_row: u32) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << in_a_row.saturating_sub(1).min(8)).min(LONGEST_PAUSE);
        stretched(pause.clamp(self.min, self.max))
    }
}

fn stretched(pause: Duration) -> Duration {
    // The standard library's hash seeds are random enough for that.
    let random = (RandomState::new().hash_one(()) >> 32) as f64 / f64::from(u32::MAX);
    pause.mul_f64(1.0 + random / 10.0)
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Refresh = Refresh { min: Duration::from_secs(2), max: Duration::from_secs(60) };

    fn assert_about(pause: Duration, seconds: f64) {
        let range = seconds - 1e-6..=seconds * 1.1 + 1e-6;
        assert!(range.contains(&pause.as_secs_f64()), "{pause:?} of {seconds} s");
    }

    #[test]
    fn an_answer_counts_as_long_as_it_says_within_the_bounds() {
        for (ttl, seconds) in [(0, 2.0), (5, 5.0), (60, 60.0), (86_400, 60.0)] {
            assert_about(REFRESH.after_answer(Duration::from_secs(ttl)), seconds);
        }
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        for (in_a_row, seconds) in [(1, 2.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 30.0), (1000, 30.0)] {
            assert_about(REFRESH.after_failures(in_a_row), seconds);
        }
        let quick = Refresh { min: Duration::from_millis(10), max: Duration::from_millis(50) };
        assert_about(quick.after_failures(9), 0.05);
    }

    #[test]
    fn two_pauses_differ() {
        let pauses: Vec<_> = (0..100).map(|_| REFRESH.after_answer(Duration::from_secs(10))).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
